//! List and watch: keeps a copy of a few Kubernetes objects in step with the API server.
//!
//! With the files below it and [`super::client`], the only place that names kube. The steps are those of Kubernetes API Concepts, "Efficient detection of
//! changes": list, watch from the version of the list, go on from the last version seen when a watch ends, list
//! anew when that version is gone. A list replaces the copy whole, so that what was deleted while nobody was
//! watching goes with it, and what went with the definition of its kind too. Failure rule: the copy stays, the failure is told, and
//! everything is tried again for ever, credentials read anew each time.
//!
//! Watches are short. A connection that died without a word is noticed when its watch is overdue, and until then
//! a mapping that was taken away would still be in force.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    convert::Infallible,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    time::{Duration, Instant},
};

use futures_util::{FutureExt as _, Stream, StreamExt as _};
use kube::{
    Client, Resource as _,
    api::{ApiResource, DynamicObject, ListParams, ObjectList, WatchEvent, WatchParams},
    core::Request,
};
use serde::Deserialize;
use tokio::time::{sleep, timeout};

use super::client::NOT_FOUND;

mod access;
mod error;
mod object;

pub use access::{Access, Door};
pub use error::ApiError;
pub use object::{Object, TOO_LARGE};

/// Which objects are followed.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Target {
    /// API group, empty for the core group.
    pub group: &'static str,
    /// Version of the group.
    pub version: &'static str,
    /// Kind, in the singular.
    pub kind: &'static str,
    /// Name of the resource in URLs.
    pub plural: &'static str,
    /// The namespace, of a namespaced kind.
    pub namespace: Option<Cow<'static, str>>,
    /// The one object of that name, or all of them.
    pub name: Option<Cow<'static, str>>,
}

/// What a follower says.
#[derive(Debug)]
pub enum Told<'a> {
    /// All objects as they are now, by name. Sent after every list, and when something has changed.
    Objects {
        /// The objects.
        objects: &'a BTreeMap<String, Object>,
        /// Version of the newest change in them.
        resource_version: &'a str,
    },
    /// The objects are being watched, and there is nothing new.
    InStep,
    /// The objects may have changed unseen.
    Failed(&'a ApiError),
}

/// The groups of kinds that an API server serves (Kubernetes API reference, "APIGroupList").
#[derive(Deserialize)]
struct Groups {
    kind: String,
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    name: String,
}

/// How a watch ended.
enum Ended {
    /// Its version is gone: everything is to be listed anew.
    Gone,
    /// In order, or broken off: goes on where it was.
    Resume,
}

struct Follower<'a, F> {
    door: Door,
    target: &'a Target,
    tell: F,
    objects: BTreeMap<String, Object>,
    version: String,
    /// Attempts in a row that came to nothing.
    failures: u32,
}

/// Longest life of a watch, in seconds.
const WATCH_SECONDS: u32 = 60;
/// Longest silence of a watch: the server ends it after its life.
const SILENCE: Duration = Duration::from_secs(WATCH_SECONDS as u64 + 5);
/// Longest wait for an answer to begin.
const ANSWER: Duration = Duration::from_secs(15);
/// After so long everything is listed anew, whatever the watches said.
const RELIST: Duration = Duration::from_secs(15 * 60);
/// Most objects in one piece of a list.
const PAGE: u32 = 500;
/// Least time between two requests that begin anew.
const PAUSE: Duration = Duration::from_secs(1);
/// Longest time between two attempts while nothing works.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// HTTP status of a version that the API server does not know any more.
const GONE: u16 = 410;
/// The group of definitions, which every API server has that serves kinds by them.
const DEFINITIONS: &str = "apiextensions.k8s.io";

