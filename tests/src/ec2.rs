//! Dev EC2: `DescribeInstances` of the query protocol in plain HTTP on loopback, as strict as the real service
//! (Amazon EC2 API Reference, "DescribeInstances"). Signatures are checked from the wire with the keys of a dev STS,
//! and an account sees its own instances alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::sts::{Parameters, Sts, StsError, Wire};

mod xml;

/// A dev EC2 in the background of the present tokio runtime.
pub struct Ec2 {
    /// Where it listens.
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

/// An instance.
#[derive(Clone, Debug)]
pub struct Instance {
    /// Such as `i-0123456789abcdef0`.
    pub id: String,
    /// The account that owns it.
    pub account: String,
    /// `privateDnsName`; empty before it runs and after it has ended.
    pub private_dns_name: String,
    /// Its tags.
    pub tags: Vec<(String, String)>,
}

/// What it does to its clients.
#[derive(Clone, Copy, Debug, Default)]
pub struct Behaviour {
    /// Time spent on each answer.
    pub delay: Duration,
    /// What goes wrong.
    pub fault: Fault,
    /// Most instances on one page, below what the client asks for. Default 0: what the client asks for.
    pub page: usize,
}

/// What can go wrong with an answer.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Fault {
    /// 403 `UnauthorizedOperation`.
    Denied,
    /// 500 `InternalError`.
    E500,
    /// The document breaks off.
    Garbage,
    /// No answer for a minute.
    Hang,
    /// A body of 16 MiB.
    Huge,
    /// All is well.
    #[default]
    None,
    /// 302 to another host.
    Redirect,
    /// The connection is closed instead of an answer.
    Reset,
    /// 503 `RequestLimitExceeded`.
    Throttle,
}

/// What has happened so far.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// Requests, good and bad.
    pub calls: u64,
    /// Those whose signature, action or filter was refused.
    pub refused: u64,
    /// Instance ids in all filters.
    pub instances: u64,
    /// Most instance ids in one filter.
    pub largest: u64,
    /// Identities whose keys signed.
    pub callers: BTreeSet<String>,
}

struct Shared {
    sts: Arc<Sts>,
    instances: Mutex<BTreeMap<String, Instance>>,
    behaviour: Mutex<Behaviour>,
    calls: AtomicU64,
    refused: AtomicU64,
    asked: AtomicU64,
    largest: AtomicU64,
    callers: Mutex<BTreeSet<String>>,
}

/// What a request asks for.
struct Question {
    account: String,
    ids: BTreeSet<String>,
    page: usize,
    start: usize,
}

const SERVICE: &str = "ec2";
const VERSION: &str = "2016-11-15";
const MAX_BODY: usize = 1 << 20;
/// Most values of all filters (Amazon EC2 API Reference, "Filter").
const MAX_VALUES: usize = 200;
const PAGES: std::ops::RangeInclusive<usize> = 5..=1000;

// === impl Ec2 ===

