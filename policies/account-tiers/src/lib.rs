//! Groups from the account of a caller: its tier, its organizational unit and whatever else tables say of it or of its
//! unit.
//!
//! Adds to a mapping that another stage made, so it is of kind `augment`; it never names anybody. What a table says of one
//! account or unit and is not understood faults for callers of that account or unit, and for nobody else.

use std::fmt;

use herald_policy::{Decision, Fault, Policy, Request, data};
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, Visitor},
};
use serde_json::{Map, Value};

/// The policy, configured.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct AccountTiers {
    /// What stands before each group. Default `account-`.
    #[serde(default = "prefix")]
    prefix: String,
    /// Names of the tables to look into, each with accounts for keys. Default `accounts`.
    #[serde(default = "tables")]
    tables: Vec<String>,
    /// Names of the tables with organizational units for keys: what they say of an account's `ou` counts too. Default
    /// none.
    #[serde(default)]
    ou_tables: Vec<String>,
    /// What becomes of callers whose account is in no table. Default `keep`.
    #[serde(default)]
    unknown_accounts: Unknown,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Unknown {
    /// They are refused.
    Deny,
    /// They keep what they have.
    #[default]
    Keep,
}

/// The key under which an account's organizational units stand, or the name of the table that has nothing else.
const OU: &str = "ou";
/// Most groups from one entry: of what an answer may have, some are another stage's.
const MAX_GROUPS: usize = 64;

fn prefix() -> String {
    "account-".to_owned()
}

fn tables() -> Vec<String> {
    vec!["accounts".to_owned()]
}

impl Policy for AccountTiers {
    type Settings = Self;

    fn configure(settings: Self) -> Result<Self, String> {
        if settings.tables.is_empty() { Err("tables: name at least one".to_owned()) } else { Ok(settings) }
    }

    fn decide(&self, request: &Request) -> Result<Decision, Fault> {
        let Some(current) = &request.current else { return Ok(Decision::Abstain) };
        let account = &request.caller.account_id;
        let Some(mut facts) = said_of(account, &self.tables)? else {
            return Ok(match self.unknown_accounts {
                Unknown::Deny => Decision::deny(["the account ", account, " is in no table"].concat()),
                Unknown::Keep => Decision::Abstain,
            });
        };
        let units: Vec<String> = facts.iter().filter(|(key, _)| key == OU).map(|(_, unit)| unit.clone()).collect();
        for unit in units {
            facts.extend(said_of(&unit, &self.ou_tables)?.unwrap_or_default());
        }
        let mut user = current.clone();
        for (key, value) in facts {
            let group = [&self.prefix, &key, ":", &value].concat();
            if !user.groups.contains(&group) {
                user.groups.push(group);
            }
        }
        Ok(user.into())
    }
}

herald_policy::export!(AccountTiers);

/// A key and a value, which a group is named after.
type Fact = (String, String);

/// What `tables` say of `whom`, one after another; `None` if none of them has such a key.
fn said_of(whom: &str, tables: &[String]) -> Result<Option<Vec<Fact>>, Fault> {
    let mut said = None;
    for table in tables {
        let Some(entry) = data::get(table, whom)? else { continue };
        let facts = facts(table, &entry)
            .ok_or_else(|| Fault::broken(["table ", table, ": not understood at ", whom, ": ", &entry].concat()))?;
        said.get_or_insert_with(Vec::new).extend(facts);
    }
    Ok(said)
}

/// What one entry says: a text or a list has the table's name for key, an object its own keys.
/// `None` if it is none of these, has too much in it, or a word that is no part of a group's name.
fn facts(table: &str, entry: &str) -> Option<Vec<Fact>> {
    let of = |key: &str, values: &Value| -> Option<Vec<Fact>> {
        let one = |value: &Value| {
            let value = value.as_str().filter(|value| is_word(value))?;
            Some((key.to_owned(), value.to_owned()))
        };
        match values {
            Value::Array(values) => values.iter().map(one).collect(),
            value => one(value).map(|fact| vec![fact]),
        }
    };
    let facts = match serde_json::from_str(entry) {
        Ok(Keys(keys)) => {
            let each = keys.iter().map(|(key, values)| of(key, values).filter(|_| is_word(key)));
            each.collect::<Option<Vec<_>>>()?.concat()
        }
        Err(_) => of(table, &parsed(entry))?,
    };
    (facts.len() <= MAX_GROUPS).then_some(facts)
}

/// What is no text is handed over as JSON; ConfigMaps hold nothing but text, and may hold such JSON too. So a number, `true` and
/// `null` are none of the words, wherever they come from. A word that was a file, or stands in a block of YAML, ends with a line
/// break.
fn parsed(entry: &str) -> Value {
    let text = || Value::String(entry.trim_end_matches(['\r', '\n']).to_owned());
    serde_json::from_str(entry).ok().filter(|value: &Value| !value.is_string()).unwrap_or_else(text)
}

/// An object, no key twice: of two values nobody knows which is meant.
struct Keys(Map<String, Value>);

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Keys;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Keys, A::Error> {
                let mut keys = Map::new();
                while let Some((key, value)) = map.next_entry()? {
                    if keys.insert(key, value).is_some() {
                        return Err(A::Error::custom("a key is there twice"));
                    }
                }
                Ok(Keys(keys))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// Letters and digits first, then `.`, `_`, `/` and `-` too: never a `:`, so nobody can write a whole group's name.
fn is_word(text: &str) -> bool {
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._/-".contains(&byte));
    plain && text.starts_with(|first: char| first.is_ascii_alphanumeric())
}
