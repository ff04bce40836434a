//! The crew: threads that decide while many logins stand in line for policies, beside those that answer logins.
//!
//! A thread that does nothing but decide keeps the policies, and what they run in, in its processor's caches, and the thread
//! that answers logins keeps all the rest. A few logins would gain nothing, and pay for the way there and back; so they
//! are decided where they are.
//!
//! Decisions that take more than a turn, a tick or a number of units of fuel, go on among the slow ones, on threads of their
//! own: those that answer logins, and those that decide for a crowd, would else be in turns with every policy that takes all
//! of its time. These stand back.

use std::{
    future::poll_fn,
    io,
    panic::catch_unwind,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    task::Poll,
    thread,
    time::{Duration, Instant},
};

use tokio::runtime::{Builder, Handle, Runtime};
use tokio_util::task::AbortOnDropHandle;

use super::{Evaluation, Fault};

/// How far a thread stands back (nice(2)) that nobody should wait for: a tenth of what whoever answers logins gets of a
/// processor that both want. Not the lowest: what it holds for a moment, of the pool of instances or of the process's
/// memory, others wait for.
#[cfg(target_os = "linux")]
const BACK: i32 = 10;
/// Logins in line that are a crowd, if as many stood there on average lately: a handful that happen to come together are
/// decided where they are.
const CROWD: usize = 4;
/// Over how many logins that average goes.
const LATELY: usize = 32;
/// How long the crew decides after it last saw one: a line is short for a moment whenever it gets ahead of those who
/// answer logins, and changing threads back and forth would cost what it saves.
const STAY: Duration = Duration::from_millis(100);

/// The threads, started when they are first needed, and the line before them.
#[derive(Debug)]
pub(super) struct Crew {
    workers: usize,
    quick: Threads,
    slow: Threads,
    line: AtomicUsize,
    /// The line that the last logins saw, added up.
    lately: AtomicUsize,
    made: Instant,
    /// Until when it decides, in microseconds since it was made.
    until: AtomicU64,
}

/// Told by a decision when it begins to compute.
#[derive(Clone, Debug, Default)]
pub(super) struct Begun(Arc<AtomicBool>);

/// Threads of one kind; `None`: the system has none for it, and logins are decided where they are.
type Threads = OnceLock<Option<Runtime>>;

/// One login's place in the line, from when it has its question ready until it has its answer, or is among the slow ones.
#[derive(Debug)]
pub(super) struct Place(Arc<Crew>);

// === impl Crew ===

impl Crew {
    /// Of so many threads; none: every login is decided where it is.
    pub(super) fn new(workers: usize) -> Self {
        let (line, lately, until) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicU64::new(0));
        Self { workers, quick: OnceLock::new(), slow: OnceLock::new(), line, lately, made: Instant::now(), until }
    }

    /// Stands in line. All others that are ready do so too before it goes on, so that it knows how many they are.
    pub(super) async fn line_up(self: &Arc<Self>) -> Place {
        self.line.fetch_add(1, SeqCst);
        let place = Place(Arc::clone(self));
        tokio::task::yield_now().await;
        place
    }

    /// Whether there is a crowd, or was a moment ago.
    fn is_busy(&self) -> bool {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let now = self.made.elapsed();
        let line = self.line.load(SeqCst);
        let before = self.lately.load(SeqCst);
        // Threads that write it at once lose a login of the average, and no more.
        let lately = before - before / LATELY + line;
        self.lately.store(lately, SeqCst);
        if line >= CROWD && lately >= CROWD * LATELY {
            self.until.store(micros(now + STAY), SeqCst);
        }
        micros(now) < self.until.load(SeqCst)
    }

    /// Those of `threads`, if there may be any.
    fn started<'a>(&self, threads: &'a Threads, name: &str, begin: fn()) -> Option<&'a Handle> {
        if self.workers == 0 {
            return None;
        }
        let start = || {
            let started = start(self.workers, name, begin);
            started
                .inspect_err(
                    |error| tracing::warn!(%error, "no threads for policies: logins are decided where they are"),
                )
                .ok()
        };
        threads.get_or_init(start).as_ref().map(Runtime::handle)
    }

    fn quick(&self) -> Option<&Handle> {
        self.started(&self.quick, "herald-policy", || ())
    }

    fn slow(&self) -> Option<&Handle> {
        self.started(&self.slow, "herald-slow", stand_back)
    }
}

