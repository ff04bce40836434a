//! Tables and those who read them by hand: what they get, what they may not, and when they ask too often.

use std::collections::BTreeMap;

use super::{guest::GET, *};
use crate::policy::tables::MAX_KEYS;

fn with_table(guest: &Guest, text: &str) -> Fixture {
    let mut fixture = Fixture::new(&guest.component());
    let path = fixture.folder.path().join("rota.json");
    fs::write(&path, text).unwrap();
    fixture.config.tables = [("rota".parse().unwrap(), path.into())].into();
    fixture
}

#[test]
fn a_table_that_is_attached_is_read() {
    let bob = Mapping { username: "bob".into(), ..Mapping::default() };
    assert_eq!(run(evaluate(&with_table(&Guest::naming(), r#"{"k": "bob"}"#))).verdict, Ok(Verdict::Allow(bob)));
    let missing = run(evaluate(&with_table(&Guest::naming(), "{}"))).verdict;
    assert!(matches!(missing, Err(Fault::Trap(_))), "{missing:?}");
}

#[test]
fn who_reads_without_a_table_does_not_load() {
    let error = Fixture::new(&Guest::naming().component()).load().unwrap_err();
    assert_eq!(error.reason(), "ungranted_import");
    assert!(
        error.to_string().contains("herald:policy/data@0.1.0, which it is not granted: attach the tables"),
        "{error}"
    );
}

#[test]
fn a_table_that_cannot_be_read_keeps_the_policy_out() {
    let error = with_table(&Guest::naming(), "[]").load().unwrap_err();
    assert_eq!(error.reason(), "table");
    assert!(error.to_string().contains("table rota: "), "{error}");
}

#[test]
fn nobody_reads_a_table_before_there_is_a_login() {
    let mut guest = Guest::naming();
    guest.configure = format!("{GET} (if (i32.eqz (i32.load8_u (i32.const 2064))) (then unreachable)) i32.const 0");
    assert!(matches!(run(evaluate(&with_table(&guest, r#"{"k": "bob"}"#))).verdict, Ok(Verdict::Allow(_))));
}

/// Who refuses by a list gets all of it, or as much as he has asked for, or no decision.
#[test]
fn a_list_of_keys_is_not_cut_without_a_word() {
    let listing = |limit: u32| {
        let ask = format!(
            "(call $keys (i32.const 2048) (i32.const 4) (i32.const 2056) (i32.const 0) (i32.const {limit}) (i32.const 2064))"
        );
        Guest {
            imports: r#"(import "herald:policy/data@0.1.0" "keys" (func $keys (param i32 i32 i32 i32 i32 i32)))"#
                .into(),
            pages: 8,
            ..Guest::deciding(format!("{ask} {}", answer(&[]))).with(r#"(data (i32.const 2048) "rota")"#)
        }
    };
    let keys = |count: usize| {
        let entries: BTreeMap<String, &str> = (0..count).map(|key| (format!("k{key}"), "")).collect();
        serde_json::to_string(&entries).unwrap()
    };
    let ask = |limit, text: &str| run(evaluate(&with_table(&listing(limit), text))).verdict;
    let (full, fuller) = (keys(MAX_KEYS), keys(MAX_KEYS + 1));
    assert_eq!(ask(u32::MAX, &full), Ok(Verdict::Abstain));
    assert_eq!(ask(4096, &fuller), Ok(Verdict::Abstain));
    assert_eq!(ask(4097, &fuller), Err(Fault::TooLarge));
    assert_eq!(ask(u32::MAX, &fuller), Err(Fault::TooLarge));
}

#[test]
fn asking_the_host_without_end_ends() {
    assert_eq!(
        run(evaluate(&with_table(&Guest::asking_without_end(), r#"{"k": "bob"}"#))).verdict,
        Err(Fault::HostCalls)
    );
}

/// Whatever a bit turns a component into, nobody but its own decision suffers.
#[test]
fn flipped_bits_harm_nobody() {
    let good = Guest::allowing().component();
    let mut loaded = 0;
    for at in (8..good.len()).step_by(good.len() / 150) {
        let mut bytes = good.clone();
        bytes[at] ^= 1 << (at % 8);
        let fixture = Fixture::new(&bytes).limited(PATIENT, SMALL, 5_000_000);
        if let Ok(policy) = fixture.load() {
            loaded += 1;
            let _ = run(policy.decide(&request(&caller("a"))));
        }
    }
    assert!(loaded > 0, "names and data are bytes too");
    assert!(matches!(run(evaluate(&Fixture::new(&good))).verdict, Ok(Verdict::Allow(_))));
}
