//! Compiled policies: whether they can be kept, and which were there and not used.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use super::{Metrics, Reason};

/// What becomes of compiled policies.
#[derive(Debug, Default)]
pub(super) struct CompiledPolicies {
    ignored: Family<Reason, Counter>,
    not_kept: Gauge,
    /// Why they are not kept.
    why: ArcSwapOption<String>,
}

// === impl CompiledPolicies ===

impl CompiledPolicies {
    pub(super) fn register(&self, own: &mut Registry) {
        own.register(
            "compiled_policies_ignored",
            "Compiled policies that were there and not used",
            self.ignored.clone(),
        );
        own.register(
            "compiled_policies_not_kept",
            "1 if compiled policies cannot be kept, so that each start compiles them again",
            self.not_kept.clone(),
        );
    }
}

// === impl Metrics ===

impl Metrics {
    /// A compiled policy that was there was not used: its reason label.
    pub fn compiled_policy_ignored(&self, reason: &'static str) {
        self.compiled_policies.ignored.get_or_create(&Reason { reason }).inc();
    }

    /// Whether compiled policies can be kept, or why they cannot.
    pub fn compiled_policies_kept(&self, kept: Result<(), String>) {
        let why = kept.err().map(Arc::new);
        self.compiled_policies.not_kept.set(i64::from(why.is_some()));
        self.compiled_policies.why.store(why);
    }

    /// Why compiled policies cannot be kept; `None` if they can, or there are none.
    #[must_use]
    pub fn why_not_kept(&self) -> Option<Arc<String>> {
        self.compiled_policies.why.load_full()
    }
}
