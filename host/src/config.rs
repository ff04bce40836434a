//! Configuration: the file, strictly read, and the rooms' own settings gathered from it.

/// Durations in configuration, written as `50ms`, `5s`, `2m` (the `humantime` syntax).
pub mod duration {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, de::Error as _};

    /// Reads one duration.
    ///
    /// # Errors
    ///
    /// When the text is not a duration with its unit.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(deserializer)?;
        humantime::parse_duration(&text)
            .map_err(|error| D::Error::custom(format!("not a duration such as 50ms or 2m: {error}")))
    }
}
