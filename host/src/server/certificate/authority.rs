//! The server's own certificate authority, kept in the state directory as `ca.pem` and `ca-key.pem`.
//!
//! kube-apiserver reads the webhook kubeconfig only when it starts. So what stands there is an authority that lasts,
//! and the certificate that it vouches for may change as often as it likes. The authority vouches for this server
//! alone: its key leaves the state directory no more than the server's.
//!
//! It lasts for ten years. After two thirds of them there is another one beside it, `ca-next.pem` and
//! `ca-next-key.pem`, which vouches for nothing yet and is in the kubeconfig from then on. It takes over when the first
//! has not enough time left for a whole certificate, and the first stays in `ca.pem` until its end: every API server that
//! was started in the years between trusts both.
//!
//! It begins in 1970 and not when it is made: that protects nobody, and an authority that a machine has made whose clock was
//! ahead would be good for nothing once the clock is set right. When it was made is told by its end.

use std::{
    net::IpAddr,
    path::Path,
    time::{Duration, SystemTime},
};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PublicKeyData as _,
};
use rustls::server::ParsedCertificate;
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use zeroize::Zeroizing;

use super::{
    CertificateError, Hostname, Validity, files, is_there, not_pem, params, pem_of, read, read_key, served::vouches,
    write_error,
};

/// File name of the authority's certificate.
pub const AUTHORITY: &str = "ca.pem";
/// File name of its key.
pub const AUTHORITY_KEY: &str = "ca-key.pem";
/// File name of its successor's certificate.
pub const NEXT: &str = "ca-next.pem";
/// File name of its successor's key.
pub const NEXT_KEY: &str = "ca-next-key.pem";

/// Common name of the authority.
const NAME: &str = "herald webhook CA";
/// Where an authority begins, since 1970: nothing begins before, since no verifier of here would tell when.
pub(super) const START: Duration = Duration::from_secs(1);
/// The authority is good for ten years from when it is made.
const VALIDITY: Duration = Duration::from_secs(3652 * 24 * 60 * 60);

/// Vouches for certificates of this server.
pub(super) struct Authority {
    key: KeyPair,
    /// The certificates that stand beside the key.
    pem: String,
    /// Of its own certificate, if that is among them: by a key without it nothing is issued.
    validity: Option<Validity>,
}

// === impl Authority ===

impl Authority {
    /// The certificates in `ca.pem` and `ca-next.pem` of `folder`, whether or not their keys are there too; `None` if
    /// there is no `ca.pem`.
    pub(super) fn certificates(folder: &Path) -> Result<Option<String>, CertificateError> {
        let Some(mut pem) = certificates(folder, AUTHORITY)? else { return Ok(None) };
        if let Some(next) = certificates(folder, NEXT)?.filter(|next| !holds(&pem, next)) {
            pem.push_str(&next);
        }
        Ok(Some(pem))
    }

    /// The authority of `folder`, if its key is there.
    pub(super) fn load(folder: &Path) -> Result<Option<Self>, CertificateError> {
        Self::load_from(folder, [AUTHORITY, AUTHORITY_KEY]).map_err(|error| match error {
            // Of an operator's own, or spoilt: nothing is signed with it.
            CertificateError::ForeignKey { .. } => CertificateError::ForeignAuthority,
            error => error,
        })
    }

    /// The authority of `folder`, made there if there is none. A key without a certificate is what was left by a start
    /// that broke off, and the certificate is made for it.
    pub(super) fn load_or_create(folder: &Path, now: SystemTime) -> Result<Self, CertificateError> {
        match Self::load(folder)? {
            Some(authority) => Ok(authority),
            None => Self::create(folder, [AUTHORITY, AUTHORITY_KEY], now),
        }
    }

    /// The authority that vouches for a certificate of `lifetime` from `now` on, made there if there is none: the successor, if
    /// its time has come. One that has ended vouches for nothing that a client would take, so it gets a successor that takes
    /// over at once.
    pub(super) fn in_force(folder: &Path, lifetime: Duration, now: SystemTime) -> Result<Self, CertificateError> {
        let authority = Self::load_or_create(folder, now)?;
        let mut next = authority.next(folder)?;
        if next.is_none() && authority.validity.is_some_and(|validity| validity.end <= now) {
            authority.stage(folder, now)?;
            next = authority.next(folder)?;
        }
        match next {
            Some(next) if authority.hands_over_to(&next, lifetime, now) => {
                promote(folder)?;
                Ok(next)
            }
            _ => Ok(authority),
        }
    }

