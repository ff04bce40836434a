//! How often denials may be written into the audit log, whoever provokes them.
//!
//! A token that proves nobody costs its sender nothing, and one that proves somebody can be sent again and again. So
//! strangers have a pace all together, and whoever a cloud vouched for has one by his principal and one by his account:
//! roles and users can be made at will, accounts hardly. Logins have no pace.

use std::{
    hash::{BuildHasher as _, RandomState},
    num::NonZeroU32,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Instant,
};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

use crate::authenticator::Decision;

/// The paces of all denials.
pub(super) struct Denials {
    strangers: DefaultDirectRateLimiter,
    principals: Paces,
    accounts: Paces,
}

/// One pace for each of any number of names, in a table of fixed size. Names that share a place in it share a pace;
/// which ones do is another matter in each process.
struct Paces {
    began: Instant,
    hasher: RandomState,
    /// Until when the lines that were admitted last, in milliseconds since `began`.
    places: Box<[AtomicU64]>,
    /// Milliseconds that a line lasts.
    every: u64,
    /// How far ahead lines may come, in milliseconds.
    ahead: u64,
}

/// Lines a second for tokens that prove nobody, and how many may come at once.
const STRANGERS: Quota =
    Quota::per_second(NonZeroU32::new(100).expect("not zero")).allow_burst(NonZeroU32::new(1000).expect("not zero"));
/// Lines a second for one principal, and how many may come at once.
const PRINCIPAL: (u64, u64) = (5, 20);
/// The same for one account.
const ACCOUNT: (u64, u64) = (50, 500);
/// Names that are told apart, more or less.
const PLACES: usize = 1024;

// === impl Denials ===

impl Denials {
    pub(super) fn new() -> Self {
        Self {
            strangers: RateLimiter::direct(STRANGERS),
            principals: Paces::new(PRINCIPAL),
            accounts: Paces::new(ACCOUNT),
        }
    }

    /// Whether the denial that `decision` is may be written down. A token that STS was not asked about, or did not
    /// answer, proves as little as junk.
    pub(super) fn admit(&self, decision: &Decision, now: Instant) -> bool {
        if decision.verified_by.is_none() {
            return self.strangers.check().is_ok();
        }
        // Those of accounts that are kept out of logs are one.
        let caller = decision.caller.as_deref();
        let (principal, account) =
            caller.map_or(("", ""), |caller| (caller.canonical_arn.as_str(), caller.account_id.as_str()));
        // An account without lines left takes none of those that share a place with its principals.
        self.accounts.would_admit(account, now)
            && self.principals.admit(principal, now)
            && self.accounts.admit(account, now)
    }
}

// === impl Paces ===

impl Paces {
    fn new((per_second, burst): (u64, u64)) -> Self {
        let every = 1000 / per_second;
        let places = (0..PLACES).map(|_| AtomicU64::new(0)).collect();
        Self { began: Instant::now(), hasher: RandomState::new(), places, every, ahead: every * (burst - 1) }
    }

    /// Admits a line under `name`, which takes its time.
    fn admit(&self, name: &str, now: Instant) -> bool {
        self.place(name).fetch_update(Relaxed, Relaxed, |until| self.after(until, now)).is_ok()
    }

    /// Whether a line under `name` would be admitted. Takes nothing.
    fn would_admit(&self, name: &str, now: Instant) -> bool {
        self.after(self.place(name).load(Relaxed), now).is_some()
    }

    /// Until when the lines of a place last with one more, if it has room for one.
    fn after(&self, until: u64, now: Instant) -> Option<u64> {
        let now = u64::try_from(now.duration_since(self.began).as_millis()).unwrap_or(u64::MAX);
        let until = until.max(now);
        (until - now <= self.ahead).then_some(until + self.every)
    }

    fn place(&self, name: &str) -> &AtomicU64 {
        &self.places[usize::try_from(self.hasher.hash_one(name) % PLACES as u64).unwrap_or(0)]
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::Arc,
        time::{Duration, SystemTime},
    };

    use super::{
        super::fixtures::{decided, denied},
        *,
    };
    use crate::{authenticator::Class, caller::made_up};

    /// Accounts make principals at will, and those share places with everybody's.
    #[test]
    fn an_account_without_lines_left_takes_none_of_other_accounts() {
        let denials = Denials::new();
        let now = Instant::now();
        let dated = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let admits = |arn: String| {
            let caller = made_up::caller(&arn.parse().expect("an ARN"), dated);
            let decided = decided(denied("not_mapped", Class::NotAllowed));
            let decision = Decision { caller: Some(Arc::new(caller)), verified_by: Some("sts"), ..decided };
            denials.admit(&decision, now)
        };
        let made = |line: u32| format!("arn:aws:iam::444455556666:user/made-{}", line % 1000);
        assert_eq!((0..30_000).filter(|line| admits(made(*line))).count(), 500);
        // One account in a thousand shares the pace of that one.
        let beside = ["111122223333", "222233334444"]
            .map(|account| (0..40).filter(|user| admits(format!("arn:aws:iam::{account}:user/beside-{user}"))).count());
        assert!(beside.contains(&40), "{beside:?}");
    }

    #[test]
    fn a_name_has_a_burst_and_then_its_pace() {
        let paces = Paces::new((5, 3));
        let admitted = |millis, tries: usize| {
            let now = paces.began + Duration::from_millis(millis);
            (0..tries).filter(|_| paces.admit("a", now)).count()
        };
        assert_eq!([admitted(0, 9), admitted(199, 9), admitted(200, 9), admitted(399, 9)], [3, 0, 1, 0]);
        assert_eq!([admitted(60_000, 9), admitted(60_000, 9)], [3, 0]);
    }

    #[test]
    fn names_have_paces_of_their_own() {
        let paces = Paces::new((1, 1));
        let now = paces.began;
        let admitted = (0..PLACES).filter(|name| paces.admit(&name.to_string(), now)).count();
        assert!((PLACES / 2..=PLACES).contains(&admitted), "{admitted}");
    }
}
