//! Client certificates: who may ask at all (RFC 8446, section 4.3.2; Kubernetes documentation, "Webhook Token
//! Authentication").
//!
//! Whoever reaches the port may ask who a token's caller is, and learns nothing that the token did not give him. Where even
//! that is too much, API servers show a certificate. It is judged by the authority alone: take one that vouches for API
//! servers and nobody else.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    RootCertStore,
    crypto::ring::default_provider,
    server::{VerifierBuilderError, WebPkiClientVerifier, danger::ClientCertVerifier},
};
use rustls_pki_types::{
    CertificateDer,
    pem::{self, PemObject as _},
};
use serde::Deserialize;

/// `server.clientAuth`: who may ask.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct ClientAuth {
    /// PEM file of the authorities that vouch for API servers; read when the server starts. Default none: whoever reaches the
    /// port may ask.
    pub ca_file: Option<PathBuf>,
    /// The API server's certificate, as a file on its machine; named in the webhook kubeconfig. Default none.
    pub certificate: Option<PathBuf>,
    /// The key to it. Default none.
    pub key: Option<PathBuf>,
}

/// Why nobody could show a certificate. The operator's to mend, all of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientAuthError {
    /// Half a pair, or a pair that nobody asks for.
    #[error("server.clientAuth needs caFile, and certificate and key together")]
    Incomplete,
    /// The authorities cannot be read.
    #[error("server.clientAuth.caFile {} cannot be read", path.display())]
    Read {
        /// The file as configured.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: pem::Error,
    },
    /// None of them can be used.
    #[error("server.clientAuth.caFile {} holds no usable certificate of an authority", path.display())]
    Unusable {
        /// The file as configured.
        path: PathBuf,
        /// What TLS says.
        #[source]
        source: VerifierBuilderError,
    },
}

// === impl ClientAuth ===

impl ClientAuth {
    /// The API server's certificate and key, if the webhook kubeconfig is to name them.
    ///
    /// # Errors
    ///
    /// [`ClientAuthError::Incomplete`].
    pub fn pair(&self) -> Result<Option<(&Path, &Path)>, ClientAuthError> {
        match (&self.ca_file, &self.certificate, &self.key) {
            (_, None, None) => Ok(None),
            (Some(_), Some(certificate), Some(key)) => Ok(Some((certificate, key))),
            _ => Err(ClientAuthError::Incomplete),
        }
    }

    /// Whether clients can be judged, before anything is made or opened for them.
    ///
    /// # Errors
    ///
    /// Any [`ClientAuthError`].
    pub fn check(&self) -> Result<(), ClientAuthError> {
        self.pair()?;
        self.verifier().map(drop)
    }

    /// What judges clients' certificates; `None` asks for none.
    pub(super) fn verifier(&self) -> Result<Option<Arc<dyn ClientCertVerifier>>, ClientAuthError> {
        let Some(path) = &self.ca_file else { return Ok(None) };
        let certificates = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let certificates = certificates.map_err(|source| ClientAuthError::Read { path: path.clone(), source })?;
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(certificates);
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(default_provider()));
        let verifier = verifier.build().map_err(|source| ClientAuthError::Unusable { path: path.clone(), source })?;
        Ok(Some(verifier))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_together() {
        #[track_caller]
        fn check(yaml: &str, expected: Option<bool>) {
            let settings: ClientAuth = serde_saphyr::from_str(yaml).expect("a row's YAML is well-formed");
            assert_eq!(settings.pair().ok().map(|pair| pair.is_some()), expected, "{yaml}");
        }
        check("{}", Some(false));
        check("{caFile: ca.crt}", Some(false));
        check("{caFile: ca.crt, certificate: a.crt, key: a.key}", Some(true));
        check("{caFile: ca.crt, certificate: a.crt}", None);
        check("{caFile: ca.crt, key: a.key}", None);
        check("{certificate: a.crt, key: a.key}", None);
    }

    #[test]
    fn a_ca_file_must_hold_an_authority() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.crt");
        let settings = ClientAuth { ca_file: Some(path.clone()), ..ClientAuth::default() };
        assert!(matches!(settings.check(), Err(ClientAuthError::Read { .. })));
        std::fs::write(&path, "").unwrap();
        assert!(matches!(settings.check(), Err(ClientAuthError::Unusable { .. })));
        std::fs::write(&path, rcgen::generate_simple_self_signed(["a".to_owned()]).unwrap().cert.pem()).unwrap();
        assert!(matches!(settings.verifier(), Ok(Some(_))));
        assert!(matches!(ClientAuth::default().verifier(), Ok(None)));
    }
}
