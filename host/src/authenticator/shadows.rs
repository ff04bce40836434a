//! Shadows: policies in shadow mode, asked after the login is answered, on a thread of their own.
//!
//! Failure rule: what does not fit into the queue is left out and counted, and so is everything where the system has no thread
//! for it. A login neither waits for a shadow nor notices one, however long it computes.

use std::{
    fmt, io,
    sync::{Arc, OnceLock},
    thread,
    time::SystemTime,
};

use serde::{Serialize, Serializer};
use tokio::{runtime::Handle, sync::mpsc};
use uuid::Uuid;

use super::scrub::Scrub;
use crate::{
    caller::Caller,
    mapping::{
        Guard,
        shadow::{Login, Question, ShadowRecord},
    },
    observe::Metrics,
    policy,
};

/// Asks shadows for every configuration of the process.
#[derive(Default)]
pub struct Shadows {
    metrics: Arc<Metrics>,
    tell: OnceLock<Tell>,
    /// To the thread, which is started with the first question; `None`: the system has none.
    queue: OnceLock<Option<mpsc::Sender<Job>>>,
}

/// Takes a report; false if it could not be kept.
pub type Tell = Arc<dyn Fn(&Report) -> bool + Send + Sync>;

/// What came of one shadow in one login.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// When the login was.
    #[serde(serialize_with = "rfc3339")]
    pub time: SystemTime,
    /// `shadow`: what tells this line from that of a decision.
    pub event: &'static str,
    /// The login.
    pub decision_id: Uuid,
    /// The configuration that decided.
    pub generation: String,
    /// This cluster's id.
    pub cluster: String,
    /// What the policy would have done.
    #[serde(flatten)]
    pub record: ShadowRecord,
}

/// The questions of one login.
pub(super) struct Job {
    pub(super) decision_id: Uuid,
    pub(super) generation: String,
    pub(super) caller: Arc<Caller>,
    /// Who he is stays out of what is told.
    pub(super) is_scrubbed: bool,
    pub(super) cluster_id: String,
    pub(super) now: SystemTime,
    pub(super) guard: Guard,
    pub(super) questions: Vec<Question>,
}

/// Logins whose shadows may wait; those of more are left out.
const QUEUE: usize = 256;

// === impl Shadows ===

impl Shadows {
    /// Shadows that are counted in `metrics`.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, ..Self::default() }
    }

    /// Has `tell` told of each from now on. Of two that ask for it, the first one is.
    pub fn report_to(&self, tell: Tell) {
        self.tell.set(tell).ok();
    }

    /// Leaves the questions of a login to the thread. Never waits. Needs a tokio runtime.
    pub(super) fn later(self: &Arc<Self>, job: Job) {
        let queue = self.queue.get_or_init(|| {
            let started = self.start();
            started
                .inspect_err(|error| tracing::warn!(%error, "no thread for policies in shadow mode: none is asked"))
                .ok()
        });
        let left_out = match queue {
            Some(queue) => queue.try_send(job).err().map(|error| match error {
                mpsc::error::TrySendError::Full(job) | mpsc::error::TrySendError::Closed(job) => job,
            }),
            None => Some(job),
        };
        for question in left_out.iter().flat_map(|job| &job.questions) {
            self.metrics.shadow(question.stage(), "dropped");
        }
    }

    /// Starts the thread. What it waits for is the runtime's business, what it computes its own.
    fn start(&self) -> io::Result<mpsc::Sender<Job>> {
        let (sender, jobs) = mpsc::channel(QUEUE);
        // Knows nothing of its maker, so that it ends with those who could ask.
        let work = work(jobs, self.tell.get().cloned(), Arc::clone(&self.metrics));
        let runtime = Handle::current();
        let run = move || {
            policy::stand_back();
            runtime.block_on(work);
        };
        thread::Builder::new().name("herald-shadow".to_owned()).spawn(run)?;
        Ok(sender)
    }
}