    /// Whether the successor's time has come.
    pub(super) fn is_at_its_end(folder: &Path, lifetime: Duration, now: SystemTime) -> Result<bool, CertificateError> {
        let Some(authority) = Self::load(folder)? else { return Ok(false) };
        Ok(authority.next(folder)?.is_some_and(|next| authority.hands_over_to(&next, lifetime, now)))
    }

    /// When its successor is to be made; `None` if there is one, or its own end is not known.
    pub(super) fn succession(&self, folder: &Path) -> Result<Option<SystemTime>, CertificateError> {
        let since_made = |Validity { start, end }| Validity { start: start.max(end - VALIDITY), end };
        let is_there = self.next(folder)?.is_some();
        Ok(self.validity.filter(|_| !is_there).map(|validity| since_made(validity).renewal()))
    }

    /// Makes its successor, which vouches for nothing yet. Gives back when this one ends.
    pub(super) fn stage(&self, folder: &Path, now: SystemTime) -> Result<Option<SystemTime>, CertificateError> {
        // What a hand-over left behind that was not finished.
        for name in [NEXT, NEXT_KEY] {
            remove(folder, name)?;
        }
        Self::create(folder, [NEXT, NEXT_KEY], now)?;
        Ok(self.validity.map(|validity| validity.end))
    }

    /// A certificate for `key`, good for `lifetime` from `now` but no longer than the authority, in PEM: none that no client
    /// would take for the authority's.
    pub(super) fn issue(
        &self,
        key: &KeyPair,
        (hostname, address): (&Hostname, IpAddr),
        lifetime: Duration,
        now: SystemTime,
    ) -> Result<String, CertificateError> {
        let left = self.validity.and_then(|validity| validity.end.duration_since(now).ok());
        let lifetime = left.map_or(lifetime, |left| lifetime.min(left));
        let authority = authority_params();
        let issuer = Issuer::from_params(&authority, &self.key);
        let signed = params(hostname, address, lifetime, now).and_then(|params| params.signed_by(key, &issuer));
        let signed = signed.map_err(CertificateError::Make)?;
        if !vouches(&self.pem, signed.der()) {
            return Err(CertificateError::ForeignAuthority);
        }
        Ok(signed.pem())
    }

    /// Its successor, if there is one with a certificate of its own: no client would know another.
    fn next(&self, folder: &Path) -> Result<Option<Self>, CertificateError> {
        let next = match Self::load_from(folder, [NEXT, NEXT_KEY]) {
            // With a key that is spoilt it vouches for nothing, and is made again.
            Err(CertificateError::ForeignKey { .. }) => None,
            found => found?.filter(|next| next.validity.is_some()),
        };
        Ok(next.filter(|next| next.key.subject_public_key_info() != self.key.subject_public_key_info()))
    }

    /// API servers have to be started again before they trust the successor: whenever that was, they had half of the
    /// time that was left when it was made. One that was made when the clock was ahead waits for the end.
    fn hands_over_to(&self, next: &Self, lifetime: Duration, now: SystemTime) -> bool {
        let (Some(own), Some(next)) = (self.validity, next.validity) else { return false };
        let made = next.end - VALIDITY;
        let half = own.end.duration_since(made).unwrap_or_default() / 2;
        own.end < now + lifetime && (made + half).min(own.end) <= now
    }

