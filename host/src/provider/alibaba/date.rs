//! Dates of requests: `yyyy-mm-ddThh:mm:ssZ`, to the second, in UTC (Alibaba Cloud OpenAPI, "Common parameters").

use std::{fmt, time::SystemTime};

use time::{OffsetDateTime, PrimitiveDateTime, format_description::FormatItem, macros::format_description};

/// The moment of a signature, with the one text it has.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct AcsDate(OffsetDateTime);

/// Not a date of a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not written yyyy-mm-ddThh:mm:ssZ")]
pub(super) struct InvalidDate;

const FORMAT: &[FormatItem<'_>] = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
/// Nothing was signed before; and times before it have no place in RFC 3339 texts made of Unix seconds.
const FIRST_YEAR: i32 = 1970;
const LAST_YEAR: i32 = 9999;

// === impl AcsDate ===

impl AcsDate {
    /// Reads one strictly.
    pub(super) fn parse(text: &str) -> Result<Self, InvalidDate> {
        let date = PrimitiveDateTime::parse(text, FORMAT).map_err(|_| InvalidDate)?.assume_utc();
        let date = Self(date);
        let known = (FIRST_YEAR..=LAST_YEAR).contains(&date.0.year());
        // One spelling for each moment: what is sent is what was signed.
        (known && date.to_string() == text).then_some(date).ok_or(InvalidDate)
    }

    /// The second in which `now` lies.
    pub(super) fn at(now: SystemTime) -> Self {
        let now = OffsetDateTime::from(now);
        Self(now.replace_nanosecond(0).unwrap_or(now))
    }

    /// The moment.
    pub(super) fn time(self) -> SystemTime {
        self.0.into()
    }
}

impl fmt::Display for AcsDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.format(FORMAT).map_err(|_| fmt::Error)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        #[track_caller]
        fn check(text: &str, seconds: Option<u64>) {
            let found = AcsDate::parse(text).ok().map(AcsDate::time);
            let time = |seconds| SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
            assert_eq!(found, seconds.map(time), "{text}");
        }
        check("2026-01-02T03:04:05Z", Some(1_767_323_045));
        check("1970-01-01T00:00:00Z", Some(0));
        check("1969-12-31T23:59:59Z", None);
        check("2026-02-30T00:00:00Z", None);
        check("2026-01-02T03:04:05", None);
        check("2026-01-02T03:04:05z", None);
        check("2026-01-02T03:04:05.000Z", None);
        check("2026-01-02T03:04:05+00:00", None);
        check("2026-1-2T3:4:5Z", None);
        check("+2026-01-02T03:04:05Z", None);
        check("20260102T030405Z", None);
        check(" 2026-01-02T03:04:05Z", None);
        check("2026-12-31T23:59:60Z", None);
        check("2026-01-02T24:00:00Z", None);
        check("2026\u{2212}01-02T03:04:05Z", None);
        check("12026-01-02T03:04:05Z", None);
        check("9999-12-31T23:59:59Z", Some(253_402_300_799));
        check("", None);
    }

    #[test]
    fn a_moment_is_written_to_the_second() {
        let now = SystemTime::UNIX_EPOCH + std::time::Duration::from_millis(1_767_323_045_999);
        assert_eq!(AcsDate::at(now).to_string(), "2026-01-02T03:04:05Z");
    }
}
