//! Shares: how the instances are shared out among policies, so that whoever asks a policy finds one for it.
//!
//! A policy that takes all of its time holds its instances for as long. Nothing held back, such policies would hold all there
//! are, and logins that never ask them would be refused. So a policy has its first instance for the asking, and more only
//! while one is left for each policy that holds none, up to half of the instances. Each policy has a line of its own, and of
//! those that wait for their first one, the first comes first.

use std::{
    collections::BTreeSet,
    num::NonZeroU8,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicUsize,
            Ordering::{Relaxed, SeqCst},
        },
    },
};

use tokio::sync::Notify;

use super::config::Mode;

/// The instances of all policies.
#[derive(Debug)]
pub(super) struct Instances {
    all: usize,
    state: Mutex<State>,
    /// Told of what is given back, and of each policy that is in want no more.
    given_back: Notify,
}

#[derive(Debug)]
struct State {
    free: usize,
    /// Policies that logins ask and that hold none.
    without: usize,
    /// Those of them that wait for one, by numbers that go up.
    in_want: BTreeSet<u64>,
    /// The last of those numbers.
    last: u64,
}

/// What one policy has of them.
#[derive(Debug)]
pub(super) struct Share {
    instances: Arc<Instances>,
    /// How many it holds, or [`UNASKED`]. Written under the lock of the instances.
    held: AtomicUsize,
    /// All in its line.
    waiting: AtomicUsize,
    /// Whoever is first in line has it.
    first: tokio::sync::Mutex<()>,
}

/// One instance of a share, given back when dropped.
#[derive(Debug)]
pub(super) struct Held<'a>(&'a Share);

/// A place in the line before a share, given up when dropped.
#[derive(Debug)]
pub(super) struct Place<'a>(&'a Share);

/// A policy without any that waits for one, until it is dropped: whoever comes later does not come before it.
struct Want<'a> {
    instances: &'a Instances,
    number: u64,
}

/// Of a policy in shadow mode, which no login asks: none is left for it.
const UNASKED: usize = usize::MAX;

// === impl Instances ===

impl Instances {
    pub(super) fn new(all: NonZeroU8) -> Arc<Self> {
        let all = usize::from(all.get());
        Arc::new(Self {
            all,
            state: Mutex::new(State { free: all, without: 0, in_want: BTreeSet::new(), last: 0 }),
            given_back: Notify::new(),
        })
    }

    /// For one more policy.
    pub(super) fn share(self: &Arc<Self>, mode: Mode) -> Share {
        let held = match mode {
            Mode::Enforce => {
                self.lock().without += 1;
                0
            }
            Mode::Shadow => UNASKED,
        };
        let (held, waiting) = (AtomicUsize::new(held), AtomicUsize::new(0));
        Share { instances: Arc::clone(self), held, waiting, first: tokio::sync::Mutex::new(()) }
    }

    /// Nothing under this lock panics half-way.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Share ===

impl Share {
    /// Takes one at once; `None` if there is none for this policy, or others wait for one.
    pub(super) fn try_take(&self) -> Option<Held<'_>> {
        if self.waiting.load(SeqCst) > 0 {
            return None;
        }
        self.take(&mut self.instances.lock(), None)
    }

    /// Stands in line, unless `most` do already.
    pub(super) fn line_up(&self, most: usize) -> Option<Place<'_>> {
        let one_more = |waiting| (waiting < most).then_some(waiting + 1);
        self.waiting.fetch_update(SeqCst, SeqCst, one_more).is_ok().then(|| Place(self))
    }

    /// Takes one for whoever has this `want`, if he has one.
    fn take(&self, state: &mut State, want: Option<&Want<'_>>) -> Option<Held<'_>> {
        let held = match self.held.load(Relaxed) {
            UNASKED => {
                state.without += 1;
                0
            }
            held => held,
        };
        let left = if held == 0 { 0 } else { state.without.min(self.instances.all / 2) };
        let is_its_turn = state.in_want.first().is_none_or(|first| want.is_some_and(|want| want.number == *first));
        let is_free = is_its_turn && state.free > left;
        if is_free {
            state.free -= 1;
            state.without -= usize::from(held == 0);
        }
        self.held.store(held + usize::from(is_free), Relaxed);
        is_free.then(|| Held(self))
    }

    /// Whether it holds none.
    fn is_without(&self) -> bool {
        self.held.load(Relaxed) == 0
    }
}

impl Drop for Share {
    /// It holds none: whatever is held borrows it.
    fn drop(&mut self) {
        if *self.held.get_mut() != UNASKED {
            self.instances.lock().without -= 1;
            self.instances.given_back.notify_waiters();
        }
    }
}

// === impl Place ===

impl<'a> Place<'a> {
    /// Waits until it is its turn and one is free.
    pub(super) async fn take(&self) -> Held<'a> {
        let (share, instances) = (self.0, &self.0.instances);
        let _first = share.first.lock().await;
        let mut want = None;
        loop {
            let mut given_back = pin!(instances.given_back.notified());
            given_back.as_mut().enable();
            if let Some(held) = share.take(&mut instances.lock(), want.as_ref()) {
                return held;
            }
            if want.is_none() && share.is_without() {
                want = Some(Want::new(instances));
            }
            given_back.await;
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, SeqCst);
    }
}

