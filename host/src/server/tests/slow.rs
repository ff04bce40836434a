//! Peers that stop in the middle of what they send, or do not take what they asked for.

use std::pin::pin;

use super::*;

/// Types and flags of frames (RFC 9113, section 6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;
/// An error code (RFC 9113, section 7).
const REFUSED_STREAM: u32 = 7;

/// `GET /healthz` to `a.b` over https, and the same with POST to `/authenticate` and JSON (RFC 7541, appendix A).
const GET_HEALTHZ: &[u8] = b"\x82\x87\x04\x08/healthz\x41\x03a.b";
const POST_AUTHENTICATE: &[u8] = b"\x83\x87\x04\x0d/authenticate\x41\x03a.b\x0f\x10\x10application/json";

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A client's first bytes; it takes so many bytes of each answer before it says more.
fn preface(window: u32) -> Vec<u8> {
    // SETTINGS_INITIAL_WINDOW_SIZE.
    let settings = [&[0, 4][..], &window.to_be_bytes()].concat();
    [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(SETTINGS, 0, 0, &settings)].concat()
}

/// A server whose every limit is short but the one for idle connections.
async fn impatient() -> Running {
    Running::start(|config| {
        config.head_timeout = SHORT;
        config.body_timeout = SHORT;
    })
    .await
}

/// Sends `bytes` over `alpn`, then nothing more, and checks that the server ends the connection, when it does and why.
async fn check_ended(server: &Running, alpn: &str, bytes: &[u8], reason: &str) -> Vec<u8> {
    let mut stream = server.connect_as("localhost", &[alpn]).await;
    stream.write_all(bytes).await.unwrap();
    let mut all = Vec::new();
    let _ = timeout(LONG, stream.read_to_end(&mut all)).await.expect("the server ends it");
    check_counted(server, reason).await;
    all
}

/// Waits until one connection is counted as ended for `reason`, which comes after its peer has seen the end.
pub(super) async fn check_counted(server: &Running, reason: &str) {
    let line = format!("herald_connections_closed_total{{reason=\"{reason}\"}} 1\n");
    let count = || server.services.metrics.text().contains(&line);
    let told = timeout(LONG, async {
        while !count() {
            sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(told.await.is_ok(), "{reason}: {}", server.services.metrics.text());
}

#[tokio::test]
async fn a_body_may_not_be_slow_over_http_2_either() {
    let head = frame(HEADERS, END_HEADERS, 1, POST_AUTHENTICATE);
    for (what, rest) in [
        ("nothing of the body", Vec::new()),
        ("a piece of it", frame(DATA, 0, 1, b"{\"spec\":")),
        ("a frame that is told and half sent", frame(DATA, 0, 1, b"{\"spec\":")[..12].to_vec()),
        ("a second one", [frame(DATA, 0, 1, b"{"), frame(HEADERS, END_HEADERS, 3, POST_AUTHENTICATE)].concat()),
    ] {
        let server = impatient().await;
        let sent = [preface(65_535), head.clone(), rest].concat();
        let all = timeout(LONG, async {
            let mut stream = server.connect_as("localhost", &["h2"]).await;
            stream.write_all(&sent).await.unwrap();
            let mut all = Vec::new();
            let _ = stream.read_to_end(&mut all).await;
            all
        });
        let all = all.await.unwrap_or_else(|_| panic!("{what}: the server ends it"));
        let has = |words: &[u8]| all.windows(words.len()).any(|window| window == words);
        assert!(has(b"took too long"), "{what}: it is told why");
        let text = server.services.metrics.text();
        assert!(!text.contains("{reason=\"idle\"}"), "{what}: {text}");
    }
}

/// Whoever was slow with one body keeps what else is under way.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_slow_body_ends_no_other_request_of_its_connection() {
    let server = impatient().await;
    let stream = server.connect_as("localhost", &["h2"]).await;
    let (mut sender, http) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(http);
    let post = || Request::post("https://localhost/authenticate").header("content-type", "application/json");
    let slow = Body::from_stream(futures_util::stream::pending::<Result<bytes::Bytes, std::convert::Infallible>>());
    let busy = tokio::spawn(sender.send_request(post().body(Body::from(review("k8s-fake-v1.slow"))).unwrap()));
    server.gate.held().await;
    let rejected = sender.send_request(post().body(slow).unwrap()).await.unwrap();
    assert_eq!(rejected.status(), StatusCode::REQUEST_TIMEOUT);
    sleep(2 * SHORT).await;
    assert!(!busy.is_finished());
    server.gate.open();
    let answer = timeout(LONG, busy).await.unwrap().unwrap().unwrap();
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), REFUSED);
    timeout(LONG, connection).await.expect("then it ends").unwrap().unwrap();
}

