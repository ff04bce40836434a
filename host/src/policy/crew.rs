//! The crew: threads that decide while many logins stand in line for policies, beside those that answer logins.
//!
//! A thread that does nothing but decide keeps the policies, and what they run in, in its processor's caches, and the thread
//! that answers logins keeps all the rest. A few logins would gain nothing, and pay for the way there and back; so they
//! are decided where they are.

use std::{
    io,
    panic::catch_unwind,
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use tokio::runtime::{Builder, Handle, Runtime};
use tokio_util::task::AbortOnDropHandle;

use super::{Evaluation, Fault};

/// Logins in line that are a crowd.
const CROWD: usize = 12;
/// How long the crew decides after it last saw one: a line is short for a moment whenever it gets ahead of those who
/// answer logins, and changing threads back and forth would cost what it saves.
const STAY: Duration = Duration::from_millis(100);

/// The threads, started when they are first needed, and the line before them.
#[derive(Debug)]
pub(super) struct Crew {
    workers: usize,
    /// `None`: the system has no threads for it, and logins are decided where they are.
    runtime: OnceLock<Option<Runtime>>,
    line: AtomicUsize,
    made: Instant,
    /// Until when it decides, in microseconds since it was made.
    until: AtomicU64,
}

/// One login's place in the line, from when it has its question ready until it has its answer.
#[derive(Debug)]
pub(super) struct Place<'a>(&'a Crew);

// === impl Crew ===

impl Crew {
    /// Of so many threads; none: every login is decided where it is.
    pub(super) fn new(workers: usize) -> Self {
        let (line, until) = (AtomicUsize::new(0), AtomicU64::new(0));
        Self { workers, runtime: OnceLock::new(), line, made: Instant::now(), until }
    }

    /// Stands in line. All others that are ready do so too before it goes on, so that it knows how many they are.
    pub(super) async fn line_up(&self) -> Place<'_> {
        self.line.fetch_add(1, SeqCst);
        let place = Place(self);
        tokio::task::yield_now().await;
        place
    }

    /// Whether there is a crowd, or was a moment ago.
    fn is_busy(&self) -> bool {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let now = self.made.elapsed();
        if self.line.load(SeqCst) >= CROWD {
            self.until.store(micros(now + STAY), SeqCst);
        }
        micros(now) < self.until.load(SeqCst)
    }

    fn threads(&self) -> Option<&Handle> {
        let start = || {
            let started = start(self.workers);
            started
                .inspect_err(
                    |error| tracing::warn!(%error, "no threads for policies: logins are decided where they are"),
                )
                .ok()
        };
        self.runtime.get_or_init(start).as_ref().map(Runtime::handle)
    }
}

/// Starts so many threads. The library panics where the system has none, and keeps for good those that it got before that; so
/// they are asked for first.
fn start(workers: usize) -> io::Result<Runtime> {
    let gate = Mutex::new(());
    thread::scope(|scope| {
        let _closed = gate.lock();
        (0..workers).try_for_each(|_| thread::Builder::new().spawn_scoped(scope, || drop(gate.lock())).map(drop))
    })?;
    let build =
        || Builder::new_multi_thread().worker_threads(workers).thread_name("herald-policy").enable_time().build();
    catch_unwind(build).unwrap_or_else(|_| Err(io::Error::other("they are gone again")))
}

impl Drop for Crew {
    fn drop(&mut self) {
        // It may be dropped where nobody may wait for threads to end.
        if let Some(runtime) = self.runtime.take().flatten() {
            runtime.shutdown_background();
        }
    }
}

// === impl Place ===

impl Place<'_> {
    /// The crew's threads, if so many are in line that it pays.
    pub(super) fn crew(&self) -> Option<&Handle> {
        let pays = self.0.workers > 0 && self.0.is_busy();
        pays.then(|| self.0.threads()).flatten()
    }
}

impl Drop for Place<'_> {
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
    async fn decided_on(crew: &Crew, logins: usize) -> Vec<String> {
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
            assert_eq!(hand_over(threads, decision).await.verdict, Err(Fault::Fuel));
            let name = told.await.unwrap();
            names.lock().unwrap().push(name);
        };
        join_all((0..logins).map(|_| login())).await;
        names.into_inner().unwrap()
    }

    #[test]
    fn a_crowd_is_decided_by_the_crew_and_a_few_where_they_are() {
        #[track_caller]
        fn check(crew: &Crew, logins: usize, by_crew: bool) {
            let names = run(decided_on(crew, logins));
            assert_eq!(names.len(), logins);
            assert!(names.iter().all(|name| (name == "herald-policy") == by_crew), "{logins}: {names:?}");
        }
        let crew = Crew::new(1);
        check(&crew, 1, false);
        check(&crew, CROWD - 1, false);
        assert!(crew.runtime.get().is_none(), "no thread before there is work for it");
        check(&crew, CROWD, true);
        crew.until.store(u64::MAX, SeqCst);
        check(&crew, 1, true);
        crew.until.store(0, SeqCst);
        check(&crew, CROWD - 1, false);
        check(&Crew::new(0), CROWD, false);
        let crew = Crew::new(1);
        crew.runtime.set(None).unwrap();
        check(&crew, CROWD, false);
    }

    #[test]
    fn all_in_line_decide_before_the_first_goes_on() {
        let said = Mutex::new(Vec::new());
        let crew = Crew::new(0);
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
            let threads = crew.threads().expect("threads");
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
        crew.threads().expect("threads").spawn(async move {
            wait.await.unwrap();
            drop(last);
        });
        drop(crew);
        go.send(()).unwrap();
        assert_eq!(told.recv_timeout(Duration::from_secs(10)), Ok(true));
    }

    #[test]
    fn a_crew_that_ends_lets_nobody_in() {
        run(async {
            let crew = Crew::new(1);
            let threads = crew.threads().expect("threads").clone();
            let under_way = hand_over(&threads, std::future::pending());
            let (under_way, ()) = tokio::join!(under_way, async { drop(crew) });
            assert_eq!(under_way.verdict, Err(Fault::Overloaded));
            let late = hand_over(&threads, async { Evaluation::failed(Fault::Fuel) }).await;
            assert_eq!(late.verdict, Err(Fault::Overloaded));
        });
    }
}
