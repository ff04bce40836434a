//! Clients that are slow, silent, huge, many, or gone.

use std::{
    collections::BTreeSet,
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use hyper::{
    body::{Body, Frame},
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tests::{
    herald::{Server, Version},
    sts::{BOB, Fault},
    tokens::Kind,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    task::{JoinHandle, JoinSet},
};
use tokio_rustls::client::TlsStream;

use super::{Verdict, all_recorded, decision_id, dial, is_well, made, post_all, tcp, verdict};
use crate::support::{ONE_WORKER, fresh, start, until};

const HEAD: &str = "POST /authenticate HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
/// The preface, empty settings, and the first bytes of a HEADERS frame of 100 bytes (RFC 9113, sections 3.4 and 6.2).
const HALF_H2_HEAD: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0\x64\x01\x04\0\0\0\x01\x83";
/// The same with a whole `GET /healthz` in front, and then a block of fields of which the frame that ends it never comes
/// (RFC 9113, section 6.10).
const SECOND_HALF_H2_HEAD: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\
    \0\0\x11\x01\x05\0\0\0\x01\x82\x87\x04\x08/healthz\x41\x03a.b\0\0\x01\x01\x01\0\0\0\x03\x82";
/// The same whole `GET /healthz`, and then the first byte of a head of 100.
const BEGUN_H2_HEAD: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\
    \0\0\x11\x01\x05\0\0\0\x01\x82\x87\x04\x08/healthz\x41\x03a.b\0\0\x64\x01\x05\0\0\0\x03\x82";
/// A whole head of `POST /authenticate` with JSON, and the first bytes of a body that is said to go on (section 6.1).
const HALF_H2_BODY: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\
    \0\0\x29\x01\x04\0\0\0\x01\x83\x87\x04\x0d/authenticate\x41\x03a.b\x0f\x10\x10application/json\
    \0\0\x08\0\0\0\0\0\x01{\"spec\":";
/// A whole `GET /healthz` of a peer that takes no byte of the answer: SETTINGS_INITIAL_WINDOW_SIZE of 0 (section 6.9.2).
const UNTAKEN_H2_ANSWER: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x06\x04\0\0\0\0\0\0\x04\0\0\0\0\
    \0\0\x11\x01\x05\0\0\0\x01\x82\x87\x04\x08/healthz\x41\x03a.b";
/// Long after those ten seconds that the settings say, as the machine is busy with other tests, and well before the three
/// minutes after which a connection is closed for being idle.
const CUT: Duration = Duration::from_secs(90);

/// Sends `start` over a new connection and nothing more; gives the time until the server closed.
async fn closed_after<S: AsyncRead + AsyncWrite + Unpin>(dialled: impl Future<Output = S>, start: &[u8]) -> Duration {
    let began = Instant::now();
    let mut stream = dialled.await;
    stream.write_all(start).await.expect("it is open");
    stream.flush().await.expect("it is open");
    let mut all = Vec::new();
    // A reset is an end as well.
    let _ = tokio::time::timeout(CUT, stream.read_to_end(&mut all)).await.expect("the server closes");
    began.elapsed()
}

/// So many of each kind of half a request, each on a connection of its own: the times until the server closed them.
fn half_sent(server: &Arc<Server>, of_each: usize) -> JoinSet<Duration> {
    let (half_head, half_body) = (HEAD.to_owned(), format!("{HEAD}content-length: 60000\r\n\r\n{{\"spec\":"));
    let second_half_head = format!("GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n{HEAD}");
    let mut slow = JoinSet::new();
    for _ in 0..of_each {
        for start in ["", &half_head, &half_body, &second_half_head] {
            let (server, start) = (Arc::clone(server), start.to_owned());
            slow.spawn(async move { closed_after(dial(&server, b"http/1.1"), start.as_bytes()).await });
        }
        for start in [HALF_H2_HEAD, SECOND_HALF_H2_HEAD, HALF_H2_BODY, UNTAKEN_H2_ANSWER] {
            let server = Arc::clone(server);
            slow.spawn(async move { closed_after(dial(&server, b"h2"), start).await });
        }
        // No handshake, and the first bytes of one (RFC 8446, section 4: a ClientHello).
        for start in [&b""[..], &[0x16, 0x03, 0x01, 0x02, 0x00, 0x01]] {
            let server = Arc::clone(server);
            slow.spawn(async move { closed_after(tcp(&server), start).await });
        }
    }
    slow
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_sent_requests_are_closed_within_ten_seconds_and_hold_nobody_up() {
    // Whoever waited for the end of one would wait for a minute: so none has ended when all logins have.
    let (_sts, server) = start("  handshakeTimeout: 1m\n  headTimeout: 1m\n  bodyTimeout: 1m").await;
    let server = Arc::new(server);
    let mut slow = half_sent(&server, 14);
    until(async || server.metric("herald_connections").await.expect("metrics") > Some(100.0)).await;
    for (answer, name) in post_all(&server, made(Kind::Good, 100)).await {
        assert_eq!(verdict(&answer, name.as_deref()), Verdict::Allowed, "{}", answer.text);
    }
    assert!(slow.try_join_next().is_none(), "nobody is held up");
    drop(slow);

    // With the settings as they come.
    let (_sts, server) = start("").await;
    let server = Arc::new(server);
    let after = half_sent(&server, 6).join_all().await;
    assert_eq!(after.len(), 60);
    assert!(after.iter().all(|after| *after > Duration::from_secs(5)), "they were given the time that is theirs");
    until(async || server.metric("herald_connections").await.expect("metrics") < Some(10.0)).await;
    is_well(&server).await;
}

/// What is to come of a head that has begun, in bytes, and the pause behind each: ten times as long, all of it, as a head may take.
const TO_COME: usize = 99;
const PAUSE: Duration = Duration::from_millis(200);

/// Sends `start` and then what is to come of a head, byte by byte; how many bytes that were until the server closed.
async fn byte_by_byte(mut stream: TlsStream<TcpStream>, start: &[u8]) -> usize {
    // A busy machine may have let all of its time go by before: then it is closed already.
    let _ = stream.write_all(start).await;
    let _ = stream.flush().await;
    let (mut input, mut output) = tokio::io::split(stream);
    let end = tokio::spawn(async move {
        // A reset is an end as well.
        let _ = input.read_to_end(&mut Vec::new()).await;
    });
    let mut sent = 0;
    while sent < TO_COME && !end.is_finished() {
        // Whether anybody takes it shows in the other half.
        let _ = output.write_all(b"a").await;
        let _ = output.flush().await;
        sent += 1;
        tokio::time::sleep(PAUSE).await;
    }
    end.abort();
    sent
}

/// Else whoever sends a byte now and then would keep his place for as long as he likes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_comes_byte_by_byte_has_no_more_time_than_one_that_stops() {
    let (_sts, server) = start("  headTimeout: 2s").await;
    let server = Arc::new(server);
    // What asks below has its connection from here on: a busy machine may not begin a request within two seconds of a handshake.
    is_well(&server).await;
    let second = format!("GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n{HEAD}");
    let mut slow = JoinSet::new();
    for (alpn, start) in [
        (&b"http/1.1"[..], HEAD.as_bytes()),
        (b"http/1.1", second.as_bytes()),
        (b"h2", HALF_H2_HEAD),
        (b"h2", BEGUN_H2_HEAD),
    ] {
        let (server, start) = (Arc::clone(&server), start.to_vec());
        slow.spawn(async move { byte_by_byte(dial(&server, alpn).await, &start).await });
    }
    let sent = slow.join_all().await;
    assert!(sent.iter().all(|sent| *sent < TO_COME), "one could send all of its head: {sent:?}");
    let closed = "herald_connections_closed_total{reason=\"head_timeout\"}";
    until(async || server.metric(closed).await.expect("metrics") >= Some(4.0)).await;
    is_well(&server).await;
}

/// Each of them asks once and then holds its place for later, as it may. Whoever needs one does not wait for minutes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_holds_all_connections_gives_way_to_a_login() {
    const PLACES: usize = 32;
    let (_sts, server) = start(&format!("  maxConnections: {PLACES}")).await;
    let mut held = Vec::new();
    for _ in 0..PLACES - 1 {
        let mut stream = dial(&server, b"http/1.1").await;
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.expect("it is open");
        let mut answer = [0; 15];
        stream.read_exact(&mut answer).await.expect("an answer");
        assert_eq!(&answer, b"HTTP/1.1 200 OK");
        held.push(stream);
    }
    // More than the last place, so that some have to wait in any case.
    let mut logins = JoinSet::new();
    let server = Arc::new(server);
    for (token, name) in made(Kind::Good, 8) {
        let server = Arc::clone(&server);
        logins.spawn(async move {
            let client = server.client(&[b"h2"]).expect("a client");
            let answer = server.review_by(&client, &token).await.expect("an answer, in the end");
            assert_eq!(verdict(&answer, name.as_deref()), Verdict::Allowed, "{}", answer.text);
            // Kept until all are through.
            client
        });
    }
    let all = tokio::time::timeout(CUT, logins.join_all()).await.expect("soon");
    assert_eq!(all.len(), 8);
    drop((all, held));
    is_well(&server).await;
}

/// A body of so many bytes, made as it is sent.
struct Endless(usize);

impl Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        static PIECE: [u8; 64 * 1024] = [b'a'; 64 * 1024];
        let count = self.0.min(PIECE.len());
        self.0 -= count;
        Poll::Ready((count > 0).then(|| Ok(Frame::data(Bytes::from_static(&PIECE[..count])))))
    }

    // Its size is told by a header or not at all.
    fn is_end_stream(&self) -> bool {
        self.0 == 0
    }
}

