//! Tests of the executor against a real TLS server on loopback and a provider that reads the answer it
//! is told to ask for: the token `fake.ok.1` asks for `/ok?1`.

use std::{
    convert::Infallible,
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, future::join_all, stream};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::BoxBody};
use hyper::{body::Frame, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{
    net::TcpListener,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::{
    caller::{PrincipalId, PrincipalKind},
    provider::{SecretText, StsReply},
};

/// STS on loopback: does what the path says, and counts.
struct Server {
    counts: Arc<Counts>,
    address: String,
    folder: tempfile::TempDir,
}

#[derive(Default)]
struct Counts {
    connections: AtomicUsize,
    requests: AtomicUsize,
    /// Requests whose client left before the answer.
    given_up: AtomicUsize,
    /// Whether `/flaky` has hung up once.
    hung_up: AtomicUsize,
    h2: AtomicUsize,
}

/// Counts a request as given up unless it is answered.
struct Pending(Arc<Counts>, bool);

impl Drop for Pending {
    fn drop(&mut self) {
        if !self.1 {
            self.0.given_up.fetch_add(1, SeqCst);
        }
    }
}

impl Server {
    async fn start(alpn: &[&str]) -> Self {
        let rcgen::CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed([HOST.to_owned()]).expect("a certificate");
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("ca.pem"), cert.pem()).expect("the CA file");
        let key = rustls_pki_types::PrivateKeyDer::try_from(signing_key.serialize_der()).expect("a key");
        let ring = Arc::new(rustls::crypto::ring::default_provider());
        let mut tls = rustls::ServerConfig::builder_with_provider(ring)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .expect("a usable pair");
        tls.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let counts = Arc::new(Counts::default());
        tokio::spawn(accept(listener, TlsAcceptor::from(Arc::new(tls)), Arc::clone(&counts)));
        Self { counts, address, folder }
    }

    fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    fn endpoint(&self, host: &str) -> Endpoint {
        Endpoint {
            host: host.to_owned(),
            region: None,
            partition: None,
            connect_to: Some(self.address.clone()),
            ca_file: Some(self.ca_file()),
        }
    }

    fn executor(&self, change: impl FnOnce(&mut Config)) -> Executor {
        let mut config = Config { endpoints: vec![self.endpoint(HOST)], ..Config::default() };
        change(&mut config);
        Executor::new(&config, Arc::new(Metrics::default())).expect("a good configuration")
    }

    /// Waits until `count` reaches `expected`, for at most two seconds.
    async fn wait(&self, count: impl Fn(&Counts) -> &AtomicUsize, expected: usize) {
        let reached = async {
            while count(&self.counts).load(SeqCst) < expected {
                sleep(Duration::from_millis(2)).await;
            }
        };
        timeout(Duration::from_secs(2), reached).await.expect("the server sees it in time");
    }

    fn requests(&self) -> usize {
        self.counts.requests.load(SeqCst)
    }

    fn connections(&self) -> usize {
        self.counts.connections.load(SeqCst)
    }
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, counts: Arc<Counts>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, counts) = (acceptor.clone(), Arc::clone(&counts));
        tokio::spawn(async move {
            counts.connections.fetch_add(1, SeqCst);
            let Ok(stream) = acceptor.accept(stream).await else { return };
            if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                counts.h2.fetch_add(1, SeqCst);
            }
            let service = service_fn(move |request| serve(request, Arc::clone(&counts)));
            let _ended = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

type Response = http::Response<BoxBody<Bytes, Infallible>>;

async fn serve(request: http::Request<hyper::body::Incoming>, counts: Arc<Counts>) -> Result<Response, &'static str> {
    counts.requests.fetch_add(1, SeqCst);
    let mut pending = Pending(Arc::clone(&counts), false);
    let response = match request.uri().path() {
        "/barely" => pieces(endless(b"12345678").take(8192)),
        "/big" => body(StatusCode::OK, vec![b'x'; 65 * 1024]),
        "/drip" => pieces(endless(b"x").then(|piece| async move {
            sleep(Duration::from_millis(20)).await;
            piece
        })),
        "/endless" => pieces(endless(&[b'x'; 4096])),
        "/error" => body(StatusCode::INTERNAL_SERVER_ERROR, "arn:aws:iam::111122223333:user/alice"),
        "/flaky" if counts.hung_up.fetch_add(1, SeqCst) == 0 => return Err("hang up"),
        "/hang" => std::future::pending().await,
        "/redirect" => {
            let mut response = body(StatusCode::FOUND, "");
            let there = HeaderValue::from_static("https://sts.test/ok");
            response.headers_mut().insert(http::header::LOCATION, there);
            response
        }
        "/refused" => body(StatusCode::FORBIDDEN, "SignatureDoesNotMatch"),
        "/reset" => return Err("hang up"),
        "/slow" => {
            sleep(Duration::from_millis(150)).await;
            body(StatusCode::OK, "arn:aws:iam::111122223333:user/slow")
        }
        "/throttled" => {
            let mut response = body(StatusCode::TOO_MANY_REQUESTS, "");
            response.headers_mut().insert(http::header::RETRY_AFTER, HeaderValue::from_static("7"));
            response
        }
        _ => {
            let host = request.headers().get(http::header::HOST).and_then(|host| host.to_str().ok());
            let host = host.or_else(|| request.uri().host()).unwrap_or("no host");
            body(StatusCode::OK, format!("{host}{}", request.uri().query().unwrap_or_default()))
        }
    };
    pending.1 = true;
    Ok(response)
}

fn body(status: StatusCode, content: impl Into<Bytes>) -> Response {
    let mut response = http::Response::new(Full::new(content.into()).boxed());
    *response.status_mut() = status;
    response
}

fn endless(piece: &'static [u8]) -> impl Stream<Item = &'static [u8]> + Send + Sync {
    stream::repeat(piece)
}

/// A body without a `Content-Length`.
fn pieces(pieces: impl Stream<Item = &'static [u8]> + Send + Sync + 'static) -> Response {
    let frames = pieces.map(|piece| Ok(Frame::data(Bytes::from_static(piece))));
    http::Response::new(BoxBody::new(StreamBody::new(frames)))
}

/// Reads `fake.<path>.<query>`, or `fake.<path>.<query>@<host>`.
#[derive(Default)]
struct Fake {
    inspected: AtomicUsize,
    interpreted: AtomicUsize,
}

impl Provider for Fake {
    fn name(&self) -> &'static str {
        "aws"
    }

    fn prefixes(&self) -> &'static [&'static str] {
        &["fake."]
    }

    fn checks(&self) -> &'static [&'static str] {
        &[]
    }

    fn inspect(&self, token: &BearerToken, _now: SystemTime) -> Result<StsCall, VerifyError> {
        self.inspected.fetch_add(1, SeqCst);
        let rest = token.expose().strip_prefix("fake.").unwrap_or_default();
        let (rest, host) = rest.split_once('@').unwrap_or((rest, HOST));
        let (path, query) = rest.split_once('.').ok_or(VerifyError::NotYetValid)?;
        Ok(StsCall {
            host: host.to_owned(),
            region: "eu-west-9".to_owned(),
            method: Method::GET,
            path_and_query: SecretText::new(format!("/{path}?{query}")),
            headers: vec![(HeaderName::from_static("x-test"), HeaderValue::from_static("1"))],
            access_key_id: "AKIATEST".to_owned(),
            signed_at: now(),
            expires_at: now() + Duration::from_secs(900),
        })
    }

    fn interpret(&self, call: &StsCall, reply: &StsReply) -> Result<Caller, VerifyError> {
        self.interpreted.fetch_add(1, SeqCst);
        match reply.status {
            403 => Err(VerifyError::Refused { status: 403, code: "SignatureDoesNotMatch".to_owned() }),
            429 => Err(VerifyError::Throttled { retry_after: reply.retry_after }),
            _ => Ok(caller(call, String::from_utf8_lossy(&reply.body).into_owned())),
        }
    }
}

