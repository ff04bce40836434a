//! Keeper: puts what was read of a source in force, and tells the operator about it.

use std::{sync::Arc, time::SystemTime};

use sha2::{Digest as _, Sha256};

use super::gauges::Gauges;
use crate::{
    config::{
        Finding, Severity,
        lockout::{LOST, Vital},
    },
    mapping::{
        Live, Mappings,
        live::{Change, ChangeKind},
    },
    observe::Metrics,
};

/// The one who writes to a [`Live`].
pub(super) struct Keeper {
    name: &'static str,
    live: Live,
    gauges: Gauges,
    clock: fn() -> SystemTime,
    /// Whole hash of what is in force; `None` before the first.
    hash: Option<String>,
    /// Entries and parts that are left out of it.
    left_out: usize,
    /// A part of what stands there now did not parse.
    is_refused: bool,
    /// The failure that was told last, while it lasts.
    trouble: Option<String>,
}

/// What a document, or a set of objects, says.
pub(super) struct Read {
    pub(super) mappings: Mappings,
    /// Entries that are left out, and what else is to be said.
    pub(super) warnings: Vec<Finding>,
    /// Parts that did not parse, so that the last good one of them stays.
    pub(super) refused: Vec<String>,
    /// Digest of the text it was read from, whole: who writes a source may choose texts whose digests begin alike.
    pub(super) hash: String,
    /// When it was written, by its writer's word, where there is such a word.
    pub(super) written: Option<SystemTime>,
}

/// Changes of one set that get a line of their own, those of administrators first.
const MAX_LINES: usize = 100;
/// Hexadecimal digits of a hash that are shown.
const HASH_DIGITS: usize = 12;

// === impl Keeper ===

impl Keeper {
    pub(super) fn new(name: &'static str, live: Live, metrics: Arc<Metrics>, clock: fn() -> SystemTime) -> Self {
        let gauges = Gauges::new(name, metrics);
        Self { name, live, gauges, clock, hash: None, left_out: 0, is_refused: false, trouble: None }
    }

    /// What it tells metrics through.
    pub(super) fn gauges(&self) -> Gauges {
        self.gauges.clone()
    }

    /// Puts `read` in force and logs what is other than before, unless it is the same text. `resource_version` is
    /// what Kubernetes' own audit log knows the change by.
    pub(super) fn take(&mut self, read: Read, resource_version: Option<&str>) {
        self.is_refused = !read.refused.is_empty();
        self.tell_in_step();
        if self.hash.as_ref() == Some(&read.hash) {
            return;
        }
        for part in &read.refused {
            self.gauges.tell(|metrics, name| metrics.source_failed(name, "source_refused"));
            tracing::error!(source = self.name, resource_version, "{part}");
        }
        for warning in &read.warnings {
            let Finding { id, at, path, .. } = warning;
            tracing::warn!(source = self.name, line = at.line, key = path, check = %id, "{}", warning.text());
        }
        let left_out = read.warnings.iter().filter(|finding| finding.severity == Severity::Error).count();
        if let (Some(written), true) = (read.written, self.hash.is_some()) {
            let now = (self.clock)();
            self.gauges.tell(|metrics, _| metrics.old_dynamic_latency("dynamic_file", written, now));
        }
        self.left_out = left_out + read.refused.len();
        self.replace(&Arc::new(read.mappings), resource_version, shown(&read.hash));
        self.hash = Some(read.hash);
    }

    fn replace(&self, next: &Arc<Mappings>, resource_version: Option<&str>, hash: &str) {
        let before = self.live.replace(Arc::clone(next));
        let (source, mappings) = (self.name, next.len());
        self.tell_standing();
        self.tell_loss(before.as_deref(), next, resource_version, hash);
        let Some(before) = before else {
            tracing::info!(source, mappings, resource_version, hash, "mappings loaded");
            return;
        };
        tell_changes(source, mappings, &next.changes_since(&before), resource_version, hash);
    }

