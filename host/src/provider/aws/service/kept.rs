//! What is known of things that are looked up: bounded, and forgotten in time.

use std::{
    hash::Hash,
    marker::PhantomData,
    sync::Arc,
    time::{Duration, Instant},
};

use quick_cache::{Weighter, sync::Cache};

use super::Failure;

/// What was found, and of what it is known that there is none.
pub(in crate::provider::aws) struct Kept<K, V, E> {
    known: Cache<K, (Arc<V>, Instant), Size<V>>,
    missing: Cache<K, (E, Instant)>,
    ages: Ages,
}

/// How long something is believed.
#[derive(Clone, Copy, Debug)]
pub(in crate::provider::aws) struct Ages {
    /// What was found, as it is.
    pub(in crate::provider::aws) fresh: Duration,
    /// The same when nobody can be asked.
    pub(in crate::provider::aws) stale: Duration,
    /// That there is none.
    pub(in crate::provider::aws) missing: Duration,
}

/// Something that takes memory.
pub(in crate::provider::aws) trait Room: Send + Sync + 'static {
    /// About how much, in bytes.
    fn bytes(&self) -> usize;

    /// Whether it will soon be another: it is believed as long as that there is none, and not when nobody can be asked.
    fn is_passing(&self) -> bool {
        false
    }
}

/// How much room an entry takes, its fair share at least.
struct Size<V> {
    least: u64,
    of: PhantomData<fn(V)>,
}

// === impl Size ===

impl<V> Clone for Size<V> {
    fn clone(&self) -> Self {
        Self { least: self.least, of: PhantomData }
    }
}

impl<K, V: Room> Weighter<K, (Arc<V>, Instant)> for Size<V> {
    fn weight(&self, _: &K, (value, _): &(Arc<V>, Instant)) -> u64 {
        (value.bytes() as u64).max(self.least)
    }
}

// === impl Kept ===

impl<K: Clone + Eq + Hash, V: Room, E: Failure> Kept<K, V, E> {
    /// Room for `entries` found and as many missing, and for so many bytes of those found.
    pub(in crate::provider::aws) fn new(entries: usize, bytes: u64, ages: Ages) -> Self {
        let size = Size { least: bytes / entries as u64, of: PhantomData };
        Self { known: Cache::with_weighter(entries, bytes, size), missing: Cache::new(entries), ages }
    }

    /// What was said, if that is to be believed without asking again.
    pub(in crate::provider::aws) fn fresh(&self, key: &K, now: Instant) -> Option<Result<Arc<V>, E>> {
        let young = |at: Instant, limit| now.duration_since(at) < limit;
        let age = |value: &V| if value.is_passing() { self.ages.missing } else { self.ages.fresh };
        if let Some((value, _)) = self.known.get(key).filter(|(value, at)| young(*at, age(value))) {
            return Some(Ok(value));
        }
        let (error, _) = self.missing.get(key).filter(|(_, at)| young(*at, self.ages.missing))?;
        Some(Err(error))
    }

    /// What was said before, if nobody can be asked.
    pub(in crate::provider::aws) fn stale(&self, key: &K, now: Instant) -> Option<Arc<V>> {
        let (value, _) = self.known.get(key).filter(|(_, at)| now.duration_since(*at) < self.ages.stale)?;
        (!value.is_passing()).then_some(value)
    }

    /// Keeps what was said about one thing. What says nothing about it is left out.
    pub(in crate::provider::aws) fn keep(&self, key: K, answer: &Result<Arc<V>, E>, now: Instant) {
        match answer {
            Ok(value) => {
                self.missing.remove(&key);
                self.known.insert(key, (Arc::clone(value), now));
            }
            Err(error) if !error.is_retryable() => {
                self.known.remove(&key);
                self.missing.insert(key, (error.clone(), now));
            }
            Err(_) => {}
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const AGES: Ages =
        Ages { fresh: Duration::from_secs(10), stale: Duration::from_secs(100), missing: Duration::from_secs(1) };
    const ENTRIES: usize = 64;

    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    pub(in super::super) enum Test {
        Gone,
        Later,
    }

    impl Failure for Test {
        fn is_retryable(&self) -> bool {
            *self == Self::Later
        }

        fn timeout() -> Self {
            Self::Later
        }

        fn given_up() -> Self {
            Self::Later
        }
    }

    const PASSING: usize = 3;

    impl Room for usize {
        fn bytes(&self) -> usize {
            *self
        }

        fn is_passing(&self) -> bool {
            *self == PASSING
        }
    }

    fn kept() -> Kept<usize, usize, Test> {
        Kept::new(ENTRIES, 100 * ENTRIES as u64, AGES)
    }

    #[test]
    fn everything_is_forgotten_in_time() {
        #[track_caller]
        fn check(answer: Result<usize, Test>, after: Duration, fresh: bool, stale: bool) {
            let (kept, start, answer) = (kept(), Instant::now(), answer.map(Arc::new));
            kept.keep(1, &answer, start);
            assert_eq!(kept.fresh(&1, start + after), fresh.then(|| answer.clone()), "{answer:?} {after:?}");
            assert_eq!(kept.stale(&1, start + after).is_some(), stale, "{answer:?} {after:?}");
            assert!(kept.fresh(&2, start).is_none(), "another thing");
        }
        check(Ok(1), Duration::ZERO, true, true);
        check(Ok(1), AGES.fresh, false, true);
        check(Ok(1), AGES.stale, false, false);
        check(Ok(PASSING), Duration::ZERO, true, false);
        check(Ok(PASSING), AGES.missing, false, false);
        check(Err(Test::Gone), Duration::ZERO, true, false);
        check(Err(Test::Gone), AGES.missing, false, false);
        check(Err(Test::Later), Duration::ZERO, false, false);
    }

    #[test]
    fn the_last_word_counts() {
        let (kept, now) = (kept(), Instant::now());
        kept.keep(1, &Err(Test::Gone), now);
        kept.keep(1, &Ok(Arc::new(7)), now);
        assert_eq!(kept.fresh(&1, now), Some(Ok(Arc::new(7))));
        kept.keep(1, &Err(Test::Later), now);
        assert_eq!(kept.stale(&1, now), Some(Arc::new(7)), "trouble takes nothing away");
        kept.keep(1, &Err(Test::Gone), now);
        assert_eq!(kept.stale(&1, now), None, "what is gone is not there for bad times");
        kept.keep(1, &Ok(Arc::new(7)), now);
        kept.keep(1, &Ok(Arc::new(PASSING)), now);
        assert_eq!(kept.stale(&1, now), None, "nor is what it was before it changed");
    }

    #[test]
    fn neither_kind_grows_without_end() {
        let (kept, now) = (kept(), Instant::now());
        for number in 0..4 * ENTRIES {
            kept.keep(number, &Ok(Arc::new(1)), now);
            kept.keep(number + 4 * ENTRIES, &Err(Test::Gone), now);
        }
        assert!(kept.known.len() <= ENTRIES && kept.missing.len() <= ENTRIES);
        for number in 0..4 * ENTRIES {
            kept.keep(number, &Ok(Arc::new(1000)), now);
        }
        assert!(kept.known.weight() <= 100 * ENTRIES as u64, "large ones are fewer");
    }
}
