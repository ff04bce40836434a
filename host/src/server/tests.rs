//! Settings of the server: bounds, defaults and what a bad value is told.

use std::{net::Ipv4Addr, path::Path};

use axum::body::Body;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{ClientConfig, RootCertStore, crypto::ring::default_provider};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::oneshot,
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    fixtures::{Gate, services_with},
    *,
};
use crate::observe::audit::Output;

mod slow;

/// Longer than any of these tests should wait for anything.
const LONG: Duration = Duration::from_secs(60);
/// A limit that a test waits for. A good client on a busy machine keeps it.
const SHORT: Duration = Duration::from_secs(2);

/// A server on loopback.
struct Running {
    address: SocketAddr,
    trust: RootCertStore,
    services: Services,
    gate: Arc<Gate>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<Drained, Error>>,
}

/// A client's certificate and key.
type ClientPair = (CertificateDer<'static>, PrivateKeyDer<'static>);

impl Running {
    async fn start(adjust: impl FnOnce(&mut Config)) -> Self {
        Self::start_with(adjust, Output::File("/dev/null".into())).await
    }

    async fn start_with(adjust: impl FnOnce(&mut Config), output: Output) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config { port: 0, state_dir: folder.path().join("state"), ..Config::default() };
        adjust(&mut config);
        #[expect(clippy::disallowed_methods, reason = "a test of the edge")]
        let pair = load_certificate(&config, SystemTime::now()).unwrap();
        let listener = bind(&config).await.unwrap();
        let address = listener.local_addr().unwrap();
        let gate = Arc::<Gate>::default();
        let services = services_with(output, Arc::clone(&gate));
        let (stop, stopped) = oneshot::channel::<()>();
        let mut trust = RootCertStore::empty();
        trust.add(CertificateDer::from_pem_slice(pair.certificate_pem().as_bytes()).unwrap()).unwrap();
        let (shared, served) = (services.clone(), Served::new(&pair).unwrap());
        let task = tokio::spawn(async move {
            serve(listener, config, served, shared, async {
                // The sender's end is also a stop.
                let _ = stopped.await;
            })
            .await
        });
        Self { address, trust, services, gate, stop: Some(stop), task }
    }

    /// A TLS connection whose certificate is verified under `name`.
    async fn connect_as(&self, name: &str, alpn: &[&str]) -> TlsStream<TcpStream> {
        self.connect_with(name, alpn, None).await
    }

    /// The same of a client that shows `own` certificate if it has one and is asked.
    async fn connect_with(&self, name: &str, alpn: &[&str], own: Option<&ClientPair>) -> TlsStream<TcpStream> {
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(self.trust.clone());
        let mut config = match own {
            Some((chain, key)) => config.with_client_auth_cert(vec![chain.clone()], key.clone_key()).unwrap(),
            None => config.with_no_client_auth(),
        };
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let stream = TcpStream::connect(self.address).await.unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
    }

    async fn connect(&self) -> TlsStream<TcpStream> {
        self.connect_as("localhost", &["http/1.1"]).await
    }

    /// Sends `request` alone on a connection and gives all that comes back.
    async fn exchange(&self, request: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        rest(&mut stream).await
    }

    fn stop(&mut self) {
        drop(self.stop.take());
    }

    async fn drained(self) -> Drained {
        timeout(LONG, self.task).await.expect("the server ends").unwrap().unwrap()
    }
}

/// Everything until the peer closes, politely or not.
async fn rest(stream: &mut TlsStream<TcpStream>) -> String {
    let mut bytes = Vec::new();
    let _ = timeout(LONG, stream.read_to_end(&mut bytes)).await.expect("the server closes");
    String::from_utf8(bytes).unwrap()
}

/// One answer with a `content-length`, off a connection that stays open.
async fn answer(stream: &mut TlsStream<TcpStream>) -> String {
    let mut text = String::new();
    let mut byte = [0];
    loop {
        timeout(LONG, stream.read_exact(&mut byte)).await.expect("an answer").unwrap();
        text.push(char::from(byte[0]));
        if text.ends_with("\r\n\r\n") {
            break;
        }
    }
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    text + std::str::from_utf8(&body).unwrap()
}

