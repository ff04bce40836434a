//! Status: tells on each IAMIdentityMapping and RAMIdentityMapping whether it is in force, for people who look at the object.
//!
//! Nothing reads it back: who is let in is decided by `spec` alone, and a status that cannot be written touches no
//! login. One replica at most writes, the one that holds a Lease; it writes what differs, no object twice for the same
//! reason, and slowly. An object whose status the API server does not take holds no other up. A mapping that is refused
//! gets an Event too.

use std::{
    collections::{HashMap, HashSet},
    env, fmt,
    panic::AssertUnwindSafe,
    sync::{Arc, OnceLock},
    time::{Duration, Instant, SystemTime},
};

use futures_util::FutureExt as _;
use serde_json::{Value, json};
use tokio::{sync::watch, time::timeout};
use uuid::Uuid;

use super::NAMESPACE;
use crate::{
    MISTAKE,
    config::{CheckId, build::line},
    kubernetes::{
        Client,
        client::{CONFLICT, NOT_FOUND, Place},
        lease::{Elector, LASTS, LEADS, PERIOD},
        watch::{Access, ApiError, Door, Object, Target},
    },
    observe::Metrics,
};

/// What is to be told of one object.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Verdict {
    name: String,
    uid: String,
    generation: i64,
    resource_version: String,
    /// `status` as it is.
    status: Value,
    /// The ARN in the form that existing programs keep in `canonicalARN`; `None` if it is refused.
    canonical_arn: Option<String>,
    /// Why it is refused, and by which check.
    refused: Option<(CheckId, String)>,
}

/// Every object, as it was judged last.
pub(super) type Verdicts = Arc<Vec<Verdict>>;

/// Writes statuses while it leads.
pub(super) struct Writer {
    /// The source whose objects they are, and where writes are counted.
    source: &'static str,
    metrics: Arc<Metrics>,
    door: Door,
    target: &'static Target,
    /// The Lease in `kube-system`.
    lease: &'static str,
    clock: fn() -> SystemTime,
    verdicts: watch::Receiver<Verdicts>,
    stopping: watch::Receiver<bool>,
    elector: Elector,
    client: Option<Client>,
    /// What was written last, by name.
    written: HashMap<String, Written>,
    /// The failure that was told last, while it lasts.
    trouble: Option<String>,
}

/// What was told of an object, so that it is told once.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Written {
    uid: String,
    generation: i64,
    refused: Option<(CheckId, String)>,
    /// The version of the object whose status was not taken.
    not_taken: Option<String>,
}

/// What became of one write.
#[derive(Debug)]
enum Outcome {
    Written,
    /// The API server does not take this status of this object. That is no reason to leave others without theirs.
    NotTaken(ApiError),
    /// The object is of another version by now: the next verdict is about that.
    Changed,
    /// There is no such object, or it has no status.
    Gone,
}

/// The type of the condition.
const ACCEPTED: &str = "Accepted";
/// Most objects that are written in one [`PERIOD`].
const BATCH: usize = 20;
/// Longest wait for one write: with it, what the leader began is over before anybody else leads.
const WRITE: Duration = LASTS.saturating_sub(LEADS).saturating_sub(Duration::from_secs(1));
/// The wait after a failure.
const AFTER_FAILURE: Duration = Duration::from_secs(15);
/// Longest message in a status or an Event, in characters (Kubernetes limits those of Events to 1 kB).
const MAX_MESSAGE: usize = 500;
/// Where Events of objects without a namespace go.
const EVENTS: &str = "default";

// === impl Verdict ===

