//! Keys with standing: those whose owner was let in within the last hour, and has not lost it since.
//!
//! A key id is no secret, so a token that names one proves nothing before STS has been asked. Standing is therefore
//! little at a time and soon lost: a key has a bounded number of calls under way on it, and a pace, so that its owner too
//! cannot take what is there for all of them; and one call that STS answers without vouching for the caller ends it until
//! its owner is let in again.

use std::{
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use quick_cache::sync::Cache;

/// The keys that have standing, or had.
pub(super) struct Keys {
    began: Instant,
    known: Cache<Box<str>, Arc<Key>>,
    /// Calls that one key may have under way on its standing.
    most: usize,
    /// How fast one key may ask on it; `None`: no limit.
    pace: Option<Pace>,
}

/// A pace, in microseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Between two calls.
    interval: u64,
    /// So much too early a call may be.
    early: u64,
}

/// One key.
pub(super) struct Key {
    /// When its standing ends, in milliseconds since [`Keys::began`]; 0 once it is lost.
    until: AtomicU64,
    calls: AtomicUsize,
    /// When the next call is on time, in microseconds since [`Keys::began`].
    due: AtomicU64,
}

/// One call under way on a key's standing; given back when dropped.
pub(super) struct Claim(Arc<Key>);

/// Most keys remembered, some 120 bytes each. A key comes in by being let in and in no other way, so nobody else can
/// drive it out.
const MAX_KEYS: usize = 4096;
/// Calls of one key that may come at once, however few there may be of all: one person's, or one machine's.
const AT_ONCE: u32 = 8;
/// How long a key has standing after its owner was let in.
const LATELY: Duration = Duration::from_secs(60 * 60);

// === impl Keys ===

impl Keys {
    /// None yet; each may have `most` calls under way, and asks at `pace`.
    pub(super) fn new(most: usize, pace: Option<Pace>) -> Self {
        Self { began: Instant::now(), known: Cache::new(MAX_KEYS), most, pace }
    }

    /// The owner of the key was let in.
    pub(super) fn welcome(&self, id: &str, now: Instant) {
        let until = self.millis(now + LATELY);
        match self.known.get(id) {
            Some(key) => key.until.store(until, Relaxed),
            None => self.known.insert(id.into(), Arc::new(Key::until(until))),
        }
    }

    /// The right to one call, if the key has standing and not as many under way as it may.
    pub(super) fn claim(&self, id: &str, now: Instant) -> Option<Claim> {
        let key = self.known.get(id).filter(|key| self.millis(now) < key.until.load(Relaxed))?;
        let before = key.calls.fetch_add(1, Relaxed);
        let claim = Claim(key);
        (before < self.most).then_some(claim)
    }

    /// Whether one more call of the claim's key is within its pace, and counts it if it is.
    pub(super) fn is_in_pace(&self, claim: &Claim, now: Instant) -> bool {
        let Some(pace) = self.pace else { return true };
        let now = u64::try_from(now.duration_since(self.began).as_micros()).unwrap_or(u64::MAX);
        let counted = |due: u64| {
            let due = due.max(now);
            (due - now <= pace.early).then(|| due.saturating_add(pace.interval))
        };
        claim.0.due.fetch_update(Relaxed, Relaxed, counted).is_ok()
    }

    /// Whether nobody has been let in yet.
    pub(super) fn is_empty(&self) -> bool {
        self.known.len() == 0
    }

    fn millis(&self, now: Instant) -> u64 {
        u64::try_from(now.duration_since(self.began).as_millis()).unwrap_or(u64::MAX)
    }
}

// === impl Pace ===

impl Pace {
    /// One key's part of `rate` calls a second and `burst` at once, which are there for all keys: an eighth. `None`: no limit.
    pub(super) fn of_one(rate: u32, burst: u32) -> Option<Self> {
        let interval = 8 * 1_000_000 / u64::from(NonZeroU32::new(rate)?.get());
        let at_once = (burst / 8).max(burst.min(AT_ONCE));
        Some(Self { interval, early: interval * u64::from(at_once.saturating_sub(1)) })
    }
}

// === impl Key ===

impl Key {
    /// With standing until that moment.
    fn until(until: u64) -> Self {
        Self { until: until.into(), calls: AtomicUsize::new(0), due: AtomicU64::new(0) }
    }

    /// From now on it is a key like any other.
    pub(super) fn lose(&self) {
        self.until.store(0, Relaxed);
    }
}

// === impl Claim ===

impl Claim {
    /// Whose standing it is.
    pub(super) fn key(&self) -> &Arc<Key> {
        &self.0
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.0.calls.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standing_is_had_for_an_hour_and_lost_at_once() {
        let keys = Keys::new(1, None);
        let after = |minutes: u64| keys.began + Duration::from_secs(60 * minutes);
        let has = |minutes| keys.claim("AKIDA", after(minutes)).is_some();
        assert!(!has(0), "whoever was never let in has none");
        keys.welcome("AKIDA", after(0));
        assert!(has(0) && has(59) && !has(60));
        keys.welcome("AKIDA", after(30));
        assert!(has(89) && !has(90));
        assert!(keys.claim("AKIDB", after(30)).is_none());
        keys.claim("AKIDA", after(31)).expect("it has").key().lose();
        assert!(!has(31));
        keys.welcome("AKIDA", after(32));
        assert!(has(32));
    }

    #[test]
    fn calls_of_one_key_are_few() {
        let keys = Keys::new(2, None);
        let now = keys.began;
        ["AKIDA", "AKIDB"].into_iter().for_each(|id| keys.welcome(id, now));
        let claims = [keys.claim("AKIDA", now), keys.claim("AKIDA", now)];
        assert!(claims.iter().all(Option::is_some) && keys.claim("AKIDA", now).is_none());
        assert!(keys.claim("AKIDB", now).is_some());
        drop(claims);
        assert!(keys.claim("AKIDA", now).is_some());
    }

    #[test]
    fn calls_of_one_key_are_paced() {
        #[track_caller]
        fn check(rate: u32, burst: u32, at_once: usize, in_a_minute: usize) {
            let keys = Keys::new(1, Pace::of_one(rate, burst));
            keys.welcome("AKIDA", keys.began);
            let claim = keys.claim("AKIDA", keys.began).expect("it has standing");
            let calls = |seconds| {
                let now = keys.began + Duration::from_secs(seconds);
                (0..1000).take_while(|_| keys.is_in_pace(&claim, now)).count()
            };
            assert_eq!((calls(0), calls(60)), (at_once, in_a_minute), "{rate}, {burst}");
        }
        // As by default: as many may come at once again as soon as there was time for them.
        check(125, 250, 31, 31);
        check(1, 8, 8, 7);
        check(1, 5, 5, 5);
        check(1, 1, 1, 1);
        check(1, 800, 100, 7);
        check(0, 0, 1000, 1000);
    }

    #[test]
    fn keys_are_bounded() {
        let keys = Keys::new(1, None);
        (0..3 * MAX_KEYS).for_each(|key| keys.welcome(&key.to_string(), keys.began));
        assert!(keys.known.len() <= MAX_KEYS);
    }
}
