//! ConfigMap: the mappings in kube-system/aws-auth and its namesakes, three YAML documents in one object (Amazon
//! EKS User Guide, "Grant IAM users and roles access to Kubernetes APIs with a ConfigMap").
//!
//! Each document stands for itself: one that does not parse leaves its last good text in force, and the other two
//! go on. A key that is not there, or an object that is not there, maps nobody.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::keeper::{self, Read};
use crate::{
    caller::AccountId,
    config::{
        accounts::{Numbers, accounts},
        entry::{Entries, Place, Style},
        error::{Position, Problem},
        node::{self, Node, Section, Value},
    },
    mapping::Mappings,
};

/// Reads one object again and again.
#[derive(Default)]
pub(super) struct ConfigMap {
    /// The last text of each document that parsed.
    good: [String; DOCUMENTS.len()],
}

/// The keys of the object, whose case counts.
const DOCUMENTS: [&str; 3] = ["mapRoles", "mapUsers", "mapAccounts"];
/// Values that stand for nothing, as tools leave them behind.
const NOTHING: [&str; 4] = ["", "``", "\"\"", "''"];
const STYLE: Style = Style { under: "", shared: true, by_user_id: false };

// === impl ConfigMap ===

impl ConfigMap {
    /// What `data` says; `None` if there is no object.
    pub(super) fn read(&mut self, data: Option<&Json>) -> Read {
        let texts = DOCUMENTS.map(|key| data.and_then(|data| data[key].as_str()).unwrap_or_default());
        let mut refused = Vec::new();
        for ((good, text), key) in self.good.iter_mut().zip(texts).zip(DOCUMENTS) {
            match items(text) {
                Ok(_) => text.clone_into(good),
                Err(problem) => {
                    let at = problem.at.unwrap_or_default();
                    refused.push(format!("{key} does not parse, line {at}: {problem}"));
                }
            }
        }
        let [roles, users, list] = &self.good;
        let mut entries = Entries::new(roles, STYLE);
        for (section, text) in [(Section::Roles, roles), (Section::Users, users)] {
            entries.source = text;
            for (index, node) in items(text).unwrap_or_default().iter().enumerate() {
                entries.add(section, Place::Item(index), node);
            }
        }
        let accounts = account_list(list, &mut entries);
        let (rules, warnings) = entries.finish();
        let hash = keeper::hash(texts.iter().map(|text| text.as_bytes()));
        Read { mappings: Mappings { rules, accounts }, warnings: warnings.finish(), refused, hash }
    }
}

fn items(text: &str) -> Result<Vec<Node>, Problem> {
    if NOTHING.contains(&text.trim()) {
        return Ok(Vec::new());
    }
    let document = node::read_whole(text)?;
    match document.value {
        Value::List(items) => Ok(items),
        Value::Null => Ok(Vec::new()),
        other => Err(Problem::new(document.at, format!("expected a list, found {}", other.noun()))),
    }
}

fn account_list(text: &str, entries: &mut Entries<'_>) -> BTreeSet<AccountId> {
    let list = Node::new(Position::default(), Value::List(items(text).unwrap_or_default()));
    let wrong = |problem: Problem| {
        entries.warnings.left_out(&problem.under("mapAccounts", Position::default()));
        Ok(())
    };
    accounts(&list, text, Numbers::AsWritten, wrong).unwrap_or_default()
}

#[cfg(test)]
mod tests;
