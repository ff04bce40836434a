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
    /// Groups, or logins, that are for sessions with a name of some shape.
    #[serde(default)]
    session_names: Vec<SessionNames>,
    /// Most groups. Default: as many as the host takes.
    max_groups: Option<usize>,
    /// What becomes of those with more. Default `deny`.
    too_many: Option<Otherwise>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Together {
    /// Patterns: whoever has a group of each is meant, another one for each.
    groups: Vec<Glob>,
    /// Default `deny`; `drop` takes away what the last pattern names.
    #[serde(default)]
    otherwise: Otherwise,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SessionNames {
    /// Patterns for groups. Default: everybody is meant, whoever has no group too.
    groups: Option<Vec<Glob>>,
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
        if settings.too_many.is_some() && settings.max_groups.is_none() {
            return Err("tooMany: say how many are, in maxGroups".to_owned());
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
            let is_meant = |group: &str| rule.groups.as_ref().is_none_or(|patterns| any(patterns, group));
            let group = user.groups.iter().find(|group| is_meant(group));
            let meant = if rule.groups.is_some() { group } else { Some(&user.username) };
            match meant {
                Some(name) if rule.otherwise == Otherwise::Deny => {
                    return Err(format!("{name} needs another session name"));
                }
                _ if group.is_some() => take(user, is_meant, "the session's name"),
                _ => {}
            }
        }
        Ok(())
    }

    fn together(&self, user: &mut Mapping) -> Result<(), String> {
        for rule in &self.never_together {
            let Some(found) = one_for_each(&rule.groups, &user.groups) else { continue };
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
            Some(most) if user.groups.len() > most && self.too_many != Some(Otherwise::Drop) => {
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

/// A group for each pattern, all of them different, if there are such.
fn one_for_each<'a>(patterns: &'a [Glob], groups: &'a [String]) -> Option<Vec<&'a str>> {
    let mut fitting: Vec<&str> = Vec::new();
    for group in groups.iter().filter(|group| any(patterns, group)) {
        if !fitting.contains(&group.as_str()) {
            fitting.push(group);
        }
    }
    let mut found = Found { patterns, taken_by: vec![None; fitting.len()], groups: fitting };
    for pattern in 0..patterns.len() {
        if !found.place(pattern, &mut vec![false; found.groups.len()]) {
            return None;
        }
    }
    let group_of = |pattern| found.taken_by.iter().position(|by| *by == Some(pattern)).map(|group| found.groups[group]);
    (0..patterns.len()).map(group_of).collect()
}

/// Which group stands for which pattern so far.
struct Found<'a> {
    patterns: &'a [Glob],
    groups: Vec<&'a str>,
    /// The pattern that each group stands for.
    taken_by: Vec<Option<usize>>,
}

impl Found<'_> {
    /// Finds a group for one more pattern; one that stands for another pattern is free where that finds another group
    /// (an augmenting path of a bipartite matching). `seen`: the groups that were tried for it.
    fn place(&mut self, pattern: usize, seen: &mut [bool]) -> bool {
        for group in 0..self.groups.len() {
            if seen[group] || !self.patterns[pattern].matches(self.groups[group]) {
                continue;
            }
            seen[group] = true;
            if self.taken_by[group].is_none_or(|other| self.place(other, seen)) {
                self.taken_by[group] = Some(pattern);
                return true;
            }
        }
        false
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

#[cfg(test)]
mod tests;
