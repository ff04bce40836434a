//! TLS of the load generator: a client that accepts any server certificate, since the webhooks under
//! test make their own; or, where that is the point, one that trusts whom API servers trust.

use std::{path::Path, sync::Arc};

use rustls::{
    ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use tests::{herald::webhook_kubeconfig, tls::client_config};
use tokio_rustls::TlsConnector;

/// Whose certificates a load accepts.
#[derive(Clone, Debug)]
pub(crate) enum Trust {
    /// Anybody's who holds the key.
    Anybody,
    /// Those that these settings say.
    Of(Arc<ClientConfig>),
}

/// Accepts every certificate but checks that the peer holds its key.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

/// A connector that offers `alpn`, verifies no name and resumes no session, so that each connection
/// costs a full handshake.
pub(crate) fn danger_connector(alpn: &[u8]) -> TlsConnector {
    let provider = Arc::new(ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("ring supports the default TLS versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    config.resumption = Resumption::disabled();
    Arc::new(config).into()
}

// === impl Trust ===

impl Trust {
    /// What API servers accept that are started with this webhook kubeconfig as it is now.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or names no authority.
    pub(crate) fn of_kubeconfig(path: &Path) -> anyhow::Result<Self> {
        let (_, ca) = webhook_kubeconfig(path)?;
        Ok(Self::Of(Arc::new(client_config(&ca, &[])?)))
    }

    /// A connector that offers `alpn` and resumes no session, so that each connection costs a full handshake.
    pub(crate) fn connector(&self, alpn: &[u8]) -> TlsConnector {
        let Self::Of(config) = self else { return danger_connector(alpn) };
        let mut config = ClientConfig::clone(config);
        config.alpn_protocols = vec![alpn.to_vec()];
        config.resumption = Resumption::disabled();
        Arc::new(config).into()
    }
}

// === impl AnyCertificate ===

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
