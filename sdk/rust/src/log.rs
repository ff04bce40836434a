//! Lines for the login's audit record. Long lines are cut and lines over the host's budget dropped, which
//! never changes the decision; only a line larger than any answer may be is a fault.
//!
//! In a native build the lines are kept per thread, for [`testing::logged`](crate::testing::logged).

/// For whoever writes the policy.
pub fn debug(message: &str) {
    write(Level::Debug, message);
}

/// Worth knowing when somebody asks why.
pub fn info(message: &str) {
    write(Level::Info, message);
}

/// Decided, but something is odd.
pub fn warn(message: &str) {
    write(Level::Warn, message);
}

/// Something is broken.
pub fn error(message: &str) {
    write(Level::Error, message);
}

#[derive(Clone, Copy)]
enum Level {
    Debug,
    Error,
    Info,
    Warn,
}

#[cfg(target_arch = "wasm32")]
fn write(level: Level, message: &str) {
    use crate::bindings::host_log;

    let level = match level {
        Level::Debug => host_log::Level::Debug,
        Level::Error => host_log::Level::Error,
        Level::Info => host_log::Level::Info,
        Level::Warn => host_log::Level::Warn,
    };
    host_log::log(level, message);
}

#[cfg(not(target_arch = "wasm32"))]
fn write(level: Level, message: &str) {
    let level = match level {
        Level::Debug => "debug",
        Level::Error => "error",
        Level::Info => "info",
        Level::Warn => "warn",
    };
    crate::testing::record(level, message);
}