/// Follows `target` for ever. `tell` is called in order, and holds the follower up while it runs.
pub async fn follow(access: &Access, target: &Target, tell: impl FnMut(Told<'_>) + Send) -> Infallible {
    let (door, objects, version) = (Door::new(access.clone()), BTreeMap::new(), String::new());
    let mut follower = Follower { door, target, tell, objects, version, failures: 0 };
    loop {
        let pause = match follower.attempt().await {
            Ok(()) => PAUSE,
            Err(error) => {
                (follower.tell)(Told::Failed(&error));
                let pause = PAUSE.saturating_mul(1 << follower.failures.min(8)).min(LONGEST_PAUSE);
                follower.failures += 1;
                pause
            }
        };
        sleep(pause).await;
    }
}

/// The objects of which a watch has told in `events`, one a line, and how many lines those are: it ends at one that is no event,
/// or that says so.
#[must_use]
pub fn replay(events: &str) -> (BTreeMap<String, Object>, usize) {
    let (objects, version, tell) = (BTreeMap::new(), String::new(), |_: Told<'_>| ());
    let (door, target) = (Door::new(Access::default()), Target::default());
    let mut follower = Follower { door, target: &target, tell, objects, version, failures: 0 };
    let mut take = |line| follower.take(serde_json::from_str(line).map_err(kube::Error::SerdeError)).is_ok();
    let lines = events.lines().take_while(|line| take(line)).count();
    (follower.objects, lines)
}

// === impl Follower ===

impl<F: FnMut(Told<'_>) + Send> Follower<'_, F> {
    /// One list, and watches from there until everything is to be listed anew.
    async fn attempt(&mut self) -> Result<(), ApiError> {
        let (client, request) = (self.door.client().await?, self.target.request());
        let listed = self.list(&client, &request).await;
        if let Err(error) = listed {
            // Before the first list, that the definition is not applied yet is for the operator to know.
            let may_be_gone = error.status() == Some(NOT_FOUND) && !self.version.is_empty();
            if !may_be_gone || !self.target.is_undefined(&client).await {
                return Err(error);
            }
            return self.gone_with_definition().await;
        }
        self.tell_objects()?;
        let selector = self.target.selector();
        let params = WatchParams { field_selector: selector, timeout: Some(WATCH_SECONDS), ..WatchParams::default() };
        let relist = Instant::now() + RELIST;
        while Instant::now() < relist {
            let started = Instant::now();
            let watch = request.watch(&params, &self.version).map_err(kube::Error::BuildRequest)?;
            let stream = match in_time(client.request_events(watch)).await {
                Err(ApiError::Request(error)) if is_gone(&error) => return Ok(()),
                stream => stream?,
            };
            self.tell_in_step()?;
            self.failures = 0;
            if let Ended::Gone = self.watch(pin!(stream)).await? {
                return Ok(());
            }
            sleep(PAUSE.saturating_sub(started.elapsed())).await;
        }
        Ok(())
    }

    /// There is nothing to follow, until there is a definition again.
    async fn gone_with_definition(&mut self) -> Result<(), ApiError> {
        self.objects.clear();
        self.tell_objects()?;
        self.tell_in_step()?;
        self.failures = 0;
        sleep(LONGEST_PAUSE).await;
        Ok(())
    }

    async fn list(&mut self, client: &Client, request: &Request) -> Result<(), ApiError> {
        let mut params = ListParams { field_selector: self.target.selector(), ..ListParams::default() }.limit(PAGE);
        let mut objects = BTreeMap::new();
        loop {
            let list = request.list(&params).map_err(kube::Error::BuildRequest)?;
            let page: ObjectList<Object> = in_time(client.request(list)).await?;
            objects.extend(page.items.into_iter().map(|object| (object.name.clone(), object)));
            self.version = page.metadata.resource_version.unwrap_or_default();
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => break,
            }
        }
        self.objects = objects;
        Ok(())
    }

    async fn watch(
        &mut self,
        mut stream: impl Stream<Item = kube::Result<WatchEvent<Object>>> + Unpin,
    ) -> Result<Ended, ApiError> {
        while let Ok(Some(first)) = timeout(SILENCE, stream.next()).await {
            let (mut changed, mut end, mut next) = (false, None, Some(first));
            // A burst of events is told once.
            while let Some(event) = next {
                next = match self.take(event) {
                    Ok(change) => {
                        changed |= change;
                        stream.next().now_or_never().flatten()
                    }
                    Err(ended) => {
                        end = Some(ended);
                        None
                    }
                };
            }
            // However it ended: what came before that is taken over, and no later watch says it again.
            if changed {
                self.tell_objects()?;
            } else if end.is_none() {
                self.tell_in_step()?;
            }
            if let Some(end) = end {
                return end;
            }
        }
        Ok(Ended::Resume)
    }

    /// Takes over one event, and says whether objects changed, or how the watch ended.
    fn take(&mut self, event: kube::Result<WatchEvent<Object>>) -> Result<bool, Result<Ended, ApiError>> {
        match event {
            Ok(WatchEvent::Added(object) | WatchEvent::Modified(object)) => {
                self.reached(&object.resource_version);
                self.objects.insert(object.name.clone(), object);
                Ok(true)
            }
            Ok(WatchEvent::Deleted(object)) => {
                self.reached(&object.resource_version);
                Ok(self.objects.remove(&object.name).is_some())
            }
            Ok(WatchEvent::Bookmark(bookmark)) => {
                self.reached(&bookmark.metadata.resource_version);
                Ok(false)
            }
            Ok(WatchEvent::Error(status)) if status.code == GONE => Err(Ok(Ended::Gone)),
            Ok(WatchEvent::Error(status)) => Err(Err(kube::Error::Api(status).into())),
            Err(kube::Error::ReadEvents(_) | kube::Error::HyperError(_)) => Err(Ok(Ended::Resume)),
            Err(error) => Err(Err(error.into())),
        }
    }

    fn reached(&mut self, version: &str) {
        if !version.is_empty() {
            version.clone_into(&mut self.version);
        }
    }

    fn tell_objects(&mut self) -> Result<(), ApiError> {
        let Self { tell, objects, version, .. } = self;
        take_in(|| tell(Told::Objects { objects, resource_version: version }))
    }

    fn tell_in_step(&mut self) -> Result<(), ApiError> {
        take_in(|| (self.tell)(Told::InStep))
    }
}

/// Should a mistake of ours in taking in what is told end the follower, what is taken away later would stay in force unseen. So
/// it is a failure like others: told, and tried again.
fn take_in(tell: impl FnOnce()) -> Result<(), ApiError> {
    catch_unwind(AssertUnwindSafe(tell)).map_err(|_| ApiError::NotTaken)
}

pub(super) async fn in_time<T>(request: impl Future<Output = kube::Result<T>>) -> Result<T, ApiError> {
    timeout(ANSWER, request).await.map_err(|_| ApiError::Timeout)?.map_err(ApiError::from)
}

fn is_gone(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == GONE)
}

// === impl Target ===

impl Target {
    /// What lists and watches of it begin with.
    fn request(&self) -> Request {
        let &Self { group, version, kind, plural, .. } = self;
        let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
        let resource = ApiResource {
            group: group.to_owned(),
            version: version.to_owned(),
            api_version,
            kind: kind.to_owned(),
            plural: plural.to_owned(),
        };
        Request::new(DynamicObject::url_path(&resource, self.namespace.as_deref()))
    }

    fn selector(&self) -> Option<String> {
        self.name.as_ref().map(|name| format!("metadata.name={name}"))
    }

    /// Whether the API server lists its groups, and this one is not among them: objects go with the definition of their kind. A 404
    /// alone may be a proxy's word, or that of an API server which serves them in another version.
    async fn is_undefined(&self, client: &Client) -> bool {
        let request = http::Request::get("/apis").header(http::header::ACCEPT, "application/json").body(Vec::new());
        let Ok(request) = request else { return false };
        let Ok(Groups { kind, groups }) = in_time(client.request::<Groups>(request)).await else { return false };
        let has = |name: &str| groups.iter().any(|group| group.name == name);
        kind == "APIGroupList" && has(DEFINITIONS) && !self.group.is_empty() && !has(self.group)
    }
}

#[cfg(test)]
mod tests {
    use std::{future::ready, io};

    use futures_util::stream;
    use http::Response;
    use kube::client::Body;
    use serde_json::json;
    use tower::service_fn;

    use super::*;

    /// Whoever takes any 404 for it locks everybody out.
    #[tokio::test]
    async fn objects_go_with_their_definition_by_the_word_of_the_api_server_alone() {
        async fn check(group: &'static str, (status, body): (u16, String), expected: bool) {
            let text = body.clone();
            // An API server, or a proxy, that answers so to everything.
            let answer = move |_: http::Request<Body>| {
                let response = Response::builder().status(status).body(Body::from(text.clone().into_bytes()));
                ready(response)
            };
            let client = Client::new(service_fn(answer), "default");
            let target = Target { group, ..Target::default() };
            assert_eq!(target.is_undefined(&client).await, expected, "{group:?} {body}");
        }
        fn groups(kind: &str, names: &[&str]) -> (u16, String) {
            let groups: Vec<_> = names.iter().map(|name| json!({ "name": name, "versions": [] })).collect();
            (200, json!({ "kind": kind, "apiVersion": "v1", "groups": groups }).to_string())
        }
        let (ours, kind) = ("g.example.com", "APIGroupList");
        check(ours, groups(kind, &["apps", DEFINITIONS]), true).await;
        // Another version of it may be served.
        check(ours, groups(kind, &["apps", DEFINITIONS, ours]), false).await;
        // One that has not found its definitions yet.
        check(ours, groups(kind, &[]), false).await;
        check(ours, groups(kind, &["apps"]), false).await;
        check("", groups(kind, &["apps", DEFINITIONS]), false).await;
        check(ours, groups("Other", &["apps", DEFINITIONS]), false).await;
        check(ours, (200, "{}".to_owned()), false).await;
        check(ours, (404, "404 page not found".to_owned()), false).await;
        check(ours, (403, "{}".to_owned()), false).await;
    }

    #[tokio::test]
    async fn what_comes_right_before_the_end_of_a_watch_is_told() {
        fn event(kind: &str, object: &serde_json::Value) -> kube::Result<WatchEvent<Object>> {
            Ok(serde_json::from_value(json!({"type": kind, "object": object})).expect("an event"))
        }
        async fn check(last: kube::Result<WatchEvent<Object>>, expected: &str) {
            let deleted = event("DELETED", &json!({"metadata": {"name": "aws-auth", "resourceVersion": "8"}}));
            let (door, target) = (Door::new(Access::default()), Target::default());
            let objects = BTreeMap::from([("aws-auth".to_owned(), Object::default())]);
            let mut told = Vec::new();
            let tell = |what: Told<'_>| {
                told.push(match what {
                    Told::Objects { objects, resource_version } => format!("{} at {resource_version}", objects.len()),
                    Told::InStep => "in step".to_owned(),
                    Told::Failed(error) => error.to_string(),
                });
            };
            let mut follower = Follower { door, target: &target, tell, objects, version: "7".to_owned(), failures: 0 };
            let ended = match follower.watch(stream::iter([deleted, last])).await {
                Ok(Ended::Gone) => "gone",
                Ok(Ended::Resume) => "resume",
                Err(_) => "failed",
            };
            assert_eq!(ended, expected);
            assert_eq!(told, ["0 at 8"], "{expected}");
        }
        check(Err(kube::Error::ReadEvents(io::Error::other("reset"))), "resume").await;
        check(event("ERROR", &json!({"code": GONE})), "gone").await;
        check(event("ERROR", &json!({"code": 500})), "failed").await;
        let garbled = serde_json::from_str::<()>("{").expect_err("no event");
        check(Err(kube::Error::SerdeError(garbled)), "failed").await;
    }

    #[test]
    fn a_mistake_in_taking_objects_in_is_a_failure_and_not_the_end() {
        let (door, target) = (Door::new(Access::default()), Target::default());
        let (objects, version) = (BTreeMap::new(), "7".to_owned());
        let mut told = Vec::new();
        let tell = |what: Told<'_>| {
            let Told::Objects { resource_version, .. } = what else { return };
            told.push(resource_version.to_owned());
            assert_ne!(resource_version, "7", "as if it could not be read");
        };
        let mut follower = Follower { door, target: &target, tell, objects, version, failures: 0 };
        let error = follower.tell_objects().expect_err("it is told");
        assert_eq!(error.reason(), "kubernetes_not_taken");
        follower.version = "8".to_owned();
        follower.tell_objects().expect("it goes on");
        assert_eq!(told, ["7", "8"]);
    }

    #[tokio::test]
    async fn a_mistake_in_looking_after_objects_is_a_failure_and_not_the_end() {
        let (door, target) = (Door::new(Access::default()), Target::default());
        let (objects, version) = (BTreeMap::new(), "7".to_owned());
        let tell = |told: Told<'_>| assert!(!matches!(told, Told::InStep), "as if it could not be looked after");
        let mut follower = Follower { door, target: &target, tell, objects, version, failures: 0 };
        let object = json!({ "kind": "ConfigMap", "apiVersion": "v1", "metadata": { "resourceVersion": "8" } });
        let bookmark = serde_json::from_value(json!({ "type": "BOOKMARK", "object": object })).expect("an event");
        let error = follower.watch(stream::iter([Ok(bookmark)])).await.err().expect("it is told");
        assert_eq!(error.reason(), "kubernetes_not_taken");
    }
}
