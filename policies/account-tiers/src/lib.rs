//! Groups from the account of a caller: its tier, its organizational unit and whatever else a table says of it.
//!
//! Adds to a mapping that another stage made, so it is of kind `augment`; it never names anybody.

use std::collections::BTreeMap;

use herald_policy::{Decision, Fault, Policy, Request};
use serde::Deserialize;

/// The policy, configured.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct AccountTiers {
    /// What stands before each group. Default `account-`.
    #[serde(default = "prefix")]
    prefix: String,
    /// Tables by name (`tier`, `ou`, …), each from a value to the accounts that have it.
    tables: BTreeMap<String, BTreeMap<String, Vec<String>>>,
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

fn prefix() -> String {
    "account-".to_owned()
}

impl Policy for AccountTiers {
    type Settings = Self;

    fn configure(settings: Self) -> Result<Self, String> {
        for (table, values) in &settings.tables {
            let mut seen = BTreeMap::new();
            for (value, accounts) in values {
                for account in accounts {
                    if let Some(other) = seen.insert(account, value) {
                        return Err(format!("tables.{table}: account {account} is {other} and {value}"));
                    }
                }
            }
        }
        Ok(settings)
    }

    fn decide(&self, request: &Request) -> Result<Decision, Fault> {
        let Some(current) = &request.current else { return Ok(Decision::Abstain) };
        let account = &request.caller.account_id;
        let mut user = current.clone();
        let mut known = false;
        for (table, values) in &self.tables {
            let Some((value, _)) = values.iter().find(|(_, accounts)| accounts.contains(account)) else { continue };
            known = true;
            let group = [&self.prefix, table, ":", value].concat();
            if !user.groups.contains(&group) {
                user.groups.push(group);
            }
        }
        match self.unknown_accounts {
            Unknown::Deny if !known => Ok(Decision::deny(format!("the account {account} is in no table"))),
            _ if !known => Ok(Decision::Abstain),
            _ => Ok(user.into()),
        }
    }
}

herald_policy::export!(AccountTiers);
