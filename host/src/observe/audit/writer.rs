//! The audit log's thread: takes whatever is queued and writes it at once.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use super::{
    Sink,
    queue::{Queue, Work},
};
use crate::observe::Metrics;

/// A buffer that a busy moment made larger than this is not kept.
const KEPT_BYTES: usize = 64 * 1024;

/// Pause after a failed write.
const RETRY: Duration = Duration::from_millis(200);

/// Pause before a file that could not be opened anew is tried again.
const REOPEN_AGAIN: Duration = Duration::from_secs(1);

/// How long a failing output is tried once the log is being closed.
const LAST_TRIES: Duration = Duration::from_secs(1);

/// Owns the output and the queue's far end.
pub(super) struct Writer {
    sink: Sink,
    gather: Duration,
    queue: Arc<Queue>,
    metrics: Arc<Metrics>,
    batch: Vec<u8>,
    /// Set with the first failure after the log began to close.
    last_try: Option<Instant>,
    /// When a file that could not be opened anew is tried again.
    reopen_at: Option<Instant>,
    /// What was said last about an output that fails, so that it is said once.
    told: Option<String>,
}

// === impl Writer ===

impl Writer {
    pub(super) fn new(sink: Sink, gather: Duration, queue: Arc<Queue>, metrics: Arc<Metrics>) -> Self {
        Self { sink, gather, queue, metrics, batch: Vec::new(), last_try: None, reopen_at: None, told: None }
    }

    /// Ends when the log is closed and the queue is empty, or its output has failed for long enough.
    pub(super) fn run(mut self) {
        while self.queue.wait() == Work::Some {
            if !self.gather.is_zero() && !self.queue.is_closing() {
                thread::sleep(self.gather);
            }
            if self.queue.take(&mut self.batch) || self.is_reopen_due() {
                self.reopen();
            }
            self.write();
            if self.last_try.is_some_and(|last| last <= Instant::now()) {
                return;
            }
        }
    }

    /// Whether what is written from now on goes into a file opened anew. The open one may be on its way to be removed, so
    /// whatever keeps the new one from being opened need not be followed by another SIGHUP once it is mended.
    fn reopen(&mut self) -> bool {
        let is_again = self.reopen_at.take().is_some();
        match self.sink.reopen() {
            Ok(is_anew) => {
                if is_again {
                    tracing::info!("the audit log is opened anew");
                }
                is_anew
            }
            Err(error) => {
                self.metrics.audit_write_failed();
                if !is_again {
                    tracing::error!(%error, "cannot open the audit log anew; going on with the open one, and trying again");
                }
                self.reopen_at = Some(Instant::now() + REOPEN_AGAIN);
                false
            }
        }
    }

    fn is_reopen_due(&self) -> bool {
        self.reopen_at.is_some_and(|at| at <= Instant::now())
    }

    /// Writes the batch whole, however often that takes. What was written is not written again, but for the line that the
    /// file before has half of.
    fn write(&mut self) {
        let mut written = 0;
        while written < self.batch.len() {
            let next = if self.sink.is_torn { b"\n" } else { &self.batch[written..] };
            match self.sink.out.write(next) {
                Ok(count) if count > 0 => {
                    self.worked();
                    written += if std::mem::take(&mut self.sink.is_torn) { 0 } else { count };
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                result => {
                    self.failed(result.err());
                    if self.is_hopeless() {
                        return;
                    }
                    if (self.queue.take_reopen() || self.is_reopen_due()) && self.reopen() {
                        written = start_of_line(&self.batch, written);
                    }
                }
            }
        }
        // A failed flush shows in the next write.
        let _ = self.sink.out.flush();
        self.batch.clear();
        self.batch.shrink_to(KEPT_BYTES);
        self.queue.written();
    }

    /// Whether the log is being closed and its output has failed for long enough.
    fn is_hopeless(&mut self) -> bool {
        self.queue.is_closing() && *self.last_try.get_or_insert_with(|| Instant::now() + LAST_TRIES) <= Instant::now()
    }

    fn worked(&mut self) {
        if self.told.take().is_some() {
            tracing::info!("the audit log is written again");
        }
    }

    fn failed(&mut self, error: Option<std::io::Error>) {
        self.metrics.audit_write_failed();
        let error = error.map_or_else(|| "it takes no bytes".to_owned(), |error| error.to_string());
        if self.told.as_ref() != Some(&error) {
            tracing::error!(error, "cannot write the audit log; trying again");
            self.told = Some(error);
        }
        thread::sleep(RETRY);
    }
}

/// Where the line begins that `position` is in.
fn start_of_line(batch: &[u8], position: usize) -> usize {
    batch[..position].iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1)
}
