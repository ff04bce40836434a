//! The epoch ticker: one thread that lets running policies notice how long they have run.
//!
//! It sleeps for good while no policy runs. A tick only makes a policy look at its own deadline, so a
//! late or early tick shortens nobody's time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use wasmtime::EngineWeak;

/// Time between two ticks: how late a deadline may be noticed, and how long a busy policy keeps its worker.
pub(super) const TICK: Duration = Duration::from_millis(2);
/// Ticks without a running policy before the thread goes to sleep: waking it costs a policy more than a tick costs.
const LINGER: u32 = 25;

/// The thread and what it shares with those that run policies.
#[derive(Debug)]
pub(super) struct Ticker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    running: AtomicUsize,
    asleep: AtomicBool,
    stopped: AtomicBool,
}

/// Keeps the ticker awake while a policy runs.
#[derive(Debug)]
pub(super) struct Awake<'a>(&'a Shared);

// === impl Ticker ===

impl Ticker {
    /// Starts the thread, asleep.
    pub(super) fn start(engine: EngineWeak) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        let run = move || of_thread.run(&engine);
        let thread = thread::Builder::new().name("herald-epoch".to_owned()).stack_size(64 << 10).spawn(run)?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Lets the ticker tick until the answer is dropped.
    pub(super) fn awake(&self) -> Awake<'_> {
        self.shared.running.fetch_add(1, SeqCst);
        if self.shared.asleep.load(SeqCst) {
            self.unpark();
        }
        Awake(&self.shared)
    }

    #[cfg(test)]
    pub(super) fn is_asleep(&self) -> bool {
        self.shared.asleep.load(SeqCst)
    }

    fn unpark(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.stopped.store(true, SeqCst);
        self.unpark();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the epoch ticker had panicked");
        }
    }
}

// === impl Shared ===

impl Shared {
    fn run(&self, engine: &EngineWeak) {
        let mut idle = LINGER;
        while !self.stopped.load(SeqCst) {
            if idle >= LINGER {
                self.sleep();
            } else {
                thread::park_timeout(TICK);
            }
            let Some(engine) = engine.upgrade() else { return };
            engine.increment_epoch();
            idle = if self.running.load(SeqCst) > 0 { 0 } else { idle.saturating_add(1) };
        }
    }

    /// Sleeps until a policy runs. Whoever counts itself as running either is seen here before the
    /// thread parks, or sees `asleep` and wakes it.
    fn sleep(&self) {
        self.asleep.store(true, SeqCst);
        while self.running.load(SeqCst) == 0 && !self.stopped.load(SeqCst) {
            thread::park();
        }
        self.asleep.store(false, SeqCst);
    }
}

// === impl Awake ===

impl Drop for Awake<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[track_caller]
    fn wait_until(condition: impl Fn() -> bool) {
        let started = Instant::now();
        while !condition() {
            assert!(started.elapsed() < Duration::from_secs(60), "waited too long");
            thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn it_sleeps_while_nothing_runs_and_stops_when_dropped() {
        let engine = wasmtime::Engine::default();
        let ticker = Ticker::start(engine.weak()).unwrap();
        wait_until(|| ticker.is_asleep());
        let awake = ticker.awake();
        wait_until(|| !ticker.is_asleep());
        thread::sleep(TICK * (LINGER + 25));
        assert!(!ticker.is_asleep(), "a policy still runs");
        drop(awake);
        wait_until(|| ticker.is_asleep());
        let shared = Arc::clone(&ticker.shared);
        drop(ticker);
        assert_eq!(Arc::strong_count(&shared), 1, "the thread is gone");
    }
}
