//! TLS for the fakes: one crypto provider, a throw-away CA that makes a certificate for a host when
//! it is first asked for, and clients that trust one CA as Go does.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime, pem::PemObject as _},
    server::{ClientHello, ParsedCertificate, ResolvesServerCert},
    sign::CertifiedKey,
};

/// The one crypto provider.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// A throw-away CA. It lives as long as the process.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    leaf_key: KeyPair,
    serves: fn(&str) -> bool,
    made: Mutex<HashMap<String, Arc<CertifiedKey>>>,
}

/// Without SNI the client meant an address.
const NAMELESS: &str = "127.0.0.1";

// === impl Authority ===

impl Authority {
    /// A new CA that vouches for the hosts that `serves` says yes to, and for no other.
    ///
    /// # Errors
    ///
    /// When no key can be made.
    pub fn new(name: &str, serves: fn(&str) -> bool) -> anyhow::Result<Arc<Self>> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, name);
        let pem = params.self_signed(&key)?.pem();
        let leaf_key = KeyPair::generate()?;
        Ok(Arc::new(Self { issuer: Issuer::new(params, key), pem, leaf_key, serves, made: Mutex::default() }))
    }

    /// The CA's certificate: what a client has to trust.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A server that shows a certificate for whatever host its client asks for, if the CA serves it.
    ///
    /// # Errors
    ///
    /// Never with the crypto provider this is built with.
    pub fn server_config(self: &Arc<Self>, alpn: &[&[u8]]) -> anyhow::Result<Arc<ServerConfig>> {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(self) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        Ok(Arc::new(config))
    }

    fn certificate(&self, host: &str) -> anyhow::Result<Arc<CertifiedKey>> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = made.get(host) {
            return Ok(Arc::clone(key));
        }
        let mut params = CertificateParams::new([host.to_owned()])?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.distinguished_name.push(DnType::CommonName, host);
        let certificate = params.signed_by(&self.leaf_key, &self.issuer)?;
        let key = PrivatePkcs8KeyDer::from(self.leaf_key.serialize_der()).into();
        let signer = provider().key_provider.load_private_key(key)?;
        let key = Arc::new(CertifiedKey::new(vec![certificate.der().clone()], signer));
        // Bounded by the table of hosts behind `serves`.
        made.insert(host.to_owned(), Arc::clone(&key));
        Ok(key)
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authority")
    }
}

impl ResolvesServerCert for Authority {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let host = hello.server_name().unwrap_or(NAMELESS);
        (self.serves)(host).then(|| self.certificate(host).ok()).flatten()
    }
}

/// A client's certificate, and who vouches for it; all in PEM.
#[derive(Debug)]
pub struct ClientFiles {
    /// The authority's certificate.
    pub ca: String,
    /// The client's.
    pub certificate: String,
    /// The key to it.
    pub key: String,
}

/// Makes a throw-away authority that vouches for one client.
///
/// # Errors
///
/// When no key can be made.
pub fn client_files(name: &str) -> anyhow::Result<ClientFiles> {
    let (ca_key, key) = (KeyPair::generate()?, KeyPair::generate()?);
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = params.self_signed(&ca_key)?.pem();
    let issuer = Issuer::new(params, ca_key);
    let mut params = CertificateParams::default();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.distinguished_name.push(DnType::CommonName, name);
    let certificate = params.signed_by(&key, &issuer)?.pem();
    Ok(ClientFiles { ca, certificate, key: key.serialize_pem() })
}

/// A client that trusts the certificates in `ca_pem` the way Go's TLS does: a self-signed server
/// certificate that is itself in the pool is good for the names it carries.
///
/// # Errors
///
/// When `ca_pem` holds no certificate.
pub fn client_config(ca_pem: &str, alpn: &[&[u8]]) -> anyhow::Result<ClientConfig> {
    let pool: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(ca_pem.as_bytes()).collect::<Result<_, _>>()?;
    anyhow::ensure!(!pool.is_empty(), "no certificate to trust");
    let mut roots = RootCertStore::empty();
    for certificate in &pool {
        roots.add(certificate.clone())?;
    }
    let chains = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build()?;
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(PoolVerifier { pool, chains }))
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(config)
}

#[derive(Debug)]
struct PoolVerifier {
    pool: Vec<CertificateDer<'static>>,
    chains: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for PoolVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.pool.iter().any(|trusted| trusted == end_entity) {
            verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
            return Ok(ServerCertVerified::assertion());
        }
        self.chains.verify_server_cert(end_entity, intermediates, server_name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chains.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chains.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chains.supported_verify_schemes()
    }
}
