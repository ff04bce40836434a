//! Who waits to have IAM asked, by account: whoever floods with callers of one account leaves room and turns to the others'.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::caller::AccountId;

/// The line of each account that has somebody in it.
pub(super) struct Lines {
    of: Mutex<HashMap<AccountId, Line>>,
    most: usize,
    most_calls: usize,
}

struct Line {
    length: usize,
    calls: Arc<Semaphore>,
}

/// A place in one of them, until it is dropped.
pub(super) struct Place {
    lines: Arc<Lines>,
    account: AccountId,
    calls: Arc<Semaphore>,
}

// === impl Lines ===

impl Lines {
    /// Room for `most` of one account, of whom `most_calls` may call or be about to.
    pub(super) fn new(most: usize, most_calls: usize) -> Arc<Self> {
        Arc::new(Self { of: Mutex::default(), most, most_calls })
    }

    /// A place at the end of the line of `account`; `None` if that is as long as it may be.
    pub(super) fn enter(self: &Arc<Self>, account: &AccountId) -> Option<Place> {
        let mut lines = self.lock();
        let line = lines
            .entry(account.clone())
            .or_insert_with(|| Line { length: 0, calls: Arc::new(Semaphore::new(self.most_calls)) });
        if line.length >= self.most {
            return None;
        }
        line.length += 1;
        Some(Place { lines: Arc::clone(self), account: account.clone(), calls: Arc::clone(&line.calls) })
    }

    /// Nothing under this lock panics half-way.
    fn lock(&self) -> MutexGuard<'_, HashMap<AccountId, Line>> {
        self.of.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Place ===

impl Place {
    /// Waits until few enough of the account are before it.
    pub(super) async fn turn(&self) -> SemaphorePermit<'_> {
        self.calls.acquire().await.expect("the semaphore is never closed")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut lines = self.lines.lock();
        if let Some(line) = lines.get_mut(&self.account) {
            line.length -= 1;
            if line.length == 0 {
                lines.remove(&self.account);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn no_account_has_the_places_or_the_calls_of_another() {
        let [one, other] = ["111111111111", "222222222222"].map(|id| id.parse::<AccountId>().expect("12 digits"));
        let lines = Lines::new(3, 2);
        let mut places: Vec<Place> = (0..3).map(|_| lines.enter(&one).expect("a place")).collect();
        assert!(lines.enter(&one).is_none());
        let others = lines.enter(&other).expect("a line of its own");

        let mut turns: Vec<_> = places.iter().filter_map(|place| place.turn().now_or_never()).collect();
        assert_eq!(turns.len(), 2);
        assert!(others.turn().now_or_never().is_some());
        turns.pop();
        assert!(places[2].turn().now_or_never().is_some(), "the first that is free");
        drop(turns);

        places.pop();
        assert!(lines.enter(&one).is_some());
        drop((places, others));
        assert!(lines.lock().is_empty(), "nothing is left of whoever is gone");
    }
}
