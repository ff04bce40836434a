//! A service's patience with us: so many calls a second, and so many at once after a quiet time.

use std::num::NonZeroU32;

use governor::{
    DefaultDirectRateLimiter, Quota, RateLimiter,
    clock::{Clock as _, DefaultClock},
};
use tokio::{sync::Mutex, time::sleep};

/// For whom something is looked up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Asker {
    /// Somebody whom no login waits for: half of the pace is the others' alone.
    Aside,
    /// A login.
    Login,
}

/// What is left of it.
pub(in crate::provider::aws) struct Pace {
    all: DefaultDirectRateLimiter,
    aside: DefaultDirectRateLimiter,
    /// Held by whoever's turn is next: the others stand in line.
    next: Mutex<()>,
}

// === impl Pace ===

impl Pace {
    /// `qps` is from 1 to [`MAX_RATE`](super::MAX_RATE), and so is `burst`.
    pub(in crate::provider::aws) fn new(qps: u32, burst: u32) -> Self {
        let at_least_one = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
        let all = Quota::per_second(at_least_one(qps));
        let aside = half(all).allow_burst(at_least_one(burst / 2));
        let all = RateLimiter::direct(all.allow_burst(at_least_one(burst)));
        Self { all, aside: RateLimiter::direct(aside), next: Mutex::default() }
    }

    /// Waits until another call may be made, each in the order in which he came.
    pub(in crate::provider::aws) async fn turn(&self) {
        let _next = self.next.lock().await;
        turn(&self.all).await;
    }

    /// Waits until `asker` may ask for what is not known, and so wait for a call.
    pub(in crate::provider::aws) async fn admit(&self, asker: Asker) {
        if asker == Asker::Aside {
            turn(&self.aside).await;
        }
    }
}

fn half(quota: Quota) -> Quota {
    Quota::with_period(2 * quota.replenish_interval()).unwrap_or(quota)
}

async fn turn(limiter: &DefaultDirectRateLimiter) {
    while let Err(early) = limiter.check() {
        sleep(early.wait_time_from(DefaultClock::default().now())).await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt as _;

    use super::*;

    /// Asked in one go, at rates at which a turn comes in a second at the soonest.
    #[tokio::test]
    async fn whoever_asks_aside_leaves_half() {
        #[track_caller]
        fn check(burst: u32, aside: usize) {
            let pace = Pace::new(1, burst);
            let may_ask = |asker| pace.admit(asker).now_or_never().is_some();
            assert_eq!((0..100).filter(|_| may_ask(Asker::Aside)).count(), aside, "of {burst}");
            assert!((0..100).all(|_| may_ask(Asker::Login)), "a login waits for its call alone");
            let calls = (0..20).filter(|_| pace.turn().now_or_never().is_some()).count();
            assert_eq!(calls, usize::try_from(burst).expect("small"), "whoever may ask has not called yet");
        }
        check(10, 5);
        check(5, 2);
        check(1, 1);
        let often = half(Quota::per_second(NonZeroU32::new(500).expect("not zero")));
        assert_eq!(often.replenish_interval(), Duration::from_millis(4));
    }
}
