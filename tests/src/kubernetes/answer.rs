//! Answers: lists and watches of the three kinds.

use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, Uri, header};
use hyper::body::{Body, Frame};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{Change, Cluster, Kind, State};

/// A body that is sent piece by piece while it is made.
pub(super) struct Pieces {
    first: VecDeque<Bytes>,
    rest: Option<mpsc::Receiver<Bytes>>,
}

/// What a URL asks for.
struct Question {
    kind: Kind,
    /// From `fieldSelector=metadata.name=…`.
    name: Option<String>,
    watch: bool,
    version: u64,
}

const CONFIG_MAPS: &str = "/api/v1/namespaces/kube-system/configmaps";
const RAM_IDENTITIES: &str = "/apis/ramauthenticator.k8s.alibabacloud/v1alpha1/ramidentitymappings";
const IDENTITIES: &str = "/apis/iamauthenticator.k8s.aws/v1alpha1/iamidentitymappings";

pub(super) fn answer(state: &Arc<State>, uri: &Uri, headers: &HeaderMap) -> Response<Pieces> {
    let Some(question) = Question::of(uri) else { return failure(StatusCode::NOT_FOUND, "not found") };
    let mut cluster = state.lock();
    let expected = cluster.token.as_ref().map(|token| format!("Bearer {token}"));
    let brought = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if expected.as_deref().is_some_and(|expected| brought != Some(expected)) {
        return failure(StatusCode::UNAUTHORIZED, "Unauthorized");
    }
    if cluster.down {
        return failure(StatusCode::SERVICE_UNAVAILABLE, "the fake is down");
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

fn list(cluster: &Cluster, question: &Question) -> Value {
    let of_kind = cluster.objects.iter().filter(|((kind, _), _)| *kind == question.kind);
    let items: Vec<&Value> = of_kind.map(|(_, object)| object).filter(|object| question.names(object)).collect();
    let version = cluster.version.to_string();
    let (kind, api_version) = match question.kind {
        Kind::ConfigMap => ("ConfigMapList", "v1"),
        Kind::RamIdentity => ("RAMIdentityMappingList", "ramauthenticator.k8s.alibabacloud/v1alpha1"),
        Kind::Identity => ("IAMIdentityMappingList", "iamauthenticator.k8s.aws/v1alpha1"),
    };
    json!({ "kind": kind, "apiVersion": api_version, "metadata": { "resourceVersion": version }, "items": items })
}

fn failure(status_code: StatusCode, message: &str) -> Response<Pieces> {
    whole(status_code, &status(status_code, message))
}

fn status(code: StatusCode, message: &str) -> Value {
    let reason = code.canonical_reason().unwrap_or_default().replace(' ', "");
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code.as_u16(),
    })
}

fn whole(status: StatusCode, body: &Value) -> Response<Pieces> {
    let mut response = Response::new(Pieces { first: VecDeque::from([Bytes::from(body.to_string())]), rest: None });
    *response.status_mut() = status;
    response
}

// === impl Question ===

impl Question {
    fn of(uri: &Uri) -> Option<Self> {
        let kind = match uri.path() {
            CONFIG_MAPS => Kind::ConfigMap,
            IDENTITIES => Kind::Identity,
            RAM_IDENTITIES => Kind::RamIdentity,
            _ => return None,
        };
        let parameter = |name: &str| {
            let pairs = uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
            let value = pairs.filter(|(key, _)| *key == name).map(|(_, value)| value).next()?;
            Some(percent_encoding::percent_decode_str(value).decode_utf8_lossy().into_owned())
        };
        let name = parameter("fieldSelector").and_then(|text| Some(text.strip_prefix("metadata.name=")?.to_owned()));
        let version = parameter("resourceVersion").and_then(|text| text.parse().ok()).unwrap_or_default();
        Some(Self { kind, name, watch: parameter("watch").is_some_and(|value| value == "true"), version })
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
