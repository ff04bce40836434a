//! Expressions of the ready-made policy `expression`: what the checker takes has the type that it says, whoever is asked about, and
//! a rule gives the same answer twice.
//!
//! Texts before the first two NULs are `match` and `username`, the text behind them `groups`.
#![no_main]

use herald_policy::{Caller, Fault, Mapping, Policy as _, Request, testing};
use libfuzzer_sys::fuzz_target;
use policy::Expressions;
use serde_json::json;

#[expect(unreachable_pub, reason = "it is a crate by itself")]
#[path = "../../../policies/expression/src/lib.rs"]
mod policy;

/// Longest expressions, and most loops: fuel bounds them in a component, and nothing does here.
const MAX_BYTES: usize = 512;
const MAX_LOOPS: usize = 2;
/// What may fail at a login: it is about values, and not about types.
const OF_VALUES: [&str; 9] = [
    "a rule without `username` matches",
    "Division by zero",
    "Error executing function 'int': ",
    "Error executing function 'substring': ",
    "Failed with repeated key",
    "Index out of bounds",
    "No such key",
    "Overflow from",
    "Remainder by zero",
];

fn requests() -> [Request; 3] {
    let session = testing::session("123456789012", "Admin", "alice@example.com");
    let user = testing::user("210987654321", "bob");
    let extra = vec![("team".to_owned(), vec!["a".to_owned(), String::new()])];
    let current = Mapping { username: "u".to_owned(), uid: None, groups: vec!["g".to_owned()], extra };
    let attributes = vec![("alibaba.identity-type".to_owned(), "RAMUser".to_owned())];
    let mapped = Request {
        caller: Caller { attributes, ..user.caller.clone() },
        current: Some(current),
        trail: vec!["MountedFile".to_owned()],
        ..user.clone()
    };
    [session, user, mapped]
}

fuzz_target!(|text: &str| {
    let loops = ["all", "exists", "exists_one", "filter", "map"].map(|name| text.matches(name).count());
    if text.len() > MAX_BYTES || loops.iter().sum::<usize>() > MAX_LOOPS {
        return;
    }
    let mut parts = text.splitn(3, '\0');
    let mut rule = json!({"match": parts.next()});
    for key in ["username", "groups"] {
        if let Some(written) = parts.next() {
            rule[key] = written.into();
        }
    }
    let settings = json!({"rules": [rule]}).to_string();
    let policy = match testing::configure::<Expressions>(&settings) {
        Ok(policy) => policy,
        Err(why) => return assert!(why.starts_with("rules[0]"), "{why}"),
    };
    for request in requests() {
        let decision = policy.decide(&request);
        if let Err(Fault::Broken(why) | Fault::Unavailable(why)) = &decision {
            let why = why
                .split_once(": ")
                .filter(|(place, _)| place.starts_with("rules[0]"))
                .map_or(why.as_str(), |(_, why)| why);
            assert!(OF_VALUES.iter().any(|words| why.starts_with(words)), "{settings}: {why}");
        }
        assert_eq!(decision, policy.decide(&request), "{settings}");
    }
});
