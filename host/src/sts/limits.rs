//! How much is asked of STS at most: calls under way, and calls per second.
//!
//! A login beyond a limit is answered at once. There is no queue: kube-apiserver retries by itself,
//! and a queue would only turn a flood of junk into slow answers for everybody.

use std::{num::NonZeroU32, sync::Arc};

use governor::{DefaultDirectRateLimiter, Quota};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::config;
use crate::provider::VerifyError;

/// Both limits.
pub(super) struct Limits {
    in_flight: Arc<Semaphore>,
    bucket: Option<DefaultDirectRateLimiter>,
}

/// The right to one call; given back when dropped.
pub(super) struct Permit {
    _in_flight: OwnedSemaphorePermit,
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
            bucket: quota.map(DefaultDirectRateLimiter::direct),
        }
    }

    /// Admits one call, or says which limit stands against it.
    pub(super) fn admit(&self) -> Result<Permit, VerifyError> {
        let in_flight = Arc::clone(&self.in_flight).try_acquire_owned();
        let in_flight = in_flight.map_err(|_| VerifyError::Overloaded { limit: "sts_in_flight" })?;
        if self.bucket.as_ref().is_some_and(|bucket| bucket.check().is_err()) {
            return Err(VerifyError::Overloaded { limit: "sts_per_second" });
        }
        Ok(Permit { _in_flight: in_flight })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes `calls` permits, each given back at once unless `keep`, and tells what the last one met.
    #[track_caller]
    fn check(limits: &config::Limits, calls: usize, keep: bool, expected: Option<&str>) {
        let limits = Limits::new(limits);
        let mut kept = Vec::new();
        for call in 1..=calls {
            let refused = match limits.admit() {
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
    }

    #[test]
    fn each_limit_stands_alone() {
        let limits = |in_flight, per_second, burst| config::Limits { in_flight, per_second, burst };
        check(&limits(2, 0, 1), 3, true, Some("sts_in_flight"));
        check(&limits(2, 0, 1), 3, false, None);
        check(&limits(9, 1, 3), 4, false, Some("sts_per_second"));
        check(&limits(9, 1, 3), 3, true, None);
    }
}
