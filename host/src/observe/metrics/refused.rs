//! Refused tables: those whose newest version in the cluster is wrong, so that the last good one is in force.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use super::Metrics;

/// What is wrong with each, by its source.
#[derive(Debug, Default)]
pub(super) struct RefusedTables(Mutex<BTreeMap<String, String>>);

// === impl Metrics ===

impl Metrics {
    /// Whether what stands in a policy's table is what is in force, or why it is not.
    pub fn table_taken(&self, source: &str, taken: Result<(), String>) {
        let mut refused = self.refused_tables.0.lock().unwrap_or_else(PoisonError::into_inner);
        match taken {
            Ok(()) => drop(refused.remove(source)),
            Err(why) => drop(refused.insert(source.to_owned(), why)),
        }
    }

    /// Why the newest versions of tables are not in force, by source.
    #[must_use]
    pub fn refused_tables(&self) -> BTreeMap<String, String> {
        self.refused_tables.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
