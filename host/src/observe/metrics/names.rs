//! Names: label values that the operator wrote, bounded in number.

use std::{
    collections::HashSet,
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use prometheus_client::encoding::{EncodeLabelValue, LabelValueEncoder};

use super::MAX_NAMES;

/// A label value of the operator's, shared instead of copied.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct Name(pub(super) Arc<str>);

/// The label values met so far, so that a look-up allocates nothing.
#[derive(Debug, Default)]
pub(super) struct Names(pub(super) RwLock<HashSet<Arc<str>>>);

// === impl Name ===

impl EncodeLabelValue for Name {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        EncodeLabelValue::encode(&&*self.0, encoder)
    }
}

// === impl Names ===

impl Names {
    /// `text`, or what those that are too many share.
    pub(super) fn name(&self, text: &str) -> Name {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner).get(text).cloned();
        Name(known.unwrap_or_else(|| self.learn(text)))
    }

    fn learn(&self, text: &str) -> Arc<str> {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let text = if known.len() < MAX_NAMES { text } else { "other" };
        let name: Arc<str> = Arc::from(text);
        known.insert(Arc::clone(&name));
        name
    }
}
