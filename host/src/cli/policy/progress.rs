//! A step that takes long, told on stderr.

use std::{
    io::{IsTerminal as _, Write},
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// A step while it lasts. Nothing is said of one that takes less than a second. On a terminal the time of a longer one is
/// counted; elsewhere it is one line.
pub(super) struct Step {
    /// Dropped at the end.
    end: Option<Sender<()>>,
    /// `None`: the system has no thread for it, and nothing is said.
    told: Option<JoinHandle<()>>,
}

/// After what time it is told, and how often.
const EVERY: Duration = Duration::from_secs(1);

// === impl Step ===

impl Step {
    /// Says that `what` is being done.
    pub(super) fn start(what: impl Into<String>) -> Self {
        let (what, stderr) = (what.into(), std::io::stderr());
        let (end, ended) = mpsc::channel();
        let told = thread::Builder::new().spawn(move || {
            let is_terminal = stderr.is_terminal();
            tell(&what, is_terminal, &ended, EVERY, stderr);
        });
        Self { end: Some(end), told: told.ok() }
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

/// Tells of `what` until it has `ended`. Nobody may be reading it, so what cannot be written does no harm.
fn tell(what: &str, is_terminal: bool, ended: &Receiver<()>, every: Duration, mut out: impl Write) {
    let started = Instant::now();
    let goes_on = || ended.recv_timeout(every) == Err(RecvTimeoutError::Timeout);
    if !is_terminal {
        if goes_on() {
            let _ = writeln!(out, "{what}, which takes a while");
            // Until the other end is dropped.
            let _ = ended.recv();
        }
        return;
    }
    let mut was_told = false;
    while goes_on() {
        was_told = true;
        let _ = write!(out, "\r{what}, {} s", started.elapsed().as_secs());
        let _ = out.flush();
    }
    if was_told {
        let _ = write!(out, "\r\x1b[K");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(is_terminal: bool, took: Duration, expected: &str) {
        let (end, ended) = mpsc::channel::<()>();
        let ending = thread::spawn(move || {
            thread::sleep(took);
            drop(end);
        });
        // What ends at once may do so on a thread that starts late.
        let every = if took.is_zero() { Duration::from_secs(30) } else { Duration::from_millis(200) };
        let mut out = Vec::new();
        tell("compiling", is_terminal, &ended, every, &mut out);
        ending.join().expect("it ends");
        let text = String::from_utf8(out).expect("text");
        assert!(text.starts_with(expected) && text.is_empty() == expected.is_empty(), "{text:?}");
        assert!(!is_terminal || text.is_empty() || text.ends_with("\r\x1b[K"), "nothing is left of it: {text:?}");
    }

    #[test]
    fn what_takes_long_is_told_and_nothing_else() {
        check(false, Duration::ZERO, "");
        check(true, Duration::ZERO, "");
        check(false, Duration::from_millis(900), "compiling, which takes a while\n");
        check(true, Duration::from_millis(900), "\rcompiling, 0 s");
    }
}