/// One request on a connection of its own, as a task: its end ends the connection. Its status; none when the connection
/// broke first.
async fn post<B>(server: &Server, h2: bool, request: http::request::Builder, body: B) -> JoinHandle<Option<StatusCode>>
where
    B: Body<Data = Bytes, Error = Infallible> + Send + Unpin + 'static,
{
    let io = TokioIo::new(dial(server, if h2 { b"h2" } else { b"http/1.1" }).await);
    let request = request.header("content-type", "application/json");
    if h2 {
        let request = request.uri(&server.url).body(body).expect("a request");
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await.expect("HTTP/2");
        return tokio::spawn(async move {
            let answer = sender.send_request(request);
            tokio::select! { answer = answer => Some(answer.ok()?.status()), _ = connection => None }
        });
    }
    let request = request.uri("/authenticate").header("host", "localhost").body(body).expect("a request");
    let (mut sender, connection) = http1::handshake(io).await.expect("HTTP");
    tokio::spawn(async move {
        let answer = sender.send_request(request);
        tokio::select! { answer = answer => Some(answer.ok()?.status()), _ = connection => None }
    })
}

/// The size of a huge body.
const BYTES: usize = 200_000_000;
/// Over HTTP/2, and whether its length is told.
const KINDS: [(bool, bool); 4] = [(false, false), (false, true), (true, false), (true, true)];

