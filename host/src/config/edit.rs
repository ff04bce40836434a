//! Edit: adds and takes away entries in the YAML lists of an `aws-auth` ConfigMap, as texts.
//!
//! A text is cut where the parser of YAML says that an entry starts; what is not the entry stays as it is written,
//! comments, order and unknown keys included. The result is read again before anybody sees it: if an entry other
//! than the one that is meant is not exactly what it was, there is no result ([`EditError::Unsafe`]).

use std::collections::BTreeMap;

use super::{
    entry::{Entries, Place, Style, UserIds},
    error::{Position, Problem},
    finding::{Finding, Severity},
    node::{Node, Section},
    sources::config_map,
};
use crate::{mapping::rule::Rule, provider::Cloud};

mod file;
mod listed;
mod new_entry;
mod text;
mod verify;

pub use file::MapFile;
pub use listed::Listed;
use new_entry::to_yaml;
pub use new_entry::{NewEntry, Principal};
use verify::{Change, verify};

/// The data of a ConfigMap with mappings.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct AuthMap {
    /// Its texts by their keys.
    pub data: BTreeMap<String, String>,
    /// Clouds of which the ARN of a session stands for its role: none in an object.
    pub sessions: &'static [Cloud],
}

/// The list that an entry stands in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum List {
    /// `mapRoles`.
    Roles,
    /// `mapUsers`.
    Users,
}

/// What a change makes of one text.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Edit {
    /// The key of the ConfigMap.
    pub key: &'static str,
    /// The text before.
    pub before: String,
    /// The text after.
    pub after: String,
    /// What there is to say about the entry, which is in force all the same.
    pub remarks: Vec<Finding>,
}

/// What it takes to have an entry there.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Addition {
    /// This change.
    Edit(Edit),
    /// Nothing: it is there, and gives this.
    There(String),
}

/// Why nothing is changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EditError {
    /// The wish is the problem: the entry would not be in force, or cost another one.
    #[error("{0}")]
    Invalid(String),
    /// What is there says something else of the same principal.
    #[error("is mapped already, to {0}: give --replace to have it changed")]
    Exists(String),
    /// The list is no YAML, or no list.
    #[error("{key} cannot be read, line {at}: {what}")]
    Unreadable {
        /// The list.
        key: &'static str,
        /// Where in its text.
        at: Position,
        /// Why.
        what: String,
    },
    /// No cut would leave the other entries alone.
    #[error(
        "{0} is written in a way that cannot be changed without touching other entries: change it by hand, as with `kubectl edit`"
    )]
    Unsafe(&'static str),
}

const STYLE: Style = Style { under: "", shared: true, user_ids: UserIds::Idle, globs: false, sessions: &[] };
/// What findings about entries that are not in force start with; here they never come in force.
const LEFT_OUT: &str = "left out: ";
/// The username of an entry that is only looked for.
const NOBODY: &str = "nobody";

// === impl AuthMap ===

impl AuthMap {
    /// The texts of a ConfigMap object.
    #[must_use]
    pub fn of(object: &serde_json::Value) -> Self {
        let data = object["data"].as_object().into_iter().flatten();
        let data = data.filter_map(|(key, text)| Some((key.clone(), text.as_str()?.to_owned()))).collect();
        Self { data, ..Self::default() }
    }

    /// What has to be changed so that `entry` is there. An entry that says something else of the same principal is
    /// changed with `replace`, its other keys kept (and so its end), and is an error without.
    ///
    /// # Errors
    ///
    /// [`EditError`]. Nothing is to be written then.
    pub fn add(&self, entry: &NewEntry, replace: bool) -> Result<Addition, EditError> {
        let list = entry.principal.list();
        let (wanted, who, rule) = entry.parsed(self.sessions)?;
        let (before, items) = self.items(list)?;
        let old = items.iter().position(|item| self.who_of(list, item, before).is_some_and(|(other, _)| other == who));
        let (after, change) = match old.map(|index| (index, self.who_of(list, &items[index], before))) {
            None => (text::append(before, &items, &wanted), Change::Added),
            Some((_, Some((_, there)))) if gives_the_same(&there, &rule) => {
                return Ok(Addition::There(there.to_string()));
            }
            Some((_, Some((_, there)))) if !replace => return Err(EditError::Exists(there.to_string())),
            Some((index, _)) => (text::replace(before, &items, index, entry), Change::Replaced(index)),
        };
        let after = after.ok_or_else(|| EditError::Unsafe(list.key()))?;
        let index = verify(list, (before, &items), &after, change)?;
        let (new, remarks) = self.in_force(list, &after, index)?;
        if new.0 != who || !gives_the_same(&new.1, &rule) {
            return Err(EditError::Unsafe(list.key()));
        }
        self.costs_nobody(list, &after)?;
        Ok(Addition::Edit(Edit { key: list.key(), before: before.to_owned(), after, remarks }))
    }

