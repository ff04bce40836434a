//! How much is asked of STS at most: calls under way, to all hosts and to one, and calls per second; and how many logins
//! wait for calls of others.
//!
//! A token costs its sender nothing, names any key, and chooses among the hosts that there are. So a quarter of places
//! and pace is kept for keys [with standing](super::standing), which ask once for each token, and the rest is open to
//! whoever comes. What holds:
//!
//! - Whoever has not been let in lately, an account with a cloud or none, gets nothing of what is kept, whatever becomes
//!   of the rest. A key with standing has recourse to it where the rest has no room. Before anybody has been let in
//!   there is nobody to keep it for: all who come at once when a server starts have both.
//! - One key gets at most an eighth of the places that are kept, and of their pace beyond a few calls at once: whoever
//!   is let in and asks with hundreds of tokens a second leaves the rest to others, and nodes that share a role have a
//!   key each. Who has several keys has as many parts.
//! - Whoever presents another's key gets no more than that, and that until STS answers for the first time. The key's owner
//!   then shares the rest with all others until he is let in; nobody else has less.
//! - Hosts that have not answered lately have half of the places of each part, all of them together: calls to hosts
//!   that cannot be reached leave room for those that can. A first call each may have beyond that, so a host can always
//!   prove itself. One host that has answered has three quarters.
//! - Logins with a token that is being asked about are half as many as calls, and few for one token: each holds a review of
//!   the server, and whoever sends junk can send it any number of times. A quarter of them is kept as well.
//!
//! A login beyond a limit is answered at once. There is no queue: kube-apiserver retries by itself,
//! and a queue would only turn a flood of junk into slow answers for everybody.

use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use governor::{DefaultDirectRateLimiter, Quota};

use super::{
    config,
    standing::{Claim, Key, Keys, Pace},
};
use crate::provider::{StsCall, VerifyError};

/// All limits.
pub(super) struct Limits {
    places: Arc<Places>,
    /// Calls per second of each part; `None`: no limit.
    paces: [Option<DefaultDirectRateLimiter>; 2],
    joins: Joins,
    keys: Keys,
}

/// The right to one call; given back when dropped.
pub(super) struct Permit {
    place: Place,
    claim: Option<Claim>,
}

/// The right to wait for the call of another login; given back when dropped.
pub(super) struct Join<'a> {
    taken: &'a AtomicUsize,
    _claim: Option<Claim>,
}

/// Logins that wait for calls of others.
struct Joins {
    /// How many there may be, and up to how many whoever comes may be one more.
    most: usize,
    open: usize,
    taken: AtomicUsize,
}

/// A part of what may be asked.
#[derive(Clone, Copy, Debug)]
enum Part {
    /// For whoever comes.
    Open,
    /// For keys with standing.
    Kept,
}

/// The places, and who has them.
struct Places {
    /// How many there are in each part.
    most: [usize; 2],
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    /// Of each part.
    calls: [usize; 2],
    /// Those of them to hosts that had not answered lately when they began.
    unanswered: [usize; 2],
    /// Hosts with calls under way, and those that have ever answered: names from a table and the configuration.
    hosts: HashMap<String, Host>,
}

#[derive(Default)]
struct Host {
    /// Of each part.
    calls: [usize; 2],
    answered: Option<Instant>,
}

/// One place.
struct Place {
    places: Arc<Places>,
    part: Part,
    host: String,
    is_unanswered: bool,
    /// When the host has answered this call.
    answered: Option<Instant>,
}

/// Logins that may wait for one call beside the first. An API server asks once for equal tokens that come together, so each
/// of a cluster's needs one.
const JOINED: usize = 64;
/// For how long an answer speaks for a host.
const LATELY: Duration = Duration::from_secs(60);

// === impl Limits ===

impl Limits {
    pub(super) fn new(config: &config::Limits) -> Self {
        let (rate, burst) = (config.per_second, config.burst);
        // Of so few nothing is kept.
        let is_whole = config.in_flight < 4 || (rate > 0 && rate.min(burst) < 4);
        let kept = if is_whole { 0 } else { config.in_flight / 4 };
        let paces = if is_whole {
            [(rate, burst), (0, 0)]
        } else {
            [(rate - rate / 4, burst - burst / 4), (rate / 4, burst / 4)]
        };
        let joined = config.in_flight.div_ceil(2);
        let pace = |(rate, burst)| DefaultDirectRateLimiter::direct(Quota::per_second(rate).allow_burst(burst));
        Self {
            paces: paces.map(|(rate, burst)| NonZeroU32::new(rate).zip(NonZeroU32::new(burst)).map(pace)),
            joins: Joins {
                most: joined,
                open: if is_whole { joined } else { joined - joined / 4 },
                taken: AtomicUsize::new(0),
            },
            keys: Keys::new(if is_whole { 0 } else { share(kept, 1, 8) }, Pace::of_one(paces[1].0, paces[1].1)),
            places: Arc::new(Places { most: [config.in_flight - kept, kept], taken: Mutex::default() }),
        }
    }

