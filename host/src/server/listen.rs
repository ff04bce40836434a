//! The accept loop and the drain at its end.

use std::{future::Future, io, net::SocketAddr, num::NonZeroU32, pin::pin, sync::Arc, time::Duration};

use axum::Router;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
};
use tokio_rustls::TlsAcceptor;

use super::{
    Config,
    connection::{self, Phase, UNTRUSTED},
    routes::{self, Room},
};
use crate::observe::Metrics;

/// First pause when no connection can be accepted (no file descriptors, say); doubled up to a second.
const BACK_OFF: Duration = Duration::from_millis(20);
/// Longest such pause.
const MAX_BACK_OFF: Duration = Duration::from_secs(1);
/// How long cut connections have to end.
const LAST_MOMENT: Duration = Duration::from_secs(1);

/// How a server came to its end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Drained {
    /// Connections that were still busy when the grace period was over.
    pub cut: usize,
}

/// Accepts connections and serves each in a task of its own.
pub(super) struct Listener {
    config: Arc<Config>,
    tls: TlsAcceptor,
    room: Arc<Room>,
    router: Router,
    /// One permit a connection, so that all of them back mean that all have ended.
    places: Arc<Semaphore>,
    phase: watch::Sender<Phase>,
    /// How often those are told of who do not trust the certificate.
    untrusted: Arc<DefaultDirectRateLimiter>,
}

/// An open connection, as metrics count it.
struct Counted(Arc<Metrics>);

// === impl Listener ===

impl Listener {
    pub(super) fn new(config: Config, tls: TlsAcceptor, room: Arc<Room>) -> Self {
        let router = routes::router(Arc::clone(&room), !config.address.is_loopback());
        let places = Arc::new(Semaphore::new(config.max_connections));
        let untrusted = Arc::new(RateLimiter::direct(Quota::per_minute(NonZeroU32::MIN)));
        Self { config: Arc::new(config), tls, room, router, places, phase: watch::Sender::new(Phase::Open), untrusted }
    }

    pub(super) async fn run(self, listener: TcpListener, shutdown: impl Future<Output = ()>) -> Drained {
        let mut shutdown = pin!(shutdown);
        loop {
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                (stream, peer, place) = self.accept(&listener) => self.spawn(stream, peer, place),
            }
        }
        drop(listener);
        self.drain().await
    }

    /// Waits for a free place first, so that the system's queue holds whoever is too many.
    async fn accept(&self, listener: &TcpListener) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
        let place = Arc::clone(&self.places).acquire_owned().await.expect("the semaphore is never closed");
        let mut pause = BACK_OFF;
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => return (stream, peer, place),
                Err(error) if is_of_one_peer(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot accept connections; trying again");
                    tokio::time::sleep(pause).await;
                    pause = MAX_BACK_OFF.min(pause * 2);
                }
            }
        }
    }

    fn spawn(&self, stream: TcpStream, peer: SocketAddr, place: OwnedSemaphorePermit) {
        let (tls, router, config) = (self.tls.clone(), self.router.clone(), Arc::clone(&self.config));
        let counted = Counted::new(&self.room.services().metrics);
        let (phase, places, untrusted) =
            (self.phase.subscribe(), Arc::clone(&self.places), Arc::clone(&self.untrusted));
        tokio::spawn(async move {
            if let Err(reason) = connection::serve(stream, peer, &tls, router, &config, places, phase).await {
                counted.0.connection_cut(reason);
                tracing::debug!(client = %peer, reason, "connection ended by the server");
                if reason == UNTRUSTED && untrusted.check().is_ok() {
                    tracing::warn!(
                        client = %peer, reason,
                        "a client does not trust the certificate in force; if it is an API server, restart it with the webhook kubeconfig of this server"
                    );
                }
            }
            drop(counted);
            drop(place);
        });
    }

    async fn drain(self) -> Drained {
        self.room.drain();
        self.phase.send_replace(Phase::Draining);
        let all = u32::try_from(self.config.max_connections).expect("checked to be at most 65536");
        if tokio::time::timeout(self.config.shutdown_grace, self.places.acquire_many(all)).await.is_ok() {
            return Drained { cut: 0 };
        }
        let cut = self.config.max_connections - self.places.available_permits();
        self.phase.send_replace(Phase::Cut);
        let _ = tokio::time::timeout(LAST_MOMENT, self.places.acquire_many(all)).await;
        Drained { cut }
    }
}

/// Whether the error concerns one peer that went away, and not the listener (accept(2)).
fn is_of_one_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

// === impl Counted ===

impl Counted {
    fn new(metrics: &Arc<Metrics>) -> Self {
        metrics.connection_opened();
        Self(Arc::clone(metrics))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.connection_ended();
    }
}
