//! Groups of people from the AWS IAM Identity Center permission set that they came with, in every account of a table.
//!
//! The sets are those of `sso-permission-sets`. That one has its accounts in its settings and imports nothing; this one
//! reads them at each login, so that an organization's accounts stand in one place and change without its settings.

#[path = "../../sso-permission-sets/src/sets.rs"]
mod sets;

use herald_policy::{Decision, Fault, Policy, Request, Template, data};
use serde::Deserialize;

use sets::{PermissionSet, PermissionSets, sso_user};

/// The policy, configured.
#[derive(Debug)]
pub struct SsoOrganization {
    table: String,
    sets: PermissionSets,
}

/// What the operator sets.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Settings {
    /// Name of the table with accounts for keys; whatever stands at one, its sets count. Default `accounts`.
    #[serde(default = "accounts")]
    table: String,
    /// What people are called. Default `sso:{{SessionNameRaw}}`: Identity Center puts the user's name there.
    #[serde(default = "sso_user")]
    username: Template,
    /// At least one; the first whose name fits decides.
    permission_sets: Vec<PermissionSet>,
}

fn accounts() -> String {
    "accounts".to_owned()
}

impl Policy for SsoOrganization {
    type Settings = Settings;

    fn configure(settings: Settings) -> Result<Self, String> {
        let sets = PermissionSets::new(settings.username, settings.permission_sets)?;
        Ok(Self { table: settings.table, sets })
    }

    fn decide(&self, request: &Request) -> Result<Decision, Fault> {
        self.sets.decide(&request.caller, |account| Ok(data::get(&self.table, account)?.is_some()))
    }
}

herald_policy::export!(SsoOrganization);
