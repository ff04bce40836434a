//! Times and spans of time: a span is read again as it is written, and none out of its bounds is taken; an entry counts up to its
//! end and not behind it; and `Retry-After` is believed for an hour.
#![no_main]

use std::time::{Duration, SystemTime};

use herald::{
    caller::{Arn, made_up},
    config::{duration, read_dynamic_file},
    policy::Limits,
    server, sts,
};
use http::{HeaderMap, HeaderValue, header::RETRY_AFTER};
use humantime::{format_duration, format_rfc3339, parse_rfc3339};
use libfuzzer_sys::fuzz_target;
use serde::de::value::{Error, StrDeserializer};
use serde_json::json;

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const ARN: &str = "arn:aws:iam::123456789012:role/Fuzz";
const UNTIL: &str = " until ";

fuzz_target!(|text: &str| {
    spans(text);
    ends(text);
    waits(text.as_bytes());
});

fn span(text: &str) -> Option<Duration> {
    duration::deserialize(StrDeserializer::<Error>::new(text)).ok()
}

fn spans(text: &str) {
    let read = span(text);
    if let Some(read) = read {
        assert_eq!(span(&format_duration(read).to_string()), Some(read), "{text:?}");
    }
    let within = |least: Duration, most: Duration| read.filter(|read| (least..=most).contains(read));
    let limits = serde_json::from_value::<Limits>(json!({ "timeout": text }));
    assert_eq!(
        limits.ok().map(|limits| limits.timeout()),
        within(Duration::from_millis(1), 5 * Duration::from_secs(1))
    );
    let of_sts = |key: &str| {
        let config = serde_json::from_value::<sts::Config>(json!({ key: text })).ok()?;
        config.check().is_ok().then_some(config)
    };
    let least = Duration::from_millis(100);
    assert_eq!(of_sts("timeout").map(|config| config.timeout), within(least, MINUTE / 2));
    assert_eq!(of_sts("maxTokenAge").map(|config| config.max_token_age), within(MINUTE, 15 * MINUTE));
    let of_server = |key: &str| {
        let config = serde_json::from_value::<server::Config>(json!({ key: text })).ok()?;
        config.check().is_ok().then_some(config)
    };
    let lifetime = of_server("certificateLifetime").map(|config| config.certificate_lifetime);
    assert_eq!(lifetime, within(60 * MINUTE, 825 * DAY));
    assert_eq!(of_server("shutdownGrace").map(|config| config.shutdown_grace), within(Duration::ZERO, 10 * MINUTE));
}

/// The end of an entry with this `notAfter`, and how the entry is told; `None` if it is left out, or holds what
/// YAML has no place for.
fn ending(not_after: &str) -> Option<(SystemTime, String)> {
    let entry = json!({ "rolearn": ARN, "username": "fuzz", "notAfter": not_after });
    let found = read_dynamic_file(&json!({ "mapRoles": [entry] }).to_string(), false).ok()?;
    let rule = found.rules.every().next()?;
    let end = rule.not_after().expect("it has one");
    let caller = made_up::caller(&ARN.parse::<Arn>().expect("an ARN"), SystemTime::UNIX_EPOCH);
    assert!(found.rules.find(&caller, end).is_some() && found.rules.find(&caller, SystemTime::UNIX_EPOCH).is_some());
    assert!(found.rules.find(&caller, end + Duration::from_nanos(1)).is_none());
    Some((end, rule.to_string()))
}

fn ends(text: &str) {
    let Some((end, told)) = ending(text) else { return };
    // Another reader of the same texts. No clock shows a leap second: each reader takes a moment beside it.
    let agrees = |other: SystemTime| {
        let apart = other.duration_since(end).or_else(|_| end.duration_since(other)).expect("one is the later");
        apart.is_zero() || (text.contains(":60") && apart <= Duration::from_secs(1))
    };
    assert!(parse_rfc3339(text).is_ok_and(agrees) || parse_rfc3339(text).is_err(), "{text:?}");
    let (_, written) = told.rsplit_once(UNTIL).expect("it is told");
    let (again, told_again) = ending(written).expect("what is told is read");
    assert!(again <= end && end < again + Duration::from_secs(1) && told_again == told, "{text:?}");
    assert_eq!(ending(&format_rfc3339(end).to_string()).map(|(again, _)| again), Some(end));
}

fn waits(bytes: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(bytes) else { return };
    let found = sts::retry_after(&HeaderMap::from_iter([(RETRY_AFTER, value)]));
    let digits = std::str::from_utf8(bytes).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let seconds = digits.and_then(|text| text.parse::<u64>().ok()).filter(|_| bytes.len() < 10);
    assert_eq!(found, seconds.map(|seconds| Duration::from_secs(seconds.min(3600))));
}
