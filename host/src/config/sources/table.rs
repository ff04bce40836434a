//! Table: a policy's table in a ConfigMap or a PolicyTable, followed like a source of mappings.
//!
//! What does not parse leaves the last good version in force. What is not there is neither empty nor as it was: a policy that
//! reads it says that it cannot decide now, because an empty list of exceptions and an empty list of members mean opposite things.

use std::{sync::Arc, time::SystemTime};

use serde_json::Value;
use tokio_util::task::AbortOnDropHandle;

use super::gauges::Gauges;
use crate::{
    kubernetes::watch::{self, Access, Object, TOO_LARGE, Target, Told},
    observe::Metrics,
    policy::{LiveTable, Table, TableSource},
};

/// A table and the task that reads it, which ends with it.
pub(super) struct Followed {
    pub(super) live: LiveTable,
    pub(super) access: Access,
    pub(super) gauges: Gauges,
    _task: AbortOnDropHandle<()>,
}

/// The one who writes to a [`LiveTable`] and tells the operator about it.
struct Keeper {
    name: String,
    live: LiveTable,
    gauges: Gauges,
    clock: fn() -> SystemTime,
    /// Of what is in force.
    version: Option<String>,
    /// How many keys are in force; `None` before it is known what stands there.
    keys: Option<usize>,
    /// What stands there now is no table.
    is_wrong: bool,
    /// Why what stands there now is not in force, but the last good version.
    refused: Option<String>,
    /// The failure that was told last, while it lasts.
    trouble: Option<String>,
}

/// What the objects of one source say.
enum Read {
    Table(Table),
    Gone,
    /// There, but no table.
    Refused(String),
}

/// The kind of objects that are tables.
pub(in crate::config) const POLICY_TABLE: Target = Target {
    group: "herald.dev",
    version: "v1alpha1",
    kind: "PolicyTable",
    plural: "policytables",
    namespace: None,
    name: None,
};

// === impl Followed ===

impl Followed {
    pub(super) fn start(
        source: &TableSource,
        access: Access,
        metrics: &Arc<Metrics>,
        clock: fn() -> SystemTime,
    ) -> Self {
        let live = LiveTable::default();
        let name = source.to_string();
        let gauges = Gauges::new(&name, Arc::clone(metrics));
        let keeper = Keeper::new(name, live.clone(), gauges.clone(), clock);
        let task = AbortOnDropHandle::new(tokio::spawn(follow(source.clone(), access.clone(), keeper)));
        Self { live, access, gauges, _task: task }
    }
}

impl Drop for Followed {
    /// As of a source of mappings.
    fn drop(&mut self) {
        self.gauges.end(false);
    }
}

async fn follow(source: TableSource, access: Access, mut keeper: Keeper) {
    let Some((target, name)) = target(&source) else { return };
    let tell = |told: Told<'_>| match told {
        Told::Objects { objects, .. } => super::aside(|| keeper.take(read(&source, objects.get(&name)))),
        Told::InStep => keeper.in_step(),
        Told::Failed(error) => keeper.failed(error.reason(), &super::super::build::line(error)),
    };
    match watch::follow(&access, &target, tell).await {}
}

/// Which object is followed, and its name; `None` for a file.
fn target(source: &TableSource) -> Option<(Target, String)> {
    let target = match source {
        TableSource::ConfigMap { namespace, name, .. } => super::config_map_of(namespace.clone(), name.clone()),
        TableSource::File(_) => return None,
        TableSource::Object { name } => Target { name: Some(name.clone().into()), ..POLICY_TABLE },
    };
    let name = target.name.clone().unwrap_or_default().into_owned();
    Some((target, name))
}

/// The table at `source`, whose object says `body`.
///
/// # Errors
///
/// What keeps it from being one.
pub fn read_table(source: &TableSource, body: Value) -> Result<Table, String> {
    match read(source, Some(&Object { body, ..Object::default() })) {
        Read::Table(table) => Ok(table),
        Read::Gone => Err("it is not there".to_owned()),
        Read::Refused(why) => Err(why),
    }
}

/// Why `object` is no table at `source`; `None` if it is one.
pub(in crate::config) fn refusal(source: &TableSource, object: &Object) -> Option<String> {
    match read(source, Some(object)) {
        Read::Refused(why) => Some(why),
        Read::Gone | Read::Table(_) => None,
    }
}