impl Ec2 {
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
            instances: Mutex::default(),
            behaviour: Mutex::default(),
            calls: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            asked: AtomicU64::new(0),
            largest: AtomicU64::new(0),
            callers: Mutex::default(),
        });
        tokio::spawn(serve(listener, Arc::clone(&shared)));
        Ok(Self { address, shared })
    }

    /// `http://127.0.0.1:PORT`: what `AWS_ENDPOINT_URL_EC2` takes.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Adds an instance, or describes one anew.
    pub fn add(&self, id: &str, account: &str, private_dns_name: &str) {
        self.add_tagged(id, account, private_dns_name, &[]);
    }

    /// The same with tags.
    pub fn add_tagged(&self, id: &str, account: &str, private_dns_name: &str, tags: &[(&str, &str)]) {
        let [id, account, private_dns_name] = [id, account, private_dns_name].map(str::to_owned);
        let tags = tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        lock(&self.shared.instances).insert(id.clone(), Instance { id, account, private_dns_name, tags });
    }

    /// Turns all knobs at once.
    pub fn set(&self, behaviour: Behaviour) {
        *lock(&self.shared.behaviour) = behaviour;
    }

    /// The counters as they are.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let at = |counter: &AtomicU64| counter.load(Relaxed);
        let Shared { calls, refused, asked, largest, callers, .. } = &*self.shared;
        Stats {
            calls: at(calls),
            refused: at(refused),
            instances: at(asked),
            largest: at(largest),
            callers: lock(callers).clone(),
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
        let behaviour = *lock(&self.behaviour);
        let (head, body) = request.into_parts();
        let body = Limited::new(body, MAX_BODY).collect().await.map_err(io::Error::other)?.to_bytes();
        tokio::time::sleep(behaviour.delay).await;
        match behaviour.fault {
            Fault::None | Fault::Garbage => {}
            Fault::Reset => return Err(io::Error::from(io::ErrorKind::ConnectionReset)),
            Fault::Hang => tokio::time::sleep(Duration::from_secs(60)).await,
            fault => return Ok(faulty(fault)),
        }
        let described = self.question(&head, &body).map(|question| self.describe(&question, behaviour.page));
        Ok(match described {
            Ok(mut text) => {
                if behaviour.fault == Fault::Garbage {
                    text.truncate(text.len() / 2);
                }
                plain(200, text)
            }
            Err(error) => {
                self.refused.fetch_add(1, Relaxed);
                plain(error.status(), xml::error(error.code(), &error.to_string()))
            }
        })
    }

    fn question(&self, head: &http::request::Parts, body: &[u8]) -> Result<Question, StsError> {
        let host = head.headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        let (path, query) = (head.uri.path(), head.uri.query().unwrap_or_default());
        let wire = Wire { method: head.method.as_str(), host, path, query, headers: &head.headers, body };
        let key = self.sts.verify_for(SERVICE, &wire, &Parameters::parse(query)?)?;
        lock(&self.callers).insert(key.identity.arn.clone());
        let bad = |text: &str| StsError::ValidationError(text.to_owned());
        let form = Parameters::parse(std::str::from_utf8(body).map_err(|_| bad("the form is not UTF-8"))?)?;
        let is = |name: &str, value: &str| form.find(name) == Some(value);
        if wire.method != "POST" || path != "/" || !is("Action", "DescribeInstances") || !is("Version", VERSION) {
            return Err(bad("only POST / of DescribeInstances is served"));
        }
        if !is("Filter.1.Name", "instance-id") {
            return Err(bad("only a filter by instance-id is served"));
        }
        let values = form.iter().filter(|(name, _)| name.starts_with("Filter.1.Value."));
        let ids: BTreeSet<String> = values.map(|(_, value)| value.to_owned()).collect();
        if !(1..=MAX_VALUES).contains(&ids.len()) {
            return Err(bad("a filter has from 1 to 200 values"));
        }
        let number = |name: &str| form.find(name).map(|text| text.parse::<usize>().map_err(|_| bad("not a number")));
        let page = number("MaxResults").transpose()?.unwrap_or(*PAGES.end());
        if !PAGES.contains(&page) {
            return Err(bad("MaxResults is from 5 to 1000"));
        }
        let token = form.find("NextToken").map(|text| text.strip_prefix("page/+=").unwrap_or("wrong"));
        let start = token.map(|text| text.parse().map_err(|_| bad("not a token of mine"))).transpose()?.unwrap_or(0);
        self.asked.fetch_add(ids.len() as u64, Relaxed);
        self.largest.fetch_max(ids.len() as u64, Relaxed);
        Ok(Question { account: key.identity.account.clone(), ids, page, start })
    }

    fn describe(&self, question: &Question, most: usize) -> String {
        let all = lock(&self.instances);
        let visible =
            |instance: &&Instance| instance.account == question.account && question.ids.contains(&instance.id);
        let found: Vec<&Instance> = all.values().filter(visible).collect();
        let size = if most == 0 { question.page } else { question.page.min(most) };
        let end = found.len().min(question.start + size);
        let next = (end < found.len()).then(|| format!("page/+={end}"));
        xml::instances(found.get(question.start..end).unwrap_or_default(), next.as_deref())
    }
}

fn faulty(fault: Fault) -> Response<Full<Bytes>> {
    let (status, code) = match fault {
        Fault::Denied => (403, "UnauthorizedOperation"),
        Fault::Throttle => (503, "RequestLimitExceeded"),
        _ => (500, "InternalError"),
    };
    without_error(fault).unwrap_or_else(|| plain(status, xml::error(code, "a fault")))
}

/// The answer of a fault that gives no error of the service's own.
pub(crate) fn without_error(fault: Fault) -> Option<Response<Full<Bytes>>> {
    match fault {
        Fault::Huge => Some(plain(200, "x".repeat(16 << 20))),
        Fault::Redirect => {
            let mut answer = plain(302, String::new());
            let elsewhere = header::HeaderValue::from_static("http://127.0.0.1:1/");
            answer.headers_mut().insert(header::LOCATION, elsewhere);
            Some(answer)
        }
        _ => None,
    }
}

pub(crate) fn plain(status: u16, text: String) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(Bytes::from(text)));
    *answer.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    answer
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
