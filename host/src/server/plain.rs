//! Listeners of their own for health and metrics: plain HTTP, on loopback unless the operator says otherwise.
//!
//! Probes and scrapers need no certificate, and the webhook's port need not be open to them. A port that is taken is told
//! and tried again: whoever asks for tokens is not refused because nobody can ask how it goes.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::Router;
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Deserialize;
use tokio::{net::TcpListener, sync::Semaphore, time::timeout};
use tower::Service as _;

/// Where health is told.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct Health {
    /// Address to listen on, as an IP. Default `127.0.0.1`.
    #[serde(deserialize_with = "super::ip_address")]
    pub address: IpAddr,
    /// TCP port to listen on. Default 21363; 0 lets the system choose.
    pub port: u16,
}

/// Where metrics are told, and under which names.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct MetricsListener {
    /// Address to listen on, as an IP. Default `127.0.0.1`.
    #[serde(deserialize_with = "super::ip_address")]
    pub address: IpAddr,
    /// TCP port to listen on. Default 21364; 0 lets the system choose.
    pub port: u16,
    /// Also count under the names of aws-iam-authenticator, or called as ack-ram-authenticator under its names, for existing
    /// dashboards. Default false.
    pub old_names: bool,
}

/// Most connections of one such listener; more wait to be accepted.
const MAX_CONNECTIONS: usize = 32;
/// Longest wait for a head.
const HEAD: Duration = Duration::from_secs(5);
/// Longest time of a connection, its one answer included.
const CONNECTION: Duration = Duration::from_secs(20);
/// Largest read buffer of a connection, in bytes.
const MAX_BUFFER_BYTES: usize = 16 * 1024;
/// Pause before a port that is taken is tried again, or after a connection that could not be accepted.
const AGAIN: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(100);

/// Answers by `router` until it is dropped. `what` is told in the log.
pub(super) async fn serve(what: &'static str, address: SocketAddr, router: Router) {
    let listener = listen(what, address).await;
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let place = Arc::clone(&places).acquire_owned().await.expect("the semaphore is never closed");
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let router = router.clone();
        let service = service_fn(move |request: Request<Incoming>| router.clone().call(request));
        tokio::spawn(async move {
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(MAX_BUFFER_BYTES).keep_alive(false);
            // Whatever ends it, there is nobody to tell.
            let _ = timeout(CONNECTION, http.serve_connection(TokioIo::new(stream), service)).await;
            drop(place);
        });
    }
}

async fn listen(what: &'static str, address: SocketAddr) -> TcpListener {
    let mut is_told = false;
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => {
                let address = listener.local_addr().unwrap_or(address);
                tracing::info!(%address, "{what} is told in plain HTTP");
                return listener;
            }
            Err(error) if !is_told => tracing::warn!(%address, "{what} cannot be told there, trying again: {error}"),
            Err(_) => {}
        }
        is_told = true;
        tokio::time::sleep(AGAIN).await;
    }
}

// === impl Health ===

impl Default for Health {
    fn default() -> Self {
        Self { address: Ipv4Addr::LOCALHOST.into(), port: 21363 }
    }
}

// === impl MetricsListener ===

impl Default for MetricsListener {
    fn default() -> Self {
        Self { address: Ipv4Addr::LOCALHOST.into(), port: 21364, old_names: false }
    }
}
