//! Audit log: one JSON line a decision, handed to a thread of its own through a bounded queue.
//!
//! No login is answered "allowed" unless its line was queued. When lines cannot be written (a full
//! disk, a reader that went away) they are kept and tried again, so the queue fills and logins are
//! turned away instead of going unrecorded.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc::{SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::Metrics;

mod writer;

use writer::Writer;

/// Longest line, in bytes; a longer one gives way to its short form.
pub const MAX_LINE_BYTES: usize = 16 * 1024;

/// Most lines that wait to be written.
const MAX_LINES: usize = 8192;

/// Most bytes that wait to be written.
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// Where audit lines go.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct Config {
    /// `stderr`, `stdout`, or the absolute path of a file that is appended to (made with mode 0600)
    /// and opened anew on SIGHUP. Default `stderr`.
    pub output: Output,
}

/// A place for audit lines.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(try_from = "String")]
pub enum Output {
    /// The file at this absolute path.
    File(PathBuf),
    /// Standard error.
    #[default]
    Stderr,
    /// Standard output.
    Stdout,
}

/// Not a place for audit lines.
#[derive(Debug, thiserror::Error)]
#[error("audit output must be stderr, stdout or an absolute path, not {0:?}")]
pub struct InvalidOutput(String);

/// The operator's fault: the audit log cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot open the audit log {}", path.display())]
pub struct OpenError {
    /// The configured path.
    pub path: PathBuf,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

/// The line was not queued: the queue is full, so a login must not be allowed on its account.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the audit log does not keep up")]
pub struct Unrecorded;

/// The sender's side of the audit log. Dropping it writes what is queued, within a second if the
/// output fails.
#[derive(Debug)]
pub struct AuditLog {
    /// `None` only while it is being dropped.
    queue: Option<SyncSender<Message>>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What the queue holds.
enum Message {
    Line(Vec<u8>),
    /// Nothing to write: look at the flags.
    Wake,
}

/// What both sides see.
#[derive(Debug)]
struct Shared {
    closing: AtomicBool,
    reopen: AtomicBool,
    queued_bytes: AtomicUsize,
    metrics: Arc<Metrics>,
}

// === impl AuditLog ===

impl AuditLog {
    /// Opens the output and starts the thread that writes to it.
    ///
    /// # Errors
    ///
    /// When the configured file cannot be opened for appending.
    pub fn start(config: &Config, metrics: Arc<Metrics>) -> Result<Self, OpenError> {
        let sink = Sink::open(&config.output)?;
        Ok(Self::with_sink(sink, metrics, MAX_LINES))
    }

    fn with_sink(sink: Sink, metrics: Arc<Metrics>, lines: usize) -> Self {
        let (queue, lines) = sync_channel(lines);
        let shared = Arc::new(Shared {
            closing: AtomicBool::new(false),
            reopen: AtomicBool::new(false),
            queued_bytes: AtomicUsize::new(0),
            metrics,
        });
        let writer = Writer::new(sink, lines, Arc::clone(&shared));
        let thread = std::thread::Builder::new().name("audit".to_owned()).spawn(move || writer.run());
        Self {
            queue: Some(queue),
            shared,
            thread: Some(thread.expect("a process that just started can have a thread")),
        }
    }

    /// A log for tests that has room for `lines` and whose every write fails (full(4)).
    #[cfg(test)]
    pub(crate) fn stuck_for_test(lines: usize, metrics: Arc<Metrics>) -> Self {
        let sink = Sink::open(&Output::File("/dev/full".into())).expect("Linux has this device");
        Self::with_sink(sink, metrics, lines)
    }

    /// Queues `entry` as one line, or `short()` if that line would be longer than [`MAX_LINE_BYTES`].
    /// Never waits.
    ///
    /// # Errors
    ///
    /// [`Unrecorded`] when it is not in the queue. The caller then refuses what it was about to allow.
    pub fn record<T, S>(&self, entry: &T, short: impl FnOnce() -> S) -> Result<(), Unrecorded>
    where
        T: Serialize,
        S: Serialize,
    {
        let mut line = line(entry)?;
        if line.len() > MAX_LINE_BYTES {
            line = self::line(&short())?;
        }
        self.queue(line)
    }

    /// Has the file opened anew before the next line, for log rotation. The other outputs stay.
    pub fn reopen(&self) {
        self.shared.reopen.store(true, Ordering::Release);
        if let Some(queue) = &self.queue {
            // A full queue wakes the writer by itself.
            let _ = queue.try_send(Message::Wake);
        }
    }

    /// Waits, at most for `within`, until everything queued so far is written. Blocks its thread.
    pub fn flush(&self, within: Duration) {
        let deadline = Instant::now() + within;
        while self.shared.queued_bytes.load(Ordering::Acquire) > 0 && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn queue(&self, line: Vec<u8>) -> Result<(), Unrecorded> {
        let bytes = line.len();
        if bytes > MAX_LINE_BYTES || self.shared.queued_bytes.load(Ordering::Relaxed) + bytes > MAX_BYTES {
            return Err(Unrecorded);
        }
        let queue = self.queue.as_ref().ok_or(Unrecorded)?;
        self.shared.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        queue.try_send(Message::Line(line)).map_err(|_| {
            self.shared.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
            Unrecorded
        })
    }
}

impl Drop for AuditLog {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::Release);
        drop(self.queue.take());
        if let Some(thread) = self.thread.take() {
            // A panic there was reported by its own hook already.
            let _ = thread.join();
        }
    }
}

fn line(entry: &impl Serialize) -> Result<Vec<u8>, Unrecorded> {
    let mut line = Vec::with_capacity(1536);
    serde_json::to_writer(&mut line, entry).map_err(|_| Unrecorded)?;
    line.push(b'\n');
    Ok(line)
}

// === impl Output ===

impl TryFrom<String> for Output {
    type Error = InvalidOutput;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.as_str() {
            "stderr" => Ok(Self::Stderr),
            "stdout" => Ok(Self::Stdout),
            path if Path::new(path).is_absolute() => Ok(Self::File(text.into())),
            _ => Err(InvalidOutput(text)),
        }
    }
}

/// An open output.
struct Sink {
    /// What to open anew; `None` for the standard streams.
    path: Option<PathBuf>,
    out: Box<dyn Write + Send>,
}

// === impl Sink ===

impl Sink {
    fn open(output: &Output) -> Result<Self, OpenError> {
        Ok(match output {
            Output::Stderr => Self { path: None, out: Box::new(io::stderr()) },
            Output::Stdout => Self { path: None, out: Box::new(io::stdout()) },
            Output::File(path) => {
                let file = append(path).map_err(|source| OpenError { path: path.clone(), source })?;
                Self { path: Some(path.clone()), out: Box::new(file) }
            }
        })
    }

    fn reopen(&mut self) -> io::Result<()> {
        if let Some(path) = &self.path {
            self.out = Box::new(append(path)?);
        }
        Ok(())
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests;