// === impl Want ===

impl<'a> Want<'a> {
    fn new(instances: &'a Instances) -> Self {
        let mut state = instances.lock();
        state.last += 1;
        let number = state.last;
        state.in_want.insert(number);
        Self { instances, number }
    }
}

impl Drop for Want<'_> {
    fn drop(&mut self) {
        self.instances.lock().in_want.remove(&self.number);
        self.instances.given_back.notify_waiters();
    }
}

// === impl Held ===

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let mut state = self.0.instances.lock();
        let held = self.0.held.load(Relaxed) - 1;
        self.0.held.store(held, Relaxed);
        state.free += 1;
        state.without += usize::from(held == 0);
        drop(state);
        self.0.instances.given_back.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt as _, poll};

    use super::*;
    use crate::policy::tests::run;

    fn instances(all: u8) -> Arc<Instances> {
        Instances::new(NonZeroU8::new(all).expect("not zero"))
    }

    /// All that it gets now.
    fn all(share: &Share) -> Vec<Held<'_>> {
        std::iter::from_fn(|| share.try_take()).collect()
    }

    #[test]
    fn each_policy_leaves_one_to_each_of_the_others() {
        /// Policies take all that they get, one after another.
        #[track_caller]
        fn check<const N: usize>(instances: u8, expected: [usize; N]) {
            let instances = self::instances(instances);
            let shares = [(); N].map(|()| instances.share(Mode::Enforce));
            let held: Vec<_> = shares.iter().map(all).collect();
            assert_eq!(held.iter().map(Vec::len).collect::<Vec<_>>(), expected, "of {}", instances.all);
            drop(held);
            assert_eq!(all(&shares[0]).len(), expected[0], "they are given back");
        }
        check(1, [1]);
        check(1, [1, 0]);
        check(2, [1, 1]);
        check(3, [2, 1]);
        check(3, [2, 1, 0]);
        check(8, [8]);
        check(8, [7, 1]);
        check(8, [6, 1, 1]);
        check(8, [4, 1, 1, 1, 1, 0]);
        check(255, [254, 1]);
    }

    #[test]
    fn none_is_left_to_a_policy_that_no_login_asks() {
        let instances = instances(4);
        let (first, second) = (instances.share(Mode::Enforce), instances.share(Mode::Enforce));
        let shadow = instances.share(Mode::Shadow);
        assert_eq!(all(&first).len(), 3);
        drop(second);
        assert_eq!(all(&first).len(), 4, "the other one is gone");
        assert_eq!(all(&shadow).len(), 3, "whoever asks it all the same is served");
    }

    /// What a new policy gets when others hold all: the next that is given back, however many of the others wait.
    #[test]
    fn a_policy_without_any_comes_before_the_others_next() {
        run(async {
            let instances = instances(2);
            let spinning = instances.share(Mode::Enforce);
            let mut held = all(&spinning);
            let good = instances.share(Mode::Enforce);
            let [next, waits] = [&spinning, &good].map(|share| share.line_up(1).expect("room"));
            let (mut next, mut waits) = (Box::pin(next.take()), Box::pin(waits.take()));
            assert!(poll!(&mut next).is_pending() && poll!(&mut waits).is_pending());
            held.pop();
            assert!(poll!(&mut next).is_pending(), "it has one, and the other policy has none");
            assert!(poll!(&mut waits).is_ready());
        });
    }

    #[test]
    fn whoever_comes_later_does_not_come_before_a_policy_in_want() {
        run(async {
            let instances = instances(1);
            let [first, second] = [(); 2].map(|()| instances.share(Mode::Enforce));
            let held = first.try_take().expect("one is free");
            let place = second.line_up(1).expect("room");
            let mut waits = Box::pin(place.take());
            assert!(poll!(&mut waits).is_pending());
            drop(held);
            assert!(first.try_take().is_none(), "the other policy was there before");
            drop(waits);
            assert!(first.try_take().is_some(), "it waits no more");
        });
    }

    /// Standing in line is no way past a policy that was in want before, and its end is the next one's turn.
    #[test]
    fn of_those_in_want_the_first_comes_first() {
        run(async {
            let instances = instances(1);
            let shares = [(); 4].map(|()| instances.share(Mode::Enforce));
            let held = shares[0].try_take().expect("one is free");
            let places = [1, 2, 3].map(|share: usize| shares[share].line_up(1).expect("room"));
            let [mut first, mut second, mut late] = places.each_ref().map(|place| Box::pin(place.take()));
            assert!(poll!(&mut first).is_pending() && poll!(&mut second).is_pending());
            drop(held);
            assert!(poll!(&mut late).is_pending() && poll!(&mut second).is_pending(), "another one was there before");
            drop(first);
            assert!(poll!(&mut late).is_pending(), "it is not the last one's turn");
            drop(second.now_or_never().expect("the first one gave up"));
            assert!(late.now_or_never().is_some());
        });
    }

    #[test]
    fn they_are_given_in_the_order_of_the_line() {
        run(async {
            let share = instances(1).share(Mode::Enforce);
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
