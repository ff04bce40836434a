//! A table that changes while Herald runs. Whoever follows it puts whole versions in.

use std::{fmt, sync::Arc};

use arc_swap::{ArcSwap, ArcSwapOption};

use super::Table;

/// One such table. A clone is the same table.
#[derive(Clone)]
pub struct LiveTable(Arc<Inner>);

struct Inner {
    table: ArcSwapOption<Table>,
    missing: ArcSwap<String>,
}

// === impl LiveTable ===

impl LiveTable {
    /// From now on decisions see `table`. Those under way go on with what they have.
    pub fn replace(&self, table: Table) {
        self.0.table.store(Some(Arc::new(table)));
    }

    /// Why it could not be read; what was read stays.
    pub fn failed(&self, why: String) {
        self.0.missing.store(Arc::new(why));
    }

    /// There is no such table any more: to whoever reads it, it is not ready, which is neither empty nor as it was.
    pub fn gone(&self, why: String) {
        self.failed(why);
        self.0.table.store(None);
    }

    /// Why there is nothing to read; `None` if there is.
    #[must_use]
    pub fn missing(&self) -> Option<String> {
        self.0.table.load().is_none().then(|| self.0.missing.load().to_string())
    }

    /// Whether both are the same table, which has nothing to do with what is in it.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    pub(super) fn now(&self) -> Option<Arc<Table>> {
        self.0.table.load_full()
    }
}

impl Default for LiveTable {
    fn default() -> Self {
        let missing = ArcSwap::from_pointee("not read yet".to_owned());
        Self(Arc::new(Inner { table: ArcSwapOption::empty(), missing }))
    }
}

impl fmt::Debug for LiveTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LiveTable").field(&self.missing()).finish()
    }
}
