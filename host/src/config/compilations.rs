//! Compilations: large policies are compiled one after the other while the configuration in force goes on.
//!
//! A reload asks for what it lacks and waits for none of it. What it has asked for by its end is compiled, and nothing
//! else: what is under way for an older version ends. The end of a compilation is a reason to reload.

use std::{
    iter, mem,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use super::files::Stamp;
use crate::{
    MISTAKE,
    policy::{self, Digest, Elsewhere},
};

/// Compiles one policy of the configuration in a file, its settings taken in, unless it is stopped before. An error is
/// one line.
pub type Compiler = Arc<dyn Fn(&Path, &policy::Config, &Stop) -> Result<(), String> + Send + Sync>;

/// Tells whoever compiles that nobody wants that any more. A clone is the same one.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

pub(super) struct Compilations {
    compiler: Compiler,
    wake: Arc<Notify>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// How the configuration's file looked before the reload that is under way read it.
    read: Arc<[Stamp]>,
    /// What that has asked for so far.
    wanted: Vec<Task>,
    running: Option<Running>,
    /// What went well last, until it is asked for: what cannot take its settings in is not there then either.
    done: Option<Task>,
    failures: Vec<Failure>,
}

#[derive(Clone)]
struct Task {
    file: PathBuf,
    policy: policy::Config,
    component: Digest,
    /// How `file` looked before it was read.
    read: Arc<[Stamp]>,
}

struct Running {
    task: Task,
    stop: Stop,
    thread: JoinHandle<()>,
}

struct Failure {
    task: Task,
    /// Until when it holds.
    until: Instant,
    why: String,
}

/// How long a failure holds: what has not changed is not tried again sooner, whatever a reloader asks for.
const AGAIN: Duration = Duration::from_secs(600);

// === impl Stop ===

impl Stop {
    /// Whether whoever looks is to end.
    #[must_use]
    pub fn is_told(&self) -> bool {
        self.0.load(Relaxed)
    }

    fn tell(&self) {
        self.0.store(true, Relaxed);
    }
}

// === impl Task ===

impl Task {
    /// Whether the code of both is the same.
    fn makes_what(&self, other: &Self) -> bool {
        self.component == other.component && self.policy.settings == other.policy.settings
    }

    /// Whether `file` is the one that was read.
    fn is_of_its_file(&self) -> bool {
        *self.read == *Stamp::of(iter::once(&*self.file))
    }

    fn component_now(&self) -> Vec<Stamp> {
        Stamp::of(iter::once(&*self.policy.component))
    }
}

// === impl Compilations ===

impl Compilations {
    /// `wake` is told when a compilation ends that nobody has stopped.
    pub(super) fn new(compiler: Compiler, wake: Arc<Notify>) -> Self {
        Self { compiler, wake, state: Arc::default() }
    }

    /// A reload is about to read the configuration in `file`, and has asked for nothing. Failures that hold no more are forgotten.
    pub(super) fn begin(&self, file: &Path) {
        let mut state = lock(&self.state);
        state.read = Stamp::of(iter::once(file)).into();
        state.wanted.clear();
        state.failures.retain(|failure| !failure.is_over());
    }

    /// Asks for one policy of the configuration in `file`.
    ///
    /// # Errors
    ///
    /// Why the same has failed lately.
    pub(super) fn ask(&self, file: &Path, policy: &policy::Config, component: Digest) -> Result<Elsewhere, String> {
        let mut state = lock(&self.state);
        let (file, read) = (file.to_owned(), Arc::clone(&state.read));
        let task = Task { file, policy: policy.clone(), component, read };
        let is_it = |failure: &&Failure| failure.task.policy == task.policy && failure.task.component == component;
        if let Some(failure) = state.failures.iter().find(is_it) {
            let again = humantime::format_duration(AGAIN);
            return Err(format!("{} (not tried again within {again} unless component or entry change)", failure.why));
        }
        if state.done.take_if(|done| done.makes_what(&task)).is_some() {
            return Ok(Elsewhere::Done);
        }
        if !state.wanted.iter().any(|wanted| wanted.makes_what(&task)) {
            state.wanted.push(task);
        }
        Ok(Elsewhere::UnderWay)
    }

    /// A reload has asked for all that it lacks: one of it is compiled, and what else is under way ends.
    pub(super) fn settle(&self) {
        let mut state = lock(&self.state);
        let wanted = mem::take(&mut state.wanted);
        state.done = None;
        if let Some(running) = &state.running
            && wanted.iter().any(|task| task.makes_what(&running.task))
        {
            return;
        }
        let before = state.running.take().inspect(|running| running.stop.tell());
        let Some(task) = wanted.into_iter().next() else { return };
        let stop = Stop::default();
        match self.start(task.clone(), stop.clone(), before) {
            Ok(thread) => state.running = Some(Running { task, stop, thread }),
            Err(error) => {
                state.failed(task, format!("no thread to wait for it: {error}"));
                // As at the end of a compilation: otherwise nobody is told why, and it looks as if it were under way.
                self.wake.notify_one();
            }
        }
    }

    pub(super) fn is_any_under_way(&self) -> bool {
        lock(&self.state).running.is_some()
    }

    /// Whether something that failed may be asked for again. Nobody is woken by that.
    pub(super) fn is_any_due(&self) -> bool {
        lock(&self.state).failures.iter().any(Failure::is_over)
    }

    /// As if that time were over.
    #[cfg(test)]
    pub(super) fn let_failures_end(&self) {
        lock(&self.state).failures.iter_mut().for_each(|failure| failure.until = Instant::now());
    }

    fn start(&self, task: Task, stop: Stop, before: Option<Running>) -> std::io::Result<JoinHandle<()>> {
        let (compiler, wake, state) = (Arc::clone(&self.compiler), Arc::clone(&self.wake), Arc::clone(&self.state));
        thread::Builder::new().name("compiling".to_owned()).spawn(move || {
            // Two at once would need the memory of two. A panic in it has been caught.
            let _ = before.map(|before| before.thread.join());
            if stop.is_told() {
                return;
            }
            let before = task.component_now();
            let outcome = catch_unwind(AssertUnwindSafe(|| compiler(&task.file, &task.policy, &stop)));
            let mut state = lock(&state);
            if stop.is_told() {
                return;
            }
            state.running = None;
            match outcome.unwrap_or_else(|_| Err(MISTAKE.to_owned())) {
                // Whoever compiles reads the files for himself, and may have read others. Then it is asked for again.
                _ if !task.is_of_its_file() || task.component_now() != before => {}
                Ok(()) => state.done = Some(task),
                Err(why) => state.failed(task, why),
            }
            drop(state);
            wake.notify_one();
        })
    }
}

/// Whoever compiles for it ends.
impl Drop for Compilations {
    fn drop(&mut self) {
        if let Some(running) = &lock(&self.state).running {
            running.stop.tell();
        }
    }
}

// === impl Failure ===

impl Failure {
    fn is_over(&self) -> bool {
        self.until <= Instant::now()
    }
}

// === impl State ===

impl State {
    fn failed(&mut self, task: Task, why: String) {
        // The last attempt of each policy.
        self.failures.retain(|failure| failure.task.policy.name != task.policy.name);
        self.failures.push(Failure { task, until: Instant::now() + AGAIN, why });
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
