//! Routes: the webhook, health and metrics.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use axum::{
    Extension, Router,
    extract::{RawQuery, Request, State},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::{Serialize, Serializer};
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::{
    Config, Served, Services, WEBHOOK_PATH, body, connection::Connection, pace::Denials, rejection::Rejection, reply,
};
use crate::{
    authenticator::{Class, Decision},
    kubernetes::{TokenReview, token_review::ApiVersion},
    observe::{audit::Unrecorded, metrics},
    token::BearerToken,
};

/// What all requests share.
pub(super) struct Room {
    services: Services,
    served: Arc<Served>,
    audiences: Vec<String>,
    body_timeout: Duration,
    max_body_bytes: usize,
    bodies: body::Budget,
    slots: Semaphore,
    /// Free slots at which there are many logins under way.
    crowded: usize,
    /// Bounds how often denials come into the audit log. What it leaves out is counted (`herald_audit_dropped_total`).
    denials: Denials,
    draining: AtomicBool,
    /// The last text of the metrics, and when it was made.
    scraped: Mutex<Option<(Instant, Bytes)>>,
}

/// Logins under way from which on they go [in step](Room::step_aside).
const CROWD: usize = 4;

/// Scrapes this close together get the same text, so that a peer who asks often and reads nothing
/// costs neither time nor memory.
const SCRAPE_INTERVAL: Duration = Duration::from_millis(250);

/// Who asks, and how the answer must look.
struct Question<'a> {
    client: SocketAddr,
    now: SystemTime,
    version: ApiVersion,
    audiences: &'a [String],
}

/// A decision as the audit log has it.
#[derive(Serialize)]
struct Entry<'a, T> {
    #[serde(serialize_with = "rfc3339")]
    time: SystemTime,
    event: &'static str,
    cluster: &'a str,
    client: SocketAddr,
    #[serde(flatten)]
    decision: T,
}

/// What is kept of a decision that is too long for a line.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Digest<'a> {
    truncated: bool,
    decision_id: Uuid,
    provider: &'a str,
    generation: &'a str,
    arn: Option<&'a str>,
    outcome: &'static str,
    username: Option<&'a str>,
    group_count: Option<usize>,
    reason: Option<&'static str>,
}

/// `/readyz?verbose`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Ready {
    ready: bool,
    reasons: BTreeMap<String, String>,
    cluster: String,
    generation: String,
    /// Why the newest configuration is not in force, but the last good one.
    #[serde(skip_serializing_if = "Option::is_none")]
    reload_error: Option<Arc<String>>,
    /// Tables in the cluster whose newest version is wrong, so that the last good one is in force, and why. No reason not to
    /// be ready.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    refused_tables: BTreeMap<String, String>,
    /// Which policies are older than the files, because they are still being compiled.
    #[serde(skip_serializing_if = "Option::is_none")]
    compiling: Option<Arc<String>>,
    /// Why compiled policies cannot be kept. No reason not to be ready: they decide as ever, and each start compiles them.
    #[serde(skip_serializing_if = "Option::is_none")]
    compiled_policies_not_kept: Option<Arc<String>>,
    version: &'static str,
    /// When the certificate in force ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate_end: Option<String>,
    /// Why API servers do not trust it, by the webhook kubeconfig on this machine. No reason not to be ready: they may
    /// have been started with another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    webhook_kubeconfig_error: Option<String>,
}

/// All routes of the webhook's own listener. Metrics are for whoever is on the machine, and so left out `off_host`.
pub(super) fn router(room: Arc<Room>, off_host: bool) -> Router {
    let routes = Router::new()
        .route(WEBHOOK_PATH, post(authenticate).fallback(wrong_method))
        .route("/healthz", get(async || "ok"))
        .route("/readyz", get(readyz));
    let routes = if off_host { routes } else { routes.route("/metrics", get(metrics)) };
    routes.fallback(other_path).with_state(room)
}

/// Routes of the listener for health. `/` is `/healthz`, as probes of existing manifests expect.
pub(super) fn health(room: Arc<Room>) -> Router {
    Router::new()
        .route("/", get(async || "ok"))
        .route("/healthz", get(async || "ok"))
        .route("/readyz", get(readyz))
        .fallback(async || Rejection::NotFound)
        .with_state(room)
}

/// Routes of the listener for metrics.
pub(super) fn metrics_alone(room: Arc<Room>) -> Router {
    Router::new().route("/metrics", get(metrics)).fallback(async || Rejection::NotFound).with_state(room)
}

