//! The file as tables: what is written, and what is in force or said about it. One file a subject.

use expect_test::Expect;
use proptest::prelude::*;

use super::*;
use crate::mapping::rule::tests::caller;

mod clouds;
mod entries;
mod guides;
mod keys;
mod places;
pub(super) mod worlds;

const FILE: &str = "config.yaml";

fn parse(text: &str) -> Result<Loaded, ConfigError> {
    Config::parse(Path::new(FILE), text)
}

/// The warnings, or the error.
#[track_caller]
fn says(text: &str, expected: &Expect) {
    let said = match parse(text) {
        Ok(loaded) => loaded.warnings.iter().map(|warning| format!("{warning}\n")).collect(),
        Err(error) => format!("{error}"),
    };
    expected.assert_eq(&said);
}

/// Who `arn` is, by the mappings in `text`.
#[track_caller]
fn maps(text: &str, arn: &str, expected: &str) {
    let loaded = parse(text).expect("the file loads");
    let caller = caller(arn);
    let found = loaded.config.rules.find(&caller, SystemTime::UNIX_EPOCH).map(|rule| rule.render(&caller, None));
    let words = match found {
        None => "nobody".to_owned(),
        Some(Ok(mapping)) => format!("{} [{}]", mapping.username, mapping.groups.join(" ")),
        Some(Err(error)) => error.to_string(),
    };
    assert_eq!(words, expected, "{arn}");
}

#[test]
fn as_many_threads_decide_as_answer_unless_the_file_says_otherwise() {
    let workers = |text: &str| parse(text).expect("it loads").config.policy_engine.workers;
    let two = server::processors() > 1;
    assert_eq!(workers("server: {workers: 3}"), Some(if two { 3 } else { 0 }));
    assert_eq!(workers("server: {workers: 3, policyEngine: {workers: 0}}"), Some(0));
    assert_eq!(workers("server: {policyEngine: {workers: 5}}"), Some(5));
    assert!(parse("server: {policyEngine: {workers: 256}}").is_err());
}

#[test]
fn the_generation_covers_every_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, component) = (folder.path().join("config.yaml"), folder.path().join("a.wasm"));
    let text = "clusterID: c\nserver: {backendMode: [Policy/a], policies: [{name: a, kind: map, component: a.wasm}]}\n";
    std::fs::write(&file, text).expect("written");
    let missing = Config::load(&file).expect_err("no component").to_string();
    assert!(missing.starts_with(&format!("{}: cannot be read: ", component.display())), "{missing}");
    assert!(missing.ends_with(&format!(" ({} names it)", file.display())), "{missing}");
    let generation = |component_text: &str, text: &str| {
        std::fs::write(&component, component_text).expect("written");
        std::fs::write(&file, text).expect("written");
        Config::load(&file).expect("it loads").config.generation
    };
    let first = generation("one", text);
    assert_eq!(first.len(), 12);
    assert_eq!(generation("one", text), first);
    assert_ne!(generation("two", text), first);
    assert_ne!(generation("one", &format!("{text}# changed\n")), first);
    std::fs::write(&file, [0xff, 0xfe]).expect("written");
    let error = Config::load(&file).expect_err("no text");
    assert_eq!(error.reason(), "config_unreadable");
}

proptest! {
    /// No text makes the reader panic, and what it refuses it places in the file.
    #[test]
    fn any_text_is_read_or_refused(text in "[a-zA-Z:\\[\\]{}&*!<>|'\"#,\\n -]{0,80}") {
        if let Err(error) = parse(&text) {
            prop_assert!(error.to_string().starts_with("config.yaml:"), "{}", error);
            prop_assert!(!error.to_string().contains('\n'));
        }
    }

    /// However many entries are wrong, the right ones are in force.
    #[test]
    fn wrong_entries_take_no_neighbours(kinds in proptest::collection::vec(0..4_u8, 1..20)) {
        let mut text = "server:\n  mapRoles:\n".to_owned();
        for (index, kind) in kinds.iter().enumerate() {
            let role = format!("arn:aws:iam::123456789012:role/R{index}");
            text.push_str(&match kind {
                0 => format!("  - {{rolearn: '{role}', username: u{index}}}\n"),
                1 => format!("  - {{rolearn: '{role}'}}\n"),
                2 => "  - [1, 2]\n".to_owned(),
                _ => format!("  - {{rolearn: '{role}', username: 5}}\n"),
            });
        }
        let loaded = parse(&text).expect("the file loads");
        let good = kinds.iter().filter(|kind| **kind == 0).count();
        prop_assert_eq!(loaded.config.rules.len(), good);
        prop_assert_eq!(loaded.warnings.len(), kinds.len() - good);
    }
}
