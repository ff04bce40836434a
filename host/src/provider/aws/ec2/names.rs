//! What is known of instances: bounded, and forgotten in time.
//!
//! An instance keeps its private DNS name for life and no id is given twice, so a name may be old; it is asked for
//! again only so that an instance that is gone is a node no more.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use quick_cache::{Weighter, sync::Cache};

use super::{Ec2Error, Instance, queue::Ask};

/// Names by the instance, and those that there are not.
pub(super) struct Names {
    known: Cache<Ask, (Arc<Instance>, Instant), Size>,
    missing: Cache<Ask, (Ec2Error, Instant)>,
}

/// How long a name is taken as it is.
const FRESH: Duration = Duration::from_secs(15 * 60);
/// How long it is kept for when EC2 cannot be asked.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);
/// How long EC2's word that there is none is kept: an instance has its name a moment after its start.
const MISSING: Duration = Duration::from_secs(5);
/// Most instances, and most of those without a name.
const ENTRIES: usize = 16 * 1024;
/// Most that is kept of instances, in bytes: fewer of them where they have many tags.
const BYTES: u64 = 16 << 20;

/// How much room an instance takes, its fair share at least.
#[derive(Clone)]
struct Size;

impl Weighter<Ask, (Arc<Instance>, Instant)> for Size {
    fn weight(&self, _: &Ask, (instance, _): &(Arc<Instance>, Instant)) -> u64 {
        const AROUND: usize = 300;
        const AROUND_TAG: usize = 60;
        let Instance { owner, private_dns_name, private_ip, zone, image_id, tags } = &**instance;
        let texts = [owner, private_dns_name, private_ip, zone, image_id].map(String::len).iter().sum::<usize>();
        let tags = tags.iter().map(|(key, value)| AROUND_TAG + key.len() + value.len()).sum::<usize>();
        ((AROUND + texts + tags) as u64).max(BYTES / ENTRIES as u64)
    }
}

// === impl Names ===

impl Names {
    /// What EC2 said, if that is to be believed without asking again.
    pub(super) fn fresh(&self, ask: &Ask, now: Instant) -> Option<Result<Arc<Instance>, Ec2Error>> {
        let young = |at: Instant, limit| now.duration_since(at) < limit;
        if let Some((instance, _)) = self.known.get(ask).filter(|(_, at)| young(*at, FRESH)) {
            return Some(Ok(instance));
        }
        let (error, _) = self.missing.get(ask).filter(|(_, at)| young(*at, MISSING))?;
        Some(Err(error))
    }

    /// What EC2 said in the last hours, if it cannot be asked.
    pub(super) fn stale(&self, ask: &Ask, now: Instant) -> Option<Arc<Instance>> {
        let (instance, _) = self.known.get(ask).filter(|(_, at)| now.duration_since(*at) < KEPT)?;
        Some(instance)
    }

    /// Keeps what EC2 said about one instance. What says nothing about it is left out.
    pub(super) fn keep(&self, ask: Ask, answer: &Result<Arc<Instance>, Ec2Error>, now: Instant) {
        match answer {
            Ok(instance) => {
                self.missing.remove(&ask);
                self.known.insert(ask, (instance.clone(), now));
            }
            Err(error) if !error.is_retryable() => {
                self.known.remove(&ask);
                self.missing.insert(ask, (error.clone(), now));
            }
            Err(_) => {}
        }
    }
}

impl Default for Names {
    fn default() -> Self {
        Self { known: Cache::with_weighter(ENTRIES, BYTES, Size), missing: Cache::new(ENTRIES) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::aws::ec2::InstanceId;

    fn ask(number: usize) -> Ask {
        Ask { lane: 0, id: InstanceId::parse(&format!("i-{number:08x}")).expect("an id") }
    }

    fn instance() -> Arc<Instance> {
        let (owner, private_dns_name) = ("123456789012".to_owned(), "a".to_owned());
        Arc::new(Instance { owner, private_dns_name, ..Instance::default() })
    }

    #[test]
    fn everything_is_forgotten_in_time() {
        #[track_caller]
        fn check(answer: &Result<Arc<Instance>, Ec2Error>, after: Duration, fresh: bool, stale: bool) {
            let (names, start) = (Names::default(), Instant::now());
            names.keep(ask(1), answer, start);
            let known = names.fresh(&ask(1), start + after);
            assert_eq!(known, fresh.then(|| answer.clone()), "{answer:?} {after:?}");
            assert_eq!(names.stale(&ask(1), start + after).is_some(), stale, "{answer:?} {after:?}");
            assert!(names.fresh(&Ask { lane: 1, ..ask(1) }, start).is_none(), "another way of asking");
        }
        let (found, missing) = (Ok(instance()), Err(Ec2Error::WithoutName));
        check(&found, Duration::ZERO, true, true);
        check(&found, FRESH, false, true);
        check(&found, KEPT, false, false);
        check(&missing, Duration::ZERO, true, false);
        check(&missing, MISSING, false, false);
        check(&Err(Ec2Error::Throttled), Duration::ZERO, false, false);
    }

    #[test]
    fn the_last_word_counts() {
        let (names, now) = (Names::default(), Instant::now());
        names.keep(ask(1), &Err(Ec2Error::WithoutName), now);
        names.keep(ask(1), &Ok(instance()), now);
        assert_eq!(names.fresh(&ask(1), now), Some(Ok(instance())));
        names.keep(ask(1), &Err(Ec2Error::WithoutName), now);
        assert_eq!(names.stale(&ask(1), now), None, "an instance that is gone has no name for bad times");
    }

    #[test]
    fn neither_kind_grows_without_end() {
        let (names, now) = (Names::default(), Instant::now());
        for number in 0..2 * ENTRIES {
            names.keep(ask(number), &Ok(instance()), now);
            names.keep(ask(number + 2 * ENTRIES), &Err(Ec2Error::WithoutName), now);
        }
        assert!(names.known.len() <= ENTRIES && names.missing.len() <= ENTRIES);
    }
}
