//! Shadows: policies in shadow mode, asked after the login is answered, on a task of their own.
//!
//! Failure rule: what does not fit into the queue is left out and counted. A login neither waits for a shadow nor
//! notices one.

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::SystemTime,
};

use serde::{Serialize, Serializer};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::{
    caller::Caller,
    mapping::{
        Guard,
        shadow::{Login, Question, ShadowRecord},
    },
    observe::Metrics,
};

/// Asks shadows for every configuration of the process.
#[derive(Default)]
pub struct Shadows {
    metrics: Arc<Metrics>,
    tell: OnceLock<Tell>,
    /// Made with the first question, for then there is a runtime.
    queue: OnceLock<mpsc::Sender<Job>>,
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

    /// Leaves the questions of a login to the task. Never waits. Needs a tokio runtime.
    pub(super) fn later(self: &Arc<Self>, job: Job) {
        let queue = self.queue.get_or_init(|| {
            let (sender, jobs) = mpsc::channel(QUEUE);
            // Knows nothing of its maker, so that it ends with those who could ask.
            tokio::spawn(work(jobs, self.tell.get().cloned(), Arc::clone(&self.metrics)));
            sender
        });
        if let Err(mpsc::error::TrySendError::Full(job) | mpsc::error::TrySendError::Closed(job)) = queue.try_send(job)
        {
            job.questions.iter().for_each(|question| self.metrics.shadow(question.stage(), "dropped"));
        }
    }
}

async fn work(mut jobs: mpsc::Receiver<Job>, tell: Option<Tell>, metrics: Arc<Metrics>) {
    while let Some(job) = jobs.recv().await {
        for record in job.ask().await {
            let result = match &record {
                ShadowRecord { same: true, .. } => "same",
                ShadowRecord { verdict: "abstain" | "allow" | "deny", .. } => "different",
                _ => "fault",
            };
            metrics.shadow(&record.stage, result);
            let Some(tell) = &tell else { continue };
            let (time, decision_id, stage) = (job.now, job.decision_id, record.stage.clone());
            let (generation, cluster) = (job.generation.clone(), job.cluster_id.clone());
            if !tell(&Report { time, event: "shadow", decision_id, generation, cluster, record }) {
                metrics.shadow(&stage, "unrecorded");
            }
        }
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
            records.push(question.ask(login, &self.guard).await);
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
        sync::{
            Mutex,
            atomic::{AtomicUsize, Ordering::SeqCst},
        },
        time::{Duration, Instant},
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

    /// Told by the order of events alone: each login is answered in one go, without waiting for anything, while the shadow of the
    /// first one computes on the same thread; and that one is compared when its time is over.
    #[tokio::test]
    async fn a_slow_shadow_delays_nobody() {
        let fixture = Fixture::new(&Guest::deciding("(loop $l (br $l)) unreachable").component());
        let text = format!(
            "clusterID: c\nserver:\n  mapUsers: [{{userarn: 'arn:aws:iam::123456789012:user/alice', username: alice}}]\n  \
             policies: [{{name: p, kind: augment, mode: shadow, component: {}, limits: {{timeout: 1s, fuel: 20000000000}}}}]\n",
            fixture.path().display()
        );
        let config = Config::parse(Path::new("/herald.yaml"), &text).expect("good").config;
        let shared = Shared::new(&config, Arc::default(), None, || SystemTime::UNIX_EPOCH).expect("made");
        let authenticator = config.build(&shared).expect("built");
        let caller = Arc::new(caller("arn:aws:iam::123456789012:user/alice"));
        let events = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&events);
        shared.shadows().report_to(Arc::new(move |report| {
            told.lock().expect("no panic").push(report.record.verdict);
            true
        }));
        let has_ended = || events.lock().expect("no panic").iter().any(|event| *event != "answered");
        let limit = Instant::now() + Duration::from_secs(120);
        while !has_ended() {
            assert!(Instant::now() < limit, "the shadow is asked, and cut in the end");
            let mut decision = authenticator.blank(0, SystemTime::UNIX_EPOCH);
            let admitted = authenticator.admit(&mut decision, Arc::clone(&caller), SystemTime::UNIX_EPOCH);
            let outcome = admitted.now_or_never().expect("it waits for nobody");
            assert!(matches!(outcome, Outcome::Allowed { user } if user.username == "alice"));
            events.lock().expect("no panic").push("answered");
            tokio::task::yield_now().await;
        }
        let events = events.lock().expect("no panic");
        let first = events.iter().position(|event| *event != "answered").expect("it has ended");
        assert!(first > 1, "logins were answered before the first one's shadow had ended: {first}");
        assert!(["policy_fuel", "policy_timeout"].contains(&events[first]), "{}", events[first]);
    }

    /// Logins come faster than they can be compared: what does not fit is counted, and nobody waits.
    #[tokio::test]
    async fn what_does_not_fit_is_counted() {
        let fixture = Fixture::new(&Guest::allowing().component());
        let text = format!(
            "clusterID: c\nserver:\n  backendMode: [Policy/p]\n  policies: [{{name: p, kind: map, mode: shadow, component: {}, \
             limits: {{timeout: 5s}}}}]\n",
            fixture.path().display()
        );
        let config = Config::parse(Path::new("/herald.yaml"), &text).expect("good").config;
        let metrics = Arc::new(Metrics::default());
        let shared = Shared::new(&config, Arc::clone(&metrics), None, || SystemTime::UNIX_EPOCH).expect("made");
        let authenticator = config.build(&shared).expect("built");
        let caller = Arc::new(caller("arn:aws:sts::123456789012:assumed-role/Admin/alice"));
        let now = SystemTime::UNIX_EPOCH;
        let request = Request::new(&caller, "c", now);
        let told = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&told);
        shared.shadows().report_to(Arc::new(move |report| {
            assert_eq!(report.record.change.lets_in.as_deref(), Some("alice"));
            counted.fetch_add(1, SeqCst) != 0
        }));
        // No other task of this thread runs before the first wait.
        let questions = authenticator.chain.decide(request).await.questions;
        for _ in 0..QUEUE + 44 {
            shared.shadows().later(Job {
                decision_id: Uuid::nil(),
                generation: String::new(),
                caller: Arc::clone(&caller),
                cluster_id: "c".to_owned(),
                now,
                guard: Guard::default(),
                questions: questions.clone(),
            });
        }
        while told.load(SeqCst) < QUEUE {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::task::yield_now().await;
        let text = metrics.text();
        for (result, count) in [("different", QUEUE), ("dropped", 44), ("unrecorded", 1)] {
            let line = format!("herald_policy_shadows_total{{policy=\"Policy/p\",result=\"{result}\"}} {count}\n");
            assert!(text.contains(&line), "{line}{text}");
        }
    }
}
