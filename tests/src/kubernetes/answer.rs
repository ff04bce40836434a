//! Answers: who may ask, single objects, lists and watches. Writes are [`super::write`]'s.

use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Method, Response, StatusCode, Uri, header, request::Parts};
use hyper::body::{Body, Frame};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{Change, Cluster, Kind, State, write};

/// A body that is sent piece by piece while it is made.
pub(super) struct Pieces {
    first: VecDeque<Bytes>,
    rest: Option<mpsc::Receiver<Bytes>>,
}

/// What a URL asks for.
pub(super) struct Question {
    pub(super) kind: Kind,
    /// The namespace in the path; of a list without one, every namespace is meant.
    pub(super) namespace: Option<String>,
    /// The object in the path.
    pub(super) object: Option<String>,
    /// The part of the object that is meant is its `status`.
    pub(super) status: bool,
    /// From `fieldSelector=metadata.name=…`.
    name: Option<String>,
    watch: bool,
    version: u64,
}

pub(super) fn answer(state: &Arc<State>, head: &Parts, body: &[u8]) -> Response<Pieces> {
    if head.uri.path() == "/apis" {
        return groups(&state.lock());
    }
    let Some(question) = Question::of(&head.uri) else { return failure(StatusCode::NOT_FOUND, "not found") };
    let mut cluster = state.lock();
    let expected = cluster.token.as_ref().map(|token| format!("Bearer {token}"));
    let brought = head.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if expected.as_deref().is_some_and(|expected| brought != Some(expected)) {
        return failure(StatusCode::UNAUTHORIZED, "Unauthorized");
    }
    if cluster.down {
        return failure(StatusCode::SERVICE_UNAVAILABLE, "the fake is down");
    }
    let verb = match (&head.method, &question.object) {
        (&Method::GET, Some(_)) => "get",
        (&Method::GET, None) => "list",
        (&Method::POST, None) => "create",
        (&Method::PATCH, Some(_)) => "patch",
        _ => return failure(StatusCode::METHOD_NOT_ALLOWED, "the fake does not do that"),
    };
    let kind = question.kind;
    if cluster.forbidden.contains(&(verb, kind)) {
        let what = format!("{} is forbidden: User \"u\" cannot {verb} resource \"{}\"", kind.plural(), kind.plural());
        return failure(StatusCode::FORBIDDEN, &what);
    }
    if cluster.unknown.contains(&kind) {
        return failure(StatusCode::NOT_FOUND, "the server could not find the requested resource");
    }
    match verb {
        "create" => return write::create(&mut cluster, &question, head, body),
        "patch" => return write::patch(&mut cluster, &question, head, body),
        "get" => {
            let found = question.key().and_then(|key| cluster.objects.get(&key));
            return found.map_or_else(|| question.not_found(), |object| whole(StatusCode::OK, object));
        }
        _ => {}
    }
    if !question.watch {
        cluster.lists += 1;
        return whole(StatusCode::OK, &list(&cluster, &question));
    }
    cluster.watches += 1;
    if cluster.watches_refused {
        return failure(StatusCode::FORBIDDEN, "cannot watch resource");
    }
    if question.version < cluster.oldest && !cluster.expired_in_stream {
        return failure(StatusCode::GONE, "too old resource version");
    }
    let (sender, receiver) = mpsc::channel(16);
    let epoch = cluster.epoch;
    drop(cluster);
    tokio::spawn(watch(Arc::clone(state), question, epoch, sender));
    Response::new(Pieces { first: VecDeque::new(), rest: Some(receiver) })
}

async fn watch(state: Arc<State>, question: Question, epoch: u64, sender: mpsc::Sender<Bytes>) {
    let mut changed = state.changed.subscribe();
    let mut seen = question.version;
    loop {
        let (lines, ends) = {
            let cluster = state.lock();
            let (broken, expired) = (cluster.epoch != epoch, seen < cluster.oldest);
            let ours = |change: &&Change| {
                change.version > seen && change.kind == question.kind && question.names(&change.object)
            };
            let event = |change: &Change| json!({ "type": change.event, "object": change.object });
            let lines: Vec<Value> = match (broken, expired) {
                (true, _) => Vec::new(),
                (false, true) => vec![json!({ "type": "ERROR", "object": status(StatusCode::GONE, "too old") })],
                (false, false) => cluster.history.iter().filter(ours).map(event).collect(),
            };
            seen = cluster.version;
            (lines, broken || expired)
        };
        for line in lines {
            if sender.send(Bytes::from(format!("{line}\n"))).await.is_err() {
                return;
            }
        }
        if ends || changed.changed().await.is_err() {
            return;
        }
    }
}