async fn work(mut jobs: mpsc::Receiver<Job>, tell: Option<Tell>, metrics: Arc<Metrics>) {
    while let Some(job) = jobs.recv().await {
        for record in job.ask().await {
            metrics.shadow(&record.stage, result(record.verdict, record.same));
            let Some(tell) = &tell else { continue };
            let (time, decision_id, stage) = (job.now, job.decision_id, record.stage.clone());
            let (generation, cluster) = (job.generation.clone(), job.cluster_id.clone());
            if !tell(&Report { time, event: "shadow", decision_id, generation, cluster, record }) {
                metrics.shadow(&stage, "unrecorded");
            }
        }
    }
}

/// What a shadow's verdict counts as. A fault is one also where `onFault: skip` would change nothing for the login.
fn result(verdict: &str, is_same: bool) -> &'static str {
    match verdict {
        "abstain" | "allow" | "deny" if is_same => "same",
        "abstain" | "allow" | "deny" => "different",
        _ => "fault",
    }
}

fn rfc3339<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_rfc3339_millis(*time))
}

// === impl Job ===

impl Job {
    /// Asks each in turn.
    pub(super) async fn ask(&self) -> Vec<ShadowRecord> {
        let login = Login { caller: &self.caller, cluster_id: &self.cluster_id, now: self.now };
        let mut records = Vec::with_capacity(self.questions.len());
        for question in &self.questions {
            let mut record = question.ask(login, &self.guard).await;
            if self.is_scrubbed {
                let scrub = Scrub::of(&self.caller);
                scrub.log(&mut record.log);
                record.change.refuses.iter_mut().for_each(|words| scrub.text(words));
            }
            records.push(record);
        }
        records
    }
}

