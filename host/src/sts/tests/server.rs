//! STS on loopback for the executor's tests: real TLS, real HTTP/1.1 and HTTP/2, and answers by path.

use std::{
    convert::Infallible,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use http::{HeaderValue, StatusCode};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::BoxBody};
use hyper::{body::Frame, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{
    net::TcpListener,
    sync::Notify,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

use super::super::{Config, Endpoint, Executor};
use crate::observe::Metrics;

/// The host that its certificate is for.
pub(super) const HOST: &str = "sts.test";
/// Another one.
pub(super) const HANGS: &str = "hangs.test";

/// STS on loopback: does what the path says, and counts.
pub(super) struct Server {
    pub(super) counts: Arc<Counts>,
    pub(super) address: String,
    folder: tempfile::TempDir,
}

#[derive(Default)]
pub(super) struct Counts {
    connections: AtomicUsize,
    pub(super) requests: AtomicUsize,
    /// Requests whose client left before the answer.
    pub(super) given_up: AtomicUsize,
    /// Whether `/flaky` has hung up once.
    hung_up: AtomicUsize,
    pub(super) h2: AtomicUsize,
    /// Lets one request for `/held` be answered.
    pub(super) release: Notify,
}

/// Counts a request as given up unless it is answered.
struct Pending(Arc<Counts>, bool);

impl Drop for Pending {
    fn drop(&mut self) {
        if !self.1 {
            self.0.given_up.fetch_add(1, SeqCst);
        }
    }
}

impl Server {
    pub(super) async fn start(alpn: &[&str]) -> Self {
        let rcgen::CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed([HOST.to_owned(), HANGS.to_owned()]).expect("a certificate");
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("ca.pem"), cert.pem()).expect("the CA file");
        let key = rustls_pki_types::PrivateKeyDer::try_from(signing_key.serialize_der()).expect("a key");
        let ring = Arc::new(rustls::crypto::ring::default_provider());
        let mut tls = rustls::ServerConfig::builder_with_provider(ring)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .expect("a usable pair");
        tls.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let counts = Arc::new(Counts::default());
        tokio::spawn(accept(listener, TlsAcceptor::from(Arc::new(tls)), Arc::clone(&counts)));
        Self { counts, address, folder }
    }

    fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    pub(super) fn endpoint(&self, host: &str) -> Endpoint {
        Endpoint {
            host: host.to_owned(),
            region: None,
            partition: None,
            connect_to: Some(self.address.clone()),
            ca_file: Some(self.ca_file()),
        }
    }

    pub(super) fn executor(&self, change: impl FnOnce(&mut Config)) -> Executor {
        let mut config = Config { endpoints: vec![self.endpoint(HOST)], ..Config::default() };
        change(&mut config);
        Executor::new(&config, Arc::new(Metrics::default())).expect("a good configuration")
    }

    /// Waits until `count` reaches `expected`, for at most a minute.
    pub(super) async fn wait(&self, count: impl Fn(&Counts) -> &AtomicUsize, expected: usize) {
        let reached = async {
            while count(&self.counts).load(SeqCst) < expected {
                sleep(Duration::from_millis(2)).await;
            }
        };
        timeout(Duration::from_secs(60), reached).await.expect("the server sees it in time");
    }

    pub(super) fn requests(&self) -> usize {
        self.counts.requests.load(SeqCst)
    }

    pub(super) fn connections(&self) -> usize {
        self.counts.connections.load(SeqCst)
    }
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, counts: Arc<Counts>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, counts) = (acceptor.clone(), Arc::clone(&counts));
        tokio::spawn(async move {
            counts.connections.fetch_add(1, SeqCst);
            let Ok(stream) = acceptor.accept(stream).await else { return };
            if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                counts.h2.fetch_add(1, SeqCst);
            }
            let service = service_fn(move |request| serve(request, Arc::clone(&counts)));
            let _ended = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

type Response = http::Response<BoxBody<Bytes, Infallible>>;

async fn serve(request: http::Request<hyper::body::Incoming>, counts: Arc<Counts>) -> Result<Response, &'static str> {
    counts.requests.fetch_add(1, SeqCst);
    let mut pending = Pending(Arc::clone(&counts), false);
    let response = match request.uri().path() {
        "/barely" => pieces(endless(b"12345678").take(8192)),
        "/big" => body(StatusCode::OK, vec![b'x'; 65 * 1024]),
        "/drip" => pieces(endless(b"x").then(|piece| async move {
            sleep(Duration::from_millis(20)).await;
            piece
        })),
        "/endless" => pieces(endless(&[b'x'; 4096])),
        "/error" => body(StatusCode::INTERNAL_SERVER_ERROR, "arn:aws:iam::111122223333:user/alice"),
        "/flaky" if counts.hung_up.fetch_add(1, SeqCst) == 0 => return Err("hang up"),
        "/hang" => std::future::pending().await,
        "/held" => {
            counts.release.notified().await;
            body(StatusCode::OK, "arn:aws:iam::111122223333:user/held")
        }
        "/redirect" => {
            let mut response = body(StatusCode::FOUND, "");
            let there = HeaderValue::from_static("https://sts.test/ok");
            response.headers_mut().insert(http::header::LOCATION, there);
            response
        }
        "/refused" => body(StatusCode::FORBIDDEN, "SignatureDoesNotMatch"),
        "/reset" => return Err("hang up"),
        "/slow" => {
            sleep(Duration::from_millis(150)).await;
            body(StatusCode::OK, "arn:aws:iam::111122223333:user/slow")
        }
        "/slow_down" => body(StatusCode::SERVICE_UNAVAILABLE, "SlowDown"),
        "/throttled" => {
            let mut response = body(StatusCode::TOO_MANY_REQUESTS, "");
            response.headers_mut().insert(http::header::RETRY_AFTER, HeaderValue::from_static("7"));
            response
        }
        _ => {
            let host = request.headers().get(http::header::HOST).and_then(|host| host.to_str().ok());
            let host = host.or_else(|| request.uri().host()).unwrap_or("no host");
            body(StatusCode::OK, format!("{host}{}", request.uri().query().unwrap_or_default()))
        }
    };
    pending.1 = true;
    Ok(response)
}

fn body(status: StatusCode, content: impl Into<Bytes>) -> Response {
    let mut response = http::Response::new(Full::new(content.into()).boxed());
    *response.status_mut() = status;
    response
}

fn endless(piece: &'static [u8]) -> impl Stream<Item = &'static [u8]> + Send + Sync {
    stream::repeat(piece)
}

/// A body without a `Content-Length`.
fn pieces(pieces: impl Stream<Item = &'static [u8]> + Send + Sync + 'static) -> Response {
    let frames = pieces.map(|piece| Ok(Frame::data(Bytes::from_static(piece))));
    http::Response::new(BoxBody::new(StreamBody::new(frames)))
}