    /// Admits `call`, or says which limit stands against it.
    pub(super) fn admit(&self, call: &StsCall, now: Instant) -> Result<Permit, VerifyError> {
        let overloaded = |limit| VerifyError::Overloaded { limit };
        let limit = match self.enter(Part::Open, &call.host, now) {
            Ok(place) => return Ok(Permit { place, claim: None }),
            Err(limit) => limit,
        };
        let claim = self.keys.claim(&call.access_key_id, now);
        if claim.is_none() && !self.keys.is_empty() {
            return Err(overloaded(limit));
        }
        // Before all of them are asked, so that what is refused here takes nothing of theirs.
        if claim.as_ref().is_some_and(|claim| !self.keys.is_in_pace(claim, now)) {
            return Err(overloaded("sts_per_second"));
        }
        let place = self.enter(Part::Kept, &call.host, now).map_err(|_| overloaded(limit))?;
        Ok(Permit { place, claim })
    }

    /// Lets one more login wait for a call for which `waiters` wait already, or says that there are enough of them.
    pub(super) fn join(&self, call: &StsCall, waiters: usize, now: Instant) -> Result<Join<'_>, VerifyError> {
        let overloaded = VerifyError::Overloaded { limit: "sts_joined" };
        if waiters > JOINED {
            return Err(overloaded);
        }
        if let Some(join) = self.joins.enter(self.joins.open, None) {
            return Ok(join);
        }
        let claim = self.keys.claim(&call.access_key_id, now);
        if claim.is_none() && !self.keys.is_empty() {
            return Err(overloaded);
        }
        self.joins.enter(self.joins.most, claim).ok_or(overloaded)
    }

    /// The owner of a key was let in.
    pub(super) fn welcome(&self, access_key_id: &str, now: Instant) {
        self.keys.welcome(access_key_id, now);
    }

    /// A place in one part and a call of its pace, or the name of the limit.
    fn enter(&self, part: Part, host: &str, now: Instant) -> Result<Place, &'static str> {
        let place = Places::enter(&self.places, part, host, now).ok_or("sts_in_flight")?;
        let pace = self.paces[part as usize].as_ref();
        if pace.is_none_or(|pace| pace.check().is_ok()) { Ok(place) } else { Err("sts_per_second") }
    }
}

/// So much of `whole`, but at least one of what there is.
fn share(whole: usize, numerator: usize, denominator: usize) -> usize {
    (whole * numerator / denominator).max(1)
}

// === impl Permit ===

impl Permit {
    /// The call has ended, at this moment with an answer or without one. Gives the key on whose standing it was made,
    /// if it was.
    pub(super) fn end(mut self, answered: Option<Instant>) -> Option<Arc<Key>> {
        self.place.answered = answered;
        self.claim.as_ref().map(|claim| Arc::clone(claim.key()))
    }
}

// === impl Joins ===

impl Joins {
    /// `None`: there are `most` already.
    fn enter(&self, most: usize, claim: Option<Claim>) -> Option<Join<'_>> {
        let one_more = |taken| (taken < most).then_some(taken + 1);
        self.taken.fetch_update(Relaxed, Relaxed, one_more).ok()?;
        Some(Join { taken: &self.taken, _claim: claim })
    }
}

// === impl Join ===

impl Drop for Join<'_> {
    fn drop(&mut self) {
        self.taken.fetch_sub(1, Relaxed);
    }
}

// === impl Places ===

impl Places {
    /// `None`: there is none in this part, or none for this host.
    fn enter(this: &Arc<Self>, part: Part, host: &str, now: Instant) -> Option<Place> {
        let (most, at) = (this.most[part as usize], part as usize);
        let mut taken = this.lock();
        let known = taken.hosts.get(host);
        let calls = known.map_or(0, |host| host.calls[at]);
        let answered = known.and_then(|host| host.answered);
        let is_unanswered = answered.is_none_or(|then| now.duration_since(then) >= LATELY);
        let is_too_many = match (is_unanswered, calls) {
            (true, 0) => false,
            (true, _) => taken.unanswered[at] >= share(most, 1, 2),
            (false, calls) => calls >= share(most, 3, 4),
        };
        if is_too_many || taken.calls[at] >= most {
            return None;
        }
        taken.calls[at] += 1;
        taken.unanswered[at] += usize::from(is_unanswered);
        taken.hosts.entry(host.to_owned()).or_default().calls[at] += 1;
        Some(Place { places: Arc::clone(this), part, host: host.to_owned(), is_unanswered, answered: None })
    }

    /// Nothing under this lock panics half-way.
    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Place ===

impl Drop for Place {
    /// A host that has never answered is not kept, so that there are never more of those than calls.
    fn drop(&mut self) {
        let at = self.part as usize;
        let mut taken = self.places.lock();
        taken.calls[at] -= 1;
        taken.unanswered[at] -= usize::from(self.is_unanswered);
        let Some(host) = taken.hosts.get_mut(&self.host) else { return };
        host.calls[at] -= 1;
        host.answered = host.answered.max(self.answered);
        if host.calls == [0, 0] && host.answered.is_none() {
            taken.hosts.remove(&self.host);
        }
    }
}

#[cfg(test)]
mod tests;
