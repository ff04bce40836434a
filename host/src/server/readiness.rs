//! What is missing before logins can be answered, as `/readyz` tells it.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Named conditions that keep the server from being ready. Empty means ready.
#[derive(Debug, Default)]
pub struct Readiness(Mutex<BTreeMap<String, String>>);

// === impl Readiness ===

impl Readiness {
    /// From now on `name` is missing, for `reason`. Names are few and fixed: stages and sources.
    pub fn missing(&self, name: &str, reason: &str) {
        self.lock().insert(name.to_owned(), reason.to_owned());
    }

    /// `name` is there.
    pub fn present(&self, name: &str) {
        self.lock().remove(name);
    }

    /// Everything that is missing, with its reason.
    #[must_use]
    pub fn reasons(&self) -> BTreeMap<String, String> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
