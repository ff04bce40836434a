//! Tables: read-only data that the operator attaches to a policy under names, from files.
//!
//! A file is one JSON object; each of its keys is one of the table's, and a value that is no text is handed over as
//! JSON. A table is read when its policy loads and belongs to that configuration: a login sees one version of all of
//! them, a change is a new configuration, and one that cannot be read leaves the last good configuration in force.

use std::{
    collections::BTreeMap,
    fmt,
    ops::Bound::{Included, Unbounded},
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, Visitor},
};
use serde_json::Value;

use super::{Digest, Name, loader::read_file};

/// The tables of one policy. A clone is the same tables.
#[derive(Clone, Debug, Default)]
pub struct Tables(Arc<BTreeMap<String, Table>>);

/// One version of one table.
#[derive(Clone, Debug)]
struct Table {
    entries: BTreeMap<String, String>,
    version: String,
}

/// A table cannot be had: the operator's to mend.
#[derive(Debug, thiserror::Error)]
#[error("table {name}: {}: {problem}", path.display())]
pub struct TableError {
    /// The table's name.
    pub name: String,
    /// Its file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: String,
}

/// Largest file of a table, in bytes.
const MAX_FILE: u64 = 8 << 20;
/// Most keys that one call returns.
pub(super) const MAX_KEYS: usize = 4096;

// === impl Tables ===

impl Tables {
    /// Reads the files that `named` names.
    ///
    /// # Errors
    ///
    /// [`TableError`] for the first that cannot be read.
    pub fn read(named: &BTreeMap<Name, PathBuf>) -> Result<Self, TableError> {
        let read = |(name, path): (&Name, &PathBuf)| {
            let wrong = |problem| TableError { name: name.as_str().to_owned(), path: path.clone(), problem };
            Table::read(path).map(|table| (name.as_str().to_owned(), table)).map_err(wrong)
        };
        Ok(Self(Arc::new(named.iter().map(read).collect::<Result<_, _>>()?)))
    }

    /// Whether there is none at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn get(&self, table: &str, key: &str) -> Option<Option<&str>> {
        self.0.get(table).map(|table| table.entries.get(key).map(String::as_str))
    }

    /// The keys that start with `prefix`, sorted, at most `limit` and [`MAX_KEYS`].
    pub(super) fn keys(&self, table: &str, prefix: &str, limit: u32) -> Option<Vec<String>> {
        let most = usize::try_from(limit).unwrap_or(MAX_KEYS).min(MAX_KEYS);
        let from = self.0.get(table)?.entries.range::<str, _>((Included(prefix), Unbounded));
        Some(from.map(|(key, _)| key).take_while(|key| key.starts_with(prefix)).take(most).cloned().collect())
    }

    pub(super) fn version(&self, table: &str) -> Option<&str> {
        self.0.get(table).map(|table| table.version.as_str())
    }
}

/// As a case writes them down: name → key → value.
impl<'de> Deserialize<'de> for Tables {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let tables = BTreeMap::<Name, Entries>::deserialize(deserializer)?;
        let table = |(name, Entries(entries)): (Name, Entries)| {
            let version = Digest::of(format!("{entries:?}").as_bytes()).to_string();
            (name.as_str().to_owned(), Table { entries, version })
        };
        Ok(Self(Arc::new(tables.into_iter().map(table).collect())))
    }
}

// === impl Table ===

impl Table {
    fn read(path: &Path) -> Result<Self, String> {
        let bytes = read_file(path, MAX_FILE).map_err(|error| format!("cannot be read: {error}"))?;
        let bytes = bytes.ok_or_else(|| format!("larger than {} MiB", MAX_FILE >> 20))?;
        let Entries(entries) = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
        Ok(Self { entries, version: Digest::of(&bytes).to_string() })
    }
}

/// A JSON object, no key twice.
struct Entries(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with one key for each entry")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut entries = BTreeMap::new();
                while let Some((key, value)) = map.next_entry::<String, Value>()? {
                    let text = match value {
                        Value::String(text) => text,
                        other => other.to_string(),
                    };
                    if entries.insert(key.clone(), text).is_some() {
                        return Err(A::Error::custom(format_args!("the key {key:?} is there twice")));
                    }
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Tables, String> {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), text).expect("written");
        let named = BTreeMap::from([("rota".parse().expect("a name"), file.path().to_owned())]);
        Tables::read(&named).map_err(|error| error.to_string())
    }

    #[test]
    fn what_a_policy_may_ask() {
        let tables = read(r#"{"team/a": "alice", "team/b": {"who": ["bob"]}, "teams": 7}"#).expect("a table");
        assert_eq!(tables.get("rota", "team/a"), Some(Some("alice")));
        assert_eq!(tables.get("rota", "team/b"), Some(Some(r#"{"who":["bob"]}"#)));
        assert_eq!((tables.get("rota", "none"), tables.get("other", "team/a")), (Some(None), None));
        assert_eq!(tables.keys("rota", "team/", 9), Some(vec!["team/a".to_owned(), "team/b".to_owned()]));
        assert_eq!(tables.keys("rota", "team", 1), Some(vec!["team/a".to_owned()]));
        assert_eq!((tables.keys("rota", "x", 9), tables.keys("other", "", 9)), (Some(vec![]), None));
        assert_eq!(tables.version("rota").map(str::len), Some(64));
    }

    #[test]
    fn files_that_are_no_tables() {
        #[track_caller]
        fn check(text: &str, expected: &str) {
            let error = read(text).expect_err("no table");
            assert!(error.starts_with("table rota: ") && error.contains(expected), "{error}");
        }
        check("", "EOF");
        check("[]", "an object with one key");
        check(r#"{"a": 1, "a": 2}"#, r#"the key "a" is there twice"#);
        check(&format!("{{}}{}", " ".repeat(8 << 20)), "larger than 8 MiB");
        let missing = BTreeMap::from([("rota".parse().expect("a name"), PathBuf::from("/nowhere/rota.json"))]);
        assert!(
            Tables::read(&missing).expect_err("no file").to_string().contains("/nowhere/rota.json: cannot be read")
        );
    }
}