fn review(token: &str) -> String {
    format!(
        r#"{{"kind":"TokenReview","apiVersion":"authentication.k8s.io/v1beta1","metadata":{{}},"spec":{{"token":"{token}"}}}}"#
    )
}

fn post(body: &str, connection: &str) -> String {
    format!(
        "POST /authenticate?timeout=30s HTTP/1.1\r\nhost: localhost\r\nconnection: {connection}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
}

const REFUSED: &str =
    r#"{"apiVersion":"authentication.k8s.io/v1beta1","kind":"TokenReview","status":{"authenticated":false}}"#;

#[track_caller]
fn check(answer: &str, status: u16, words: &[&str]) {
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    for words in words {
        assert!(answer.contains(words), "{words:?} in {answer}");
    }
}

#[tokio::test]
async fn reviews_over_http_1() {
    let server = Running::start(|_| ()).await;
    let mut stream = server.connect().await;
    for token in ["eyJhbGciOi.foreign.jwt", "k8s-fake-v1.future", "k8s-fake-v1.malformed"] {
        stream.write_all(post(&review(token), "keep-alive").as_bytes()).await.unwrap();
        check(&answer(&mut stream).await, 200, &["content-type: application/json\r\n", REFUSED]);
    }
    stream.write_all(post(&review("k8s-fake-v1.unavailable"), "keep-alive").as_bytes()).await.unwrap();
    check(&answer(&mut stream).await, 503, &["retry-after: 1\r\n", "sts_unavailable: ", "(decision 0"]);
    stream.write_all(post(&review("k8s-fake-v1.throttled"), "close").as_bytes()).await.unwrap();
    check(&rest(&mut stream).await, 429, &["retry-after: 7\r\n", "sts_throttled: "]);
}

#[tokio::test]
async fn reviews_over_http_2() {
    let server = Running::start(|_| ()).await;
    let stream = server.connect_as("localhost", &["h2"]).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut sender, http) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let http = tokio::spawn(http);
    for _ in 0..3 {
        let request = Request::post(format!("https://localhost:{}/authenticate", server.address.port()))
            .header("content-type", "application/json")
            .body(Body::from(review("k8s-fake-v1.future")))
            .unwrap();
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), REFUSED);
    }
    let large = Request::post("https://localhost/authenticate")
        .header("content-type", "application/json")
        .body(Body::from("x".repeat(1024 * 1024)))
        .unwrap();
    assert_eq!(sender.send_request(large).await.unwrap().status(), StatusCode::PAYLOAD_TOO_LARGE);
    drop(sender);
    timeout(LONG, http).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn the_certificate_is_good_for_name_and_address() {
    let server = Running::start(|_| ()).await;
    for name in ["localhost", "127.0.0.1"] {
        let stream = server.connect_as(name, &[]).await;
        assert_eq!(stream.get_ref().1.alpn_protocol(), None);
    }
}

#[tokio::test]
async fn sessions_are_resumed() {
    let server = Running::start(|_| ()).await;
    let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(server.trust.clone())
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let connector = TlsConnector::from(Arc::new(config));
    let mut kinds = Vec::new();
    for _ in 0..2 {
        let stream = TcpStream::connect(server.address).await.unwrap();
        let mut stream = connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap();
        stream.write_all(get("/healthz").as_bytes()).await.unwrap();
        rest(&mut stream).await;
        kinds.push(stream.get_ref().1.handshake_kind().unwrap());
    }
    assert_eq!(kinds[1], rustls::HandshakeKind::Resumed);
}

