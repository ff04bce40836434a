//! Names, ids and numbers of configurations and command lines: what is taken is within its bounds, is written as it was read, and
//! is a host of a URL where it is said to be one.
//!
//! Before the first NUL stands what is read as each of them.
#![no_main]

use std::ffi::OsString;

use herald::{
    caller::AccountId,
    cli::{
        Sso,
        called::{FeatureGate, in_order},
        policy::{subject::Table, suite::CaseAt},
    },
    config::edit::Principal,
    mapping::NodeName,
    observe::{
        audit::Output,
        log::{Format, Verbosity},
    },
    policy::{ByteSize, Digest, Name, TableSource},
    provider::{
        Cloud, ClusterId,
        alibaba::{Host, Region},
        aws::{
            Partition,
            ec2::InstanceId,
            hosts::{HostName, RegionName},
            service::{Endpoint, RoleArn, SourceArn},
        },
    },
    server::Hostname,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    names(text);
    hosts(text);
    numbers(text);
    words(text);
    command_lines(text);
});

fn is_of(text: &str, lengths: std::ops::RangeInclusive<usize>, letters: impl Fn(u8) -> bool) -> bool {
    lengths.contains(&text.len()) && text.bytes().all(letters)
}

fn names(text: &str) {
    let label = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    let same = |read: Option<&str>, is_one: bool| assert_eq!(read, is_one.then_some(text), "{text:?}");
    same(
        text.parse::<ClusterId>().as_ref().ok().map(ClusterId::as_str),
        is_of(text, 1..=255, |byte| (33..127).contains(&byte)),
    );
    let is_account = (text.len() == 12 || text.len() == 16) && is_of(text, 12..=16, |byte| byte.is_ascii_digit());
    same(text.parse::<AccountId>().as_ref().ok().map(AccountId::as_str), is_account);
    same(text.parse::<Name>().as_ref().ok().map(Name::as_str), is_of(text, 1..=63, label));
    let is_label = |part: &str| is_of(part, 1..=63, label) && !part.starts_with('-') && !part.ends_with('-');
    same(text.parse::<Region>().as_ref().ok().map(Region::as_str), is_label(text));
    assert_eq!(RegionName::try_from(text.to_owned()).is_ok(), is_label(text));
    let is_dns = text.len() <= 253 && text.split('.').all(is_label);
    same(NodeName::parse(text).as_ref().ok().map(NodeName::as_str), is_dns);
    same(text.parse::<Host>().as_ref().ok().map(Host::as_str), is_dns && text.contains('.'));
    assert_eq!(HostName::try_from(text.to_owned()).is_ok(), is_dns && text.contains('.'));
    let digits = |byte: u8| matches!(byte, b'a'..=b'f' | b'0'..=b'9');
    let is_instance =
        text.strip_prefix("i-").is_some_and(|id| (id.len() == 8 || id.len() == 17) && id.bytes().all(digits));
    same(InstanceId::parse(text).as_ref().map(InstanceId::as_str), is_instance);
    assert!(
        text.parse::<Partition>().is_ok_and(|partition| partition.as_str() == text)
            || text.parse::<Partition>().is_err()
    );
    same(text.parse::<Cloud>().ok().map(Cloud::name), ["alibaba", "aws"].contains(&text));
    let hexadecimal = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    assert_eq!(
        text.parse::<Digest>().ok().map(|digest| digest.to_string()),
        hexadecimal.then(|| text.to_ascii_lowercase())
    );
    if let Ok(source) = serde_json::from_str::<TableSource>(text) {
        assert!(source.is_live() != source.file().is_some());
        let parts = source.to_string();
        let plain = |part: &str| is_of(part, 1..=253, |byte| label(byte) || byte == b'.');
        match source {
            TableSource::ConfigMap { namespace, name, .. } => assert!(plain(&namespace) && plain(&name)),
            TableSource::File(path) => assert_eq!(path.display().to_string(), parts),
            TableSource::Object { name } => assert!(plain(&name)),
        }
    }
    if SourceArn::try_from(text.to_owned()).is_ok() {
        let account = text.split(':').nth(4).unwrap_or_default();
        assert!(is_of(account, 12..=12, |byte| byte.is_ascii_digit()));
    }
    if RoleArn::try_from(text.to_owned()).is_ok() {
        let is_account = |part: &str| is_of(part, 12..=12, |byte| byte.is_ascii_digit());
        assert!(text.contains(":role/") && text.split(':').any(is_account), "{text:?}");
    }
}

