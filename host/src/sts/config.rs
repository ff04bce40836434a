//! Settings of the STS executor: what may be tuned, within which bounds, and what was wrong.

use std::{path::PathBuf, time::Duration};

use rustls_pki_types::{ServerName, pem};
use serde::Deserialize;

/// How STS is asked. Every value has a bound, which [`check`](Self::check) holds.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct Config {
    /// Longest wait for a connection, TLS and a proxy's tunnel included. Default 2 s, 50 ms to 30 s.
    #[serde(with = "crate::config::duration")]
    pub connect_timeout: Duration,
    /// Longest wait for one whole answer, connection included. Default 5 s, 100 ms to 30 s: well
    /// inside the 30 s after which kube-apiserver gives up on a webhook.
    #[serde(with = "crate::config::duration")]
    pub timeout: Duration,
    /// Most idle connections kept for one host. Default 128, at most 4096; `0` keeps none.
    pub idle_connections: usize,
    /// How long an idle connection is kept. Default 90 s, 1 s to 10 min.
    #[serde(with = "crate::config::duration")]
    pub idle_timeout: Duration,
    /// How long after its signature a token is taken, whatever its cloud allows. Default 15 min, as long as clouds do;
    /// 1 min to 15 min.
    #[serde(with = "crate::config::duration")]
    pub max_token_age: Duration,
    /// Callers STS vouched for a moment ago.
    pub verified_cache: VerifiedCache,
    /// Tokens STS refused a moment ago.
    pub refused_cache: RefusedCache,
    /// How much is asked of STS at most.
    pub limits: Limits,
    /// When a failing host is left alone.
    pub breaker: Breaker,
    /// Hosts beyond the provider's table, or other ways to reach those in it. Default none, at most 64.
    pub endpoints: Vec<Endpoint>,
}

/// How long STS's word for a caller is remembered. Mapping and policies run afresh all the same.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct VerifiedCache {
    /// Time to live, never past the token's own end. Default 60 s, at most 15 min; `0s` turns it off.
    #[serde(with = "crate::config::duration")]
    pub ttl: Duration,
    /// Most entries, about 1 KiB each. Default 4096, at most 1 048 576; `0` turns it off.
    pub entries: usize,
}

/// How long STS's definite refusal of a token is remembered.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct RefusedCache {
    /// Time to live. Default 10 s, at most 5 min; `0s` turns it off.
    #[serde(with = "crate::config::duration")]
    pub ttl: Duration,
    /// Most entries, about 100 bytes each. Default 4096, at most 1 048 576; `0` turns it off.
    pub entries: usize,
}

/// How much is asked of STS at most. A quarter of each is kept for keys whose owners were let in within the last hour, and of
/// that an eighth for one key at most; before anybody was, and where there are fewer than four, nothing is. A login beyond a limit is answered at once, never queued.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct Limits {
    /// Most calls under way at a time, three quarters of them to one host, and at most half of a server's reviews
    /// ([`Config::within`]). Half as many logins may wait beside them for calls of others. Default 512, 1 to 65 536.
    pub in_flight: usize,
    /// Calls per second over time. Default 500, at most 1 000 000; `0` means no limit.
    pub per_second: u32,
    /// Calls that may come at once after a quiet time. Default 1000, 1 to 1 000 000.
    pub burst: u32,
}

/// When a failing host is left alone, so that an outage costs neither logins' time nor the host's.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct Breaker {
    /// Failures in a row (no connection, no answer in time, HTTP 5xx) that open it. Default 10, at
    /// most 10 000; `0` turns it off.
    pub failures: u32,
    /// How long it stays open before one call may probe the host. Default 2 s, 10 ms to 5 min.
    #[serde(with = "crate::config::duration")]
    pub open_for: Duration,
}

