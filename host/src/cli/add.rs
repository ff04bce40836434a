//! `herald add`: maps a role or a user in the aws-auth ConfigMap of a cluster, or in a file.
//!
//! What would be left out when it is read is refused here, by the same checks. What stands in the ConfigMap besides
//! stays as it is written.

use std::{
    io::{Read, Write},
    process::ExitCode,
};

use anyhow::Context as _;

use super::{
    aws_auth::{Plan, Sso, Target},
    called::Name,
    remove::Force,
};
use crate::config::edit::{Addition, NewEntry, Principal};

/// Map a role or a user, in the aws-auth ConfigMap of a cluster, or in a file.
#[derive(clap::Subcommand, Debug)]
#[command(after_help = EXAMPLES)]
pub enum Command {
    /// Map a role, or everybody of a permission set in one account.
    Role(Role),
    /// Map a user.
    User(User),
}

/// Map a role, or everybody of a permission set in one account.
///
/// Comments, order and unknown keys of the ConfigMap stay as they are. Adding what is there says so and ends well.
#[derive(clap::Args, Debug)]
#[command(after_help = ROLE_EXAMPLES)]
#[command(group(clap::ArgGroup::new("whom").required(true).args(["rolearn", "sso"])))]
pub struct Role {
    /// ARN of the role, without its path.
    #[arg(long, visible_alias = "role-arn", value_name = "ARN")]
    rolearn: Option<String>,
    /// Permission set of IAM Identity Center: permissionSetName=NAME,accountID=ID[,partition=NAME].
    #[arg(long, value_name = "SET")]
    sso: Option<Sso>,
    #[command(flatten)]
    gives: Gives,
    #[command(flatten)]
    target: Target,
}

/// Map a user.
///
/// Comments, order and unknown keys of the ConfigMap stay as they are. Adding what is there says so and ends well.
#[derive(clap::Args, Debug)]
#[command(after_help = USER_EXAMPLES)]
pub struct User {
    /// ARN of the user.
    #[arg(long, visible_alias = "user-arn", value_name = "ARN")]
    userarn: String,
    #[command(flatten)]
    gives: Gives,
    #[command(flatten)]
    target: Target,
}

/// What the mapping gives.
#[derive(clap::Args, Debug)]
struct Gives {
    /// The Kubernetes username; a template such as admin:{{SessionName}}.
    #[arg(long, value_name = "NAME")]
    username: String,
    /// The Kubernetes groups, with commas between them; may be given more than once [default: none].
    #[arg(long, value_delimiter = ',', value_name = "GROUPS")]
    groups: Vec<String>,
    /// Change what a mapping of the same principal gives, if there is one.
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    force: Force,
}

const EXAMPLES: &str = "\
Examples:
  herald add role --rolearn arn:aws:iam::123456789012:role/Admin --username admin:{{SessionName}} --groups system:masters
  herald add user --userarn arn:aws:iam::123456789012:user/alice --username alice --groups developers";

const ROLE_EXAMPLES: &str = "\
Examples:
  herald add role --rolearn arn:aws:iam::123456789012:role/Admin --username admin:{{SessionName}} --groups system:masters
  herald add role --sso permissionSetName=View,accountID=123456789012 --username view:{{SessionName}} --groups viewers --dry-run";

const USER_EXAMPLES: &str = "\
Examples:
  herald add user --userarn arn:aws:iam::123456789012:user/alice --username alice --groups developers
  herald add user --userarn arn:aws:iam::123456789012:user/alice --username alice --groups operators --replace --file aws-auth.yaml";

// === impl Command ===

impl Command {
    /// Makes the change and says on `out` what was done.
    ///
    /// # Errors
    ///
    /// When the mapping would not be in force, says something else than one that is there, takes the last
    /// administrator or node away with `--replace`, or cannot be written.
    pub fn run(&self, name: Name, stdin: impl Read, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        let (principal, gives, target) = match self {
            Self::Role(Role { rolearn: Some(arn), gives, target, .. }) => (Principal::Role(arn.clone()), gives, target),
            Self::Role(Role { sso: Some(Sso(set)), gives, target, .. }) => (set.clone(), gives, target),
            Self::Role(Role { .. }) => anyhow::bail!("which role? Give --rolearn or --sso"),
            Self::User(User { userarn, gives, target }) => (Principal::User(userarn.clone()), gives, target),
        };
        let groups: Vec<String> = gives.groups.iter().filter(|group| !group.is_empty()).cloned().collect();
        let entry = NewEntry { principal, username: gives.username.clone(), groups };
        let plan = |map: &crate::config::edit::AuthMap| {
            let who = &entry.principal;
            let added = map.add(&entry, gives.replace);
            Ok(match added.map_err(|error| anyhow::anyhow!("{who}: {error}"))? {
                Addition::There(gives) => Plan::Nothing(format!("{who} is there already, and gives {gives}")),
                Addition::Edit(edit) => {
                    if gives.replace {
                        gives.force.allows(map, &edit).with_context(|| format!("{who} stays as it is"))?;
                    }
                    let words = format!("{who} now gives {} [{}]", entry.username, entry.groups.join(" "));
                    Plan::Change(edit, words)
                }
            })
        };
        target.change(name, stdin, plan, out)
    }
}
