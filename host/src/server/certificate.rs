//! The server's certificate and key, kept in the state directory as `cert.pem` and `key.pem`.
//!
//! A pair that is there is used as it is, whoever made it and whatever its algorithm. One is made only where there is
//! neither file; a key that a start left behind when it broke off gets its certificate. Nothing is overwritten but a certificate of the server's own [`authority`], and that only by a
//! newer one for the same key; see [`keeper`].

use std::{
    fs::OpenOptions,
    io::{self, Read as _},
    net::IpAddr,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use pem::{EncodeConfig, LineEnding, Pem};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, SanType,
    string::Ia5String,
};
use rustix::fs::OFlags;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use zeroize::Zeroizing;

use super::{Hostname, NAME, files, tls};

pub mod authority;
pub mod keeper;
mod served;
pub mod trust;

pub use authority::{AUTHORITY, AUTHORITY_KEY};
pub use keeper::{Keeper, Rotated};
pub use served::{Served, Validity};
pub use trust::Distrust;

use authority::{Authority, START, load_or_make_key, write_key};

/// File name of the certificate.
pub const CERTIFICATE: &str = "cert.pem";
/// File name of the key.
pub const KEY: &str = "key.pem";
/// All that the state directory holds of certificates.
pub const FILES: [&str; 6] = [CERTIFICATE, KEY, AUTHORITY, AUTHORITY_KEY, authority::NEXT, authority::NEXT_KEY];

/// The certificate is good from this long before it is made, for clocks that run behind.
const BACKDATE: Duration = Duration::from_secs(60 * 60);
/// A certificate that vouches for itself is good for ten years from when it is made. It begins in 1970, as an authority does:
/// nobody renews it, should the clock be ahead that it is made by.
const VALIDITY: Duration = Duration::from_secs(3652 * 24 * 60 * 60);
/// Largest file that is read as a certificate or a key, in bytes.
const MAX_BYTES: u64 = 256 * 1024;
/// Permission to write for group and others.
const WRITABLE_BY_OTHERS: u32 = 0o022;
/// Permission to read for group and others.
const READABLE_BY_OTHERS: u32 = 0o044;

/// A certificate and the key it was made for.
pub struct Pair {
    pem: String,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    made: bool,
}