async fn authenticate(
    State(room): State<Arc<Room>>,
    Extension(connection): Extension<Arc<Connection>>,
    request: Request,
) -> Response {
    let answer = room.review(&connection, request).await;
    answer.unwrap_or_else(|rejection| room.reject(&connection, rejection))
}

async fn wrong_method(State(room): State<Arc<Room>>, Extension(connection): Extension<Arc<Connection>>) -> Response {
    room.reject(&connection, Rejection::Method)
}

/// As an API server asks whose webhook kubeconfig has another path.
async fn other_path(State(room): State<Arc<Room>>, Extension(connection): Extension<Arc<Connection>>) -> Response {
    room.reject(&connection, Rejection::NotFound)
}

async fn readyz(State(room): State<Arc<Room>>, RawQuery(query): RawQuery) -> Response {
    let ready = room.ready();
    let status = if ready.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let verbose = query.is_some_and(|query| query.split('&').any(|pair| pair == "verbose" || pair == "verbose=true"));
    if verbose {
        let json = serde_json::to_vec(&ready).expect("strings are JSON");
        return (status, [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], json).into_response();
    }
    let lines = ready.reasons.iter().map(|(name, reason)| format!("not ready: {name}: {reason}\n"));
    let text = if ready.ready { "ok".to_owned() } else { lines.collect() };
    (status, text).into_response()
}

async fn metrics(State(room): State<Arc<Room>>) -> Response {
    let kind = HeaderValue::from_static(metrics::CONTENT_TYPE);
    ([(header::CONTENT_TYPE, kind)], room.scrape()).into_response()
}

// === impl Room ===

impl Room {
    pub(super) fn new(config: &Config, services: Services, served: Arc<Served>) -> Self {
        Self {
            services,
            served,
            audiences: config.audiences.clone(),
            body_timeout: config.body_timeout,
            max_body_bytes: config.max_body_bytes,
            bodies: body::Budget::new(config.max_body_bytes),
            slots: Semaphore::new(config.max_in_flight),
            crowded: config.max_in_flight.saturating_sub(CROWD),
            denials: Denials::new(),
            draining: AtomicBool::new(false),
            scraped: Mutex::new(None),
        }
    }

    /// From now on `/readyz` says no.
    pub(super) fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    pub(super) fn services(&self) -> &Services {
        &self.services
    }

    /// A slot is taken once the body is here, so that whoever sends slowly holds none.
    async fn review(&self, connection: &Connection, request: Request) -> Result<Response, Rejection> {
        check_media_type(request.headers())?;
        let client = connection.peer();
        let body = body::read(request.into_body(), self.max_body_bytes, self.body_timeout, &self.bodies).await?;
        let _slot = self.slots.try_acquire().map_err(|_| Rejection::Busy)?;
        let _in_flight = InFlight::new(self);
        let mut review: TokenReview = serde_json::from_slice(&body)?;
        drop(body);
        let token = BearerToken::new(std::mem::take(&mut *review.spec.token));
        let Some(audiences) = common(&self.audiences, review.spec.audiences) else {
            self.turned_away(client, "audience");
            return Ok(reply::refused(review.api_version));
        };
        #[expect(clippy::disallowed_methods, reason = "the clock is read once per login, here")]
        let now = SystemTime::now();
        let authenticator = self.services.authenticator.load_full();
        self.step_aside().await;
        let decision = authenticator.decide(&token, now).await;
        self.step_aside().await;
        let question = Question { client, now, version: review.api_version, audiences: &audiences };
        let answer = self.settle(&decision, &authenticator.cluster_id, &question);
        authenticator.count(&decision, answer.is_ok());
        answer
    }

    /// Among many logins, lets all that are ready come as far as this one before it goes on. What each part of a login needs
    /// then stays in the processor's caches from one to the next, and whoever waits for answers is woken once. Two or three
    /// would gain nothing, and pay for the detour.
    async fn step_aside(&self) {
        if self.slots.available_permits() <= self.crowded {
            tokio::task::yield_now().await;
        }
    }

    /// Writes the decision down, then answers. A login that cannot be written down is not answered; a denial is, and
    /// leaves its line to others if there are too many.
    fn settle(&self, decision: &Decision, cluster: &str, question: &Question<'_>) -> Result<Response, Rejection> {
        let class = decision.denial().map(|denial| denial.class);
        if class == Some(Class::Foreign) {
            return Ok(reply::decision(decision, question.version, question.audiences));
        }
        if self.record(decision, cluster, question).is_err() {
            self.services.metrics.audit_dropped(outcome(decision));
            if decision.user().is_some() {
                return Err(Rejection::AuditUnavailable);
            }
        }
        Ok(reply::decision(decision, question.version, question.audiences))
    }

