//! The engine: one per process, shared by every policy of every configuration in force.
//!
//! What WebAssembly may do here is listed, never inherited from the library's defaults, which grow
//! with its releases.

use std::{
    fmt,
    num::{NonZeroU8, NonZeroUsize},
    sync::{Arc, Mutex, OnceLock, PoisonError},
    thread,
    time::{Duration, Instant},
};

use serde::Deserialize;
use tokio::sync::{Semaphore, SemaphorePermit};
use wasmtime::{
    Enabled, InstanceAllocationStrategy, ModuleVersionStrategy, OptLevel, PoolingAllocationConfig, RegallocAlgorithm,
    Store, UpdateDeadline, WasmFeatures,
};

use super::{
    Fault, Limits,
    config::Mode,
    crew::{self, Crew},
    functions::Functions,
    limits::{self, Guest},
    share::{Held, Instances, Share},
    ticker::{Awake, TICK, Ticker},
    track::{self, Known},
};

/// Settings of the engine, `server.policyEngine`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct EngineConfig {
    /// Decisions that may run at once, all policies together; each holds one instance. Policies that take their time leave one
    /// to each of the others, up to half of all. 1 to 255, default 8.
    pub instances: NonZeroU8,
    /// Decisions of one policy that may wait for a free instance; more are refused at once. Default 1024, as many as reviews may be
    /// under way.
    pub queue: usize,
    /// Longest wait for a free instance. Default 250 ms.
    #[serde(with = "crate::config::duration")]
    pub queue_timeout: Duration,
    /// Threads that decide while many logins wait for policies, beside those that answer logins, and as many for decisions that
    /// take their time. 0 to 255; 0: logins are decided where they are. `None`: a configuration file's default, as many as
    /// `server.workers`, or 0 on one processor; for an engine without a server 0.
    pub workers: Option<u8>,
}

/// Runs policies. A clone is the same engine.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    wasmtime: wasmtime::Engine,
    ticker: Ticker,
    instances: Arc<Instances>,
    crew: Arc<Crew>,
    config: EngineConfig,
    /// The instance that loading uses, so that a reload neither waits for logins nor delays them.
    load_slot: Mutex<()>,
    /// The instance of policies in shadow mode, so that no login waits for one.
    aside: Semaphore,
    /// The versions of the contract that its policies may be made for.
    tracks: &'static [Known],
    compiling: Compiling,
    /// Of an engine that compiles what is large; `None` for one that serves and for drafts.
    functions: Option<Arc<Functions>>,
    /// Made when it is first needed; `None`: it cannot be.
    draft: OnceLock<Option<Engine>>,
}

/// What an engine decides in and by.
struct Decided {
    instances: Arc<Instances>,
    crew: Arc<Crew>,
}

/// On how many processors an engine compiles.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Compiling {
    OnAll,
    OnOne,
}

/// The engine could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The machine lacks what the WebAssembly engine needs.
    #[error("the policy engine does not work on this machine: {0}")]
    Unsupported(String),
    /// No thread for its clock.
    #[error("the policy engine's clock could not be started")]
    Thread(#[source] std::io::Error),
}

/// The right to have one instance, while it lasts.
pub(super) struct Slot<'a> {
    engine: &'a Engine,
    pace: Pace,
    _awake: Awake<'a>,
    /// One of the instances for decisions; none for a load, which has its own, and for a policy in shadow mode.
    _held: Option<Held<'a>>,
    /// The one for policies in shadow mode.
    _permit: Option<SemaphorePermit<'a>>,
}

/// What an instance may use of a processor.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    limits: Limits,
    pace: Pace,
}

/// The time that a policy has had and still has.
struct Time {
    began: Instant,
    /// Ticks, counted when the policy sees one.
    ticks: u32,
    /// When it is over in any case.
    end: Instant,
}

/// What a policy does at each tick before its time is over.
#[derive(Clone, Copy, Debug)]
enum Pace {
    /// Lets other logins use the worker, unless it has just begun.
    Yields,
    /// Goes on: the caller of a load waits for it anyway.
    Blocks,
}

