//! Audit log: one JSON line a decision, handed to a thread of its own through a bounded queue.
//!
//! No login is answered "allowed" unless its line was queued. When lines cannot be written (a full
//! disk, a reader that went away) they are kept and tried again, so the queue fills and logins are
//! turned away instead of going unrecorded; denials and what is beside decisions leave half of it to logins. Every line
//! stands whole in one file: what a full disk took half of is written again into the file that is opened next, and
//! nothing continues a half that is there already.

use std::{
    cell::RefCell,
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use super::Metrics;

mod queue;
mod writer;

use queue::Queue;
use writer::Writer;

/// Longest line, in bytes; a longer one gives way to its short form.
pub const MAX_LINE_BYTES: usize = 16 * 1024;

/// Longest time for which lines are gathered.
const MAX_GATHER: Duration = Duration::from_millis(500);

/// How long the writer may take to its end: a failing output is tried for a second, one that blocks has as long as this.
const LAST_WRITES: Duration = Duration::from_secs(3);

/// How long a line of the process log may take that is the last.
const LAST_WORD: Duration = Duration::from_secs(1);

/// Most bytes that wait to be written.
const MAX_BYTES: usize = 16 * 1024 * 1024;

thread_local! {
    /// Where this thread's next line is put together.
    static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Where audit lines go, and when.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct Config {
    /// `stderr`, `stdout`, or the absolute path of a file that is appended to (made with mode 0600)
    /// and opened anew on SIGHUP. Default `stderr`.
    pub output: Output,
    /// How long lines are gathered before one write: a wake-up and a system call for each line would cost more than the
    /// line. A process that is killed loses those of its last such while. Default 10 ms, at most 500 ms; `0s` writes
    /// each at once.
    #[serde(deserialize_with = "gather")]
    pub gather: Duration,
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

/// The sender's side of the audit log. Dropping it writes what is queued, or tells how much is lost if the output goes on
/// failing or blocks: within a few seconds in any case.
#[derive(Debug)]
pub struct AuditLog {
    queue: Arc<Queue>,
    thread: Option<JoinHandle<()>>,
}

// === impl Config ===

impl Default for Config {
    fn default() -> Self {
        Self { output: Output::default(), gather: Duration::from_millis(10) }
    }
}

fn gather<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let gather = crate::config::duration::deserialize(deserializer)?;
    if gather <= MAX_GATHER { Ok(gather) } else { Err(D::Error::custom("must be at most 500ms")) }
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
        Ok(Self::with_sink(sink, config.gather, metrics, MAX_BYTES))
    }

    fn with_sink(sink: Sink, gather: Duration, metrics: Arc<Metrics>, max_bytes: usize) -> Self {
        let queue = Arc::new(Queue::new(max_bytes));
        let writer = Writer::new(sink, gather, Arc::clone(&queue), metrics);
        let thread = std::thread::Builder::new().name("audit".to_owned()).spawn(move || writer.run());
        Self { queue, thread: Some(thread.expect("a process that just started can have a thread")) }
    }

    /// A log for tests that has room for `bytes` and whose every write fails (full(4)).
    #[cfg(test)]
    pub(crate) fn stuck_for_test(bytes: usize, metrics: Arc<Metrics>) -> Self {
        let sink = Sink::open(&Output::File("/dev/full".into())).expect("Linux has this device");
        Self::with_sink(sink, Config::default().gather, metrics, bytes)
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
        self.queue_line(entry, Some(short), Queue::push)
    }

    /// The same for a decision that lets nobody in: it leaves half of the queue to those that do.
    ///
    /// # Errors
    ///
    /// [`Unrecorded`] when it is not in the queue. It stays a denial.
    pub fn record_denial<T, S>(&self, entry: &T, short: impl FnOnce() -> S) -> Result<(), Unrecorded>
    where
        T: Serialize,
        S: Serialize,
    {
        self.queue_line(entry, Some(short), Queue::push_aside)
    }

    /// Queues `entry` if it is no longer than a line may be, and logins leave room for it. Never waits.
    ///
    /// # Errors
    ///
    /// [`Unrecorded`] when it is not in the queue; nothing else may depend on that.
    pub fn record_aside<T: Serialize>(&self, entry: &T) -> Result<(), Unrecorded> {
        self.queue_line(entry, None::<fn()>, Queue::push_aside)
    }

    fn queue_line<T: Serialize, S: Serialize>(
        &self,
        entry: &T,
        short: Option<impl FnOnce() -> S>,
        push: impl FnOnce(&Queue, &[u8]) -> Result<(), Unrecorded>,
    ) -> Result<(), Unrecorded> {
        LINE.with_borrow_mut(|line| {
            write_line(line, entry)?;
            if line.len() > MAX_LINE_BYTES {
                line.clear();
                line.shrink_to(MAX_LINE_BYTES);
                write_line(line, &short.ok_or(Unrecorded)?())?;
            }
            if line.len() > MAX_LINE_BYTES { Err(Unrecorded) } else { push(&self.queue, line) }
        })
    }

    /// Has the file opened anew before the next line, for log rotation. The other outputs stay.
    pub fn reopen(&self) {
        self.queue.reopen();
    }

    /// Waits, at most for `within`, until everything queued so far is written. Blocks its thread.
    pub fn flush(&self, within: Duration) {
        let deadline = Instant::now() + within;
        while self.queue.bytes() > 0 && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for AuditLog {
    fn drop(&mut self) {
        self.queue.close();
        if let Some(thread) = self.thread.take() {
            // A panic there was reported by its own hook already.
            wait(&thread, LAST_WRITES);
        }
        let bytes = self.queue.bytes();
        if bytes > 0 {
            // What blocks may be what the process log is written to as well.
            let tell =
                move || tracing::error!(bytes, "the audit log was closed before its output took all: they are lost");
            if let Ok(told) = std::thread::Builder::new().spawn(tell) {
                wait(&told, LAST_WORD);
            }
        }
    }
}

/// Waits until `thread` has ended, for at most so many naps of a millisecond: while a machine stands still, so does the count.
fn wait(thread: &JoinHandle<()>, within: Duration) {
    let mut naps = within.as_millis();
    while !thread.is_finished() && naps > 0 {
        std::thread::sleep(Duration::from_millis(1));
        naps -= 1;
    }
}

fn write_line(line: &mut Vec<u8>, entry: &impl Serialize) -> Result<(), Unrecorded> {
    line.clear();
    serde_json::to_writer(&mut *line, entry).map_err(|_| Unrecorded)?;
    line.push(b'\n');
    Ok(())
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
    /// It ends in the middle of a line, which what is written next must not continue.
    is_torn: bool,
}

// === impl Sink ===

impl Sink {
    fn open(output: &Output) -> Result<Self, OpenError> {
        match output {
            Output::Stderr => Ok(Self { path: None, out: Box::new(io::stderr()), is_torn: false }),
            Output::Stdout => Ok(Self { path: None, out: Box::new(io::stdout()), is_torn: false }),
            Output::File(path) => Self::append(path.clone()).map_err(|source| OpenError { path: path.clone(), source }),
        }
    }

    /// Opens the file anew; `false` if there is none to open.
    fn reopen(&mut self) -> io::Result<bool> {
        let Some(path) = self.path.clone() else { return Ok(false) };
        *self = Self::append(path)?;
        Ok(true)
    }

    fn append(path: PathBuf) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?;
        let is_torn = is_torn(&file, &path);
        Ok(Self { path: Some(path), out: Box::new(file), is_torn })
    }
}

/// Whether `file` ends in the middle of a line, as after a full disk. One that cannot be read is taken for whole.
fn is_torn(file: &File, path: &Path) -> bool {
    let Some(last) = file.metadata().ok().filter(|about| about.is_file()).and_then(|about| about.len().checked_sub(1))
    else {
        return false;
    };
    let mut end = [0];
    let read = File::open(path).and_then(|file| file.read_exact_at(&mut end, last));
    read.is_ok() && end != *b"\n"
}

#[cfg(test)]
mod tests;
