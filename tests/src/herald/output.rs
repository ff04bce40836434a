//! What a running process says, read as it says it.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    time::{Instant, sleep},
};

/// A stream's text so far. Clones see the same.
#[derive(Clone, Debug, Default)]
pub struct Output(Arc<Mutex<Heard>>);

#[derive(Debug, Default)]
struct Heard {
    text: String,
    has_ended: bool,
}

/// How often a waiting test looks again.
const LOOK: Duration = Duration::from_millis(2);

// === impl Output ===

impl Output {
    /// Reads `stream` in the background, to its end.
    pub fn collect(mut stream: impl AsyncRead + Send + Unpin + 'static) -> Self {
        let output = Self::default();
        let heard = output.clone();
        tokio::spawn(async move {
            let mut bytes = Vec::new();
            while stream.read_buf(&mut bytes).await.is_ok_and(|count| count > 0) {
                let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
                heard.push(&bytes.drain(..whole).collect::<Vec<_>>());
            }
            heard.push(&bytes);
            heard.lock().has_ended = true;
        });
        output
    }

    /// All of it so far, in whole lines.
    #[must_use]
    pub fn text(&self) -> String {
        self.lock().text.clone()
    }

    /// Waits until all of it is there, at most `limit`: what a process said last is in the pipe when it is gone.
    pub async fn wait_for_end(&self, limit: Duration) {
        let end = Instant::now() + limit;
        while !self.has_ended() && Instant::now() < end {
            sleep(LOOK).await;
        }
    }

    /// Waits for `found` to find what it looks for, at most `limit`.
    pub async fn wait_for<T>(&self, limit: Duration, found: impl Fn(&str) -> Option<T>) -> Option<T> {
        let end = Instant::now() + limit;
        loop {
            if let Some(value) = found(&self.text()) {
                return Some(value);
            }
            if Instant::now() >= end {
                return None;
            }
            sleep(LOOK).await;
        }
    }

    fn push(&self, bytes: &[u8]) {
        self.lock().text.push_str(&String::from_utf8_lossy(bytes));
    }

    fn has_ended(&self) -> bool {
        self.lock().has_ended
    }

    fn lock(&self) -> MutexGuard<'_, Heard> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_seen_whole() {
        let output = Output::collect(&b"one\ntwo"[..]);
        let found =
            output.wait_for(Duration::from_secs(60), |text| text.contains("two").then(|| text.to_owned())).await;
        assert_eq!(found.as_deref(), Some("one\ntwo"));
        assert_eq!(output.wait_for(Duration::ZERO, |text| text.find("three")).await, None);
    }

    #[tokio::test]
    async fn the_end_can_be_waited_for() {
        let output = Output::collect(&b"one\ntwo"[..]);
        output.wait_for_end(Duration::from_secs(60)).await;
        assert_eq!((output.text().as_str(), output.has_ended()), ("one\ntwo", true));
    }
}
