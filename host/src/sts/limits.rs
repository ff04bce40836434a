//! How much is asked of STS at most: calls under way, to all hosts and to one, and calls per second.
//!
//! A token chooses among the hosts that there are, so a host that does not answer must not take the places of all
//! others.
//!
//! A login beyond a limit is answered at once. There is no queue: kube-apiserver retries by itself,
//! and a queue would only turn a flood of junk into slow answers for everybody.

use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use governor::{DefaultDirectRateLimiter, Quota};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::config;
use crate::provider::VerifyError;

/// All limits.
pub(super) struct Limits {
    in_flight: Arc<Semaphore>,
    hosts: Arc<Hosts>,
    bucket: Option<DefaultDirectRateLimiter>,
}

/// The right to one call; given back when dropped.
pub(super) struct Permit {
    _in_flight: OwnedSemaphorePermit,
    _at_host: AtHost,
}

/// The calls under way to each host that has some.
struct Hosts {
    most: usize,
    calls: Mutex<HashMap<String, usize>>,
}

/// One of them.
struct AtHost {
    hosts: Arc<Hosts>,
    host: String,
}

// === impl Limits ===

impl Limits {
    pub(super) fn new(config: &config::Limits) -> Self {
        let quota = NonZeroU32::new(config.per_second).map(|rate| {
            let burst = NonZeroU32::new(config.burst).unwrap_or(NonZeroU32::MIN);
            Quota::per_second(rate).allow_burst(burst)
        });
        Self {
            in_flight: Arc::new(Semaphore::new(config.in_flight)),
            hosts: Arc::new(Hosts { most: (config.in_flight / 2).max(1), calls: Mutex::default() }),
            bucket: quota.map(DefaultDirectRateLimiter::direct),
        }
    }

    /// Admits one call to `host`, or says which limit stands against it.
    pub(super) fn admit(&self, host: &str) -> Result<Permit, VerifyError> {
        let busy = VerifyError::Overloaded { limit: "sts_in_flight" };
        let Ok(in_flight) = Arc::clone(&self.in_flight).try_acquire_owned() else { return Err(busy) };
        let Some(at_host) = Hosts::enter(&self.hosts, host) else { return Err(busy) };
        if self.bucket.as_ref().is_some_and(|bucket| bucket.check().is_err()) {
            return Err(VerifyError::Overloaded { limit: "sts_per_second" });
        }
        Ok(Permit { _in_flight: in_flight, _at_host: at_host })
    }
}

// === impl Hosts ===

impl Hosts {
    /// `None`: the host has as many calls as one may have.
    fn enter(this: &Arc<Self>, host: &str) -> Option<AtHost> {
        let mut calls = this.lock();
        let count = calls.entry(host.to_owned()).or_default();
        if *count >= this.most {
            return None;
        }
        *count += 1;
        Some(AtHost { hosts: Arc::clone(this), host: host.to_owned() })
    }

    /// Nothing under this lock panics half-way.
    fn lock(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl AtHost ===

impl Drop for AtHost {
    /// A host without calls is not kept, so that there are never more of them than calls.
    fn drop(&mut self) {
        let mut calls = self.hosts.lock();
        let Some(count) = calls.get_mut(&self.host) else { return };
        *count -= 1;
        if *count == 0 {
            calls.remove(&self.host);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes `calls` permits for one host, each given back at once unless `keep`, and tells what the last one met.
    #[track_caller]
    fn check(limits: &config::Limits, calls: usize, keep: bool, expected: Option<&str>) {
        let limits = Limits::new(limits);
        let mut kept = Vec::new();
        for call in 1..=calls {
            let refused = match limits.admit("sts.test") {
                Ok(permit) if keep => {
                    kept.push(permit);
                    None
                }
                Ok(_) => None,
                Err(VerifyError::Overloaded { limit }) => Some(limit),
                Err(other) => panic!("{other}"),
            };
            assert_eq!(refused, expected.filter(|_| call == calls), "call {call}");
        }
        drop(kept);
        assert_eq!(limits.hosts.lock().len(), 0, "no host is kept");
    }

    #[test]
    fn each_limit_stands_alone() {
        let limits = |in_flight, per_second, burst| config::Limits { in_flight, per_second, burst };
        check(&limits(1, 0, 1), 2, true, Some("sts_in_flight"));
        check(&limits(4, 0, 1), 3, true, Some("sts_in_flight"));
        check(&limits(5, 0, 1), 3, true, Some("sts_in_flight"));
        check(&limits(2, 0, 1), 3, false, None);
        check(&limits(9, 1, 3), 4, false, Some("sts_per_second"));
        check(&limits(9, 1, 3), 3, true, None);
    }

    #[test]
    fn one_host_leaves_half_of_the_places_to_the_others() {
        let limits = Limits::new(&config::Limits { in_flight: 4, per_second: 0, burst: 1 });
        let admit = |host| limits.admit(host).map_err(|error| error.reason());
        let kept: Vec<_> = [admit("a.test"), admit("a.test")].into_iter().collect::<Result<_, _>>().unwrap();
        assert_eq!(admit("a.test").err(), Some("overloaded"));
        let others = [admit("b.test").unwrap(), admit("c.test").unwrap()];
        assert_eq!(admit("d.test").err(), Some("overloaded"), "and all hosts have as many as there are");
        drop((kept, others));
        assert!(admit("a.test").is_ok());
    }
}
