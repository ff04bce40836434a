//! Dates of SigV4: `yyyymmddThhmmssZ`, to the second, in UTC (AWS Signature Version 4, "Elements of an
//! AWS API request signature").

use std::{fmt, time::SystemTime};

use time::{Date, Month, OffsetDateTime, PrimitiveDateTime, Time, macros::format_description};

/// The moment of a signature, with its text, so that what is sent is what was signed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::provider::aws) struct AmzDate {
    text: [u8; TEXT_BYTES],
    time: SystemTime,
}

/// Not a date of SigV4.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not written yyyymmddThhmmssZ")]
pub(in crate::provider::aws) struct InvalidDate;

const TEXT_BYTES: usize = 16;
/// Nothing was signed before; and times before it have no place in RFC 3339 texts made of Unix seconds.
const FIRST_YEAR: i32 = 1970;

impl AmzDate {
    /// Reads one strictly.
    pub(super) fn parse(text: &str) -> Result<Self, InvalidDate> {
        let bytes: [u8; TEXT_BYTES] = text.as_bytes().try_into().map_err(|_| InvalidDate)?;
        if bytes[8] != b'T' || bytes[15] != b'Z' {
            return Err(InvalidDate);
        }
        let month = Month::try_from(number(&bytes[4..6])?).map_err(|_| InvalidDate)?;
        let year = i32::from(number(&bytes[..2])?) * 100 + i32::from(number(&bytes[2..4])?);
        if year < FIRST_YEAR {
            return Err(InvalidDate);
        }
        let day = Date::from_calendar_date(year, month, number(&bytes[6..8])?).map_err(|_| InvalidDate)?;
        let hour = Time::from_hms(number(&bytes[9..11])?, number(&bytes[11..13])?, number(&bytes[13..15])?);
        let moment = PrimitiveDateTime::new(day, hour.map_err(|_| InvalidDate)?).assume_utc();
        Ok(Self { text: bytes, time: moment.into() })
    }

    /// The second in which `now` lies. Years past 9999 are the last second that can be written.
    pub(in crate::provider::aws) fn at(now: SystemTime) -> Self {
        let format = format_description!("[year][month][day]T[hour][minute][second]Z");
        let text = OffsetDateTime::from(now).format(&format).unwrap_or_default();
        Self::parse(&text).unwrap_or(Self { text: *b"99991231T235959Z", time: now })
    }

    /// The moment.
    pub(in crate::provider::aws) fn time(&self) -> SystemTime {
        self.time
    }

    /// The whole text.
    pub(in crate::provider::aws) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.text).unwrap_or_default()
    }

    /// The first eight digits: what a credential scope starts with.
    pub(in crate::provider::aws) fn day(&self) -> &str {
        &self.as_str()[..8]
    }
}

impl fmt::Display for AmzDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

fn number(digits: &[u8]) -> Result<u8, InvalidDate> {
    digits.iter().try_fold(0_u8, |sum, digit| match digit {
        b'0'..=b'9' => Ok(sum * 10 + (digit - b'0')),
        _ => Err(InvalidDate),
    })
}