/// Leaves the processors to others, as far as the system lets a thread do so by itself.
pub(crate) fn stand_back() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(BACK) {
        tracing::warn!(%error, "the priority of a thread for policies cannot be lowered");
    }
}

/// Whether the system has so many threads at once. Libraries panic where it has not, and keep for good those that they got
/// before that.
pub(super) fn ask_for(threads: usize) -> io::Result<()> {
    let gate = Mutex::new(());
    thread::scope(|scope| {
        let _closed = gate.lock();
        (0..threads).try_for_each(|_| thread::Builder::new().spawn_scoped(scope, || drop(gate.lock())).map(drop))
    })
}

/// Starts so many threads, each of which does `begin` first.
fn start(workers: usize, name: &str, begin: fn()) -> io::Result<Runtime> {
    ask_for(workers)?;
    let build = || {
        Builder::new_multi_thread()
            .worker_threads(workers)
            .thread_name(name)
            .on_thread_start(begin)
            .enable_time()
            .build()
    };
    catch_unwind(build).unwrap_or_else(|_| Err(io::Error::other("they are gone again")))
}

impl Drop for Crew {
    fn drop(&mut self) {
        // It may be dropped where nobody may wait for threads to end.
        for runtime in [&mut self.quick, &mut self.slow].into_iter().filter_map(|threads| threads.take().flatten()) {
            runtime.shutdown_background();
        }
    }
}

// === impl Begun ===

impl Begun {
    pub(super) fn tell(&self) {
        self.0.store(true, SeqCst);
    }
}

// === impl Place ===

impl Place {
    /// The crew's threads, if so many are in line that it pays.
    pub(super) fn crew(&self) -> Option<Handle> {
        if self.0.is_busy() { self.0.quick().cloned() } else { None }
    }

    /// Makes a decision here, and if it takes more than a turn once it has begun, among the slow ones; the place is given up
    /// then. It has begun when it has an instance: whoever waits for one takes no time.
    pub(super) async fn decide<D>(self, decision: impl FnOnce(Begun) -> D) -> (Evaluation, Option<Self>)
    where
        D: Future<Output = Evaluation> + Send + 'static,
    {
        let begun = Begun::default();
        let mut decision = Box::pin(decision(begun.clone()));
        let here = poll_fn(|cx| match decision.as_mut().poll(cx) {
            Poll::Ready(evaluation) => Poll::Ready(Some(evaluation)),
            Poll::Pending if begun.0.load(SeqCst) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        });
        if let Some(evaluation) = here.await {
            return (evaluation, Some(self));
        }
        let crew = Arc::clone(&self.0);
        drop(self);
        let evaluation = match crew.slow() {
            Some(slow) => hand_over(slow, decision).await,
            None => decision.await,
        };
        (evaluation, None)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.line.fetch_sub(1, SeqCst);
    }
}

