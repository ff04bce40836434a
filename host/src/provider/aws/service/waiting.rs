//! Who waits for what, so that each thing is asked for once: bounded.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, MutexGuard, PoisonError},
};

use futures_util::future::{FutureExt as _, Shared};
use tokio::sync::oneshot;

/// Everybody who waits, by what he waits for.
pub(in crate::provider::aws) struct Waiting<K, A> {
    answers: Mutex<HashMap<K, Shared<oneshot::Receiver<A>>>>,
    most: usize,
}

/// A place among them.
pub(in crate::provider::aws) struct Seat<A> {
    pub(super) answer: Shared<oneshot::Receiver<A>>,
    /// Whether somebody asks for the same already.
    pub(in crate::provider::aws) is_joined: bool,
}

// === impl Waiting ===

impl<K: Eq + Hash, A: Clone> Waiting<K, A> {
    /// Room for `most` things.
    pub(in crate::provider::aws) fn new(most: usize) -> Self {
        Self { answers: Mutex::default(), most }
    }

    /// Nothing under this lock panics half-way.
    fn lock(&self) -> MutexGuard<'_, HashMap<K, Shared<oneshot::Receiver<A>>>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Joins whoever waits for `key`, or is the first, who asks and tells by what he is given; `None` if there is no room.
    pub(in crate::provider::aws) fn board(&self, key: K) -> Option<(Seat<A>, Option<oneshot::Sender<A>>)> {
        let mut answers = self.lock();
        if let Some(answer) = answers.get(&key) {
            return Some((Seat { answer: answer.clone(), is_joined: true }, None));
        }
        if answers.len() >= self.most {
            return None;
        }
        let (sender, receiver) = oneshot::channel();
        let answer = receiver.shared();
        answers.insert(key, answer.clone());
        Some((Seat { answer, is_joined: false }, Some(sender)))
    }

    /// Whoever comes from here on finds what is known, or asks anew.
    pub(in crate::provider::aws) fn leave(&self, key: &K) {
        self.lock().remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn those_who_wait_are_bounded_and_share() {
        let waiting = Waiting::new(2);
        let (first, sender) = waiting.board(1).expect("a place");
        let (joined, nobody) = waiting.board(1).expect("a place");
        assert!(!first.is_joined && joined.is_joined && nobody.is_none());
        assert!(waiting.board(2).expect("a place").1.is_some());
        assert!(waiting.board(3).is_none() && waiting.board(1).is_some());
        waiting.leave(&2);
        assert!(waiting.board(3).is_some());
        sender.expect("the first asks").send("answer").expect("somebody waits");
        assert_eq!((first.answer.await, joined.answer.await), (Ok("answer"), Ok("answer")));
    }
}
