//! Client: single requests to the API server, as the plain HTTP and JSON of Kubernetes API Concepts, over kube's
//! connection and credentials.
//!
//! Failure rule: an object that is not there is `None`, everything else that is not the answer is an [`ApiError`];
//! nothing is tried twice here. An answer has to come within 15 s, and so have credentials if nobody is at a terminal.

use std::fmt::Write as _;

use http::{Method, Request, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::watch::{Access, ApiError, Door, in_time};

/// Speaks to one API server. Cheap to clone.
#[derive(Clone)]
pub struct Client(kube::Client);

/// Where an object stands, or with no name all objects of its kind.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Place<'a> {
    /// API group, empty for the core group.
    pub group: &'a str,
    /// Version of the group.
    pub version: &'a str,
    /// Name of the resource in URLs.
    pub plural: &'a str,
    /// The namespace, of a namespaced kind.
    pub namespace: Option<&'a str>,
    /// Name of the object.
    pub name: Option<&'a str>,
    /// Name of the part of it that is meant, such as `status`.
    pub subresource: Option<&'a str>,
}

/// HTTP status of an object, or a kind, that is not there.
pub const NOT_FOUND: u16 = 404;
/// HTTP status of a write that somebody else's was faster than.
pub const CONFLICT: u16 = 409;
/// Who the writes of this program are by, in `metadata.managedFields`.
const FIELD_MANAGER: &str = "herald";
/// Most objects in one piece of a list.
const PAGE: u32 = 500;
/// Most pieces of a list that are asked for.
const MAX_PAGES: usize = 200;
/// RFC 7386, and Kubernetes API Concepts, "Patch types".
const MERGE_PATCH: &str = "application/merge-patch+json";
const JSON: &str = "application/json";
/// What stands for itself in a path (RFC 3986, "Unreserved Characters").
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

// === impl Client ===

impl Client {
    /// A client that speaks by `access`. Makes no request yet, but may run a credential command.
    ///
    /// # Errors
    ///
    /// When there are no credentials to be had.
    pub async fn new(access: &Access) -> Result<Self, ApiError> {
        Self::through(&mut Door::new(access.clone())).await
    }

    /// The same, for whoever needs one anew after every failure.
    ///
    /// # Errors
    ///
    /// When there are no credentials to be had, or not in time.
    pub async fn through(door: &mut Door) -> Result<Self, ApiError> {
        door.client().await.map(Self)
    }

    /// The object at `place`; `None` if there is none.
    ///
    /// # Errors
    ///
    /// [`ApiError`].
    pub async fn get(&self, place: &Place<'_>) -> Result<Option<Value>, ApiError> {
        found(self.send(Method::GET, place.path(), None).await)
    }

    /// All objects at `place`; `None` if the API server does not know their kind.
    ///
    /// # Errors
    ///
    /// [`ApiError`], also where there are more than are read.
    pub async fn list(&self, place: &Place<'_>) -> Result<Option<Vec<Value>>, ApiError> {
        let (mut objects, mut next) = (Vec::new(), String::new());
        for _ in 0..MAX_PAGES {
            let path = format!("{}?limit={PAGE}{next}", place.path());
            let Some(mut page) = found(self.send(Method::GET, path, None).await)? else { return Ok(None) };
            if let Value::Array(items) = page["items"].take() {
                objects.extend(items);
            }
            match page["metadata"]["continue"].as_str().filter(|token| !token.is_empty()) {
                None => return Ok(Some(objects)),
                Some(token) => next = format!("&continue={}", utf8_percent_encode(token, PATH)),
            }
        }
        Err(ApiError::TooMany(objects.len()))
    }

    /// Makes `object`, whose kind stands at `place`.
    ///
    /// # Errors
    ///
    /// [`ApiError`], with the status [`CONFLICT`] if there is one of that name.
    pub async fn create(&self, place: &Place<'_>, object: &Value) -> Result<Value, ApiError> {
        let path = format!("{}?fieldManager={FIELD_MANAGER}", Place { name: None, ..*place }.path());
        self.send(Method::POST, path, Some((JSON, object))).await
    }

