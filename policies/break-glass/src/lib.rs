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
    /// Groups that grants may give. None: any.
    #[serde(default)]
    groups: Vec<String>,
    /// Longest that a grant may last, in hours. Default 12.
    #[serde(default = "twelve")]
    max_hours: u64,
    /// Name of the table with the grants. Default `grants`.
    #[serde(default = "grants")]
    table: String,
}

/// What there is for a caller.
#[derive(Debug, Default)]
struct Found {
    /// Grants that count, each with its alarm.
    used: Vec<(Grant, String)>,
    /// What is wrong.
    problems: Vec<String>,
    /// Which of his grants are not open.
    closed: Vec<String>,
}

/// Most grants of one account that are looked at and are not over.
const MAX_GRANTS: u32 = 200;
/// Most grants of one account that are read, over or not. The host takes 1000 calls in one decision; of its fuel, which is 50
/// million units by default, a grant takes some 20 thousand.
const MAX_READ: u32 = 900;
/// Most bytes of a key: what a ConfigMap's may have.
const MAX_KEY: usize = 253;
/// Most bytes of an entry: many times what a grant needs, and little enough to be read for every login of its account.
const MAX_ENTRY: usize = 4 << 10;

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
        let found = self.look(request)?;
        let decision = given(&found.used, request);
        // Before anything else is said.
        if matches!(decision, Decision::Allow(_)) {
            found.used.iter().for_each(|(_, alarm)| log::warn(alarm));
        }
        found.problems.iter().for_each(|problem| log::error(&short(problem)));
        found.closed.iter().for_each(|closed| log::info(&short(closed)));
        Ok(decision)
    }
}

herald_policy::export!(BreakGlass);

// === impl BreakGlass ===

impl BreakGlass {
    /// Looks at the grants of the caller's account. One that is wrong is left out and told; its neighbours stay.
    fn look(&self, request: &Request) -> Result<Found, Fault> {
        let prefix = [&request.caller.account_id, "."].concat();
        let keys = data::keys(&self.table, &prefix, MAX_READ + 1)?;
        let (mut found, mut over) = (Found::default(), 0);
        for (read, key) in (0..).zip(&keys) {
            if read == MAX_READ || read - over == MAX_GRANTS {
                let words = ["too many grants begin with ", &prefix, ": take old ones away, not all are read"];
                found.problems.insert(0, words.concat());
                break;
            }
            let entry = if key.len() <= MAX_KEY { data::get(&self.table, key)? } else { None };
            let grant = match entry.filter(|entry| entry.len() <= MAX_ENTRY) {
                Some(entry) => Grant::parse(&entry, self, request.now),
                None => Err("its key or its entry is too long".to_owned()),
            };
            match grant {
                Ok(grant) => {
                    let state = grant.state(request.now);
                    over += u32::from(state == State::Over);
                    if grant.fits(&request.caller) {
                        found.take(key, grant, state, request);
                    }
                }
                Err(why) => found.problems.push(left_out(key, &why)),
            }
        }
        Ok(found)
    }
}

// === impl Found ===

impl Found {
    /// Takes a grant of the caller's.
    fn take(&mut self, key: &str, grant: Grant, state: State, request: &Request) {
        let when = match state {
            State::Early => " begins later",
            State::Open => match grant.alarm(key, &request.caller, request.now) {
                Some(alarm) if self.used.len() < MOST => return self.used.push((grant, alarm)),
                _ => return self.problems.push(left_out(key, NO_ROOM)),
            },
            State::Over => " is over",
        };
        self.closed.push(["break-glass grant ", key, when].concat());
    }
}

/// What these grants give the caller.
fn given(grants: &[(Grant, String)], request: &Request) -> Decision {
    let Some((first, _)) = grants.first() else { return Decision::Abstain };
    let mut user = match &request.current {
        Some(current) => current.clone(),
        None => match first.username(&request.caller) {
            Ok(name) => Mapping::named(name),
            Err(why) => return Decision::deny(why.to_string()),
        },
    };
    for (grant, _) in grants {
        for group in grant.groups() {
            if !user.groups.contains(group) {
                user.groups.push(group.clone());
            }
        }
    }
    user.into()
}

#[cfg(test)]
mod tests;
