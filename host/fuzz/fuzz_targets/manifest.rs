//! Objects of a cluster as manifests: a text of `aws-auth` means the same by itself and in the manifest that is made of it.
#![no_main]

use std::collections::BTreeMap;

use herald::config::{CheckedFile, edit::AuthMap};
use libfuzzer_sys::fuzz_target;

/// Stands between `mapRoles` and `mapUsers`.
const BETWEEN: char = '\u{c}';

fn entries(file: &CheckedFile) -> usize {
    file.parts.iter().map(|part| part.config.rules.len()).sum()
}

fuzz_target!(|text: &str| {
    let (roles, users) = text.split_once(BETWEEN).unwrap_or((text, ""));
    let keys = [("mapRoles", roles), ("mapUsers", users)];
    let data: BTreeMap<String, String> =
        keys.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect();
    let map = AuthMap { data };
    let checked = map.checked();
    assert!(checked.is_manifest, "what is made of a map is read as one");
    let alone = |key: &str, text: &str| {
        let data = BTreeMap::from([(key.to_owned(), text.to_owned())]);
        entries(&AuthMap { data }.checked())
    };
    // One list may be about a principal of the other, never the other way round.
    assert!(entries(&checked) <= keys.iter().map(|(key, text)| alone(key, text)).sum());
});