    /// Merges `patch` into the object at `place`. With a `metadata.resourceVersion` in it, only if the object is
    /// still of that version.
    ///
    /// # Errors
    ///
    /// [`ApiError`], with the status [`CONFLICT`] if the object is of another version.
    pub async fn merge(&self, place: &Place<'_>, patch: &Value) -> Result<Value, ApiError> {
        let path = format!("{}?fieldManager={FIELD_MANAGER}", place.path());
        self.send(Method::PATCH, path, Some((MERGE_PATCH, patch))).await
    }

    async fn send(&self, method: Method, path: String, body: Option<(&str, &Value)>) -> Result<Value, ApiError> {
        let mut request = Request::builder().method(method).uri(path).header(header::ACCEPT, JSON);
        let body = body.map(|(media, value)| {
            request = std::mem::take(&mut request).header(header::CONTENT_TYPE, media);
            value.to_string().into_bytes()
        });
        let request = request.body(body.unwrap_or_default()).map_err(kube::Error::HttpError)?;
        let text = in_time(self.0.request_text(request)).await?;
        serde_json::from_str(&text).map_err(|error| kube::Error::SerdeError(error).into())
    }
}

fn found(answer: Result<Value, ApiError>) -> Result<Option<Value>, ApiError> {
    match answer {
        Err(error) if error.status() == Some(NOT_FOUND) => Ok(None),
        answer => answer.map(Some),
    }
}

// === impl Place ===

impl Place<'_> {
    fn path(&self) -> String {
        let mut path = if self.group.is_empty() { "/api".to_owned() } else { format!("/apis/{}", self.group) };
        let namespace = self.namespace.map(|name| ("/namespaces/", name));
        let parts = [Some(("/", self.version)), namespace, Some(("/", self.plural))];
        let rest = [self.name.map(|name| ("/", name)), self.subresource.map(|name| ("/", name))];
        for (before, part) in parts.into_iter().chain(rest).flatten() {
            // Writing to a string does not fail.
            let _ = write!(path, "{before}{}", utf8_percent_encode(part, PATH));
        }
        path
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Client")
    }
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        future::{Ready, ready},
    };

    use http::Response;
    use kube::client::Body;
    use serde_json::json;
    use tower::service_fn;

    use super::*;

    /// What an API server answers with a list of so many `pages`, an object on each.
    fn answer(pages: usize) -> impl Fn(Request<Body>) -> Ready<Result<Response<Body>, Infallible>> {
        move |request| {
            let query = request.uri().query().unwrap_or_default();
            let page = query.split_once("continue=").map_or(1, |(_, page)| page.parse().expect("a number"));
            let next = if page < pages { (page + 1).to_string() } else { String::new() };
            let list = json!({ "metadata": { "continue": next }, "items": [{ "number": page }] });
            ready(Ok(Response::new(list.to_string().into_bytes().into())))
        }
    }

    /// Whoever is told of it would take it for all.
    #[tokio::test]
    async fn no_part_of_a_list_is_given_for_the_whole() {
        for (pages, expected) in [
            (1, Ok(1)),
            (MAX_PAGES, Ok(MAX_PAGES)),
            (MAX_PAGES + 1, Err("there are more objects than are read: more than 200".to_owned())),
        ] {
            let client = Client(kube::Client::new(service_fn(answer(pages)), "default"));
            let place = Place { version: "v1", plural: "configmaps", ..Place::default() };
            let found = client.list(&place).await.map(|objects| objects.map_or(0, |objects| objects.len()));
            assert_eq!(found.map_err(|error| error.to_string()), expected);
        }
    }

    #[test]
    fn places_are_paths() {
        #[track_caller]
        fn check(place: Place<'_>, expected: &str) {
            assert_eq!(place.path(), expected);
        }
        let map = Place { version: "v1", plural: "configmaps", namespace: Some("kube-system"), ..Place::default() };
        check(map, "/api/v1/namespaces/kube-system/configmaps");
        check(Place { name: Some("aws-auth"), ..map }, "/api/v1/namespaces/kube-system/configmaps/aws-auth");
        check(Place { name: Some("../a?b"), ..map }, "/api/v1/namespaces/kube-system/configmaps/..%2Fa%3Fb");
        let group = Place { group: "g.example.com", version: "v1alpha1", plural: "things", ..Place::default() };
        let status = Place { name: Some("a"), subresource: Some("status"), ..group };
        check(status, "/apis/g.example.com/v1alpha1/things/a/status");
    }
}
