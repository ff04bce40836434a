//! Clients of STS: which pool, roots and address a host is reached with.
//!
//! HTTP/2 or HTTP/1.1 as ALPN decides, proxies as the environment says (`HTTPS_PROXY`, `NO_PROXY`), no
//! redirects, no cookies, no compression.
//!
//! A connection may die without a word, as when a gateway on the way has forgotten it. Idle, it is probed and out of
//! the pool within seconds; with a call on it, it is given up while there is time to make the call again on another.
//! What remains: calls that meet such a connection in those seconds take so much longer, or fail if the second one is
//! dead too; and behind a proxy only the way to the proxy is watched.

use std::{collections::HashMap, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use reqwest::{
    dns::{Addrs, Name, Resolve, Resolving},
    redirect,
};
use rustls::RootCertStore;

use super::{Config, ConfigError, Endpoint, config::split_target, exchange::MAX_ANSWER, tls};

/// The clients of all hosts: one for the hosts of the world, and one for each way of reaching others.
pub(super) struct Clients {
    general: reqwest::Client,
    special: HashMap<String, reqwest::Client>,
}

/// A way of reaching hosts that is not the general one. Endpoints with the same way share a pool.
#[derive(Eq, Hash, PartialEq)]
struct Way {
    ca_file: Option<PathBuf>,
    is_direct: bool,
}

/// After which silence a connection is dead (tcp(7)).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Patience {
    /// Idle for so long, it is probed, and then each [`PROBE_INTERVAL`].
    probe_after: Duration,
    /// What was sent, or a probe, may go without an acknowledgement for so long.
    unacknowledged: Duration,
}

/// Where `connectTo` leads: the only names this resolver knows.
struct Targets(HashMap<String, String>);

/// HTTP/2 flow control: no stream may bring more than an answer, and 128 of them run side by side.
const H2_STREAM_WINDOW: u32 = MAX_ANSWER as u32;
const H2_CONNECTION_WINDOW: u32 = 128 * H2_STREAM_WINDOW;
/// An HTTP/2 connection carries every call, so a dead one must be noticed while calls wait on it. The first ping of one that
/// was idle goes with the call.
const H2_PING_INTERVAL: Duration = Duration::from_secs(5);
const H2_PING_TIMEOUT: Duration = Duration::from_secs(2);
/// How often an idle connection is probed that does not answer, and how often before it is dead.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
const PROBES: u32 = 3;
const H2_HEADER_LIST: u32 = 16 * 1024;

// === impl Clients ===

impl Clients {
    /// Clients without connections. Reads the trusted roots, nothing else.
    ///
    /// # Errors
    ///
    /// Any [`ConfigError`] but bounds.
    pub(super) fn new(config: &Config) -> Result<Self, ConfigError> {
        let system = system_roots(config)?;
        let general = builder(config, Arc::clone(&system)).build().map_err(ConfigError::Client)?;
        let mut special = HashMap::new();
        for (way, endpoints) in ways(config) {
            let roots = way.ca_file.as_deref().map_or_else(|| Ok(Arc::clone(&system)), tls::file_roots)?;
            let client = way.builder(config, roots, &endpoints).build().map_err(ConfigError::Client)?;
            special.extend(endpoints.into_iter().map(|endpoint| (endpoint.host.clone(), client.clone())));
        }
        Ok(Self { general, special })
    }

    /// The client that reaches `host`.
    pub(super) fn of(&self, host: &str) -> &reqwest::Client {
        self.special.get(host).unwrap_or(&self.general)
    }
}

fn ways(config: &Config) -> HashMap<Way, Vec<&Endpoint>> {
    let mut ways = HashMap::<_, Vec<_>>::new();
    for endpoint in &config.endpoints {
        ways.entry(Way::of(endpoint)).or_default().push(endpoint);
    }
    ways.retain(|way, _| !way.is_general());
    ways
}