/// Part of every compiled policy: code of another engine or another Herald is never run.
pub(super) const VERSION: &str = concat!("herald ", env!("CARGO_PKG_VERSION"), ", wasmtime 48.0.8");
/// Wasm features that policies may use.
const FEATURES: WasmFeatures = WasmFeatures::MUTABLE_GLOBAL
    .union(WasmFeatures::FLOATS)
    .union(WasmFeatures::SATURATING_FLOAT_TO_INT)
    .union(WasmFeatures::SIGN_EXTENSION)
    .union(WasmFeatures::REFERENCE_TYPES)
    .union(WasmFeatures::MULTI_VALUE)
    .union(WasmFeatures::BULK_MEMORY)
    .union(WasmFeatures::SIMD)
    .union(WasmFeatures::TAIL_CALL)
    .union(WasmFeatures::MULTI_MEMORY)
    .union(WasmFeatures::EXTENDED_CONST)
    .union(WasmFeatures::FUNCTION_REFERENCES)
    .union(WasmFeatures::COMPONENT_MODEL);
/// A tick comes at any moment of a decision, and nearly all decisions are over sooner than this: what is younger goes on until
/// the next tick, so that it is not the luck of a few to leave their thread.
const YOUNG: Duration = Duration::from_micros(500);
/// Fuel after which other logins have their turn, about 0.3 ms and three times what a decision in Python takes: whoever starts many
/// decisions that take all of their time keeps the threads of others for no longer, however late the ticks come.
pub(super) const TURN: u64 = 1_000_000;
const MAX_WASM_STACK: usize = 512 << 10;
const FIBER_STACK: usize = 1 << 20;
/// The library shares a pool of so many places out among the threads, so that each finds its own again, in its processor's
/// caches: with fewer, processors that decide by turns hand each other everything that a decision touches. What is
/// not used is address space and nothing more.
const SHARED_OUT: u32 = 128;
/// Among so many threads at most.
const MOST_SHARES: usize = 16;
/// Places of each thread's that stay as a policy left them, ready for the same one: more than a chain has policies.
const WARM_EACH: usize = 16;
/// Memory that a pool slot keeps between two decisions instead of giving it back to the kernel, which would have
/// to fault every page in again. All of it is reset to what the component starts with.
const KEEP_RESIDENT: usize = 512 << 10;
/// The same where the kernel does not tell which pages were written, so that all of these are reset.
const KEEP_RESIDENT_BLINDLY: usize = 64 << 10;

// === impl EngineConfig ===

impl Default for EngineConfig {
    fn default() -> Self {
        let instances = const { NonZeroU8::new(8).expect("eight is not zero") };
        Self { instances, queue: 1024, queue_timeout: Duration::from_millis(250), workers: None }
    }
}

// === impl Engine ===