    fn record(&self, decision: &Decision, cluster: &str, question: &Question<'_>) -> Result<(), Unrecorded> {
        let (time, client) = (question.now, question.client);
        let entry = Entry { time, event: "decision", cluster, client, decision };
        let short = || Entry { time, event: "decision", cluster, client, decision: digest(decision) };
        if decision.user().is_some() {
            return self.services.audit.record(&entry, short);
        }
        if !self.denials.admit(decision, Instant::now()) {
            return Err(Unrecorded);
        }
        self.services.audit.record_denial(&entry, short)
    }

    fn reject(&self, connection: &Connection, rejection: Rejection) -> Response {
        self.turned_away(connection.peer(), rejection.reason());
        connection.linger();
        if rejection == Rejection::SlowBody {
            connection.leave();
        }
        rejection.into_response()
    }

    /// Counts and logs a request that was turned away. A login that could not be written down is counted already, as a
    /// decision.
    fn turned_away(&self, client: SocketAddr, reason: &'static str) {
        if reason != Rejection::AuditUnavailable.reason() {
            self.services.metrics.rejected(reason);
        }
        tracing::debug!(%client, reason, "request rejected");
    }

    fn scrape(&self) -> Bytes {
        let now = Instant::now();
        let mut scraped = self.scraped.lock().unwrap_or_else(PoisonError::into_inner);
        match &*scraped {
            Some((made, text)) if now.duration_since(*made) < SCRAPE_INTERVAL => text.clone(),
            _ => {
                let text = Bytes::from(self.services.metrics.text());
                *scraped = Some((now, text.clone()));
                text
            }
        }
    }

    fn ready(&self) -> Ready {
        let mut reasons = self.services.readiness.reasons();
        if self.draining.load(Ordering::Acquire) {
            reasons.insert("server".to_owned(), "shutting down".to_owned());
        }
        let authenticator = self.services.authenticator.load();
        reasons.extend(authenticator.not_ready().map(|(name, why)| (name.to_owned(), why)));
        Ready {
            ready: reasons.is_empty(),
            reasons,
            cluster: authenticator.cluster_id.clone(),
            generation: authenticator.generation.clone(),
            reload_error: self.services.reload_error.load_full(),
            refused_tables: self.services.metrics.refused_tables(),
            compiling: self.services.compiling.load_full(),
            compiled_policies_not_kept: self.services.metrics.why_not_kept(),
            version: env!("CARGO_PKG_VERSION"),
            certificate_end: self
                .served
                .validity()
                .map(|validity| humantime::format_rfc3339_seconds(validity.end).to_string()),
            webhook_kubeconfig_error: self.served.distrust().map(|distrust| distrust.to_string()),
        }
    }
}

fn check_media_type(headers: &HeaderMap) -> Result<(), Rejection> {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = value.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/json").then_some(()).ok_or(Rejection::MediaType)
}

/// The audiences to answer with: none if this server is not bound to any, those in common
/// otherwise, and `None` if there are none in common. A review that asks for none asks for all.
fn common(ours: &[String], asked: Option<Vec<String>>) -> Option<Vec<String>> {
    let asked = asked.unwrap_or_default();
    if ours.is_empty() || asked.is_empty() {
        return Some(ours.to_vec());
    }
    let both: Vec<String> = asked.into_iter().filter(|audience| ours.contains(audience)).collect();
    (!both.is_empty()).then_some(both)
}

fn outcome(decision: &Decision) -> &'static str {
    if decision.user().is_some() { "allowed" } else { "denied" }
}

fn digest(decision: &Decision) -> Digest<'_> {
    Digest {
        truncated: true,
        decision_id: decision.decision_id,
        provider: decision.provider,
        generation: &decision.generation,
        arn: decision.caller.as_ref().map(|caller| caller.arn.as_str()),
        outcome: outcome(decision),
        username: decision.user().map(|user| user.username.as_str()),
        group_count: decision.user().map(|user| user.groups.len()),
        reason: decision.denial().map(|denial| denial.reason),
    }
}

fn rfc3339<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_rfc3339_millis(*time))
}

/// Counts a review as under way while it lives.
struct InFlight<'a>(&'a Room);

// === impl InFlight ===

impl<'a> InFlight<'a> {
    fn new(room: &'a Room) -> Self {
        room.services.metrics.review_started();
        Self(room)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.services.metrics.review_ended();
    }
}

#[cfg(test)]
mod tests;
