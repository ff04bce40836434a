//! DynamicFile: an entry names whoever it says and nobody else: in strict mode only the holder of a unique id that stands in
//! the file, else only by ARN, whatever the id.
#![no_main]

use std::time::{Duration, SystemTime};

use herald::{
    caller::{Arn, Caller, PrincipalId, made_up},
    config::read_dynamic_file,
};
use libfuzzer_sys::fuzz_target;

/// 2026-01-02T03:04:05Z.
const NOW: Duration = Duration::from_secs(1_767_323_045);
/// Ids that cannot stand in a file: no JSON or YAML has this character as it is.
const STRANGERS: [&str; 2] = ["AROA\u{1}", "AIDA\u{2}"];
const ARN: &str = "arn:aws:sts::123456789012:assumed-role/Admin/alice";

fn caller(arn: &Arn, id: &str) -> Caller {
    Caller { principal_id: PrincipalId::new(id), ..made_up::caller(arn, SystemTime::UNIX_EPOCH + NOW) }
}

fuzz_target!(|text: &str| {
    let now = SystemTime::UNIX_EPOCH + NOW;
    let (by_arn, by_id) = (read_dynamic_file(text, false), read_dynamic_file(text, true));
    let (by_arn, by_id) = match (by_arn, by_id) {
        (Ok(by_arn), Ok(by_id)) => (by_arn, by_id),
        (Err(one), Err(other)) => return assert_eq!(one, other),
        (one, other) => panic!("read one way and not the other: {one:?} {other:?}"),
    };
    assert_eq!(by_arn.accounts, by_id.accounts);
    assert!(by_arn.accounts.iter().all(|account| text.contains(account.as_str()) || text.contains('\\')));

    for (who, rule) in by_arn.rules.in_force(now) {
        let Ok(arn) = who.parse::<Arn>() else { continue };
        for id in STRANGERS {
            let found = by_arn.rules.find(&caller(&arn, id), now).expect("it names itself");
            assert_eq!(found.line, rule.line, "{who}");
        }
        assert!(by_id.rules.find(&caller(&arn, STRANGERS[0]), now).is_none(), "{who} by its ARN alone");
    }
    let arn: Arn = ARN.parse().expect("an ARN");
    for (id, rule) in by_id.rules.in_force(now) {
        assert!(!STRANGERS.contains(&id.as_str()));
        // One that names an ARN too is not of this one, unless it says so.
        let found = by_id.rules.find(&caller(&arn, &id), now);
        assert!(found.is_none_or(|found| found.line == rule.line), "{id}");
    }
    assert!(by_id.rules.find(&caller(&arn, STRANGERS[0]), now).is_none());
});
