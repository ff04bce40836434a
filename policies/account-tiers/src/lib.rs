//! Groups from the account of a caller: its tier, its organizational unit and whatever else tables say of it.
//!
//! Adds to a mapping that another stage made, so it is of kind `augment`; it never names anybody. What a table says of one
//! account and is not understood faults for callers of that account, and for nobody else.

use herald_policy::{Decision, Fault, Policy, Request, data};
use serde::Deserialize;
use serde_json::Value;

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

/// Most groups from one table: of what an answer may have, some are another stage's.
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
        let mut user = current.clone();
        let mut known = false;
        for table in &self.tables {
            let Some(entry) = data::get(table, account)? else { continue };
            known = true;
            let names = names(table, &entry).ok_or_else(|| {
                Fault::broken(["table ", table, ": not understood at ", account, ": ", &entry].concat())
            })?;
            for name in names {
                let group = [self.prefix.as_str(), &name].concat();
                if !user.groups.contains(&group) {
                    user.groups.push(group);
                }
            }
        }
        match self.unknown_accounts {
            Unknown::Deny if !known => Ok(Decision::deny(["the account ", account, " is in no table"].concat())),
            _ if !known => Ok(Decision::Abstain),
            _ => Ok(user.into()),
        }
    }
}

herald_policy::export!(AccountTiers);

/// The groups of one entry, without their prefix: of a text or a list `<table>:<value>`, of an object `<key>:<value>`.
/// `None` if it is none of these, has too much in it, or a word that is no part of a group's name.
fn names(table: &str, entry: &str) -> Option<Vec<String>> {
    let of = |key: &str, values: &Value| -> Option<Vec<String>> {
        let one = |value: &Value| {
            let value = value.as_str().filter(|value| is_word(value))?;
            Some([key, ":", value].concat())
        };
        match values {
            Value::Array(values) => values.iter().map(one).collect(),
            value => one(value).map(|name| vec![name]),
        }
    };
    let names = match parsed(entry) {
        Value::Object(keys) => {
            let each = keys.iter().map(|(key, values)| of(key, values).filter(|_| is_word(key)));
            each.collect::<Option<Vec<_>>>()?.concat()
        }
        other => of(table, &other)?,
    };
    (names.len() <= MAX_GROUPS).then_some(names)
}

/// What is no text is handed over as JSON; ConfigMaps hold nothing but text, and may hold such JSON too. So a number, `true` and
/// `null` are none of the words, wherever they come from.
fn parsed(entry: &str) -> Value {
    let text = || Value::String(entry.to_owned());
    serde_json::from_str(entry).ok().filter(|value: &Value| !value.is_string()).unwrap_or_else(text)
}

/// Letters and digits first, then `.`, `_`, `/` and `-` too: never a `:`, so nobody can write a whole group's name.
fn is_word(text: &str) -> bool {
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._/-".contains(&byte));
    plain && text.starts_with(|first: char| first.is_ascii_alphanumeric())
}