/// `APIGroupList`: the groups of kinds that are defined, beside that of definitions. Everybody may read it, as by default.
fn groups(cluster: &Cluster) -> Response<Pieces> {
    if cluster.down {
        return failure(StatusCode::SERVICE_UNAVAILABLE, "the fake is down");
    }
    let names = Kind::groups(|kind| !cluster.unknown.contains(&kind));
    let groups: Vec<Value> =
        ["apiextensions.k8s.io"].into_iter().chain(names).map(|name| json!({ "name": name })).collect();
    whole(StatusCode::OK, &json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups }))
}

fn list(cluster: &Cluster, question: &Question) -> Value {
    let ours = |(kind, namespace, _): &super::Key| {
        *kind == question.kind && question.namespace.as_ref().is_none_or(|wanted| wanted == namespace)
    };
    let of_kind = cluster.objects.iter().filter(|(key, _)| ours(key));
    let items: Vec<&Value> = of_kind.map(|(_, object)| object).filter(|object| question.names(object)).collect();
    let version = cluster.version.to_string();
    let (kind, api_version) = (format!("{}List", question.kind.name()), question.kind.api_version());
    json!({ "kind": kind, "apiVersion": api_version, "metadata": { "resourceVersion": version }, "items": items })
}

pub(super) fn failure(status_code: StatusCode, message: &str) -> Response<Pieces> {
    whole(status_code, &status(status_code, message))
}

fn status(code: StatusCode, message: &str) -> Value {
    let reason = code.canonical_reason().unwrap_or_default().replace(' ', "");
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code.as_u16(),
    })
}

pub(super) fn whole(status: StatusCode, body: &Value) -> Response<Pieces> {
    let mut response = Response::new(Pieces { first: VecDeque::from([Bytes::from(body.to_string())]), rest: None });
    *response.status_mut() = status;
    response
}

fn decoded(part: &str) -> String {
    percent_encoding::percent_decode_str(part).decode_utf8_lossy().into_owned()
}

// === impl Question ===

impl Question {
    fn of(uri: &Uri) -> Option<Self> {
        let (kind, namespace, rest) = Kind::of(uri.path())?;
        let mut parts = rest.split('/').filter(|part| !part.is_empty()).map(decoded);
        let object = parts.next();
        let status = match parts.next() {
            None => false,
            Some(part) if part == "status" && kind.has_status() => true,
            Some(_) => return None,
        };
        let parameter = |name: &str| {
            let pairs = uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
            pairs.filter(|(key, _)| *key == name).map(|(_, value)| decoded(value)).next()
        };
        let name = parameter("fieldSelector").and_then(|text| Some(text.strip_prefix("metadata.name=")?.to_owned()));
        let version = parameter("resourceVersion").and_then(|text| text.parse().ok()).unwrap_or_default();
        let watch = parameter("watch").is_some_and(|value| value == "true");
        Some(Self { kind, namespace, object, status, name, watch, version })
    }

    /// Where the object is kept that is meant.
    pub(super) fn key(&self) -> Option<super::Key> {
        Some((self.kind, self.namespace.clone().unwrap_or_default(), self.object.clone()?))
    }

    pub(super) fn not_found(&self) -> Response<Pieces> {
        let name = self.object.as_deref().unwrap_or_default();
        failure(StatusCode::NOT_FOUND, &format!("{} \"{name}\" not found", self.kind.plural()))
    }

    fn names(&self, object: &Value) -> bool {
        self.name.as_deref().is_none_or(|name| object["metadata"]["name"] == name)
    }
}

// === impl Pieces ===

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(piece) = self.first.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        match &mut self.rest {
            None => Poll::Ready(None),
            Some(rest) => rest.poll_recv(cx).map(|piece| piece.map(|piece| Ok(Frame::data(piece)))),
        }
    }
}
