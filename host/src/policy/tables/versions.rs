//! What one login sees of tables that change while Herald runs.

use std::sync::Arc;

use super::{LiveTable, Table};

/// A version of each such table that a login's policies may look at, all taken before the first of them is asked: a write in
/// between is for the next login. Whoever has none of these tables pays nothing for it.
#[derive(Clone, Debug, Default)]
pub struct Versions(Vec<(LiveTable, Option<Arc<Table>>)>);

// === impl Versions ===

impl Versions {
    /// Takes hold of what `table` is now, unless that was done before.
    pub(super) fn hold(&mut self, table: &LiveTable) {
        if !self.0.iter().any(|(held, _)| held.is(table)) {
            self.0.push((table.clone(), table.now()));
        }
    }

    /// What was taken hold of; of another table, what it is now.
    pub(super) fn of(&self, table: &LiveTable) -> Option<Arc<Table>> {
        let held = self.0.iter().find(|(held, _)| held.is(table));
        held.map_or_else(|| table.now(), |(_, version)| version.clone())
    }
}
