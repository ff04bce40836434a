//! No core dumps: they would hold tokens and keys.

#[cfg(target_os = "linux")]
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use rustix::process::{Resource, Rlimit, setrlimit};

/// From now on this process leaves none, nor do programs that it starts. Best effort: a system that forbids it is not a
/// reason to let nobody in.
pub(super) fn turn_off() {
    let core = Rlimit { current: Some(0), maximum: Some(0) };
    if let Err(error) = setrlimit(Resource::Core, core) {
        tracing::warn!(%error, "cannot turn core dumps off");
    }
    // A dump that is piped to a program heeds no limit.
    #[cfg(target_os = "linux")]
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::warn!(%error, "cannot turn core dumps off");
    }
}
