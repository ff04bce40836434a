//! The lists under `server`: mappings, the admins who are asked before all of them, and accounts.

use std::collections::BTreeSet;

use super::{
    super::{
        Source,
        accounts::{self, Accounts, Numbers},
        entry::{Entries, Place, value},
        error::{Position, Problem},
        finding::Findings,
        node::{Key, Node, Section, Value},
    },
    Reader, SERVER, STYLE, fold_known, take,
};
use crate::{caller::AccountId, mapping::Rules};

/// Read entry by entry; the roles and users are already, on the way.
pub(super) const KEYS: [&str; 5] = ["mapRoles", "mapUsers", "mapAccounts", "scrubbedAccounts", BOOTSTRAP_ADMINS];
const ENTRIES: [&str; 2] = ["mapRoles", "mapUsers"];
/// What MountedFile alone looks at.
const OF_MOUNTED_FILE: [&str; 3] = ["mapRoles", "mapUsers", "mapAccounts"];
const BOOTSTRAP_ADMINS: &str = "bootstrapAdmins";

// === impl Reader ===

impl Reader<'_> {
    /// Those who are to get in whatever happens.
    pub(super) fn bootstrap_admins(&mut self, lists: &mut Node, at: Position) -> Rules {
        let Value::Map(keys) = &mut lists.value else { return Rules::default() };
        let Some(list) = take(keys, BOOTSTRAP_ADMINS) else { return Rules::default() };
        let items = match list.value {
            Value::Null => Vec::new(),
            Value::List(items) => items,
            other => {
                let problem = Problem::new(list.at, format!("expected a list of ARNs, found {}", other.noun()));
                self.findings.refuse(problem.under(BOOTSTRAP_ADMINS, list.at).under(SERVER, at));
                return Rules::default();
            }
        };
        let mut entries = Entries::new(self.source, STYLE);
        entries.findings = std::mem::take(self.findings);
        for (index, item) in items.into_iter().enumerate() {
            let at = item.at;
            let entry = match item.value {
                Value::Text(_) => Node::new(at, Value::Map(vec![(Key { at, text: "arn".into() }, item)])),
                _ => item,
            };
            entries.add(Section::Admins, Place::Item(index), &entry);
        }
        let (rules, findings, census) = entries.finish();
        *self.findings = findings;
        self.admins = census;
        rules
    }

    pub(super) fn accounts(
        &mut self,
        lists: &Node,
        key: &str,
        at: Position,
        wrong: fn(&mut Findings, Problem),
    ) -> BTreeSet<AccountId> {
        let Value::Map(entries) = &lists.value else { return BTreeSet::new() };
        let Some(node) = value(entries, key) else { return BTreeSet::new() };
        let list = Accounts { source: self.source, path: &[SERVER, key], numbers: Numbers::Unambiguous, wrong };
        match accounts::items(node) {
            Ok(items) => list.read(items, self.findings),
            Err(problem) => {
                self.findings.refuse(list.placed(problem, at));
                BTreeSet::new()
            }
        }
    }

    /// Mappings that no source reads.
    pub(super) fn warn_unasked(&mut self, lists: &Node, sources: &[Source]) {
        let Value::Map(entries) = &lists.value else { return };
        if sources.contains(&Source::MountedFile) {
            return;
        }
        for (key, _) in entries.iter().filter(|(key, _)| fold_known(key, &OF_MOUNTED_FILE)) {
            self.no_effect(key, &format!("{SERVER}.{}", key.text), "MountedFile is not in `backendMode`");
        }
    }
}

/// The entries of these lists are in, so that nothing is left of a list; of anything else, something is.
pub(super) fn were_read(lists: &Node) -> Vec<Problem> {
    let Value::Map(entries) = &lists.value else { return Vec::new() };
    let wrong = |key| {
        let node = value(entries, key)?;
        let what = format!("expected a list of mappings, found {}", node.value.noun());
        Some(Problem::new(node.at, what).under(key, node.at))
    };
    ENTRIES.into_iter().filter_map(wrong).collect()
}
