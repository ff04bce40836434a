//! Objects of a manifest as a server gets them: the JSON of an API server, of which no more is made than there is memory for.

use serde::Deserialize as _;
use serde_json::{Map, Value as Json};

use crate::{
    config::{
        error::Position,
        node::{Key, Node, Value},
    },
    kubernetes::watch::Object,
};

/// A ConfigMap without mappings, which may be a policy's table.
#[derive(Debug)]
pub(in crate::config) struct OtherMap {
    pub(in crate::config) name: Box<str>,
    /// None, where whoever applies the manifest knows it.
    pub(in crate::config) namespace: Option<Box<str>>,
    pub(in crate::config) at: Position,
    pub(in crate::config) object: Object,
}

/// What a server makes of the object with these `entries`, `metadata` left aside.
pub(super) fn object(entries: &[(Key, Node)]) -> Object {
    let parts = entries.iter().filter(|(key, _)| *key.text != *"metadata");
    let parts: Map<String, Json> = parts.map(|(key, node)| (key.text.to_string(), json(node))).collect();
    // Any object is one.
    Object::deserialize(Json::Object(parts)).unwrap_or_default()
}

fn json(node: &Node) -> Json {
    match &node.value {
        Value::Bool(value) => (*value).into(),
        Value::Float(value) => (*value).into(),
        Value::List(items) => items.iter().map(json).collect(),
        Value::Map(entries) => entries.iter().map(|(key, node)| (key.text.to_string(), json(node))).collect(),
        // No object has a key that is no text.
        Value::MapOfMaps | Value::Null => Json::Null,
        Value::Signed(value) => (*value).into(),
        Value::Text(text) => (**text).into(),
        Value::Unsigned(value) => (*value).into(),
    }
}