impl Engine {
    /// Makes the engine that serves. It compiles on the calling thread only, so that a reload leaves the
    /// other processors to logins.
    ///
    /// # Errors
    ///
    /// [`EngineError`], when this machine cannot run policies at all.
    pub fn new(config: &EngineConfig) -> Result<Self, EngineError> {
        let mut settings = settings(Compiling::OnOne)?;
        settings.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(config.instances)));
        let wasmtime = match wasmtime::Engine::new(&settings) {
            Ok(engine) => engine,
            Err(error) => {
                tracing::warn!(%error, "no pool of policy instances on this machine: each is allocated when needed");
                settings.allocation_strategy(InstanceAllocationStrategy::OnDemand);
                wasmtime::Engine::new(&settings).map_err(EngineError::unsupported)?
            }
        };
        Self::around(wasmtime, config, Decided::by(config), None, Compiling::OnOne, track::RELEASED)
    }

    /// Makes an engine for [`compile`](super::compile) alone: without a pool, and on every processor; on one where the system has
    /// no threads for that.
    ///
    /// # Errors
    ///
    /// As [`Self::new`].
    pub fn for_compiling() -> Result<Self, EngineError> {
        let processors = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let compiling = if crew::ask_for(processors).is_ok() { Compiling::OnAll } else { Compiling::OnOne };
        Self::poolless(compiling, track::RELEASED)
    }

    /// The same on one processor, for whoever compiles beside a server.
    ///
    /// # Errors
    ///
    /// As [`Self::new`].
    pub fn for_compiling_aside() -> Result<Self, EngineError> {
        Self::poolless(Compiling::OnOne, track::RELEASED)
    }

    /// Makes an engine that speaks other versions of the contract than the released ones.
    #[cfg(test)]
    pub(super) fn speaking(tracks: &'static [Known]) -> Result<Self, EngineError> {
        Self::poolless(Compiling::OnAll, tracks)
    }

    fn poolless(compiling: Compiling, tracks: &'static [Known]) -> Result<Self, EngineError> {
        let (mut settings, functions) = (settings(compiling)?, Arc::new(Functions::default()));
        settings
            .enable_incremental_compilation(Arc::<Functions>::clone(&functions))
            .map_err(EngineError::unsupported)?;
        let wasmtime = wasmtime::Engine::new(&settings).map_err(EngineError::unsupported)?;
        let config = EngineConfig::default();
        Self::around(wasmtime, &config, Decided::by(&config), Some(functions), compiling, tracks)
    }

    fn around(
        wasmtime: wasmtime::Engine,
        config: &EngineConfig,
        Decided { instances, crew }: Decided,
        functions: Option<Arc<Functions>>,
        compiling: Compiling,
        tracks: &'static [Known],
    ) -> Result<Self, EngineError> {
        let ticker = Ticker::start(wasmtime.weak()).map_err(EngineError::Thread)?;
        Ok(Self(Arc::new(Inner {
            wasmtime,
            ticker,
            instances,
            crew,
            config: config.clone(),
            load_slot: Mutex::new(()),
            aside: Semaphore::new(1),
            tracks,
            compiling,
            functions,
            draft: OnceLock::new(),
        })))
    }

    /// The engine for code that runs a few times and is thrown away: it compiles in half the time, and what it makes runs
    /// slower. Of the same bounds, the same instances and the same threads, for the same versions of the contract; this engine
    /// itself, if no other can be made.
    pub(super) fn draft(&self) -> &Self {
        let Inner { compiling, tracks, ref config, ref instances, ref crew, .. } = *self.0;
        let make = || {
            let mut settings = settings(compiling)?;
            settings.cranelift_opt_level(OptLevel::None);
            settings.cranelift_regalloc_algorithm(RegallocAlgorithm::SinglePass);
            let wasmtime = wasmtime::Engine::new(&settings).map_err(EngineError::unsupported)?;
            let decided = Decided { instances: Arc::clone(instances), crew: Arc::clone(crew) };
            Self::around(wasmtime, config, decided, None, compiling, tracks)
        };
        self.0.draft.get_or_init(|| make().ok()).as_ref().unwrap_or(self)
    }

    pub(super) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.0.wasmtime
    }

    /// What it compiles functions with that it has compiled before.
    pub(super) fn functions(&self) -> Option<&Functions> {
        self.0.functions.as_deref()
    }

    pub(super) fn tracks(&self) -> &'static [Known] {
        self.0.tracks
    }

    pub(super) fn crew(&self) -> &Arc<Crew> {
        &self.0.crew
    }

    /// What one more policy has of the instances.
    pub(super) fn share(&self, mode: Mode) -> Share {
        self.0.instances.share(mode)
    }

    /// Waits for a free instance out of `share`, within bounds.
    pub(super) async fn slot<'a>(&'a self, share: &'a Share) -> Result<Slot<'a>, Fault> {
        let held = match share.try_take() {
            Some(held) => held,
            None => self.queue(share).await?,
        };
        Ok(Slot { _held: Some(held), ..Slot::new(self, Pace::Yields) })
    }

    /// Waits for the instance that no login uses.
    pub(super) async fn slot_aside(&self) -> Slot<'_> {
        let permit = self.0.aside.acquire().await.expect("nobody closes it");
        Slot { _permit: Some(permit), ..Slot::new(self, Pace::Yields) }
    }

    /// Lets `load` use the instance that is kept for loading. Blocks while another policy loads.
    pub(super) fn with_load_slot<T>(&self, load: impl FnOnce(&Slot<'_>) -> T) -> T {
        let _alone = self.0.load_slot.lock().unwrap_or_else(PoisonError::into_inner);
        load(&Slot::new(self, Pace::Blocks))
    }

    async fn queue<'a>(&'a self, share: &'a Share) -> Result<Held<'a>, Fault> {
        let EngineConfig { queue, queue_timeout, .. } = self.0.config;
        let place = share.line_up(queue).ok_or(Fault::Overloaded)?;
        tokio::time::timeout(queue_timeout, place.take()).await.map_err(|_| Fault::Overloaded)
    }

    #[cfg(test)]
    pub(super) fn ticker(&self) -> &Ticker {
        &self.0.ticker
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("config", &self.0.config).finish_non_exhaustive()
    }
}

