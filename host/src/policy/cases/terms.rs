//! Terms: what an operator's entry would say about a policy, for the cases of a file.

use std::time::Duration;

use serde::{Deserialize, Deserializer};

use crate::policy::{ByteSize, Ceiling, InvalidLimit, Kind, Limits};

/// What the cases of a file are asked under.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Terms {
    /// Answers beyond the power of this kind are faults. `None`: any answer will do.
    pub kind: Option<Kind>,
    /// So are answers above this. `None`: there is no ceiling at all, not even for names under `system:`.
    pub ceiling: Option<Ceiling>,
    /// What one decision may use.
    pub limits: SomeLimits,
}

/// Limits of which each may be left to somebody else.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct SomeLimits {
    /// See [`Limits::timeout`].
    #[serde(deserialize_with = "duration")]
    pub timeout: Option<Duration>,
    /// See [`Limits::memory`].
    pub memory: Option<ByteSize>,
    /// See [`Limits::fuel`].
    pub fuel: Option<u64>,
}

// === impl SomeLimits ===

impl SomeLimits {
    /// These, and those of `other` where there is none.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            timeout: self.timeout.or(other.timeout),
            memory: self.memory.or(other.memory),
            fuel: self.fuel.or(other.fuel),
        }
    }

    /// All of them, the defaults where there is none.
    ///
    /// # Errors
    ///
    /// Names the first that is zero or above its maximum.
    pub fn complete(self) -> Result<Limits, InvalidLimit> {
        let usual = Limits::default();
        Limits::new(
            self.timeout.unwrap_or_else(|| usual.timeout()),
            self.memory.unwrap_or_else(|| usual.memory()),
            self.fuel.unwrap_or_else(|| usual.fuel()),
        )
    }

    /// The same where the clock only ends what hangs: fuel bounds a decision the same way on every machine.
    ///
    /// # Errors
    ///
    /// As [`Self::complete`].
    pub fn patient(self) -> Result<Limits, InvalidLimit> {
        self.or(Self { timeout: Some(Limits::MAX_TIMEOUT), ..Self::default() }).complete()
    }
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    crate::config::duration::deserialize(deserializer).map(Some)
}
