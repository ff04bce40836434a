//! Validity: when a signed request counts, and how long a token is handed out. The same for every cloud.

use std::time::{Duration, SystemTime};

use super::VerifyError;

/// How far ahead of our clock a token may be dated: clocks differ by as much, and AWS's STS itself allows it.
pub const MAX_CLOCK_SKEW: Duration = Duration::from_secs(5 * 60);
/// How long before its credentials' end a token is no longer handed out.
pub const CREDENTIALS_MARGIN: Duration = Duration::from_secs(60);

/// Refuses what was signed too long ago, or too far ahead of our clock.
pub(super) fn check(signed_at: SystemTime, expires_at: SystemTime, now: SystemTime) -> Result<(), VerifyError> {
    if now >= expires_at {
        return Err(VerifyError::Expired { signed_at });
    }
    match signed_at.duration_since(now) {
        Ok(ahead) if ahead > MAX_CLOCK_SKEW => Err(VerifyError::NotYetValid),
        _ => Ok(()),
    }
}

/// The end of a token made `now` that is good for `lifetime`, and no longer than its credentials. `Err` is the end of
/// credentials that have ended.
pub(super) fn token_end(
    lifetime: Duration,
    credentials_end: Option<SystemTime>,
    now: SystemTime,
) -> Result<SystemTime, SystemTime> {
    let usual = now + lifetime;
    match credentials_end {
        // Programs in Go write their zero time, of the year 1, which has no place in texts made of Unix seconds.
        Some(end) if end <= now => Err(end.max(SystemTime::UNIX_EPOCH)),
        Some(end) => Ok(usual.min(end - CREDENTIALS_MARGIN).max(now)),
        None => Ok(usual),
    }
}
