//! Components that `herald policy inspect` tells about: no bytes panic, and what it calls pure can call nothing but the log.
#![no_main]

use std::{fs, path::PathBuf, sync::LazyLock};

use herald::{
    caller::letters::steers,
    cli::{Globals, policy::inspect::Command},
};
use herald_fuzz::scratch;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use wasmparser::{Parser, Payload, Validator, WasmFeatures, component_types::ComponentEntityType};

static FILE: LazyLock<PathBuf> = LazyLock::new(|| scratch().join("policy.wasm"));

fn inspect(json: bool) -> Option<String> {
    let mut out = Vec::new();
    let command = Command { component: FILE.clone(), json };
    command.run(&Globals::default(), &mut out).ok()?;
    Some(String::from_utf8(out).expect("text"))
}

/// What a component imports, to a reader that only looks at its own level.
fn imports(bytes: &[u8]) -> Vec<String> {
    let (mut found, mut depth) = (Vec::new(), 0_usize);
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.expect("what was read is a component") {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                found.extend(section.into_iter().map(|import| import.expect("an import").name.name.to_owned()));
            }
            _ => {}
        }
    }
    found
}

/// Those of its imports that are more than types, to a validator that knows nothing of policies. None of one that no server
/// would load: its code is not looked at to tell what it imports.
fn powers(bytes: &[u8]) -> Vec<String> {
    let mut validator = Validator::new_with_features(WasmFeatures::all());
    let Ok(types) = validator.validate_all(bytes) else { return Vec::new() };
    let types = types.as_ref();
    let is_power = |name: &String| match types.component_item_for_import(name).map(|item| item.ty) {
        Some(ComponentEntityType::Instance(id)) => {
            types[id].exports.values().any(|item| !matches!(item.ty, ComponentEntityType::Type { .. }))
        }
        Some(ComponentEntityType::Type { .. }) => false,
        _ => true,
    };
    imports(bytes).into_iter().filter(is_power).collect()
}

fuzz_target!(|bytes: &[u8]| {
    fs::write(&*FILE, bytes).expect("written");
    let Some(text) = inspect(false) else { return };
    assert!(text.chars().all(|letter| letter == '\n' || !steers(letter)), "{text:?}");
    let json: Value = serde_json::from_str(&inspect(true).expect("the same again")).expect("JSON");
    // The first of them says what it depends on.
    let is_pure = json["guarantees"][0]["id"].as_str().expect("an id") == "pure";
    let powers = powers(bytes);
    assert!(!is_pure || powers.iter().all(|name| name.starts_with("herald:policy/log@")), "{powers:?}");
});
