//! Huge bodies: what is answered, and what memory they cost.

use std::time::{Duration, Instant};

use serde::Serialize;
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

/// What one huge body came to.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Huge {
    /// Its size.
    mib: usize,
    /// The status line of the answer, and whether the body was cut off.
    answer: String,
    /// Whether the server runs afterwards.
    is_running: bool,
    seconds: f64,
    cpu_ms: f64,
    /// Resident memory before, in KiB.
    before_kib: u64,
    /// The most meanwhile.
    peak_kib: u64,
    /// Resident memory after it.
    after_kib: u64,
}

/// Posts one body of `mib` MiB.
pub(crate) async fn run(running: &Running, mib: usize) -> Huge {
    procfs::reset_peak(running.pid);
    let before = procfs::sample(running.pid).unwrap_or_default();
    let began = Instant::now();
    let answer = match timeout(Duration::from_secs(60), post(running, mib)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => format!("error: {error}"),
        Err(_) => "none within 60 s".to_owned(),
    };
    let after = procfs::sample(running.pid);
    let (is_running, after) = (after.is_some(), after.unwrap_or_default());
    Huge {
        mib,
        answer,
        is_running,
        seconds: (began.elapsed().as_secs_f64() * 1000.0).round() / 1000.0,
        cpu_ms: (after.cpu_ms - before.cpu_ms).max(0.0),
        before_kib: before.rss_kib,
        peak_kib: after.peak_kib,
        after_kib: after.rss_kib,
    }
}

// === impl Huge ===

impl Huge {
    /// Memory that it cost at most, in MiB.
    pub(crate) fn cost_mib(&self) -> f64 {
        self.peak_kib.saturating_sub(self.before_kib) as f64 / 1024.0
    }

    /// Whether it was refused as too large, or its connection ended, and the server did not.
    pub(crate) fn is_refused(&self) -> bool {
        self.is_running && (self.answer.contains(" 413 ") || self.answer.ends_with("(body cut off)"))
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_ends_has_refused_nothing() {
        #[track_caller]
        fn check(answer: &str, is_running: bool, expected: bool) {
            let (answer, seconds, cpu_ms, memory) = (answer.to_owned(), 0.1, 1.0, 20_000);
            let (before_kib, peak_kib, after_kib) = (memory, memory, memory);
            let huge = Huge { mib: 64, answer, is_running, seconds, cpu_ms, before_kib, peak_kib, after_kib };
            assert_eq!(huge.is_refused(), expected, "{huge:?}");
        }
        check("HTTP/1.1 413 Payload Too Large", true, true);
        check(" (body cut off)", true, true);
        check(" (body cut off)", false, false);
        check("HTTP/1.1 200 OK", true, false);
        check("none within 60 s", true, false);
    }
}
