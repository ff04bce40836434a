//! What an operator writes about one policy, read strictly: every limit has a hard maximum.

use std::{collections::BTreeMap, fmt, path::PathBuf, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, de::Visitor};
use sha2::{Digest as _, Sha256};

use super::{TableSource, ceiling::Ceiling, cloud::Fact};

/// One entry of `server.policies`.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Config {
    /// What `server.backendMode`, logs and metrics call it. Required.
    pub name: Name,
    /// What it may do. Required, because it is the policy's power.
    pub kind: Kind,
    /// Path of the component's file. Required.
    pub component: PathBuf,
    /// SHA-256 that the file must have, 64 hexadecimal digits. Default: any.
    #[serde(default)]
    pub sha256: Option<Digest>,
    /// The policy's own settings, handed over as JSON. Default `{}`.
    #[serde(default = "no_settings")]
    pub settings: serde_json::Value,
    /// The tables that it may read, by the names it knows them by. Default none.
    #[serde(default)]
    pub tables: BTreeMap<Name, TableSource>,
    /// The facts about callers that it may ask for. Default none. Those of Alibaba Cloud have none.
    #[serde(default)]
    pub cloud: Vec<Fact>,
    /// The most it may grant. Default: any name but those under `system:`.
    #[serde(default)]
    pub ceiling: Ceiling,
    /// Whether its answers count. Default `enforce`.
    #[serde(default)]
    pub mode: Mode,
    /// What a fault does to the login. Default `refuse`.
    #[serde(default)]
    pub on_fault: OnFault,
    /// What one decision may use.
    #[serde(default)]
    pub limits: Limits,
}

/// What a policy may do.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Names callers whom nobody has mapped yet.
    Map,
    /// Adds groups and extra values to a mapping, or refuses: a denial is final whatever the kind, and counts with
    /// `onFault: skip` too. That skips faults, and a policy that faults denies nobody: refusals that must not be lost
    /// belong into a guard.
    Augment,
    /// Takes groups and extra values away, or refuses.
    Guard,
}

/// Whether a policy's answers count.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// They do.
    #[default]
    Enforce,
    /// It is asked after the login is answered, and what it would have changed is written down.
    Shadow,
}

/// What a fault of a policy does to the login.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum OnFault {
    /// Refuses it.
    #[default]
    Refuse,
    /// Goes on without what the policy would have added; only for [`Kind::Augment`]. Policies with it share evenly what
    /// is left of the most groups and extra values, so that no failure of one makes room for another: more is a fault
    /// as well.
    Skip,
}

/// A policy's name: 1 to 63 lowercase letters, digits and dashes, so it can stand in a path, a label and a list.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[serde(try_from = "String")]
pub struct Name(String);

/// What one decision may use; its start is part of it, and its `configure` where there can be no snapshot.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(try_from = "RawLimits")]
pub struct Limits {
    timeout: Duration,
    memory: ByteSize,
    fuel: u64,
}

/// A number of bytes, written as Kubernetes does: `65536`, `64Ki`, `16Mi`, `1Gi` (Kubernetes API, "Quantity").
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct ByteSize(u64);

/// A SHA-256, written as 64 hexadecimal digits.
#[derive(Clone, Copy, Deserialize, Eq, Hash, PartialEq)]
#[serde(try_from = "String")]
pub struct Digest([u8; 32]);

/// Not a policy's name.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the name of a policy or of a table is 1 to 63 lowercase letters, digits and dashes")]
pub struct InvalidName;

/// A limit is zero or above its hard maximum.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("limits.{field} must be between {least} and {most}")]
pub struct InvalidLimit {
    field: &'static str,
    least: &'static str,
    most: &'static str,
}

/// Not a size in bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a size in bytes such as 64Ki or 16Mi")]
pub struct InvalidByteSize;

/// Not a SHA-256.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a SHA-256: must be 64 hexadecimal digits")]
pub struct InvalidDigest;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
struct RawLimits {
    #[serde(with = "crate::config::duration")]
    timeout: Duration,
    memory: ByteSize,
    fuel: u64,
}

fn no_settings() -> serde_json::Value {
    serde_json::Value::Object(serde_json::Map::new())
}

// === impl Name ===

impl Name {
    /// The name's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Name {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        let plain = text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        (plain && matches!(text.len(), 1..=63)).then_some(Self(text)).ok_or(InvalidName)
    }
}

