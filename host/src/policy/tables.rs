//! Tables: read-only data that the operator attaches to a policy under names.
//!
//! A file is one object in JSON or YAML; each of its keys is one of the table's, and a value that is no text is handed over
//! as JSON. A key without a value is a mistake: nobody knows whether its entry is meant to be there; so is a key that is there
//! twice, at any depth, and one under which are more than 250,000 values, of which an object is twelve. It is read when its policy loads and belongs to that
//! configuration: a change is a new configuration, and one that cannot be read leaves the last good configuration in force.
//! Objects in Kubernetes are followed instead ([`LiveTable`]). Either way a login sees one version of each table, whichever of
//! its policies look at it ([`Versions`]).

use std::{
    collections::BTreeMap,
    fmt,
    ops::Bound::{Included, Unbounded},
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, Unexpected, Visitor, value::MapAccessDeserializer},
};
use serde_json::Value;

use self::once::Once;
use super::{Digest, Name, loader::read_file};

mod live;
mod once;
mod source;
mod versions;

pub use live::LiveTable;
pub use source::TableSource;
pub use versions::Versions;

/// The tables of one policy. A clone is the same tables.
#[derive(Clone, Debug, Default)]
pub struct Tables(Arc<BTreeMap<String, Attached>>);

#[derive(Clone, Debug)]
enum Attached {
    /// Of one version as long as it lasts; `None` if it has never been read.
    Fixed(Option<Arc<Table>>),
    Live(LiveTable),
}

/// One version of one table.
#[derive(Debug)]
pub struct Table {
    entries: BTreeMap<String, String>,
    version: String,
}

/// Why there is nothing to read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unread {
    /// No table of that name is attached.
    NotGranted,
    /// Attached, but not read yet, or not there any more.
    NotReady,
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
pub const MAX_KEYS: usize = 4096;

// === impl Tables ===

impl Tables {
    /// Reads the files that `named` names; `live` knows those that are followed.
    ///
    /// # Errors
    ///
    /// [`TableError`] for the first that cannot be read.
    pub fn read(
        named: &BTreeMap<Name, TableSource>,
        live: impl Fn(&TableSource) -> LiveTable,
    ) -> Result<Self, TableError> {
        let read = |(name, source): (&Name, &TableSource)| {
            let attached = match source {
                TableSource::File(path) => {
                    let wrong = |problem| TableError { name: name.as_str().to_owned(), path: path.clone(), problem };
                    Attached::Fixed(Some(Arc::new(Table::read(path).map_err(wrong)?)))
                }
                source => Attached::Live(live(source)),
            };
            Ok((name.as_str().to_owned(), attached))
        };
        Ok(Self(Arc::new(named.iter().map(read).collect::<Result<_, _>>()?)))
    }

    /// Whether there is none at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The same as a login with these versions sees them, or as they are now, whatever changes from here on.
    pub(super) fn as_seen_by(&self, login: Option<&Versions>) -> Self {
        if self.0.values().all(|attached| matches!(attached, Attached::Fixed(_))) {
            return self.clone();
        }
        let seen = |attached: &Attached| match (attached, login) {
            (Attached::Live(live), Some(versions)) => versions.of(live),
            (attached, _) => attached.now(),
        };
        let fixed = self.0.iter().map(|(name, attached)| (name.clone(), Attached::Fixed(seen(attached))));
        Self(Arc::new(fixed.collect()))
    }

    /// Adds to `versions` those of now, of the tables that are followed and not there yet.
    pub(super) fn hold(&self, versions: &mut Versions) {
        for attached in self.0.values() {
            if let Attached::Live(live) = attached {
                versions.hold(live);
            }
        }
    }

    /// Why the first that is followed has nothing to read; `None` if all have.
    pub(super) fn missing(&self) -> Option<String> {
        self.0.iter().find_map(|(name, attached)| match attached {
            Attached::Fixed(_) => None,
            Attached::Live(live) => live.missing().map(|why| format!("table {name}: {why}")),
        })
    }

    /// The value of `key`; `None` if the table has no such key.
    ///
    /// # Errors
    ///
    /// [`Unread`].
    pub fn get(&self, table: &str, key: &str) -> Result<Option<String>, Unread> {
        self.table(table).map(|table| table.entries.get(key).cloned())
    }

    /// The keys that start with `prefix`, sorted, at most `limit` of them; `None` if those are more than
    /// [`MAX_KEYS`].
    ///
    /// # Errors
    ///
    /// [`Unread`].
    pub fn keys(&self, table: &str, prefix: &str, limit: u32) -> Result<Option<Vec<String>>, Unread> {
        let most = usize::try_from(limit).unwrap_or(usize::MAX);
        let table = self.table(table)?;
        let from = table.entries.range::<str, _>((Included(prefix), Unbounded));
        let mut keys = from.map(|(key, _)| key).take_while(|key| key.starts_with(prefix)).take(most);
        let found: Vec<String> = keys.by_ref().take(MAX_KEYS).cloned().collect();
        Ok(keys.next().is_none().then_some(found))
    }

