//! `herald remove`: takes the mapping of a role or a user away, in the aws-auth ConfigMap of a cluster, or in a file.
//!
//! The last mapping that lets administrators in, or nodes, stays unless it is forced: judged as `herald check-config`
//! judges the ConfigMap. The same holds for `herald add --replace`.

use std::{
    io::{Read, Write},
    process::ExitCode,
};

use anyhow::{Context as _, anyhow, bail};

use super::{
    aws_auth::{Plan, Sso, Target},
    called::Name,
};
use crate::config::{
    CheckId,
    edit::{AuthMap, Edit, Principal},
    lockout::{self, Administrators},
};

/// Take the mapping of a role or a user away, in the aws-auth ConfigMap of a cluster, or in a file.
#[derive(clap::Subcommand, Debug)]
#[command(after_help = EXAMPLES)]
pub enum Command {
    /// Take the mapping of a role or of a permission set away.
    Role(Role),
    /// Take the mapping of a user away.
    User(User),
}

/// Take the mapping of a role or of a permission set away.
#[derive(clap::Args, Debug)]
#[command(after_help = ROLE_EXAMPLES)]
#[command(group(clap::ArgGroup::new("whom").required(true).args(["rolearn", "sso"])))]
pub struct Role {
    /// ARN of the role. Its path does not count.
    #[arg(long, visible_alias = "role-arn", value_name = "ARN")]
    rolearn: Option<String>,
    /// Permission set of IAM Identity Center: permissionSetName=NAME,accountID=ID[,partition=NAME].
    #[arg(long, value_name = "SET")]
    sso: Option<Sso>,
    #[command(flatten)]
    force: Force,
    #[command(flatten)]
    target: Target,
}

/// Take the mapping of a user away.
#[derive(clap::Args, Debug)]
#[command(after_help = USER_EXAMPLES)]
pub struct User {
    /// ARN of the user.
    #[arg(long, visible_alias = "user-arn", value_name = "ARN")]
    userarn: String,
    #[command(flatten)]
    force: Force,
    #[command(flatten)]
    target: Target,
}

/// What is done all the same.
#[derive(clap::Args, Debug)]
pub(super) struct Force {
    /// Do it even if then no administrator, or no node, is let in.
    #[arg(long)]
    force: bool,
    /// Group of administrators; may be given more than once [default: system:masters].
    #[arg(long = "admin-group", value_name = "GROUP")]
    admin_groups: Vec<String>,
}

const EXAMPLES: &str = "\
Examples:
  herald remove role --rolearn arn:aws:iam::123456789012:role/Admin --dry-run
  herald remove user --userarn arn:aws:iam::123456789012:user/alice";

const ROLE_EXAMPLES: &str = "\
Examples:
  herald remove role --rolearn arn:aws:iam::123456789012:role/Admin --dry-run
  herald remove role --sso permissionSetName=View,accountID=123456789012 --admin-group ops:admins";

const USER_EXAMPLES: &str = "\
Examples:
  herald remove user --userarn arn:aws:iam::123456789012:user/alice
  herald remove user --userarn arn:aws:iam::123456789012:user/alice --file aws-auth.yaml";

/// The list that names accounts, and so neither administrators nor nodes.
const ACCOUNTS: &str = "mapAccounts";

// === impl Command ===

impl Command {
    /// Makes the change and says on `out` what was done. That there is no such mapping is no error.
    ///
    /// # Errors
    ///
    /// When nobody would be left to let in, or it cannot be written.
    pub fn run(&self, name: Name, stdin: impl Read, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        let (principal, force, target) = match self {
            Self::Role(Role { rolearn: Some(arn), force, target, .. }) => (Principal::Role(arn.clone()), force, target),
            Self::Role(Role { sso: Some(Sso(set)), force, target, .. }) => (set.clone(), force, target),
            Self::Role(Role { .. }) => bail!("which role? Give --rolearn or --sso"),
            Self::User(User { userarn, force, target }) => (Principal::User(userarn.clone()), force, target),
        };
        let plan = |map: &AuthMap| {
            let Some(edit) = map.remove(&principal).map_err(|error| anyhow!("{principal}: {error}"))? else {
                return Ok(Plan::Nothing(format!("{principal} is not there")));
            };
            force.allows(map, &edit).with_context(|| format!("{principal} stays as it is"))?;
            Ok(Plan::Change(edit, format!("{principal} is taken away")))
        };
        target.change(name, stdin, plan, out)
    }
}

// === impl Force ===

impl Force {
    /// Refuses a change after which nobody is left to let in.
    pub(super) fn allows(&self, map: &AuthMap, edit: &Edit) -> anyhow::Result<()> {
        match self.loss(map, &map.with(edit)).filter(|_| !self.force) {
            None => Ok(()),
            Some(loss) => bail!("afterwards {loss}. Add another mapping first, or give --force"),
        }
    }

    /// Who is let in by `before` and not by `after`, or may be.
    fn loss(&self, before: &AuthMap, after: &AuthMap) -> Option<String> {
        if let Some(unread) = before.listed().1.first() {
            return Some(format!("it is not known who is let in ({unread})"));
        }
        let administrators = Administrators(self.admin_groups.clone());
        let open = |map: &AuthMap| lockout::check(&[map.checked()], &administrators, super::now());
        let is_empty = after.listed().0.iter().all(|row| row.list == ACCOUNTS);
        let (before, after) = (open(before), open(after));
        let had = |id| !before.iter().any(|(_, then)| then.id == id);
        // Of a map without entries nothing is said.
        if is_empty && (had(CheckId::NoAdministrator) || had(CheckId::NoNodes)) {
            return Some("the map names nobody".to_owned());
        }
        let lost = after.into_iter().find(|(_, now)| had(now.id));
        lost.map(|(_, finding)| finding.message)
    }
}