// === impl Decided ===

impl Decided {
    fn by(config: &EngineConfig) -> Self {
        let crew = Arc::new(Crew::new(config.workers.unwrap_or(0).into()));
        Self { instances: Instances::new(config.instances), crew }
    }
}

// === impl Slot ===

impl<'a> Slot<'a> {
    fn new(engine: &'a Engine, pace: Pace) -> Self {
        Self { engine, pace, _awake: engine.0.ticker.awake(), _held: None, _permit: None }
    }

    /// A fresh store under `limits`; its time starts now.
    ///
    /// The time is counted in ticks that the policy sees. One that waits for a processor sees none, so that a machine
    /// with too much to do makes logins slow and does not refuse them; how long that may go on has an end too.
    pub(super) fn store(&self, limits: &Limits) -> Store<Guest> {
        let mut store = Store::new(self.engine.wasmtime(), Guest::new(limits));
        store.limiter(|guest| &mut guest.room);
        store.set_hostcall_fuel(limits::MAX_TRANSFER);
        store.set_max_component_handles(limits::MAX_HANDLES);
        Bounds { limits: *limits, pace: self.pace }.begin(&mut store);
        store
    }

    /// The same for an instance that takes its settings in under the bounds of a snapshot's, and has those of a decision, anew,
    /// once it has: what a decision costs is then what it costs where the snapshot is there.
    pub(super) fn store_apart(&self, limits: &Limits) -> Store<Guest> {
        let mut store = self.store(&limits.of_configure());
        store.data_mut().decision = Some(Bounds { limits: *limits, pace: self.pace });
        store
    }
}

// === impl Bounds ===

impl Bounds {
    /// From now on there is this much fuel and time.
    pub(super) fn begin(self, store: &mut Store<Guest>) {
        let Self { limits, pace } = self;
        let turn = match pace {
            Pace::Yields => Some(TURN),
            Pace::Blocks => None,
        };
        store.fuel_async_yield_interval(turn).expect("this engine counts fuel");
        store.set_fuel(limits.fuel()).expect("this engine counts fuel");
        let mut time = Time::of(&limits);
        store.epoch_deadline_callback(move |_| {
            Ok(if time.is_over() { UpdateDeadline::Interrupt } else { pace.go_on(time.began.elapsed()) })
        });
        store.set_epoch_deadline(1);
    }
}

// === impl Pace ===

impl Pace {
    /// Of a policy of this age.
    fn go_on(self, age: Duration) -> UpdateDeadline {
        match self {
            Self::Yields if age >= YOUNG => UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now())),
            Self::Yields | Self::Blocks => UpdateDeadline::Continue(1),
        }
    }
}

// === impl Time ===

impl Time {
    fn of(limits: &Limits) -> Self {
        // The first tick may come at once.
        let ticks = limits.timeout().as_nanos().div_ceil(TICK.as_nanos()) + 1;
        let began = Instant::now();
        Self { began, ticks: u32::try_from(ticks).unwrap_or(u32::MAX), end: began + limits.longest() }
    }

    /// Counts one more tick.
    fn is_over(&mut self) -> bool {
        self.ticks -= 1;
        self.ticks == 0 || Instant::now() >= self.end
    }
}

// === impl EngineError ===

impl EngineError {
    #[allow(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
    fn unsupported(error: wasmtime::Error) -> Self {
        Self::Unsupported(format!("{error:#}"))
    }
}

/// Everything but where instances live. Whatever changes what compiled code does is the same for every engine of
/// this build.
fn settings(compiling: Compiling) -> Result<wasmtime::Config, EngineError> {
    let mut settings = wasmtime::Config::new();
    settings.wasm_features(WasmFeatures::all(), false);
    settings.wasm_features(FEATURES, true);
    settings.consume_fuel(true);
    settings.epoch_interruption(true);
    settings.cranelift_nan_canonicalization(true);
    settings.max_wasm_stack(MAX_WASM_STACK);
    settings.async_stack_size(FIBER_STACK);
    settings.memory_reservation(Limits::MAX_MEMORY.bytes());
    settings.memory_init_cow(true);
    settings.wasm_backtrace_max_frames(None::<NonZeroUsize>);
    settings.native_unwind_info(false);
    settings.generate_address_map(false);
    settings.parallel_compilation(compiling == Compiling::OnAll);
    let version = ModuleVersionStrategy::Custom(VERSION.to_owned());
    settings.module_version(version).map_err(EngineError::unsupported)?;
    Ok(settings)
}

