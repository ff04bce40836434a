//! Groups for a few hours, with a reason, loud in the audit log: for the night when something is on fire.
//!
//! As `augment` it adds its groups to whoever another stage has named; as `map` it names callers whom nobody maps.

use herald_policy::{Caller, Decision, Fault, Glob, Mapping, Policy, PrincipalKind, Request, Template, log};
use serde::{Deserialize, Deserializer, de::Error as _};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// The policy, configured.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct BreakGlass {
    /// Longest that a grant may last, in hours. Default 12.
    #[serde(default = "twelve")]
    max_hours: u64,
    /// May be empty, as on every ordinary day.
    grants: Vec<Grant>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Grant {
    account: String,
    role: Option<String>,
    user: Option<String>,
    session_name: Option<Glob>,
    from: Moment,
    until: Moment,
    /// Who decided it, and why; for the audit log.
    reason: String,
    /// For callers whom nobody else names. Default `break-glass:{{PrincipalID}}`.
    #[serde(default = "username")]
    username: Template,
    groups: Vec<String>,
}

/// Seconds since 1970, written as RFC 3339 has it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Moment(u64);

fn twelve() -> u64 {
    12
}

fn username() -> Template {
    "break-glass:{{PrincipalID}}".parse().expect("a template")
}

impl Policy for BreakGlass {
    type Settings = Self;

    fn configure(settings: Self) -> Result<Self, String> {
        for (index, grant) in settings.grants.iter().enumerate() {
            grant.check(settings.max_hours).map_err(|why| format!("grants[{index}]: {why}"))?;
        }
        Ok(settings)
    }

    fn decide(&self, request: &Request) -> Result<Decision, Fault> {
        let now = Moment(request.now);
        let fitting = self.grants.iter().filter(|grant| grant.fits(&request.caller));
        let (open, closed): (Vec<&Grant>, Vec<&Grant>) =
            fitting.partition(|grant| grant.from <= now && now < grant.until);
        for grant in closed {
            let when = if now < grant.from { "begins later" } else { "is over" };
            log::info(&["break-glass grant ", when, ": ", &grant.reason].concat());
        }
        let Some(first) = open.first() else { return Ok(Decision::Abstain) };
        let mut user = match &request.current {
            Some(current) => current.clone(),
            None => match first.username.render(&request.caller) {
                Ok(name) => Mapping::named(name),
                Err(why) => return Ok(Decision::deny(why.to_string())),
            },
        };
        for grant in open {
            log::warn(
                &[
                    "BREAK GLASS: ",
                    &request.caller.arn,
                    " gets ",
                    &grant.groups.join(", "),
                    " for another ",
                    &((grant.until.0 - now.0).div_ceil(60)).to_string(),
                    " minutes: ",
                    &grant.reason,
                ]
                .concat(),
            );
            for group in &grant.groups {
                if !user.groups.contains(group) {
                    user.groups.push(group.clone());
                }
            }
        }
        Ok(user.into())
    }
}

herald_policy::export!(BreakGlass);

// === impl Grant ===

impl Grant {
    fn check(&self, max_hours: u64) -> Result<(), String> {
        if self.role.is_some() == self.user.is_some() {
            return Err("either `role` or `user` is needed".to_owned());
        }
        if self.user.is_some() && self.session_name.is_some() {
            return Err("a user has no session name".to_owned());
        }
        if self.reason.trim().is_empty() {
            return Err("reason: say who decided it, and why".to_owned());
        }
        match self.until.0.checked_sub(self.from.0) {
            None | Some(0) => Err("until must be later than from".to_owned()),
            Some(length) if length > max_hours * 3600 => Err(format!("lasts longer than {max_hours} hours")),
            Some(_) => Ok(()),
        }
    }

    fn fits(&self, caller: &Caller) -> bool {
        let (kind, name) = match (&self.role, &self.user) {
            (Some(role), _) => (PrincipalKind::AssumedRole, role),
            (None, Some(user)) => (PrincipalKind::User, user),
            (None, None) => return false,
        };
        let session = self
            .session_name
            .as_ref()
            .is_none_or(|glob| caller.session_name.as_deref().is_some_and(|name| glob.matches(name)));
        caller.account_id == self.account && caller.kind == kind && caller.name == *name && session
    }
}

// === impl Moment ===

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let time = OffsetDateTime::parse(&text, &Rfc3339).ok();
        let seconds = time.and_then(|time| u64::try_from(time.unix_timestamp()).ok());
        seconds.map(Self).ok_or_else(|| D::Error::custom(format!("{text}: not a time such as 2026-01-01T00:00:00Z")))
    }
}
