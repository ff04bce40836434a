//! The small services that hand out credentials over plain HTTP: instance metadata (Amazon EC2 User Guide,
//! "Use IMDSv2"; Elastic Compute Service, "Instance metadata"), the container endpoint (AWS SDKs and Tools Reference Guide, "Container credential
//! provider") and the portal of IAM Identity Center. One fake for all of them, which counts.

use std::{
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::sts::alibaba::MEI;

/// A metadata service in the background of the present tokio runtime.
pub struct Metadata {
    /// Where it listens.
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
}

/// How it behaves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Manner {
    /// As the real services do, IMDSv2 only.
    Good,
    /// It takes connections and says nothing.
    Silent,
}

/// Key that instance metadata hands out.
pub const INSTANCE_KEY: &str = "ASIAINSTANCEEXAMPLE1";
/// Key that the container endpoint hands out.
pub const CONTAINER_KEY: &str = "ASIACONTAINEREXAMPLE";
/// Key that the portal of IAM Identity Center hands out.
pub const PORTAL_KEY: &str = "ASIAPORTALEXAMPLE001";
/// Region that instance metadata names.
pub const INSTANCE_REGION: &str = "eu-west-3";
/// What the container endpoint wants to see in `Authorization`.
pub const CONTAINER_TOKEN: &str = "container-token";
/// What the portal wants to see in `x-amz-sso_bearer_token`.
pub const PORTAL_TOKEN: &str = "portal-token";

const SESSION: &str = "imds-session";
const RAM_ROLES: &str = "/latest/meta-data/ram/security-credentials/";
const ROLES: &str = "/latest/meta-data/iam/security-credentials/";

// === impl Metadata ===

impl Metadata {
    /// Starts one on a free port.
    ///
    /// # Errors
    ///
    /// When no port is to be had.
    pub async fn start(manner: Manner) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let (address, seen) = (listener.local_addr()?, Arc::<Mutex<Vec<String>>>::default());
        tokio::spawn(serve(listener, manner, Arc::clone(&seen)));
        Ok(Self { address, seen })
    }

    /// `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Paths that were asked for, oldest first; a connection without a request is an empty one.
    #[must_use]
    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn serve(listener: TcpListener, manner: Manner, seen: Arc<Mutex<Vec<String>>>) {
    let mut silent = Vec::new();
    while let Ok((socket, _)) = listener.accept().await {
        let note = |path: &str| seen.lock().unwrap_or_else(PoisonError::into_inner).push(path.to_owned());
        if manner == Manner::Silent {
            note("");
            silent.push(socket);
            continue;
        }
        let seen = Arc::clone(&seen);
        let service = service_fn(move |request: Request<Incoming>| {
            seen.lock().unwrap_or_else(PoisonError::into_inner).push(request.uri().path().to_owned());
            let answer = answer(&request);
            async move { Ok::<_, Infallible>(answer) }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(socket), service));
    }
}

fn answer(request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let has = |name: &str, value: &str| request.headers().get(name).is_some_and(|found| found == value);
    let with_session = has("x-aws-ec2-metadata-token", SESSION) || has("x-aliyun-ecs-metadata-token", SESSION);
    let (status, body) = match (request.method(), request.uri().path()) {
        (&Method::PUT, "/latest/api/token") => (StatusCode::OK, SESSION.to_owned()),
        (&Method::GET, path) if path.starts_with("/latest/") && !with_session => {
            (StatusCode::UNAUTHORIZED, String::new())
        }
        (&Method::GET, ROLES) => (StatusCode::OK, "node".to_owned()),
        (&Method::GET, "/latest/meta-data/iam/security-credentials/node") => (StatusCode::OK, keys(INSTANCE_KEY)),
        (&Method::GET, "/latest/meta-data/placement/region") => (StatusCode::OK, INSTANCE_REGION.to_owned()),
        (&Method::GET, RAM_ROLES) => (StatusCode::OK, "node".to_owned()),
        (&Method::GET, "/latest/meta-data/ram/security-credentials/node") | (&Method::GET, "/credentials") => {
            (StatusCode::OK, keys_of_mei())
        }
        (&Method::GET, "/container") if has("authorization", CONTAINER_TOKEN) => (StatusCode::OK, keys(CONTAINER_KEY)),
        (&Method::GET, "/federation/credentials") if has("x-amz-sso_bearer_token", PORTAL_TOKEN) => {
            let keys = serde_json::json!({"roleCredentials": {
                "accessKeyId": PORTAL_KEY, "secretAccessKey": "secret", "sessionToken": "session",
                "expiration": 4_102_444_800_000_u64,
            }});
            (StatusCode::OK, keys.to_string())
        }
        _ => (StatusCode::NOT_FOUND, String::new()),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let lifetime = http::HeaderValue::from_static("21600");
    response.headers_mut().insert("x-aws-ec2-metadata-token-ttl-seconds", lifetime);
    response
}

/// Of Alibaba Cloud, where metadata and credentials URIs answer alike.
fn keys_of_mei() -> String {
    serde_json::json!({
        "Code": "Success", "AccessKeyId": MEI.access_key_id, "AccessKeySecret": MEI.access_key_secret,
        "SecurityToken": MEI.security_token, "LastUpdated": "2026-01-02T03:04:05Z",
        "Expiration": "2100-01-01T00:00:00Z",
    })
    .to_string()
}

fn keys(id: &str) -> String {
    serde_json::json!({
        "Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": id, "SecretAccessKey": "secret", "Token": "session",
        "LastUpdated": "2026-01-02T03:04:05Z", "Expiration": "2100-01-01T00:00:00Z",
    })
    .to_string()
}
