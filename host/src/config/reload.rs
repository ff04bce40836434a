//! Reload: puts a changed configuration in force as one snapshot, or keeps the last good one.
//!
//! Where watching its files does not work, e.g. because the node's inotify instances are used up, a look every
//! half minute has to do. A source that is new is read before the configuration that names it goes live, so that
//! a reload never answers a login with "not ready". What changes while it is read is read again: a generation is of
//! what is in force and of nothing else. No reload waits for a large policy to be compiled: all else goes live, that
//! policy goes on as it was, and the end of its compilation is the next reload.

use std::{
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::{
    runtime::Handle,
    sync::{Notify, mpsc},
    time::{sleep, timeout},
};
use tokio_util::task::AbortOnDropHandle;

use super::{
    Config, ConfigError, Loaded, Shared, Source,
    build::{Before, Built, Next, Standing},
    compilations::Compilations,
    files::{Stamp, Watcher},
    lockout::{LOST, Vital},
    sources::keeper,
};
use crate::{
    MISTAKE,
    authenticator::Authenticator,
    mapping::{bootstrap_admins::NAME as BOOTSTRAP_ADMINS, live, mounted_file::NAME as MOUNTED_FILE},
    observe::Metrics,
    policy::{Name, RENEW_EVERY},
};

/// Keeps an authenticator in step with its configuration file, until it is dropped.
pub struct Reloader {
    current: Arc<ArcSwap<Authenticator>>,
    last_error: Arc<ArcSwapOption<String>>,
    compiling: Arc<ArcSwapOption<String>>,
    wake: Arc<Notify>,
    _worker: AbortOnDropHandle<()>,
}

/// Changes a freshly read configuration before it is built: what the command line overrides.
pub type Overrides = Arc<dyn Fn(&mut Config) -> Result<(), ConfigError> + Send + Sync>;

/// How long changes are collected before they are looked at.
const DEBOUNCE: Duration = Duration::from_millis(50);
/// How often the files are looked at without being told. What failed is tried again as often, because it
/// may name a file in a folder that nobody watches yet.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// How often files are read in one turn that change while they are read.
const READS: usize = 3;
/// Longest wait for a source that a new configuration adds.
const FIRST_READ: Duration = Duration::from_secs(5);

struct Worker {
    config: Config,
    shared: Shared,
    overrides: Overrides,
    clock: fn() -> SystemTime,
    current: Arc<ArcSwap<Authenticator>>,
    last_error: Arc<ArcSwapOption<String>>,
    compiling: Arc<ArcSwapOption<String>>,
    /// `None`: nobody compiles what is large.
    compilations: Option<Arc<Compilations>>,
    /// The policies in force.
    standing: Standing,
    /// Whether the same files may give something else: once a compilation ends, or because what is in force may be
    /// of others.
    is_unfinished: bool,
    /// How the files looked when they were last read.
    seen: Vec<Stamp>,
    watcher: Watcher,
    /// When the folder of compiled policies was last looked after.
    kept_house: Instant,
}

// === impl Reloader ===

impl Reloader {
    /// Starts to watch the files of `config`, from which `first` was built. Needs a tokio runtime.
    #[must_use]
    pub fn start(
        config: Config,
        shared: Shared,
        first: Built,
        overrides: Overrides,
        clock: fn() -> SystemTime,
    ) -> Self {
        config.log();
        tell_in_force(&config, shared.metrics(), clock());
        let Built { authenticator, standing, seen, .. } = first;
        let current = Arc::new(ArcSwap::from_pointee(authenticator));
        let (last_error, compiling) = (Arc::default(), Arc::default());
        let wake = Arc::new(Notify::new());
        let (changed, changes) = mpsc::channel(1);
        let mut worker = Worker {
            seen,
            watcher: Watcher::new(changed),
            kept_house: Instant::now(),
            current: Arc::clone(&current),
            last_error: Arc::clone(&last_error),
            compiling: Arc::clone(&compiling),
            compilations: shared
                .compiler
                .clone()
                .map(|compiler| Arc::new(Compilations::new(compiler, Arc::clone(&wake)))),
            is_unfinished: !standing.is_settled(),
            standing,
            overrides,
            clock,
            shared,
            config,
        };
        worker.watcher.follow(worker.config.files());
        // Nobody has told of what changed before.
        if Stamp::of(worker.config.files()) != worker.seen {
            worker.is_unfinished = true;
            wake.notify_one();
        }
        let worker = AbortOnDropHandle::new(tokio::spawn(worker.run(Arc::clone(&wake), changes)));
        Self { current, last_error, compiling, wake, _worker: worker }
    }

    /// The authenticator in force: what the server asks on every request.
    #[must_use]
    pub fn current(&self) -> Arc<ArcSwap<Authenticator>> {
        Arc::clone(&self.current)
    }

    /// Why the newest version of the files is not in force; `None` if it is.
    #[must_use]
    pub fn last_error(&self) -> Arc<ArcSwapOption<String>> {
        Arc::clone(&self.last_error)
    }

    /// Which policies go on as they were because they are still being compiled; `None` if there are none.
    #[must_use]
    pub fn compiling(&self) -> Arc<ArcSwapOption<String>> {
        Arc::clone(&self.compiling)
    }

    /// Reads the files again even if they look unchanged, as SIGHUP asks.
    pub fn trigger(&self) {
        self.wake.notify_one();
    }
}

// === impl Worker ===

impl Worker {
    async fn run(mut self, wake: Arc<Notify>, mut changes: mpsc::Receiver<()>) {
        loop {
            let changed = async {
                tokio::select! {
                    () = wake.notified() => true,
                    // Without a watcher nobody sends, and only the timer is left.
                    Some(()) = changes.recv() => true,
                }
            };
            let mut has_changed = timeout(LOOK_AGAIN, changed).await == Ok(true);
            if has_changed {
                sleep(DEBOUNCE).await;
                while changes.try_recv().is_ok() {}
            } else {
                has_changed = self.is_due();
            }
            if !has_changed {
                tell_standing(&self.config, self.metrics(), (self.clock)());
            }
            if !has_changed && self.kept_house.elapsed() < RENEW_EVERY {
                continue;
            }
            let turn = tokio::task::spawn_blocking(move || {
                if has_changed {
                    self.reload();
                }
                let housekeeping = AssertUnwindSafe(|| self.keep_house());
                if catch_unwind(housekeeping).is_err() {
                    tracing::error!("configuration: compiled policies could not be looked after: {MISTAKE}");
                }
                self
            });
            // Whatever panics in it is caught there; what is left is the end of the process.
            let Ok(worker) = turn.await else { return };
            self = worker;
        }
    }

    /// Whether reading the files again may give something else though nobody has said so.
    fn is_due(&self) -> bool {
        let compilations = self.compilations.as_ref();
        Stamp::of(self.config.files()) != self.seen
            || self.last_error.load().is_some()
            || compilations.is_some_and(|compilations| compilations.is_any_due())
    }

    /// After every change, and from time to time: other servers may use the same folder of compiled policies.
    fn keep_house(&mut self) {
        self.config.keep_compiled(&self.shared, (self.clock)());
        self.kept_house = Instant::now();
    }

    fn reload(&mut self) {
        self.seen = Stamp::of(self.config.files());
        // A mistake of ours must not end the one who reloads: nobody would notice what is taken away later.
        let attempt = catch_unwind(AssertUnwindSafe(|| self.attempt()));
        let attempt = attempt.unwrap_or_else(|_| {
            Err(ConfigError::Build {
                file: self.config.file.clone(),
                what: format!("putting it in force failed: {MISTAKE}"),
            })
        });
        match attempt {
            Ok(()) => self.last_error.store(None),
            Err(error) => {
                let line = error.to_string();
                tracing::error!(
                    reason = error.reason(),
                    generation = self.config.generation,
                    "configuration not reloaded, the last good one stays: {line}"
                );
                self.metrics().config_rejected();
                // What is under way for an earlier version goes on: its end is the next attempt.
                if !self.compilations.as_ref().is_some_and(|compilations| compilations.is_any_under_way()) {
                    self.tell_compiling(&[]);
                }
                self.last_error.store(Some(Arc::new(line)));
            }
        }
    }

    fn attempt(&mut self) -> Result<(), ConfigError> {
        for _ in 0..READS {
            if let Some(compilations) = &self.compilations {
                compilations.begin(&self.config.file);
            }
            let loaded = Config::load_for(self.config.usual_cloud, &self.config.file)?;
            if loaded.config.digest == self.config.digest && !self.is_unfinished {
                // A bad file may have been put back as it was: what is in the files is in force again.
                self.settle(&[]);
                tell_in_force(&self.config, self.metrics(), (self.clock)());
                return Ok(());
            }
            if self.put_in_force(loaded)? {
                return Ok(());
            }
            tracing::info!("configuration: a file changed while it was read, and is read again");
        }
        let what = "its files change while they are read: they are tried again".to_owned();
        Err(ConfigError::Build { file: self.config.file.clone(), what })
    }

    /// Gives whether that is all: it is not if a file changed meanwhile.
    fn put_in_force(&mut self, mut loaded: Loaded) -> Result<bool, ConfigError> {
        // A file that changes twice may have the same text in the end, and another one when it was read.
        let stamps = Stamp::of(loaded.config.files());
        (self.overrides)(&mut loaded.config)?;
        let shared = self.shared.follow(&loaded.config)?;
        match self.next(&loaded.config, &shared, &stamps) {
            Ok(Some(Next::Built(built))) => self.replace(loaded, shared, *built),
            next => {
                shared.discard(&self.shared);
                let Some(Next::Awaits(awaited)) = next? else { return Ok(false) };
                let Self { watcher, config, .. } = self;
                watcher.follow(config.files().chain(loaded.config.files()));
                self.settle(&awaited);
            }
        }
        Ok(true)
    }

    /// What becomes of `config`, whose files looked like `stamps`; `None`: one of them has changed meanwhile.
    fn next(&self, config: &Config, shared: &Shared, stamps: &[Stamp]) -> Result<Option<Next>, ConfigError> {
        let before = Before { standing: &self.standing, compilations: self.compilations.as_ref() };
        let next = config.build_after(shared, before)?;
        let Next::Built(built) = &next else { return Ok(Some(next)) };
        if built.authenticator.not_ready().next().is_some() {
            Handle::current().block_on(shared.read_once(Some(&self.shared), FIRST_READ))?;
        }
        let is_same = config.is_as_read(stamps)?;
        Ok(Some(next).filter(|_| is_same))
    }

    fn replace(&mut self, mut loaded: Loaded, shared: Shared, built: Built) {
        let Built { authenticator: next, standing, awaited, .. } = built;
        loaded.config.generation.clone_from(&next.generation);
        loaded.log();
        loaded.config.log();
        self.warn_of_restart(&loaded.config);
        self.warn_of_loss(&loaded.config);
        self.tell_changes(&loaded.config);
        self.current.store(Arc::new(next));
        if let Some(written) = loaded.config.backend_mode_written
            && self.config.backend_mode_written != Some(written)
        {
            self.metrics().old_dynamic_latency("dynamic_backend_mode", written, (self.clock)());
        }
        shared.replace(&mut self.shared);
        self.config = loaded.config;
        self.is_unfinished = !awaited.is_empty() || !standing.is_settled();
        self.standing = standing;
        self.settle(&awaited);
        self.watcher.follow(self.config.files());
        tell_in_force(&self.config, self.metrics(), (self.clock)());
    }

    /// Has compiled what was asked for, and tells whose last good versions go on until then.
    fn settle(&self, awaited: &[Name]) {
        if let Some(compilations) = &self.compilations {
            compilations.settle();
        }
        self.tell_compiling(awaited);
    }

    fn tell_compiling(&self, awaited: &[Name]) {
        self.metrics().policies_compiling(awaited.len());
        let names: Vec<&str> = awaited.iter().map(Name::as_str).collect();
        let text = (!names.is_empty()).then(|| format!("compiling {}, the last good in force", names.join(", ")));
        if let Some(text) = &text
            && self.compiling.load().as_deref() != Some(text)
        {
            tracing::info!(generation = self.config.generation, "configuration: {text}");
        }
        self.compiling.store(text.map(Arc::new));
    }

    /// As of a source that is followed: who maps to what now.
    fn tell_changes(&self, next: &Config) {
        let none = BTreeSet::new();
        let (admins, next_admins) = (&*self.config.bootstrap_admins, &*next.bootstrap_admins);
        let changed = live::changes((admins, &none), (next_admins, &none));
        if !changed.is_empty() {
            keeper::tell_changes(BOOTSTRAP_ADMINS, next_admins.len(), &changed, None, &next.generation);
        }
        let Config { rules, map_accounts, .. } = next;
        let changed = live::changes((&self.config.rules, &self.config.map_accounts), (rules, map_accounts));
        if !changed.is_empty() {
            let mappings = rules.len() + map_accounts.len();
            keeper::tell_changes(MOUNTED_FILE, mappings, &changed, None, &next.generation);
        }
    }

    /// Settings of the listener are read once.
    fn warn_of_restart(&self, next: &Config) {
        if next.server != self.config.server || next.observe != self.config.observe {
            tracing::warn!("configuration: changes of the listener and of the audit log wait for a restart");
        }
    }

    /// As of a source that is followed.
    fn warn_of_loss(&self, next: &Config) {
        let (now, source) = ((self.clock)(), MOUNTED_FILE);
        // What nobody asked let nobody in.
        if ![&self.config, next].into_iter().all(|config| config.sources.contains(&Source::MountedFile)) {
            return;
        }
        for vital in Vital::ALL {
            if vital.count(&self.config.rules, now) > 0 && vital.count(&next.rules, now) == 0 {
                let (whom, reason, generation) = (vital.word(), LOST, &next.generation);
                tracing::error!(source, reason, whom, generation, "nobody of them is let in by this source any more");
                self.metrics().source_lost(source, whom);
            }
        }
    }

    fn metrics(&self) -> &Metrics {
        self.shared.metrics()
    }
}

/// That what stands in the files is `config`, which is in force.
fn tell_in_force(config: &Config, metrics: &Metrics, now: SystemTime) {
    metrics.config_loaded(&config.generation, now);
    tell_standing(config, metrics, now);
}

/// Size and age of what stands in the file itself, as of every other source; none if it is not asked.
fn tell_standing(config: &Config, metrics: &Metrics, now: SystemTime) {
    if !config.sources.contains(&Source::MountedFile) {
        return metrics.source_gone(MOUNTED_FILE);
    }
    metrics.source_loaded(MOUNTED_FILE, config.rules.len() + config.map_accounts.len(), config.left_out);
    metrics.source_in_step(MOUNTED_FILE, now);
    for vital in Vital::ALL {
        metrics.source_vital(MOUNTED_FILE, vital.word(), vital.count(&config.rules, now));
    }
}

#[cfg(test)]
mod tests;
