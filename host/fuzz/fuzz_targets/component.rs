//! Components that `herald policy inspect` tells about: no bytes panic, and what it calls pure imports nothing.
#![no_main]

use std::{fs, path::PathBuf, sync::LazyLock};

use herald::cli::{Globals, policy::inspect::Command};
use herald_fuzz::scratch;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use wasmparser::{Parser, Payload};

/// Interfaces that give no power: the log, and one of types alone.
const HARMLESS: [&str; 2] = ["herald:policy/log@", "herald:policy/types@"];

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

fuzz_target!(|bytes: &[u8]| {
    fs::write(&*FILE, bytes).expect("written");
    let Some(text) = inspect(false) else { return };
    assert!(text.chars().all(|letter| letter == '\n' || !letter.is_control()), "{text:?}");
    let json: Value = serde_json::from_str(&inspect(true).expect("the same again")).expect("JSON");
    let is_pure = json["guarantees"][0].as_str().is_some_and(|line| line.starts_with("pure"));
    let imports = imports(bytes);
    let is_harmless = |name: &String| HARMLESS.iter().any(|harmless| name.starts_with(harmless));
    assert!(!is_pure || imports.iter().all(is_harmless), "{imports:?}");
});
