//! Parameters of the AWS query protocol, from a query string or a form body.

use std::borrow::Cow;

use super::error::StsError;

/// Decoded parameters in the order they came; no name is there twice, whatever its case.
#[derive(Debug, Default)]
pub struct Parameters<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

/// Most parameters in one request.
const MAX_PARAMETERS: usize = 256;

// === impl Parameters ===

impl<'a> Parameters<'a> {
    /// Reads `text`, which is a query string or a form.
    ///
    /// # Errors
    ///
    /// `MalformedQueryString` for a broken escape, for text that is not UTF-8, for too many
    /// parameters and for a name that comes twice.
    pub fn parse(text: &'a str) -> Result<Self, StsError> {
        let mut parameters = Self::default();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            parameters.push(decode(name)?, decode(value)?)?;
        }
        Ok(parameters)
    }

    /// The value of `name`, whose case does not matter.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_ref())
    }

    /// All pairs, names as written.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), value.as_ref()))
    }

    /// Adds the parameters of a form body to those of the query.
    ///
    /// # Errors
    ///
    /// As [`Self::parse`].
    pub fn extend(&mut self, form: Self) -> Result<(), StsError> {
        form.0.into_iter().try_for_each(|(name, value)| self.push(name, value))
    }

    fn push(&mut self, name: Cow<'a, str>, value: Cow<'a, str>) -> Result<(), StsError> {
        if self.find(&name).is_some() {
            return Err(StsError::MalformedQueryString(format!("the parameter '{name}' comes twice")));
        }
        if self.0.len() == MAX_PARAMETERS {
            return Err(StsError::MalformedQueryString("too many parameters".to_owned()));
        }
        self.0.push((name, value));
        Ok(())
    }
}

fn decode(text: &str) -> Result<Cow<'_, str>, StsError> {
    if !text.bytes().any(|byte| matches!(byte, b'%' | b'+')) {
        return Ok(Cow::Borrowed(text));
    }
    let malformed = || StsError::MalformedQueryString("a broken escape".to_owned());
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        let run = rest.iter().position(|byte| matches!(byte, b'%' | b'+')).unwrap_or(rest.len());
        bytes.extend_from_slice(&rest[..run]);
        rest = match &rest[run..] {
            [b'%', high, low, tail @ ..] => {
                let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
                bytes.push(digit(high).ok_or_else(malformed)? << 4 | digit(low).ok_or_else(malformed)?);
                tail
            }
            [b'%', ..] => return Err(malformed()),
            [_plus, tail @ ..] => {
                bytes.push(b' ');
                tail
            }
            [] => break,
        };
    }
    String::from_utf8(bytes).map(Cow::Owned).map_err(|_| malformed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters() {
        #[track_caller]
        fn check(text: &str, expected: Option<&[(&str, &str)]>) {
            let parsed = Parameters::parse(text);
            let pairs = parsed.as_ref().ok().map(|parameters| parameters.iter().collect::<Vec<_>>());
            assert_eq!(pairs.as_deref(), expected, "{text}");
        }
        check("", Some(&[]));
        check("a=1&B=%2F%2f+x&c", Some(&[("a", "1"), ("B", "// x"), ("c", "")]));
        check("a=%C3%A9", Some(&[("a", "é")]));
        check("a=1&a=1", None);
        check("a=1&A=2", None);
        check("a=%2", None);
        check("a=%zz", None);
        check("a=%ff", None);
    }
}
