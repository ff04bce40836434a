//! Entries of the ready-made policy `account-tiers`: the groups of an entry are those that a second reader finds in it, all under
//! the policy's prefix; what neither of them understands is a fault, and leaves callers of other accounts alone.
#![no_main]

use std::{collections::BTreeSet, fmt};

use herald_policy::{Decision, Fault, Mapping, Policy as _, Request, testing};
use libfuzzer_sys::fuzz_target;
use policy::AccountTiers;
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::Value;

#[expect(unreachable_pub, reason = "it is a crate by itself")]
#[path = "../../../policies/account-tiers/src/lib.rs"]
mod policy;

const ACCOUNT: &str = "123456789012";
/// Most groups of one entry.
const MOST: usize = 64;

fuzz_target!(|entry: &str| {
    testing::set_table("accounts", [(ACCOUNT, entry)]);
    let policy = testing::configure::<AccountTiers>("{}").expect("they all have defaults");
    let current = Mapping { groups: vec!["developers".to_owned()], ..Mapping::named("alice") };
    let asked = |account: &str| Request { current: Some(current.clone()), ..testing::session(account, "Dev", "alice") };
    assert_eq!(policy.decide(&asked("210987654321")), Ok(Decision::Abstain));
    match (policy.decide(&asked(ACCOUNT)), groups(entry)) {
        (Ok(Decision::Allow(user)), Some(expected)) => {
            let (first, added) = user.groups.split_first().expect("what he had");
            assert_eq!((first.as_str(), user.username.as_str()), ("developers", "alice"));
            let found: BTreeSet<String> = added.iter().cloned().collect();
            assert_eq!((found.len(), &found), (added.len(), &expected), "{entry}");
            assert!(added.len() <= MOST && added.iter().all(|group| group.matches(':').count() == 1));
        }
        (Err(Fault::Broken(_)), None) => {}
        (found, expected) => panic!("{entry}: {found:?}, {expected:?}"),
    }
});

/// What an entry adds, by the words of the policy's documentation; `None` if it is not understood. A word that was a file ends with
/// a line break.
fn groups(entry: &str) -> Option<BTreeSet<String>> {
    let read: Option<Value> = serde_json::from_str(entry).ok();
    let pairs: Vec<(String, Value)> = match read {
        Some(Value::Object(keys)) if !keys.keys().all(|key| is_word(key)) || written(entry) != keys.len() => {
            return None;
        }
        Some(Value::Object(keys)) => keys.into_iter().flat_map(|(key, value)| each(&key, value)).collect(),
        Some(Value::String(_)) | None => vec![("accounts".to_owned(), entry.trim_end_matches(['\r', '\n']).into())],
        Some(other) => each("accounts", other),
    };
    let names = pairs.iter().map(|(key, value)| {
        let value = value.as_str()?;
        is_word(value).then(|| format!("account-{key}:{value}"))
    });
    let count = pairs.len();
    names.collect::<Option<_>>().filter(|_| count <= MOST)
}

/// How many keys an object is written with, one that is there twice counted twice.
fn written(entry: &str) -> usize {
    struct Keys(usize);

    impl<'de> Deserialize<'de> for Keys {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_map(Self(0))
        }
    }

    impl<'de> Visitor<'de> for Keys {
        type Value = Self;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Self, A::Error> {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
                self.0 += 1;
            }
            Ok(self)
        }
    }

    serde_json::from_str::<Keys>(entry).map_or(0, |Keys(count)| count)
}

/// A key with each of its values.
fn each(key: &str, value: Value) -> Vec<(String, Value)> {
    match value {
        Value::Array(values) => values.into_iter().map(|value| (key.to_owned(), value)).collect(),
        value => vec![(key.to_owned(), value)],
    }
}

fn is_word(text: &str) -> bool {
    let mut letters = text.chars();
    letters.next().is_some_and(|letter| letter.is_ascii_alphanumeric())
        && letters.all(|letter| letter.is_ascii_alphanumeric() || "._/-".contains(letter))
}