#[tokio::test]
async fn what_is_no_review_is_told_why() {
    let server = Running::start(|_| ()).await;
    let put = |kind: &str, body: &str| post(body, "close").replace("application/json", kind);
    check(&server.exchange(&get("/authenticate")).await, 405, &["allow: POST\r\n", "sent with POST"]);
    check(&server.exchange(&put("text/plain", "{}")).await, 415, &["must be application/json"]);
    check(&server.exchange(&put("application/json", "{")).await, 400, &["the JSON breaks off at line 1"]);
    check(&server.exchange(&put("application/json", "")).await, 400, &["the JSON breaks off"]);
    check(&server.exchange(&put("application/json", "null")).await, 400, &["not a TokenReview"]);
    check(&server.exchange(&post(r#"{"kind":"Pod"}"#, "close")).await, 400, &["not a TokenReview"]);
    for path in ["/", "/authenticate/", "/debug"] {
        check(&server.exchange(&get(path)).await, 404, &[]);
    }
    let text = server.exchange(&get("/metrics")).await;
    check(&text, 200, &["application/openmetrics-text", r#"herald_rejected_requests_total{reason="media_type"} 1"#]);
    check(&text, 200, &[r#"herald_rejected_requests_total{reason="not_found"} 3"#]);
}

#[tokio::test]
async fn a_review_for_other_audiences_is_counted_and_logged() {
    let log = tempfile::NamedTempFile::new().unwrap();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .with_ansi(false)
        .with_writer(log.reopen().unwrap())
        .finish();
    // With a second dispatcher alive, tracing asks them all what they want, whichever thread comes by first.
    let _second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::new());
    let _guard = tracing::subscriber::set_default(subscriber);
    let server = Running::start(|config| config.audiences = vec!["ours".to_owned()]).await;
    let asked = review("k8s-fake-v1.future").replace("\"spec\":{", "\"spec\":{\"audiences\":[\"theirs\"],");
    check(&server.exchange(&post(&asked, "close")).await, 200, &[REFUSED]);
    let text = server.services.metrics.text();
    assert!(text.contains("herald_rejected_requests_total{reason=\"audience\"} 1\n"), "{text}");
    let told = std::fs::read_to_string(log.path()).unwrap();
    let is_it = |line: &str| line.contains("request rejected") && line.contains("reason=\"audience\"");
    assert!(told.lines().any(is_it), "{told}");
}

#[tokio::test]
async fn health() {
    let server = Running::start(|_| ()).await;
    check(&server.exchange(&get("/healthz")).await, 200, &["\r\n\r\nok"]);
    check(&server.exchange(&get("/readyz")).await, 200, &["\r\n\r\nok"]);
    server.services.readiness.missing("EKSConfigMap", "not read yet");
    check(&server.exchange(&get("/healthz")).await, 200, &[]);
    check(&server.exchange(&get("/readyz")).await, 503, &["not ready: EKSConfigMap: not read yet\n"]);
    let verbose = server.exchange(&get("/readyz?verbose")).await;
    check(&verbose, 503, &[r#"{"ready":false,"reasons":{"EKSConfigMap":"not read yet"},"cluster":"prod","#]);
}

#[tokio::test]
async fn large_bodies_are_refused_unread_and_the_answer_arrives() {
    let server = Running::start(|_| ()).await;
    let mut stream = server.connect().await;
    let head = post("", "keep-alive").replace("content-length: 0", "content-length: 67108864");
    stream.write_all(head.as_bytes()).await.unwrap();
    // The client goes on sending for a while, as those do that look at answers late.
    let (mut input, mut output) = tokio::io::split(stream);
    let sent = tokio::spawn(async move {
        for _ in 0..8 {
            if output.write_all(&[b'x'; 16 * 1024]).await.is_err() {
                break;
            }
            sleep(Duration::from_millis(10)).await;
        }
    });
    sent.await.unwrap();
    let mut bytes = Vec::new();
    let _ = timeout(LONG, input.read_to_end(&mut bytes)).await.expect("the server closes");
    check(std::str::from_utf8(&bytes).unwrap(), 413, &["larger than 65536 bytes"]);

    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    let chunked = post("", "close").replace("content-length: 0", "transfer-encoding: chunked");
    check(&server.exchange(&format!("{chunked}{chunk}{chunk}0\r\n\r\n")).await, 413, &[]);
    let most = review(&"x".repeat(65536 - review("").len()));
    check(&server.exchange(&post(&most, "close")).await, 200, &[REFUSED]);
}

/// Sends `bytes`, one of them every 50 ms, and checks that the server ends it.
async fn check_cut(server: &Running, bytes: &str, status: Option<u16>) {
    let (mut input, mut output) = tokio::io::split(server.connect().await);
    let bytes = bytes.to_owned();
    let drip = tokio::spawn(async move {
        for byte in bytes.bytes() {
            if output.write_all(&[byte]).await.is_err() || output.flush().await.is_err() {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
        std::future::pending::<()>().await;
    });
    let mut answer = Vec::new();
    let _ = timeout(LONG, input.read_to_end(&mut answer)).await.expect("the server ends a slow connection");
    drip.abort();
    let answer = String::from_utf8(answer).unwrap();
    match status {
        Some(status) => check(&answer, status, &[]),
        None => assert_eq!(answer, ""),
    }
}

#[tokio::test]
async fn slow_peers_are_cut() {
    let handshakes = Running::start(|config| config.handshake_timeout = SHORT).await;
    let heads = Running::start(|config| config.head_timeout = SHORT).await;
    let bodies = Running::start(|config| config.body_timeout = SHORT).await;
    let body = review(&"x".repeat(300));
    let head = post(&body, "keep-alive").replace(&body, "");
    tokio::join!(
        check_cut(&heads, "", None),
        check_cut(&heads, &head, None),
        async {
            let mut stream = bodies.connect().await;
            stream.write_all(head.as_bytes()).await.unwrap();
            stream.write_all(b"{").await.unwrap();
            check(&rest(&mut stream).await, 408, &["took too long"]);
        },
        async {
            let mut silent = TcpStream::connect(handshakes.address).await.unwrap();
            let read = timeout(LONG, silent.read(&mut [0; 16])).await.expect("the server ends a silent handshake");
            assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
        },
    );
    for (server, expected) in [(&heads, "{reason=\"head_timeout\"} 2"), (&handshakes, "{reason=\"handshake\"} 1")] {
        let text = server.services.metrics.text();
        assert!(text.contains(&format!("herald_connections_closed_total{expected}")), "{text}");
    }
}

#[tokio::test]
async fn idle_connections_are_kept_for_a_while() {
    let server = Running::start(|config| {
        config.head_timeout = SHORT;
        config.idle_timeout = 5 * SHORT;
    })
    .await;
    let mut stream = server.connect().await;
    for _ in 0..2 {
        stream.write_all(post(&review("foreign"), "keep-alive").as_bytes()).await.unwrap();
        check(&answer(&mut stream).await, 200, &[REFUSED]);
        // Longer than a head may take, but no head has begun.
        sleep(2 * SHORT).await;
    }
    assert_eq!(rest(&mut stream).await, "");
    assert!(server.services.metrics.text().contains("herald_connections_closed_total{reason=\"idle\"} 1"));
}

/// An authority, and a client whom it vouches for.
fn authority() -> (String, ClientPair) {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let pem = parameters.self_signed(&key).unwrap().pem();
    let issuer = rcgen::Issuer::new(parameters, key);
    let client_key = rcgen::KeyPair::generate().unwrap();
    let mut parameters = rcgen::CertificateParams::new(vec!["front-proxy-client".to_owned()]).unwrap();
    parameters.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let client = parameters.signed_by(&client_key, &issuer).unwrap();
    (pem, (client.der().clone(), PrivateKeyDer::try_from(client_key.serialize_der()).unwrap()))
}

#[tokio::test]
async fn only_clients_with_a_certificate_may_ask_where_one_is_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let ((ca, api_server), (_, stranger)) = (authority(), authority());
    std::fs::write(folder.path().join("ca.crt"), ca).unwrap();
    let server = Running::start(|config| config.client_auth.ca_file = Some(folder.path().join("ca.crt"))).await;
    for (own, is_let_in) in [(Some(&api_server), true), (Some(&stranger), false), (None, false)] {
        let mut stream = server.connect_with("localhost", &["http/1.1"], own).await;
        // In TLS 1.3 a client hears that it was refused only after its own part of the handshake.
        let _ = stream.write_all(post(&review("foreign"), "close").as_bytes()).await;
        let answer = rest(&mut stream).await;
        assert_eq!(answer.starts_with("HTTP/1.1 200 "), is_let_in, "{answer}");
        assert!(is_let_in || answer.is_empty(), "{answer}");
    }
    let text = server.services.metrics.text();
    assert!(text.contains("herald_connections_closed_total{reason=\"client_certificate\"} 2"), "{text}");
}

/// A head of HTTP/2 in two frames, of which the second never comes; and a frame that stops in its middle.
#[tokio::test]
async fn a_second_head_may_not_be_slow_over_http_2_either() {
    const FIRST: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\
        \0\0\x0e\x01\x05\0\0\0\x01\x82\x87\x04\x05/none\x41\x03a.b";
    for (rest, closed) in [
        // HEADERS without END_HEADERS, then nothing; 100 bytes told and three sent; half of a frame's own head; a whole ping.
        (&b"\0\0\x01\x01\x01\0\0\0\x03\x82"[..], "head_timeout"),
        (&b"\0\0\x64\x01\x05\0\0\0\x03\x82\x87\x84"[..], "head_timeout"),
        (&b"\0\0\x08\x06"[..], "head_timeout"),
        (&b"\0\0\x08\x06\0\0\0\0\0abcdefgh"[..], "idle"),
    ] {
        let server = Running::start(|config| {
            config.head_timeout = SHORT;
            config.idle_timeout = 3 * SHORT;
        })
        .await;
        let mut stream = server.connect_as("localhost", &["h2"]).await;
        stream.write_all(FIRST).await.unwrap();
        let mut answer = Vec::new();
        while !answer.windows(9).any(|head| head[3..5] == [0x01, 0x04] && head[8] == 1) {
            let count = timeout(LONG, stream.read_buf(&mut answer)).await.expect("an answer").unwrap();
            assert!(count > 0, "the connection ended");
        }
        stream.write_all(rest).await.unwrap();
        let mut end = Vec::new();
        let _ = timeout(LONG, stream.read_to_end(&mut end)).await.expect("the server ends it");
        slow::check_counted(&server, closed).await;
    }
}

#[tokio::test]
async fn a_second_head_may_not_be_slow_either() {
    let server = Running::start(|config| config.head_timeout = SHORT).await;
    let mut stream = server.connect().await;
    stream.write_all(post(&review("foreign"), "keep-alive").as_bytes()).await.unwrap();
    check(&answer(&mut stream).await, 200, &[REFUSED]);
    stream.write_all(b"POST /authen").await.unwrap();
    assert_eq!(rest(&mut stream).await, "");
    slow::check_counted(&server, "head_timeout").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_under_way_is_answered_during_the_drain() {
    let mut server = Running::start(|_| ()).await;
    let mut idle = server.connect().await;
    idle.write_all(post(&review("foreign"), "keep-alive").as_bytes()).await.unwrap();
    check(&answer(&mut idle).await, 200, &[REFUSED]);
    let mut fresh = server.connect().await;
    let mut busy = server.connect().await;
    busy.write_all(post(&review("k8s-fake-v1.slow"), "keep-alive").as_bytes()).await.unwrap();
    server.gate.held().await;
    server.stop();
    assert_eq!(rest(&mut idle).await, "");
    assert_eq!(rest(&mut fresh).await, "");
    assert!(TcpStream::connect(server.address).await.is_err(), "nothing is accepted any more");
    server.gate.open();
    check(&rest(&mut busy).await, 200, &[REFUSED]);
    assert_eq!(server.drained().await, Drained { cut: 0 });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_http_2_stream_under_way_is_answered_during_the_drain() {
    let mut server = Running::start(|_| ()).await;
    let stream = server.connect_as("localhost", &["h2"]).await;
    let (mut sender, http) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(http);
    let request = Request::post("https://localhost/authenticate")
        .header("content-type", "application/json")
        .body(Body::from(review("k8s-fake-v1.slow")))
        .unwrap();
    let response = tokio::spawn(sender.send_request(request));
    server.gate.held().await;
    server.stop();
    sleep(SHORT).await;
    server.gate.open();
    let response = timeout(LONG, response).await.unwrap().unwrap().unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), REFUSED);
    assert_eq!(server.drained().await, Drained { cut: 0 });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_grace_period_ends_the_drain() {
    let mut server = Running::start(|config| config.shutdown_grace = Duration::ZERO).await;
    let mut busy = server.connect().await;
    busy.write_all(post(&review("k8s-fake-v1.slow"), "keep-alive").as_bytes()).await.unwrap();
    server.gate.held().await;
    server.stop();
    let gate = Arc::clone(&server.gate);
    assert_eq!(server.drained().await, Drained { cut: 1 });
    gate.open();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn too_many_reviews_are_turned_away() {
    let server = Running::start(|config| config.max_in_flight = 1).await;
    let mut busy = server.connect().await;
    busy.write_all(post(&review("k8s-fake-v1.slow"), "close").as_bytes()).await.unwrap();
    server.gate.held().await;
    check(&server.exchange(&post(&review("foreign"), "close")).await, 429, &["retry-after: 1\r\n", "busy: "]);
    server.gate.open();
    check(&rest(&mut busy).await, 200, &[REFUSED]);
    check(&server.exchange(&post(&review("foreign"), "close")).await, 200, &[REFUSED]);
}

#[tokio::test]
async fn too_many_connections_wait() {
    let server = Running::start(|config| config.max_connections = 1).await;
    let first = server.connect().await;
    assert!(timeout(SHORT, server.connect()).await.is_err(), "the second must wait");
    drop(first);
    let mut second = timeout(LONG, server.connect()).await.expect("then there is room");
    second.write_all(get("/healthz").as_bytes()).await.unwrap();
    check(&rest(&mut second).await, 200, &[]);
}

#[tokio::test]
async fn decisions_are_recorded_without_their_tokens() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let server = Running::start_with(|_| (), Output::File(path.clone())).await;
    for token in ["k8s-fake-v1.hunter2", "foreign-hunter2"] {
        check(&server.exchange(&post(&review(token), "close")).await, 200, &[REFUSED]);
    }
    server.services.audit.flush(LONG);
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text.lines().count(), 1, "one decision, and nothing about foreign tokens: {text}");
    assert!(!text.contains("hunter2"), "{text}");
    let line: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((line["reason"].as_str(), line["provider"].as_str()), (Some("token_base64"), Some("fake")));
    assert_eq!(line["client"].as_str().unwrap().parse::<SocketAddr>().unwrap().ip(), Ipv4Addr::LOCALHOST);
}

#[test]
fn settings_are_bounded() {
    #[track_caller]
    fn check(yaml: &str, expected: Result<(), &str>) {
        let found = serde_saphyr::from_str::<Config>(yaml).map_err(|error| error.to_string());
        let found = found.and_then(|config| config.check().map_err(|error| error.to_string()));
        match (found, expected) {
            (Ok(()), Ok(())) => {}
            (Err(error), Err(words)) => assert!(error.contains(words), "{error}"),
            (found, expected) => panic!("{yaml}: {found:?}, expected {expected:?}"),
        }
    }
    check("{}", Ok(()));
    check("{address: '::1', hostname: '::1', idleTimeout: 1m, audiences: [a]}", Ok(()));
    check("{maxBodyBytes: 0}", Err("server.maxBodyBytes must be from 4096 to 1048576, not 0"));
    check("{workers: 257}", Err("server.workers must be from 1 to 256, not 257"));
    check("{maxConnections: 70000}", Err("server.maxConnections must be from 1 to 65536, not 70000"));
    check("{headTimeout: 2m}", Err("server.headTimeout must be from 10ms to 1m, not 2m"));
    check("{idleTimeout: 0s}", Err("server.idleTimeout must be from 10ms to 1h, not 0s"));
    check("{address: localhost}", Err("must be an IP such as 127.0.0.1 or ::1, not \"localhost\""));
    check("{hostname: 'a b'}", Err("not a host name"));
    check("{adress: 127.0.0.1}", Err("adress"));
}

#[tokio::test]
async fn errors_name_the_place() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    let error = bind(&Config { port: address.port(), ..Config::default() }).await.expect_err("the port is taken");
    assert_eq!(error.to_string(), format!("cannot listen on {address}"));

    let folder = tempfile::tempdir().unwrap();
    let config = Config { state_dir: folder.path().to_owned(), ..Config::default() };
    let pair = load_certificate(&config, SystemTime::UNIX_EPOCH + 3 * Duration::from_secs(86_400)).unwrap();
    let error = write_kubeconfig(&config, pair.certificate_pem(), Path::new("/dev/null/kubeconfig.yaml")).unwrap_err();
    assert!(
        error.to_string().starts_with("cannot write the webhook kubeconfig /dev/null/kubeconfig.yaml: "),
        "{error}"
    );
}
