//! Gauges: what metrics tell of one source for as long as somebody follows it, and nothing after that.
//!
//! Whoever ends a source does not wait for what is just being taken in, which goes on to its end beside everything else: a
//! source that nobody asks any more would be told of for ever, and somebody alarmed by its age.

use std::sync::{Arc, Mutex, PoisonError};

use crate::observe::Metrics;

/// Those of one source. Cheap to clone: every clone is of the same source.
#[derive(Clone)]
pub(super) struct Gauges(Arc<Inner>);

struct Inner {
    name: String,
    metrics: Arc<Metrics>,
    is_over: Mutex<bool>,
}

// === impl Gauges ===

impl Gauges {
    /// Those of the source called `name`.
    pub(super) fn new(name: &str, metrics: Arc<Metrics>) -> Self {
        Self(Arc::new(Inner { name: name.to_owned(), metrics, is_over: Mutex::default() }))
    }

    /// Has `tell` tell of the source, which it is given by its name, unless that is over.
    pub(super) fn tell(&self, tell: impl FnOnce(&Metrics, &str)) {
        let Inner { name, metrics, is_over } = &*self.0;
        let is_over = is_over.lock().unwrap_or_else(PoisonError::into_inner);
        if !*is_over {
            tell(metrics, name);
        }
    }

    /// From now on nothing is told. What has been is taken back, unless the source `stays`, read by somebody else. The first word
    /// counts.
    pub(super) fn end(&self, stays: bool) {
        let Inner { name, metrics, is_over } = &*self.0;
        let mut is_over = is_over.lock().unwrap_or_else(PoisonError::into_inner);
        if !std::mem::replace(&mut *is_over, true) && !stays {
            metrics.source_gone(name);
        }
    }
}
