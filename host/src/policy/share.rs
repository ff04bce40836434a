//! Share: what one policy may have of the instances, so that whoever asks another one finds some left.
//!
//! A policy that takes all of its time holds its instances for as long; without a share it would hold all there are, and
//! logins that never ask it would be refused. Each policy has a line of its own before its share.

use std::{
    num::NonZeroU8,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
};

use tokio::sync::{Mutex, Notify};

/// The instances of one policy.
#[derive(Debug)]
pub(super) struct Share {
    most: usize,
    held: AtomicUsize,
    /// All in line.
    waiting: AtomicUsize,
    /// Whoever is first in line has it.
    first: Mutex<()>,
    /// Told of what is given back while somebody waits.
    given_back: Notify,
}

/// One instance's worth of a share, given back when dropped.
#[derive(Debug)]
pub(super) struct Held<'a>(&'a Share);

/// A place in the line before a share, given up when dropped.
#[derive(Debug)]
pub(super) struct Place<'a>(&'a Share);

/// One in so many instances is left to others, and one at least.
const LEFT: u8 = 4;

// === impl Share ===

impl Share {
    /// Of so many; of a single one all.
    pub(super) fn of(instances: NonZeroU8) -> Self {
        let instances = instances.get();
        let most = instances.saturating_sub((instances / LEFT).max(1)).max(1).into();
        let (held, waiting) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self { most, held, waiting, first: Mutex::new(()), given_back: Notify::new() }
    }

    /// Takes one at once; `None` if all are held, or others wait for one.
    pub(super) fn try_take(&self) -> Option<Held<'_>> {
        if self.waiting.load(SeqCst) > 0 { None } else { self.take() }
    }

    /// Stands in line, unless `most` do already.
    pub(super) fn line_up(&self, most: usize) -> Option<Place<'_>> {
        up_to(&self.waiting, most).then(|| Place(self))
    }

    fn take(&self) -> Option<Held<'_>> {
        up_to(&self.held, self.most).then(|| Held(self))
    }
}

/// Counts one more, unless there are `most`.
fn up_to(count: &AtomicUsize, most: usize) -> bool {
    count.fetch_update(SeqCst, SeqCst, |count| (count < most).then_some(count + 1)).is_ok()
}

// === impl Place ===

impl<'a> Place<'a> {
    /// Waits until it is its turn and one is free.
    pub(super) async fn take(&self) -> Held<'a> {
        let _first = self.0.first.lock().await;
        loop {
            if let Some(held) = self.0.take() {
                return held;
            }
            // What was given back meanwhile is told at once.
            self.0.given_back.notified().await;
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, SeqCst);
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.held.fetch_sub(1, SeqCst);
        if self.0.waiting.load(SeqCst) > 0 {
            self.0.given_back.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt as _, poll};

    use super::*;
    use crate::policy::tests::run;

    fn share(instances: u8) -> Share {
        Share::of(NonZeroU8::new(instances).expect("not zero"))
    }

    #[test]
    fn one_policy_leaves_some_to_others() {
        #[track_caller]
        fn check(instances: u8, most: usize) {
            let share = share(instances);
            let held: Vec<_> = std::iter::from_fn(|| share.try_take()).collect();
            assert_eq!(held.len(), most, "of {instances}");
            drop(held);
            assert!(share.try_take().is_some(), "of {instances}: they are given back");
        }
        check(1, 1);
        check(2, 1);
        check(3, 2);
        check(4, 3);
        check(8, 6);
        check(255, 192);
    }

    #[test]
    fn they_are_given_in_the_order_of_the_line() {
        run(async {
            let share = share(1);
            let held = share.try_take().expect("one is free");
            let [first, gone, last] = [(); 3].map(|()| share.line_up(3).expect("room"));
            assert!(share.line_up(3).is_none(), "the line is full");
            let (mut take_first, mut take_last) = (Box::pin(first.take()), Box::pin(last.take()));
            let mut take_gone = Box::pin(gone.take());
            assert!(poll!(&mut take_first).is_pending() && poll!(&mut take_gone).is_pending());
            assert!(poll!(&mut take_last).is_pending());
            drop(take_gone);
            drop(held);
            assert!(share.try_take().is_none(), "whoever comes later comes after those in line");
            assert!(poll!(&mut take_last).is_pending(), "it is not the last one's turn");
            let held = take_first.now_or_never().expect("it is the first one's turn");
            assert!(poll!(&mut take_last).is_pending());
            drop((held, gone, first));
            let held = take_last.now_or_never().expect("who gave up holds nobody up");
            drop((held, last));
            assert!(share.try_take().is_some(), "nobody waits any more");
        });
    }
}