fn read(source: &TableSource, object: Option<&Object>) -> Read {
    let Some(Object { body, is_too_large, .. }) = object else { return Read::Gone };
    if *is_too_large {
        return Read::Refused(TOO_LARGE.to_owned());
    }
    let nothing = Value::Object(serde_json::Map::new());
    let object_or_nothing = |value: &Value| Table::from_json(if value.is_null() { &nothing } else { value });
    let read = match source {
        TableSource::ConfigMap { key: Some(key), .. } => match body["data"][key].as_str() {
            Some(text) => Table::parse(text).map_err(|problem| format!("{key}: {problem}")),
            None => Err(format!("it has no key {key}")),
        },
        TableSource::ConfigMap { key: None, .. } => object_or_nothing(&body["data"]),
        _ => object_or_nothing(&body["spec"]["entries"]).map_err(|problem| format!("spec.entries: {problem}")),
    };
    read.map_or_else(Read::Refused, Read::Table)
}

// === impl Keeper ===

impl Keeper {
    fn new(name: String, live: LiveTable, gauges: Gauges, clock: fn() -> SystemTime) -> Self {
        Self { name, live, gauges, clock, version: None, keys: None, is_wrong: false, refused: None, trouble: None }
    }

    fn take(&mut self, read: Read) {
        self.is_wrong = matches!(read, Read::Refused(_));
        match read {
            Read::Table(table) => self.replace(table),
            Read::Gone => {
                self.failed("source_missing", "it is not there");
                self.live.gone("it is not there".to_owned());
                (self.version, self.keys, self.refused) = (None, Some(0), None);
            }
            Read::Refused(why) => {
                self.failed("source_refused", &why);
                // Without a good one before it, it is missing, and that is told already.
                self.refused = self.version.is_some().then_some(why);
            }
        }
        self.in_step();
    }

    fn replace(&mut self, table: Table) {
        (self.trouble, self.refused) = (None, None);
        if self.version.as_deref() == Some(table.version()) {
            return;
        }
        let (table_name, keys, version) = (&self.name, table.len(), table.version().to_owned());
        let what = if self.version.is_some() { "changed" } else { "loaded" };
        // First, so that whoever has read of it finds it in force.
        self.live.replace(table);
        tracing::info!(table = table_name, keys, version, "table {what}");
        (self.version, self.keys) = (Some(version), Some(keys));
    }

    /// What is wrong is seen, and not in force: what is in force grows old. Tells size and refusal too, though they may be as
    /// they were: the same table by another API server, of a configuration that did not go live, may have told of itself.
    fn in_step(&self) {
        let now = (self.clock)();
        if !self.is_wrong {
            self.gauges.tell(|metrics, name| metrics.source_in_step(name, now));
        }
        if let Some(keys) = self.keys {
            let taken = self.refused.clone().map_or(Ok(()), Err);
            self.gauges.tell(|metrics, name| {
                metrics.source_loaded(name, keys, usize::from(self.is_wrong));
                metrics.table_taken(name, taken);
            });
        }
    }

    /// Told once, however often it is tried.
    fn failed(&mut self, reason: &'static str, why: &str) {
        self.gauges.tell(|metrics, name| metrics.source_failed(name, reason));
        self.live.failed(why.to_owned());
        if self.trouble.as_deref() == Some(why) {
            return;
        }
        let stays = match reason {
            "source_missing" => "policies cannot read it",
            _ if self.version.is_some() => "the last good one stays",
            _ => "policies wait for it",
        };
        tracing::error!(table = self.name, reason, "{stays}: {why}");
        self.trouble = Some(why.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicU64, Ordering::Relaxed},
        time::Duration,
    };

    use serde_json::json;

    use super::*;

    /// Whoever is alarmed by the age of what is in force would else not be as long as what stands there is wrong.
    #[test]
    fn what_is_in_force_beside_a_wrong_table_grows_old() {
        static NOW: AtomicU64 = AtomicU64::new(0);
        let (name, metrics) = ("PolicyTable/rota", Arc::new(Metrics::default()));
        let clock = || SystemTime::UNIX_EPOCH + Duration::from_secs(NOW.load(Relaxed));
        let gauges = Gauges::new(name, Arc::clone(&metrics));
        let mut keeper = Keeper::new(name.to_owned(), LiveTable::default(), gauges, clock);
        let table = || Some(Read::Table(Table::from_json(&json!({"a": "x"})).expect("a table")));
        let wrong = || Some(Read::Refused("no table".to_owned()));
        let steps = [
            (table(), "0.0", 0),
            (wrong(), "0.0", 1),
            (None, "0.0", 1),
            (table(), "3.0", 0),
            (wrong(), "3.0", 1),
            (Some(Read::Gone), "5.0", 0),
            (None, "6.0", 0),
        ];
        for (second, (read, synced, left_out)) in (0..).zip(steps) {
            NOW.store(second, Relaxed);
            match read {
                Some(read) => keeper.take(read),
                None => keeper.in_step(),
            }
            let text = metrics.text();
            let seen = format!("herald_source_last_sync_timestamp_seconds{{source=\"{name}\"}} {synced}\n");
            let wrong = format!("herald_source_left_out{{source=\"{name}\"}} {left_out}\n");
            assert!(text.contains(&seen) && text.contains(&wrong), "{second}: {seen}{wrong}{text}");
        }
    }

