//! Edits of aws-auth: an entry that is put in is there, taking it out leaves what was there, and nobody else is touched.
#![no_main]

use std::collections::BTreeMap;

use herald::config::edit::{Addition, AuthMap, EditError, NewEntry, Principal};
use libfuzzer_sys::fuzz_target;

fn rules(map: &AuthMap) -> Vec<String> {
    let checked = map.checked();
    let mut all: Vec<String> = checked
        .parts
        .iter()
        .flat_map(|part| part.config.rules.iter().map(|(who, rule)| format!("{who} {rule}")))
        .collect();
    all.sort_unstable();
    all
}

fuzz_target!(|text: &str| {
    let map = AuthMap { data: BTreeMap::from([("mapRoles".to_owned(), text.to_owned())]), ..AuthMap::default() };
    let principal = Principal::Role("arn:aws:iam::123456789012:role/Fuzz".to_owned());
    let entry = NewEntry {
        principal: principal.clone(),
        username: "fuzz:{{SessionName}}".to_owned(),
        groups: vec!["fuzz".to_owned()],
    };
    let Ok(Addition::Edit(edit)) = map.add(&entry, false) else { return };
    let with = map.with(&edit);
    let (before, after) = (rules(&map), rules(&with));
    assert_eq!(after.len(), before.len() + 1, "{text:?}");
    assert!(before.iter().all(|rule| after.contains(rule)), "{text:?}");
    match with.remove(&principal) {
        Ok(removed) => assert_eq!(rules(&with.with(&removed.expect("it is there"))), before, "{text:?}"),
        // Odd texts may be left to their owner, as they are.
        Err(EditError::Unsafe(_)) => {}
        Err(error) => panic!("{error}: {text:?}"),
    }
});
