//! One client connection to a webhook: TCP, TLS, and HTTP/1.1 or HTTP/2.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::{
    Request, StatusCode,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::Protocol;

/// Sends requests on an open connection.
pub(crate) enum Sender {
    /// One at a time.
    H1(http1::SendRequest<Full<Bytes>>),
    /// Many at a time.
    H2(http2::SendRequest<Full<Bytes>>),
}

/// Opens a TCP connection and makes the TLS handshake.
///
/// # Errors
///
/// When either fails, or does not come to its end.
pub(crate) async fn dial(address: SocketAddr, connector: &TlsConnector) -> anyhow::Result<TlsStream<TcpStream>> {
    let dialled = async {
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        anyhow::Ok(connector.connect(ServerName::try_from("localhost")?, socket).await?)
    };
    timeout(DIAL, dialled).await.context("no connection in time")?
}

/// The certificate that is shown at a new connection, in DER.
///
/// # Errors
///
/// When there is no connection, or the certificate is not accepted.
pub(crate) async fn certificate(address: SocketAddr, connector: &TlsConnector) -> anyhow::Result<Vec<u8>> {
    let stream = dial(address, connector).await?;
    let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    Ok(shown.context("no certificate")?.to_vec())
}

/// One GET on a connection of its own: its status code.
///
/// # Errors
///
/// When there is no whole answer.
pub(crate) async fn status_of(address: SocketAddr, path: &str) -> anyhow::Result<u16> {
    let stream = dial(address, &crate::tls::danger_connector(Protocol::H1.alpn())).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = Request::get(path).header("host", "localhost").body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    let status = response.status().as_u16();
    response.into_body().collect().await?;
    Ok(status)
}

/// The POST of one TokenReview.
pub(crate) fn review(address: SocketAddr, path: &str, protocol: Protocol, body: &Bytes) -> Request<Full<Bytes>> {
    let builder = if protocol == Protocol::H2 {
        Request::post(format!("https://localhost:{}{path}", address.port()))
    } else {
        Request::post(path).header("host", format!("localhost:{}", address.port()))
    };
    let builder = builder.header("content-type", "application/json").header("accept", "application/json");
    let builder = if protocol == Protocol::New { builder.header("connection", "close") } else { builder };
    builder.body(Full::new(body.clone())).expect("the parts are constants and a path of ours")
}

// === impl Sender ===

impl Sender {
    /// Connects with `protocol`.
    ///
    /// # Errors
    ///
    /// When a handshake fails or the server does not offer the protocol.
    pub(crate) async fn connect(
        address: SocketAddr,
        protocol: Protocol,
        connector: &TlsConnector,
    ) -> anyhow::Result<Self> {
        let stream = dial(address, connector).await?;
        if protocol != Protocol::H2 {
            let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
            tokio::spawn(connection);
            return Ok(Self::H1(sender));
        }
        ensure!(stream.get_ref().1.alpn_protocol() == Some(b"h2"), "the server does not speak HTTP/2");
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self::H2(sender))
    }

    /// Sends one request and reads the whole answer.
    ///
    /// # Errors
    ///
    /// When the connection breaks.
    pub(crate) async fn send(&mut self, request: Request<Full<Bytes>>) -> anyhow::Result<(StatusCode, Bytes)> {
        let response = match self {
            Self::H1(sender) => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
            Self::H2(sender) => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
        };
        let status = response.status();
        Ok((status, response.into_body().collect().await?.to_bytes()))
    }
}

/// Longest wait for a connection: longer than a server gives a handshake.
const DIAL: Duration = Duration::from_secs(30);