    /// SHA-256 of the table's content, in hexadecimal.
    ///
    /// # Errors
    ///
    /// [`Unread`].
    pub fn version(&self, table: &str) -> Result<String, Unread> {
        self.table(table).map(|table| table.version.clone())
    }

    fn table(&self, name: &str) -> Result<Arc<Table>, Unread> {
        self.0.get(name).ok_or(Unread::NotGranted)?.now().ok_or(Unread::NotReady)
    }
}

// === impl Attached ===

impl Attached {
    fn now(&self) -> Option<Arc<Table>> {
        match self {
            Self::Fixed(table) => table.clone(),
            Self::Live(live) => live.now(),
        }
    }
}

/// As a case writes them down: name → key → value.
impl<'de> Deserialize<'de> for Tables {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let tables = BTreeMap::<Name, InCase>::deserialize(deserializer)?;
        let table =
            |(name, InCase(table)): (Name, InCase)| (name.as_str().to_owned(), Attached::Fixed(table.map(Arc::new)));
        Ok(Self(Arc::new(tables.into_iter().map(table).collect())))
    }
}

/// A case's table; `None`: the word that says it is not ready.
struct InCase(Option<Table>);

impl<'de> Deserialize<'de> for InCase {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EntriesOrWord;
        impl<'de> Visitor<'de> for EntriesOrWord {
            type Value = InCase;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with one key for each entry, or `not-ready`")
            }

            fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<InCase, E> {
                if word == "not-ready" { Ok(InCase(None)) } else { Err(E::invalid_value(Unexpected::Str(word), &self)) }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<InCase, A::Error> {
                let Entries(entries) = Entries::deserialize(MapAccessDeserializer::new(map))?;
                Ok(InCase(Some(Table::of(entries))))
            }
        }
        deserializer.deserialize_any(EntriesOrWord)
    }
}

// === impl Table ===

impl Table {
    fn read(path: &Path) -> Result<Self, String> {
        let bytes = read_file(path, MAX_FILE).map_err(|error| format!("cannot be read: {error}"))?;
        let bytes = bytes.ok_or_else(|| format!("larger than {} MiB", MAX_FILE >> 20))?;
        Self::parse(str::from_utf8(&bytes).map_err(|error| error.to_string())?)
    }

    /// Reads a document: an object in JSON, or else in YAML.
    ///
    /// # Errors
    ///
    /// What is wrong with it, and where.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.trim_start().starts_with('{') {
            let Entries(entries) = serde_json::from_str(text).map_err(|error| error.to_string())?;
            return Ok(Self::of(entries));
        }
        // A file that somebody is about to write is no table without keys.
        let document: Option<Entries> = crate::config::read_document(text)?;
        let Entries(entries) = document.ok_or("nothing is in it; a table without keys is {}")?;
        Ok(Self::of(entries))
    }

    /// Takes an object that is read already.
    ///
    /// # Errors
    ///
    /// When it is none.
    pub fn from_json(object: &Value) -> Result<Self, String> {
        Entries::deserialize(object).map(|Entries(entries)| Self::of(entries)).map_err(|error| error.to_string())
    }

    fn of(entries: BTreeMap<String, String>) -> Self {
        let mut text = Vec::new();
        for part in entries.iter().flat_map(|(key, value)| [key, value]) {
            text.extend((part.len() as u64).to_be_bytes());
            text.extend(part.as_bytes());
        }
        Self { version: Digest::of(&text).to_string(), entries }
    }

    /// How many keys it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// SHA-256 of its content, in hexadecimal.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }
}