    /// What has to be changed so that no entry names `principal`; `None` if none does.
    ///
    /// # Errors
    ///
    /// [`EditError`]. Nothing is to be written then.
    pub fn remove(&self, principal: &Principal) -> Result<Option<Edit>, EditError> {
        let list = principal.list();
        let looked_for = NewEntry { principal: principal.clone(), username: NOBODY.to_owned(), groups: Vec::new() };
        let (_, who, _) = looked_for.parsed(self.sessions)?;
        let (before, _) = self.items(list)?;
        let mut text = before.to_owned();
        // One may wait for another one's end, and must not come in force instead.
        loop {
            let items = items_of(list, &text)?;
            let names = |item: &Node| self.who_of(list, item, &text).is_some_and(|(other, _)| other == who);
            let Some(index) = items.iter().position(names) else { break };
            let after = text::remove(&text, &items, index).ok_or_else(|| EditError::Unsafe(list.key()))?;
            verify(list, (&text, &items), &after, Change::Removed(index))?;
            text = after;
        }
        let edit = || Edit { key: list.key(), before: before.to_owned(), after: text.clone(), remarks: Vec::new() };
        Ok((text != before).then(edit))
    }

    /// The same with the text that `edit` makes.
    #[must_use]
    pub fn with(&self, edit: &Edit) -> Self {
        let mut data = self.data.clone();
        data.insert(edit.key.to_owned(), edit.after.clone());
        Self { data, sessions: self.sessions }
    }

    fn style(&self) -> Style {
        Style { sessions: self.sessions, ..STYLE }
    }

    /// Whom one entry names, and what it gives; `None` if it is left out.
    fn who_of(&self, list: List, item: &Node, source: &str) -> Option<(String, Rule)> {
        let mut entries = Entries::new(source, self.style());
        entries.add(list.section(), Place::Item(0), item);
        let (rules, ..) = entries.finish();
        rules.iter().next().map(|(who, rule)| (who, rule.clone()))
    }

    fn text(&self, list: List) -> &str {
        self.data.get(list.key()).map(String::as_str).unwrap_or_default()
    }

    fn items(&self, list: List) -> Result<(&str, Vec<Node>), EditError> {
        let text = self.text(list);
        Ok((text, items_of(list, text)?))
    }

    /// Whom the entry of `text` at `index` names and what it gives, with what there is to say about it.
    fn in_force(&self, list: List, text: &str, index: usize) -> Result<((String, Rule), Vec<Finding>), EditError> {
        let items = items_of(list, text)?;
        let mut entries = Entries::new(text, self.style());
        entries.add(list.section(), Place::Item(index), items.get(index).ok_or_else(|| EditError::Unsafe(list.key()))?);
        let (rules, findings, _) = entries.finish();
        let findings = findings.finish();
        if let Some(error) = findings.iter().find(|finding| finding.severity == Severity::Error) {
            return Err(EditError::invalid(error));
        }
        let found = rules.iter().next().map(|(who, rule)| (who, rule.clone()));
        Ok((found.ok_or_else(|| EditError::Unsafe(list.key()))?, findings))
    }

    /// Refuses a text that leaves out an entry which is in force now, or its own new one.
    fn costs_nobody(&self, list: List, after: &str) -> Result<(), EditError> {
        let mut next = self.clone();
        next.data.insert(list.key().to_owned(), after.to_owned());
        let (before, after) = (self.errors(), next.errors());
        match after.iter().rev().find(|finding| !before.contains(finding)) {
            Some(error) if after.len() > before.len() => Err(EditError::invalid(error)),
            _ => Ok(()),
        }
    }

    /// What is left out of it now.
    fn errors(&self) -> Vec<Finding> {
        let (_, findings) = self.entries();
        findings.into_iter().filter(|finding| finding.severity == Severity::Error).collect()
    }

    /// All entries as one source, and what there is to say about them. A list that cannot be read is a finding.
    fn entries(&self) -> (crate::mapping::Rules, Vec<Finding>) {
        let mut entries = Entries::new("", self.style());
        for list in List::ALL {
            let text = self.text(list);
            entries.source = text;
            match config_map::items(text) {
                Ok(items) => {
                    let each = items.iter().enumerate();
                    each.for_each(|(index, node)| entries.add(list.section(), Place::Item(index), node));
                }
                Err(problem) => entries.findings.whole_list(problem.under(list.key(), Position::default())),
            }
        }
        let (rules, findings, _) = entries.finish();
        (rules, findings.finish())
    }
}

fn items_of(list: List, text: &str) -> Result<Vec<Node>, EditError> {
    let unreadable = |problem: Problem| EditError::Unreadable {
        key: list.key(),
        at: problem.at.unwrap_or_default(),
        what: problem.to_string(),
    };
    config_map::items(text).map_err(unreadable)
}

fn gives_the_same(one: &Rule, other: &Rule) -> bool {
    one.username == other.username && one.groups == other.groups
}

// === impl EditError ===

impl EditError {
    /// The stable label.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Exists(_) => "edit_exists",
            Self::Invalid(_) => "edit_invalid",
            Self::Unreadable { .. } => "edit_unreadable",
            Self::Unsafe(_) => "edit_unsafe",
        }
    }

    fn invalid(error: &Finding) -> Self {
        Self::Invalid(error.text().trim_start_matches(LEFT_OUT).to_owned())
    }
}

// === impl List ===

impl List {
    const ALL: [Self; 2] = [Self::Roles, Self::Users];

    /// Its key in the ConfigMap.
    #[must_use]
    pub fn key(self) -> &'static str {
        self.section().key()
    }

    fn section(self) -> Section {
        match self {
            Self::Roles => Section::Roles,
            Self::Users => Section::Users,
        }
    }
}

#[cfg(test)]
mod tests;