/// One STS host: its name in tokens, and how to reach it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Endpoint {
    /// The host name that tokens are signed for, in lower case and without a port. TLS and HTTP keep
    /// this name wherever we connect.
    pub host: String,
    /// The region it vouches for. Default: the provider's table, else none (a global endpoint).
    #[serde(default)]
    pub region: Option<String>,
    /// The partition it belongs to. Default: the provider's table, else `aws`.
    #[serde(default)]
    pub partition: Option<String>,
    /// Where to connect instead, as `ip:port` or `name:port`. Proxies are then left out.
    #[serde(default)]
    pub connect_to: Option<String>,
    /// PEM file with the only certificate authorities trusted for this host. Default: the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
}

/// Why the executor cannot start. The operator's to mend, all of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A value is outside its bounds.
    #[error("{key} must be {allowed}")]
    Bounds {
        /// The key's path inside these settings.
        key: &'static str,
        /// What it may be.
        allowed: &'static str,
    },
    /// A CA file cannot be read.
    #[error("caFile {} cannot be read", path.display())]
    CaFile {
        /// The file as configured.
        path: PathBuf,
        /// What went wrong.
        source: pem::Error,
    },
    /// A CA file holds no usable certificate.
    #[error("caFile {} holds no usable certificate: it must be PEM with at least one CA", path.display())]
    CaFileEmpty {
        /// The file as configured.
        path: PathBuf,
    },
    /// The HTTP client cannot be built, e.g. because of a malformed proxy variable.
    #[error("the HTTP client for STS cannot be built")]
    Client(#[source] reqwest::Error),
    /// An endpoint is not usable.
    #[error("endpoint {host:?}: {problem}")]
    Endpoint {
        /// The host as configured.
        host: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The system's certificate authorities are missing, so that no STS host could be trusted.
    #[error(
        "no TLS root certificates found: install the system's CA bundle (package ca-certificates), or set \
         SSL_CERT_FILE to a PEM file of certificate authorities"
    )]
    NoRoots(#[source] Option<rustls_native_certs::Error>),
}

const MAX_ENDPOINTS: usize = 64;
const MAX_ENTRIES: usize = 1 << 20;
const MINUTE: Duration = Duration::from_secs(60);

// === impl Config ===

impl Config {
    /// Holds every value to its bounds. Reads no file.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Bounds`] or [`ConfigError::Endpoint`], for the first value that is wrong.
    pub fn check(&self) -> Result<(), ConfigError> {
        let time = |value: Duration, low, high| value >= Duration::from_millis(low) && value <= high;
        let bounds = [
            ("connectTimeout", "between 50ms and 30s", time(self.connect_timeout, 50, MINUTE / 2)),
            ("timeout", "between 100ms and 30s", time(self.timeout, 100, MINUTE / 2)),
            ("idleConnections", "at most 4096", self.idle_connections <= 4096),
            ("idleTimeout", "between 1s and 10m", time(self.idle_timeout, 1000, MINUTE * 10)),
            ("maxTokenAge", "between 1m and 15m", time(self.max_token_age, 60_000, MINUTE * 15)),
            ("verifiedCache.ttl", "at most 15m", time(self.verified_cache.ttl, 0, MINUTE * 15)),
            ("verifiedCache.entries", "at most 1048576", self.verified_cache.entries <= MAX_ENTRIES),
            ("refusedCache.ttl", "at most 5m", time(self.refused_cache.ttl, 0, MINUTE * 5)),
            ("refusedCache.entries", "at most 1048576", self.refused_cache.entries <= MAX_ENTRIES),
            ("limits.inFlight", "between 1 and 65536", (1..=65_536).contains(&self.limits.in_flight)),
            ("limits.perSecond", "at most 1000000", self.limits.per_second <= 1_000_000),
            ("limits.burst", "between 1 and 1000000", (1..=1_000_000).contains(&self.limits.burst)),
            ("breaker.failures", "at most 10000", self.breaker.failures <= 10_000),
            ("breaker.openFor", "between 10ms and 5m", time(self.breaker.open_for, 10, MINUTE * 5)),
            ("endpoints", "at most 64 entries", self.endpoints.len() <= MAX_ENDPOINTS),
        ];
        if let Some((key, allowed, _)) = bounds.into_iter().find(|(_, _, good)| !good) {
            return Err(ConfigError::Bounds { key, allowed });
        }
        self.check_endpoints()
    }

