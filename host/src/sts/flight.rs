//! Single-flight: one call to STS for a token, however many logins wait for its answer.
//!
//! Nobody owns a call: whoever waits drives it, so that a waiter who leaves never takes it from the
//! others, and when the last one leaves it is given up. No task is spawned.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use futures_util::future::{BoxFuture, FutureExt as _, Shared};

use super::{breaker::Ticket, exchange::Failure, limits::Join, standing::Key};
use crate::{
    caller::Caller,
    provider::{StsCall, StsReply, VerifyError},
    token::TokenDigest,
};

/// The calls under way. Each holds a permit, which bounds this map.
#[derive(Default)]
pub(super) struct Flights(Mutex<HashMap<TokenDigest, Boarded>>);

/// What came of one call to STS.
pub(super) struct Answer {
    pub(super) call: StsCall,
    pub(super) reply: Result<StsReply, Failure>,
    pub(super) took: Duration,
    pub(super) ended: Instant,
    /// To whom its outcome is owed, once somebody has read it.
    pub(super) ticket: Ticket,
    /// On whose standing it was asked.
    pub(super) key: Option<Arc<Key>>,
}

/// One waiter's place in a flight; dropping it leaves.
pub(super) struct Seat<'a> {
    flights: &'a Flights,
    digest: TokenDigest,
    flight: Arc<Flight>,
    /// What a waiter has who found the call under way.
    join: Option<Join<'a>>,
}

struct Boarded {
    flight: Arc<Flight>,
    waiters: usize,
}

struct Flight {
    answer: Shared<BoxFuture<'static, Arc<Answer>>>,
    /// What the answer means: read once, by whichever waiter wakes first.
    verdict: OnceLock<Result<Arc<Caller>, VerifyError>>,
}

// === impl Flights ===

impl Flights {
    /// Joins the call under way for `digest` if `join` lets one more wait beside so many, or starts `call` by `launch`. Both
    /// run under a lock and must only prepare: the call starts when somebody waits for it.
    ///
    /// # Errors
    ///
    /// Whatever `join` returns instead of a place, or `launch` instead of a call.
    pub(super) fn board<'a, E>(
        &'a self,
        digest: TokenDigest,
        call: StsCall,
        join: impl FnOnce(&StsCall, usize) -> Result<Join<'a>, E>,
        launch: impl FnOnce(StsCall) -> Result<BoxFuture<'static, Arc<Answer>>, E>,
    ) -> Result<Seat<'a>, E> {
        let (flight, join) = match self.lock().entry(digest) {
            Entry::Occupied(mut entry) => {
                let join = join(&call, entry.get().waiters)?;
                entry.get_mut().waiters += 1;
                (Arc::clone(&entry.get().flight), Some(join))
            }
            Entry::Vacant(entry) => {
                let flight = Arc::new(Flight::new(launch(call)?));
                entry.insert(Boarded { flight: Arc::clone(&flight), waiters: 1 });
                (flight, None)
            }
        };
        Ok(Seat { flights: self, digest, flight, join })
    }

    /// Nothing under this lock panics half-way.
    fn lock(&self) -> MutexGuard<'_, HashMap<TokenDigest, Boarded>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }
}

// === impl Flight ===

impl Flight {
    fn new(answer: BoxFuture<'static, Arc<Answer>>) -> Self {
        Self { answer: answer.shared(), verdict: OnceLock::new() }
    }
}

// === impl Seat ===

impl Seat<'_> {
    /// Whether this waiter found the call under way.
    pub(super) fn is_joined(&self) -> bool {
        self.join.is_some()
    }

    /// Waits for the answer, and drives the call while waiting.
    pub(super) async fn answer(&self) -> Arc<Answer> {
        self.flight.answer.clone().await
    }

    /// What the answer means, by `read` unless another waiter has read it.
    pub(super) fn verdict(
        &self,
        read: impl FnOnce() -> Result<Arc<Caller>, VerifyError>,
    ) -> Result<Arc<Caller>, VerifyError> {
        self.flight.verdict.get_or_init(read).clone()
    }
}

impl Drop for Seat<'_> {
    /// The last waiter takes the call with it; so does the first who has its verdict, since from then on
    /// the caches answer. The flight itself is dropped outside the lock.
    fn drop(&mut self) {
        let mut flights = self.flights.lock();
        let Entry::Occupied(mut entry) = flights.entry(self.digest) else { return };
        if !Arc::ptr_eq(&entry.get().flight, &self.flight) {
            return;
        }
        entry.get_mut().waiters -= 1;
        if entry.get().waiters == 0 || self.flight.verdict.get().is_some() {
            entry.remove();
        }
    }
}