/// An object, no key twice, in its values neither.
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
                while let Some((key, Once(value))) = map.next_entry::<String, _>()? {
                    let text = match value {
                        Value::Null => {
                            let words = format_args!("the key {key:?} has no value: write one, or take the key away");
                            return Err(A::Error::custom(words));
                        }
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
        read_file_at(file.path().to_owned()).map_err(|error| error.to_string())
    }

    fn read_file_at(path: PathBuf) -> Result<Tables, TableError> {
        let named = BTreeMap::from([("rota".parse().expect("a name"), path.into())]);
        Tables::read(&named, |_| LiveTable::default())
    }

    #[test]
    fn what_a_policy_may_ask() {
        let tables = read(r#"{"team/a": "alice", "team/b": {"who": ["bob"]}, "teams": 7}"#).expect("a table");
        let get = |table, key| tables.get(table, key).map(|value| value.unwrap_or_default());
        assert_eq!(get("rota", "team/a"), Ok("alice".to_owned()));
        assert_eq!(get("rota", "team/b"), Ok(r#"{"who":["bob"]}"#.to_owned()));
        assert_eq!((get("rota", "none"), get("other", "team/a")), (Ok(String::new()), Err(Unread::NotGranted)));
        assert_eq!(tables.keys("rota", "team/", 9), Ok(Some(vec!["team/a".to_owned(), "team/b".to_owned()])));
        assert_eq!(tables.keys("rota", "team", 1), Ok(Some(vec!["team/a".to_owned()])));
        assert_eq!(tables.keys("rota", "x", 9), Ok(Some(vec![])));
        assert_eq!(tables.keys("other", "", 9), Err(Unread::NotGranted));
        assert_eq!(tables.version("rota").map(|version| version.len()), Ok(64));
        let yaml = read("# people\nteam/a: alice\nteam/b: {who: [bob]}\nteams: 7\n").expect("a table");
        assert_eq!(yaml.version("rota"), tables.version("rota"), "the same in YAML");
    }

    #[test]
    fn a_list_of_keys_is_never_cut_below_what_was_asked_for() {
        #[track_caller]
        fn check(has: usize, limit: usize, expected: Option<usize>) {
            let entries: serde_json::Map<String, Value> = (0..has)
                .map(|key| (format!("k{key:05}"), Value::from("")))
                .chain([("l".to_owned(), "".into())])
                .collect();
            let tables = read(&Value::Object(entries).to_string()).expect("a table");
            let found = tables.keys("rota", "k", u32::try_from(limit).expect("few")).expect("it is attached");
            assert_eq!(found.map(|keys| keys.len()), expected, "{limit} of {has}");
        }
        check(3, 100_000, Some(3));
        check(MAX_KEYS, MAX_KEYS, Some(MAX_KEYS));
        check(MAX_KEYS, MAX_KEYS + 1, Some(MAX_KEYS));
        check(MAX_KEYS, 100_000, Some(MAX_KEYS));
        check(MAX_KEYS + 1, MAX_KEYS - 1, Some(MAX_KEYS - 1));
        check(MAX_KEYS + 1, MAX_KEYS, Some(MAX_KEYS));
        check(MAX_KEYS + 1, MAX_KEYS + 1, None);
        check(MAX_KEYS + 1, 100_000, None);
    }

    #[test]
    fn a_login_sees_one_version() {
        let live = LiveTable::default();
        let named = BTreeMap::from([("rota".parse().expect("a name"), TableSource::Object { name: "rota".into() })]);
        let tables = Tables::read(&named, |_| live.clone()).expect("nothing to read");
        let get = |tables: &Tables| tables.get("rota", "a").map(Option::unwrap_or_default);
        let put = |value: &str| live.replace(Table::from_json(&serde_json::json!({"a": value})).expect("an object"));
        assert_eq!((get(&tables), tables.missing()), (Err(Unread::NotReady), Some("table rota: not read yet".into())));
        put("one");
        let mut login = Versions::default();
        tables.hold(&mut login);
        let decision = tables.as_seen_by(None);
        put("two");
        tables.hold(&mut login);
        assert_eq!(get(&tables.as_seen_by(Some(&login))), Ok("one".into()), "what is held stays");
        assert_eq!((get(&decision), get(&tables), tables.missing()), (Ok("one".into()), Ok("two".into()), None));
        live.failed("an outage".into());
        assert_eq!((get(&tables), tables.missing()), (Ok("two".into()), None), "an outage takes nothing away");
        live.gone("not there".into());
        assert_eq!((get(&decision), get(&tables)), (Ok("one".into()), Err(Unread::NotReady)));
    }

    #[test]
    fn tables_of_cases() {
        let of = |text: &str| crate::config::read_document::<Tables>(text);
        let tables = of("rota: {a: alice}\nlater: not-ready\n").expect("tables");
        assert_eq!(tables.get("rota", "a"), Ok(Some("alice".to_owned())));
        assert_eq!((tables.get("later", "a"), tables.get("x", "a")), (Err(Unread::NotReady), Err(Unread::NotGranted)));
        let error = of("later: ready\n").expect_err("another word");
        assert!(error.contains("or `not-ready`"), "{error}");
    }

    #[test]
    fn files_that_are_no_tables() {
        #[track_caller]
        fn check(text: &str, expected: &str) {
            let error = read(text).expect_err("no table");
            assert!(error.starts_with("table rota: ") && error.contains(expected), "{error}");
        }
        check("{", "EOF");
        check("[]", "expected mapping start");
        check(r#"{"a": 1, "a": 2}"#, r#"the key "a" is there twice"#);
        check(r#"{"a": {"tier": "dev", "tier": "prod"}}"#, r#"the key "tier" is there twice"#);
        check(r#"{"a": [{"b": {"c": 1, "c": 1}}]}"#, r#"the key "c" is there twice"#);
        check(r#"{"a": 1, "b": null}"#, r#"the key "b" has no value: write one, or take the key away"#);
        check("a: 1\nb:\n", r#"the key "b" has no value"#);
        check("a: ~\n", r#"the key "a" has no value"#);
        check("a: 1\nb: 2\na: 3\n", "line 3");
        check("a: 1\n b: 2\n", "line 2");
        check("", "nothing is in it");
        check("# nothing yet\n", "nothing is in it");
        check("- a", "line 1 column 1: expected mapping start");
        check(&format!("{{}}{}", " ".repeat(8 << 20)), "larger than 8 MiB");
        let missing = read_file_at(PathBuf::from("/nowhere/rota.json"));
        assert!(missing.expect_err("no file").to_string().contains("/nowhere/rota.json: cannot be read"));
    }
}