    /// These settings for a server that has so many `reviews` under way at most. Calls are then half of them, and logins that
    /// wait for calls of others a quarter, so that some are left for whoever need not wait, however many strangers do.
    #[must_use]
    pub fn within(&self, reviews: usize) -> Self {
        let mut config = self.clone();
        config.limits.in_flight = config.limits.in_flight.min((reviews / 2).max(1));
        config
    }

    fn check_endpoints(&self) -> Result<(), ConfigError> {
        for (index, endpoint) in self.endpoints.iter().enumerate() {
            let twice = self.endpoints[..index].iter().any(|earlier| earlier.host == endpoint.host);
            let problem = if twice { Some("its host is listed twice") } else { endpoint.problem() };
            if let Some(problem) = problem {
                return Err(ConfigError::Endpoint { host: endpoint.host.clone(), problem });
            }
        }
        Ok(())
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(2),
            timeout: Duration::from_secs(5),
            idle_connections: 128,
            idle_timeout: Duration::from_secs(90),
            max_token_age: MINUTE * 15,
            verified_cache: VerifiedCache::default(),
            refused_cache: RefusedCache::default(),
            limits: Limits::default(),
            breaker: Breaker::default(),
            endpoints: Vec::new(),
        }
    }
}

impl Default for VerifiedCache {
    fn default() -> Self {
        Self { ttl: MINUTE, entries: 4096 }
    }
}

impl Default for RefusedCache {
    fn default() -> Self {
        Self { ttl: Duration::from_secs(10), entries: 4096 }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { in_flight: 512, per_second: 500, burst: 1000 }
    }
}

impl Default for Breaker {
    fn default() -> Self {
        Self { failures: 10, open_for: Duration::from_secs(2) }
    }
}

// === impl Endpoint ===

impl Endpoint {
    fn problem(&self) -> Option<&'static str> {
        if !is_host_name(&self.host) || self.host.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Some("host must be a DNS name in lower case, without a port or a final dot");
        }
        let named = [&self.region, &self.partition];
        if named.into_iter().flatten().any(|name| !is_label(name)) {
            return Some("region and partition must be 1 to 64 lower-case letters, digits or hyphens");
        }
        let target = self.connect_to.as_deref();
        target.is_some_and(|target| split_target(target).is_none()).then_some("connectTo must be ip:port or name:port")
    }
}

/// Host and port of a `connectTo`; an IPv6 address stands in brackets.
pub(super) fn split_target(target: &str) -> Option<(&str, u16)> {
    let (host, port) = target.rsplit_once(':')?;
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let good = match bare {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => is_host_name(host) || host.parse::<std::net::Ipv4Addr>().is_ok(),
    };
    let port = port.parse().ok().filter(|port| *port != 0)?;
    good.then_some((bare.unwrap_or(host), port))
}

fn is_host_name(name: &str) -> bool {
    !name.ends_with('.') && matches!(ServerName::try_from(name), Ok(ServerName::DnsName(_)))
}

