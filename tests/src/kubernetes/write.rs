//! Writes: an object made by POST, or changed by a merge patch (Kubernetes API Concepts, "Patch types", "Resource
//! versions"; RFC 7386). As strict as the real one about media types, names, versions and types, and about what
//! `status` and the rest of an object may say of each other.

use http::{Response, StatusCode, header, request::Parts};
use serde_json::Value;

use super::{
    AWS_AUTH, Cluster, Kind,
    answer::{Pieces, Question, failure, whole},
};

/// A write that was answered well.
#[derive(Clone, Debug)]
pub struct Write {
    /// `create` or `patch`.
    pub verb: &'static str,
    /// Of what.
    pub kind: Kind,
    /// Name of the object.
    pub name: String,
    /// Only its `status` was meant.
    pub status: bool,
    /// What was sent.
    pub body: Value,
    /// It changed something.
    pub changed: bool,
}

const JSON: &str = "application/json";
const MERGE: &str = "application/merge-patch+json";

pub(super) fn create(cluster: &mut Cluster, question: &Question, head: &Parts, body: &[u8]) -> Response<Pieces> {
    let mut object = match read(head, body, JSON) {
        Ok(object) => object,
        Err(answer) => return *answer,
    };
    let kind = question.kind;
    if object["kind"] != kind.name() || object["apiVersion"] != kind.api_version() {
        return failure(StatusCode::BAD_REQUEST, "the object provided is unrecognized");
    }
    let metadata = &object["metadata"];
    if !metadata["resourceVersion"].is_null() {
        return failure(StatusCode::BAD_REQUEST, "resourceVersion should not be set on objects to be created");
    }
    let namespace = metadata["namespace"].as_str();
    if question.namespace.is_none() && kind.is_namespaced()
        || namespace.is_some_and(|namespace| question.namespace.as_deref() != Some(namespace))
    {
        return failure(
            StatusCode::BAD_REQUEST,
            "the namespace of the provided object does not match the namespace sent on the request",
        );
    }
    let generated = || Some(format!("{}{:05}", metadata["generateName"].as_str()?, cluster.version));
    let Some(name) = metadata["name"].as_str().map(str::to_owned).or_else(generated) else {
        return failure(StatusCode::UNPROCESSABLE_ENTITY, "name or generateName is required");
    };
    if let Err(answer) = check(kind, &object) {
        return *answer;
    }
    meddle(cluster, kind, &name);
    let key = (kind, question.namespace.clone().unwrap_or_default(), name.clone());
    if cluster.objects.contains_key(&key) {
        return conflict(&format!("{} \"{name}\" already exists", kind.plural()), "AlreadyExists");
    }
    if kind.has_status()
        && let Some(fields) = object.as_object_mut()
    {
        fields.remove("status");
    }
    let sent = object.clone();
    let kept = cluster.put(key, object);
    cluster.writes.push(Write { verb: "create", kind, name, status: false, body: sent, changed: true });
    whole(StatusCode::CREATED, &kept)
}

pub(super) fn patch(cluster: &mut Cluster, question: &Question, head: &Parts, body: &[u8]) -> Response<Pieces> {
    let patch = match read(head, body, MERGE) {
        Ok(patch) => patch,
        Err(answer) => return *answer,
    };
    let (Some(key), kind) = (question.key(), question.kind) else { return question.not_found() };
    meddle(cluster, kind, &key.2);
    let Some(old) = cluster.objects.get(&key) else { return question.not_found() };
    let expected = &patch["metadata"]["resourceVersion"];
    if !expected.is_null() && *expected != old["metadata"]["resourceVersion"] {
        let words = "the object has been modified; please apply your changes to the latest version and try again";
        return conflict(
            &format!("Operation cannot be fulfilled on {} \"{}\": {words}", kind.plural(), key.2),
            "Conflict",
        );
    }
    let mut new = old.clone();
    merge(&mut new, &patch);
    // A patch of the status says nothing of the rest, and the other way round.
    if question.status {
        let status = new["status"].take();
        new = old.clone();
        new["status"] = status;
    } else if kind.has_status() {
        new["status"] = old["status"].clone();
    }
    if let Err(answer) = check(kind, &new) {
        return *answer;
    }
    let (old, name) = (old.clone(), key.2.clone());
    if question.status && cluster.turned_down.contains(&name) {
        cluster.writes_turned_down += 1;
        let what = "admission webhook \"statuses.example.com\" denied the request: no";
        return failure(StatusCode::UNPROCESSABLE_ENTITY, what);
    }
    new["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"].clone();
    let changed = new != old;
    let kept = if changed { cluster.put(key, new) } else { old };
    cluster.writes.push(Write { verb: "patch", kind, name, status: question.status, body: patch, changed });
    whole(StatusCode::OK, &kept)
}