    /// Two configurations may read one table by two API servers, and one of them not go live.
    #[test]
    fn the_size_that_is_told_is_that_of_the_table_in_force() {
        #[track_caller]
        fn check(metrics: &Metrics, expected: Option<&str>) {
            let text = metrics.text();
            let label = "herald_source_entries{source=\"PolicyTable/rota\"} ";
            assert_eq!(text.lines().find_map(|line| line.strip_prefix(label)), expected, "{text}");
        }
        fn keeper(metrics: &Arc<Metrics>) -> Keeper {
            let (name, clock) = ("PolicyTable/rota", || SystemTime::UNIX_EPOCH);
            Keeper::new(name.to_owned(), LiveTable::default(), Gauges::new(name, Arc::clone(metrics)), clock)
        }
        let table = |value: Value| Read::Table(Table::from_json(&value).expect("a table"));
        let metrics = Arc::new(Metrics::default());
        let mut in_force = keeper(&metrics);
        in_force.in_step();
        check(&metrics, None);
        in_force.take(table(json!({"a": "x", "b": "x"})));
        check(&metrics, Some("2"));
        let mut discarded = keeper(&metrics);
        discarded.take(table(json!({"a": "x"})));
        check(&metrics, Some("1"));
        discarded.gauges.end(true);
        in_force.in_step();
        check(&metrics, Some("2"));
        in_force.take(Read::Refused("no table".to_owned()));
        check(&metrics, Some("2"));
        let refused = || metrics.refused_tables().into_values().collect::<Vec<_>>();
        assert_eq!(refused(), ["no table"]);
        in_force.take(table(json!({"a": "x", "b": "x"})));
        assert_eq!(refused(), [""; 0], "the last good one is back");
        in_force.take(Read::Refused("no table".to_owned()));
        in_force.take(Read::Gone);
        check(&metrics, Some("0"));
        assert_eq!(refused(), [""; 0], "there is none that could stay");
    }

    #[test]
    fn what_objects_say() {
        #[track_caller]
        fn check(source: &str, body: Value, expected: Result<&[&str], &str>) {
            let source: TableSource = serde_json::from_str(source).expect("a source");
            let object = Object { is_too_large: body.is_null(), body, ..Object::default() };
            match (read(&source, Some(&object)), expected) {
                (Read::Table(table), Ok(keys)) => {
                    let same = Table::from_json(&keys.iter().map(|key| ((*key).to_owned(), json!("x"))).collect())
                        .expect("keys");
                    assert_eq!(table.version(), same.version());
                }
                (Read::Refused(found), Err(why)) => assert_eq!(found, why),
                _ => panic!("{expected:?} was expected"),
            }
        }
        let whole = r#"{"configMap": "rota"}"#;
        check(whole, json!({"data": {"a": "x", "b": "x"}}), Ok(&["a", "b"]));
        check(whole, json!({}), Ok(&[]));
        check(whole, Value::Null, Err(TOO_LARGE));
        let keyed = r#"{"configMap": "rota", "key": "rota.yaml"}"#;
        check(keyed, json!({"data": {"rota.yaml": "a: x\nb: x\n", "README": "…"}}), Ok(&["a", "b"]));
        check(keyed, json!({"data": {"rota.yaml": r#"{"a": "x"}"#}}), Ok(&["a"]));
        check(keyed, json!({"data": {"rota.yml": "a: x"}}), Err("it has no key rota.yaml"));
        check(keyed, json!({"data": {"rota.yaml": "{a"}}), Err("rota.yaml: key must be a string at line 1 column 2"));
        let object = r#"{"policyTable": "rota"}"#;
        check(object, json!({"spec": {"entries": {"a": "x"}}}), Ok(&["a"]));
        check(object, json!({"spec": {}}), Ok(&[]));
        check(
            object,
            json!({"spec": {"entries": ["a"]}}),
            Err("spec.entries: invalid type: sequence, expected an object with one key for each entry"),
        );
        assert!(matches!(read(&serde_json::from_str(object).expect("a source"), None), Read::Gone));
    }
}