/// To a reader of URLs a host is a host, and nothing beside it.
fn hosts(text: &str) {
    let host_of = |url: &str| url.parse::<http::Uri>().ok().and_then(|url| url.host().map(str::to_owned));
    if let Ok(host) = text.parse::<Host>() {
        assert_eq!(host_of(&format!("https://{host}/")).as_deref(), Some(text));
    }
    if let Ok(host) = text.parse::<Hostname>() {
        assert_eq!(host.bracketed().parse().as_ref(), Ok(&host));
        assert_eq!(host.to_string().parse().as_ref(), Ok(&host));
        assert_eq!(host_of(&format!("https://{}:21362/authenticate", host.bracketed())), Some(host.bracketed()));
    }
    if Endpoint::try_from(text.to_owned()).is_ok() {
        let url: http::Uri = text.trim().parse().expect("an endpoint is a URL");
        let host = url.host().expect("it has a host");
        let is_loopback = ["localhost", "127.0.0.1", "[::1]"].contains(&host);
        assert!(url.scheme_str() == Some("https") || (url.scheme_str() == Some("http") && is_loopback));
        assert!(url.query().is_none() && url.path().trim_matches('/').is_empty() && !text.contains('@'));
    }
}

fn numbers(text: &str) {
    let units = [("Ki", 1_u128 << 10), ("Mi", 1 << 20), ("Gi", 1 << 30), ("", 1)];
    let (number, unit) =
        units.iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, unit))).expect("the last fits");
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let bytes = match number.trim_start_matches('0') {
        "" => Some(0),
        digits => digits.parse::<u128>().ok(),
    };
    let expected = bytes.filter(|_| is_number).and_then(|bytes| u64::try_from(bytes.checked_mul(*unit)?).ok());
    assert_eq!(text.parse::<ByteSize>().ok().map(ByteSize::bytes), expected, "{text:?}");
}

fn words(text: &str) {
    let is_output = ["stderr", "stdout"].contains(&text) || text.starts_with('/');
    assert_eq!(Output::try_from(text.to_owned()).is_ok(), is_output, "{text:?}");
    assert_eq!(text.parse::<Format>().is_ok(), ["json", "text"].contains(&text), "{text:?}");
    let levels = ["panic", "fatal", "error", "warning", "warn", "info", "debug", "trace"];
    let is_level = levels.iter().any(|level| text.eq_ignore_ascii_case(level));
    assert_eq!(text.parse::<Verbosity>().is_ok(), is_level, "{text:?}");
    let (file, case) = text.split_once(':').unwrap_or((text, "the only one"));
    assert_eq!(text.parse::<CaseAt>().is_ok(), !file.is_empty() && !case.is_empty(), "{text:?}");
    let is_table = text.split_once('=').is_some_and(|(name, _)| name.parse::<Name>().is_ok());
    assert_eq!(text.parse::<Table>().is_ok(), is_table, "{text:?}");
}

fn command_lines(text: &str) {
    if let Ok(gate) = text.parse::<FeatureGate>() {
        // None switches nothing.
        let (name, on) = if text.is_empty() { ("", "") } else { text.split_once('=').expect("a gate has a value") };
        let is_on = ["1", "on", "t", "true", "y", "yes"].contains(&&*on.trim().to_lowercase());
        let counts = ["ConfiguredInitDirectories", "AllAlpha"].contains(&name.trim());
        assert_eq!(FeatureGate::configured_init(&[gate]), is_on && counts);
    }
    if let Ok(Sso(Principal::PermissionSet { name, account_id, partition })) = text.parse::<Sso>() {
        let partition = partition.map_or_else(String::new, |partition| format!(",partition={partition}"));
        let again = format!("permissionSetName={name},accountID={account_id}{partition}").parse::<Sso>();
        assert_eq!(again.as_ref().ok(), text.parse::<Sso>().as_ref().ok(), "{text:?}");
    }
    let words: Vec<OsString> = text.split(' ').map(OsString::from).collect();
    let ordered = in_order(words.clone());
    let added = ordered.len() - words.len();
    assert!(added <= 1 && ordered[0] == words[0]);
    // No word is lost but those that are spelled otherwise.
    let count = |all: &[OsString], word: &OsString| all.iter().filter(|other| *other == word).count();
    let is_spelled_otherwise = |word: &OsString| {
        word == "-v" || word.to_str().is_some_and(|word| word.starts_with("-c") || word.starts_with("-v="))
    };
    assert!(words.iter().all(|word| is_spelled_otherwise(word) || count(&ordered, word) >= count(&words, word)));
}