fn caller(call: &StsCall, arn: String) -> Caller {
    Caller {
        provider: "aws",
        partition: "aws".to_owned(),
        account_id: "111122223333".parse().expect("an account id"),
        kind: PrincipalKind::User,
        canonical_arn: arn.clone(),
        arn,
        name: "alice".to_owned(),
        principal_id: PrincipalId::new("AIDATEST"),
        session_name: None,
        sso_permission_set: None,
        access_key_id: call.access_key_id.clone(),
        sts_region: call.region.clone(),
        signed_at: call.signed_at,
        expires_at: call.expires_at,
        uid: String::new(),
        extra: &[],
        attributes: Vec::new(),
    }
}

const HOST: &str = "sts.test";

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

/// One login, answered within three seconds: the source, or the reason with its detail.
async fn login_at(executor: &Executor, token: &str, now: SystemTime) -> Result<Source, String> {
    let token = BearerToken::new(token.to_owned());
    let fake = Fake::default();
    let login = executor.verify(&fake, &token, now);
    let result = timeout(Duration::from_secs(3), login).await.expect("an answer in time");
    result.map(|verified| verified.source).map_err(|error| match error {
        VerifyError::Unavailable { cause } => cause.to_owned(),
        VerifyError::Overloaded { limit } => limit.to_owned(),
        VerifyError::Throttled { retry_after } => format!("throttled {retry_after:?}"),
        error => error.reason().to_owned(),
    })
}

