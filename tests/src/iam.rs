//! Dev IAM: `GetRole` and `GetUser` of the query protocol in plain HTTP on loopback, as strict as the real service (AWS Identity
//! and Access Management API Reference). Signatures are checked from the wire with the keys of a dev STS, and an account sees its
//! own roles and users alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

pub use crate::ec2::Fault;
use crate::{
    ec2::{lock, plain, without_error},
    sts::{Parameters, Sts, StsError, Wire},
};

mod xml;

/// A dev IAM in the background of the present tokio runtime.
pub struct Iam {
    /// Where it listens.
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

/// A role or a user.
#[derive(Clone, Debug)]
pub struct Principal {
    /// Such as `arn:aws:iam::123456789012:role/path/Dev`.
    pub arn: String,
    /// `AROA…` or `AIDA…`.
    pub id: String,
    /// Its tags.
    pub tags: Vec<(String, String)>,
}

/// What has happened so far.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// Requests, good and bad.
    pub calls: u64,
    /// Those whose signature, action or parameters were refused.
    pub refused: u64,
    /// Identities whose keys signed.
    pub callers: BTreeSet<String>,
    /// The actions of those that were not refused, with the name asked for, in order.
    pub asked: Vec<(String, String)>,
}

struct Shared {
    sts: Arc<Sts>,
    /// By account, kind and name.
    principals: Mutex<BTreeMap<[String; 3], Principal>>,
    behaviour: Mutex<(Fault, Duration)>,
    calls: AtomicU64,
    refused: AtomicU64,
    callers: Mutex<BTreeSet<String>>,
    asked: Mutex<Vec<(String, String)>>,
}

const SERVICE: &str = "iam";
/// The one region of IAM in the commercial partition.
const SCOPE: &str = "/us-east-1/iam/aws4_request";
const VERSION: &str = "2010-05-08";
const MAX_BODY: usize = 1 << 20;
/// Longest name of a role or user.
const MAX_NAME: usize = 64;

// === impl Iam ===

impl Iam {
    /// Starts one on a free port, which knows the keys of `sts`.
    ///
    /// # Errors
    ///
    /// When no port is to be had.
    pub async fn start(sts: &Arc<Sts>) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            sts: Arc::clone(sts),
            principals: Mutex::default(),
            behaviour: Mutex::default(),
            calls: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            callers: Mutex::default(),
            asked: Mutex::default(),
        });
        tokio::spawn(serve(listener, Arc::clone(&shared)));
        Ok(Self { address, shared })
    }

    /// `http://127.0.0.1:PORT`: what `AWS_ENDPOINT_URL_IAM` takes.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Adds a role or user by its ARN, or makes it anew.
    ///
    /// # Panics
    ///
    /// If it is the ARN of neither.
    pub fn add(&self, arn: &str, id: &str, tags: &[(&str, &str)]) {
        let parts: Vec<&str> = arn.splitn(6, ':').collect();
        let (kind, path) = parts[5].split_once('/').expect("a role or user");
        let name = path.rsplit('/').next().unwrap_or(path);
        let tags = tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let principal = Principal { arn: arn.to_owned(), id: id.to_owned(), tags };
        lock(&self.shared.principals).insert([parts[4], kind, name].map(str::to_owned), principal);
    }

    /// What goes wrong from now on, and how long an answer takes.
    pub fn set(&self, fault: Fault, delay: Duration) {
        *lock(&self.shared.behaviour) = (fault, delay);
    }

    /// The counters as they are.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let Shared { calls, refused, callers, asked, .. } = &*self.shared;
        Stats {
            calls: calls.load(Relaxed),
            refused: refused.load(Relaxed),
            callers: lock(callers).clone(),
            asked: lock(asked).clone(),
        }
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((socket, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        let service = service_fn(move |request| Arc::clone(&shared).answer(request));
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(socket), service));
    }
}

// === impl Shared ===

impl Shared {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> io::Result<Response<Full<Bytes>>> {
        self.calls.fetch_add(1, Relaxed);
        let (fault, delay) = *lock(&self.behaviour);
        let (head, body) = request.into_parts();
        let body = Limited::new(body, MAX_BODY).collect().await.map_err(io::Error::other)?.to_bytes();
        tokio::time::sleep(delay).await;
        match fault {
            Fault::None | Fault::Garbage => {}
            Fault::Reset => return Err(io::Error::from(io::ErrorKind::ConnectionReset)),
            Fault::Hang => tokio::time::sleep(Duration::from_secs(60)).await,
            fault => return Ok(faulty(fault)),
        }
        Ok(match self.find(&head, &body) {
            Ok(Some(mut text)) => {
                if fault == Fault::Garbage {
                    text.truncate(text.len() / 2);
                }
                plain(200, text)
            }
            Ok(None) => plain(404, xml::error("NoSuchEntity", "There is no such role or user.")),
            Err(error) => {
                self.refused.fetch_add(1, Relaxed);
                plain(error.status(), xml::error(error.code(), &error.to_string()))
            }
        })
    }

    /// What it says about whoever is asked for; `None` if he is not there.
    fn find(&self, head: &http::request::Parts, body: &[u8]) -> Result<Option<String>, StsError> {
        let text_of = |name| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let (path, query, host) = (head.uri.path(), head.uri.query().unwrap_or_default(), text_of(header::HOST));
        let wire = Wire { method: head.method.as_str(), host, path, query, headers: &head.headers, body };
        let key = self.sts.verify_for(SERVICE, &wire, &Parameters::parse(query)?)?;
        if !text_of(header::AUTHORIZATION).contains(SCOPE) {
            return Err(StsError::SignatureDoesNotMatch("Credential should be scoped to a valid region.".to_owned()));
        }
        lock(&self.callers).insert(key.identity.arn.clone());
        let bad = |text: &str| StsError::ValidationError(text.to_owned());
        let form = Parameters::parse(std::str::from_utf8(body).map_err(|_| bad("the form is not UTF-8"))?)?;
        if wire.method != "POST" || path != "/" || !query.is_empty() || form.find("Version") != Some(VERSION) {
            return Err(bad("only POST / of this version is served"));
        }
        let action = form.find("Action").unwrap_or_default();
        let (kind, parameter) = match action {
            "GetRole" => ("role", "RoleName"),
            "GetUser" => ("user", "UserName"),
            _ => return Err(bad("only GetRole and GetUser are served")),
        };
        let name = form.find(parameter).unwrap_or_default();
        let is_named = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte));
        if form.iter().count() != 3 || !is_named || !(1..=MAX_NAME).contains(&name.len()) {
            return Err(bad("one name, and nothing else"));
        }
        lock(&self.asked).push((action.to_owned(), name.to_owned()));
        let found = lock(&self.principals).get(&[&key.identity.account, kind, name].map(str::to_owned)).cloned();
        Ok(found.map(|principal| xml::principal(kind, name, &principal)))
    }
}

fn faulty(fault: Fault) -> Response<Full<Bytes>> {
    let (status, code) = match fault {
        Fault::Denied => (403, "AccessDenied"),
        Fault::Throttle => (400, "Throttling"),
        _ => (500, "ServiceFailure"),
    };
    without_error(fault).unwrap_or_else(|| plain(status, xml::error(code, "a fault")))
}
