//! An object as the API server sends it, of which no more is made than a server has memory for.
//!
//! What is read of JSON takes many times its bytes where all values are short: of the largest object that an API server takes, more
//! than our manifests give. So the values of each are counted while it is read, and an object with too many, or with one too deep
//! inside of others, is one that cannot be used, by itself: the others count.

use std::{cell::Cell, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, MapAccess, Visitor},
};
use serde_json::{Map, Value};

use crate::values::{Count, Counted, Shape};

/// One object, with what this room's users need of it.
#[derive(Clone, Debug, Default)]
pub struct Object {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.creationTimestamp` in RFC 3339; texts sort as the times do.
    pub created: String,
    /// `metadata.resourceVersion`: of its own last change.
    pub resource_version: String,
    /// `metadata.uid`: another one for another object of the same name.
    pub uid: String,
    /// `metadata.generation`: counts the changes of its `spec`.
    pub generation: i64,
    /// Everything but `metadata`, `kind` and `apiVersion`, and a `status` with more values, or deeper ones, than are read; nothing of one that is
    /// [too large](Self::is_too_large).
    pub body: Value,
    /// Whether there are more values in it, or deeper ones, than are read, `status` left aside: nobody knows what it says.
    pub is_too_large: bool,
}

/// What is said of an object that is too large.
pub const TOO_LARGE: &str = "there are more values in it than are read, or deeper ones";

/// Most values of an object, where a map counts for as many as take its memory: what fits into a ConfigMap comes to two thirds of
/// that.
const MOST: usize = 250_000;
/// What a map takes, even of one key, in values.
const MAP: usize = 12;
/// What a list takes.
const LIST: usize = 2;
/// How many values one may be inside of. A list of objects in which one goes deeper than 127 does not read at all.
const DEEPEST: usize = 100;

/// What is read of `metadata`. Not who manages which field, which may be as large as all the rest.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Metadata {
    name: Option<String>,
    creation_timestamp: Option<String>,
    resource_version: Option<String>,
    uid: Option<String>,
    generation: Option<i64>,
}

/// How much more there may be; `None`: there was more.
struct Room(Cell<Option<usize>>);

/// A place in an object, inside of so many values.
#[derive(Clone, Copy)]
struct Depth<'a>(&'a Room, usize);

// === impl Object ===

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of Kubernetes")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let (mut metadata, mut body) = (Metadata::default(), Map::new());
                let room = Room(Cell::new(Some(MOST)));
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "apiVersion" | "kind" => drop(map.next_value::<IgnoredAny>()?),
                        "metadata" => metadata = map.next_value()?,
                        // It decides nothing, and others may write it: it takes only itself away.
                        "status" => {
                            let left = Room(room.0.clone());
                            let status = map.next_value_seed(Counted(Depth(&left, 0)))?;
                            if left.has_room() {
                                body.insert(key, status);
                            }
                        }
                        _ => {
                            let value = map.next_value_seed(Counted(Depth(&room, 0)))?;
                            body.insert(key, value);
                        }
                    }
                }
                let is_too_large = !room.has_room();
                Ok(Object {
                    name: metadata.name.unwrap_or_default(),
                    created: metadata.creation_timestamp.unwrap_or_default(),
                    resource_version: metadata.resource_version.unwrap_or_default(),
                    uid: metadata.uid.unwrap_or_default(),
                    generation: metadata.generation.unwrap_or_default(),
                    body: if is_too_large { Value::Null } else { Value::Object(body) },
                    is_too_large,
                })
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

// === impl Room ===

impl Room {
    fn has_room(&self) -> bool {
        self.0.get().is_some()
    }
}

// === impl Depth ===

impl Count for Depth<'_> {
    /// What is beyond is passed over.
    fn take<E: Error>(self, shape: Shape) -> Result<bool, E> {
        let much = match shape {
            Shape::Value => 1,
            Shape::List => LIST,
            Shape::Object => MAP,
        };
        let Self(Room(room), depth) = self;
        let left = if depth > DEEPEST { None } else { room.get() };
        room.set(left.and_then(|left| left.checked_sub(much)));
        Ok(self.has_room())
    }

    fn inside(self) -> Self {
        Self(self.0, self.1 + 1)
    }

    fn has_room(self) -> bool {
        self.0.has_room()
    }

    fn twice<E: Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;

    #[test]
    fn an_object_is_what_its_text_says() {
        let text = r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "creationTimestamp": "2026-01-02T03:04:05Z",
            "resourceVersion": "7", "uid": "u", "generation": 3, "managedFields": [{"fieldsV1": {"f:data": {}}}], "labels": null},
            "data": {"b": "c"}, "list": [1, -2, 0.5, true, null, "\n", {}]}"#;
        let object: Object = serde_json::from_str(text).expect("an object");
        let Object { name, created, resource_version, uid, generation, body, is_too_large } = object;
        assert_eq!((name.as_str(), created.as_str(), uid.as_str()), ("a", "2026-01-02T03:04:05Z", "u"));
        assert_eq!((resource_version.as_str(), generation, is_too_large), ("7", 3, false));
        assert_eq!(body, json!({"data": {"b": "c"}, "list": [1, -2, 0.5, true, null, "\n", {}]}));
        let bare: Object = serde_json::from_str(r#"{"metadata": {"name": null}}"#).expect("an object");
        assert_eq!((bare.name.as_str(), bare.body, bare.is_too_large), ("", json!({}), false));
    }

    #[test]
    fn no_more_is_made_of_one_than_there_is_memory_for() {
        #[track_caller]
        fn check(part: &str, parts: usize, is_too_large: bool) {
            let text = format!(r#"{{"spec": [{}], "metadata": {{"name": "a"}}}}"#, vec![part; parts].join(","));
            let object: Object = serde_json::from_str(&text).expect("an object");
            assert_eq!((object.is_too_large, object.body.is_null()), (is_too_large, is_too_large), "{parts} of {part}");
            assert_eq!(object.name, "a", "what is behind it is read");
        }
        let most = MOST - 1 - LIST;
        check("0", most, false);
        check("0", most + 1, true);
        check("[]", most / (1 + LIST), false);
        check("[]", most / (1 + LIST) + 1, true);
        check(r#"{"":0}"#, most / (2 + MAP), false);
        check(r#"{"":0}"#, most / (2 + MAP) + 1, true);
    }

    /// One object that does not read would take all others with it.
    #[test]
    fn an_object_that_is_very_deep_cannot_be_used_by_itself() {
        #[track_caller]
        fn check(field: &str, depth: usize, expected: (bool, bool)) {
            let (open, close) = ("[".repeat(depth), "]".repeat(depth));
            let deep = format!(r#"{{"metadata": {{"name": "deep"}}, "{field}": {open}{close}}}"#);
            let list = format!(r#"{{"items": [{deep}, {{"metadata": {{"name": "b"}}, "spec": {{"arn": "a"}}}}]}}"#);
            let mut list: BTreeMap<String, Vec<Object>> = serde_json::from_str(&list).expect("a list");
            let [deep, other]: [Object; 2] = list.remove("items").expect("items").try_into().expect("two objects");
            assert_eq!((deep.is_too_large, deep.body[field].is_null()), expected, "{field} of {depth}");
            assert_eq!((deep.name.as_str(), other.body), ("deep", json!({"spec": {"arn": "a"}})));
        }
        check("spec", DEEPEST + 1, (false, false));
        check("spec", DEEPEST + 2, (true, true));
        check("spec", 5_000, (true, true));
        check("status", DEEPEST + 1, (false, false));
        check("status", 5_000, (false, true));
    }

    /// Whoever may write statuses alone would take away whom others let in.
    #[test]
    fn a_status_of_very_many_values_takes_no_object_away() {
        let (spec, status) = (r#""spec": {"arn": "a"}"#, format!(r#""status": [{}]"#, vec!["0"; MOST].join(",")));
        for text in [format!("{{{spec}, {status}}}"), format!("{{{status}, {spec}}}")] {
            let object: Object = serde_json::from_str(&text).expect("an object");
            assert_eq!((object.body, object.is_too_large), (json!({"spec": {"arn": "a"}}), false));
        }
        let object: Object = serde_json::from_str(r#"{"status": {"canonicalARN": "a"}}"#).expect("an object");
        assert_eq!(object.body, json!({"status": {"canonicalARN": "a"}}));
    }
}
