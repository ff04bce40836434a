//! The floor for a webhook server: axum, rustls and a pooled client, doing as little as can be done.
//!
//! It checks far less than a webhook must: it is a bound to compare with, and nothing to run.

use std::{
    borrow::Cow,
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::Context as _;
use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use clap::{Parser, ValueEnum};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::{net::TcpListener, sync::OnceCell};
use tokio_rustls::TlsAcceptor;

/// How much the floor does.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Mode {
    /// Parse the TokenReview, answer a fixed identity.
    Echo,
    /// The same plus one GET of the token's URL through a pooled client.
    Sts,
    /// The same, answers kept by the token's SHA-256, one STS call per token at a time.
    Cached,
}

/// The least a webhook server can cost.
#[derive(Debug, Parser)]
struct Arguments {
    /// Loopback port.
    #[arg(long)]
    port: u16,
    /// How much it does.
    #[arg(long, value_enum, default_value = "echo")]
    mode: Mode,
    /// The cluster id that tokens are signed for.
    #[arg(long, default_value = "bench")]
    cluster_id: String,
}

#[derive(Deserialize)]
struct Review<'a> {
    #[serde(borrow)]
    spec: Spec<'a>,
}

#[derive(Deserialize)]
struct Spec<'a> {
    #[serde(borrow)]
    token: Cow<'a, str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    api_version: &'a str,
    kind: &'a str,
    status: Status<'a>,
}

#[derive(Serialize)]
struct Status<'a> {
    authenticated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<User<'a>>,
}

#[derive(Serialize)]
struct User<'a> {
    username: &'a str,
    uid: &'a str,
    groups: [&'a str; 2],
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct StsAnswer {
    get_caller_identity_response: StsResponse,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct StsResponse {
    get_caller_identity_result: Identity,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Identity {
    arn: String,
    user_id: String,
}

/// Answers by the token's digest; a cell is filled by whoever comes first.
type Cache = Mutex<HashMap<[u8; 32], Arc<OnceCell<Option<Bytes>>>>>;

struct Floor {
    mode: Mode,
    cluster_id: String,
    client: reqwest::Client,
    cache: Cache,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Arguments { port, mode, cluster_id } = Arguments::parse();
    ring::default_provider().install_default().ok().context("a provider is installed already")?;
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(Duration::from_secs(10))
        .pool_max_idle_per_host(256)
        .build()?;
    let floor = Arc::new(Floor { mode, cluster_id, client, cache: Cache::default() });
    let router = Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route("/authenticate", post(authenticate))
        .with_state(floor);
    serve(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), router).await
}

async fn serve(address: SocketAddr, router: Router) -> anyhow::Result<()> {
    let acceptor = TlsAcceptor::from(Arc::new(server_config()?));
    let listener = TcpListener::bind(address).await?;
    loop {
        let (socket, _) = listener.accept().await?;
        let (acceptor, router) = (acceptor.clone(), router.clone());
        tokio::spawn(async move {
            // A connection that breaks is its client's affair.
            let _ = socket.set_nodelay(true);
            let Ok(stream) = acceptor.accept(socket).await else { return };
            let service = TowerToHyperService::new(router);
            let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// A throw-away self-signed certificate (ECDSA P-256).
fn server_config() -> anyhow::Result<ServerConfig> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()])?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let mut config =
        ServerConfig::builder().with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

async fn authenticate(State(floor): State<Arc<Floor>>, body: Bytes) -> Response {
    let answer = floor.review(&body).await.unwrap_or_else(|| answer(None));
    (StatusCode::OK, [(header::CONTENT_TYPE, "application/json")], answer).into_response()
}

fn answer(user: Option<User<'_>>) -> Bytes {
    let status = Status { authenticated: user.is_some(), user };
    let answer = Answer { api_version: "authentication.k8s.io/v1beta1", kind: "TokenReview", status };
    serde_json::to_vec(&answer).expect("plain data").into()
}

// === impl Identity ===

impl Identity {
    /// The answer for this identity, named `role:session`.
    fn answer(&self) -> Bytes {
        let (role, session) = self.arn.rsplit_once('/').unwrap_or_default();
        let username = format!("{}:{session}", role.rsplit('/').next().unwrap_or_default());
        answer(Some(User { username: &username, uid: &self.user_id, groups: ["bench:viewers", "bench:g0"] }))
    }
}

// === impl Floor ===

impl Floor {
    async fn review(&self, body: &[u8]) -> Option<Bytes> {
        let review: Review<'_> = serde_json::from_slice(body).ok()?;
        let token = &review.spec.token;
        match self.mode {
            Mode::Echo => Some(echo().answer()),
            Mode::Sts => self.ask(token).await,
            Mode::Cached => {
                let digest = Sha256::digest(token.as_bytes()).into();
                let cell = Arc::clone(self.cache.lock().ok()?.entry(digest).or_default());
                cell.get_or_init(|| self.ask(token)).await.clone()
            }
        }
    }

    async fn ask(&self, token: &str) -> Option<Bytes> {
        let url = URL_SAFE_NO_PAD.decode(token.strip_prefix("k8s-aws-v1.")?).ok()?;
        let url = reqwest::Url::parse(str::from_utf8(&url).ok()?).ok()?;
        let host = url.host_str()?;
        if url.scheme() != "https" || !host.starts_with("sts.") || !host.ends_with(".amazonaws.com") {
            return None;
        }
        let request =
            self.client.get(url).header("x-k8s-aws-id", &self.cluster_id).header("accept", "application/json");
        let response = request.send().await.ok()?;
        if response.status() != StatusCode::OK {
            return None;
        }
        let answer: StsAnswer = serde_json::from_slice(&response.bytes().await.ok()?).ok()?;
        Some(answer.get_caller_identity_response.get_caller_identity_result.answer())
    }
}

fn echo() -> Identity {
    Identity {
        arn: "arn:aws:sts::111122223333:assumed-role/bench-role-000000/sess-0".to_owned(),
        user_id: "AROA:sess-0".to_owned(),
    }
}
