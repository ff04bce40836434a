//! Dev STS: an AWS Security Token Service on loopback, and Alibaba Cloud's beside it, that check requests as strictly
//! as the real ones.
//!
//! One port does four things, told apart by the first bytes:
//!
//! * a TLS hello: HTTPS, with a certificate for whatever STS host the client asked for;
//! * `CONNECT host:443`: answered 200, then the same TLS server speaks on that socket, so that a
//!   program with `HTTPS_PROXY` and `SSL_CERT_FILE` set believes it talks to the real host and no
//!   byte is copied on the way;
//! * `GET /admin/…` in plain HTTP: `stats`, `reset`, `requests`, `set?latency_ms=5&fault=hang`;
//! * `/latest/…` in plain HTTP: just enough of the EC2 metadata service to name a region.
//!
//! Loopback only: [`spawn`] refuses any other address.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant, SystemTime},
};

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

mod actions;
mod admin;
pub mod alibaba;
mod answer;
mod behaviour;
mod connection;
mod error;
pub mod hosts;
pub mod keys;
mod log;
mod query;
mod service;
mod stats;
mod verify;

pub use behaviour::{Behaviour, Fault, UnknownKnob};
pub use error::StsError;
pub use keys::{ALICE, BOB, EVE, Keys, Person};
pub use log::Logged;
pub use query::Parameters;
pub use stats::Stats;
pub use verify::{FUTURE, LIFETIME, Wire, amz_date, verify};

use crate::tls::Authority;

/// Where the dev STS gets its time from.
pub type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// What a dev STS is made with.
pub struct Options {
    /// Whom it knows. Default: [`Keys::people`] and every key of [`crate::tokens::Who`].
    pub keys: Keys,
    /// Its clock, before [`Behaviour::clock_offset_s`]. Default: the system's.
    pub clock: Clock,
    /// How many requests the log keeps. Default 1,000; 0 turns it off.
    pub log_capacity: usize,
    /// How it behaves at first.
    pub behaviour: Behaviour,
}

/// A dev STS. Serves any number of listeners.
pub struct Sts {
    behaviour: Mutex<Arc<Behaviour>>,
    counters: stats::Counters,
    log: log::RequestLog,
    keys: Keys,
    alibaba: alibaba::Service,
    clock: Clock,
    authority: Arc<Authority>,
    with_h2: TlsAcceptor,
    without_h2: TlsAcceptor,
    window: Mutex<(Instant, u64)>,
    serial: AtomicU64,
    connections: AtomicU64,
}

/// A dev STS that serves in the background of the present tokio runtime, and its CA in a file.
pub struct Running {
    /// The service itself, for its knobs, counters and log.
    pub sts: Arc<Sts>,
    /// Where it listens.
    pub address: SocketAddr,
    folder: tempfile::TempDir,
}

/// How often the rate limit's bucket is emptied.
const WINDOW: Duration = Duration::from_millis(100);

// === impl Options ===

impl Default for Options {
    fn default() -> Self {
        Self {
            keys: Keys::people().with_derived(crate::tokens::derived_key),
            clock: Arc::new(crate::now),
            log_capacity: 1_000,
            behaviour: Behaviour::default(),
        }
    }
}

// === impl Sts ===

impl Sts {
    /// A dev STS with a CA of its own. Serves nothing yet.
    ///
    /// # Errors
    ///
    /// When no key can be made.
    pub fn new(options: Options) -> anyhow::Result<Arc<Self>> {
        let authority = Authority::new("Herald dev STS throw-away CA", hosts::is_known)?;
        let with_h2 = authority.server_config(&[b"h2", b"http/1.1"])?;
        let without_h2 = authority.server_config(&[b"http/1.1"])?;
        Ok(Arc::new(Self {
            behaviour: Mutex::new(Arc::new(options.behaviour)),
            counters: stats::Counters::default(),
            log: log::RequestLog::new(options.log_capacity),
            keys: options.keys,
            alibaba: alibaba::Service::people(),
            clock: options.clock,
            authority,
            with_h2: with_h2.into(),
            without_h2: without_h2.into(),
            window: Mutex::new((Instant::now(), 0)),
            serial: AtomicU64::new(0),
            connections: AtomicU64::new(0),
        }))
    }

