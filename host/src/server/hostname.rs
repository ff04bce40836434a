//! A host's name or IP address, as it stands in URLs and certificates.

use std::{fmt, net::IpAddr, str::FromStr};

use rustls_pki_types::DnsName;
use serde::Deserialize;

/// A DNS name or an IP address.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(try_from = "String")]
pub enum Hostname {
    /// An IP address.
    Ip(IpAddr),
    /// A DNS name.
    Name(String),
}

/// Neither a DNS name nor an IP address.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a host name or an IP address: {0:?}")]
pub struct InvalidHostname(String);

// === impl Hostname ===

impl Hostname {
    /// As a URL's authority writes it: IPv6 in brackets.
    #[must_use]
    pub fn bracketed(&self) -> String {
        match self {
            Self::Ip(IpAddr::V6(address)) => format!("[{address}]"),
            host => host.to_string(),
        }
    }
}

impl Default for Hostname {
    fn default() -> Self {
        Self::Name("localhost".to_owned())
    }
}

impl FromStr for Hostname {
    type Err = InvalidHostname;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        if let Ok(address) = bare.parse() {
            return Ok(Self::Ip(address));
        }
        let name = DnsName::try_from(text).map_err(|_| InvalidHostname(text.to_owned()))?;
        Ok(Self::Name(name.as_ref().to_owned()))
    }
}

impl TryFrom<String> for Hostname {
    type Error = InvalidHostname;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl fmt::Display for Hostname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        assert_eq!(text.parse::<Hostname>().ok().map(|host| host.bracketed()).as_deref(), expected, "{text:?}");
    }

    #[test]
    fn names_and_addresses() {
        check("localhost", Some("localhost"));
        check("herald.kube-system.svc", Some("herald.kube-system.svc"));
        check("127.0.0.1", Some("127.0.0.1"));
        check("::1", Some("[::1]"));
        check("[::1]", Some("[::1]"));
        check("", None);
        check("a b", None);
        check("localhost:21362", None);
        check("localhost/path", None);
        check("user@host", None);
    }
}