impl FromStr for Name {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        text.to_owned().try_into()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl Limits ===

impl Limits {
    /// Longest any policy may run.
    pub const MAX_TIMEOUT: Duration = Duration::from_secs(5);
    /// Most memory any policy may have.
    pub const MAX_MEMORY: ByteSize = ByteSize::mebibytes(64);
    /// A policy that gets too little of a processor may take this many times its time.
    const STARVED: u32 = 10;
    /// Most fuel any policy may burn; about what [`Self::MAX_TIMEOUT`] of computing takes.
    pub const MAX_FUEL: u64 = 20_000_000_000;

    /// Takes limits that are within their maxima.
    ///
    /// # Errors
    ///
    /// Names the first that is zero or above its maximum.
    pub fn new(timeout: Duration, memory: ByteSize, fuel: u64) -> Result<Self, InvalidLimit> {
        let refuse = |field, least, most| Err(InvalidLimit { field, least, most });
        if timeout < Duration::from_millis(1) || timeout > Self::MAX_TIMEOUT {
            return refuse("timeout", "1ms", "5s");
        }
        if memory < ByteSize::kibibytes(64) || memory > Self::MAX_MEMORY {
            return refuse("memory", "64Ki", "64Mi");
        }
        if fuel == 0 || fuel > Self::MAX_FUEL {
            return refuse("fuel", "1", "20000000000");
        }
        Ok(Self { timeout, memory, fuel })
    }

    /// What a `configure` may use that runs once, for the snapshot that decisions start from: ten times the fuel and the
    /// time of one of them, and the same memory.
    pub(super) fn of_configure(&self) -> Self {
        const MORE: u32 = 10;
        Self {
            timeout: (self.timeout * MORE).min(Self::MAX_TIMEOUT),
            memory: self.memory,
            fuel: self.fuel.saturating_mul(MORE.into()).min(Self::MAX_FUEL),
        }
    }

    /// Longest that a decision takes in all once it has an instance, however little of a processor it gets.
    #[must_use]
    pub fn longest(&self) -> Duration {
        self.timeout * Self::STARVED
    }

    /// Longest time a decision may run. Waiting for a free instance is not counted, nor, up to ten times this time
    /// in all, for a processor. Default 50 ms.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Most memory the whole instance may have. Default 16 MiB.
    #[must_use]
    pub fn memory(&self) -> ByteSize {
        self.memory
    }

    /// Most fuel, about one unit an instruction. Default 50 million.
    #[must_use]
    pub fn fuel(&self) -> u64 {
        self.fuel
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { timeout: Duration::from_millis(50), memory: ByteSize::mebibytes(16), fuel: 50_000_000 }
    }
}

impl Default for RawLimits {
    fn default() -> Self {
        let Limits { timeout, memory, fuel } = Limits::default();
        Self { timeout, memory, fuel }
    }
}

impl TryFrom<RawLimits> for Limits {
    type Error = InvalidLimit;

    fn try_from(raw: RawLimits) -> Result<Self, InvalidLimit> {
        Self::new(raw.timeout, raw.memory, raw.fuel)
    }
}

// === impl ByteSize ===

impl ByteSize {
    /// So many times 1024 bytes.
    #[must_use]
    pub const fn kibibytes(count: u32) -> Self {
        Self((count as u64) << 10)
    }

    /// So many times 1024² bytes.
    #[must_use]
    pub const fn mebibytes(count: u32) -> Self {
        Self((count as u64) << 20)
    }

    /// The number of bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

/// A number need not be in quotes.
impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberOrText;
        impl Visitor<'_> for NumberOrText {
            type Value = ByteSize;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size in bytes such as 64Ki or 16Mi")
            }

            fn visit_u64<E: serde::de::Error>(self, bytes: u64) -> Result<ByteSize, E> {
                Ok(ByteSize(bytes))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<ByteSize, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(NumberOrText)
    }
}

impl FromStr for ByteSize {
    type Err = InvalidByteSize;

    fn from_str(text: &str) -> Result<Self, InvalidByteSize> {
        let units = [("Ki", 1 << 10), ("Mi", 1 << 20), ("Gi", 1 << 30)];
        let (number, unit) =
            units.iter().find_map(|(suffix, unit)| Some((text.strip_suffix(suffix)?, *unit))).unwrap_or((text, 1_u64));
        if !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(InvalidByteSize);
        }
        number.parse().ok().and_then(|number: u64| number.checked_mul(unit)).map(Self).ok_or(InvalidByteSize)
    }
}

