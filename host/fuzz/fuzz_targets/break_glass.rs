//! Grants of the ready-made policy `break-glass`: whatever stands in the table, a grant counts from its first second up to its
//! last and for nobody but whom it names, gives its own groups and no others, and is never given without an alarm that is whole.
//!
//! The text before the first NUL is the end of the key, the text behind it the entry.
#![no_main]

use std::time::SystemTime;

use herald_policy::{Caller, Decision, Mapping, Policy as _, PrincipalKind, Request, testing};
use humantime::parse_rfc3339;
use libfuzzer_sys::fuzz_target;
use policy::BreakGlass;
use serde_json::Value;

#[expect(unreachable_pub, reason = "it is a crate by itself")]
#[path = "../../../policies/break-glass/src/lib.rs"]
mod policy;

const ACCOUNT: &str = "123456789012";
const ALARM: &str = "BREAK GLASS: ";
/// What the host keeps of a line, in bytes.
const LINE: usize = 1024;
/// The policy's own limit, in seconds.
const LONGEST: u64 = 12 * 60 * 60;

fuzz_target!(|text: &str| {
    let (key, entry) = text.split_once('\0').unwrap_or(("fire", text));
    testing::set_table("grants", [(format!("{ACCOUNT}.{key}").as_str(), entry)]);
    let policy = testing::configure::<BreakGlass>("{}").expect("they all have defaults");
    let told: Value = serde_json::from_str(entry).unwrap_or_default();
    let [from, until] = ["from", "until"].map(|key| told[key].as_str().and_then(seconds));
    let session = testing::session(ACCOUNT, "OnCall", "alice@example.com");
    for asked in [session, testing::user(ACCOUNT, "clerk")] {
        for current in [None, Some(Mapping { groups: vec!["on-call".to_owned()], ..Mapping::named("alice") })] {
            let given = |now: Option<u64>| {
                let now = now?;
                let request = Request { now, current: current.clone(), ..asked.clone() };
                let decision = policy.decide(&request).expect("no entry is a fault");
                Some(is_right(&decision, &request, &told))
            };
            given(Some(asked.now));
            let Some((from, until)) = from.zip(until) else { continue };
            let (first, last) = (given(Some(from)), given(until.checked_sub(1)));
            // The fewer minutes are left, the shorter is the alarm.
            assert!(first != Some(true) || last == Some(true), "{entry}");
            assert_ne!(given(from.checked_sub(1)), Some(true), "{entry}");
            assert_ne!(given(Some(until)), Some(true), "{entry}");
        }
    }
});

/// Another reader of the same texts. No clock shows a leap second: each reader takes a moment beside it.
fn seconds(text: &str) -> Option<u64> {
    let time = parse_rfc3339(text).ok().filter(|_| !text.contains(":60"))?;
    Some(time.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs())
}

/// Whether the grant was given; it was by what is told, and the record has it.
fn is_right(decision: &Decision, request: &Request, told: &Value) -> bool {
    let lines = testing::logged();
    let is_plain = |line: &str| line.len() <= LINE && !line.chars().any(char::is_control);
    assert!(lines.iter().all(|(_, line)| is_plain(line)), "{lines:?}");
    let alarms = lines.iter().take_while(|(level, line)| *level == "warn" && line.starts_with(ALARM)).count();
    let Decision::Allow(user) = decision else {
        assert!(alarms == 0 && (request.current.is_none() || *decision == Decision::Abstain));
        return false;
    };
    assert!(alarms == 1 && is_for(told, &request.caller), "{told} {lines:?}");
    let before = request.current.clone().unwrap_or_default();
    let mut groups = before.groups;
    for group in told["groups"].as_array().expect("a list") {
        let group = group.as_str().expect("a text").to_owned();
        if !groups.contains(&group) {
            groups.push(group);
        }
    }
    assert_eq!(user.groups, groups);
    match &request.current {
        Some(current) => assert_eq!(user.username, current.username),
        None => {
            let written = told["username"].as_str();
            let is_system = user.username.to_ascii_lowercase().starts_with("system:");
            assert!(!user.username.is_empty() && (!is_system || written == Some(user.username.as_str())));
        }
    }
    let reason = told["reason"].as_str().expect("a text").trim().chars().count();
    assert!((10..=300).contains(&reason), "{told}");
    let [from, until] = ["from", "until"].map(|key| told[key].as_str().and_then(seconds));
    if let Some((from, until)) = from.zip(until) {
        assert!(from <= request.now && request.now < until && until - from <= LONGEST, "{told}");
    }
    true
}

fn is_for(told: &Value, caller: &Caller) -> bool {
    let key = if caller.kind == PrincipalKind::User { "user" } else { "role" };
    let pattern = told["sessionName"].as_str().and_then(|text| text.parse::<herald_policy::Glob>().ok());
    let session = caller.session_name.as_deref();
    let is_told = told.get("sessionName").is_none_or(Value::is_string);
    is_told && told[key] == *caller.name && pattern.is_none_or(|glob| session.is_some_and(|name| glob.matches(name)))
}
