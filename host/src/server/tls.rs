//! TLS for the listener: 1.2 and 1.3, HTTP/2 and HTTP/1.1, resumable sessions.

use std::sync::Arc;

use rustls::{
    ServerConfig,
    crypto::ring::{Ticketer, default_provider},
    server::{ResolvesServerCert, danger::ClientCertVerifier},
    sign::CertifiedKey,
};
use tokio_rustls::TlsAcceptor;

use super::Pair;

/// The certificate and the key do not belong together, or TLS cannot use them.
#[derive(Debug, thiserror::Error)]
#[error(
    "cert.pem and key.pem in the state directory cannot be used together: put a matching pair there, or remove both"
)]
pub struct UnusablePair(#[source] rustls::Error);

/// Accepts TLS connections and shows them what `certificate` gives; with `clients`, only from whom that vouches for.
pub(super) fn acceptor(
    certificate: Arc<dyn ResolvesServerCert>,
    clients: Option<Arc<dyn ClientCertVerifier>>,
) -> Result<TlsAcceptor, UnusablePair> {
    let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(UnusablePair)?;
    let builder = match clients {
        Some(clients) => builder.with_client_cert_verifier(clients),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(certificate);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.ticketer = Ticketer::new().map_err(UnusablePair)?;
    Ok(Arc::new(config).into())
}

/// `pair` in TLS's own form, checked to belong together.
pub(super) fn certified(pair: &Pair) -> Result<CertifiedKey, UnusablePair> {
    CertifiedKey::from_der(pair.chain(), pair.key(), &default_provider()).map_err(UnusablePair)
}
