//! TLS towards STS: whom we trust, and with which protocol versions.
//!
//! The provider is ring, the roots are the system's (`SSL_CERT_FILE` and `SSL_CERT_DIR` are honoured) or
//! one CA file's, and nothing is ever trusted beyond them.

use std::{path::Path, sync::Arc};

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};

use super::ConfigError;

/// The system's certificate authorities.
///
/// # Errors
///
/// [`ConfigError::NoRoots`] if there is not one usable certificate. A file that cannot be read beside
/// others that can is a warning.
pub(super) fn system_roots() -> Result<Arc<RootCertStore>, ConfigError> {
    let mut found = rustls_native_certs::load_native_certs();
    let roots = store(std::mem::take(&mut found.certs));
    if roots.is_empty() {
        return Err(ConfigError::NoRoots(found.errors.pop()));
    }
    for error in &found.errors {
        tracing::warn!(%error, "some TLS root certificates cannot be read");
    }
    Ok(roots)
}

/// The certificate authorities of one PEM file.
///
/// # Errors
///
/// [`ConfigError::CaFile`] or [`ConfigError::CaFileEmpty`].
pub(super) fn file_roots(path: &Path) -> Result<Arc<RootCertStore>, ConfigError> {
    let certificates = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let certificates = certificates.map_err(|source| ConfigError::CaFile { path: path.to_owned(), source })?;
    let roots = store(certificates);
    if roots.is_empty() {
        return Err(ConfigError::CaFileEmpty { path: path.to_owned() });
    }
    Ok(roots)
}

/// How many certificate authorities a `caFile` at `path` has one trust.
///
/// # Errors
///
/// As if it were that of an endpoint.
pub fn trusted_in(path: &Path) -> Result<usize, ConfigError> {
    file_roots(path).map(|roots| roots.len())
}

/// A client that trusts `roots` and offers HTTP/2 before HTTP/1.1.
pub(super) fn client_config(roots: Arc<RootCertStore>) -> ClientConfig {
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(ring)
        .with_safe_default_protocol_versions()
        .expect("ring serves TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config
}

fn store(certificates: Vec<CertificateDer<'static>>) -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates);
    Arc::new(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(content: Option<&str>, expected: Result<usize, &str>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        if let Some(content) = content {
            std::fs::write(&path, content).unwrap();
        }
        let found = file_roots(&path).map(|roots| roots.len());
        let found = found.map_err(|error| error.to_string().replace(&path.display().to_string(), "ca.pem"));
        assert_eq!(found.as_ref().copied().map_err(String::as_str), expected, "{content:?}");
    }

    #[test]
    fn a_ca_file_must_hold_certificates() {
        let ca = rcgen::generate_simple_self_signed(["ca.test".to_owned()]).unwrap().cert.pem();
        check(Some(&ca), Ok(1));
        check(Some(&format!("{ca}\n{ca}")), Ok(2));
        check(None, Err("caFile ca.pem cannot be read"));
        let empty = "caFile ca.pem holds no usable certificate: it must be PEM with at least one CA";
        check(Some(""), Err(empty));
        check(Some("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), Err(empty));
        check(Some("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"), Err("caFile ca.pem cannot be read"));
    }
}
