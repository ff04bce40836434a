//! Slow and idle clients, and those that do not finish their handshake: when does the server close on them?

use std::{
    convert::Infallible,
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::{future::join_all, stream};
use http_body_util::StreamBody;
use hyper::{Request, body::Frame, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{sleep, timeout},
};

use crate::{
    load::{Protocol, client},
    statistics::median,
    target::{ROUTE, Running},
    tls,
};

/// Seconds until the server closed; `None`: not within the time.
type Closed = Option<f64>;

/// Connections of one kind that were held.
pub(crate) struct Group {
    /// The kind.
    pub(crate) name: &'static str,
    closed: Vec<Closed>,
}

/// Holds slow heads and bodies over HTTP/1.1 and HTTP/2, and idle connections all at once for `hold`.
pub(crate) async fn run(running: &Running, slow: usize, hold: Duration) -> anyhow::Result<[Group; 6]> {
    let address = running.address;
    let head = format!("POST {ROUTE} HTTP/1.1\r\nhost: localhost\r\nx-a: ");
    let body = format!(
        "POST {ROUTE} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {LENGTH}\r\n\r\n{BODY}"
    );
    let (heads, heads_h2, bodies, streams, idle, used) = tokio::join!(
        join_all((0..slow).map(|_| drip(address, Protocol::H1, head.as_bytes(), hold))),
        join_all((0..slow).map(|_| drip(address, Protocol::H2, HALF_HEAD_H2, hold))),
        join_all((0..slow).map(|_| drip(address, Protocol::H1, body.as_bytes(), hold))),
        join_all((0..slow).map(|_| drip_stream(address, hold))),
        join_all((0..IDLE).map(|_| silence(address, b"", hold))),
        silence(address, b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n", hold),
    );
    let group = |name, closed: Vec<anyhow::Result<Closed>>| {
        anyhow::Ok(Group { name, closed: closed.into_iter().collect::<anyhow::Result<_>>()? })
    };
    Ok([
        group("slowHead", heads)?,
        group("slowHeadH2", heads_h2)?,
        group("slowBody", bodies)?,
        group("slowBodyH2", streams)?,
        group("idle", idle)?,
        group("idleAfterARequest", vec![used])?,
    ])
}

/// Holds `each` connections without a byte, and as many with the first bytes of a handshake, all at once for `hold`.
pub(crate) async fn handshakes(running: &Running, each: usize, hold: Duration) -> anyhow::Result<Group> {
    let address = running.address;
    let starts = [&b""[..], HALF_HELLO].into_iter();
    let held = starts.flat_map(|start| (0..each).map(move |_| unfinished(address, start, hold)));
    let closed = join_all(held).await.into_iter().collect::<anyhow::Result<_>>()?;
    Ok(Group { name: "unfinishedHandshake", closed })
}

// === impl Group ===

impl Group {
    /// How many were held and closed, and when.
    pub(crate) fn summary(&self) -> Value {
        let seconds: Vec<f64> = self.closed.iter().flatten().copied().collect();
        json!({"held": self.closed.len(), "closedByServer": seconds.len(), "medianSeconds": median(seconds)})
    }

    /// Seconds until the last one was closed; `hold` if one was not.
    pub(crate) fn longest(&self, hold: Duration) -> f64 {
        self.closed.iter().map(|closed| closed.unwrap_or(hold.as_secs_f64())).fold(0.0, f64::max)
    }
}

/// Sends `start`, then one byte each half second, until the server closes.
async fn drip(address: SocketAddr, protocol: Protocol, start: &[u8], hold: Duration) -> anyhow::Result<Closed> {
    let mut stream = client::dial(address, &tls::danger_connector(protocol.alpn())).await?;
    let began = Instant::now();
    stream.write_all(start).await?;
    let mut buffer = [0; 512];
    while began.elapsed() < hold {
        // A server that has closed shows in the read.
        let _ = stream.write_all(b"a").await;
        let _ = stream.flush().await;
        if let Ok(Ok(0) | Err(_)) = timeout(DRIP_PERIOD, stream.read(&mut buffer)).await {
            return Ok(Some(began.elapsed().as_secs_f64()));
        }
    }
    Ok(None)
}

/// Sends the beginning of a body over HTTP/2 and then one byte each half second, until the server ends the stream or
/// everything.
async fn drip_stream(address: SocketAddr, hold: Duration) -> anyhow::Result<Closed> {
    let connection = client::dial(address, &tls::danger_connector(Protocol::H2.alpn())).await?;
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(connection)).await?;
    tokio::spawn(connection);
    let body = stream::unfold(BODY, |next| async move {
        if next != BODY {
            sleep(DRIP_PERIOD).await;
        }
        Some((Ok::<_, Infallible>(Frame::data(Bytes::from_static(next.as_bytes()))), "a"))
    });
    let request = Request::post(format!("https://localhost:{}{ROUTE}", address.port()))
        .header("content-type", "application/json")
        .header("content-length", LENGTH)
        .body(StreamBody::new(Box::pin(body)))?;
    let began = Instant::now();
    // An answer is an end as well as an error is: the rest of the body is not waited for.
    Ok(timeout(hold, sender.send_request(request)).await.is_ok().then(|| began.elapsed().as_secs_f64()))
}

/// Sends `request`, reads its answer if there is one to come, and is then silent.
async fn silence(address: SocketAddr, request: &[u8], hold: Duration) -> anyhow::Result<Closed> {
    let mut stream = client::dial(address, &tls::danger_connector(Protocol::H1.alpn())).await?;
    stream.write_all(request).await?;
    stream.flush().await?;
    closed(stream, hold).await
}

/// Sends `start` without TLS around it, and is then silent.
async fn unfinished(address: SocketAddr, start: &[u8], hold: Duration) -> anyhow::Result<Closed> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(start).await?;
    closed(stream, hold).await
}

/// Reads until the server closes, from now on for `hold` at most.
async fn closed(mut stream: impl AsyncRead + Unpin, hold: Duration) -> anyhow::Result<Closed> {
    let began = Instant::now();
    let mut buffer = [0; 4096];
    loop {
        match timeout(hold.saturating_sub(began.elapsed()), stream.read(&mut buffer)).await {
            Ok(Ok(0) | Err(_)) => return Ok(Some(began.elapsed().as_secs_f64())),
            Ok(Ok(_)) => {}
            Err(_) => return Ok(None),
        }
    }
}

/// The preface, empty settings, a whole `GET /healthz`, and the first byte of a head of 8 KiB, which takes longer than anybody
/// here holds a connection (RFC 9113, sections 3.4 and 6.2).
const HALF_HEAD_H2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\
    \0\0\x11\x01\x05\0\0\0\x01\x82\x87\x04\x08/healthz\x41\x03a.b\0\x20\0\x01\x05\0\0\0\x03\x82";
/// The beginning of a slow body.
const BODY: &str = "{\"spec\":{\"token\":\"";
/// What its length is said to be.
const LENGTH: usize = 60_000;
/// Idle connections held.
const IDLE: usize = 20;
const DRIP_PERIOD: Duration = Duration::from_millis(500);
/// The first bytes of a ClientHello, which is said to have 512 (RFC 8446, sections 4 and 5.1).
const HALF_HELLO: &[u8] = &[0x16, 0x03, 0x01, 0x02, 0x00, 0x01];
