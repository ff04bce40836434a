//! The wall clock, read in one place.

use std::time::SystemTime;

/// The present: what tokens are dated with.
#[expect(clippy::disallowed_methods, reason = "a load generator is an edge: its tokens must be fresh")]
pub(crate) fn now() -> SystemTime {
    SystemTime::now()
}