// === impl Digest ===

impl Digest {
    /// The SHA-256 of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    pub(super) fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl TryFrom<String> for Digest {
    type Error = InvalidDigest;

    fn try_from(text: String) -> Result<Self, InvalidDigest> {
        text.parse()
    }
}

impl FromStr for Digest {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Self, InvalidDigest> {
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(InvalidDigest);
        }
        let mut bytes = [0; 32];
        for (byte, at) in bytes.iter_mut().zip((0..64).step_by(2)) {
            *byte = u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| InvalidDigest)?;
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(yaml: &str, expected: Result<(), &str>) {
        let text = format!("{{name: oncall, kind: map, component: /p.wasm{yaml}}}");
        let found = serde_saphyr::from_str::<Config>(&text).map(drop).map_err(|error| error.to_string());
        match (found, expected) {
            (Ok(()), Ok(())) => {}
            (Err(error), Err(part)) => assert!(error.contains(part), "{error}"),
            (found, expected) => panic!("{text}: {found:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn entries() {
        check(", typo: 1", Err("typo"));
        check(", name2: a", Err("name2"));
        check(", limits: {timeout: 6s}", Err("limits.timeout must be between 1ms and 5s"));
        check(", limits: {timeout: 0s}", Err("limits.timeout"));
        check(", limits: {memory: 65Mi}", Err("limits.memory must be between 64Ki and 64Mi"));
        check(", limits: {memory: 16M}", Err("not a size in bytes"));
        check(", limits: {memory: 1.5}", Err("a size in bytes such as 64Ki"));
        check(", limits: {memory: 65536}", Ok(()));
        check(", limits: {fuel: 0}", Err("limits.fuel"));
        check(", limits: {feul: 1}", Err("feul"));
        check(", sha256: 12", Err("not a SHA-256"));
        check(", onFault: allow", Err("allow"));
        check(", mode: warn", Err("warn"));
        check(", mode: shadow", Ok(()));
        check("", Ok(()));
        check(", limits: {timeout: 5s, memory: 64Mi, fuel: 1}", Ok(()));
        check(", ceiling: {groups: ['system:*']}", Err("covers nothing"));
        check(", ceiling: {usernames: [a, 'System:node:*']}", Err("covers nothing"));
        check(", ceiling: {uids: ['1*', 'system:*']}", Err("covers nothing"));
        check(", ceiling: {groups: ['*', 'system:masters', 'syste*'], uids: ['*', 'system:a']}", Ok(()));
        check(", settings: {rota: [payments]}, onFault: skip, ceiling: {groups: [a]}", Ok(()));
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        let config: Config = serde_saphyr::from_str("{name: a, kind: guard, component: p}").unwrap();
        assert_eq!(config.settings.to_string(), "{}");
        assert_eq!(config.limits, Limits::default());
        assert_eq!((config.on_fault, config.mode, config.sha256), (OnFault::Refuse, Mode::Enforce, None));
    }

    #[test]
    fn names() {
        for bad in ["", "A", "a b", "a/b", "ä", &"a".repeat(64)] {
            assert_eq!(bad.parse::<Name>(), Err(InvalidName), "{bad:?}");
        }
        assert_eq!("on-call-2".parse::<Name>().unwrap().as_str(), "on-call-2");
    }

    #[test]
    fn sizes() {
        let parse = |text: &str| text.parse::<ByteSize>().map(ByteSize::bytes);
        assert_eq!(parse("16Mi"), Ok(16 << 20));
        assert_eq!(parse("65536"), Ok(65536));
        for bad in ["", "Mi", "-1", "+1Mi", "1.5Mi", "16 Mi", "16MB", "99999999999Gi"] {
            assert_eq!(parse(bad), Err(InvalidByteSize), "{bad:?}");
        }
    }

    #[test]
    fn a_digest_is_written_as_it_was_read() {
        let text = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Digest::of(b"abc").to_string(), text);
        assert_eq!(text.parse(), Ok(Digest::of(b"abc")));
        assert_eq!("é".repeat(32).parse::<Digest>(), Err(InvalidDigest));
    }
}
