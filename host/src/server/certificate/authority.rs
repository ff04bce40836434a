//! The server's own certificate authority, kept in the state directory as `ca.pem` and `ca-key.pem`.
//!
//! kube-apiserver reads the webhook kubeconfig only when it starts. So what stands there is an authority that lasts,
//! and the certificate that it vouches for may change as often as it likes. The authority vouches for this server
//! alone: its key leaves the state directory no more than the server's.

use std::{
    net::IpAddr,
    path::Path,
    time::{Duration, SystemTime},
};

use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use zeroize::Zeroizing;

use super::{BACKDATE, CertificateError, Hostname, files, is_there, not_pem, params, read, read_key, write_error};

/// File name of the authority's certificate.
pub const AUTHORITY: &str = "ca.pem";
/// File name of its key.
pub const AUTHORITY_KEY: &str = "ca-key.pem";

/// Common name of the authority.
const NAME: &str = "herald webhook CA";
/// The authority is good for ten years from when it is made.
const VALIDITY: Duration = Duration::from_secs(3652 * 24 * 60 * 60);

/// Vouches for certificates of this server.
pub(super) struct Authority {
    key: KeyPair,
}

// === impl Authority ===

impl Authority {
    /// The certificates in `ca.pem` of `folder`, whether or not the key is there too.
    pub(super) fn certificates(folder: &Path) -> Result<Option<String>, CertificateError> {
        let path = folder.join(AUTHORITY);
        if !is_there(&path)? {
            return Ok(None);
        }
        let pem = read(&path)?;
        String::from_utf8(pem.to_vec()).map(Some).map_err(|_| not_pem(&path, "certificate"))
    }

    /// The authority of `folder`, if its key is there.
    pub(super) fn load(folder: &Path) -> Result<Option<Self>, CertificateError> {
        let path = folder.join(AUTHORITY_KEY);
        if !is_there(&path)? || !is_there(&folder.join(AUTHORITY))? {
            return Ok(None);
        }
        key_pair(&path).map(|key| Some(Self { key }))
    }

    /// The authority of `folder`, made there if there is none. A key without a certificate is what was left by a start
    /// that broke off, and the certificate is made for it.
    pub(super) fn load_or_create(folder: &Path, now: SystemTime) -> Result<Self, CertificateError> {
        if let Some(authority) = Self::load(folder)? {
            return Ok(authority);
        }
        let [certificate_file, key_file] = [AUTHORITY, AUTHORITY_KEY].map(|name| folder.join(name));
        files::private_folder(folder).map_err(|source| write_error(folder, source))?;
        // The key first: a certificate alone is taken for an operator's.
        let key = load_or_create_key(&key_file)?;
        let mut params = authority_params();
        params.not_before = (now - BACKDATE).into();
        params.not_after = (now + VALIDITY).into();
        let pem = params.self_signed(&key).map_err(CertificateError::Make)?.pem();
        files::create(&certificate_file, pem.as_bytes(), 0o644)
            .map_err(|source| write_error(&certificate_file, source))?;
        Ok(Self { key })
    }

    /// A certificate for `key`, good for `lifetime` from `now`, in PEM.
    pub(super) fn issue(
        &self,
        key: &KeyPair,
        (hostname, address): (&Hostname, IpAddr),
        lifetime: Duration,
        now: SystemTime,
    ) -> Result<String, CertificateError> {
        let authority = authority_params();
        let issuer = Issuer::from_params(&authority, &self.key);
        let signed = params(hostname, address, lifetime, now).and_then(|params| params.signed_by(key, &issuer));
        Ok(signed.map_err(CertificateError::Make)?.pem())
    }
}

/// A key that Herald itself has made.
pub(super) fn key_pair(path: &Path) -> Result<KeyPair, CertificateError> {
    let pem = read_key(path)?;
    let text = std::str::from_utf8(&pem).map_err(|_| not_pem(path, "private key"))?;
    KeyPair::from_pem(text).map_err(|_| CertificateError::ForeignKey { path: path.to_owned() })
}

/// The key at `path`, made there if there is none.
pub(super) fn load_or_create_key(path: &Path) -> Result<KeyPair, CertificateError> {
    if is_there(path)? {
        return key_pair(path);
    }
    let key = KeyPair::generate().map_err(CertificateError::Make)?;
    let pem = Zeroizing::new(key.serialize_pem());
    files::create(path, pem.as_bytes(), 0o600).map_err(|source| write_error(path, source))?;
    Ok(key)
}

/// What is the same whenever it vouches: its name, by which certificates name it, and its powers.
fn authority_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, NAME);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}