fn is_label(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=64).contains(&name.len()) && name.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(yaml: &str, expected: Result<(), &str>) {
        let config: Config = serde_saphyr::from_str(yaml).expect("a row's YAML is well-formed");
        let result = config.check().map_err(|error| error.to_string());
        assert_eq!(result.as_ref().copied().map_err(String::as_str), expected, "{yaml}");
    }

    #[test]
    fn defaults_are_in_bounds() {
        assert!(Config::default().check().is_ok());
        check("{}", Ok(()));
    }

    #[test]
    fn every_value_has_a_bound() {
        check("connectTimeout: 31s", Err("connectTimeout must be between 50ms and 30s"));
        check("timeout: 1ms", Err("timeout must be between 100ms and 30s"));
        check("timeout: 31s", Err("timeout must be between 100ms and 30s"));
        check("idleConnections: 5000", Err("idleConnections must be at most 4096"));
        check("idleTimeout: 11m", Err("idleTimeout must be between 1s and 10m"));
        check("maxTokenAge: 59s", Err("maxTokenAge must be between 1m and 15m"));
        check("maxTokenAge: 16m", Err("maxTokenAge must be between 1m and 15m"));
        check("verifiedCache: {ttl: 16m}", Err("verifiedCache.ttl must be at most 15m"));
        check("verifiedCache: {ttl: 0s, entries: 0}", Ok(()));
        check("verifiedCache: {entries: 2000000}", Err("verifiedCache.entries must be at most 1048576"));
        check("refusedCache: {ttl: 6m}", Err("refusedCache.ttl must be at most 5m"));
        check("refusedCache: {entries: 2000000}", Err("refusedCache.entries must be at most 1048576"));
        check("limits: {inFlight: 0}", Err("limits.inFlight must be between 1 and 65536"));
        check("limits: {perSecond: 0}", Ok(()));
        check("limits: {perSecond: 2000000}", Err("limits.perSecond must be at most 1000000"));
        check("limits: {burst: 0}", Err("limits.burst must be between 1 and 1000000"));
        check("breaker: {failures: 0}", Ok(()));
        check("breaker: {failures: 20000}", Err("breaker.failures must be at most 10000"));
        check("breaker: {openFor: 0s}", Err("breaker.openFor must be between 10ms and 5m"));
    }

    #[test]
    fn calls_leave_half_of_the_reviews() {
        let config = Config::default();
        for (reviews, calls) in [(1024, 512), (65_536, 512), (1023, 511), (100, 50), (2, 1), (1, 1)] {
            assert_eq!(config.within(reviews).limits, Limits { in_flight: calls, ..Limits::default() }, "{reviews}");
        }
    }

    #[test]
    fn endpoints_are_names_and_targets() {
        let host = r#"endpoint "127.0.0.1": host must be a DNS name in lower case, without a port or a final dot"#;
        let target = r#"endpoint "sts.test": connectTo must be ip:port or name:port"#;
        check("endpoints: [{host: sts.test, region: eu-west-9, partition: aws}]", Ok(()));
        check("endpoints: [{host: 127.0.0.1}]", Err(host));
        check("endpoints: [{host: 'STS.test'}]", Err(&host.replace("127.0.0.1", "STS.test")));
        check("endpoints: [{host: 'sts.test:443'}]", Err(&host.replace("127.0.0.1", "sts.test:443")));
        check("endpoints: [{host: 'sts.test.'}]", Err(&host.replace("127.0.0.1", "sts.test.")));
        check(
            "endpoints: [{host: sts.test, region: 'a b'}]",
            Err(r#"endpoint "sts.test": region and partition must be 1 to 64 lower-case letters, digits or hyphens"#),
        );
        check(
            "endpoints: [{host: sts.test}, {host: sts.test}]",
            Err(r#"endpoint "sts.test": its host is listed twice"#),
        );
        for good in ["127.0.0.1:8443", "[::1]:8443", "localhost:8443"] {
            check(&format!("endpoints: [{{host: sts.test, connectTo: '{good}'}}]"), Ok(()));
        }
        for bad in ["127.0.0.1", "::1:8443", "localhost:0", "localhost:70000", "http://localhost:1", ":1", ""] {
            check(&format!("endpoints: [{{host: sts.test, connectTo: '{bad}'}}]"), Err(target));
        }
    }

    #[test]
    fn typos_are_refused() {
        for yaml in ["timout: 1s", "limits: {inflight: 1}", "endpoints: [{host: sts.test, ca: x}]", "endpoints: [{}]"] {
            assert!(serde_saphyr::from_str::<Config>(yaml).is_err(), "{yaml}");
        }
    }
}
