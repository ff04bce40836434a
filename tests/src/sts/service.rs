//! Service: one request in, one answer out, with the fault in force.

use std::{
    io,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Body as _, Incoming};

use super::{
    Logged, Sts, StsError,
    actions::{self, Outcome},
    alibaba,
    answer::{AnswerBody, Reply, Style},
    behaviour::{Behaviour, Fault},
    connection::Connection,
    keys::Identity,
    query::Parameters,
    stats::count,
    verify::{self, Wire},
};

/// Counts an answer that nobody waited for.
struct Waited<'a> {
    sts: &'a Sts,
    answered: bool,
}

const MAX_BODY: usize = 64 << 10;
const HANG: Duration = Duration::from_secs(120);
/// Where the fault `redirect` leads: to this same service, where that path vouches for anybody.
const ELSEWHERE: &str = "https://sts.eu-west-1.amazonaws.com/elsewhere";
const ELSEWHERE_PATH: &str = "/elsewhere";
/// What the fault `bare429` says.
const BARE: &str = r#"{"message":"slow down"}"#;

// === impl Sts ===

impl Sts {
    pub(super) async fn answer(
        self: Arc<Self>,
        connection: Arc<Connection>,
        request: Request<Incoming>,
    ) -> io::Result<Response<AnswerBody>> {
        count(&self.counters.requests);
        let _inflight = self.counters.inflight.hold();
        let mut waited = Waited { sts: &self, answered: false };
        let serial = self.serial.fetch_add(1, Relaxed);
        let behaviour = self.behaviour();
        if behaviour.latency_ms > 0.0 {
            tokio::time::sleep(Duration::from_secs_f64(behaviour.latency_ms / 1000.0)).await;
        }
        let (head, body) = request.into_parts();
        let body = if body.is_end_stream() { Bytes::new() } else { collect(body).await? };
        let style = Style { json: wants_json(&head.headers), serial };
        let wire = Wire {
            method: head.method.as_str(),
            host: host(&head),
            path: head.uri.path(),
            query: head.uri.query().unwrap_or_default(),
            headers: &head.headers,
            body: &body,
        };
        let (answer, code) = self.spoilt_or_good(&behaviour, style, &wire, &connection).await;
        let status = answer.as_ref().map_or(0, |answer| answer.status().as_u16());
        self.log.push(|| logged(&wire, &head, &connection, status, code));
        waited.answered = true;
        let mut answer = answer?;
        let limit = behaviour.max_requests_per_conn;
        if limit > 0 && connection.served.load(Relaxed) >= limit {
            answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(answer)
    }

    async fn spoilt_or_good(
        &self,
        behaviour: &Behaviour,
        style: Style,
        wire: &Wire<'_>,
        connection: &Arc<Connection>,
    ) -> (io::Result<Response<AnswerBody>>, Option<&'static str>) {
        if self.over_limit(behaviour.rate_limit) {
            count(&self.counters.throttled);
            if alibaba::is_host(wire.host) {
                return (Ok(style.of_alibaba(wire.host, alibaba::Error::Throttling)), Some("Throttling.User"));
            }
            return (Ok(throttle(style, 400, behaviour)), Some("Throttling"));
        }
        if wire.path == ELSEWHERE_PATH {
            return (Ok(style.reply(&Reply::Identity(&anybody()))), None);
        }
        if alibaba::is_host(wire.host) {
            return self.answer_alibaba(behaviour, style, wire, connection).await;
        }
        if behaviour.strikes(style.serial) {
            count(&self.counters.faults);
            return (self.spoil(behaviour, style, wire, connection).await, None);
        }
        match self.good(behaviour, wire, connection) {
            Ok(outcome) => {
                count(&self.counters.ok);
                (Ok(style.reply(&outcome.reply())), None)
            }
            Err(error) => {
                count(&self.counters.refused);
                if matches!(error, StsError::SignatureDoesNotMatch(_)) {
                    count(&self.counters.bad_signature);
                }
                (Ok(style.error(&error)), Some(error.code()))
            }
        }
    }

    /// What the real service would do.
    fn good(&self, behaviour: &Behaviour, wire: &Wire<'_>, connection: &Connection) -> Result<Outcome, StsError> {
        let name = wire.host.rsplit_once(':').map_or(wire.host, |(name, _port)| name);
        if connection.server_name.as_deref().is_some_and(|expected| expected != name) {
            return Err(StsError::ValidationError("the Host header is not the host of the TLS session".to_owned()));
        }
        let mut parameters = Parameters::parse(wire.query)?;
        let now = self.now();
        let form = if is_form(wire.headers) { std::str::from_utf8(wire.body).ok() } else { None };
        let unsigned = form.and_then(|form| Parameters::parse(form).ok());
        if let Some(done) = unsigned.and_then(|form| actions::perform_unsigned(&form, &self.keys, now)) {
            return done;
        }
        let caller = if behaviour.verify {
            verify::verify(wire, &parameters, &self.keys, now)?
        } else {
            let credential = parameters.find("X-Amz-Credential").unwrap_or_default();
            let id = credential.split('/').next().unwrap_or_default();
            self.keys.find(id).ok_or(StsError::InvalidClientTokenId)?
        };
        if is_form(wire.headers) {
            let form = std::str::from_utf8(wire.body);
            let form = form.map_err(|_| StsError::MalformedQueryString("not UTF-8".to_owned()))?;
            parameters.extend(Parameters::parse(form)?)?;
        }
        actions::perform(&parameters, wire.path, caller, &self.keys, now)
    }

    /// What STS of Alibaba Cloud would do, or the fault in force.
    async fn answer_alibaba(
        &self,
        behaviour: &Behaviour,
        style: Style,
        wire: &Wire<'_>,
        connection: &Arc<Connection>,
    ) -> (io::Result<Response<AnswerBody>>, Option<&'static str>) {
        if behaviour.strikes(style.serial) {
            count(&self.counters.faults);
            return (self.spoil_alibaba(behaviour, style, wire, connection).await, None);
        }
        match self.alibaba.answer(wire, behaviour.verify, self.now(), &style.request_id()) {
            Ok(body) => {
                count(&self.counters.ok);
                (Ok(style.answer(200, body)), None)
            }
            Err(error) => {
                count(&self.counters.refused);
                if error == alibaba::Error::SignatureDoesNotMatch {
                    count(&self.counters.bad_signature);
                }
                (Ok(style.of_alibaba(wire.host, error)), Some(error.code()))
            }
        }
    }

    async fn spoil_alibaba(
        &self,
        behaviour: &Behaviour,
        style: Style,
        wire: &Wire<'_>,
        connection: &Arc<Connection>,
    ) -> io::Result<Response<AnswerBody>> {
        let caller = self.alibaba.named(wire);
        let identity = caller.map_or_else(|_| alibaba::LIN.key().identity, |key| key.identity.clone());
        let changed = |change: fn(&mut alibaba::Identity)| {
            let mut identity = identity.clone();
            change(&mut identity);
            style.answer(200, alibaba::identity(&identity, &style.request_id()))
        };
        let good = || changed(|_| {});
        let refuse = |error| style.of_alibaba(wire.host, error);
        Ok(match behaviour.fault {
            Fault::None => good(),
            Fault::Throttle400 => refuse(alibaba::Error::Throttling),
            Fault::Bare429 => style.answer(429, BARE),
            Fault::Throttle429 => {
                let mut answer = refuse(alibaba::Error::Throttling);
                *answer.status_mut() = http::StatusCode::TOO_MANY_REQUESTS;
                answer
            }
            Fault::Denied403 => refuse(alibaba::Error::KeyNotFound),
            Fault::Expired403 => refuse(alibaba::Error::TokenExpired),
            Fault::E500 => refuse(alibaba::Error::InternalError),
            Fault::E503 => refuse(alibaba::Error::ServiceUnavailable),
            Fault::Hang => {
                tokio::time::sleep(HANG).await;
                refuse(alibaba::Error::ServiceUnavailable)
            }
            Fault::Close => return Err(io::Error::other("fault: close")),
            Fault::Reset => {
                connection.reset();
                return Err(io::Error::other("fault: reset"));
            }
            Fault::ResetBody => good().map(|body| body.reset(Arc::clone(connection))),
            Fault::Stalled => good().map(AnswerBody::stalled),
            Fault::Drip => good().map(AnswerBody::dripping),
            Fault::Garbage => style.answer(200, r#"{"AccountId":["#),
            Fault::Huge => style.huge(),
            Fault::Html403 => blocked(style),
            Fault::Redirect => redirect(style),
            Fault::Empty => style.answer(200, "{}"),
            Fault::Trailing => style.answer(200, format!("{}\n{{}}", alibaba::identity(&identity, "R"))),
            Fault::Duplicate => {
                let twice = format!(r#","Arn":"{}"}}"#, alibaba::ROOT.arn);
                style.answer(200, alibaba::identity(&identity, "R").replace('}', &twice))
            }
            Fault::AccountMismatch => changed(|identity| identity.account_id = "9999999999999999".to_owned()),
            Fault::BadArn => {
                changed(|identity| identity.arn = format!("acs:ecs::{}:instance/i-0", identity.account_id))
            }
            Fault::BadUserId => changed(|identity| identity.principal_id = String::new()),
            Fault::Xml => {
                Style { json: false, ..style }.answer(200, alibaba::identity_xml(&identity, &style.request_id()))
            }
        })
    }

    async fn spoil(
        &self,
        behaviour: &Behaviour,
        style: Style,
        wire: &Wire<'_>,
        connection: &Arc<Connection>,
    ) -> io::Result<Response<AnswerBody>> {
        let caller = self.named_caller(wire);
        let identity = |change: fn(&mut Identity)| {
            let mut identity = caller.clone();
            change(&mut identity);
            style.reply(&Reply::Identity(&identity))
        };
        let good = || identity(|_| {});
        Ok(match behaviour.fault {
            Fault::None => good(),
            Fault::Throttle400 => throttle(style, 400, behaviour),
            Fault::Throttle429 => throttle(style, 429, behaviour),
            Fault::Bare429 => style.answer(429, BARE),
            Fault::Denied403 => style.error(&StsError::InvalidClientTokenId),
            Fault::Expired403 => style.error(&StsError::ExpiredToken),
            Fault::E500 => style.error(&StsError::InternalFailure),
            Fault::E503 => style.error(&StsError::ServiceUnavailable),
            Fault::Hang => {
                tokio::time::sleep(HANG).await;
                style.error(&StsError::ServiceUnavailable)
            }
            Fault::Close => return Err(io::Error::other("fault: close")),
            Fault::Reset => {
                connection.reset();
                return Err(io::Error::other("fault: reset"));
            }
            Fault::ResetBody => good().map(|body| body.reset(Arc::clone(connection))),
            Fault::Stalled => good().map(AnswerBody::stalled),
            Fault::Drip => good().map(AnswerBody::dripping),
            Fault::Garbage => style.answer(200, r#"{"GetCallerIdentityResponse":["#),
            Fault::Huge => style.huge(),
            Fault::Html403 => blocked(style),
            Fault::Redirect => redirect(style),
            Fault::Empty => style.answer(200, "{}"),
            Fault::Trailing => style.answer(200, format!("{}\n{{}}", json_identity(&caller))),
            Fault::Duplicate => style.answer(200, duplicate(&caller)),
            Fault::Xml => Style { json: false, ..style }.reply(&Reply::Identity(&caller)),
            Fault::AccountMismatch => identity(|identity| identity.account = "999999999999".to_owned()),
            Fault::BadArn => identity(|identity| identity.arn = "arn:aws:ec2::123456789012:instance/i-0".to_owned()),
            Fault::BadUserId => identity(|identity| identity.user_id = String::new()),
        })
    }

    /// Whoever the request says it is from, unproven: faults need somebody to talk about.
    fn named_caller(&self, wire: &Wire<'_>) -> Identity {
        let parameters = Parameters::parse(wire.query).unwrap_or_default();
        let credential = parameters.find("X-Amz-Credential").unwrap_or_default();
        let key = self.keys.find(credential.split('/').next().unwrap_or_default());
        key.map_or_else(anybody, |key| key.identity.clone())
    }
}

async fn collect(body: Incoming) -> io::Result<Bytes> {
    let collected = Limited::new(body, MAX_BODY).collect().await;
    collected.map(|body| body.to_bytes()).map_err(io::Error::other)
}

fn wants_json(headers: &http::HeaderMap) -> bool {
    headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).is_some_and(|value| value.contains("json"))
}

fn is_form(headers: &http::HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    kind.is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"))
}

/// `:authority` or the `Host` header.
fn host(head: &http::request::Parts) -> &str {
    let header = || head.headers.get(header::HOST).and_then(|value| value.to_str().ok());
    head.uri.authority().map(http::uri::Authority::as_str).or_else(header).unwrap_or_default()
}

fn throttle(style: Style, status: u16, behaviour: &Behaviour) -> Response<AnswerBody> {
    let mut answer = style.error(&StsError::Throttling);
    *answer.status_mut() = http::StatusCode::from_u16(status).expect("400 or 429");
    if behaviour.retry_after_s > 0 {
        answer.headers_mut().insert(header::RETRY_AFTER, behaviour.retry_after_s.into());
    }
    answer
}

fn redirect(style: Style) -> Response<AnswerBody> {
    let mut answer = style.answer(302, "");
    answer.headers_mut().insert(header::LOCATION, HeaderValue::from_static(ELSEWHERE));
    answer
}

fn blocked(style: Style) -> Response<AnswerBody> {
    let mut answer = style.answer(403, "<html><body>Request blocked</body></html>");
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html"));
    answer
}

/// Somebody every test maps to administrators, should a client believe a redirect.
fn anybody() -> Identity {
    super::ALICE.key().identity
}

fn json_identity(identity: &Identity) -> serde_json::Value {
    let Identity { account, arn, user_id } = identity;
    serde_json::json!({"GetCallerIdentityResponse": {
        "GetCallerIdentityResult": {"Account": account, "Arn": arn, "UserId": user_id},
        "ResponseMetadata": {"RequestId": "00000000-0000-4000-8000-000000000000"},
    }})
}

/// Two results in one answer: which of them counts must not be left to chance.
fn duplicate(identity: &Identity) -> String {
    let good = json_identity(identity)["GetCallerIdentityResponse"]["GetCallerIdentityResult"].to_string();
    let other = r#"{"Account":"123456789012","Arn":"arn:aws:iam::123456789012:root","UserId":"123456789012"}"#;
    format!(r#"{{"GetCallerIdentityResponse":{{"GetCallerIdentityResult":{good},"GetCallerIdentityResult":{other}}}}}"#)
}

fn logged(
    wire: &Wire<'_>,
    head: &http::request::Parts,
    connection: &Connection,
    status: u16,
    code: Option<&'static str>,
) -> Logged {
    let mut parameters = Parameters::parse(wire.query).unwrap_or_default();
    if let Some(form) = std::str::from_utf8(wire.body).ok().and_then(|form| Parameters::parse(form).ok()) {
        // For the log alone: what does not fit is left out.
        let _ = parameters.extend(form);
    }
    let text = |name| wire.headers.get(name).and_then(|value| value.to_str().ok());
    let in_header = text("authorization").and_then(|value| value.split("Credential=").nth(1));
    let in_rpc = parameters.find("AccessKeyId");
    let credential = parameters.find("X-Amz-Credential").or(in_header).or(in_rpc).unwrap_or_default();
    Logged {
        connection: connection.nth,
        protocol: format!("{:?}", head.version),
        host: wire.host.to_owned(),
        method: wire.method.to_owned(),
        path: wire.path.to_owned(),
        action: parameters.find("Action").or_else(|| text("x-acs-action")).unwrap_or_default().to_owned(),
        access_key_id: credential.split(['/', ',']).next().unwrap_or_default().to_owned(),
        cluster_id: text("x-k8s-aws-id").or_else(|| parameters.find("ACKClusterId")).map(str::to_owned),
        headers: wire.headers.keys().map(|name| name.as_str().to_owned()).collect(),
        status,
        code,
    }
}

// === impl Outcome ===

impl Outcome {
    fn reply(&self) -> Reply<'_> {
        match self {
            Self::Identity(key) => Reply::Identity(&key.identity),
            Self::Session { action, key, role_arn } => Reply::Session { action, key, role_arn },
        }
    }
}

// === impl Waited ===

impl Drop for Waited<'_> {
    fn drop(&mut self) {
        if !self.answered {
            count(&self.sts.counters.aborted);
        }
    }
}