/// Posts a huge body; whether it was answered, which is a refusal.
async fn post_huge(server: &Server, (h2, is_told): (bool, bool)) -> bool {
    let request = Request::post("/");
    let request = if is_told { request.header("content-length", BYTES) } else { request };
    let posted = post(server, h2, request, Endless(BYTES)).await;
    let status = tokio::time::timeout(CUT, posted).await.expect("an end").expect("no panic");
    assert!(status.is_none_or(|status| status == StatusCode::PAYLOAD_TOO_LARGE), "{h2} {is_told}: {status:?}");
    status.is_some()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_of_200_megabytes_costs_less_than_one() {
    let (_sts, server) = start(ONE_WORKER).await;
    is_well(&server).await;
    for kind in KINDS {
        // The first of a kind touches code that none before it has.
        post_huge(&server, kind).await;
        let mut costs = Vec::new();
        for _ in 0..5 {
            is_well(&server).await;
            server.reset_peak().expect("it runs");
            let before = server.resident_kib().expect("it runs");
            post_huge(&server, kind).await;
            costs.push(server.peak_kib().expect("it runs").saturating_sub(before));
        }
        costs.sort_unstable();
        assert!(costs[2] <= 1024, "{kind:?}: {costs:?} KiB");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_bodies_of_200_megabytes_are_refused_and_cost_next_to_nothing() {
    let (_sts, server) = start(ONE_WORKER).await;
    let server = Arc::new(server);
    is_well(&server).await;
    let before = server.resident_kib().expect("it runs");
    server.reset_peak().expect("it runs");
    let mut answered = 0;
    // Each has a second to take its answer, during which a busy machine may stand still.
    for _ in 0..5 {
        let mut all = JoinSet::new();
        for kind in KINDS.into_iter().cycle().take(16) {
            let server = Arc::clone(&server);
            all.spawn(async move { post_huge(&server, kind).await });
        }
        answered = all.join_all().await.into_iter().filter(|answered| *answered).count();
        if answered >= 8 {
            break;
        }
    }
    assert!(answered >= 8, "most of them hear why: {answered}");
    // Of 3.2 GB in all, and with sixteen handshakes.
    let peak = server.peak_kib().expect("it runs");
    assert!(peak < before + 16 * 1024, "{before} KiB before, {peak} KiB at most");
    is_well(&server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn good_logins_are_right_beside_a_flood_of_junk() {
    let (sts, server) = start(ONE_WORKER).await;
    let server = Arc::new(server);
    is_well(&server).await;
    sts.sts.reset();
    let before = server.resident_kib().expect("it runs");
    let mut flood = JoinSet::new();
    for kind in [Kind::Junk, Kind::Badb64, Kind::Badhost, Kind::Expired] {
        let (server, tokens) = (Arc::clone(&server), made(kind, 1_500));
        flood.spawn(async move {
            for (answer, _) in post_all(&server, tokens).await {
                assert!(answer.is_plain_refusal(), "{kind:?}: {}", answer.text);
            }
        });
    }
    let mut ids = BTreeSet::new();
    for (answer, name) in post_all(&server, made(Kind::Good, 200)).await {
        assert_eq!(verdict(&answer, name.as_deref()), Verdict::Allowed, "{}", answer.text);
        ids.extend(decision_id(&answer));
    }
    flood.join_all().await;
    assert_eq!((ids.len(), sts.sts.stats().requests), (200, 200), "junk never reaches STS");
    all_recorded(&server, &ids).await;
    let after = server.resident_kib().expect("it runs");
    assert!(after < before + 24 * 1024, "{before} KiB before, {after} KiB after");
    is_well(&server).await;
}

/// Two API servers wait for one answer of STS; the first leaves, then the second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_sts_call_whose_last_waiter_has_gone_is_given_up() {
    for h2 in [false, true] {
        let (sts, server) = start("").await;
        sts.sts.set(Fault::Hang);
        let body = Version::V1.body(&fresh(&BOB));
        let mut waiters = Vec::new();
        for _ in 0..2 {
            waiters.push(post(&server, h2, Request::post("/"), Full::new(Bytes::from(body.clone()))).await);
        }
        until(async || sts.sts.stats().inflight == 1).await;
        until(async || server.metric("herald_in_flight").await.expect("metrics") == Some(2.0)).await;
        waiters.remove(0).abort();
        until(async || server.metric("herald_in_flight").await.expect("metrics") == Some(1.0)).await;
        assert_eq!(sts.sts.stats().inflight, 1, "somebody waits for it still");
        waiters.remove(0).abort();
        until(async || sts.sts.stats().inflight == 0).await;
        assert_eq!((sts.sts.stats().requests, sts.sts.stats().aborted), (1, 1));
        sts.sts.set(Fault::None);
        is_well(&server).await;
    }
}
