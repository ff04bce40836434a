//! Trust: whether an API server that was started with a webhook kubeconfig would talk to this server.
//!
//! The kubeconfig is read as kube-apiserver reads it (Kubernetes documentation, "Webhook Token Authentication"): the
//! cluster of the current context, its authority, and the name in its URL. Failure rule: what cannot be judged here,
//! because there is no such file on this machine or it leaves trust to the system's authorities, is not judged.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustls::{
    CertificateError as Invalid, RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier as _, verify_server_name},
    crypto::ring::default_provider,
    server::ParsedCertificate,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _};
use serde_json::Value;

use super::{CERTIFICATE, MAX_BYTES, is_there, served::Validity};
use crate::server::Config;

/// Why no request of the API server arrives. The operator's to mend, every one of them.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Distrust {
    /// The certificate is good, but not at this time.
    #[error("the certificate in force is not good now: it {0}")]
    NotNow(&'static str),
    /// The certificate is for other names.
    #[error(
        "it reaches this server as {0}, which the certificate in force is not for: set server.hostname to that name or write \
         the kubeconfig anew; where both are right, the pair was made for another name: put one for it there, which \
         `herald init --rotate` makes"
    )]
    Name(String),
    /// It trusts somebody else.
    #[error(
        "what it trusts does not vouch for the certificate in force: give it the certificates of ca.pem in the state \
         directory (of cert.pem, if there is no ca.pem), or let `herald server` write it, and restart the API server"
    )]
    Authority,
    /// kube-apiserver does not even start with it.
    #[error("it is no kubeconfig that an API server can use: {0}")]
    NotAKubeconfig(String),
}

/// What a webhook kubeconfig says of its server.
struct Webhook {
    name: ServerName<'static>,
    /// Certificates in PEM; `None` leaves it to the system.
    roots: Option<Vec<u8>>,
}

/// Whether an API server trusts `chain` at `now`, by the kubeconfig at `path`; `None` if that cannot be told here.
pub(super) fn judge(path: &Path, chain: &[CertificateDer<'static>], now: SystemTime) -> Option<Result<(), Distrust>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            return Some(Err(Distrust::NotAKubeconfig("it is no text".to_owned())));
        }
        Err(_) => return None,
    };
    judge_text(&text, path.parent().unwrap_or_else(|| Path::new(".")), chain, now)
}

