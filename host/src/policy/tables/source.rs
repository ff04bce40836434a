//! Where a table stands: in a file, in a ConfigMap, or in an object of Herald's own kind.

use std::{fmt, path::PathBuf};

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, Visitor, value::MapAccessDeserializer},
};

/// What an operator writes behind a table's name.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum TableSource {
    /// A ConfigMap; its keys are the table's.
    ConfigMap {
        /// Its namespace. Default `kube-system`.
        namespace: String,
        /// Its name.
        name: String,
        /// The one of its keys that holds the table as a document. Default: all its keys together are the table.
        key: Option<String>,
    },
    /// A file with a document in JSON or YAML.
    File(PathBuf),
    /// `spec.entries` of an object of kind PolicyTable.
    Object {
        /// The object's name.
        name: String,
    },
}

/// The long way to write one.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Written {
    config_map: Option<String>,
    namespace: Option<String>,
    key: Option<String>,
    policy_table: Option<String>,
}

/// Namespace of ConfigMaps that are written without one.
const NAMESPACE: &str = "kube-system";

// === impl TableSource ===

impl TableSource {
    /// The file, if it is one.
    #[must_use]
    pub fn file(&self) -> Option<&PathBuf> {
        if let Self::File(path) = self { Some(path) } else { None }
    }

    /// Whether it is read while Herald runs.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.file().is_none()
    }
}

impl From<PathBuf> for TableSource {
    fn from(path: PathBuf) -> Self {
        Self::File(path)
    }
}

impl TryFrom<Written> for TableSource {
    type Error = &'static str;

    fn try_from(written: Written) -> Result<Self, &'static str> {
        let source = match written {
            Written { config_map: Some(name), namespace, key, policy_table: None } => {
                let namespace = namespace.unwrap_or_else(|| NAMESPACE.to_owned());
                Self::ConfigMap { namespace, name, key }
            }
            Written { config_map: None, namespace: None, key: None, policy_table: Some(name) } => Self::Object { name },
            Written { config_map: None, policy_table: None, .. } => {
                return Err("either `configMap` or `policyTable` is needed");
            }
            _ => return Err("`policyTable` stands alone"),
        };
        let names = match &source {
            Self::ConfigMap { namespace, name, .. } => vec![namespace, name],
            Self::File(_) => Vec::new(),
            Self::Object { name } => vec![name],
        };
        if names.into_iter().all(|name| is_name(name)) {
            Ok(source)
        } else {
            Err("not a name of an object in Kubernetes")
        }
    }
}

/// Kubernetes documentation, "Object Names and IDs", "DNS Subdomain Names".
fn is_name(name: &str) -> bool {
    let plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.');
    matches!(name.len(), 1..=253) && name.bytes().all(plain)
}

impl fmt::Display for TableSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConfigMap { namespace, name, key: None } => write!(f, "ConfigMap/{namespace}/{name}"),
            Self::ConfigMap { namespace, name, key: Some(key) } => write!(f, "ConfigMap/{namespace}/{name}/{key}"),
            Self::File(path) => path.display().fmt(f),
            Self::Object { name } => write!(f, "PolicyTable/{name}"),
        }
    }
}

impl<'de> Deserialize<'de> for TableSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PathOrObject;
        impl<'de> Visitor<'de> for PathOrObject {
            type Value = TableSource;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a file, or `configMap` or `policyTable` with a name")
            }

            fn visit_str<E: serde::de::Error>(self, path: &str) -> Result<TableSource, E> {
                Ok(TableSource::File(path.into()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<TableSource, A::Error> {
                Written::deserialize(MapAccessDeserializer::new(map))?.try_into().map_err(A::Error::custom)
            }
        }
        deserializer.deserialize_any(PathOrObject)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_to_write_one() {
        #[track_caller]
        fn check(text: &str, expected: Result<&str, &str>) {
            let found = serde_json::from_str::<TableSource>(text).map(|source| source.to_string());
            match (found, expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected),
                (Err(found), Err(expected)) => assert!(found.to_string().contains(expected), "{found}"),
                (found, expected) => panic!("{found:?}, not {expected:?}"),
            }
        }
        check(r#""/etc/rota.yaml""#, Ok("/etc/rota.yaml"));
        check(r#"{"configMap": "rota"}"#, Ok("ConfigMap/kube-system/rota"));
        check(r#"{"configMap": "rota", "namespace": "it", "key": "rota.yaml"}"#, Ok("ConfigMap/it/rota/rota.yaml"));
        check(r#"{"policyTable": "rota"}"#, Ok("PolicyTable/rota"));
        check("{}", Err("either `configMap` or `policyTable`"));
        check(r#"{"key": "a"}"#, Err("either `configMap` or `policyTable`"));
        check(r#"{"configMap": "a", "policyTable": "b"}"#, Err("stands alone"));
        check(r#"{"policyTable": "b", "namespace": "it"}"#, Err("stands alone"));
        check(r#"{"configMap": "A/b"}"#, Err("not a name"));
        check(r#"{"configmap": "a"}"#, Err("unknown field"));
        check("7", Err("a file, or `configMap`"));
    }
}
