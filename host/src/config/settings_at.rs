//! Settings at: where the settings of a policy stand, so that what its schema has against them names a line.

use std::collections::BTreeMap;

use super::{
    error::Position,
    node::{Node, Value},
};
use crate::policy::schema::Step;

/// The place of every value in the settings of one policy.
#[derive(Clone, Debug, Default)]
pub struct SettingsAt(BTreeMap<Vec<Step>, Position>);

// === impl SettingsAt ===

impl SettingsAt {
    /// Of the settings in `node`.
    pub(super) fn of(node: &Node) -> Self {
        let mut places = BTreeMap::new();
        walk(node, node.at, &mut Vec::new(), &mut places);
        Self(places)
    }

    /// Where the value at the end of `path` stands, or the nearest around it; `None` if nothing is known.
    #[must_use]
    pub fn find(&self, path: &[Step]) -> Option<Position> {
        (0..=path.len()).rev().find_map(|length| self.0.get(&path[..length]).copied())
    }
}

/// A value in a map stands where its key does: that is what people look for.
fn walk(node: &Node, at: Position, path: &mut Vec<Step>, places: &mut BTreeMap<Vec<Step>, Position>) {
    places.insert(path.clone(), at);
    match &node.value {
        Value::List(items) => {
            for (index, item) in items.iter().enumerate() {
                path.push(Step::Index(index));
                walk(item, item.at, path, places);
                path.pop();
            }
        }
        Value::Map(entries) => {
            for (key, value) in entries {
                path.push(Step::Key(key.text.to_string()));
                walk(value, key.at, path, places);
                path.pop();
            }
        }
        _ => {}
    }
}