/// Room for `instances` decisions, one load and one decision aside.
fn pool(instances: NonZeroU8) -> PoolingAllocationConfig {
    let slots = u32::from(instances.get()) + 2;
    let tells_written_pages = PoolingAllocationConfig::is_pagemap_scan_available();
    let keep = if tells_written_pages { KEEP_RESIDENT } else { KEEP_RESIDENT_BLINDLY };
    let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get).min(MOST_SHARES);
    let warm = u32::try_from(WARM_EACH * threads).expect("a small number").max(slots);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(slots)
        .total_core_instances(limits::MAX_CORE_INSTANCES * slots)
        .max_core_instances_per_component(limits::MAX_CORE_INSTANCES)
        .total_memories((limits::MAX_MEMORIES * slots).max(SHARED_OUT))
        .max_memories_per_component(limits::MAX_MEMORIES)
        .max_memories_per_module(limits::MAX_MEMORIES)
        .total_tables((limits::MAX_TABLES * slots).max(SHARED_OUT))
        .max_tables_per_component(limits::MAX_TABLES)
        .max_tables_per_module(limits::MAX_TABLES)
        .table_elements(limits::MAX_TABLE_ELEMENTS)
        .total_stacks(slots.max(SHARED_OUT))
        .max_memory_size(usize::try_from(Limits::MAX_MEMORY.bytes()).expect("64 MiB fits every address space"))
        .pagemap_scan(Enabled::Auto)
        .linear_memory_keep_resident(keep)
        .table_keep_resident(keep)
        .max_unused_warm_slots(warm);
    pool
}

#[cfg(test)]
mod tests {
    use std::iter;

    use super::*;

    fn time_of(timeout: Duration) -> Time {
        Time::of(&Limits::new(timeout, Limits::MAX_MEMORY, Limits::MAX_FUEL).unwrap())
    }

    #[test]
    fn a_policys_time_is_as_many_ticks_as_it_sees_however_long_they_take() {
        #[track_caller]
        fn check(timeout: Duration, expected: usize) {
            // An end that no machine is too slow for.
            let mut time = Time { end: Instant::now() + Duration::from_secs(3600), ..time_of(timeout) };
            let before = iter::repeat_with(|| time.is_over()).take_while(|is_over| !is_over).count();
            assert_eq!(before + 1, expected, "{timeout:?}");
        }
        // One more than fit into it: the first may come at once.
        check(Duration::from_millis(1), 2);
        check(TICK, 2);
        check(Duration::from_millis(3), 3);
        check(Limits::default().timeout(), 26);
        check(Duration::from_secs(1), 501);
        check(Duration::from_secs(5), 2501);
        check(Limits::MAX_TIMEOUT, 2501);
    }

    /// Code that is to be thrown away takes longer, and keeps nobody waiting for it either.
    #[test]
    fn what_a_draft_decides_is_decided_in_the_same_instances_by_the_same_threads() {
        let engine = Engine::new(&EngineConfig::default()).unwrap();
        let draft = engine.draft();
        assert!(!std::ptr::eq(draft.wasmtime(), engine.wasmtime()), "it is another one");
        assert!(Arc::ptr_eq(&draft.0.instances, &engine.0.instances) && Arc::ptr_eq(draft.crew(), engine.crew()));
    }

    #[test]
    fn who_has_just_begun_leaves_its_thread_to_nobody_yet() {
        #[track_caller]
        fn check(pace: Pace, age: Duration, yields: bool) {
            assert_eq!(matches!(pace.go_on(age), UpdateDeadline::YieldCustom(1, _)), yields, "{pace:?} {age:?}");
        }
        check(Pace::Yields, Duration::ZERO, false);
        check(Pace::Yields, YOUNG - Duration::from_nanos(1), false);
        check(Pace::Yields, YOUNG, true);
        check(Pace::Yields, TICK, true);
        check(Pace::Blocks, TICK, false);
    }

    #[test]
    fn a_policys_time_ends_however_few_ticks_it_sees() {
        let mut time = Time { end: Instant::now(), ..time_of(Limits::MAX_TIMEOUT) };
        assert!(time.is_over());
    }
}
