//! What STS said about a token a moment ago, for a bounded number of tokens and a bounded time.
//!
//! Keyed by the token's SHA-256, so that neither a token nor a signature is kept. Both kinds of
//! answer live here: callers STS vouched for, and tokens it refused for good. A failure to ask is
//! never remembered.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use quick_cache::sync::Cache;

use super::{Config, Source, Verified};
use crate::{
    caller::Caller,
    provider::{VerifyError, validity::MAX_CLOCK_SKEW},
    token::TokenDigest,
};

/// Both memories; a time to live or a size of zero leaves one out.
pub(super) struct Memory {
    verified: Option<Bounded<Arc<Caller>>>,
    refused: Option<Bounded<Refusal>>,
    code: LastCode,
}

struct Bounded<V> {
    cache: Cache<TokenDigest, Entry<V>>,
    ttl: Duration,
}

#[derive(Clone)]
struct Entry<V> {
    value: V,
    since: SystemTime,
    until: SystemTime,
}

/// [`VerifyError::Refused`], in a form that is cheap to clone.
#[derive(Clone)]
struct Refusal {
    status: u16,
    code: Arc<str>,
}

/// The code of the refusal before: a flood has the same one over and over, which is then kept once.
#[derive(Default)]
struct LastCode(Mutex<Arc<str>>);

/// How far apart logins that run beside each other may have read the clock. An entry of a later moment than that is one
/// from before the clock was set back, and nobody knows how old.
const APART: Duration = Duration::from_secs(2);

// === impl Memory ===

impl Memory {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            verified: Bounded::new(config.verified_cache.ttl, config.verified_cache.entries),
            refused: Bounded::new(config.refused_cache.ttl, config.refused_cache.entries),
            code: LastCode::default(),
        }
    }

    /// What STS said about this token, if that still holds.
    pub(super) fn recall(&self, digest: &TokenDigest, now: SystemTime) -> Option<Result<Verified, VerifyError>> {
        let caller = self.verified.as_ref().and_then(|verified| verified.fresh(digest, now));
        if let Some(caller) = caller.filter(|caller| is_in_force(caller, now)) {
            return Some(Ok(Verified { caller, source: Source::Cache }));
        }
        let refusal = self.refused.as_ref()?.fresh(digest, now)?;
        Some(Err(VerifyError::Refused { status: refusal.status, code: refusal.code.as_ref().into() }))
    }

    /// Keeps what STS just said about this token; anything but its word on the caller is left out.
    pub(super) fn remember(&self, digest: TokenDigest, verdict: &Result<Arc<Caller>, VerifyError>, now: SystemTime) {
        match (verdict, &self.verified, &self.refused) {
            (Ok(caller), Some(verified), _) => {
                verified.insert(digest, Arc::clone(caller), now, Some(caller.expires_at));
            }
            (Err(VerifyError::Refused { status, code }), _, Some(refused)) => {
                refused.insert(digest, Refusal { status: *status, code: self.code.shared(code) }, now, None);
            }
            _ => {}
        }
    }
}

/// Whether the caller's token is valid at `now`, by its own dates.
fn is_in_force(caller: &Caller, now: SystemTime) -> bool {
    now < caller.expires_at && caller.signed_at.checked_sub(MAX_CLOCK_SKEW).is_none_or(|start| start <= now)
}

// === impl LastCode ===

impl LastCode {
    /// `code`, as one text with the one before if they are the same.
    fn shared(&self, code: &str) -> Arc<str> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if **last != *code {
            *last = code.into();
        }
        Arc::clone(&last)
    }
}

// === impl Bounded ===

impl<V: Clone> Bounded<V> {
    fn new(ttl: Duration, entries: usize) -> Option<Self> {
        (!ttl.is_zero() && entries > 0).then(|| Self { cache: Cache::new(entries), ttl })
    }

    fn fresh(&self, digest: &TokenDigest, now: SystemTime) -> Option<V> {
        let entry = self.cache.get(digest)?;
        if entry.since <= now + APART && now < entry.until {
            return Some(entry.value);
        }
        self.cache.remove(digest);
        None
    }

    fn insert(&self, digest: TokenDigest, value: V, now: SystemTime, end: Option<SystemTime>) {
        let Some(until) = now.checked_add(self.ttl) else { return };
        let until = end.map_or(until, |end| end.min(until));
        if now < until {
            self.cache.insert(digest, Entry { value, since: now, until });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_kept_once_for_refusals_in_a_row() {
        let codes = LastCode::default();
        let [first, second, other, again] =
            ["AccessDenied", "AccessDenied", "", "AccessDenied"].map(|c| codes.shared(c));
        assert!(Arc::ptr_eq(&first, &second) && !Arc::ptr_eq(&second, &again));
        assert_eq!([&*first, &*other, &*again], ["AccessDenied", "", "AccessDenied"]);
    }
}