/// The same by the text of a kubeconfig that stands in `folder`.
#[must_use]
pub fn judge_text(
    text: &str,
    folder: &Path,
    chain: &[CertificateDer<'static>],
    now: SystemTime,
) -> Option<Result<(), Distrust>> {
    match read(text, folder) {
        Ok(Webhook { roots: None, .. }) => None,
        Ok(Webhook { name, roots: Some(roots) }) => Some(trusts(&roots, chain, &name, now)),
        Err(error) => Some(Err(error)),
    }
}

/// The same of the certificate in the state directory, for whoever is not the server.
#[must_use]
pub fn of_config(config: &Config, now: SystemTime) -> Option<Distrust> {
    let certificate = config.state_dir.join(CERTIFICATE);
    if !is_there(&certificate).ok()? || fs::metadata(&certificate).ok()?.len() > MAX_BYTES {
        return None;
    }
    let pem = fs::read(&certificate).ok()?;
    let chain = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>().ok()?;
    judge(&config.generate_kubeconfig, &chain, now)?.err()
}

/// As client-go reads it: names are exact, and `-data` wins over a file.
fn read(text: &str, folder: &Path) -> Result<Webhook, Distrust> {
    let wrong = |what: &str| Distrust::NotAKubeconfig(what.to_owned());
    let root: Value = serde_saphyr::from_str(text).map_err(|error| wrong(&first_line(&error.to_string())))?;
    let named = |list: &str, name: &Value| {
        let mut entries = root[list].as_array().into_iter().flatten();
        entries.find(|entry| entry["name"] == *name && name.is_string())
    };
    let context = named("contexts", &root["current-context"]).ok_or_else(|| wrong("no current context"))?;
    let cluster =
        named("clusters", &context["context"]["cluster"]).ok_or_else(|| wrong("its context has no cluster"))?;
    let cluster = &cluster["cluster"];
    let url = cluster["server"].as_str().ok_or_else(|| wrong("its cluster has no server"))?;
    let host = host(url).ok_or_else(|| wrong("its server is no https URL"))?;
    let host = cluster["tls-server-name"].as_str().filter(|name| !name.is_empty()).unwrap_or(host);
    let name = ServerName::try_from(host.to_owned()).map_err(|_| wrong("its server has no good name"))?;
    if cluster["insecure-skip-tls-verify"] == true {
        return Ok(Webhook { name, roots: None });
    }
    let data = cluster["certificate-authority-data"].as_str().filter(|data| !data.is_empty());
    let file = cluster["certificate-authority"].as_str().filter(|file| !file.is_empty());
    let roots = match (data, file) {
        (Some(data), _) => {
            let data: String = data.split_whitespace().collect();
            Some(STANDARD.decode(data).map_err(|_| wrong("certificate-authority-data is no base64"))?)
        }
        (None, Some(file)) => {
            let path: PathBuf = folder.join(file);
            Some(fs::read(&path).map_err(|error| wrong(&format!("{} cannot be read: {error}", path.display())))?)
        }
        (None, None) => None,
    };
    Ok(Webhook { name, roots })
}

/// The host of an https URL, without brackets and port.
fn host(url: &str) -> Option<&str> {
    let authority = url.strip_prefix("https://")?.split(['/', '?', '#']).next()?;
    match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next(),
        None => authority.split(':').next(),
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

fn trusts(
    roots: &[u8],
    chain: &[CertificateDer<'static>],
    name: &ServerName<'_>,
    now: SystemTime,
) -> Result<(), Distrust> {
    let roots = CertificateDer::pem_slice_iter(roots).collect::<Result<Vec<_>, _>>();
    let roots = roots.map_err(|_| Distrust::NotAKubeconfig("its authority is not in PEM".to_owned()))?;
    let Some((certificate, others)) = chain.split_first() else { return Err(Distrust::Authority) };
    let parsed = ParsedCertificate::try_from(certificate).map_err(|_| Distrust::Authority)?;
    if verify_server_name(&parsed, name).is_err() {
        let name = match name {
            ServerName::IpAddress(ip) => std::net::IpAddr::from(*ip).to_string(),
            name => name.to_str().into_owned(),
        };
        return Err(Distrust::Name(name));
    }
    // Who trusts the very certificate asks nobody else. A verifier for the web would not have one that may vouch for
    // others, as older programs made them.
    if roots.contains(certificate) {
        return match Validity::of(certificate) {
            Some(validity) if now > validity.end => Err(Distrust::NotNow("has ended")),
            Some(validity) if now < validity.start => Err(Distrust::NotNow("begins later")),
            _ => Ok(()),
        };
    }
    // API servers hold an authority to its dates as well, and the verifier of here knows none of them.
    let is_good = |root: &CertificateDer<'static>| Validity::of(root).is_none_or(|validity| validity.holds(now));
    let (good, late): (Vec<_>, Vec<_>) = roots.into_iter().partition(is_good);
    match verify(good, certificate, others, name, now) {
        Err(Distrust::Authority) if verify(late, certificate, others, name, now).is_ok() => {
            Err(Distrust::NotNow("is vouched for by an authority that has ended, or begins later"))
        }
        found => found,
    }
}

/// Whether one of `roots` vouches for the certificate, whatever their dates.
fn verify(
    roots: Vec<CertificateDer<'static>>,
    certificate: &CertificateDer<'_>,
    others: &[CertificateDer<'_>],
    name: &ServerName<'_>,
    now: SystemTime,
) -> Result<(), Distrust> {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(roots);
    let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::new(default_provider()));
    let verifier = builder.build().map_err(|_| Distrust::Authority)?;
    let time = UnixTime::since_unix_epoch(now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default());
    match verifier.verify_server_cert(certificate, others, name, &[], time) {
        Ok(_) => Ok(()),
        Err(rustls::Error::InvalidCertificate(Invalid::Expired | Invalid::ExpiredContext { .. })) => {
            Err(Distrust::NotNow("has ended"))
        }
        Err(rustls::Error::InvalidCertificate(Invalid::NotValidYet | Invalid::NotValidYetContext { .. })) => {
            Err(Distrust::NotNow("begins later"))
        }
        Err(_) => Err(Distrust::Authority),
    }
}

// === impl Distrust ===

impl Distrust {
    /// The stable label.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Authority => "webhook_authority",
            Self::Name(_) => "webhook_name",
            Self::NotAKubeconfig(_) => "webhook_kubeconfig",
            Self::NotNow(_) => "webhook_time",
        }
    }
}

#[cfg(test)]
mod tests;
