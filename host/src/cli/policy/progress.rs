//! A step that takes long, told on stderr where somebody is looking.

use std::{
    io::{IsTerminal as _, Write as _},
    sync::mpsc::{self, RecvTimeoutError, Sender},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// A step while it lasts. On a terminal its time is counted; elsewhere it is one line.
pub(super) struct Step {
    /// Dropped at the end.
    end: Option<Sender<()>>,
    told: Option<JoinHandle<()>>,
}

/// How often the time is told.
const EVERY: Duration = Duration::from_secs(1);

// === impl Step ===

impl Step {
    /// Says that `what` is being done.
    pub(super) fn start(what: &'static str) -> Self {
        let mut stderr = std::io::stderr();
        if !stderr.is_terminal() {
            // Nobody may be reading it.
            let _ = writeln!(stderr, "{what}, which may take half a minute");
            return Self { end: None, told: None };
        }
        let (end, ended) = mpsc::channel();
        let told = thread::spawn(move || {
            let started = Instant::now();
            while ended.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                let _ = write!(stderr, "\r{what}, {} s", started.elapsed().as_secs());
            }
            let _ = write!(stderr, "\r\x1b[K");
        });
        Self { end: Some(end), told: Some(told) }
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(told) = self.told.take() {
            let _ = told.join();
        }
    }
}