#[tokio::test]
async fn an_answer_has_to_be_taken() {
    let ask = frame(HEADERS, END_HEADERS | END_STREAM, 1, GET_HEALTHZ);
    for window in [0, 1] {
        let server = impatient().await;
        let sent = [preface(window), ask.clone()].concat();
        check_ended(&server, "h2", &sent, "slow_reader").await;
    }
    // Whoever takes it in time keeps the connection as others do.
    let server = Running::start(|config| {
        config.head_timeout = LONG;
        config.idle_timeout = 5 * SHORT;
    })
    .await;
    let mut stream = server.connect_as("localhost", &["h2"]).await;
    stream.write_all(&[preface(0), ask].concat()).await.unwrap();
    sleep(SHORT).await;
    stream.write_all(&frame(WINDOW_UPDATE, 0, 1, &2_u32.to_be_bytes())).await.unwrap();
    let mut all = Vec::new();
    let _ = timeout(LONG, stream.read_to_end(&mut all)).await.expect("the server ends it");
    assert!(all.windows(11).any(|window| window == frame(DATA, END_STREAM, 1, b"ok")), "{all:?}");
    check_counted(&server, "idle").await;
}

/// More than all buffers of the system have room for.
const ALL: usize = 64 * 1024 * 1024;

/// Asks over HTTP/1.1 with `method` and takes no answer, until the server reads no more. Each request has a body that nobody
/// wants, so that hyper reads on before its answer is taken.
async fn ask_and_take_nothing(server: &Running, stream: &mut TlsStream<TcpStream>, method: &str) {
    // Records of whole requests: one whose body is not there yet would be the last.
    let asked = format!("{method} /healthz HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\nx").repeat(64);
    for _ in 0..ALL / asked.len() {
        let mut write = pin!(async {
            stream.write_all(asked.as_bytes()).await?;
            stream.flush().await
        });
        // That a write waits proves nothing on a machine that stands still; that others are served meanwhile does.
        let mut served = 0;
        while timeout(SHORT / 40, write.as_mut()).await.map(|result| result.expect("it is open")).is_err() {
            if served == 10 {
                return;
            }
            check(&server.exchange(&get("/healthz")).await, 200, &["ok"]);
            served += 1;
        }
    }
    panic!("the server reads on");
}

