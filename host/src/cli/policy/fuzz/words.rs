//! Words that callers are put together from: those around the policy, those of its own examples, and those that break things.

use std::{
    collections::BTreeSet,
    time::{Duration, SystemTime},
};

use serde_json::Value;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::policy::cases::DEFAULT_NOW;

/// Words to make callers of.
#[derive(Debug)]
pub(super) struct Words {
    /// These and what is `near` are of settings and tables.
    pub(super) accounts: Vec<String>,
    /// These and what is `far` are of the component's own examples.
    pub(super) far_accounts: Vec<String>,
    pub(super) near: Vec<String>,
    /// With odd ones, so never empty.
    pub(super) far: Vec<String>,
    /// With the time of every case that sets none, so never empty.
    pub(super) times: Vec<SystemTime>,
    pub(super) far_times: Vec<SystemTime>,
}

/// Accounts that are nobody's: strangers.
pub(super) const STRANGERS: [&str; 3] = ["999999999999", "000000000000", "9999999999999999"];
/// Names that break what is put together carelessly.
const ODD: [&str; 18] = [
    "a",
    "admin",
    "Admin",
    "system",
    "system:masters",
    "system:",
    "SYSTEM:masters",
    "alice@example.com",
    "x:y",
    "a/b",
    "{{SessionName}}",
    "{team}",
    "*",
    "?",
    "-",
    "ä",
    "a b",
    "\u{202e}x",
];
/// Longest made name.
const LONG: usize = 64;
/// The last second that a case can say: the end of the year 9999, in seconds since 1970.
const LAST_SECOND: i64 = 253_402_300_799;

// === impl Words ===

impl Words {
    /// Every text in what is around a policy and in its examples: whole, and in parts, or what stands in its quotes. Times count
    /// to the second, before and after too.
    pub(super) fn of(surroundings: &Value, examples: &Value) -> Self {
        let (mut times, mut far_times) = (vec![SystemTime::UNIX_EPOCH + DEFAULT_NOW], Vec::new());
        let (mut near, mut far) = (BTreeSet::new(), BTreeSet::from(ODD.map(str::to_owned)));
        far.insert("y".repeat(LONG));
        for value in surroundings.as_object().into_iter().flat_map(serde_json::Map::values) {
            gather(value, &mut |text| add(text, &mut near, &mut times));
        }
        gather(examples, &mut |text| add(text, &mut far, &mut far_times));
        let is_account = |text: &str| matches!(text.len(), 12 | 16) && text.bytes().all(|byte| byte.is_ascii_digit());
        let accounts: Vec<String> = near.iter().filter(|text| is_account(text)).cloned().collect();
        let far_accounts: Vec<String> = far.iter().filter(|text| is_account(text)).cloned().collect();
        near.retain(|name| !is_account(name));
        far.retain(|name| !is_account(name) && !near.contains(name));
        let [near, far] = [near, far].map(|words| words.into_iter().collect());
        Self { accounts, far_accounts, near, far, times, far_times }
    }

    pub(super) fn account(&self, random: &mut fastrand::Rng) -> String {
        let list =
            if self.far_accounts.is_empty() || random.u8(..4) != 0 { &self.accounts } else { &self.far_accounts };
        if list.is_empty() || random.u8(..4) == 0 {
            return STRANGERS[random.usize(..STRANGERS.len())].to_owned();
        }
        list[random.usize(..list.len())].clone()
    }

    /// Mostly one of the policy's own.
    pub(super) fn name(&self, random: &mut fastrand::Rng) -> String {
        let one = |random: &mut fastrand::Rng| {
            let list = if self.near.is_empty() || random.u8(..6) == 0 { &self.far } else { &self.near };
            &list[random.usize(..list.len())]
        };
        match random.u8(..6) {
            0 => [one(random).as_str(), one(random)].concat(),
            1 => [one(random).as_str(), ":", one(random)].concat(),
            _ => one(random).clone(),
        }
    }

    /// One that is of this shape, if there is any.
    pub(super) fn shaped(&self, random: &mut fastrand::Rng, fits: impl Fn(&str) -> bool) -> Option<String> {
        let fitting: Vec<&String> = self.near.iter().chain(&self.far).filter(|word| fits(word)).collect();
        (!fitting.is_empty()).then(|| fitting[random.usize(..fitting.len())].clone())
    }

    pub(super) fn time(&self, random: &mut fastrand::Rng) -> SystemTime {
        let list = if self.far_times.is_empty() || random.u8(..4) != 0 { &self.times } else { &self.far_times };
        list[random.usize(..list.len())]
    }
}

fn add(text: &str, names: &mut BTreeSet<String>, times: &mut Vec<SystemTime>) {
    let quoted = quoted(text);
    if !quoted.is_empty() {
        // An expression, or JSON that a ConfigMap holds as text: what callers may have in common with it is in its quotes.
        return quoted.into_iter().for_each(|word| add(word, names, times));
    }
    times.extend(moments(text));
    names.extend([text.to_owned(), filled(text)].into_iter().filter(|text| !text.is_empty()));
    let parts = text.split([':', '/', '*', '?', '{', '}', '.']).filter(|part| !part.is_empty());
    names.extend(parts.map(str::to_owned));
}