impl fmt::Debug for Shadows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shadows").field("told", &self.tell.get().is_some()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        path::Path,
        sync::{Mutex, mpsc},
        time::Duration,
    };

    use futures_util::FutureExt as _;

    use super::*;
    use crate::{
        authenticator::Outcome,
        config::{Config, Shared},
        mapping::rule::tests::caller,
        policy::{
            Request,
            tests::{Fixture, guest::Guest},
        },
    };

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;
    /// Longest wait for what must happen by itself.
    const LONG: Duration = Duration::from_secs(60);

    /// alice is mapped by the file, if that is asked.
    fn config(sources: &str, component: &Path, more: &str) -> Config {
        let text = format!(
            "clusterID: c\nserver:\n  mapUsers: [{{userarn: 'arn:aws:iam::123456789012:user/alice', username: alice}}]\n  \
             backendMode: [{sources}]\n  policies: [{{name: p, mode: shadow, component: {}, {more}}}]\n",
            component.display()
        );
        Config::parse(Path::new("/herald.yaml"), &text).expect("good").config
    }

    /// Logins are answered in one go, without waiting for anything, while the shadow of the first one computes; and that is done
    /// by no thread that answers logins.
    #[tokio::test]
    async fn a_slow_shadow_delays_nobody() {
        let fixture = Fixture::new(&Guest::deciding("(loop $l (br $l)) unreachable").component());
        let config = config("MountedFile", fixture.path(), "kind: augment, limits: {timeout: 1s, fuel: 20000000000}");
        let shared = Shared::new(&config, Arc::default(), None, || NOW).expect("made");
        let authenticator = config.build(&shared).expect("built");
        let caller = Arc::new(caller("arn:aws:iam::123456789012:user/alice"));
        let (tell, told) = mpsc::channel();
        shared.shadows().report_to(Arc::new(move |report| {
            tell.send((report.record.verdict, thread::current().name().map(str::to_owned))).is_ok()
        }));
        for _ in 0..3 {
            let mut decision = authenticator.blank(0, NOW);
            let admitted = authenticator.admit(&mut decision, Arc::clone(&caller), NOW);
            let outcome = admitted.now_or_never().expect("it waits for nobody");
            assert!(matches!(outcome, Outcome::Allowed { user } if user.username == "alice"));
        }
        // The runtime's only thread waits here.
        for _ in 0..3 {
            let (verdict, thread) =
                told.recv_timeout(Duration::from_secs(120)).expect("it is asked, and cut in the end");
            assert!(["policy_fuel", "policy_timeout"].contains(&verdict), "{verdict}");
            assert_eq!(thread.as_deref(), Some("herald-shadow"));
        }
    }

    /// One policy in shadow mode, which would let somebody in.
    struct World {
        _fixture: Fixture,
        metrics: Arc<Metrics>,
        shared: Shared,
        caller: Arc<Caller>,
        questions: Vec<Question>,
    }

    impl World {
        async fn new() -> Self {
            let fixture = Fixture::new(&Guest::allowing().component());
            let config = config("Policy/p", fixture.path(), "kind: map, limits: {timeout: 5s}");
            let metrics = Arc::new(Metrics::default());
            let shared = Shared::new(&config, Arc::clone(&metrics), None, || NOW).expect("made");
            let authenticator = config.build(&shared).expect("built");
            let caller = Arc::new(caller("arn:aws:sts::123456789012:assumed-role/Admin/alice"));
            let questions = authenticator.chain.decide(Request::new(&caller, "c", NOW)).await.questions;
            Self { _fixture: fixture, metrics, shared, caller, questions }
        }

        fn login(&self) {
            self.shared.shadows().later(Job {
                decision_id: Uuid::nil(),
                generation: String::new(),
                caller: Arc::clone(&self.caller),
                is_scrubbed: false,
                cluster_id: "c".to_owned(),
                now: NOW,
                guard: Guard::default(),
                questions: self.questions.clone(),
            });
        }

        #[track_caller]
        fn counted(&self, result: &str, count: usize) {
            let line = format!("herald_policy_shadows_total{{policy=\"Policy/p\",result=\"{result}\"}} {count}\n");
            let text = self.metrics.text();
            assert!(text.contains(&line), "{line}{text}");
        }
    }

    #[test]
    fn a_fault_that_is_skipped_is_a_fault() {
        #[track_caller]
        fn check(verdict: &str, is_same: bool, expected: &str) {
            assert_eq!(result(verdict, is_same), expected, "{verdict}");
        }
        check("allow", true, "same");
        check("abstain", true, "same");
        check("allow", false, "different");
        check("deny", false, "different");
        check("policy_trap", false, "fault");
        check("policy_trap", true, "fault");
    }

    /// Logins come faster than they can be compared: what does not fit is counted, and nobody waits.
    #[tokio::test]
    async fn what_does_not_fit_is_counted() {
        let world = World::new().await;
        let ((begin, begun), (go, wait)) = (mpsc::channel(), mpsc::channel::<()>());
        let wait = Mutex::new(wait);
        world.shared.shadows().report_to(Arc::new(move |report| {
            assert_eq!(report.record.change.lets_in.as_deref(), Some("alice"));
            begin.send(()).expect("somebody counts");
            // The first one waits, and its report is lost; by the second one nobody holds it up any more.
            wait.lock().expect("no panic").recv().is_err()
        }));
        world.login();
        begun.recv_timeout(LONG).expect("the first one is asked about");
        (0..QUEUE + 44).for_each(|_| world.login());
        go.send(()).expect("it waits");
        drop(go);
        (0..QUEUE).for_each(|_| begun.recv_timeout(LONG).expect("all that did fit are asked about"));
        world.counted("different", QUEUE + 1);
        world.counted("dropped", 44);
        world.counted("unrecorded", 1);
    }

    #[tokio::test]
    async fn without_a_thread_nobody_is_asked() {
        let world = World::new().await;
        world.shared.shadows().queue.set(None).expect("no login yet");
        world.shared.shadows().report_to(Arc::new(|report| panic!("nobody is asked: {report:?}")));
        (0..3).for_each(|_| world.login());
        world.counted("dropped", 3);
    }

    /// What is left of a configuration that was replaced is asked by the thread, which is the last to hold it.
    #[tokio::test]
    async fn the_thread_ends_with_those_who_could_ask() {
        let world = World::new().await;
        let (tell, told) = mpsc::channel();
        world.shared.shadows().report_to(Arc::new(move |_| tell.send(()).is_ok()));
        (0..3).for_each(|_| world.login());
        drop(world);
        (0..3).for_each(|_| told.recv_timeout(LONG).expect("it was in the queue"));
        assert_eq!(told.recv_timeout(LONG), Err(mpsc::RecvTimeoutError::Disconnected));
    }
}
