//! HTTP for the clients' credentials: nothing of it exists before somebody is called.
//!
//! Plain `http` is for metadata services and for endpoints that the user overrides: it never touches TLS
//! and never a proxy. `https` honours `HTTPS_PROXY` and trusts `AWS_CA_BUNDLE`, or else the system's roots,
//! or those in `SSL_CERT_FILE`.

use std::{
    env, fs,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use aws_smithy_http_client::{
    Connector,
    proxy::ProxyConfig,
    tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::{
    http::{HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector},
    orchestrator::HttpRequest,
    result::ConnectorError,
    runtime_components::RuntimeComponents,
};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};

/// One client for all links of the chain.
#[derive(Clone, Debug)]
pub(in crate::provider) struct Client(Arc<Mutex<Vec<Pooled>>>);

/// Connections with one set of timeouts, to one kind of endpoint.
#[derive(Clone, Debug)]
struct Pooled {
    https: bool,
    timeouts: [Option<Duration>; 2],
    connector: SharedHttpConnector,
}

#[derive(Debug)]
struct LazyConnector {
    settings: HttpConnectorSettings,
    client: Client,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(in crate::provider) enum SendError {
    /// The trusted certificates cannot be read.
    #[error("no certificate authority to trust")]
    CaBundle(#[from] CaBundleError),
    /// No connection, or one that broke.
    #[error("no whole answer")]
    Connector(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// No URL to send to.
    #[error("the request cannot be sent")]
    Request,
    /// Too slow.
    #[error("no answer in time")]
    Timeout,
}

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Largest answer that is read, in bytes.
const MAX_ANSWER: usize = 64 << 10;

/// `AWS_CA_BUNDLE` is of no use.
#[derive(Debug, thiserror::Error)]
pub(in crate::provider) enum CaBundleError {
    /// The file holds something else.
    #[error("AWS_CA_BUNDLE: {0} holds no usable certificate")]
    Certificate(PathBuf),
    /// The file cannot be read.
    #[error("AWS_CA_BUNDLE: {0} cannot be read")]
    Read(PathBuf, #[source] std::io::Error),
}

// === impl Client ===

impl Client {
    pub(in crate::provider) fn new() -> Self {
        Self(Arc::default())
    }

    #[cfg(test)]
    pub(in crate::provider) fn is_unused(&self) -> bool {
        self.0.lock().expect("no panic").is_empty()
    }

    /// Sends one request by `settings`, and gives the answer as it comes.
    pub(in crate::provider) fn call(
        &self,
        request: HttpRequest,
        settings: &HttpConnectorSettings,
    ) -> HttpConnectorFuture {
        LazyConnector { settings: settings.clone(), client: self.clone() }.call(request)
    }

    /// Sends one request and reads the whole answer: its status and body.
    ///
    /// # Errors
    ///
    /// When there is no answer within `limit`, or one of more than [`MAX_ANSWER`] bytes. No text of an error holds
    /// the URL: it may be signed.
    pub(in crate::provider) async fn send(
        &self,
        request: http::Request<String>,
        limit: Duration,
    ) -> Result<(u16, Bytes), SendError> {
        let connect = limit.min(CONNECT_TIMEOUT);
        let settings = HttpConnectorSettings::builder().connect_timeout(connect).read_timeout(limit).build();
        let https = request.uri().scheme_str() == Some("https");
        let connector = self.connector(https, &settings)?;
        let request = HttpRequest::try_from(request.map(Into::into)).map_err(|_| SendError::Request)?;
        let exchange = async {
            let response = connector.call(request).await.map_err(|error| SendError::Connector(error.into()))?;
            let status = response.status().as_u16();
            let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await.map_err(SendError::Connector)?;
            Ok((status, body.to_bytes()))
        };
        tokio::time::timeout(limit, exchange).await.unwrap_or(Err(SendError::Timeout))
    }

    fn connector(&self, https: bool, settings: &HttpConnectorSettings) -> Result<SharedHttpConnector, CaBundleError> {
        let timeouts = [settings.connect_timeout(), settings.read_timeout()];
        let mut pools = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pool) = pools.iter().find(|pool| pool.https == https && pool.timeouts == timeouts) {
            return Ok(pool.connector.clone());
        }
        let builder = Connector::builder().connector_settings(settings.clone());
        let connector = SharedHttpConnector::new(match https {
            true => builder
                .tls_provider(Provider::rustls(CryptoMode::Ring))
                .tls_context(trust()?)
                .proxy_config(ProxyConfig::from_env())
                .build(),
            false => builder.build_http(),
        });
        pools.push(Pooled { https, timeouts, connector: connector.clone() });
        Ok(connector)
    }
}

impl HttpClient for Client {
    fn http_connector(&self, settings: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(LazyConnector { settings: settings.clone(), client: self.clone() })
    }
}

// === impl LazyConnector ===

impl HttpConnector for LazyConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let https = request.uri().starts_with("https:");
        match self.client.connector(https, &self.settings) {
            Ok(connector) => connector.call(request),
            Err(error) => HttpConnectorFuture::ready(Err(ConnectorError::user(error.into()))),
        }
    }
}

fn trust() -> Result<TlsContext, CaBundleError> {
    let store = match env::var_os("AWS_CA_BUNDLE").filter(|path| !path.is_empty()).map(PathBuf::from) {
        Some(path) => bundle(path)?,
        None => TrustStore::default(),
    };
    Ok(TlsContext::builder().with_trust_store(store).build().unwrap_or_default())
}

/// Checks every certificate first: the trust store takes them on faith and panics later.
fn bundle(path: PathBuf) -> Result<TrustStore, CaBundleError> {
    let pem = match fs::read(&path) {
        Ok(pem) => pem,
        Err(error) => return Err(CaBundleError::Read(path, error)),
    };
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let mut roots = rustls::RootCertStore::empty();
    match certificates {
        Ok(found) if !found.is_empty() && found.iter().all(|one| roots.add(one.clone()).is_ok()) => {
            Ok(TrustStore::empty().with_pem_certificate(pem))
        }
        _ => Err(CaBundleError::Certificate(path)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bundles_are_checked() {
        #[track_caller]
        fn check(content: Option<&str>, words: &str) {
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("ca.pem");
            content.inspect(|text| fs::write(&path, text).expect("written"));
            let error = bundle(path).expect_err("no certificate").to_string();
            assert!(error.contains(words), "{error}");
        }
        check(None, "cannot be read");
        check(Some(""), "no usable certificate");
        check(Some("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), "no usable certificate");
        let key = rcgen::generate_simple_self_signed(["sts.example".to_owned()]).expect("a certificate");
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("ca.pem"), key.cert.pem()).expect("written");
        assert!(bundle(folder.path().join("ca.pem")).is_ok());
    }
}
