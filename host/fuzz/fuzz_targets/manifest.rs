//! Objects of a cluster as manifests: each list of `aws-auth` that a server takes by itself names everybody in the manifest that is
//! made of the map whom it names there, whatever stands in the other list, and nobody is added.
#![no_main]

use std::collections::{BTreeMap, BTreeSet};

use herald::{
    config::{CheckedFile, edit::AuthMap, read_config_map},
    mapping::Rules,
};
use libfuzzer_sys::fuzz_target;
use serde_json::json;

/// Stands between `mapRoles` and `mapUsers`.
const BETWEEN: char = '\u{c}';

fn named(rules: &Rules) -> BTreeSet<String> {
    rules.iter().map(|(who, _)| who).collect()
}

fn entries(file: &CheckedFile) -> usize {
    file.parts.iter().map(|part| part.config.rules.len()).sum()
}

fuzz_target!(|text: &str| {
    let (roles, users) = text.split_once(BETWEEN).unwrap_or((text, ""));
    let keys = [("mapRoles", roles), ("mapUsers", users)];
    let data: BTreeMap<String, String> =
        keys.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect();
    let map = AuthMap { data, ..AuthMap::default() };
    let checked = map.checked();
    assert!(checked.is_manifest, "what is made of a map is read as one");
    let alone = |key: &str, text: &str| {
        let data = BTreeMap::from([(key.to_owned(), text.to_owned())]);
        entries(&AuthMap { data, ..AuthMap::default() }.checked())
    };
    // One list may be about a principal of the other, never the other way round.
    assert!(entries(&checked) <= keys.iter().map(|(key, text)| alone(key, text)).sum());
    let all: BTreeSet<String> = checked.parts.iter().flat_map(|part| named(&part.config.rules)).collect();
    for (key, text) in keys {
        // By what servers read. What does not parse names nobody, and takes nothing from the other list.
        let (mappings, _) = read_config_map(&[json!({ key: text })]);
        assert!(named(&mappings.rules).is_subset(&all), "{key}: {text:?}, {}", checked.text);
    }
});
