//! The bounds around one instance, and which [`Fault`] each of them is.

use rustix::io::Errno;
use wasmtime::{OutOfMemory, PoolConcurrencyLimitError, ResourceLimiter, Trap};

use super::{Facts, Fault, Limits, Mapping, Tables, Verdict, engine::Bounds, log::LogBudget, text::tame};

/// Most bytes that one call may hand to the host.
pub(super) const MAX_TRANSFER: usize = 256 << 10;
/// Most live component handles.
pub(super) const MAX_HANDLES: usize = 256;
/// Most core instances of one component: Rust needs 3, Python about 40.
pub(super) const MAX_CORE_INSTANCES: u32 = 64;
/// Most linear memories of one component.
pub(super) const MAX_MEMORIES: u32 = 4;
/// Most tables of one component.
pub(super) const MAX_TABLES: u32 = 8;
/// Most elements of all tables of one component together.
pub(super) const MAX_TABLE_ELEMENTS: usize = 20_000;
/// Most calls that do work on the host's side: fuel does not count what happens there.
const MAX_CALLS: u32 = 1000;
/// Most groups in an answer.
const MAX_GROUPS: usize = 256;
/// Most extra keys in an answer, and values under one of them.
const MAX_EXTRA: usize = 64;
/// Most bytes of a name in an answer.
const MAX_NAME: usize = 1024;
/// Most bytes kept of a policy's reason for denying or failing.
pub(super) const MAX_REASON: usize = 1024;
/// Most bytes kept of a trap's message.
const MAX_TRAP: usize = 256;

/// The host's side of one instance.
#[derive(Debug)]
pub(super) struct Guest {
    /// What the instance may still take.
    pub(super) room: Room,
    /// What it has logged.
    pub(super) log: LogBudget,
    /// What it may read, once it is asked.
    pub(super) tables: Tables,
    /// What it may know about the caller, likewise.
    pub(super) facts: Facts,
    /// Whether it has taken its settings: before that it may ask nothing.
    pub(super) asked: bool,
    /// The bounds of its decision, where those of taking its settings are others.
    pub(super) decision: Option<Bounds>,
    calls: u32,
}

/// Memory and table elements, summed over the whole instance.
#[derive(Debug)]
pub(super) struct Room {
    most: usize,
    memory: usize,
    table_elements: usize,
}

/// The instance asked the host more often than it may.
#[derive(Debug, thiserror::Error)]
#[error("more calls than the limit")]
struct NoCalls;

/// The instance asked for more keys of a table than one call returns, and there are more: whoever refuses by a list must not
/// take a part of it for all.
#[derive(Debug, thiserror::Error)]
#[error("more keys than the limit")]
pub(super) struct TooManyKeys;

/// The instance asked for more than its [`Room`]. Ends it on the spot, so that the operator reads about memory or tables
/// and not about whatever the guest does without them.
#[derive(Debug, thiserror::Error)]
enum NoRoom {
    #[error("more memory than the limit")]
    Memory,
    #[error("more elements of tables than the limit")]
    Table,
}

// === impl Guest ===

impl Guest {
    pub(super) fn new(limits: &Limits) -> Self {
        let memory = usize::try_from(limits.memory().bytes()).unwrap_or(usize::MAX);
        let room = Room { most: memory, memory, table_elements: MAX_TABLE_ELEMENTS };
        Self {
            room,
            log: LogBudget::default(),
            tables: Tables::default(),
            facts: Facts::default(),
            asked: false,
            decision: None,
            calls: MAX_CALLS,
        }
    }

    /// It has taken its settings and is about to be asked; gives the bounds of that, if they begin anew.
    pub(super) fn begin_decision(&mut self) -> Option<Bounds> {
        self.asked = true;
        let decision = self.decision.take();
        if decision.is_some() {
            self.calls = MAX_CALLS;
        }
        decision
    }

    /// Takes one of the calls that do work on the host's side.
    pub(super) fn call(&mut self) -> wasmtime::Result<()> {
        self.calls = self.calls.checked_sub(1).ok_or(NoCalls)?;
        Ok(())
    }
}

// === impl Room ===

impl Room {
    /// Bytes of memory that were taken.
    pub(super) fn used(&self) -> u64 {
        (self.most - self.memory) as u64
    }

    /// Lets it take as much memory as there is, from here on.
    pub(super) fn lift(&mut self) {
        (self.most, self.memory) = (usize::MAX, usize::MAX);
    }
}

impl ResourceLimiter for Room {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(take(&mut self.memory, current, desired, maximum).ok_or(NoRoom::Memory)?)
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(take(&mut self.table_elements, current, desired, maximum).ok_or(NoRoom::Table)?)
    }

    fn instances(&self) -> usize {
        MAX_CORE_INSTANCES as usize
    }

    fn memories(&self) -> usize {
        MAX_MEMORIES as usize
    }

    fn tables(&self) -> usize {
        MAX_TABLES as usize
    }
}

/// Takes a growth out of `left`, and gives whether it may be; `None`: there is not so much left. One that fails for its
/// declared maximum costs nothing: it takes nothing.
fn take(left: &mut usize, current: usize, desired: usize, maximum: Option<usize>) -> Option<bool> {
    let rest = left.checked_sub(desired.saturating_sub(current))?;
    if maximum.is_some_and(|maximum| desired > maximum) {
        return Some(false);
    }
    *left = rest;
    Some(true)
}

