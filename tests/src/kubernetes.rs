//! Fake Kubernetes API: the few kinds that Herald reads and writes, on loopback, over plain HTTP or over TLS with a
//! bearer token.
//!
//! It lists and watches as Kubernetes API Concepts ("Efficient detection of changes") says: versions that only
//! grow, watches that go on from a version, `410 Gone` for one that is too old. Its knobs are the ways in which a
//! real API server is missed: watches that break off, an outage, history that is thrown away. Single objects are
//! read, made and patched as the reference of each kind says ([`mod@write`]).

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http_body_util::BodyExt as _;
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
mod garbled;
mod kind;
mod write;

pub use garbled::garbled;
pub use kind::Kind;
pub use write::Write;

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
    objects: BTreeMap<Key, Value>,
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
    /// Verbs on kinds that are answered 403.
    forbidden: BTreeSet<(&'static str, Kind)>,
    /// Objects whose status an admission webhook turns down.
    turned_down: BTreeSet<String>,
    /// Kinds whose definition is not there.
    unknown: BTreeSet<Kind>,
    /// What somebody else writes into aws-auth just before each of the next writes arrives.
    meddled: VecDeque<Value>,
    writes: Vec<Write>,
    /// Writes that an admission webhook turned down.
    writes_turned_down: u64,
    /// What a request has to bring, if it has to bring anything.
    token: Option<String>,
}

struct Change {
    version: u64,
    kind: Kind,
    event: &'static str,
    object: Value,
}