    fn load_from(folder: &Path, [certificate, key]: [&str; 2]) -> Result<Option<Self>, CertificateError> {
        let path = folder.join(key);
        let Some(pem) = certificates(folder, certificate)?.filter(|_| matches!(is_there(&path), Ok(true))) else {
            return Ok(None);
        };
        let key = key_pair(&path)?;
        let of_key = |der: &CertificateDer<'static>| {
            let parsed = ParsedCertificate::try_from(der).ok();
            parsed.is_some_and(|parsed| parsed.subject_public_key_info().as_ref() == key.subject_public_key_info())
        };
        let mut all = CertificateDer::pem_slice_iter(pem.as_bytes()).filter_map(Result::ok);
        let validity = all.find(of_key).and_then(|der| Validity::of(&der));
        Ok(Some(Self { key, pem, validity }))
    }

    fn create(folder: &Path, [certificate, key]: [&str; 2], now: SystemTime) -> Result<Self, CertificateError> {
        let [certificate_file, key_file] = [certificate, key].map(|name| folder.join(name));
        // An operator's, whose key is elsewhere. A key made for it would be taken for its own the next time.
        if is_there(&certificate_file)? {
            return Err(CertificateError::Half { found: certificate_file, missing: key_file });
        }
        files::private_folder(folder).map_err(|source| write_error(folder, source))?;
        // The key first: a certificate alone is taken for an operator's.
        let (key, is_new) = load_or_make_key(&key_file)?;
        if is_new {
            write_key(&key_file, &key)?;
        }
        let mut params = authority_params();
        let (start, end) = (SystemTime::UNIX_EPOCH + START, now + VALIDITY);
        (params.not_before, params.not_after) = (start.into(), end.into());
        let pem = params.self_signed(&key).map_err(CertificateError::Make)?.pem();
        files::create(&certificate_file, pem.as_bytes(), 0o644)
            .map_err(|source| write_error(&certificate_file, source))?;
        Ok(Self { key, pem, validity: Some(Validity { start, end }) })
    }
}

/// Puts the successor in its predecessor's place, whose certificate stays behind it in `ca.pem`. What is served then is
/// good after every step, and a step that was not taken is taken the next time.
fn promote(folder: &Path) -> Result<(), CertificateError> {
    let (Some(mut pem), Some(old)) = (certificates(folder, NEXT)?, certificates(folder, AUTHORITY)?) else {
        return Ok(());
    };
    let key_pem = read_key(&folder.join(NEXT_KEY))?;
    if !holds(&old, &pem) {
        pem.push_str(&old);
        put(folder, AUTHORITY, pem.as_bytes(), 0o644)?;
    }
    put(folder, AUTHORITY_KEY, &key_pem, 0o600)?;
    remove(folder, NEXT_KEY)?;
    remove(folder, NEXT)
}

fn put(folder: &Path, name: &str, bytes: &[u8], mode: u32) -> Result<(), CertificateError> {
    let path = folder.join(name);
    files::replace(&path, bytes, mode).map_err(|source| write_error(&path, source))
}

fn remove(folder: &Path, name: &str) -> Result<(), CertificateError> {
    let path = folder.join(name);
    match std::fs::remove_file(&path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(write_error(&path, source)),
        _ => Ok(()),
    }
}

/// The certificates in a file of `folder`, in PEM, and nothing else of it; `None` if there is no such file.
fn certificates(folder: &Path, name: &str) -> Result<Option<String>, CertificateError> {
    let path = folder.join(name);
    if !is_there(&path)? {
        return Ok(None);
    }
    let pem = read(&path)?;
    let text = std::str::from_utf8(&pem).map_err(|_| not_pem(&path, "certificate"))?;
    let all: Vec<_> = CertificateDer::pem_slice_iter(text.as_bytes()).filter_map(Result::ok).collect();
    Ok(Some(pem_of(&all)))
}

/// Whether every certificate in `pem` is one of those in `bundle`. A text that only looks like one is none to who reads PEM.
pub(super) fn holds(bundle: &str, pem: &str) -> bool {
    let all = |pem: &str| CertificateDer::pem_slice_iter(pem.as_bytes()).filter_map(Result::ok).collect::<Vec<_>>();
    let there = all(bundle);
    all(pem).iter().all(|certificate| there.contains(certificate))
}

/// A key that Herald itself has made.
pub(super) fn key_pair(path: &Path) -> Result<KeyPair, CertificateError> {
    let pem = read_key(path)?;
    let text = std::str::from_utf8(&pem).map_err(|_| not_pem(path, "private key"))?;
    KeyPair::from_pem(text).map_err(|_| CertificateError::ForeignKey { path: path.to_owned() })
}

/// The key at `path`, or a new one, which is to be [written](write_key) there; and whether it is new.
pub(super) fn load_or_make_key(path: &Path) -> Result<(KeyPair, bool), CertificateError> {
    if is_there(path)? {
        return Ok((key_pair(path)?, false));
    }
    Ok((KeyPair::generate().map_err(CertificateError::Make)?, true))
}

/// Writes a new key to `path`, where none may be.
pub(super) fn write_key(path: &Path, key: &KeyPair) -> Result<(), CertificateError> {
    let pem = Zeroizing::new(key.serialize_pem());
    files::create(path, pem.as_bytes(), 0o600).map_err(|source| write_error(path, source))
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
