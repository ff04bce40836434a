//! Server: HTTP over TLS, health and drain around an authenticator.
//!
//! The only room that speaks HTTP to Kubernetes. Everything a peer can make it hold is bounded:
//! connections, requests under way, heads, bodies, and the time each of them may take; and how often it is written
//! down.

use std::{
    future::Future,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::{Arc, LazyLock},
    thread,
    time::{Duration, SystemTime},
};

use arc_swap::{ArcSwap, ArcSwapOption};
use serde::Deserialize;
use tokio::{net::TcpListener, task::JoinSet};

use crate::{
    authenticator::Authenticator,
    kubernetes::Kubeconfig,
    observe::{AuditLog, Metrics},
};

mod body;
pub mod certificate;
mod client_auth;
mod connection;
mod files;
mod hostname;
mod listen;
mod pace;
mod plain;
mod readiness;
mod rejection;
mod reply;
mod routes;
mod tls;

pub use certificate::{CertificateError, Keeper, Pair, Rotated, Served};
pub use client_auth::{ClientAuth, ClientAuthError};
pub use connection::{Frames, Heads};
pub use hostname::{Hostname, InvalidHostname};
pub use listen::Drained;
pub use plain::{Health, MetricsListener};
pub use readiness::Readiness;
pub use tls::UnusablePair;

/// Path of the webhook.
pub const WEBHOOK_PATH: &str = "/authenticate";

/// Name of the cluster entry in the webhook kubeconfig, and common name of the certificate.
pub const NAME: &str = "herald";

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How the webhook is served. Durations are written as `10s` or `3m`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct Config {
    /// Address to listen on, as an IP; also one of the certificate's names. Default `127.0.0.1`.
    #[serde(deserialize_with = "ip_address")]
    pub address: IpAddr,
    /// TCP port to listen on. Default 21362.
    pub port: u16,
    /// Name, or IP, under which the API server reaches the webhook. Default `localhost`.
    pub hostname: Hostname,
    /// Where `cert.pem` and `key.pem` are kept, and the authority that vouches for them. Default `/var/herald`.
    pub state_dir: PathBuf,
    /// Where the webhook kubeconfig is written. Default `/etc/kubernetes/herald/kubeconfig.yaml`.
    pub generate_kubeconfig: PathBuf,
    /// Leave the webhook kubeconfig alone: somebody else has put it in place. Default false.
    pub kubeconfig_pregenerated: bool,
    /// Where `/healthz` and `/readyz` are told in plain HTTP.
    pub health: Health,
    /// Where `/metrics` is told in plain HTTP.
    pub metrics: MetricsListener,
    /// How long a certificate of the server's own authority is good; it is renewed after two thirds of that. Default
    /// 90 days, from 1 h to 825 days.
    #[serde(with = "crate::config::duration")]
    pub certificate_lifetime: Duration,
    /// Who may ask. Default: whoever reaches the port.
    pub client_auth: ClientAuth,
    /// Audiences this server answers for. With some set, a review that asks for none of them is not
    /// authenticated, and the answer names those in common. Default none: the API server then takes
    /// its own.
    pub audiences: Vec<String>,
    /// Largest TokenReview, in bytes; larger ones get HTTP 413. Default 65536, from 4096 to 1048576.
    pub max_body_bytes: usize,
    /// Longest wait for a TLS handshake. Default 10 s, from 10 ms to 60 s.
    #[serde(with = "crate::config::duration")]
    pub handshake_timeout: Duration,
    /// Longest wait for a request's head, and for the first request of a connection. Default 10 s,
    /// from 10 ms to 60 s.
    #[serde(with = "crate::config::duration")]
    pub head_timeout: Duration,
    /// Longest wait for a request's body. Default 10 s, from 10 ms to 60 s.
    #[serde(with = "crate::config::duration")]
    pub body_timeout: Duration,
    /// How long a connection is kept without a request; `headTimeout` while less than a quarter of `maxConnections` is
    /// left. Default 3 m, from 10 ms to 1 h.
    #[serde(with = "crate::config::duration")]
    pub idle_timeout: Duration,
    /// Most open connections; more wait to be accepted. Default 1024, from 1 to 65536.
    pub max_connections: usize,
    /// Most token reviews under way; more get HTTP 429. Default 1024, from 1 to 65536.
    pub max_in_flight: usize,
    /// Threads that answer logins; a crowd's policies have threads of their own, `server.policyEngine.workers`. Default half
    /// of the processors that this process may use, at least one: they are the API server's too, and fewer threads find more of what they need in the processors' caches. From 1
    /// to 256.
    pub workers: usize,
    /// Longest wait for reviews under way when the server stops. Default 20 s, from 0 s to 10 m.
    #[serde(with = "crate::config::duration")]
    pub shutdown_grace: Duration,
}