/// Over HTTP/1.1 no request is looked at before the answer to the one in front of it is taken. How the end is called depends on
/// where in the buffers on the way the last answer is, and the last request.
#[tokio::test]
async fn an_answer_has_to_be_taken_whatever_is_asked_behind_it() {
    let server = Running::start(|config| (config.head_timeout, config.idle_timeout) = (5 * SHORT, 5 * SHORT)).await;
    let mut stream = server.connect().await;
    ask_and_take_nothing(&server, &mut stream, "GET").await;
    let ended = timeout(LONG, async {
        while !server.services.metrics.text().contains("herald_connections 0\n") {
            sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(ended.await.is_ok(), "{}", server.services.metrics.text());
    drop(stream);
}

/// A quarter of so few places is less than one.
#[tokio::test]
async fn the_only_place_is_not_kept_for_whoever_may_come_back() {
    let server = Running::start(|config| (config.head_timeout, config.max_connections) = (SHORT, 1)).await;
    let mut stream = server.connect().await;
    stream.write_all(post(&review("foreign"), "keep-alive").as_bytes()).await.unwrap();
    check(&answer(&mut stream).await, 200, &[REFUSED]);
    assert_eq!(rest(&mut stream).await, "");
    check_counted(&server, "idle").await;
}

/// Answers to HEAD are heads alone, and hyper would keep any number of those.
#[tokio::test]
async fn whoever_takes_no_answers_cannot_go_on_asking() {
    let server = Running::start(|_| ()).await;
    let mut stream = server.connect().await;
    ask_and_take_nothing(&server, &mut stream, "HEAD").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whoever_takes_answers_late_gets_all_of_them() {
    const REVIEWS: usize = 10_000;
    let server = Running::start(|_| ()).await;
    let (mut input, mut output) = tokio::io::split(server.connect().await);
    let asked = post(&review("foreign"), "keep-alive").repeat(REVIEWS - 1) + &post(&review("foreign"), "close");
    let asked = tokio::spawn(async move { output.write_all(asked.as_bytes()).await.map(|()| output) });
    sleep(SHORT / 2).await;
    let mut all = Vec::new();
    let _ = timeout(6 * LONG, input.read_to_end(&mut all)).await.expect("the server closes");
    assert_eq!(String::from_utf8(all).unwrap().matches("HTTP/1.1 200 OK\r\n").count(), REVIEWS);
    asked.await.unwrap().unwrap();
}

/// The second head has its time from when it is its turn, whether it came with the first request or while that was decided.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_half_sent_head_behind_another_request_has_its_time_as_well() {
    let half = "POST /authen";
    let server = impatient().await;
    let sent = post(&review("foreign"), "keep-alive") + half;
    let all = check_ended(&server, "http/1.1", sent.as_bytes(), "head_timeout").await;
    check(std::str::from_utf8(&all).unwrap(), 200, &[REFUSED]);

    let server = impatient().await;
    let mut stream = server.connect().await;
    stream.write_all(post(&review("k8s-fake-v1.slow"), "keep-alive").as_bytes()).await.unwrap();
    server.gate.held().await;
    stream.write_all(half.as_bytes()).await.unwrap();
    sleep(2 * SHORT).await;
    server.gate.open();
    check(&answer(&mut stream).await, 200, &[REFUSED]);
    assert_eq!(rest(&mut stream).await, "");
    check_counted(&server, "head_timeout").await;

    // A whole one is answered as ever.
    let server = impatient().await;
    let mut stream = server.connect().await;
    stream.write_all(post(&review("foreign"), "keep-alive").repeat(2).as_bytes()).await.unwrap();
    for _ in 0..2 {
        check(&answer(&mut stream).await, 200, &[REFUSED]);
    }
    sleep(3 * SHORT).await;
    stream.write_all(post(&review("foreign"), "close").as_bytes()).await.unwrap();
    check(&rest(&mut stream).await, 200, &[REFUSED]);
}

#[tokio::test]
async fn an_empty_line_between_requests_is_no_head() {
    let server = impatient().await;
    let mut stream = server.connect().await;
    stream.write_all(post(&review("foreign"), "keep-alive").as_bytes()).await.unwrap();
    check(&answer(&mut stream).await, 200, &[REFUSED]);
    for byte in [b"\r", b"\n"] {
        stream.write_all(byte).await.unwrap();
        stream.flush().await.unwrap();
        sleep(SHORT / 10).await;
    }
    sleep(2 * SHORT).await;
    stream.write_all(post(&review("foreign"), "close").as_bytes()).await.unwrap();
    check(&rest(&mut stream).await, 200, &[REFUSED]);
}

/// Where its body ends is for hyper to know, so a head behind it cannot be told from none.
#[tokio::test]
async fn a_body_of_untold_length_is_not_followed_by_an_idle_time() {
    let server = impatient().await;
    let body = review("foreign");
    let chunked = format!(
        "POST /authenticate HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         transfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        body.len()
    );
    let all = check_ended(&server, "http/1.1", chunked.as_bytes(), "head_timeout").await;
    check(std::str::from_utf8(&all).unwrap(), 200, &[REFUSED]);
}

/// Whatever of its connection is unfinished, whole reviews are answered, and at once.
#[tokio::test]
async fn half_bodies_hold_up_no_whole_one() {
    let server = Running::start(|config| config.body_timeout = LONG).await;
    let stream = server.connect_as("localhost", &["h2"]).await;
    let (mut sender, http) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(http);
    let mut post = |body| {
        let post = Request::post("https://localhost/authenticate").header("content-type", "application/json");
        sender.send_request(post.body(body).unwrap())
    };
    let half = || {
        let pieces = futures_util::stream::iter([Ok::<_, std::convert::Infallible>(bytes::Bytes::from_static(b"{"))]);
        Body::from_stream(futures_util::StreamExt::chain(pieces, futures_util::stream::pending()))
    };
    let slow: Vec<_> = (0..50).map(|_| tokio::spawn(post(half()))).collect();
    for _ in 0..3 {
        let answer = timeout(LONG / 2, post(Body::from(review("foreign")))).await.expect("an answer").unwrap();
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), REFUSED);
    }
    assert!(slow.iter().all(|request| !request.is_finished()));
}

/// More than a server holds of what is not whole.
#[tokio::test]
async fn bodies_that_do_not_end_cost_little_all_together() {
    let server = Running::start(|config| config.body_timeout = LONG).await;
    let head = "POST /authenticate HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
                content-length: 65536\r\n\r\n";
    let mut slow = Vec::new();
    for _ in 0..80 {
        let mut stream = server.connect().await;
        // Whoever is turned away may be so before all is sent.
        let _ = stream.write_all([head, &" ".repeat(60_000)].concat().as_bytes()).await;
        slow.push(stream);
    }
    let count = || {
        let text = server.services.metrics.text();
        let line =
            text.lines().find_map(|line| line.strip_prefix("herald_rejected_requests_total{reason=\"body_budget\"} "));
        line.map_or(0, |count| count.parse::<usize>().unwrap())
    };
    let too_many = timeout(LONG, async {
        while count() < 11 {
            sleep(Duration::from_millis(5)).await;
        }
    });
    too_many.await.expect("4 MiB are 69 of them");
    assert!(count() < 40, "{}", count());
    check(&server.exchange(&post(&review("foreign"), "close")).await, 200, &[REFUSED]);
}

/// How many of 250 requests without their bodies a new connection may have; it stays open.
async fn begin_many(server: &Running) -> (usize, TlsStream<TcpStream>) {
    let asked = (0..250).flat_map(|request| frame(HEADERS, END_HEADERS, 2 * request + 1, POST_AUTHENTICATE));
    let sent = [preface(65_535), asked.collect(), frame(PING, 0, 0, &[0; 8])].concat();
    let mut stream = server.connect_as("localhost", &["h2"]).await;
    stream.write_all(&sent).await.unwrap();
    let mut left = 250;
    loop {
        let mut head = [0; 9];
        timeout(LONG, stream.read_exact(&mut head)).await.expect("an answer to the ping").unwrap();
        let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
        stream.read_exact(&mut payload).await.unwrap();
        match (head[3], head[4]) {
            (RST_STREAM, _) if payload == REFUSED_STREAM.to_be_bytes() => left -= 1,
            // It comes behind all refusals of what was asked before.
            (PING, ACK) => return (left, stream),
            _ => {}
        }
    }
}

/// Each costs some KiB before a byte of its body is there, and a connection has hundreds for a few KiB of its peer's.
#[tokio::test]
async fn requests_without_their_bodies_are_few_on_all_connections_together() {
    let server = Running::start(|config| config.body_timeout = LONG).await;
    let mut held = Vec::new();
    for _ in 0..16 {
        held.push(begin_many(&server).await);
    }
    let begun: Vec<_> = held.iter().map(|(begun, _)| *begun).collect();
    assert_eq!(begun[0], 250, "whoever comes first has many");
    assert!(begun.iter().sum::<usize>() < 1000, "{begun:?}");
    check(&server.exchange(&post(&review("foreign"), "close")).await, 200, &[REFUSED]);
}

/// What a peer sends before it hears that its idle connection ends is answered.
#[tokio::test]
async fn an_idle_peer_is_told_before_its_connection_ends_over_http_2() {
    let server = Running::start(|config| config.idle_timeout = SHORT).await;
    let mut stream = server.connect_as("localhost", &["h2"]).await;
    let ask = |id| frame(HEADERS, END_HEADERS | END_STREAM, id, GET_HEALTHZ);
    stream.write_all(&[preface(65_535), ask(1)].concat()).await.unwrap();
    let mut all = Vec::new();
    let has = |all: &[u8], kind: u8, id: u32| {
        let rest = [&[kind][..], &id.to_be_bytes()].concat();
        all.windows(9).any(|head| head[..2] == [0, 0] && [&head[3..4], &head[5..]].concat() == rest)
    };
    while !has(&all, GOAWAY, 0) {
        let read = timeout(LONG, stream.read_buf(&mut all)).await.expect("it is told").unwrap();
        assert!(read > 0, "it is told before the end");
    }
    assert!(has(&all, HEADERS, 1) && !has(&all, HEADERS, 3));
    stream.write_all(&ask(3)).await.unwrap();
    let _ = timeout(LONG, stream.read_to_end(&mut all)).await.expect("the server ends it");
    assert!(has(&all, HEADERS, 3), "{all:?}");
    check_counted(&server, "idle").await;
}
