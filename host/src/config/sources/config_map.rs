//! ConfigMap: the mappings in kube-system/aws-auth and its namesakes, three YAML documents in one object (Amazon
//! EKS User Guide, "Grant IAM users and roles access to Kubernetes APIs with a ConfigMap").
//!
//! Each document stands for itself: one that does not parse leaves its last good text in force, and the other two
//! go on. A key that is not there, or an object that is not there, maps nobody.

use serde_json::Value as Json;

use super::keeper::{self, Read};
use crate::{
    config::{
        accounts::{Accounts, Numbers},
        entry::{Entries, Place, Style, UserIds},
        error::Problem,
        finding::Findings,
        node::{self, Node, Section, Value},
    },
    mapping::Mappings,
};

/// Reads one object again and again.
#[derive(Default)]
pub(super) struct ConfigMap {
    /// The last text of each document that parsed, if one ever did.
    good: [Option<String>; DOCUMENTS.len()],
    /// What stands there now is more than is read.
    pub(super) is_too_large: bool,
}

/// The objects.
pub(in crate::config) const AWS_AUTH: &str = "aws-auth";
pub(in crate::config) const ALIBABACLOUD_AUTH: &str = "alibabacloud-auth";
/// The keys of the object, whose case counts.
pub(in crate::config) const DOCUMENTS: [&str; 3] = ["mapRoles", "mapUsers", ACCOUNTS];
pub(in crate::config) const ACCOUNTS: &str = "mapAccounts";
/// The two that hold entries.
pub(in crate::config) const LISTS: [Section; 2] = [Section::Roles, Section::Users];
/// Most values and keys of one document. As many entries as fit into an object, which has a mebibyte at most, have some
/// 130,000; all that fits in between commas would take more memory than a server is given.
const MAX_NODES: usize = 200_000;
/// Values that stand for nothing, as tools leave them behind.
const NOTHING: [&str; 4] = ["", "``", "\"\"", "''"];
const STYLE: Style = Style { under: "", shared: true, user_ids: UserIds::Idle, globs: false, sessions: &[] };

// === impl ConfigMap ===

impl ConfigMap {
    /// What `data` says; `None` if there is no object.
    pub(super) fn read(&mut self, data: Option<&Json>) -> Read {
        let texts = DOCUMENTS.map(|key| data.and_then(|data| data[key].as_str()).unwrap_or_default());
        let mut refused = Vec::new();
        for ((good, text), key) in self.good.iter_mut().zip(texts).zip(DOCUMENTS) {
            match items(text) {
                Ok(_) => *good = Some(text.to_owned()),
                Err(problem) => {
                    let at = problem.at.unwrap_or_default();
                    let counts = if good.is_some() { "the last good one stays" } else { "nobody is mapped by it yet" };
                    refused.push(format!("{counts}: {key} does not parse, line {at}: {problem}"));
                }
            }
        }
        let [lists @ .., list] = self.good.each_ref().map(|good| good.as_deref().unwrap_or_default());
        let mut entries = Entries::new("", STYLE);
        for (section, text) in LISTS.into_iter().zip(lists) {
            entries.source = text;
            for (index, node) in items(text).unwrap_or_default().iter().enumerate() {
                entries.add(section, Place::Item(index), node);
            }
        }
        let items = items(list).unwrap_or_default();
        let accounts = account_list(list, &[ACCOUNTS]).read(&items, &mut entries.findings);
        let (rules, findings, _) = entries.finish();
        let hash = keeper::hash(texts.iter().map(|text| text.as_bytes()));
        Read { mappings: Mappings { rules, accounts }, warnings: findings.warnings(), refused, hash, written: None }
    }
}

/// Whom a ConfigMap maps whose `data` has been each of `versions`, one after another, and what of the last one does not parse.
#[must_use]
pub fn read_config_map(versions: &[Json]) -> (Mappings, Vec<String>) {
    let (mut map, mut last) = (ConfigMap::default(), <(Mappings, Vec<String>)>::default());
    for data in versions {
        let Read { mappings, refused, .. } = map.read(Some(data));
        last = (mappings, refused);
    }
    last
}

/// Whether `text` stands for no document at all.
pub(in crate::config) fn is_nothing(text: &str) -> bool {
    NOTHING.contains(&text.trim())
}

/// What one of the documents lists.
pub(in crate::config) fn items(text: &str) -> Result<Vec<Node>, Problem> {
    if is_nothing(text) {
        return Ok(Vec::new());
    }
    let document = node::read_within(MAX_NODES, text)?;
    match document.value {
        Value::List(items) => Ok(items),
        Value::Null => Ok(Vec::new()),
        other => Err(Problem::new(document.at, format!("expected a list, found {}", other.noun()))),
    }
}

/// How the list of accounts is read. Existing ones have numbers.
pub(in crate::config) fn account_list<'a>(source: &'a str, path: &'a [&'a str]) -> Accounts<'a> {
    Accounts { source, path, numbers: Numbers::AsWritten, wrong: Findings::left_out }
}

#[cfg(test)]
mod tests;
