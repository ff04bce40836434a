//! Tables of policies: every key is read back with its value, the keys of a prefix are those that a plain search finds, and
//! what can be asked of a table is all of it: the same entries make the same version, in JSON, in YAML and in objects of a cluster.
//!
//! The text before the first NUL is the document, the text behind it a prefix of keys.
#![no_main]

use std::collections::BTreeMap;

use herald::{
    config::read_table,
    policy::{
        LiveTable, Table, TableSource, Tables,
        tables::{MAX_KEYS, Unread},
    },
};
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value, json};

const NAME: &str = "rota";

fuzz_target!(|text: &str| {
    let (document, prefix) = text.split_once('\0').unwrap_or((text, ""));
    let Ok(table) = Table::parse(document) else { return };
    let (count, version) = (table.len(), table.version().to_owned());
    let live = LiveTable::default();
    let named = BTreeMap::from([(NAME.parse().expect("a name"), TableSource::Object { name: NAME.to_owned() })]);
    let tables = Tables::read(&named, |_| live.clone()).expect("nothing is read");
    assert_eq!(tables.get(NAME, prefix), Err(Unread::NotReady));
    live.replace(table);
    assert_eq!((tables.get("other", prefix), tables.version(NAME)), (Err(Unread::NotGranted), Ok(version.clone())));

    let keys = tables.keys(NAME, "", u32::MAX).expect("a table");
    assert_eq!(keys.as_ref().map(Vec::len), (count <= MAX_KEYS).then_some(count));
    let Some(keys) = keys else { return };
    assert!(keys.is_sorted_by(|one, next| one < next));
    for limit in [0, 1, 3, u32::MAX] {
        let found = keys.iter().filter(|key| key.starts_with(prefix)).take(limit as usize).cloned().collect();
        assert_eq!(tables.keys(NAME, prefix, limit), Ok(Some(found)));
    }
    assert_eq!(tables.get(NAME, prefix).expect("a table").is_some(), keys.iter().any(|key| key == prefix));
    let value = |key: &String| tables.get(NAME, key).expect("a table").expect("a key of it").into();
    let entries: Map<String, Value> = keys.iter().map(|key| (key.clone(), value(key))).collect();
    is_what_json_says(document, &entries);
    is_what_objects_say(document, &entries, &version);

    let rebuilt = serde_json::to_string(&entries).expect("JSON");
    let again = |text: &str| Table::parse(text).map(|table| table.version().to_owned());
    assert_eq!(again(&rebuilt).as_ref(), Ok(&version));
    // YAML has no place for some characters, and says so.
    assert!(again(&format!("# the same in YAML\n{rebuilt}")).is_ok_and(|found| found == version) || has_odd(&rebuilt));
});

/// A reader of JSON that takes the last of two equal keys finds the same.
fn is_what_json_says(document: &str, entries: &Map<String, Value>) {
    let Ok(Value::Object(object)) = serde_json::from_str(document) else { return };
    let text = |value: Value| if let Value::String(text) = value { text } else { value.to_string() };
    let object: Map<String, Value> = object.into_iter().map(|(key, value)| (key, text(value).into())).collect();
    if document.trim_start().starts_with('{') {
        assert_eq!(*entries, object);
    }
}

/// A PolicyTable and ConfigMaps that hold the document, or its entries, are the same table.
fn is_what_objects_say(document: &str, entries: &Map<String, Value>, version: &str) {
    let is_same = |source: &TableSource, body: Value| {
        assert_eq!(read_table(source, body).as_ref().map(Table::version).map_err(String::as_str), Ok(version));
    };
    let map = |key: Option<&str>| TableSource::ConfigMap {
        namespace: "herald".to_owned(),
        name: NAME.to_owned(),
        key: key.map(str::to_owned),
    };
    is_same(&TableSource::Object { name: NAME.to_owned() }, json!({ "spec": { "entries": entries } }));
    is_same(&map(None), json!({ "data": entries }));
    is_same(&map(Some("rota")), json!({ "data": { "rota": document, "other": "" } }));
}

/// Whether it has more than plain text on one short line.
fn has_odd(text: &str) -> bool {
    text.len() > 512 || text.contains('\\') || text.chars().any(|letter| letter.is_control() || !letter.is_ascii())
}