/// What the server answers from. All of it outlives a change of configuration.
#[derive(Clone)]
pub struct Services {
    /// The pipeline of the configuration in force.
    pub authenticator: Arc<ArcSwap<Authenticator>>,
    /// Where decisions are written down.
    pub audit: Arc<AuditLog>,
    /// Where they are counted.
    pub metrics: Arc<Metrics>,
    /// What is missing before logins can be answered.
    pub readiness: Arc<Readiness>,
    /// Why the newest configuration is not in force; told by `/readyz?verbose`, no reason not to be ready.
    pub reload_error: Arc<ArcSwapOption<String>>,
    /// Which policies go on as they were while their newest versions are compiled; told there too.
    pub compiling: Arc<ArcSwapOption<String>>,
}

/// Why the server does not start. The operator's to mend, every one of them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Bind {
        /// The configured address and port.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The certificate or its key.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// What clients are asked for.
    #[error(transparent)]
    ClientAuth(#[from] ClientAuthError),
    /// The webhook kubeconfig cannot be written.
    #[error(
        "cannot write the webhook kubeconfig {}: mount its folder writable, choose another place with \
         --generate-kubeconfig, or pass --kubeconfig-pregenerated if it is in place already",
        path.display()
    )]
    Kubeconfig {
        /// The configured path.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A setting is out of its bounds.
    #[error("server.{key} must be from {low} to {high}, not {found}")]
    OutOfBounds {
        /// The setting's key.
        key: &'static str,
        /// The configured value.
        found: String,
        /// The least value.
        low: String,
        /// The greatest value.
        high: String,
    },
}

// === impl Config ===

impl Default for Config {
    fn default() -> Self {
        Self {
            address: Ipv4Addr::LOCALHOST.into(),
            port: 21362,
            hostname: Hostname::default(),
            state_dir: "/var/herald".into(),
            generate_kubeconfig: "/etc/kubernetes/herald/kubeconfig.yaml".into(),
            kubeconfig_pregenerated: false,
            health: Health::default(),
            metrics: MetricsListener::default(),
            certificate_lifetime: 90 * DAY,
            client_auth: ClientAuth::default(),
            audiences: Vec::new(),
            max_body_bytes: 64 * 1024,
            handshake_timeout: Duration::from_secs(10),
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(180),
            max_connections: 1024,
            max_in_flight: 1024,
            workers: half_of_the_processors(),
            shutdown_grace: Duration::from_secs(20),
        }
    }
}

impl Config {
    /// Checks every bound that this struct documents.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfBounds`] for the first setting outside of its bounds, and [`Error::ClientAuth`].
    pub fn check(&self) -> Result<(), Error> {
        self.client_auth.pair()?;
        check_count("maxBodyBytes", self.max_body_bytes, 4096, 1024 * 1024)?;
        check_count("maxConnections", self.max_connections, 1, 65536)?;
        check_count("maxInFlight", self.max_in_flight, 1, 65536)?;
        check_count("workers", self.workers, 1, 256)?;
        let (least, minute) = (Duration::from_millis(10), Duration::from_secs(60));
        check_time("handshakeTimeout", self.handshake_timeout, least, minute)?;
        check_time("headTimeout", self.head_timeout, least, minute)?;
        check_time("bodyTimeout", self.body_timeout, least, minute)?;
        check_time("idleTimeout", self.idle_timeout, least, 60 * minute)?;
        check_time("certificateLifetime", self.certificate_lifetime, 60 * minute, 825 * DAY)?;
        check_time("shutdownGrace", self.shutdown_grace, Duration::ZERO, 10 * minute)
    }

    /// The URL that the API server posts to.
    #[must_use]
    pub fn webhook_url(&self) -> String {
        format!("https://{}:{}{WEBHOOK_PATH}", self.hostname.bracketed(), self.port)
    }
}

fn half_of_the_processors() -> usize {
    processors().div_ceil(2).min(256)
}

/// Processors that this process may use; cgroup limits count. Read once: a limit that is changed while the process runs makes no
/// other configuration of the same file.
pub fn processors() -> usize {
    static PROCESSORS: LazyLock<usize> = LazyLock::new(|| thread::available_parallelism().map_or(1, NonZeroUsize::get));
    *PROCESSORS
}