/// Why there is no usable pair. Nothing was overwritten.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// The authority's key is not the one of its certificate, or that is not of Herald's making.
    #[error(
        "ca.pem in the state directory does not vouch for what Herald signs with ca-key.pem: put the key there that Herald has \
         made for it, or remove ca-key.pem to go on with the pair that is there, and ca.pem too to have an authority made that \
         each API server has to trust first"
    )]
    ForeignAuthority,
    /// The key is of a kind that Herald makes no certificates for.
    #[error(
        "{} is not a key that Herald makes certificates for: once every API server trusts ca.pem, stop Herald, remove \
         cert.pem and key.pem, and start it again",
        path.display()
    )]
    ForeignKey {
        /// The key.
        path: PathBuf,
    },
    /// One file is there without the other.
    #[error(
        "{} is there but {} is missing: put the missing file back, or remove both to have a new pair made \
         (the webhook kubeconfig then changes)",
        found.display(), missing.display()
    )]
    Half {
        /// The file that is there.
        found: PathBuf,
        /// The one that is not.
        missing: PathBuf,
    },
    /// The pair could not be made.
    #[error("cannot make a certificate")]
    Make(#[source] rcgen::Error),
    /// A file is not what its name says.
    #[error("{} holds no {what} in PEM: put a good file there, or remove both cert.pem and key.pem", path.display())]
    NotPem {
        /// The file.
        path: PathBuf,
        /// `certificate` or `private key`.
        what: &'static str,
    },
    /// The two do not belong together, or the key's algorithm is not one TLS can use.
    #[error(transparent)]
    Unusable(#[from] tls::UnusablePair),
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The key is a symbolic link, a folder or another thing that is no plain file.
    #[error("{} must be a plain file: it would be read through a link that others may turn", path.display())]
    NotAFile {
        /// The key.
        path: PathBuf,
    },
    /// Others could have put another key there.
    #[error("{} can be written by its group or by everybody (mode {mode:04o}): chmod 600 it", path.display())]
    Writable {
        /// The key.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A file cannot be written.
    #[error("cannot write {}: is the state directory mounted, and writable for this user?", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

// === impl Pair ===

impl Pair {
    /// The pair in `folder`, made there for `hostname` and `address` if it has neither file.
    ///
    /// # Errors
    ///
    /// Any [`CertificateError`].
    pub fn load_or_create(
        folder: &Path,
        hostname: &Hostname,
        address: IpAddr,
        now: SystemTime,
    ) -> Result<Self, CertificateError> {
        let (certificate, key) = (folder.join(CERTIFICATE), folder.join(KEY));
        match (is_there(&certificate)?, is_there(&key)?) {
            (true, true) => Self::load(&certificate, &key),
            (false, false) => Self::create(&certificate, &key, hostname, address, now),
            (true, false) => Err(CertificateError::Half { found: certificate, missing: key }),
            (false, true) => Err(CertificateError::Half { found: key, missing: certificate }),
        }
    }

    /// The certificate, and those that vouch for it, in PEM.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.pem
    }

    /// Whether the pair was made by this very call.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.made
    }

    pub(super) fn chain(&self) -> Vec<CertificateDer<'static>> {
        self.chain.clone()
    }

    pub(super) fn key(&self) -> PrivateKeyDer<'static> {
        self.key.clone_key()
    }

    fn load(certificate: &Path, key: &Path) -> Result<Self, CertificateError> {
        let pem = read(certificate)?;
        let chain = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
        let chain = chain.ok().filter(|chain| !chain.is_empty()).ok_or_else(|| not_pem(certificate, "certificate"))?;
        let key_pem = read_key(key)?;
        let key = PrivateKeyDer::from_pem_slice(&key_pem).map_err(|_| not_pem(key, "private key"))?;
        Self { pem: pem_of(&chain), chain, key, made: false }.checked()
    }

    fn create(
        certificate: &Path,
        key: &Path,
        hostname: &Hostname,
        address: IpAddr,
        now: SystemTime,
    ) -> Result<Self, CertificateError> {
        let key_pair = KeyPair::generate().map_err(CertificateError::Make)?;
        let signed = params(hostname, address, VALIDITY, now)
            .and_then(|mut params| {
                params.not_before = (SystemTime::UNIX_EPOCH + START).into();
                params.self_signed(&key_pair)
            })
            .map_err(CertificateError::Make)?;
        let key_pem = Zeroizing::new(key_pair.serialize_pem());
        let (pem, der) = (signed.pem(), signed.der().clone());
        let folder = key.parent().unwrap_or_else(|| Path::new("."));
        files::private_folder(folder).map_err(|source| write_error(folder, source))?;
        files::create(key, key_pem.as_bytes(), 0o600).map_err(|source| write_error(key, source))?;
        files::create(certificate, pem.as_bytes(), 0o644).map_err(|source| write_error(certificate, source))?;
        let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).map_err(|_| not_pem(key, "private key"))?;
        Self { pem, chain: vec![der], key, made: true }.checked()
    }

    /// A new pair in `folder`, for which the authority there vouches; the authority is made too if there is none, and so is
    /// the key.
    fn issue(
        folder: &Path,
        names: (&Hostname, IpAddr),
        lifetime: Duration,
        now: SystemTime,
    ) -> Result<Self, CertificateError> {
        let authority = Authority::in_force(folder, lifetime, now)?;
        let (certificate_file, key_file) = (folder.join(CERTIFICATE), folder.join(KEY));
        let (key, is_new) = load_or_make_key(&key_file)?;
        let pem = authority.issue(&key, names, lifetime, now)?;
        // Not before it has a certificate: a key that a refused start leaves behind would stand in the way of the next.
        if is_new {
            write_key(&key_file, &key)?;
        }
        files::create(&certificate_file, pem.as_bytes(), 0o644)
            .map_err(|source| write_error(&certificate_file, source))?;
        Self::load(&certificate_file, &key_file).map(|pair| Self { made: true, ..pair })
    }

    /// Lets no pair out that TLS would not take.
    fn checked(self) -> Result<Self, CertificateError> {
        tls::certified(&self)?;
        Ok(self)
    }
}

