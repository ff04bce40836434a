//! Slow and idle clients: when does the server close on them?

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use serde_json::{Map, Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::timeout,
};

use crate::{
    load::{Protocol, client},
    statistics::median,
    target::{ROUTE, Running},
    tls,
};

/// Seconds until the server closed; `None`: not within the time.
type Closed = Option<f64>;

/// Holds slow heads, slow bodies and idle connections all at once for `hold`.
pub(super) async fn run(running: &Running, slow: usize, hold: Duration) -> anyhow::Result<Map<String, Value>> {
    let address = running.address;
    let head = format!("POST {ROUTE} HTTP/1.1\r\nhost: localhost\r\nx-a: ");
    let body = format!(
        "POST {ROUTE} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 60000\r\n\r\n{{\"spec\":{{\"token\":\""
    );
    let (heads, bodies, idle, used) = tokio::join!(
        join_all((0..slow).map(|_| drip(address, head.as_bytes(), hold))),
        join_all((0..slow).map(|_| drip(address, body.as_bytes(), hold))),
        join_all((0..IDLE).map(|_| silence(address, b"", hold))),
        silence(address, b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n", hold),
    );
    let groups = [("slowHead", heads), ("slowBody", bodies), ("idle", idle), ("idleAfterARequest", vec![used])];
    let mut found = Map::new();
    for (name, closed) in groups {
        let closed: Vec<Closed> = closed.into_iter().collect::<anyhow::Result<_>>()?;
        found.insert(name.to_owned(), summary(&closed));
    }
    Ok(found)
}

fn summary(closed: &[Closed]) -> Value {
    let seconds: Vec<f64> = closed.iter().flatten().copied().collect();
    json!({"held": closed.len(), "closedByServer": seconds.len(), "medianSeconds": median(seconds)})
}

/// Sends `start`, then one byte each half second, until the server closes.
async fn drip(address: SocketAddr, start: &[u8], hold: Duration) -> anyhow::Result<Closed> {
    let mut stream = client::dial(address, &tls::danger_connector(Protocol::H1.alpn())).await?;
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

/// Sends `request`, reads its answer if there is one to come, and is then silent.
async fn silence(address: SocketAddr, request: &[u8], hold: Duration) -> anyhow::Result<Closed> {
    let mut stream = client::dial(address, &tls::danger_connector(Protocol::H1.alpn())).await?;
    stream.write_all(request).await?;
    stream.flush().await?;
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

/// Idle connections held.
const IDLE: usize = 20;
const DRIP_PERIOD: Duration = Duration::from_millis(500);