/// Has `decision` made by the crew; given up with whoever waits for it.
pub(super) async fn hand_over(
    crew: &Handle,
    decision: impl Future<Output = Evaluation> + Send + 'static,
) -> Evaluation {
    match AbortOnDropHandle::new(crew.spawn(decision)).await {
        Ok(evaluation) => evaluation,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Evaluation::failed(Fault::Overloaded),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::{
        panic::AssertUnwindSafe,
        sync::{Arc, mpsc},
    };

    use futures_util::future::join_all;

    use super::*;
    use crate::policy::tests::run;

    /// On which threads `logins` at once are decided.
    async fn decided_on(crew: &Arc<Crew>, logins: usize) -> Vec<String> {
        let here = || thread::current().name().unwrap_or_default().to_owned();
        let names = Mutex::new(Vec::new());
        let login = async || {
            let place = crew.line_up().await;
            let Some(threads) = place.crew() else { return names.lock().unwrap().push(here()) };
            let (tell, told) = tokio::sync::oneshot::channel();
            let decision = async move {
                tell.send(here()).unwrap();
                Evaluation::failed(Fault::Fuel)
            };
            assert_eq!(hand_over(&threads, decision).await.verdict, Err(Fault::Fuel));
            let name = told.await.unwrap();
            names.lock().unwrap().push(name);
        };
        join_all((0..logins).map(|_| login())).await;
        names.into_inner().unwrap()
    }

    #[test]
    fn a_crowd_is_decided_by_the_crew_and_a_few_where_they_are() {
        #[track_caller]
        fn check(crew: &Arc<Crew>, logins: usize, by_crew: bool) {
            let names = run(decided_on(crew, logins));
            assert_eq!(names.len(), logins);
            assert!(names.iter().all(|name| (name == "herald-policy") == by_crew), "{logins}: {names:?}");
        }
        let crew = Arc::new(Crew::new(1));
        check(&crew, 1, false);
        (0..100).for_each(|_| check(&crew, CROWD - 1, false));
        check(&crew, CROWD, false);
        assert!(crew.quick.get().is_none(), "no thread before there is work for it");
        let many = |crew: &Crew| crew.lately.store(CROWD * LATELY, SeqCst);
        many(&crew);
        check(&crew, CROWD, true);
        crew.until.store(u64::MAX, SeqCst);
        check(&crew, 1, true);
        crew.until.store(0, SeqCst);
        many(&crew);
        check(&crew, CROWD - 1, false);
        let crew = Arc::new(Crew::new(0));
        many(&crew);
        check(&crew, CROWD, false);
        let crew = Arc::new(Crew::new(1));
        crew.quick.set(None).unwrap();
        many(&crew);
        check(&crew, CROWD, false);
    }

    /// What stands in line at once counts once it has stood there for a while.
    #[test]
    fn a_crowd_is_a_crowd_after_a_while() {
        let crew = Arc::new(Crew::new(1));
        let all_here = |logins| run(decided_on(&crew, logins)).iter().all(|name| name != "herald-policy");
        let calm = (0..100).take_while(|_| all_here(2 * CROWD)).count();
        assert!((1..LATELY).contains(&calm), "{calm}");
    }

    /// A decision that takes `turns` turns before it is made, and says on which thread it is then.
    async fn slow(begun: Option<Begun>, turns: usize, name: Arc<Mutex<String>>) -> Evaluation {
        if let Some(begun) = begun {
            begun.tell();
        }
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
        thread::current().name().unwrap_or_default().clone_into(&mut name.lock().unwrap());
        Evaluation::failed(Fault::Fuel)
    }

    #[test]
    fn what_takes_its_time_leaves_the_line_and_goes_on_elsewhere() {
        #[track_caller]
        fn check(workers: usize, begins: bool, turns: usize, in_line: usize, elsewhere: bool) {
            let (crew, name) = (Arc::new(Crew::new(workers)), Arc::new(Mutex::default()));
            run(async {
                let place = crew.line_up().await;
                let (evaluation, place) =
                    place.decide(|begun| slow(begins.then_some(begun), turns, Arc::clone(&name))).await;
                assert_eq!((evaluation.verdict, crew.line.load(SeqCst)), (Err(Fault::Fuel), in_line));
                drop(place);
            });
            assert_eq!(*name.lock().unwrap() == "herald-slow", elsewhere, "{workers} {turns}");
            assert_eq!(crew.line.load(SeqCst), 0);
        }
        check(1, true, 0, 1, false);
        check(1, true, 3, 0, true);
        check(1, false, 3, 1, false);
        check(0, true, 3, 0, false);
    }

    /// However many decisions take their time, they are no crowd.
    #[test]
    fn the_slow_ones_are_no_crowd() {
        let crew = Arc::new(Crew::new(1));
        run(async {
            let endless = async |begun: Begun| {
                begun.tell();
                std::future::pending().await
            };
            let login = async || {
                let place = crew.line_up().await;
                tokio::time::timeout(Duration::from_millis(20), place.decide(endless)).await.is_err()
            };
            let logins = join_all([(); CROWD].map(|()| login()));
            let (given_up, ()) = tokio::join!(logins, async {
                tokio::time::sleep(Duration::from_millis(5)).await;
                crew.until.store(0, SeqCst);
                assert!(crew.line_up().await.crew().is_none(), "nobody else is in line");
            });
            assert!(given_up.into_iter().all(|given_up| given_up));
        });
    }

    #[test]
    fn all_in_line_decide_before_the_first_goes_on() {
        let said = Mutex::new(Vec::new());
        let crew = Arc::new(Crew::new(0));
        let login = async || {
            said.lock().unwrap().push("arrives");
            let _place = crew.line_up().await;
            said.lock().unwrap().push("decides");
        };
        run(join_all([(), (), ()].map(|()| login())));
        assert_eq!(said.into_inner().unwrap(), ["arrives", "decides"].map(|what| [what; 3]).concat());
        assert_eq!(crew.line.load(SeqCst), 0, "all have left the line");
    }

    /// Says when it is dropped.
    struct Dropped(Option<tokio::sync::oneshot::Sender<()>>);

    impl Drop for Dropped {
        fn drop(&mut self) {
            let _told = self.0.take().map(|tell| tell.send(()));
        }
    }

    #[test]
    fn a_decision_ends_with_whoever_waits_for_it() {
        let crew = Crew::new(1);
        let (tell, told) = tokio::sync::oneshot::channel();
        let dropped = Dropped(Some(tell));
        run(async {
            let endless = async move {
                let _dropped = dropped;
                std::future::pending().await
            };
            let threads = crew.quick().expect("threads");
            let given_up = tokio::time::timeout(Duration::from_millis(20), hand_over(threads, endless)).await;
            assert!(given_up.is_err());
            told.await.expect("it is dropped");
        });
    }

    /// Drops a crew with itself, and says whether that went well.
    struct Last(Option<Arc<Crew>>, mpsc::Sender<bool>);

    impl Drop for Last {
        fn drop(&mut self) {
            let crew = self.0.take();
            let fine = catch_unwind(AssertUnwindSafe(|| drop(crew))).is_ok();
            self.1.send(fine).unwrap();
        }
    }

    /// A decision that nobody waits for any more may be the last that holds its engine.
    #[test]
    fn a_crew_may_end_on_its_own_thread() {
        let crew = Arc::new(Crew::new(1));
        let (tell, told) = mpsc::channel();
        let (go, wait) = tokio::sync::oneshot::channel::<()>();
        let last = Last(Some(Arc::clone(&crew)), tell);
        crew.quick().expect("threads").spawn(async move {
            wait.await.unwrap();
            drop(last);
        });
        drop(crew);
        go.send(()).unwrap();
        assert_eq!(told.recv_timeout(Duration::from_secs(60)), Ok(true));
    }

    #[test]
    fn a_crew_that_ends_lets_nobody_in() {
        run(async {
            let crew = Crew::new(1);
            let threads = crew.quick().expect("threads").clone();
            let under_way = hand_over(&threads, std::future::pending());
            let (under_way, ()) = tokio::join!(under_way, async { drop(crew) });
            assert_eq!(under_way.verdict, Err(Fault::Overloaded));
            let late = hand_over(&threads, async { Evaluation::failed(Fault::Fuel) }).await;
            assert_eq!(late.verdict, Err(Fault::Overloaded));
        });
    }
}