/// What stands between two quotes of one kind.
fn quoted(text: &str) -> Vec<&str> {
    let (mut found, mut rest) = (Vec::new(), text);
    while let Some((at, quote)) = rest.char_indices().find(|(_, c)| matches!(c, '"' | '\'')) {
        let Some((word, after)) = rest[at + 1..].split_once(quote) else { break };
        found.push(word);
        rest = after;
    }
    found
}

/// A name that the pattern or the template `text` covers: `x` for each wildcard and for whatever stands in braces.
fn filled(text: &str) -> String {
    let (mut name, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once('{') {
        name.extend([before, "x"]);
        rest = after.split_once('}').map_or("", |(_, after)| after.trim_start_matches('}'));
    }
    name.push_str(rest);
    name.replace(['*', '?'], "x")
}

/// The second that `text` is, in whatever time zone it is written, then the one before and the one after.
fn moments(text: &str) -> impl Iterator<Item = SystemTime> {
    let second = OffsetDateTime::parse(text, &Rfc3339).ok().map(OffsetDateTime::unix_timestamp);
    let seconds = second.into_iter().flat_map(|second| [second, second - 1, second + 1]);
    let can_be_told = seconds.filter(|second| (0..=LAST_SECOND).contains(second));
    can_be_told.map(|second| SystemTime::UNIX_EPOCH + Duration::from_secs(second.unsigned_abs()))
}

fn gather(value: &Value, take: &mut impl FnMut(&str)) {
    match value {
        Value::String(text) => take(text),
        // An account's number without quotes.
        Value::Number(number) => take(&number.to_string()),
        Value::Array(items) => items.iter().for_each(|item| gather(item, take)),
        Value::Object(entries) => entries.iter().for_each(|(key, value)| {
            take(key);
            gather(value, take);
        }),
        Value::Bool(_) | Value::Null => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn has(words: &[String], some: &[&str]) -> bool {
        some.iter().all(|word| words.iter().any(|name| name == word))
    }

    #[test]
    fn words_come_from_settings_tables_and_examples() {
        let settings = json!({"rules": [{"accounts": ["111122223333"], "role": "team-*"}], "other": 444455556666_u64});
        let grant = json!({"role": "OnCall", "until": "2026-05-04T12:00:00Z"});
        let surroundings = json!({"settings": settings, "tables": {"grants": {"777788889999.fire": grant}}});
        let examples = json!({"cases": [{"caller": {"arn": "arn:aws:iam::222233334444:user/clerk"}}]});
        let words = Words::of(&surroundings, &examples);
        assert_eq!(words.accounts, ["111122223333", "444455556666", "777788889999"]);
        assert_eq!(words.far_accounts, ["222233334444"]);
        assert!(
            has(&words.near, &["role", "team-", "team-x", "team-*", "OnCall", "fire", "777788889999.fire"]),
            "{words:?}"
        );
        assert!(has(&words.far, &["clerk", "system:masters"]) && !has(&words.near, &["clerk"]), "{words:?}");
        let times: Vec<String> =
            words.times.iter().map(|time| humantime::format_rfc3339_seconds(*time).to_string()).collect();
        assert_eq!(times[1..], ["2026-05-04T12:00:00Z", "2026-05-04T11:59:59Z", "2026-05-04T12:00:01Z"]);
    }

    /// Rules of `expression`, and an entry of a table as a ConfigMap holds it.
    #[test]
    fn words_stand_in_quotes_too() {
        let rule = r#"caller.accountId == "111122223333" && caller.name in ['Dev', 'x"y'] || caller.name == "it's""#;
        let grant = r#"{"user": "clerk", "until": "2026-05-04T12:00:00Z"}"#;
        let surroundings =
            json!({"settings": {"match": rule}, "tables": {"grants": {"444455556666.fire": grant}}, "tags": "O'Neil"});
        let words = Words::of(&surroundings, &Value::Null);
        assert_eq!(words.accounts, ["111122223333", "444455556666"]);
        assert!(has(&words.near, &["Dev", "x\"y", "it's", "clerk", "O'Neil"]), "{words:?}");
        assert!(words.near.iter().all(|word| !word.contains("==")), "{words:?}");
        assert_eq!(words.times.len(), 4, "{words:?}");
    }

    #[test]
    fn patterns_and_templates_are_filled() {
        #[track_caller]
        fn check(text: &str, expected: &str) {
            assert_eq!(filled(text), expected, "{text}");
        }
        check("team-*-?", "team-x-x");
        check("team-{team}-{level}", "team-x-x");
        check("{person}@example.com", "x@example.com");
        check("dev:{{SessionName}}!", "dev:x!");
        check("plain", "plain");
        check("{", "x");
        check("}", "}");
    }

    #[test]
    fn times_are_of_any_zone_and_can_be_told() {
        #[track_caller]
        fn check(text: &str, expected: &[&str]) {
            let found = moments(text).map(|time| humantime::format_rfc3339_seconds(time).to_string());
            assert_eq!(found.collect::<Vec<_>>(), expected, "{text}");
        }
        check("2026-05-04T12:00:00+02:00", &["2026-05-04T10:00:00Z", "2026-05-04T09:59:59Z", "2026-05-04T10:00:01Z"]);
        check("1970-01-01T00:00:00Z", &["1970-01-01T00:00:00Z", "1970-01-01T00:00:01Z"]);
        check("9999-12-31T23:59:59Z", &["9999-12-31T23:59:59Z", "9999-12-31T23:59:58Z"]);
        check("tomorrow", &[]);
    }
}
