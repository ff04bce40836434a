//! Instance ids: `i-` and 8 or 17 hexadecimal digits (Amazon EC2 User Guide, "Resource IDs").

use std::fmt;

use super::Ec2Error;
use crate::caller::{Caller, PrincipalKind};

/// The id of an instance. Anything else never reaches EC2.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct InstanceId {
    /// The digits in lower case, the rest blank.
    text: [u8; LONGEST],
    length: usize,
}

const PREFIX: &str = "i-";
const DIGITS: [usize; 2] = [8, 17];
const LONGEST: usize = PREFIX.len() + DIGITS[1];

// === impl InstanceId ===

impl InstanceId {
    /// Reads an id.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix(PREFIX)?;
        let hexadecimal = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if !DIGITS.contains(&digits.len()) || !digits.bytes().all(hexadecimal) {
            return None;
        }
        let mut id = Self { text: [b' '; LONGEST], length: text.len() };
        id.text[..text.len()].copy_from_slice(text.as_bytes());
        Some(id)
    }

    /// The instance whose session `caller` is.
    pub(super) fn of(caller: &Caller) -> Result<Self, Ec2Error> {
        let role = caller.provider == "aws" && caller.kind == PrincipalKind::AssumedRole;
        let name = caller.session_name.as_ref().filter(|_| role);
        name.and_then(|name| Self::parse(name.as_str())).ok_or(Ec2Error::NotAnInstance)
    }

    /// As EC2 writes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.text[..self.length]).expect("ASCII")
    }
}

impl fmt::Debug for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids() {
        #[track_caller]
        fn check(text: &str, good: bool) {
            assert_eq!(InstanceId::parse(text).map(|id| id.as_str().to_owned()), good.then(|| text.to_owned()));
        }
        check("i-0123456789abcdef0", true);
        check("i-01234567", true);
        check("i-0123456789ABCDEF0", false);
        check("i-0123456789abcdeg0", false);
        check("i-0123456789abcdef", false);
        check("i-0123456789abcdef01", false);
        check("i-0123456", false);
        check("i-________", false);
        check("I-01234567", false);
        check("i-0123456\n", false);
        check(" i-01234567", false);
        check("alice", false);
        check("", false);
    }
}
