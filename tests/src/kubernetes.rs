//! Fake Kubernetes API: ConfigMaps of kube-system, IAMIdentityMappings and RAMIdentityMappings, on loopback, over plain HTTP or over TLS
//! with a bearer token.
//!
//! It lists and watches as Kubernetes API Concepts ("Efficient detection of changes") says: versions that only
//! grow, watches that go on from a version, `410 Gone` for one that is too old. Its knobs are the ways in which a
//! real API server is missed: watches that break off, an outage, history that is thrown away.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::watch,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

use crate::tls::Authority;

mod answer;

/// A fake API server that runs until it is dropped.
pub struct Kubernetes {
    state: Arc<State>,
    address: SocketAddr,
    authority: Option<Arc<Authority>>,
    task: JoinHandle<()>,
}

struct State {
    cluster: Mutex<Cluster>,
    /// Sends when a watch may have something to say.
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct Cluster {
    /// The newest `resourceVersion`.
    version: u64,
    objects: BTreeMap<(Kind, String), Value>,
    history: Vec<Change>,
    /// Versions before this one are forgotten.
    oldest: u64,
    /// Watches of an earlier epoch end.
    epoch: u64,
    down: bool,
    /// Watches are told in their stream that their version is gone.
    expired_in_stream: bool,
    lists: u64,
    watches: u64,
    watches_refused: bool,
    /// What a request has to bring, if it has to bring anything.
    token: Option<String>,
}

struct Change {
    version: u64,
    kind: Kind,
    event: &'static str,
    object: Value,
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Kind {
    ConfigMap,
    Identity,
    RamIdentity,
}

/// The ConfigMap of ACKConfigMap.
const ALIBABACLOUD_AUTH: &str = "alibabacloud-auth";
/// The ConfigMap of EKSConfigMap.
const AWS_AUTH: &str = "aws-auth";
/// The name in the certificate.
const NAME: &str = "kubernetes.default.svc";

// === impl Kubernetes ===

impl Kubernetes {
    /// Starts one that holds nothing, over plain HTTP.
    ///
    /// # Errors
    ///
    /// When no port can be had.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_with(None).await
    }

    /// Starts one over TLS, which asks for a token.
    ///
    /// # Errors
    ///
    /// When no port or no certificate can be had.
    pub async fn start_secure() -> anyhow::Result<Self> {
        let authority = Authority::new("fake Kubernetes CA", |name| name == NAME)?;
        Self::start_with(Some(authority)).await
    }

    async fn start_with(authority: Option<Arc<Authority>>) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("no port")?;
        let address = listener.local_addr()?;
        let tls = authority.as_ref().map(|authority| authority.server_config(&[b"http/1.1"])).transpose()?;
        let cluster = Mutex::new(Cluster { version: 1, ..Cluster::default() });
        let state = Arc::new(State { cluster, changed: watch::Sender::new(()) });
        let task = tokio::spawn(accept(listener, tls.map(TlsAcceptor::from), Arc::clone(&state)));
        Ok(Self { state, address, authority, task })
    }

