//! Groups for a few hours, with a reason, loud in the audit log: for the night when something is on fire.
//!
//! Grants stand in a table, so one is given and taken back by writing one entry, and ends by itself. As `augment` it adds
//! their groups to whoever another stage has named; as `map` it names callers whom nobody maps.

use herald_policy::{Decision, Fault, Mapping, Policy, Request, data, log};
use serde::Deserialize;

use self::{
    grant::{Grant, State},
    record::{MOST, NO_ROOM, left_out, short},
};

mod grant;
mod record;

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
/// Most bytes of a key: what a ConfigMap's may have.
const MAX_KEY: usize = 253;
/// Most bytes of an entry: many times what a grant needs, and little enough to be read for every login of its account.
const MAX_ENTRY: usize = 16 << 10;

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
        let (fitting, mut problems) = self.fitting(request)?;
        let (mut used, mut alarms) = (Vec::new(), Vec::new());
        for grant in &fitting {
            if grant.state(request.now) != State::Open {
                continue;
            }
            match grant.alarm(&request.caller, request.now) {
                Some(alarm) if used.len() < MOST => {
                    used.push(grant);
                    alarms.push(alarm);
                }
                _ => problems.push(left_out(grant.key(), NO_ROOM)),
            }
        }
        let decision = given(&used, request);
        // Before anything else is said.
        if matches!(decision, Decision::Allow(_)) {
            alarms.iter().for_each(|alarm| log::warn(alarm));
        }
        for problem in &problems {
            log::error(&short(problem));
        }
        tell_closed(&fitting, request.now);
        Ok(decision)
    }
}

herald_policy::export!(BreakGlass);

// === impl BreakGlass ===

impl BreakGlass {
    /// The grants of this caller, open or not. One that is wrong is left out and told; its neighbours stay.
    fn fitting(&self, request: &Request) -> Result<(Vec<Grant>, Vec<String>), Fault> {
        let prefix = [&request.caller.account_id, "."].concat();
        let keys = data::keys(&self.table, &prefix, MAX_GRANTS + 1)?;
        let (mut fitting, mut problems) = (Vec::new(), Vec::new());
        for (count, key) in (0..).zip(&keys) {
            if count == MAX_GRANTS {
                let words = ["more than 200 grants begin with ", &prefix, ": others are left out"];
                problems.push(words.concat());
                break;
            }
            match self.grant(key)? {
                Ok(Some(grant)) if grant.fits(&request.caller) => fitting.push(grant),
                Ok(_) => {}
                Err(why) => problems.push(left_out(key, &why)),
            }
        }
        Ok((fitting, problems))
    }

    /// What stands at `key`, or what is wrong with it.
    fn grant(&self, key: &str) -> Result<Result<Option<Grant>, String>, Fault> {
        let too_long = || Ok(Err("its key or its entry is too long".to_owned()));
        if key.len() > MAX_KEY {
            return too_long();
        }
        let Some(entry) = data::get(&self.table, key)? else { return Ok(Ok(None)) };
        if entry.len() > MAX_ENTRY {
            return too_long();
        }
        Ok(Grant::parse(key, &entry, self.max_hours).map(Some))
    }
}

/// What these grants give the caller.
fn given(grants: &[&Grant], request: &Request) -> Decision {
    let Some(first) = grants.first() else { return Decision::Abstain };
    let mut user = match &request.current {
        Some(current) => current.clone(),
        None => match first.username(&request.caller) {
            Ok(name) => Mapping::named(name),
            Err(why) => return Decision::deny(why.to_string()),
        },
    };
    for grant in grants {
        for group in grant.groups() {
            if !user.groups.contains(group) {
                user.groups.push(group.clone());
            }
        }
    }
    user.into()
}

fn tell_closed(grants: &[Grant], now: u64) {
    for grant in grants {
        let when = match grant.state(now) {
            State::Early => "begins later",
            State::Open => continue,
            State::Over => "is over",
        };
        log::info(&short(&["break-glass grant ", grant.key(), " ", when].concat()));
    }
}

#[cfg(test)]
mod tests;