/// No authority: its key need not be able to vouch for others, and strict clients refuse an authority as a server.
fn params(
    hostname: &Hostname,
    address: IpAddr,
    lifetime: Duration,
    now: SystemTime,
) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, NAME);
    params.not_before = (now - BACKDATE).max(SystemTime::UNIX_EPOCH + START).into();
    params.not_after = (now + lifetime).into();
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.subject_alt_names = vec![match hostname {
        Hostname::Ip(ip) => SanType::IpAddress(*ip),
        Hostname::Name(name) => SanType::DnsName(Ia5String::try_from(name.as_str())?),
    }];
    let listed = params.subject_alt_names.contains(&SanType::IpAddress(address));
    if !address.is_unspecified() && !listed {
        params.subject_alt_names.push(SanType::IpAddress(address));
    }
    Ok(params)
}

fn is_there(path: &Path) -> Result<bool, CertificateError> {
    match path.symlink_metadata() {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(CertificateError::Read { path: path.to_owned(), source }),
    }
}

/// Reads the key: a plain file that only its owner can write, opened without following a link.
fn read_key(path: &Path) -> Result<Zeroizing<Vec<u8>>, CertificateError> {
    let failed = |source| CertificateError::Read { path: path.to_owned(), source };
    if is_mounted(path) {
        // Whoever may turn the link that Kubernetes made may as well write the folder.
        return read(path);
    }
    if !path.symlink_metadata().map_err(failed)?.is_file() {
        return Err(CertificateError::NotAFile { path: path.to_owned() });
    }
    let flags = i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).expect("open flags are C ints");
    let mut file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.mode() & 0o7777;
    if mode & WRITABLE_BY_OTHERS != 0 {
        return Err(CertificateError::Writable { path: path.to_owned(), mode });
    }
    if mode & READABLE_BY_OTHERS != 0 {
        tracing::warn!(path = %path.display(), mode = format_args!("{mode:04o}"), "others can read the TLS key: chmod 600 it");
    }
    bytes(&mut file).map_err(failed)
}

/// Whether `path` is a file of a mounted Secret, a link to `..data/<its own name>` (Kubernetes documentation,
/// "Secrets": mounted Secrets are updated automatically).
fn is_mounted(path: &Path) -> bool {
    let target = std::fs::read_link(path).ok();
    let expected = path.file_name().map(|name| Path::new("..data").join(name));
    target.is_some() && target == expected
}

fn write_error(path: &Path, source: io::Error) -> CertificateError {
    CertificateError::Write { path: path.to_owned(), source }
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, CertificateError> {
    let failed = |source| CertificateError::Read { path: path.to_owned(), source };
    bytes(&mut std::fs::File::open(path).map_err(failed)?).map_err(failed)
}

fn bytes(file: &mut std::fs::File) -> io::Result<Zeroizing<Vec<u8>>> {
    // Sized once, so that a growing vector leaves no copy of a key behind.
    let size = file.metadata()?.len().min(MAX_BYTES);
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(size).unwrap_or_default() + 1));
    file.take(MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// `certificates` in PEM, and nothing else: whoever has the file may have a key in it too, and what this goes into is
/// everybody's to read.
fn pem_of(certificates: &[CertificateDer<'_>]) -> String {
    let config = EncodeConfig::new().set_line_ending(LineEnding::LF);
    certificates.iter().map(|der| pem::encode_config(&Pem::new("CERTIFICATE", der.as_ref()), config)).collect()
}

fn not_pem(path: &Path, what: &'static str) -> CertificateError {
    CertificateError::NotPem { path: path.to_owned(), what }
}

#[cfg(test)]
mod tests;
