//! Edits of files with mappings: what was asked for is there afterwards, no comment is lost, and taking it out again gives the
//! file that was there.
#![no_main]

use herald::config::edit::{Addition, AuthMap, EditError, MapFile, NewEntry, Principal};
use libfuzzer_sys::fuzz_target;

fn principals() -> [Principal; 3] {
    let (name, account_id) = ("Fuzz".to_owned(), "123456789012".to_owned());
    [
        Principal::Role("arn:aws:iam::123456789012:role/Fuzz".to_owned()),
        Principal::User("arn:aws:iam::123456789012:user/fuzz".to_owned()),
        Principal::PermissionSet { name, account_id, partition: None },
    ]
}

/// The lines, without blanks at their ends and without empty ones at the end. A carriage return alone ends one too.
fn lines(text: &str) -> Vec<String> {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    text.trim_end().lines().map(|line| line.trim_end().to_owned()).collect()
}

/// The lines that are comments. One with a quote in it may be the end of a text instead, which goes on behind it.
fn comments(text: &str) -> Vec<&str> {
    text.lines().map(str::trim).filter(|line| line.starts_with('#') && !line.contains(['"', '\''])).collect()
}

/// Whether `some` are among `all`, in their order.
fn are_among(some: &[&str], all: &[&str]) -> bool {
    let mut all = all.iter();
    some.iter().all(|line| all.any(|other| other == line))
}

fn is_listed(map: &AuthMap, key: &str) -> bool {
    map.listed().0.iter().any(|entry| entry.list == key)
}

fuzz_target!(|text: &str| {
    let Ok(file) = MapFile::parse(text.to_owned()) else { return };
    assert_eq!(file.text(), text);
    for principal in principals() {
        let entry =
            NewEntry { principal, username: "fuzz:{{SessionName}}".to_owned(), groups: vec!["fuzz".to_owned()] };
        let Ok(Addition::Edit(edit)) = file.map.add(&entry, false) else { continue };
        let Ok(after) = file.with(&edit) else { continue };
        assert!(are_among(&comments(text), &comments(&after)), "{after}");
        let again = MapFile::parse(after.clone()).expect("what was written is read");
        assert!(matches!(again.map.add(&entry, false), Ok(Addition::There(_))), "{after}");
        let removed = match again.map.remove(&entry.principal) {
            Ok(edit) => again.with(&edit.expect("it is there")),
            Err(error) => Err(error),
        };
        match removed {
            // A list that was empty, or not there, stays behind as an empty one.
            Ok(gone) if is_listed(&file.map, edit.key) => assert_eq!(lines(&gone), lines(text), "{after}"),
            Ok(gone) => assert!(are_among(&comments(text), &comments(&gone)), "{after}"),
            // Odd texts may be left to their owner, as they are.
            Err(EditError::Unsafe(_)) => {}
            Err(error) => panic!("{error}: {after}"),
        }
    }
});
