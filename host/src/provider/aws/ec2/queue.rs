//! The queue in front of EC2: who waits for which instance, and how many are asked for at once.
//!
//! Each lane has at most one task that gathers ids, and it lives only while there are some. It waits a moment for
//! company, longer while calls are under way, then for EC2's pace and a free place, and takes up to a hundred.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::{
    sync::{Notify, Semaphore, oneshot},
    time::timeout,
};

use super::{Ec2Error, Instance, InstanceId, Shared as Inner, call};
use crate::provider::aws::service::{Seat, Waiting};

/// One instance, and which way it is asked for.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) struct Ask {
    pub(super) lane: usize,
    pub(super) id: InstanceId,
}

/// Everybody who waits.
pub(super) struct Queue {
    waiting: Waiting<Ask, Answer>,
    lanes: Mutex<Vec<Lane>>,
    /// A lane has a whole batch.
    full: Vec<Notify>,
    calls: Arc<Semaphore>,
}

pub(super) type Answer = Result<Arc<Instance>, Ec2Error>;

#[derive(Default)]
struct Lane {
    asks: Vec<Turn>,
    is_driven: bool,
}

/// One instance that is asked for, and who is told.
struct Turn {
    ask: Ask,
    answer: oneshot::Sender<Answer>,
}

/// Most instances that are waited for. Beyond, logins are refused at once.
const MAX_WAITING: usize = 4096;
/// Most instances in one call.
const BATCH: usize = 100;
/// How long company is waited for while no call is under way, and while one is.
const QUIET: Duration = Duration::from_millis(20);
const BUSY: Duration = Duration::from_millis(200);
/// Most calls under way.
const MAX_CALLS: usize = 4;
/// Longest time of a call, its credentials and all its pages.
const CALL: Duration = Duration::from_secs(5);

// === impl Queue ===

impl Queue {
    pub(super) fn new(lanes: usize) -> Self {
        Self {
            waiting: Waiting::new(MAX_WAITING),
            lanes: Mutex::new((0..lanes).map(|_| Lane::default()).collect()),
            full: (0..lanes).map(|_| Notify::new()).collect(),
            calls: Arc::new(Semaphore::new(MAX_CALLS)),
        }
    }

    pub(super) fn waiting(&self) -> &Waiting<Ask, Answer> {
        &self.waiting
    }

    /// Nothing under this lock panics half-way.
    fn lock(&self) -> MutexGuard<'_, Vec<Lane>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, lane: usize) -> Vec<Turn> {
        let mut lanes = self.lock();
        let lane = &mut lanes[lane];
        let many = lane.asks.len().min(BATCH);
        lane.asks.drain(..many).collect()
    }

    /// Whether nobody waits in `lane` any more; its task ends then.
    fn rest(&self, lane: usize) -> bool {
        let mut lanes = self.lock();
        let lane = &mut lanes[lane];
        lane.is_driven = !lane.asks.is_empty();
        !lane.is_driven
    }
}

/// Joins whoever waits for the same instance, or queues for it.
pub(super) fn board(inner: &Arc<Inner>, ask: Ask) -> Result<Seat<Answer>, Ec2Error> {
    let (seat, sender) = inner.queue.waiting.board(ask).ok_or(Ec2Error::Overloaded)?;
    let Some(sender) = sender else { return Ok(seat) };
    let mut lanes = inner.queue.lock();
    let lane = &mut lanes[ask.lane];
    lane.asks.push(Turn { ask, answer: sender });
    let is_full = lane.asks.len() >= BATCH;
    let starts = !std::mem::replace(&mut lane.is_driven, true);
    drop(lanes);
    if starts {
        tokio::spawn(drive(Arc::clone(inner), ask.lane));
    } else if is_full {
        inner.queue.full[ask.lane].notify_one();
    }
    Ok(seat)
}

async fn drive(inner: Arc<Inner>, lane: usize) {
    loop {
        let is_quiet = inner.queue.calls.available_permits() == MAX_CALLS;
        let company = if is_quiet { QUIET } else { BUSY };
        let _ = timeout(company, inner.queue.full[lane].notified()).await;
        let place = Arc::clone(&inner.queue.calls).acquire_owned().await.expect("the semaphore is never closed");
        inner.pace.turn().await;
        let turns = inner.queue.take(lane);
        let caller = Arc::clone(&inner);
        tokio::spawn(async move {
            ask(&caller, lane, turns).await;
            drop(place);
        });
        if inner.queue.rest(lane) {
            return;
        }
    }
}

async fn ask(inner: &Inner, lane: usize, turns: Vec<Turn>) {
    let started = Instant::now();
    let ids: Vec<InstanceId> = turns.iter().map(|turn| turn.ask.id).collect();
    let called = timeout(CALL, call::describe(&inner.lanes[lane], &ids, &inner.pace)).await;
    let called = called.unwrap_or(Err(Ec2Error::Unavailable { cause: "timeout" }));
    let ended = Instant::now();
    let result = called.as_ref().map_or_else(Ec2Error::reason, |_| "ok");
    inner.observer.called(result, ids.len(), ended - started);
    inner.lanes[lane].note(called.as_ref().err().map(|error| (error.reason(), error as _)));
    for Turn { ask, answer } in turns {
        let instance = match &called {
            Err(error) => Err(error.clone()),
            Ok(found) => found.of(&ask.id),
        };
        inner.names.keep(ask, &instance, ended);
        // Whoever comes from here on finds the name, or asks anew.
        inner.queue.waiting.leave(&ask);
        let _ = answer.send(instance);
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::provider::aws::ec2::{Ec2, Observer, Settings};

    struct Nobody;

    impl Observer for Nobody {
        fn called(&self, _: &'static str, _: usize, _: Duration) {}
    }

    #[tokio::test]
    async fn those_who_wait_are_bounded_and_share() {
        let ec2 = Ec2::new(Settings::default(), || SystemTime::UNIX_EPOCH, Box::new(Nobody));
        let ask = |number: usize| Ask { lane: 0, id: InstanceId::parse(&format!("i-{number:08x}")).expect("an id") };
        for number in 0..MAX_WAITING {
            assert!(!board(&ec2.0, ask(number)).expect("a place").is_joined);
        }
        assert!(board(&ec2.0, ask(1)).expect("a place").is_joined);
        assert_eq!(board(&ec2.0, ask(MAX_WAITING)).err(), Some(Ec2Error::Overloaded));
        let batch = ec2.0.queue.take(0);
        assert_eq!(batch.len(), BATCH);
        ec2.0.queue.waiting.leave(&batch[0].ask);
        assert!(board(&ec2.0, ask(MAX_WAITING)).is_ok());
    }
}