async fn login(executor: &Executor, token: &str) -> Result<Source, String> {
    login_at(executor, token, now()).await
}

fn failed(cause: &str) -> Result<Source, String> {
    Err(cause.to_owned())
}

#[tokio::test]
async fn calls_share_pooled_connections() {
    let server = Server::start(&["http/1.1"]).await;
    let executor = server.executor(|_| {});
    for call in 0..50 {
        assert_eq!(login(&executor, &format!("fake.ok.{call}")).await, Ok(Source::Sts));
    }
    assert_eq!((server.requests(), server.connections()), (50, 1));
}

#[tokio::test]
async fn http2_carries_all_calls_on_one_connection() {
    let server = Server::start(&["h2", "http/1.1"]).await;
    let executor = server.executor(|_| {});
    assert_eq!(login(&executor, "fake.ok.first").await, Ok(Source::Sts));
    let tokens: Vec<_> = (0..128).map(|call| format!("fake.slow.{call}")).collect();
    let results = join_all(tokens.iter().map(|token| login(&executor, token))).await;
    assert!(results.iter().all(|result| *result == Ok(Source::Sts)), "{results:?}");
    assert_eq!((server.requests(), server.connections()), (129, 1));
    assert_eq!(server.counts.h2.load(SeqCst), 1);
}

