//! Patterns of every kind: they cover what their definition says, computed without any care for cost, and capture what a lazy
//! regular expression captures.
//!
//! The text before the first NUL is the pattern, the text behind it what it is held against.
#![no_main]

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use herald::{
    caller::{Arn, arn::ACS_PARTITION, made_up},
    mapping::{
        Rules,
        rule::{ArnGlob, Rule, Subject},
        template::Template,
    },
    policy::{Ceiling, Mapping},
};
use libfuzzer_sys::fuzz_target;
use pattern::Pattern;
use regex_lite::Regex;

/// Of the ready-made policy `arn-globs`.
#[path = "../../../policies/arn-globs/src/pattern.rs"]
#[allow(dead_code, reason = "names are another target's")]
mod pattern;

/// Longest pattern and text, in bytes: the definition is slow.
const MAX_BYTES: usize = 256;

fuzz_target!(|input: &str| {
    let (pattern, text) = input.split_once('\0').unwrap_or((input, ""));
    if pattern.len() > MAX_BYTES || text.len() > MAX_BYTES {
        return;
    }
    of_policies(pattern, text);
    of_captures(pattern, text);
    of_arns(pattern, text);
    of_ceilings(pattern, text);
});

/// By the definition: `*` is any run of characters, and `?`, where there is one, any one character.
fn covers(pattern: &str, text: &str, has_one: bool) -> bool {
    let text: Vec<char> = text.chars().collect();
    // Whether the pattern so far covers that many characters.
    let mut reached = vec![false; text.len() + 1];
    reached[0] = true;
    for letter in pattern.chars() {
        let before = reached.clone();
        for (at, now) in reached.iter_mut().enumerate() {
            *now = match letter {
                '*' => before[..=at].contains(&true),
                _ => at > 0 && before[at - 1] && (text[at - 1] == letter || (has_one && letter == '?')),
            };
        }
    }
    reached[text.len()]
}

fn of_policies(pattern: &str, text: &str) {
    let Ok(glob) = pattern.parse::<herald_policy::Glob>() else { return assert!(pattern.is_empty()) };
    assert_eq!(glob.as_str(), pattern);
    assert_eq!(glob.matches(text), covers(pattern, text, true), "{pattern:?} {text:?}");
    assert!(glob.literal().is_none_or(|literal| glob.matches(text) == (literal == text)));
}

fn of_captures(pattern: &str, text: &str) {
    let Ok(parsed) = Pattern::try_from(pattern.to_owned()) else { return };
    let mut expression = "^(?s:".to_owned();
    let mut rest = pattern;
    while let Some(letter) = rest.chars().next() {
        let mut length = letter.len_utf8();
        match letter {
            '*' => expression.push_str(".*?"),
            '?' => expression.push('.'),
            '{' => {
                length = rest.find('}').expect("a pattern's braces are closed") + 1;
                expression.push_str("(.+?)");
            }
            letter => expression.push_str(&regex_lite::escape(letter.encode_utf8(&mut [0; 4]))),
        }
        rest = &rest[length..];
    }
    let regex = Regex::new(&(expression + ")$")).expect("a regular expression");
    let expected: Option<Vec<String>> = regex
        .captures(text)
        .map(|found| found.iter().skip(1).map(|group| group.expect("all take part").as_str().to_owned()).collect());
    let found: Option<Vec<String>> =
        parsed.matches(text).map(|found| found.into_iter().map(|(_, value)| value).collect());
    assert_eq!(found, expected, "{pattern:?} {text:?}");
}

fn of_arns(pattern: &str, text: &str) {
    let Ok(glob) = ArnGlob::parse(pattern) else { return };
    let written = glob.to_string();
    assert_eq!(ArnGlob::parse(&written).as_ref(), Ok(&glob), "{written}");
    let Ok(arn) = text.parse::<Arn>() else { return };
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(60);
    let caller = made_up::caller(&arn, now);
    let mut rules = Rules::default();
    let username = Template::parse("fuzz").expect("a template");
    rules.insert(Subject::Glob(glob), Rule::new(username, Arc::default(), 1)).expect("the first");
    let [account, resource] = parts(&written);
    let [own_account, own_resource] = parts(&caller.canonical_arn);
    let expected = arn.partition() == ACS_PARTITION
        && covers(account, own_account, true)
        && covers(resource, &own_resource.to_ascii_lowercase(), true);
    assert_eq!(rules.find(&caller, now).is_some(), expected, "{pattern} {text}");
}

/// Account and resource, which may hold colons.
fn parts(arn: &str) -> [&str; 2] {
    let mut parts = arn.splitn(5, ':').skip(3);
    [(); 2].map(|()| parts.next().unwrap_or_default())
}

fn of_ceilings(pattern: &str, text: &str) {
    let is_system = |text: &str| text.to_ascii_lowercase().starts_with("system:");
    let ceiling = Ceiling { groups: Some(vec![pattern.to_owned()]), usernames: Some(Vec::new()), uids: None };
    let before = Mapping { username: "fuzz".to_owned(), ..Mapping::default() };
    let granted = Mapping { groups: vec![text.to_owned()], ..before.clone() };
    let expected = if is_system(text) { pattern == text && !text.contains('*') } else { covers(pattern, text, false) };
    let found = ceiling.check(&granted, Some(&before), None);
    assert_eq!(found.is_ok(), expected, "{pattern:?} {text:?}");
}
