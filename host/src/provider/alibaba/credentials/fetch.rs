//! Sources that have to be asked: instance metadata, a URI, and STS for the session of a role.
//!
//! STS is asked in the signature that tokens have (ACS3-HMAC-SHA256), parameters in the query: no request is signed
//! with SHA-1 (Security Token Service API Reference, "AssumeRole" and "AssumeRoleWithOIDC").

use std::{
    fs,
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use serde::Deserialize;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{Credentials, Environment, LoadError, Request, Role, Source, answer, process};
use crate::provider::{
    alibaba::{
        acs3::{self, EMPTY_BODY},
        date::AcsDate,
        endpoint::Host,
        request::{JSON, VERSION},
    },
    http::Client,
};

/// Asks for credentials.
pub(super) struct Fetcher<'a> {
    request: &'a Request,
    environment: &'a Environment,
    http: Client,
    /// When it began, by the clock and by one that nobody sets.
    began: (SystemTime, Instant),
}

/// For one answer of metadata: it is near, or not there.
const METADATA_LIMIT: Duration = Duration::from_secs(1);
/// For one answer of anybody else.
const LIMIT: Duration = Duration::from_secs(15);
/// The shortest session STS gives, in seconds; one token needs no longer one.
const SHORTEST: u32 = 900;
const HOUR: u32 = 3600;
const METADATA: &str = "instance metadata";
const URI: &str = "the credentials URI";
const STS: &str = "STS";
const ROLES: &str = "/latest/meta-data/ram/security-credentials/";
/// Longest error code passed on.
const MAX_CODE: usize = 64;

// === impl Fetcher ===

impl<'a> Fetcher<'a> {
    pub(super) fn new(request: &'a Request, environment: &'a Environment, now: SystemTime) -> Self {
        Self { request, environment, http: Client::new(), began: (now, Instant::now()) }
    }

    /// The moment it is. A program that a person has to answer may have run for longer than STS takes a signature.
    fn now(&self) -> SystemTime {
        let (now, then) = self.began;
        now + then.elapsed()
    }

    /// The credentials behind `source`.
    pub(super) async fn resolve(&self, source: &Source) -> Result<Credentials, LoadError> {
        match source {
            Source::Keys(credentials) => Ok(credentials.clone()),
            Source::Assume { base, role } => {
                let base = Box::pin(self.resolve(base)).await?;
                self.assume(&base, role).await
            }
            Source::Oidc { provider_arn, token_file, role } => {
                let unreadable = |source| LoadError::TokenFile { file: token_file.clone(), source };
                let token = Zeroizing::new(fs::read_to_string(token_file).map_err(unreadable)?);
                self.assume_by_oidc(provider_arn, token.trim(), role).await
            }
            Source::Uri(uri) => {
                let body = self.get(URI, uri, None, LIMIT).await?;
                answer::plain(URI, &body)
            }
            Source::Metadata { role } => self.metadata(role.as_deref()).await,
            Source::SignedIn(session) => session.clone().at(self.now()),
            Source::Process(command) => Box::pin(self.resolve(&process::run(command)?)).await,
        }
    }

    /// The instance's role (Elastic Compute Service, "Instance metadata").
    async fn metadata(&self, role: Option<&str>) -> Result<Credentials, LoadError> {
        let base = self.environment.metadata_endpoint();
        let token = if self.environment.metadata_v2() { self.metadata_token(&base).await? } else { None };
        let token = token.as_ref().map(|token| token.as_str());
        let role = match role {
            Some(role) => role.to_owned(),
            None => {
                let body = self.get(METADATA, &format!("{base}{ROLES}"), token, METADATA_LIMIT).await?;
                String::from_utf8_lossy(&body).trim().to_owned()
            }
        };
        let body = self.get(METADATA, &format!("{base}{ROLES}{role}"), token, METADATA_LIMIT).await?;
        answer::plain(METADATA, &body)
    }

    /// What metadata wants to see with every question. Where it gives none, as what stands in for it may not, it is asked
    /// without one.
    async fn metadata_token(&self, base: &str) -> Result<Option<Zeroizing<String>>, LoadError> {
        let request = http::Request::put(format!("{base}/latest/api/token"))
            .header("X-aliyun-ecs-metadata-token-ttl-seconds", "3600");
        match self.exchange(METADATA, request, String::new(), METADATA_LIMIT).await? {
            (200, body) => Ok(Some(Zeroizing::new(String::from_utf8_lossy(&body).trim().to_owned()))),
            (403 | 404, _) => Ok(None),
            (status, _) => Err(unexpected(METADATA, status)),
        }
    }

    /// The body of an answer with status 200.
    async fn get(
        &self,
        source_name: &'static str,
        url: &str,
        token: Option<&str>,
        limit: Duration,
    ) -> Result<Bytes, LoadError> {
        let mut request = http::Request::get(url);
        if let Some(token) = token {
            request = request.header("X-aliyun-ecs-metadata-token", token);
        }
        match self.exchange(source_name, request, String::new(), limit).await? {
            (200, body) => Ok(body),
            (status, _) => Err(unexpected(source_name, status)),
        }
    }