#[tokio::test]
async fn equal_tokens_at_once_are_one_call() {
    let server = Server::start(&["http/1.1"]).await;
    let executor = server.executor(|config| config.verified_cache.ttl = Duration::ZERO);
    let fake = Fake::default();
    let token = BearerToken::new("fake.slow.1".to_owned());
    let verified = join_all((0..64).map(|_| executor.verify(&fake, &token, now()))).await;
    let sources: Vec<_> = verified.iter().map(|verified| verified.as_ref().unwrap().source).collect();
    assert_eq!(sources.iter().filter(|source| **source == Source::Sts).count(), 1);
    assert_eq!(sources.iter().filter(|source| **source == Source::Joined).count(), 63);
    assert_eq!((server.requests(), fake.interpreted.load(SeqCst)), (1, 1));
    assert_eq!(executor.flights.len(), 0);
    assert_eq!(login(&executor, "fake.slow.1").await, Ok(Source::Sts), "nothing is remembered with the cache off");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn equal_tokens_are_one_call_whenever_they_come() {
    let server = Server::start(&["http/1.1"]).await;
    let executor = Arc::new(server.executor(|_| {}));
    for round in 0..20 {
        let logins = (0..64).map(|_| {
            let (executor, token) = (Arc::clone(&executor), format!("fake.ok.{round}"));
            tokio::spawn(async move { login(&executor, &token).await })
        });
        assert!(join_all(logins).await.into_iter().all(|result| result.unwrap().is_ok()));
        assert_eq!(server.requests(), round + 1);
    }
}

#[tokio::test]
async fn failures_reach_every_waiter_and_are_not_remembered() {
    let server = Server::start(&["http/1.1"]).await;
    let executor = server.executor(|_| {});
    let results = join_all((0..8).map(|_| login(&executor, "fake.error.1"))).await;
    assert!(results.iter().all(|result| *result == failed("server_error")), "{results:?}");
    assert_eq!(server.requests(), 1);
    assert_eq!(login(&executor, "fake.error.1").await, failed("server_error"));
    assert_eq!(server.requests(), 2);
}

#[tokio::test]
async fn a_call_without_waiters_is_given_up() {
    let server = Server::start(&["http/1.1"]).await;
    let executor = Arc::new(server.executor(|config| config.limits.in_flight = 1));
    let waiters: Vec<_> = (0..3)
        .map(|_| {
            let executor = Arc::clone(&executor);
            tokio::spawn(async move { login(&executor, "fake.hang.1").await })
        })
        .collect();
    server.wait(|counts| &counts.requests, 1).await;
    for (left, waiter) in waiters.iter().enumerate() {
        assert_eq!((executor.flights.len(), server.counts.given_up.load(SeqCst)), (1, 0), "{left} have left");
        waiter.abort();
        sleep(Duration::from_millis(20)).await;
    }
    server.wait(|counts| &counts.given_up, 1).await;
    assert_eq!(executor.flights.len(), 0);
    assert_eq!(login(&executor, "fake.ok.1").await, Ok(Source::Sts), "its permit is free again");
}

#[tokio::test]
async fn followers_outlive_their_leader() {
    let server = Server::start(&["http/1.1"]).await;
    let executor = Arc::new(server.executor(|_| {}));
    let waiter = || {
        let executor = Arc::clone(&executor);
        tokio::spawn(async move { login(&executor, "fake.slow.1").await })
    };
    let leader = waiter();
    server.wait(|counts| &counts.requests, 1).await;
    let followers = [waiter(), waiter()];
    sleep(Duration::from_millis(20)).await;
    leader.abort();
    assert!(leader.await.unwrap_err().is_cancelled());
    for follower in followers {
        assert_eq!(follower.await.unwrap(), Ok(Source::Joined));
    }
    assert_eq!((server.requests(), server.counts.given_up.load(SeqCst)), (1, 0));
    assert_eq!(login(&executor, "fake.slow.1").await, Ok(Source::Cache));
}

#[tokio::test]
async fn verified_callers_are_remembered_within_their_dates() {
    let server = Server::start(&["http/1.1"]).await;
    let executor = server.executor(|config| config.verified_cache.ttl = Duration::from_secs(600));
    let later = |seconds| now() + Duration::from_secs(seconds);
    assert_eq!(login(&executor, "fake.ok.1").await, Ok(Source::Sts));
    assert_eq!(login_at(&executor, "fake.ok.1", later(599)).await, Ok(Source::Cache));
    assert_eq!(login_at(&executor, "fake.ok.1", later(600)).await, Ok(Source::Sts), "its time is over");
    assert_eq!(login_at(&executor, "fake.ok.1", later(899)).await, Ok(Source::Cache));
    assert_eq!(login_at(&executor, "fake.ok.1", later(900)).await, failed("expired"), "the token has ended");
    assert_eq!(login(&executor, "fake.ok.2").await, Ok(Source::Sts), "another token");
}

/// Else an answer for a minute would count for that minute and as long as the clock was set back.
#[tokio::test]
async fn a_clock_that_is_set_back_ends_what_was_remembered() {
    let server = Server::start(&["http/1.1"]).await;
    let executor = server.executor(|_| {});
    let earlier = |seconds| now() - Duration::from_secs(seconds);
    assert_eq!(login(&executor, "fake.ok.1").await, Ok(Source::Sts));
    assert_eq!(login_at(&executor, "fake.ok.1", earlier(2)).await, Ok(Source::Cache), "a login that began before");
    assert_eq!(login_at(&executor, "fake.ok.1", earlier(3)).await, Ok(Source::Sts));
    assert_eq!(login_at(&executor, "fake.ok.1", earlier(300)).await, Ok(Source::Sts));
    assert_eq!(login_at(&executor, "fake.ok.1", earlier(301)).await, Ok(Source::Sts), "by its own dates");
    assert_eq!(login(&executor, "fake.refused.1").await, failed("sts_refused"));
    let requests = server.requests();
    assert_eq!(login_at(&executor, "fake.refused.1", earlier(300)).await, failed("sts_refused"));
    assert_eq!(server.requests(), requests + 1);
}

#[tokio::test]
async fn tokens_may_be_held_to_a_shorter_age_than_clouds_do() {
    let server = Server::start(&["http/1.1"]).await;
    let executor = server.executor(|config| config.max_token_age = Duration::from_secs(120));
    let later = |seconds| now() + Duration::from_secs(seconds);
    assert_eq!(login_at(&executor, "fake.ok.1", later(100)).await, Ok(Source::Sts));
    assert_eq!(login_at(&executor, "fake.ok.1", later(119)).await, Ok(Source::Cache));
    assert_eq!(login_at(&executor, "fake.ok.1", later(120)).await, failed("expired"), "remembered no longer either");
    assert_eq!(login_at(&executor, "fake.ok.2", later(120)).await, failed("expired"));
    assert_eq!(server.requests(), 1, "nobody was asked");
    let token = BearerToken::new("fake.ok.3".to_owned());
    let call = executor.inspect(&Fake::default(), &token, now()).expect("fresh");
    assert_eq!(call.expires_at, later(120));
}

#[tokio::test]
async fn caches_are_bounded() {
    let server = Server::start(&["http/1.1"]).await;
    let executor = server.executor(|config| {
        config.verified_cache.entries = 8;
        config.limits.per_second = 0;
    });
    for call in 0..200 {
        assert_eq!(login(&executor, &format!("fake.ok.{call}")).await, Ok(Source::Sts));
    }
    let mut kept = 0;
    for call in 0..200 {
        kept += usize::from(login(&executor, &format!("fake.ok.{call}")).await == Ok(Source::Cache));
    }
    assert!(kept <= 8, "{kept} entries were kept");
}

#[tokio::test]
async fn refusals_are_remembered_for_a_moment() {
    let server = Server::start(&["http/1.1"]).await;
    let executor = server.executor(|_| {});
    let later = |seconds| now() + Duration::from_secs(seconds);
    for (at, requests) in [(0, 1), (1, 1), (9, 1), (10, 2), (19, 2)] {
        assert_eq!(login_at(&executor, "fake.refused.1", later(at)).await, failed("sts_refused"));
        assert_eq!(server.requests(), requests, "after {at} s");
    }
    let executor = server.executor(|config| config.refused_cache.entries = 0);
    for _ in 0..2 {
        assert_eq!(login(&executor, "fake.refused.1").await, failed("sts_refused"));
    }
    assert_eq!(server.requests(), 4, "off");
}

#[tokio::test]
async fn throttling_is_passed_on_and_not_remembered() {
    let server = Server::start(&["http/1.1"]).await;
    let executor = server.executor(|_| {});
    for requests in 1..=20 {
        assert_eq!(login(&executor, "fake.throttled.1").await, failed("throttled Some(7s)"));
        assert_eq!(server.requests(), requests);
    }
    assert_eq!(login(&executor, "fake.ok.1").await, Ok(Source::Sts), "throttling does not open the breaker");
}

#[tokio::test]
async fn what_inspect_refuses_never_reaches_sts() {
    let server = Server::start(&["http/1.1"]).await;
    let executor = server.executor(|_| {});
    assert_eq!(login(&executor, "fake.junk").await, failed("not_yet_valid"));
    assert_eq!(login(&executor, "fake.a b.1").await, failed("request"));
    assert_eq!(login(&executor, "fake.a/%2e%2e/ok.1").await, failed("request"));
    assert_eq!(server.connections(), 0);
}

/// Whatever STS does, the answer is the same over both versions of HTTP.
#[tokio::test]
async fn bad_answers_have_their_cause() {
    for alpn in [&["http/1.1"][..], &["h2"]] {
        let server = Server::start(alpn).await;
        let executor = server.executor(|config| {
            config.timeout = Duration::from_millis(300);
            config.breaker.failures = 0;
        });
        let check = async |token: &str, expected: &str, requests| {
            let before = server.requests();
            assert_eq!(login(&executor, token).await, failed(expected), "{token} {alpn:?}");
            assert_eq!(server.requests() - before, requests, "{token} {alpn:?}");
        };
        check("fake.big.1", "too_large", 1).await;
        check("fake.endless.1", "too_large", 1).await;
        check("fake.drip.1", "timeout", 1).await;
        check("fake.hang.1", "timeout", 1).await;
        check("fake.redirect.1", "redirect", 1).await;
        check("fake.error.1", "server_error", 1).await;
        check("fake.reset.1", "reset", 2).await;
        assert_eq!(login(&executor, "fake.flaky.1").await, Ok(Source::Sts), "{alpn:?}");
        assert_eq!(login(&executor, "fake.barely.1").await, Ok(Source::Sts), "64 KiB in pieces, {alpn:?}");
    }
}

#[tokio::test]
async fn a_host_out_of_reach_has_its_cause() {
    let server = Server::start(&["http/1.1"]).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    let endpoint =
        |host: &str, connect_to: &str| Endpoint { connect_to: Some(connect_to.to_owned()), ..server.endpoint(host) };
    let executor = server.executor(|config| {
        config.connect_timeout = Duration::from_millis(100);
        config.endpoints.extend([
            endpoint("closed.test", &closed),
            endpoint("silent.test", &listener.local_addr().unwrap().to_string()),
            endpoint("other-name.test", &server.address),
            endpoint("no-address.test", "no-address.invalid:443"),
            Endpoint { ca_file: None, ..endpoint("other-ca.test", &server.address) },
        ]);
    });
    for (host, cause) in [
        ("closed.test", "connect"),
        ("silent.test", "connect"),
        ("other-name.test", "tls"),
        ("no-address.test", "dns"),
        ("other-ca.test", "tls"),
    ] {
        assert_eq!(login(&executor, &format!("fake.ok.1@{host}")).await, failed(cause), "{host}");
    }
    assert_eq!(server.requests(), 0);
}

#[tokio::test]
async fn connect_to_keeps_the_host() {
    let server = Server::start(&["http/1.1"]).await;
    let executor = server
        .executor(|config| config.endpoints[0].connect_to = Some(server.address.replace("127.0.0.1", "localhost")));
    let token = BearerToken::new("fake.ok.!".to_owned());
    let verified = executor.verify(&Fake::default(), &token, now()).await.unwrap();
    assert_eq!(verified.caller.arn, "sts.test!");
}

#[tokio::test]
async fn limits_answer_at_once() {
    let server = Server::start(&["http/1.1"]).await;
    let executor = Arc::new(server.executor(|config| config.limits.in_flight = 2));
    let tokens: Vec<_> = (0..8).map(|call| format!("fake.slow.{call}")).collect();
    let results = join_all(tokens.iter().map(|token| login(&executor, token))).await;
    assert_eq!(results.iter().filter(|result| **result == failed("sts_in_flight")).count(), 6);
    assert_eq!(server.requests(), 2);
    let executor = server.executor(|config| (config.limits.per_second, config.limits.burst) = (1, 3));
    let mut results = Vec::new();
    for call in 0..5 {
        results.push(login(&executor, &format!("fake.ok.{call}")).await);
    }
    assert_eq!(results[..3], [Ok(Source::Sts), Ok(Source::Sts), Ok(Source::Sts)]);
    assert_eq!(results[3..], [failed("sts_per_second"), failed("sts_per_second")]);
    assert_eq!(login(&executor, "fake.ok.0").await, Ok(Source::Cache), "caches need no permit");
}

#[tokio::test]
async fn a_failing_host_is_left_alone_and_probed() {
    let server = Server::start(&["http/1.1"]).await;
    let executor = server.executor(|config| {
        config.breaker = Breaker { failures: 3, open_for: Duration::from_millis(100) };
    });
    for call in 0..3 {
        assert_eq!(login(&executor, &format!("fake.error.{call}")).await, failed("server_error"));
    }
    assert_eq!(login(&executor, "fake.ok.1").await, failed("breaker_open"));
    assert_eq!(server.requests(), 3);
    sleep(Duration::from_millis(110)).await;
    assert_eq!(login(&executor, "fake.ok.1").await, Ok(Source::Sts));
    assert_eq!(login(&executor, "fake.ok.2").await, Ok(Source::Sts));
}

#[tokio::test]
async fn a_request_that_cannot_be_sent_opens_no_breaker() {
    let server = Server::start(&["http/1.1"]).await;
    let executor = server.executor(|config| config.breaker.failures = 1);
    assert_eq!(login(&executor, "fake.a b.1").await, failed("request"));
    assert_eq!(login(&executor, "fake.ok.1").await, Ok(Source::Sts));
}

/// Everything any library logs, at the finest level.
#[derive(Clone, Default)]
struct Log(Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_log_line_holds_a_signature() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    // With a second dispatcher alive, tracing asks them all what they want; with one alone it asks that of
    // whichever thread comes by first, and other tests' threads want nothing.
    let _second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::new());
    let _guard = tracing::subscriber::set_default(subscriber);
    for alpn in ["http/1.1", "h2"] {
        let server = Server::start(&[alpn]).await;
        let executor = server.executor(|config| {
            config.timeout = Duration::from_millis(100);
            config.endpoints.push(server.endpoint("other-name.test"));
        });
        for token in ["ok.s3cret", "refused.s3cret", "reset.s3cret", "big.s3cret", "hang.s3cret", "a b.s3cret"] {
            let _result = login(&executor, &format!("fake.{token}")).await;
            let _result = login(&executor, &format!("fake.{token}@other-name.test")).await;
        }
    }
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("HTTP towards STS failed") && log.contains("cause=\"tls\""), "our own lines are there");
    let leak = log.lines().find(|line| line.contains("s3cret"));
    assert_eq!(leak, None);
}

#[test]
fn a_bad_configuration_does_not_start() {
    let new = |config: &Config| Executor::new(config, Arc::new(Metrics::default())).map(|_| ());
    let bounds = Config { timeout: Duration::ZERO, ..Config::default() };
    assert!(matches!(new(&bounds), Err(ConfigError::Bounds { key: "timeout", .. })));
    let endpoint = Endpoint {
        host: HOST.to_owned(),
        region: None,
        partition: None,
        connect_to: None,
        ca_file: Some("/no/such/ca.pem".into()),
    };
    let missing = Config { endpoints: vec![endpoint], ..Config::default() };
    assert!(matches!(new(&missing), Err(ConfigError::CaFile { .. })));
}