    /// From now on asks for `token`, and gives a kubeconfig with it.
    #[must_use]
    pub fn kubeconfig(&self, token: &str) -> String {
        self.change(|cluster| {
            cluster.token = Some(token.to_owned());
            cluster.epoch += 1;
        });
        let ca = self.authority.as_ref().map(|authority| STANDARD.encode(authority.pem())).unwrap_or_default();
        let cluster = json!({
            "server": format!("https://{}", self.address),
            "certificate-authority-data": ca,
            "tls-server-name": NAME,
        });
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{ "name": "c", "cluster": cluster }],
            "users": [{ "name": "u", "user": { "token": token } }],
            "contexts": [{ "name": "x", "context": { "cluster": "c", "user": "u" } }],
            "current-context": "x",
        })
        .to_string()
    }

    /// What `--master` takes.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Writes kube-system/aws-auth.
    pub fn put_aws_auth(&self, roles: &str, users: &str) {
        let data = json!({ "mapRoles": roles, "mapUsers": users });
        self.put(Kind::ConfigMap, AWS_AUTH, json!({ "data": data }));
    }

    /// Writes kube-system/alibabacloud-auth.
    pub fn put_alibabacloud_auth(&self, roles: &str, accounts: &str) {
        let data = json!({ "mapRoles": roles, "mapAccounts": accounts });
        self.put(Kind::ConfigMap, ALIBABACLOUD_AUTH, json!({ "data": data }));
    }

    /// Deletes kube-system/aws-auth.
    pub fn delete_aws_auth(&self) {
        self.delete(Kind::ConfigMap, AWS_AUTH);
    }

    /// Writes an IAMIdentityMapping.
    pub fn put_identity(&self, name: &str, arn: &str, username: &str, groups: &[&str]) {
        let spec = json!({ "arn": arn, "username": username, "groups": groups });
        self.put(Kind::Identity, name, json!({ "spec": spec }));
    }

    /// Deletes an IAMIdentityMapping.
    pub fn delete_identity(&self, name: &str) {
        self.delete(Kind::Identity, name);
    }

    /// Writes a RAMIdentityMapping.
    pub fn put_ram_identity(&self, name: &str, arn: &str, username: &str, groups: &[&str]) {
        let spec = json!({ "arn": arn, "username": username, "groups": groups });
        self.put(Kind::RamIdentity, name, json!({ "spec": spec }));
    }

    /// Breaks all watches off. Their clients may go on where they were.
    pub fn drop_watches(&self) {
        self.change(|cluster| cluster.epoch += 1);
    }

    /// Answers 503 to everything and breaks all watches off, or ends that.
    pub fn set_down(&self, down: bool) {
        self.change(|cluster| {
            cluster.down = down;
            cluster.epoch += 1;
        });
    }

    /// Answers 403 to watches, and goes on to list: what an incomplete role allows.
    pub fn refuse_watches(&self) {
        self.change(|cluster| {
            cluster.watches_refused = true;
            cluster.epoch += 1;
        });
    }

    /// Forgets all changes so far, so that no watch can go on from an earlier version: new ones are answered 410,
    /// or with `in_stream` those that are open are told so.
    pub fn forget(&self, in_stream: bool) {
        self.change(|cluster| {
            // Something else in the cluster has changed.
            cluster.version += 1;
            cluster.oldest = cluster.version;
            cluster.history.clear();
            cluster.expired_in_stream = in_stream;
            cluster.epoch += u64::from(!in_stream);
        });
    }

    /// Lists answered so far, and watches begun.
    #[must_use]
    pub fn requests(&self) -> (u64, u64) {
        let cluster = self.state.lock();
        (cluster.lists, cluster.watches)
    }

    fn put(&self, kind: Kind, name: &str, mut object: Value) {
        self.change(|cluster| {
            cluster.version += 1;
            let key = (kind, name.to_owned());
            let event = if cluster.objects.contains_key(&key) { "MODIFIED" } else { "ADDED" };
            object["metadata"] = json!({
                "name": name,
                "creationTimestamp": "2026-01-01T00:00:00Z",
                "resourceVersion": cluster.version.to_string(),
            });
            cluster.objects.insert(key, object.clone());
            cluster.history.push(Change { version: cluster.version, kind, event, object });
        });
    }

    fn delete(&self, kind: Kind, name: &str) {
        self.change(|cluster| {
            let Some(mut object) = cluster.objects.remove(&(kind, name.to_owned())) else { return };
            cluster.version += 1;
            object["metadata"]["resourceVersion"] = cluster.version.to_string().into();
            cluster.history.push(Change { version: cluster.version, kind, event: "DELETED", object });
        });
    }

    fn change(&self, change: impl FnOnce(&mut Cluster)) {
        change(&mut self.state.lock());
        self.state.changed.send_replace(());
    }
}

impl Drop for Kubernetes {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl State {
    fn lock(&self) -> MutexGuard<'_, Cluster> {
        self.cluster.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, state: Arc<State>) {
    while let Ok((socket, _)) = listener.accept().await {
        let (tls, state) = (tls.clone(), Arc::clone(&state));
        tokio::spawn(async move {
            match tls {
                None => serve(socket, state).await,
                Some(tls) => {
                    // A client that does not trust the certificate goes away: nothing is to be done.
                    let Ok(socket) = tls.accept(socket).await else { return };
                    serve(socket, state).await;
                }
            }
        });
    }
}

async fn serve(socket: impl AsyncRead + AsyncWrite + Unpin, state: Arc<State>) {
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let answer = answer::answer(&state, request.uri(), request.headers());
        async { Ok::<_, std::convert::Infallible>(answer) }
    });
    // As above.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(socket), service).await;
}
