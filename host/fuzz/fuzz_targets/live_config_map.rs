//! ConfigMaps of mappings as they change: each document is in force in the last version of it that parses, whatever stands in the
//! others, and means what it means in a manifest.
//!
//! Versions stand between form feeds, and in each of them `mapRoles`, `mapUsers` and `mapAccounts` between NULs.
#![no_main]

use std::collections::BTreeSet;

use herald::{
    config::{edit::AuthMap, read_config_map},
    mapping::{Rules, live::Mappings},
};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

const KEYS: [&str; 3] = ["mapRoles", "mapUsers", "mapAccounts"];
const MAX_VERSIONS: usize = 8;

fn texts(version: &str) -> [&str; 3] {
    let mut texts = version.splitn(3, '\0');
    KEYS.map(|_| texts.next().unwrap_or_default())
}

fn data(texts: [&str; 3]) -> Value {
    KEYS.iter().zip(texts).map(|(key, text)| ((*key).to_owned(), Value::from(text))).collect()
}

fn told(rules: &Rules) -> Vec<String> {
    let first = rules.iter().map(|(who, rule)| format!("{who} {rule}"));
    let mut all: Vec<String> = first.chain(rules.every().map(ToString::to_string)).collect();
    all.sort_unstable();
    all
}

fn same(one: &Mappings, other: &Mappings) {
    assert_eq!((told(&one.rules), &one.accounts), (told(&other.rules), &other.accounts));
}

fuzz_target!(|text: &str| {
    let versions: Vec<[&str; 3]> = text.split('\u{c}').take(MAX_VERSIONS).map(texts).collect();
    let mut good = [""; 3];
    for version in &versions {
        for ((good, text), key) in good.iter_mut().zip(version).zip(KEYS) {
            let (alone, refused) = read_config_map(&[json!({ key: text })]);
            if refused.is_empty() {
                *good = text;
            }
            assert!(refused.len() <= 1 && (refused.is_empty() || alone.is_empty()), "{refused:?}");
        }
    }
    let all: Vec<Value> = versions.iter().copied().map(data).collect();
    let (mappings, _) = read_config_map(&all);
    let (expected, refused) = read_config_map(&[data(good)]);
    assert!(refused.is_empty(), "{refused:?}");
    same(&mappings, &expected);
    // Nobody else's key is read, and what is gone maps nobody.
    let mut other = data(good);
    other["maproles"] = other["mapRoles"].clone();
    same(&read_config_map(&[data(["", "", ""]), other]).0, &expected);
    assert!(read_config_map(&[data(good), json!({})]).0.is_empty());

    let texts = KEYS.iter().zip(good).map(|(key, text)| ((*key).to_owned(), text.to_owned()));
    let map = AuthMap { data: texts.collect(), ..AuthMap::default() };
    let checked = map.checked();
    let mut rules: Vec<String> = checked.parts.iter().flat_map(|part| told(&part.config.rules)).collect();
    rules.sort_unstable();
    let accounts: BTreeSet<_> = checked.parts.iter().flat_map(|part| part.config.map_accounts.clone()).collect();
    assert_eq!((rules, accounts), (told(&expected.rules), expected.accounts), "{}", checked.text);
});