/// The body, if it is of the media type that this request needs.
fn read(head: &Parts, body: &[u8], media: &str) -> Result<Value, Box<Response<Pieces>>> {
    let given = head.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if given != media {
        let what = format!("the body of the request was in an unknown format - accepted media types include: {media}");
        return Err(Box::new(failure(StatusCode::UNSUPPORTED_MEDIA_TYPE, &what)));
    }
    let value: Result<Value, _> = serde_json::from_slice(body);
    let value = value.map_err(|error| Box::new(failure(StatusCode::BAD_REQUEST, &format!("no JSON: {error}"))))?;
    if value.is_object() { Ok(value) } else { Err(Box::new(failure(StatusCode::BAD_REQUEST, "no object"))) }
}

/// What the kinds' own schemas ask for, as far as Herald writes them.
fn check(kind: Kind, object: &Value) -> Result<(), Box<Response<Pieces>>> {
    let wrong = |what: &str| Err(Box::new(failure(StatusCode::UNPROCESSABLE_ENTITY, what)));
    match kind {
        Kind::ConfigMap => {
            let texts = object["data"].as_object().into_iter().flatten().all(|(_, value)| value.is_string());
            if texts { Ok(()) } else { wrong("data: must be texts") }
        }
        Kind::Lease => {
            let time = |field: &str| {
                let text = object["spec"][field].as_str();
                text.is_none_or(|text| text.len() == "2026-01-01T00:00:00.000000Z".len() && text.ends_with('Z'))
            };
            let seconds = &object["spec"]["leaseDurationSeconds"];
            let positive = seconds.is_null() || seconds.as_u64().is_some_and(|seconds| seconds > 0);
            let transitions = &object["spec"]["leaseTransitions"];
            let counted = transitions.is_null() || transitions.is_u64();
            if time("acquireTime") && time("renewTime") && positive && counted {
                Ok(())
            } else {
                wrong("spec: a Lease has times with six decimals, a duration above 0 and a count of transitions")
            }
        }
        Kind::Event => {
            let involved = object["involvedObject"]["namespace"].as_str().unwrap_or("default");
            if object["metadata"]["namespace"] != involved {
                return wrong("involvedObject.namespace: does not match event.namespace");
            }
            Ok(())
        }
        Kind::Identity | Kind::RamIdentity => {
            let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
            let whole = |condition: &Value| {
                let text = |field: &str| condition[field].as_str().is_some_and(|text| !text.is_empty());
                ["type", "status", "reason", "lastTransitionTime"].into_iter().all(text)
                    && condition["message"].is_string()
            };
            if conditions.into_iter().all(whole) { Ok(()) } else { wrong("status.conditions: incomplete") }
        }
        Kind::ClusterRoleBinding | Kind::PolicyTable | Kind::RoleBinding => Ok(()),
    }
}

/// Somebody else is faster.
fn meddle(cluster: &mut Cluster, kind: Kind, name: &str) {
    if kind != Kind::ConfigMap || name != AWS_AUTH {
        return;
    }
    if let Some(object) = cluster.meddled.pop_front() {
        cluster.put(kind.key(name), object);
    }
}

fn conflict(message: &str, reason: &str) -> Response<Pieces> {
    let status = serde_json::json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": StatusCode::CONFLICT.as_u16(),
    });
    whole(StatusCode::CONFLICT, &status)
}

/// RFC 7386, "Processing Merge Patch Documents".
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = serde_json::json!({});
    }
    for (key, value) in fields {
        match value {
            Value::Null => drop(target.as_object_mut().and_then(|target| target.remove(key))),
            value => merge(&mut target[key.as_str()], value),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The test cases of RFC 7386, appendix A, that differ in kind.
    #[test]
    fn merges_as_the_rfc_says() {
        #[track_caller]
        fn check(mut target: Value, patch: &Value, expected: &Value) {
            merge(&mut target, patch);
            assert_eq!(target, *expected);
        }
        check(json!({"a": "b"}), &json!({"a": "c"}), &json!({"a": "c"}));
        check(json!({"a": "b", "b": "c"}), &json!({"a": null}), &json!({"b": "c"}));
        check(json!({"a": ["b"]}), &json!({"a": "c"}), &json!({"a": "c"}));
        check(json!({"a": {"b": "c"}}), &json!({"a": {"b": "d", "c": null}}), &json!({"a": {"b": "d"}}));
        check(json!({}), &json!({"a": {"bb": {"ccc": null}}}), &json!({"a": {"bb": {}}}));
        check(json!([1]), &json!({"a": "b"}), &json!({"a": "b"}));
    }
}