    /// The CA's certificate in PEM: what `SSL_CERT_FILE` or `AWS_CA_BUNDLE` must hold.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        self.authority.pem()
    }

    /// Writes [`Self::ca_pem`] to a file.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn write_ca(&self, path: &Path) -> anyhow::Result<()> {
        std::fs::write(path, self.ca_pem()).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Turns all knobs at once.
    pub fn set(&self, behaviour: impl Into<Behaviour>) {
        *self.behaviour.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(behaviour.into());
    }

    /// The knobs as they are.
    #[must_use]
    pub fn behaviour(&self) -> Arc<Behaviour> {
        Arc::clone(&self.behaviour.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The counters as they are.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.counters.read()
    }

    /// The last requests, oldest first.
    #[must_use]
    pub fn requests(&self) -> Vec<Logged> {
        self.log.read()
    }

    /// Counters to nought and an empty log; gauges stay, their peaks start again from the present.
    pub fn reset(&self) {
        self.counters.reset();
        self.log.clear();
    }

    /// The time it goes by.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        let offset = self.behaviour().clock_offset_s;
        let by = Duration::from_secs(offset.unsigned_abs());
        let now = (self.clock)();
        if offset < 0 { now - by } else { now + by }
    }

    /// Finds out whose key signed a request to another service of the same cloud.
    ///
    /// # Errors
    ///
    /// What the real service answers to such a request.
    pub fn verify_for(
        &self,
        service: &str,
        wire: &Wire<'_>,
        parameters: &Parameters<'_>,
    ) -> Result<Arc<keys::Key>, StsError> {
        verify::verify_for(service, wire, parameters, &self.keys, self.now())
    }

    /// Serves until the task is dropped.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) {
        loop {
            match listener.accept().await {
                Ok((socket, _)) => {
                    let nth = self.connections.fetch_add(1, Relaxed) + 1;
                    tokio::spawn(connection::serve(Arc::clone(&self), socket, nth));
                }
                // Out of file descriptors: wait for some to come free.
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    }

    fn over_limit(&self, a_second: u64) -> bool {
        if a_second == 0 {
            return false;
        }
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        if window.0.elapsed() >= WINDOW {
            *window = (Instant::now(), 0);
        }
        window.1 += 1;
        window.1 > (a_second / 10).max(1)
    }
}

/// Binds and serves in the background; gives the address.
///
/// # Errors
///
/// When `listen` is not on loopback or cannot be bound.
pub async fn spawn(sts: Arc<Sts>, listen: SocketAddr) -> anyhow::Result<SocketAddr> {
    anyhow::ensure!(listen.ip().is_loopback(), "the dev STS listens on loopback only, not on {listen}");
    let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
    let address = listener.local_addr()?;
    tokio::spawn(sts.serve(listener));
    Ok(address)
}

// === impl Running ===

impl Running {
    /// Starts a dev STS on a free port.
    ///
    /// # Errors
    ///
    /// When no key, folder or port is to be had.
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        let sts = Sts::new(options)?;
        let folder = tempfile::Builder::new().prefix("dev-sts-").tempdir()?;
        sts.write_ca(&folder.path().join("ca.pem"))?;
        let address = spawn(Arc::clone(&sts), (Ipv4Addr::LOCALHOST, 0).into()).await?;
        Ok(Self { sts, address, folder })
    }

    /// The file that holds the CA's certificate.
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// The environment that sends a program's STS calls here, through production settings only.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let ca = self.ca_file().display().to_string();
        let proxy = format!("http://{}", self.address);
        vec![
            ("HTTPS_PROXY", proxy.clone()),
            ("https_proxy", proxy),
            ("NO_PROXY", String::new()),
            ("no_proxy", String::new()),
            ("SSL_CERT_FILE", ca.clone()),
            ("AWS_CA_BUNDLE", ca),
        ]
    }

    /// The same service as an endpoint of its own: `https://localhost:PORT`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }
}

#[cfg(test)]
mod tests;