fn check_count(key: &'static str, found: usize, low: usize, high: usize) -> Result<(), Error> {
    if (low..=high).contains(&found) {
        return Ok(());
    }
    Err(Error::OutOfBounds { key, found: found.to_string(), low: low.to_string(), high: high.to_string() })
}

fn check_time(key: &'static str, found: Duration, low: Duration, high: Duration) -> Result<(), Error> {
    if (low..=high).contains(&found) {
        return Ok(());
    }
    let text = |time| humantime::format_duration(time).to_string();
    Err(Error::OutOfBounds { key, found: text(found), low: text(low), high: text(high) })
}

fn ip_address<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<IpAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| {
        serde::de::Error::custom(format_args!(
            "the address to listen on must be an IP such as 127.0.0.1 or ::1, not {text:?}; names go into hostname"
        ))
    })
}

/// Loads the certificate from the state directory, or makes it there.
///
/// # Errors
///
/// [`Error::OutOfBounds`] and [`Error::Certificate`].
pub fn load_certificate(config: &Config, now: SystemTime) -> Result<Pair, Error> {
    config.check()?;
    Ok(Pair::load_or_create(&config.state_dir, &config.hostname, config.address, now)?)
}

/// Makes the folders of the certificate, which is the server's alone, and of the kubeconfig, where they are missing.
///
/// # Errors
///
/// [`Error::Certificate`] and [`Error::Kubeconfig`].
pub fn make_folders(config: &Config) -> Result<(), Error> {
    let (state, kubeconfig) = (&config.state_dir, &config.generate_kubeconfig);
    let failed = |source| CertificateError::Write { path: state.clone(), source };
    files::private_folder(state).map_err(failed)?;
    let failed = |source| Error::Kubeconfig { path: kubeconfig.clone(), source };
    kubeconfig.parent().map_or(Ok(()), std::fs::create_dir_all).map_err(failed)
}

/// Writes the webhook kubeconfig, which trusts the certificates of `bundle`, to `path`: whole or not at all, unless it is
/// there already word for word. It holds no secret: mode 0644.
///
/// # Errors
///
/// [`Error::Kubeconfig`] and [`Error::ClientAuth`].
pub fn write_kubeconfig(config: &Config, bundle: &str, path: &Path) -> Result<(), Error> {
    let kubeconfig = Kubeconfig::webhook(NAME, config.webhook_url(), bundle);
    let yaml = match config.client_auth.pair()? {
        Some((certificate, key)) => kubeconfig.by(certificate, key),
        None => kubeconfig,
    }
    .to_yaml();
    if std::fs::read(path).is_ok_and(|found| found == yaml.as_bytes()) {
        return Ok(());
    }
    files::replace(path, yaml.as_bytes(), 0o644).map_err(|source| Error::Kubeconfig { path: path.to_owned(), source })
}

/// Listens on the configured address.
///
/// # Errors
///
/// [`Error::Bind`].
pub async fn bind(config: &Config) -> Result<TcpListener, Error> {
    let address = SocketAddr::new(config.address, config.port);
    TcpListener::bind(address).await.map_err(|source| Error::Bind { address, source })
}

/// Answers on `listener` until `shutdown`, then lets the reviews under way finish.
///
/// Nothing is accepted and `/readyz` says 503 from the moment `shutdown` is ready. What is not
/// answered within `shutdownGrace` is cut.
///
/// # Errors
///
/// [`Error::Certificate`] and [`Error::ClientAuth`] when TLS cannot be set up.
pub async fn serve(
    listener: TcpListener,
    config: Config,
    served: Arc<Served>,
    services: Services,
    shutdown: impl Future<Output = ()>,
) -> Result<Drained, Error> {
    config.check()?;
    let clients = config.client_auth.verifier()?;
    let tls = tls::acceptor(Arc::clone(&served) as _, clients).map_err(CertificateError::from)?;
    let room = Arc::new(routes::Room::new(&config, services, served));
    let [health, metrics] =
        [(config.health.address, config.health.port), (config.metrics.address, config.metrics.port)];
    let mut others = JoinSet::new();
    others.spawn(plain::serve("health", health.into(), routes::health(Arc::clone(&room))));
    others.spawn(plain::serve("metrics", metrics.into(), routes::metrics_alone(Arc::clone(&room))));
    let drained = listen::Listener::new(config, tls, room).run(listener, shutdown).await;
    // To the end, so that `/readyz` says that it is near.
    drop(others);
    Ok(drained)
}

#[cfg(test)]
pub(crate) mod fixtures;
#[cfg(test)]
mod tests;