/// Which bound an instance broke when it ended with `error`.
pub(super) fn fault(error: &wasmtime::Error) -> Fault {
    match error.downcast_ref() {
        Some(NoRoom::Memory) => return Fault::Memory,
        Some(NoRoom::Table) => return Fault::Table,
        None => {}
    }
    if error.is::<NoCalls>() {
        return Fault::HostCalls;
    }
    if error.is::<TooManyKeys>() {
        return Fault::TooLarge;
    }
    if error.is::<PoolConcurrencyLimitError>() {
        return Fault::Overloaded;
    }
    match error.downcast_ref() {
        Some(Trap::OutOfFuel) => return Fault::Fuel,
        Some(Trap::Interrupt) => return Fault::Timeout,
        Some(Trap::StackOverflow) => return Fault::Stack,
        _ => {}
    }
    let cause = error.root_cause().to_string();
    // There was no memory, or a call of the system's for it has failed: this machine's fault and not the policy's.
    if error.is::<OutOfMemory>() || error.chain().any(|cause| cause.is::<Errno>()) {
        return Fault::Unavailable(tame(&format!("{error:#}"), MAX_TRAP));
    }
    // The library's error for it is private; a test holds its words.
    if cause.contains("fuel allocated for hostcalls has been exhausted") {
        return Fault::TooLarge;
    }
    let cause = tame(&cause, MAX_TRAP);
    // What the library says about values that it takes from a policy's memory is words alone; a test holds that.
    if error.is::<Trap>() { Fault::Trap(cause) } else { Fault::Malformed(cause) }
}

/// Holds an answer's size to the limits and makes its words fit for the audit log. What a name may consist of
/// is the guards' business.
pub(super) fn bounded(verdict: Verdict) -> Result<Verdict, Fault> {
    match verdict {
        Verdict::Abstain => Ok(Verdict::Abstain),
        Verdict::Allow(mapping) if fits(&mapping) => Ok(Verdict::Allow(mapping)),
        Verdict::Allow(_) => Err(Fault::TooLarge),
        Verdict::Deny(why) => Ok(Verdict::Deny(tame(&why, MAX_REASON))),
    }
}

fn fits(mapping: &Mapping) -> bool {
    let Mapping { username, uid, groups, extra } = mapping;
    let values = extra.iter().flat_map(|(_, values)| values);
    let mut names =
        [username].into_iter().chain(uid).chain(groups).chain(extra.iter().map(|(key, _)| key)).chain(values);
    groups.len() <= MAX_GROUPS
        && extra.len() <= MAX_EXTRA
        && extra.iter().all(|(_, values)| values.len() <= MAX_EXTRA)
        && names.all(|name| name.len() <= MAX_NAME)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_summed_over_the_instance() {
        let mut room = Guest::new(&Limits::default()).room;
        let half = 8 << 20;
        assert!(room.memory_growing(0, half, None).is_ok());
        assert!(room.memory_growing(half, 2 * half, None).is_ok());
        assert_eq!(fault(&room.memory_growing(0, 1 << 16, None).unwrap_err()), Fault::Memory);
    }

    #[test]
    fn elements_of_tables_are_summed_over_the_instance() {
        let mut room = Guest::new(&Limits::default()).room;
        assert!(room.table_growing(0, 15_000, None).is_ok());
        assert!(room.table_growing(0, 5_000, None).is_ok());
        assert_eq!(fault(&room.table_growing(0, 1, None).unwrap_err()), Fault::Table);
        assert!(room.memory_growing(0, 1 << 16, None).is_ok(), "memory has a bound of its own");
    }

    #[test]
    fn a_machine_without_memory_is_not_the_policys_fault() {
        let error = wasmtime::Error::new(Errno::NOMEM).context("mmap failed to reserve 0x8000000 bytes");
        let Fault::Unavailable(why) = fault(&error) else { panic!("{error:?}") };
        assert!(why.starts_with("mmap failed to reserve 0x8000000 bytes: "), "{why}");
        let error = wasmtime::Error::from(OutOfMemory::new(8));
        assert!(matches!(fault(&error), Fault::Unavailable(_)), "{error:?}");
    }

    #[test]
    fn a_growth_beyond_the_declared_maximum_takes_nothing() {
        let mut room = Guest::new(&Limits::default()).room;
        for _ in 0..1000 {
            assert!(!room.memory_growing(1 << 16, 1 << 20, Some(1 << 17)).unwrap());
        }
        assert!(room.memory_growing(0, 16 << 20, None).unwrap());
    }

    #[test]
    fn answers_have_a_size() {
        #[track_caller]
        fn check(change: impl Fn(&mut Mapping), fits: bool) {
            let mut mapping = Mapping { username: "alice".into(), ..Mapping::default() };
            change(&mut mapping);
            let expected = if fits { Ok(Verdict::Allow(mapping.clone())) } else { Err(Fault::TooLarge) };
            assert_eq!(bounded(Verdict::Allow(mapping)), expected);
        }
        let long = || "x".repeat(1025);
        check(|mapping| mapping.username = long(), false);
        check(|mapping| mapping.uid = Some(long()), false);
        check(|mapping| mapping.groups = vec![long()], false);
        check(|mapping| mapping.groups = vec!["x".into(); 257], false);
        check(|mapping| mapping.extra = vec![("k".into(), vec![]); 65], false);
        check(|mapping| mapping.extra = vec![(long(), vec![])], false);
        check(|mapping| mapping.extra = vec![("k".into(), vec![long()])], false);
        check(|mapping| mapping.extra = vec![("k".into(), vec!["v".into(); 65])], false);
        check(|mapping| mapping.groups = vec!["x".repeat(1024); 256], true);
        check(|mapping| mapping.extra = vec![("k".into(), vec!["v".into(); 64]); 64], true);
    }
}