/// Kind, namespace (empty for none) and name.
type Key = (Kind, String, String);

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

    /// Writes kube-system/aws-auth with whatever stands beside `metadata`.
    pub fn put_aws_auth_object(&self, object: &Value) {
        self.put(Kind::ConfigMap, AWS_AUTH, object.clone());
    }

    /// Has somebody else write `roles` into kube-system/aws-auth just before the next write of anybody arrives; once
    /// for every call.
    pub fn meddle(&self, roles: &str) {
        let object = json!({ "data": { "mapRoles": roles } });
        self.change(|cluster| cluster.meddled.push_back(object));
    }

    /// The object as it is now.
    #[must_use]
    pub fn object(&self, kind: Kind, name: &str) -> Option<Value> {
        self.state.lock().objects.get(&kind.key(name)).cloned()
    }

    /// All objects of a kind as they are now.
    #[must_use]
    pub fn objects(&self, kind: Kind) -> Vec<Value> {
        let cluster = self.state.lock();
        let of_kind = cluster.objects.iter().filter(|((other, ..), _)| *other == kind);
        of_kind.map(|(_, object)| object.clone()).collect()
    }

    /// One text of kube-system/aws-auth as it is now.
    #[must_use]
    pub fn aws_auth(&self, key: &str) -> Option<String> {
        Some(self.object(Kind::ConfigMap, AWS_AUTH)?["data"][key].as_str()?.to_owned())
    }

    /// Writes a binding of `role` to `subjects`, in a namespace or in none.
    pub fn put_binding(&self, namespace: Option<&str>, name: &str, role: (&str, &str), subjects: &Value) {
        let kind = if namespace.is_some() { Kind::RoleBinding } else { Kind::ClusterRoleBinding };
        let role = json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": role.0, "name": role.1 });
        let object = json!({ "roleRef": role, "subjects": subjects });
        self.put_at((kind, namespace.unwrap_or_default().to_owned(), name.to_owned()), object);
    }

    /// From now on answers 403 to this verb (`get`, `list`, `create` or `patch`) on this kind.
    pub fn forbid(&self, verb: &'static str, kind: Kind) {
        self.change(|cluster| cluster.forbidden.extend([(verb, kind)]));
    }

    /// Ends what [`forbid`](Self::forbid) began.
    pub fn allow(&self, verb: &'static str, kind: Kind) {
        self.change(|cluster| cluster.forbidden.retain(|other| *other != (verb, kind)));
    }

    /// From now on has an admission webhook turn down every status of the objects of that name, or none any more.
    pub fn turn_status_down(&self, name: &str, down: bool) {
        self.change(|cluster| match down {
            true => cluster.turned_down.extend([name.to_owned()]),
            false => cluster.turned_down.retain(|other| other != name),
        });
    }

    /// From now on knows no such kind, as before its definition is made.
    pub fn undefine(&self, kind: Kind) {
        self.change(|cluster| cluster.unknown.extend([kind]));
    }

    /// The writes that were answered well, in order.
    #[must_use]
    pub fn writes(&self) -> Vec<Write> {
        self.state.lock().writes.clone()
    }

    /// How many writes [`turn_status_down`](Self::turn_status_down) turned down.
    #[must_use]
    pub fn writes_turned_down(&self) -> u64 {
        self.state.lock().writes_turned_down
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

    /// Writes a ConfigMap in kube-system.
    pub fn put_config_map(&self, name: &str, data: &Value) {
        self.put(Kind::ConfigMap, name, json!({ "data": data }));
    }

    /// Writes a PolicyTable.
    pub fn put_policy_table(&self, name: &str, entries: &Value) {
        self.put(Kind::PolicyTable, name, json!({ "spec": { "entries": entries } }));
    }

    /// Deletes a PolicyTable.
    pub fn delete_policy_table(&self, name: &str) {
        self.delete(Kind::PolicyTable, name);
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

    fn put(&self, kind: Kind, name: &str, object: Value) {
        self.put_at(kind.key(name), object);
    }

    fn put_at(&self, key: Key, object: Value) {
        self.change(|cluster| drop(cluster.put(key, object)));
    }

    fn delete(&self, kind: Kind, name: &str) {
        self.change(|cluster| {
            let Some(mut object) = cluster.objects.remove(&kind.key(name)) else { return };
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

impl Cluster {
    /// Puts `object` in the place of what is there under `key`, and gives it back as it is kept. What it does not
    /// say of its metadata is made up, and its status stays.
    fn put(&mut self, key: Key, mut object: Value) -> Value {
        self.version += 1;
        let (kind, namespace, name) = &key;
        let old = self.objects.get(&key);
        let event = if old.is_some() { "MODIFIED" } else { "ADDED" };
        if !object["metadata"].is_object() {
            object["metadata"] = json!({});
        }
        let metadata = &mut object["metadata"];
        metadata["name"] = name.as_str().into();
        if !namespace.is_empty() {
            metadata["namespace"] = namespace.as_str().into();
        }
        let kept = |field: &str, new: &str| old.map_or_else(|| new.into(), |old| old["metadata"][field].clone());
        metadata["creationTimestamp"] = kept("creationTimestamp", "2026-01-01T00:00:00Z");
        metadata["uid"] = kept("uid", &format!("00000000-0000-4000-8000-{:012}", self.version));
        metadata["resourceVersion"] = self.version.to_string().into();
        if *kind == Kind::Identity {
            let before = old.map_or(0, |old| old["metadata"]["generation"].as_u64().unwrap_or_default());
            let same = old.is_some_and(|old| old["spec"] == object["spec"]);
            object["metadata"]["generation"] = (if same { before } else { before + 1 }).into();
            if let (Some(status), true) = (old.map(|old| old["status"].clone()), object["status"].is_null()) {
                object["status"] = status;
            }
        }
        object["kind"] = kind.name().into();
        object["apiVersion"] = kind.api_version().into();
        let change = Change { version: self.version, kind: *kind, event, object: object.clone() };
        self.objects.insert(key, object.clone());
        self.history.push(change);
        object
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
        let state = Arc::clone(&state);
        async move {
            let (head, body) = request.into_parts();
            // Who breaks off in the middle of a body has no use for an answer.
            let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
            let answer = answer::answer(&state, &head, &body);
            state.changed.send_replace(());
            Ok::<_, std::convert::Infallible>(answer)
        }
    });
    // As above.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(socket), service).await;
}
