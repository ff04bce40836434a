//! Huge bodies: what is answered, and what memory they cost.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::timeout,
};

use crate::{
    load::{Protocol, client},
    procfs,
    target::{ROUTE, Running},
    tls,
};

/// Posts one body of `mib` MiB.
pub(super) async fn run(running: &Running, mib: usize) -> Value {
    procfs::reset_peak(running.pid);
    let before = procfs::sample(running.pid).unwrap_or_default();
    let began = Instant::now();
    let answer = match timeout(Duration::from_secs(60), post(running, mib)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => format!("error: {error}"),
        Err(_) => "none within 60 s".to_owned(),
    };
    let after = procfs::sample(running.pid).unwrap_or_default();
    json!({
        "mib": mib,
        "answer": answer,
        "seconds": (began.elapsed().as_secs_f64() * 1000.0).round() / 1000.0,
        "cpuMs": after.cpu_ms - before.cpu_ms,
        "rssMib": {"before": before.rss_kib / 1024, "peak": after.peak_kib / 1024, "after": after.rss_kib / 1024},
    })
}

/// The status line of the answer, and whether the body was cut off.
async fn post(running: &Running, mib: usize) -> anyhow::Result<String> {
    let mut stream = client::dial(running.address, &tls::danger_connector(Protocol::H1.alpn())).await?;
    let (open, close) = (br#"{"kind":"TokenReview","spec":{"token":""#, br#""}}"#);
    let length = (mib << 20) + open.len() + close.len();
    let head = format!(
        "POST {ROUTE} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(open).await?;
    let chunk = vec![b'a'; CHUNK];
    let mut cut = "";
    for _ in 0..(mib << 20) / CHUNK {
        if stream.write_all(&chunk).await.is_err() {
            cut = " (body cut off)";
            break;
        }
    }
    if cut.is_empty() {
        stream.write_all(close).await?;
        stream.flush().await?;
    }
    let mut buffer = vec![0; 256];
    let read = stream.read(&mut buffer).await.unwrap_or(0);
    let text = String::from_utf8_lossy(&buffer[..read]);
    Ok(format!("{}{cut}", text.lines().next().unwrap_or("")))
}

const CHUNK: usize = 1 << 16;