    async fn exchange(
        &self,
        source_name: &'static str,
        request: http::request::Builder,
        body: String,
        limit: Duration,
    ) -> Result<(u16, Bytes), LoadError> {
        let wrong = |_| LoadError::Answer { source_name, what: "it has no usable URL".to_owned() };
        let request = request.body(body).map_err(wrong)?;
        self.http.send(request, limit).await.map_err(|source| LoadError::Send { source_name, source: source.into() })
    }

    async fn assume(&self, base: &Credentials, role: &Role) -> Result<Credentials, LoadError> {
        let (session_name, seconds) = self.session(role);
        let mut parameters =
            vec![("DurationSeconds", seconds.as_str()), ("RoleArn", &role.arn), ("RoleSessionName", &session_name)];
        parameters.extend(role.external_id.as_deref().map(|id| ("ExternalId", id)));
        let api = Api { host: &self.request.sts, action: "AssumeRole", version: VERSION };
        let request = signed(&api, acs3::CALL, &parameters, base, self.now());
        self.session_of(role, request, String::new()).await
    }

    /// Nobody signs this request: the token in it is the proof.
    async fn assume_by_oidc(&self, provider_arn: &str, token: &str, role: &Role) -> Result<Credentials, LoadError> {
        let (session_name, seconds) = self.session(role);
        let query = acs3::canonical_query(&[
            ("DurationSeconds", &seconds),
            ("OIDCProviderArn", provider_arn),
            ("RoleArn", &role.arn),
            ("RoleSessionName", &session_name),
        ]);
        let request = http::Request::post(format!("https://{}/?{query}", self.request.sts))
            .header("accept", JSON)
            .header("content-type", "application/x-www-form-urlencoded")
            .header("x-acs-action", "AssumeRoleWithOIDC")
            .header("x-acs-date", AcsDate::at(self.now()).to_string())
            .header("x-acs-signature-nonce", nonce(self.now()))
            .header("x-acs-version", VERSION);
        self.session_of(role, request, acs3::canonical_query(&[("OIDCToken", token)])).await
    }

    async fn session_of(
        &self,
        role: &Role,
        request: http::request::Builder,
        body: String,
    ) -> Result<Credentials, LoadError> {
        match self.exchange(STS, request, body, LIMIT).await? {
            (200, body) => answer::of_sts(&body),
            (status, body) => {
                let code = error_code(&body).unwrap_or_else(|| format!("HTTP {status}"));
                Err(LoadError::Refused { role: role.arn.clone(), code })
            }
        }
    }

    fn session(&self, role: &Role) -> (String, String) {
        let seconds = self.now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let named = role.session_name.as_ref().or(self.request.session_name.as_ref());
        let name = named.map_or_else(|| format!("herald-{seconds}"), String::clone);
        let usual = if self.request.long { HOUR } else { SHORTEST };
        (name, role.seconds.unwrap_or(usual).to_string())
    }
}

fn unexpected(source_name: &'static str, status: u16) -> LoadError {
    LoadError::Answer { source_name, what: format!("it answers HTTP {status}") }
}

/// An operation of one of Alibaba Cloud's services.
pub(in crate::provider::alibaba) struct Api<'a> {
    pub(in crate::provider::alibaba) host: &'a Host,
    pub(in crate::provider::alibaba) action: &'a str,
    pub(in crate::provider::alibaba) version: &'a str,
}

/// A request to `api`, signed by `credentials`; without a body.
pub(in crate::provider::alibaba) fn signed(
    api: &Api<'_>,
    target: (&str, &str),
    parameters: &[(&str, &str)],
    credentials: &Credentials,
    now: SystemTime,
) -> http::request::Builder {
    let query = acs3::canonical_query(parameters);
    let (date, nonce) = (AcsDate::at(now).to_string(), nonce(now));
    let mut headers = vec![
        ("host", api.host.as_str()),
        ("x-acs-action", api.action),
        ("x-acs-content-sha256", EMPTY_BODY),
        ("x-acs-date", &date),
        ("x-acs-signature-nonce", &nonce),
        ("x-acs-version", api.version),
    ];
    headers.extend(credentials.security_token.as_ref().map(|token| ("x-acs-security-token", token.expose())));
    headers.sort_unstable();
    let request = acs3::Request { target, query: &query, headers: &headers };
    let signature = Zeroizing::new(request.signature(credentials.access_key_secret.expose()));
    let authorization = request.authorization(&credentials.access_key_id, &signature);
    let (method, path) = target;
    let mut request = http::Request::builder()
        .method(method)
        .uri(format!("https://{}{path}?{query}", api.host))
        .header("accept", JSON)
        .header("authorization", authorization);
    for (name, value) in headers.iter().filter(|(name, _)| *name != "host") {
        request = request.header(*name, *value);
    }
    request
}

/// A text that no other request has.
fn nonce(now: SystemTime) -> String {
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let at = uuid::Timestamp::from_unix(uuid::NoContext, since.as_secs(), since.subsec_nanos());
    Uuid::new_v7(at).to_string()
}

#[derive(Deserialize)]
struct ErrorBody {
    /// STS and the gateway before all services write it large, Container Service small.
    #[serde(alias = "Code")]
    code: String,
}

pub(in crate::provider::alibaba) fn error_code(body: &[u8]) -> Option<String> {
    let ErrorBody { code } = serde_json::from_slice(body).ok()?;
    let plain = code.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.');
    (plain && (1..=MAX_CODE).contains(&code.len())).then_some(code)
}
