//! Query strings of presigned requests: nine known parameters, each at most once.
//!
//! Values are decoded in place, so that reading a token copies no secret. A value may hold raw only what
//! SigV4 leaves raw (AWS Signature Version 4, "Create a canonical request": `A-Z a-z 0-9 - . _ ~`);
//! everything else must come percent-encoded, as every signer writes it, and must decode to visible ASCII.
//! Names are never percent-encoded; their case is free and is not kept.

use memchr::memchr;

use super::InvalidToken;

/// A parameter of a presigned `GetCallerIdentity` request, in the order in which it is sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Parameter {
    /// `Action`
    Action,
    /// `Version`
    Version,
    /// `X-Amz-Algorithm`
    Algorithm,
    /// `X-Amz-Credential`
    Credential,
    /// `X-Amz-Date`
    Date,
    /// `X-Amz-Expires`
    Expires,
    /// `X-Amz-Security-Token`; the only one that may be absent.
    SecurityToken,
    /// `X-Amz-SignedHeaders`
    SignedHeaders,
    /// `X-Amz-Signature`
    Signature,
}

/// Which bytes SigV4 leaves raw.
static PLAIN: [bool; 256] = plain_bytes();

/// The decoded values of one query.
#[derive(Default)]
pub(super) struct Query<'a> {
    values: [Option<&'a str>; Parameter::ALL.len()],
}

// === impl Parameter ===

impl Parameter {
    /// All of them, in order.
    pub const ALL: [Self; 9] = [
        Self::Action,
        Self::Version,
        Self::Algorithm,
        Self::Credential,
        Self::Date,
        Self::Expires,
        Self::SecurityToken,
        Self::SignedHeaders,
        Self::Signature,
    ];

    /// The name as it is sent.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.texts().0
    }

    pub(super) fn duplicate_label(self) -> &'static str {
        self.texts().1
    }

    pub(super) fn missing_label(self) -> &'static str {
        self.texts().2
    }

    /// Name, label of a second occurrence, label of absence.
    fn texts(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Action => ("Action", "duplicate_action", "missing_action"),
            Self::Version => ("Version", "duplicate_version", "missing_version"),
            Self::Algorithm => ("X-Amz-Algorithm", "duplicate_algorithm", "missing_algorithm"),
            Self::Credential => ("X-Amz-Credential", "duplicate_credential", "missing_credential"),
            Self::Date => ("X-Amz-Date", "duplicate_date", "missing_date"),
            Self::Expires => ("X-Amz-Expires", "duplicate_expires", "missing_expires"),
            Self::SecurityToken => ("X-Amz-Security-Token", "duplicate_security_token", "missing_security_token"),
            Self::SignedHeaders => ("X-Amz-SignedHeaders", "duplicate_signed_headers", "missing_signed_headers"),
            Self::Signature => ("X-Amz-Signature", "duplicate_signature", "missing_signature"),
        }
    }

    fn from_name(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|parameter| name.eq_ignore_ascii_case(parameter.name().as_bytes()))
    }
}

// === impl Query ===

impl<'a> Query<'a> {
    /// Reads `name=value` pairs joined by `&`, decoding each value in place.
    pub(super) fn parse(query: &'a mut [u8]) -> Result<Self, InvalidToken> {
        let mut found = Self::default();
        let mut rest = Some(query);
        while let Some(query) = rest.take() {
            let end = memchr(b'&', query).unwrap_or(query.len());
            let (pair, behind) = query.split_at_mut(end);
            rest = behind.get_mut(1..);
            let equals = memchr(b'=', pair).ok_or(InvalidToken::QuerySyntax)?;
            let (name, value) = pair.split_at_mut(equals);
            let parameter = Parameter::from_name(name).ok_or(InvalidToken::ParameterUnknown)?;
            let slot = &mut found.values[parameter as usize];
            if slot.is_some() {
                return Err(InvalidToken::Duplicate(parameter));
            }
            *slot = Some(decode(parameter, &mut value[1..])?);
        }
        Ok(found)
    }

    /// The value of a parameter that must be there.
    pub(super) fn require(&self, parameter: Parameter) -> Result<&'a str, InvalidToken> {
        self.optional(parameter).ok_or(InvalidToken::Missing(parameter))
    }

    /// The value of a parameter that may be absent.
    pub(super) fn optional(&self, parameter: Parameter) -> Option<&'a str> {
        self.values[parameter as usize]
    }
}

fn decode(parameter: Parameter, value: &mut [u8]) -> Result<&str, InvalidToken> {
    // By far the most values have nothing to decode, and the longest, a session token, has runs of plain
    // bytes: those are checked, and moved, as wholes.
    let plain = |from: usize, value: &[u8]| value[from..].iter().take_while(|byte| is_plain(**byte)).count();
    let (mut read, mut written) = (0, 0);
    loop {
        let run = plain(read, value);
        if read != written {
            value.copy_within(read..read + run, written);
        }
        read += run;
        written += run;
        match value.get(read) {
            None => break,
            Some(b'%') => value[written] = escaped(parameter, value.get(read + 1..read + 3))?,
            Some(_) => return Err(InvalidToken::QueryCharacter(parameter)),
        }
        read += 3;
        written += 1;
    }
    std::str::from_utf8(&value[..written]).map_err(|_| InvalidToken::QueryDecoded(parameter))
}

const fn plain_bytes() -> [bool; 256] {
    let mut plain = [false; 256];
    let mut byte = 0u8;
    loop {
        plain[byte as usize] = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
        match byte.checked_add(1) {
            Some(next) => byte = next,
            None => return plain,
        }
    }
}

/// Whether SigV4 leaves `byte` as it is (`UriEncode` in "Create a canonical request").
pub(super) fn is_plain(byte: u8) -> bool {
    PLAIN[usize::from(byte)]
}

fn escaped(parameter: Parameter, digits: Option<&[u8]>) -> Result<u8, InvalidToken> {
    let broken = || InvalidToken::QueryEscape(parameter);
    let Some(&[high, low]) = digits else { return Err(broken()) };
    let digit = |byte: u8| char::from(byte).to_digit(16).ok_or_else(broken);
    let byte = u8::try_from(digit(high)? * 16 + digit(low)?).map_err(|_| broken())?;
    if byte.is_ascii_graphic() { Ok(byte) } else { Err(InvalidToken::QueryDecoded(parameter)) }
}
