//! Groups for a few hours, with a reason, loud in the audit log: for the night when something is on fire.
//!
//! Grants stand in a table, so one is given and taken back by writing one entry, and ends by itself. As `augment` it adds
//! their groups to whoever another stage has named; as `map` it names callers whom nobody maps.

use herald_policy::{Decision, Fault, Mapping, Policy, Request, data, log};
use serde::Deserialize;

use self::grant::{Grant, State};

mod grant;

/// The policy, configured.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct BreakGlass {
    /// Longest that a grant may last, in hours. Default 12.
    #[serde(default = "twelve")]
    max_hours: u64,
    /// Name of the table with the grants. Default `grants`.
    #[serde(default = "grants")]
    table: String,
}

/// Most grants that are looked at for one account.
const MAX_GRANTS: u32 = 200;

fn twelve() -> u64 {
    12
}

fn grants() -> String {
    "grants".to_owned()
}

impl Policy for BreakGlass {
    type Settings = Self;

    fn configure(settings: Self) -> Result<Self, String> {
        Ok(settings)
    }

    fn decide(&self, request: &Request) -> Result<Decision, Fault> {
        let fitting = self.fitting(request)?;
        let open: Vec<&Grant> = fitting.iter().filter(|grant| grant.state(request.now) == State::Open).collect();
        let Some(first) = open.first() else {
            tell_closed(&fitting, request.now);
            return Ok(Decision::Abstain);
        };
        let mut user = match &request.current {
            Some(current) => current.clone(),
            None => match first.username(&request.caller) {
                Ok(name) => Mapping::named(name),
                Err(why) => return Ok(Decision::deny(why.to_string())),
            },
        };
        // Before anything else is said: a record has room for so many lines.
        for grant in open {
            log::warn(&grant.alarm(&request.caller, request.now));
            for group in grant.groups() {
                if !user.groups.contains(group) {
                    user.groups.push(group.clone());
                }
            }
        }
        tell_closed(&fitting, request.now);
        Ok(user.into())
    }
}

herald_policy::export!(BreakGlass);

// === impl BreakGlass ===

impl BreakGlass {
    /// The grants of this caller, open or not. One that is wrong is left out and told; its neighbours stay.
    fn fitting(&self, request: &Request) -> Result<Vec<Grant>, Fault> {
        let prefix = [&request.caller.account_id, "."].concat();
        let keys = data::keys(&self.table, &prefix, MAX_GRANTS + 1)?;
        let mut fitting = Vec::new();
        for (count, key) in (0..).zip(&keys) {
            if count == MAX_GRANTS {
                log::error(&["more than 200 grants begin with ", &prefix, ": the others are left out"].concat());
                break;
            }
            let Some(entry) = data::get(&self.table, key)? else { continue };
            match Grant::parse(key, &entry, self.max_hours) {
                Ok(grant) if grant.fits(&request.caller) => fitting.push(grant),
                Ok(_) => {}
                Err(why) => log::error(&["break-glass grant ", key, " is left out: ", &why].concat()),
            }
        }
        Ok(fitting)
    }
}

fn tell_closed(grants: &[Grant], now: u64) {
    for grant in grants {
        let when = match grant.state(now) {
            State::Early => "begins later",
            State::Open => continue,
            State::Over => "is over",
        };
        log::info(&["break-glass grant ", grant.key(), " ", when].concat());
    }
}

#[cfg(test)]
mod tests;