impl Verdict {
    pub(super) fn new(object: &Object, canonical_arn: Option<String>, refused: Option<(CheckId, String)>) -> Self {
        Self {
            name: object.name.clone(),
            uid: object.uid.clone(),
            generation: object.generation,
            resource_version: object.resource_version.clone(),
            status: object.body["status"].clone(),
            canonical_arn: canonical_arn.filter(|_| refused.is_none()),
            refused,
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    fn told(&self) -> Written {
        let (uid, refused) = (self.uid.clone(), self.refused.clone());
        Written { uid, generation: self.generation, refused, not_taken: None }
    }

    /// Whether there is nothing new to tell since `written`.
    fn is_told(&self, written: &Written) -> bool {
        let same = written.not_taken.as_ref().is_none_or(|version| *version == self.resource_version);
        same && self.told() == Written { not_taken: None, ..written.clone() }
    }

    fn condition(&self) -> Option<&Value> {
        let mut conditions = self.status["conditions"].as_array()?.iter();
        conditions.find(|condition| condition["type"] == ACCEPTED)
    }

    /// Whether it was refused before, as far as its status tells.
    fn was_refused(&self) -> bool {
        self.condition().is_some_and(|condition| condition["status"] == "False")
    }

    fn words(&self) -> (&'static str, String, String) {
        match &self.refused {
            None => ("True", ACCEPTED.to_owned(), "in force".to_owned()),
            Some((check, message)) => ("False", camel(check.as_str()), message.chars().take(MAX_MESSAGE).collect()),
        }
    }

    /// The patch of `status`; `None` if it says so already.
    pub(super) fn patch(&self, now: SystemTime) -> Option<Value> {
        let (status, reason, message) = self.words();
        let old = self.condition();
        let since = old.filter(|old| old["status"] == status).and_then(|old| old["lastTransitionTime"].as_str());
        let condition = json!({
            "type": ACCEPTED,
            "status": status,
            "reason": reason,
            "message": message,
            "observedGeneration": self.generation,
            "lastTransitionTime": since.map_or_else(|| rfc3339(now), str::to_owned),
        });
        let canonical_arn: Value = self.canonical_arn.clone().into();
        if old == Some(&condition) && self.status["canonicalARN"] == canonical_arn {
            return None;
        }
        let others = self.status["conditions"].as_array().into_iter().flatten();
        let others = others.filter(|condition| condition["type"] != ACCEPTED).cloned();
        let conditions: Vec<Value> = others.chain([condition]).collect();
        let version = json!({ "resourceVersion": self.resource_version });
        Some(json!({
            "metadata": version,
            "status": { "canonicalARN": canonical_arn, "conditions": conditions },
        }))
    }

    fn event(&self, target: &Target, now: SystemTime, reporter: &str) -> Value {
        let (_, reason, message) = self.words();
        let (api_version, time) = (format!("{}/{}", target.group, target.version), rfc3339(now));
        json!({
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": { "generateName": format!("{}.", self.name), "namespace": EVENTS },
            "involvedObject": {
                "apiVersion": api_version, "kind": target.kind, "name": self.name, "uid": self.uid,
                "resourceVersion": self.resource_version,
            },
            "type": "Warning",
            "reason": reason,
            "message": message,
            "count": 1,
            "firstTimestamp": time,
            "lastTimestamp": time,
            "source": { "component": "herald" },
            "reportingComponent": "herald",
            "reportingInstance": reporter,
        })
    }
}

/// `invalid-arn` as `InvalidArn`: the form of reasons in Kubernetes (API conventions, "Typical status properties").
fn camel(id: &str) -> String {
    let word = |word: &str| word[..1].to_ascii_uppercase() + &word[1..];
    id.split('-').filter(|part| !part.is_empty()).map(word).collect()
}

fn rfc3339(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}

// === impl Outcome ===

impl Outcome {
    /// The stable label.
    fn word(&self) -> &'static str {
        match self {
            Self::Written => "ok",
            Self::NotTaken(_) => "not_taken",
            Self::Changed => "changed",
            Self::Gone => "gone",
        }
    }
}

// === impl Writer ===

impl Writer {
    pub(super) fn new(
        (source, metrics): (&'static str, Arc<Metrics>),
        access: Access,
        (target, lease): (&'static Target, &'static str),
        clock: fn() -> SystemTime,
        verdicts: watch::Receiver<Verdicts>,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        let elector = Elector::new(NAMESPACE, lease, identity().to_owned());
        let (door, client, written, trouble) = (Door::new(access), None, HashMap::new(), None);
        Self { source, metrics, door, target, lease, clock, verdicts, stopping, elector, client, written, trouble }
    }

    /// Runs until the process stops or its source is not followed any more, and then gives the lease back.
    pub(super) async fn run(mut self) {
        loop {
            let pause = self.turn().await;
            if timeout(pause, self.ended()).await.is_ok() {
                break;
            }
        }
        if let Err(error) = in_time(self.release()).await {
            tracing::info!(lease = self.lease, "not given back, it ends by itself: {}", line(&error));
        }
    }

    /// One pass, and how long to wait for the next. A mistake of ours is a failure like others: who ended with it would
    /// write no status any more, and leave the lease to itself.
    async fn turn(&mut self) -> Duration {
        match AssertUnwindSafe(self.pass()).catch_unwind().await {
            Ok(Ok(())) => {
                if self.trouble.take().is_some() {
                    tracing::info!(lease = self.lease, "statuses of mappings can be written again");
                }
                return PERIOD;
            }
            Ok(Err(error)) => self.failed(error.reason(), line(&error)),
            Err(_) => self.failed("status_mistake", MISTAKE.to_owned()),
        }
        // Who leads has to renew.
        if self.elector.leads(Instant::now()) { PERIOD } else { AFTER_FAILURE }
    }

    /// Waits for the end. Nobody left to say when it comes means that it is now.
    async fn ended(&mut self) {
        let Self { stopping, verdicts, .. } = self;
        tokio::select! {
            _ = stopping.wait_for(|stop| *stop) => {}
            () = async { while verdicts.changed().await.is_ok() {} } => {}
        }
    }

    async fn release(&mut self) -> Result<(), ApiError> {
        if !self.elector.leads(Instant::now()) {
            return Ok(());
        }
        let client = match self.client.take() {
            Some(client) => client,
            None => Client::through(&mut self.door).await?,
        };
        self.elector.release(&client).await
    }

    /// Takes or renews the lease, and if this is the leader writes what differs.
    async fn pass(&mut self) -> Result<(), ApiError> {
        // Credentials may be others after a failure.
        let client = match self.client.take() {
            Some(client) => client,
            None => Client::through(&mut self.door).await?,
        };
        let led = self.elector.leads(Instant::now());
        self.elector.step(&client, (self.clock)()).await?;
        if !led && self.elector.leads(Instant::now()) {
            tracing::info!(lease = self.lease, identity = identity(), "this replica writes the statuses of mappings");
            self.written.clear();
        }
        let verdicts = Arc::clone(&self.verdicts.borrow());
        let there: HashSet<&str> = verdicts.iter().map(|verdict| verdict.name.as_str()).collect();
        self.written.retain(|name, _| there.contains(name.as_str()));
        let mut left = BATCH;
        for verdict in verdicts.iter() {
            if self.written.get(&verdict.name).is_some_and(|written| verdict.is_told(written)) {
                continue;
            }
            let mut written = verdict.told();
            let now = (self.clock)();
            if let Some(patch) = verdict.patch(now) {
                if left == 0 || !self.elector.leads(Instant::now()) {
                    break;
                }
                left -= 1;
                let told = tell(&client, self.target, verdict, &patch, now).await;
                let result = told.as_ref().map_or_else(ApiError::reason, Outcome::word);
                self.metrics.status_write(self.source, result);
                match told? {
                    Outcome::Changed => continue,
                    Outcome::NotTaken(error) => {
                        self.not_taken(&verdict.name, &error);
                        written.not_taken = Some(verdict.resource_version.clone());
                    }
                    Outcome::Written | Outcome::Gone => {}
                }
            }
            self.written.insert(verdict.name.clone(), written);
        }
        self.client = Some(client);
        Ok(())
    }

    /// Told once, however often the object changes meanwhile.
    fn not_taken(&self, mapping: &str, error: &ApiError) {
        if self.written.get(mapping).is_none_or(|written| written.not_taken.is_none()) {
            let (reason, why) = (error.reason(), line(error));
            tracing::warn!(mapping, reason, "its status is not taken, and logins go on; it waits for a change: {why}");
        }
    }

    /// Told once, however often it is tried.
    fn failed(&mut self, reason: &str, why: String) {
        if self.trouble.as_ref() != Some(&why) {
            let hint = "logins go on; see examples/deploy/sources.yaml, or set identityMappingStatus: false";
            tracing::warn!(reason, "statuses of mappings cannot be written ({hint}): {why}");
            self.trouble = Some(why);
        }
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("elector", &self.elector).finish_non_exhaustive()
    }
}

/// Writes the status of one object, and an Event if it is refused from now on.
async fn tell(
    client: &Client,
    target: &Target,
    verdict: &Verdict,
    patch: &Value,
    now: SystemTime,
) -> Result<Outcome, ApiError> {
    let place = Place {
        group: target.group,
        version: target.version,
        plural: target.plural,
        namespace: None,
        name: Some(&verdict.name),
        subresource: Some("status"),
    };
    match in_time(client.merge(&place, patch)).await {
        Ok(_) => {}
        Err(error) if error.status() == Some(CONFLICT) => return Ok(Outcome::Changed),
        // It is gone, or the definition has no status: nothing would change by trying again.
        Err(error) if error.status() == Some(NOT_FOUND) => return Ok(Outcome::Gone),
        Err(error) if error.status().is_some_and(is_of_one_object) => return Ok(Outcome::NotTaken(error)),
        Err(error) => return Err(error),
    }
    if verdict.refused.is_some() && !verdict.was_refused() {
        let events = Place { version: "v1", plural: "events", namespace: Some(EVENTS), ..Place::default() };
        if let Err(error) = in_time(client.create(&events, &verdict.event(target, now, identity()))).await {
            tracing::warn!(mapping = verdict.name, "no Event can be made: {}", line(&error));
        }
    }
    Ok(Outcome::Written)
}

/// Whether an answer with that HTTP status is about what was sent, and not about who asks, or when.
fn is_of_one_object(status: u16) -> bool {
    matches!(status, 400..=499) && !matches!(status, 401 | 403 | 429)
}

async fn in_time<T>(request: impl Future<Output = Result<T, ApiError>>) -> Result<T, ApiError> {
    timeout(WRITE, request).await.unwrap_or(Err(ApiError::Timeout))
}

/// What no other process is called, for as long as this one runs.
fn identity() -> &'static str {
    static IDENTITY: OnceLock<String> = OnceLock::new();
    IDENTITY.get_or_init(|| {
        let pod = ["POD_NAME", "HOSTNAME"].into_iter().find_map(|name| env::var(name).ok());
        format!("{}_{}", pod.as_deref().unwrap_or("herald"), Uuid::now_v7())
    })
}

#[cfg(test)]
mod tests;
