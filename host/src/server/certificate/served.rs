//! The certificate that is shown to clients: another one takes its place between two handshakes, and connections that
//! are open know nothing of it.

use std::{
    fmt,
    net::IpAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use arc_swap::{ArcSwap, ArcSwapOption};
use rustls::{
    CertificateError as Invalid, RootCertStore,
    client::{
        WebPkiServerVerifier, danger::ServerCertVerifier as _, verify_server_cert_signed_by_trust_anchor,
        verify_server_name,
    },
    crypto::ring::default_provider,
    server::{ClientHello, ParsedCertificate, ResolvesServerCert},
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _};

use super::{CertificateError, Distrust, Pair};
use crate::server::{Hostname, tls};

/// What is shown, when it ends, and what is known of those who do not trust it.
pub struct Served {
    pub(super) shown: ArcSwap<Shown>,
    distrust: ArcSwapOption<Distrust>,
}

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
        Ok(Arc::new(Self { shown: ArcSwap::from_pointee(Shown::of(pair)?), distrust: ArcSwapOption::empty() }))
    }

    /// From now on shows `pair`, or what it showed before if TLS does not take it.
    pub(super) fn replace(&self, pair: &Pair) -> Result<(), CertificateError> {
        self.shown.store(Arc::new(Shown::of(pair)?));
        Ok(())
    }

    /// Why API servers do not trust it, by the webhook kubeconfig on this machine; `None` if they do, or it is not known.
    #[must_use]
    pub fn distrust(&self) -> Option<Arc<Distrust>> {
        self.distrust.load_full()
    }

    pub(super) fn set_distrust(&self, distrust: Option<Distrust>) {
        self.distrust.store(distrust.map(Arc::new));
    }

    /// From when to when it is good, as far as that can be read.
    #[must_use]
    pub fn validity(&self) -> Option<Validity> {
        self.shown.load().validity
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
        Some(Arc::clone(&self.shown.load().certified))
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

    /// Whether `now` is in it.
    #[must_use]
    pub fn holds(&self, now: SystemTime) -> bool {
        self.start <= now && now <= self.end
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

/// Whether one of the certificates in `authority`, in PEM, vouches for the certificate of `pair`, whatever its names.
pub(super) fn is_vouched_for(pair: &Pair, authority: &str) -> bool {
    pair.chain().first().is_some_and(|certificate| vouches(authority, certificate))
}

/// The same of a certificate.
pub(super) fn vouches(authority: &str, certificate: &CertificateDer<'static>) -> bool {
    let roots = CertificateDer::pem_slice_iter(authority.as_bytes()).collect::<Result<Vec<_>, _>>();
    let Ok(roots) = roots else { return false };
    let (Some(validity), Ok(parsed)) = (Validity::of(certificate), ParsedCertificate::try_from(certificate)) else {
        return false;
    };
    let since = validity.start.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let middle = since + validity.end.duration_since(validity.start).unwrap_or_default() / 2;
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(roots);
    let algorithms = default_provider().signature_verification_algorithms;
    let time = UnixTime::since_unix_epoch(middle);
    verify_server_cert_signed_by_trust_anchor(&parsed, &store, &[], time, algorithms.all).is_ok()
}

/// Whether the certificate of `pair` is for this host name and this address.
pub(super) fn is_for(pair: &Pair, (hostname, address): (&Hostname, IpAddr)) -> bool {
    let Some(certificate) = pair.chain().into_iter().next() else { return false };
    let Ok(parsed) = ParsedCertificate::try_from(&certificate) else { return false };
    let has = |name: &ServerName<'_>| verify_server_name(&parsed, name).is_ok();
    let name = hostname.to_string();
    ServerName::try_from(name.as_str()).is_ok_and(|name| has(&name))
        && (address.is_unspecified() || has(&ServerName::from(address)))
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