/// The system's roots. Without any, an installation that brings its own CA may still start: every other
/// host then fails its TLS handshake.
fn system_roots(config: &Config) -> Result<Arc<RootCertStore>, ConfigError> {
    match tls::system_roots() {
        Err(error @ ConfigError::NoRoots(_)) if config.endpoints.iter().any(|e| e.ca_file.is_some()) => {
            tracing::warn!("{error}; only endpoints with a caFile can be asked");
            Ok(Arc::new(RootCertStore::empty()))
        }
        roots => roots,
    }
}

fn builder(config: &Config, roots: Arc<RootCertStore>) -> reqwest::ClientBuilder {
    let patience = Patience::of(config);
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls::client_config(roots))
        .https_only(true)
        .redirect(redirect::Policy::none())
        .referer(false)
        .user_agent(concat!("herald/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(config.connect_timeout)
        .tcp_keepalive(patience.probe_after)
        .tcp_keepalive_interval(PROBE_INTERVAL)
        .tcp_keepalive_retries(PROBES)
        .tcp_user_timeout(patience.unacknowledged)
        .pool_max_idle_per_host(config.idle_connections)
        .pool_idle_timeout(config.idle_timeout)
        .http2_initial_stream_window_size(H2_STREAM_WINDOW)
        .http2_initial_connection_window_size(H2_CONNECTION_WINDOW)
        .http2_max_header_list_size(H2_HEADER_LIST)
        .http2_keep_alive_interval(H2_PING_INTERVAL)
        .http2_keep_alive_timeout(H2_PING_TIMEOUT)
}

// === impl Patience ===

impl Patience {
    /// Half of the time for an answer, so that a call may be made a second time, but never less than a new connection
    /// may take. The system counts probes in whole seconds.
    fn of(config: &Config) -> Self {
        Self {
            probe_after: config.connect_timeout.clamp(Duration::from_secs(1), Duration::from_secs(5)),
            unacknowledged: config.connect_timeout.max(config.timeout / 2),
        }
    }
}

// === impl Way ===

impl Way {
    fn of(endpoint: &Endpoint) -> Self {
        Self { ca_file: endpoint.ca_file.clone(), is_direct: endpoint.connect_to.is_some() }
    }

    fn is_general(&self) -> bool {
        self.ca_file.is_none() && !self.is_direct
    }

    fn builder(&self, config: &Config, roots: Arc<RootCertStore>, endpoints: &[&Endpoint]) -> reqwest::ClientBuilder {
        let builder = builder(config, roots);
        if self.is_direct { builder.no_proxy().dns_resolver(Targets::of(endpoints)) } else { builder }
    }
}

// === impl Targets ===

impl Targets {
    fn of(endpoints: &[&Endpoint]) -> Self {
        let target = |endpoint: &&Endpoint| Some((endpoint.host.clone(), endpoint.connect_to.clone()?));
        Self(endpoints.iter().filter_map(target).collect())
    }
}

impl Resolve for Targets {
    fn resolve(&self, name: Name) -> Resolving {
        let target = self.0.get(name.as_str()).cloned();
        Box::pin(async move {
            let target = target.as_deref().and_then(split_target).ok_or("not a listed endpoint")?;
            let addresses: Vec<SocketAddr> = tokio::net::lookup_host(target).await?.collect();
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_connection_is_noticed_in_time_for_a_second_one() {
        #[track_caller]
        fn check(connect: u64, whole: u64, probe_after: u64, unacknowledged: u64) {
            let [connect_timeout, timeout, probe_after, unacknowledged] =
                [connect, whole, probe_after, unacknowledged].map(Duration::from_millis);
            let config = Config { connect_timeout, timeout, ..Config::default() };
            assert_eq!(Patience::of(&config), Patience { probe_after, unacknowledged });
        }
        check(2000, 5000, 2000, 2500);
        check(50, 100, 1000, 50);
        check(3000, 5000, 3000, 3000);
        check(30_000, 30_000, 5000, 30_000);
    }
}