    /// Another tool may have written the source anew and left out whom the cluster needs. What is written counts all the
    /// same, as with any other change: who kept entries in force that nobody sees would let in whom somebody took away.
    fn tell_loss(&self, before: Option<&Mappings>, next: &Mappings, resource_version: Option<&str>, hash: &str) {
        let now = (self.clock)();
        let mut lost = Vec::new();
        for vital in Vital::ALL {
            let is_left = vital.count(&next.rules, now) > 0;
            if !is_left && before.is_some_and(|before| vital.count(&before.rules, now) > 0) {
                self.gauges.tell(|metrics, name| metrics.source_lost(name, vital.word()));
                lost.push(vital.word());
            }
        }
        if !lost.is_empty() {
            let (whom, reason) = (lost.join(", "), LOST);
            tracing::error!(
                source = self.name,
                reason,
                whom,
                resource_version,
                hash,
                "nobody of them is let in by this source any more: who changed it stands in Kubernetes' audit log; put \
                 the entries back. Bootstrap admins and other sources go on"
            );
        }
    }

    /// The source is being followed again, or still: what is in force is what stands there.
    pub(super) fn in_step(&mut self) {
        if self.trouble.take().is_some() {
            tracing::info!(source = self.name, "can be read again");
        }
        self.tell_in_step();
        self.tell_standing();
    }

    /// What did not parse is seen, and not in force: what is in force instead grows old.
    fn tell_in_step(&self) {
        if self.is_refused {
            return;
        }
        let now = (self.clock)();
        self.gauges.tell(|metrics, name| metrics.source_in_step(name, now));
    }

    /// Size of what is in force, and whom it lets in. Not only when it changes: entries end by themselves, and the same source
    /// at another place, of a configuration that did not go live, may have told of itself.
    fn tell_standing(&self) {
        let Some(mappings) = self.live.mappings() else { return };
        let now = (self.clock)();
        self.gauges.tell(|metrics, name| metrics.source_loaded(name, mappings.len(), self.left_out));
        for vital in Vital::ALL {
            let entries = vital.count(&mappings.rules, now);
            self.gauges.tell(|metrics, name| metrics.source_vital(name, vital.word(), entries));
        }
    }

    /// Whether what stands in the source is in force.
    pub(super) fn is_well(&self) -> bool {
        self.trouble.is_none()
    }

    /// The source cannot be read for the moment. Told once, however often it is tried.
    pub(super) fn failed(&mut self, reason: &'static str, why: &str) {
        self.gauges.tell(|metrics, name| metrics.source_failed(name, reason));
        self.live.failed(why.to_owned());
        if self.trouble.as_deref() == Some(why) {
            return;
        }
        let stays = if self.hash.is_some() { "what was read last stays in force" } else { "logins wait for it" };
        tracing::error!(source = self.name, reason, "cannot be read, {stays}: {why}");
        self.trouble = Some(why.to_owned());
    }
}

/// Logs who maps to what now, in a source that has so many `mappings`.
pub(in crate::config) fn tell_changes(
    source: &str,
    mappings: usize,
    changes: &[Change],
    resource_version: Option<&str>,
    hash: &str,
) {
    for change in changes.iter().take(MAX_LINES) {
        let (who, gives) = (&change.who, &change.gives);
        tracing::info!(source, resource_version, hash, who, gives, "mapping {}", change.kind.word());
    }
    let count = |kind| changes.iter().filter(|change| change.kind == kind).count();
    let (added, changed, removed) = (count(ChangeKind::Added), count(ChangeKind::Changed), count(ChangeKind::Removed));
    tracing::info!(source, mappings, added, changed, removed, resource_version, hash, "mappings changed");
}

/// As much of a digest as people need to tell versions apart. Herald itself compares the whole.
pub(in crate::config) fn shown(digest: &str) -> &str {
    digest.get(..HASH_DIGITS).unwrap_or(digest)
}

/// Digest of `parts`, each told from the next by its length.
pub(super) fn hash<'a>(parts: impl Iterator<Item = &'a [u8]>) -> String {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
