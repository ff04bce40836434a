//! Last look at what the other stages gave: forbids combinations of groups, caps their number, and asks for names of
//! sessions. Of kind `guard`: it can only take away.

use herald_policy::{Decision, Fault, Glob, Mapping, Policy, Request, log};
use serde::Deserialize;

/// The policy, configured.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Guard {
    /// Combinations that nobody may have.
    #[serde(default)]
    never_together: Vec<Together>,
    /// Groups that only sessions with a name of some shape keep.
    #[serde(default)]
    session_names: Vec<SessionNames>,
    /// Most groups. Default: as many as the host takes.
    max_groups: Option<usize>,
    /// What becomes of those with more. Default `deny`.
    #[serde(default)]
    too_many: Otherwise,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Together {
    /// Patterns: whoever has a group of each is meant.
    groups: Vec<Glob>,
    /// Default `deny`; `drop` takes away what the last pattern names.
    #[serde(default)]
    otherwise: Otherwise,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SessionNames {
    /// Patterns for groups.
    groups: Vec<Glob>,
    /// Patterns for the names of sessions that may have them.
    names: Vec<Glob>,
    /// Default `deny`; `drop` takes the groups away.
    #[serde(default)]
    otherwise: Otherwise,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Otherwise {
    #[default]
    Deny,
    Drop,
}

impl Policy for Guard {
    type Settings = Self;

    fn configure(settings: Self) -> Result<Self, String> {
        if settings.never_together.iter().any(|rule| rule.groups.len() < 2) {
            return Err("neverTogether: a combination is of at least two groups".to_owned());
        }
        Ok(settings)
    }

    fn decide(&self, request: &Request) -> Result<Decision, Fault> {
        let Some(current) = &request.current else { return Ok(Decision::Abstain) };
        let mut user = current.clone();
        let session = request.caller.session_name.as_deref();
        let judged = self.session_names(&mut user, session).and_then(|()| self.together(&mut user));
        if let Err(why) = judged.and_then(|()| self.count(&mut user)) {
            return Ok(Decision::deny(why));
        }
        Ok(if user == *current { Decision::Abstain } else { user.into() })
    }
}

herald_policy::export!(Guard);

// === impl Guard ===

impl Guard {
    fn session_names(&self, user: &mut Mapping, session: Option<&str>) -> Result<(), String> {
        for rule in &self.session_names {
            if session.is_some_and(|name| any(&rule.names, name)) {
                continue;
            }
            match user.groups.iter().find(|group| any(&rule.groups, group)) {
                Some(group) if rule.otherwise == Otherwise::Deny => {
                    return Err(format!("{group} needs another session name"));
                }
                Some(_) => take(user, |group| any(&rule.groups, group), "the session's name"),
                None => {}
            }
        }
        Ok(())
    }

    fn together(&self, user: &mut Mapping) -> Result<(), String> {
        for rule in &self.never_together {
            let has = |pattern: &Glob| user.groups.iter().find(|group| pattern.matches(group)).cloned();
            let found: Option<Vec<String>> = rule.groups.iter().map(has).collect();
            let Some(found) = found else { continue };
            if rule.otherwise == Otherwise::Deny {
                return Err(format!("nobody may have {} together", found.join(" and ")));
            }
            if let Some(last) = rule.groups.last() {
                take(user, |group| last.matches(group), "a combination");
            }
        }
        Ok(())
    }

    fn count(&self, user: &mut Mapping) -> Result<(), String> {
        match self.max_groups {
            Some(most) if user.groups.len() > most && self.too_many == Otherwise::Deny => {
                Err(format!("{} groups, at most {most} are allowed", user.groups.len()))
            }
            Some(most) if user.groups.len() > most => {
                log::warn(&format!("took groups away for their number: {}", user.groups[most..].join(", ")));
                user.groups.truncate(most);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

fn any(patterns: &[Glob], text: &str) -> bool {
    patterns.iter().any(|pattern| pattern.matches(text))
}

/// Takes the groups that `which` names away, and says so.
fn take(user: &mut Mapping, which: impl Fn(&str) -> bool, why: &str) {
    let (gone, kept): (Vec<String>, Vec<String>) = user.groups.drain(..).partition(|group| which(group));
    user.groups = kept;
    log::warn(&["took groups away for ", why, ": ", &gone.join(", ")].concat());
}
