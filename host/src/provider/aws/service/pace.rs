//! A service's patience with us: so many calls a second, and so many at once after a quiet time.

use std::num::NonZeroU32;

use governor::{
    DefaultDirectRateLimiter, Quota, RateLimiter,
    clock::{Clock as _, DefaultClock},
};
use tokio::time::sleep;

/// What is left of it.
pub(in crate::provider::aws) struct Pace(DefaultDirectRateLimiter);

// === impl Pace ===

impl Pace {
    pub(in crate::provider::aws) fn new(qps: u32, burst: u32) -> Self {
        let at_least_one = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
        Self(RateLimiter::direct(Quota::per_second(at_least_one(qps)).allow_burst(at_least_one(burst))))
    }

    /// Waits until another call may be made.
    pub(in crate::provider::aws) async fn turn(&self) {
        while let Err(early) = self.0.check() {
            sleep(early.wait_time_from(DefaultClock::default().now())).await;
        }
    }
}
