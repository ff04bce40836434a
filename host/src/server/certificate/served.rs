//! The certificate that is shown to clients: another one takes its place between two handshakes, and connections that
//! are open know nothing of it.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use rustls::{
    CertificateError as Invalid, RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier as _},
    crypto::ring::default_provider,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _};

use super::{CertificateError, Pair};
use crate::server::{Hostname, tls};

/// What is shown, and when it ends.
pub struct Served(pub(super) ArcSwap<Shown>);

pub(super) struct Shown {
    pub(super) certified: Arc<CertifiedKey>,
    validity: Option<Validity>,
}

/// From when to when a certificate is good.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Validity {
    /// The first moment.
    pub start: SystemTime,
    /// The last moment.
    pub end: SystemTime,
}

/// A moment after every certificate's end.
const AFTER_ALL: Duration = Duration::from_secs(400_000_000_000);

// === impl Served ===

impl Served {
    /// Shows `pair`.
    ///
    /// # Errors
    ///
    /// When TLS does not take it.
    pub fn new(pair: &Pair) -> Result<Arc<Self>, CertificateError> {
        Ok(Arc::new(Self(ArcSwap::from_pointee(Shown::of(pair)?))))
    }

    /// From now on shows `pair`, or what it showed before if TLS does not take it.
    pub(super) fn replace(&self, pair: &Pair) -> Result<(), CertificateError> {
        self.0.store(Arc::new(Shown::of(pair)?));
        Ok(())
    }

    /// From when to when it is good, as far as that can be read.
    #[must_use]
    pub fn validity(&self) -> Option<Validity> {
        self.0.load().validity
    }
}

impl Shown {
    fn of(pair: &Pair) -> Result<Self, CertificateError> {
        let certified = Arc::new(tls::certified(pair)?);
        Ok(Self { certified, validity: pair.chain().first().and_then(Validity::of) })
    }
}

impl ResolvesServerCert for Served {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.load().certified))
    }
}

impl fmt::Debug for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Served").field("validity", &self.validity()).finish_non_exhaustive()
    }
}

// === impl Validity ===

impl Validity {
    /// Asks the verifier of clients, long before and long after: it says what is wrong with the time.
    pub(super) fn of(certificate: &CertificateDer<'static>) -> Option<Self> {
        let moment = |time: UnixTime| SystemTime::UNIX_EPOCH + Duration::from_secs(time.as_secs());
        let name = Hostname::default();
        let at = |time| verify(std::slice::from_ref(certificate), certificate, &name, UnixTime::since_unix_epoch(time));
        let start = match at(Duration::ZERO) {
            Err(rustls::Error::InvalidCertificate(Invalid::NotValidYetContext { not_before, .. })) => {
                moment(not_before)
            }
            _ => return None,
        };
        match at(AFTER_ALL) {
            Err(rustls::Error::InvalidCertificate(Invalid::ExpiredContext { not_after, .. })) => {
                Some(Self { start, end: moment(not_after) })
            }
            _ => None,
        }
    }

    /// Whether another one is to be made at `now`: two thirds of its time are over, or none of it has begun, as after a
    /// clock that was set back.
    #[must_use]
    pub fn is_due(&self, now: SystemTime) -> bool {
        self.renewal() <= now || now < self.start
    }

    /// When two thirds of its time are over.
    #[must_use]
    pub fn renewal(&self) -> SystemTime {
        let whole = self.end.duration_since(self.start).unwrap_or_default();
        self.start + whole * 2 / 3
    }
}

/// Whether one of the certificates in `authority`, in PEM, vouches for the certificate of `pair` under `hostname`.
pub(super) fn is_vouched_for(pair: &Pair, authority: &str, hostname: &Hostname) -> bool {
    let roots = CertificateDer::pem_slice_iter(authority.as_bytes()).collect::<Result<Vec<_>, _>>();
    let (Ok(roots), Some(certificate)) = (roots, pair.chain().into_iter().next()) else { return false };
    let Some(validity) = Validity::of(&certificate) else { return false };
    let since = validity.start.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let middle = since + validity.end.duration_since(validity.start).unwrap_or_default() / 2;
    verify(&roots, &certificate, hostname, UnixTime::since_unix_epoch(middle)).is_ok()
}

fn verify(
    roots: &[CertificateDer<'static>],
    certificate: &CertificateDer<'_>,
    hostname: &Hostname,
    now: UnixTime,
) -> Result<(), rustls::Error> {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(roots.iter().cloned());
    let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::new(default_provider()));
    let verifier = builder.build().map_err(|error| rustls::Error::General(error.to_string()))?;
    let name = hostname.to_string();
    let name = ServerName::try_from(name.as_str()).map_err(|error| rustls::Error::General(error.to_string()))?;
    verifier.verify_server_cert(certificate, &[], &name, &[], now).map(drop)
}
