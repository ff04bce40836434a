//! Groups of people from the AWS IAM Identity Center permission set that they came with, in every account listed.
//!
//! Identity Center gives each account another role for one permission set, so that a mapping by role is a line for
//! each account. Here it is one line for each set. What it may not do is in `README.md`.

mod sets;

use herald_policy::{Decision, Fault, Policy, Request, Template};
use serde::Deserialize;

use sets::{PermissionSet, PermissionSets, sso_user};

/// The policy, configured.
#[derive(Debug)]
pub struct SsoPermissionSets {
    accounts: Vec<String>,
    sets: PermissionSets,
}

/// What the operator sets.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Settings {
    /// Whose sets count: anybody can have a set of any name in an account of their own.
    accounts: Vec<String>,
    /// What people are called. Default `sso:{{SessionNameRaw}}`: Identity Center puts the user's name there.
    #[serde(default = "sso_user")]
    username: Template,
    /// At least one; the first whose name fits decides.
    permission_sets: Vec<PermissionSet>,
}

impl Policy for SsoPermissionSets {
    type Settings = Settings;

    fn configure(settings: Settings) -> Result<Self, String> {
        if settings.accounts.is_empty() {
            return Err("accounts: at least one is needed, or anybody's permission sets would count".to_owned());
        }
        let sets = PermissionSets::new(settings.username, settings.permission_sets)?;
        Ok(Self { accounts: settings.accounts, sets })
    }

    fn decide(&self, request: &Request) -> Result<Decision, Fault> {
        self.sets.decide(&request.caller, |account| Ok(self.accounts.iter().any(|ours| ours == account)))
    }
}

herald_policy::export!(SsoPermissionSets);
