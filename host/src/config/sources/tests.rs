//! Sources with a real file: what a change of configuration keeps, starts and waits for.

use std::{
    fs,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    time::Instant,
};

use serde_json::json;

use super::*;
use crate::config::Shared;

pub(in crate::config) mod feed;

fn config(path: &std::path::Path, strict: bool) -> Config {
    Config {
        sources: vec![Source::MountedFile, Source::DynamicFile],
        dynamic_file: Some(path.to_owned()),
        dynamic_file_strict: strict,
        ..Config::default()
    }
}

fn follow(before: &Sources, config: &Config) -> Sources {
    before.follow(config, &Arc::default(), || SystemTime::UNIX_EPOCH)
}

const LIMIT: Duration = Duration::from_secs(60);

/// Waits until it is known what is wrong with the file: before, a source is only not read yet.
async fn judged(sources: &Sources) {
    let live = sources.live(live::DYNAMIC_FILE).expect("it is a source");
    let judged = async {
        while live.missing().is_none_or(|why| !why.contains("mappings.json:")) {
            sleep(LOOK).await;
        }
    };
    timeout(LIMIT, judged).await.expect("it has been looked at");
}

#[tokio::test]
async fn a_source_is_kept_as_long_as_nothing_is_new_about_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("mappings.json");
    fs::write(&path, r#"{"mapAccounts": ["111122223333"]}"#).expect("written");
    let first = follow(&Sources::default(), &config(&path, false));
    first.read_once(&Sources::default(), LIMIT).await.expect("a good file");
    let live = first.live(live::DYNAMIC_FILE).expect("it is a source");
    assert_eq!(live.mappings().map(|mappings| mappings.len()), Some(1));

    let second = follow(&first, &config(&path, false));
    assert!(second.live(live::DYNAMIC_FILE).and_then(|live| live.mappings()).is_some(), "it does not start anew");
    let strict = follow(&second, &config(&path, true));
    assert!(strict.live(live::DYNAMIC_FILE).expect("a source").mappings().is_none(), "another place is another source");
    assert!(follow(&strict, &Config::default()).running.is_empty());
}

#[tokio::test]
async fn a_source_that_was_never_good_is_named_with_its_reason() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("mappings.json");
    fs::write(&path, "{").expect("written");
    let sources = follow(&Sources::default(), &config(&path, false));
    judged(&sources).await;
    let error = sources.read_once(&Sources::default(), Duration::from_millis(300)).await.expect_err("a bad file");
    assert!(error.to_string().starts_with("DynamicFile cannot be read: "), "{error}");
    assert!(error.to_string().contains("mappings.json:"), "{error}");
    sources.read_once(&sources, Duration::ZERO).await.expect("nothing is new");
    fs::write(&path, "{}").expect("written");
    sources.read_once(&Sources::default(), LIMIT).await.expect("a good file");
}

/// Somebody may be alarmed by what is told of a source, so that it is told of those in force.
#[tokio::test]
async fn what_a_configuration_says_of_its_sources_that_did_not_go_live_is_taken_back() {
    #[track_caller]
    fn check(shared: &Shared, source: &str, expected: Option<&str>) {
        let text = shared.metrics().text();
        let label = format!("herald_source_entries{{source=\"{source}\"}} ");
        assert_eq!(text.lines().find_map(|line| line.strip_prefix(&label)), expected, "{text}");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (path, other) = (folder.path().join("mappings.json"), folder.path().join("other.json"));
    fs::write(&path, r#"{"mapAccounts": ["111122223333"]}"#).expect("written");
    let clock = || SystemTime::UNIX_EPOCH;
    let first = Shared::new(&Config::default(), Arc::default(), None, clock).expect("made");
    let follow_first = || first.follow(&config(&path, false)).expect("made");
    let second = follow_first();
    second.read_once(Some(&first), LIMIT).await.expect("a good file");
    check(&first, live::DYNAMIC_FILE, Some("1"));
    second.discard(&first);
    check(&first, live::DYNAMIC_FILE, None);
    // As where putting it in force breaks off by a mistake of ours.
    let second = follow_first();
    second.read_once(Some(&first), LIMIT).await.expect("a good file");
    check(&first, live::DYNAMIC_FILE, Some("1"));
    drop(second);
    check(&first, live::DYNAMIC_FILE, None);
    let second = follow_first();
    second.read_once(Some(&first), LIMIT).await.expect("a good file");
    // At another place there is no such file.
    let third = second.follow(&config(&other, false)).expect("made");
    third.read_once(Some(&second), LIMIT).await.expect("nothing is there");
    third.discard(&second);
    let told_again = async {
        while !second.metrics().text().contains("herald_source_entries{source=\"DynamicFile\"} 1") {
            sleep(LOOK).await;
        }
    };
    timeout(LIMIT, told_again).await.expect("it is in force");
}

/// Taking in what was read goes on to its end, whoever has ended the source meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_told_any_more_of_a_source_that_is_gone() {
    static LOOKS_AT_THE_CLOCK: AtomicU64 = AtomicU64::new(0);
    static GOES_ON: AtomicBool = AtomicBool::new(false);
    fn clock() -> SystemTime {
        LOOKS_AT_THE_CLOCK.fetch_add(1, Relaxed);
        while !GOES_ON.load(Relaxed) {
            std::thread::sleep(LOOK);
        }
        SystemTime::UNIX_EPOCH
    }
    async fn until_looked(times: u64) {
        let wait = async {
            while LOOKS_AT_THE_CLOCK.load(Relaxed) < times {
                sleep(LOOK).await;
            }
        };
        timeout(LIMIT, wait).await.expect("it is taken in");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("mappings.json");
    fs::write(&path, r#"{"mapAccounts": ["111122223333"]}"#).expect("written");
    let first = Shared::new(&Config::default(), Arc::default(), None, clock).expect("made");
    let mut second = first.follow(&config(&path, false)).expect("made");
    until_looked(1).await;
    first.replace(&mut second);
    GOES_ON.store(true, Relaxed);
    // Its size is told after the second look.
    until_looked(4).await;
    let text = second.metrics().text();
    assert!(!text.contains("source=\"DynamicFile\""), "{text}");
}

#[test]
fn entries_that_end_by_themselves_are_told() {
    static NOW: AtomicU64 = AtomicU64::new(0);
    let metrics = Arc::new(Metrics::new(None));
    let clock = || SystemTime::UNIX_EPOCH + Duration::from_secs(NOW.load(Relaxed));
    let mut keeper = Keeper::new(live::DYNAMIC_FILE, Live::new(live::DYNAMIC_FILE), Arc::clone(&metrics), clock);
    let admin = r#"{"mapRoles": [{"rolearn": "arn:aws:iam::123456789012:role/A", "username": "a", "groups": ["system:masters"], "notAfter": "1970-01-01T00:01:00Z"}]}"#;
    keeper.take(dynamic_file::parse(admin, false).expect("a good file"), None);
    for (seconds, expected) in [(59, "1"), (61, "0")] {
        NOW.store(seconds, Relaxed);
        keeper.in_step();
        assert_eq!(administrators(&metrics, "vital_entries").as_deref(), Some(expected), "{seconds}");
    }
}

/// What metrics say in `name` of the administrators of a file.
fn administrators(metrics: &Metrics, name: &str) -> Option<String> {
    let (text, series) =
        (metrics.text(), format!("herald_source_{name}{{source=\"DynamicFile\",whom=\"administrators\"}} "));
    text.lines().find_map(|line| line.strip_prefix(&series)).map(str::to_owned)
}

/// Whoever may write a source could lock administrators out by an entry in front of theirs, and nobody would be alarmed.
#[test]
fn administrators_behind_an_entry_that_lasts_are_lost_until_it_ends() {
    static NOW: AtomicU64 = AtomicU64::new(0);
    let metrics = Arc::new(Metrics::new(None));
    let clock = || SystemTime::UNIX_EPOCH + Duration::from_secs(NOW.load(Relaxed));
    let mut keeper = Keeper::new(live::DYNAMIC_FILE, Live::new(live::DYNAMIC_FILE), Arc::clone(&metrics), clock);
    let entry = |group: &str, end: &str| {
        let role = "arn:aws:iam::123456789012:role/A";
        json!({ "rolearn": role, "username": "a", "groups": [group], "notAfter": end })
    };
    let (dev, admin) = (entry("dev", "1970-01-01T00:01:00Z"), entry("system:masters", "1970-01-01T00:02:00Z"));
    let take = |keeper: &mut Keeper, entries: &[&serde_json::Value]| {
        let text = json!({ "mapRoles": entries }).to_string();
        keeper.take(dynamic_file::parse(&text, false).expect("a good file"), None);
    };
    take(&mut keeper, &[&admin]);
    assert_eq!(administrators(&metrics, "vital_entries").as_deref(), Some("1"));
    assert_eq!(administrators(&metrics, "losses_total").as_deref(), Some("0"));
    take(&mut keeper, &[&dev, &admin]);
    assert_eq!(administrators(&metrics, "losses_total").as_deref(), Some("1"));
    for (seconds, expected) in [(60, "0"), (61, "1"), (120, "1"), (121, "0")] {
        NOW.store(seconds, Relaxed);
        keeper.in_step();
        assert_eq!(administrators(&metrics, "vital_entries").as_deref(), Some(expected), "{seconds}");
    }
}

#[test]
fn texts_whose_digests_begin_alike_are_two_texts() {
    let live = Live::new(live::DYNAMIC_FILE);
    let mut keeper = Keeper::new(live::DYNAMIC_FILE, live.clone(), Arc::default(), || SystemTime::UNIX_EPOCH);
    let given = dynamic_file::parse(r#"{"mapAccounts": ["111122223333"]}"#, false).expect("a good file");
    assert_eq!(given.hash.len(), 64);
    let taken_away = keeper::Read { hash: format!("{:0<64}", keeper::shown(&given.hash)), ..dynamic_file::nothing() };
    for (read, expected) in [(given, 1), (taken_away, 0)] {
        keeper.take(read, None);
        assert_eq!(live.mappings().map(|mappings| mappings.len()), Some(expected));
    }
}

/// Whoever is alarmed by the age of what is in force would else not be as long as a document does not parse.
#[test]
fn what_is_in_force_beside_a_document_that_does_not_parse_grows_old() {
    static NOW: AtomicU64 = AtomicU64::new(0);
    let (name, metrics) = (live::EKS_CONFIG_MAP, Arc::new(Metrics::new(None)));
    let clock = || SystemTime::UNIX_EPOCH + Duration::from_secs(NOW.load(Relaxed));
    let mut keeper = Keeper::new(name, Live::new(name), Arc::clone(&metrics), clock);
    let mut config_map = ConfigMap::default();
    let (good, broken) = (json!({ "mapAccounts": "['111122223333']" }), json!({ "mapAccounts": "[" }));
    for (second, (data, synced)) in (0..).zip([(&good, "0.0"), (&broken, "0.0"), (&broken, "0.0"), (&good, "3.0")]) {
        NOW.store(second, Relaxed);
        keeper.take(config_map.read(Some(data)), None);
        keeper.in_step();
        let text = metrics.text();
        let line = format!("herald_source_last_sync_timestamp_seconds{{source=\"{name}\"}} {synced}\n");
        assert!(text.contains(&line), "{second}: {line}{text}");
    }
}

/// It takes a processor from those that answer logins.
#[test]
fn an_entry_of_very_many_keys_is_read_in_no_time() {
    let keys: String = (10_000..70_000).map(|number| format!("{number}: 1, ")).collect();
    let text = format!("- {{{keys}rolearn: 'arn:aws:iam::123456789012:role/A', username: a}}\n");
    let began = Instant::now();
    let (mappings, refused) = config_map::read_config_map(&[json!({ "mapRoles": text })]);
    assert_eq!((mappings.len(), refused.len()), (1, 0));
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}

/// Its tree would take more memory than the server is given, and reading it longer than logins wait.
#[test]
fn more_values_than_entries_have_are_refused_and_the_last_good_ones_stay() {
    let good = json!({ "mapRoles": "- {rolearn: 'arn:aws:iam::123456789012:role/A', username: a}" });
    let flood = json!({ "mapRoles": format!("[{}1]", "1,".repeat(300_000)) });
    let (mappings, refused) = config_map::read_config_map(&[good, flood]);
    assert_eq!((mappings.len(), refused.len()), (1, 1), "{refused:?}");
    assert!(refused[0].contains("larger"), "{refused:?}");
}

/// Whoever reads that it can be read again believes that what stands there is in force.
#[tokio::test]
async fn an_object_that_is_too_large_is_told_until_there_is_another() {
    let live = Live::new(live::EKS_CONFIG_MAP);
    let mut keeper = Keeper::new(live::EKS_CONFIG_MAP, live.clone(), Arc::default(), || SystemTime::UNIX_EPOCH);
    let (mut config_map, name) = (ConfigMap::default(), config_map::AWS_AUTH);
    let objects = |is_too_large: bool| {
        let body = json!({ "data": { "mapAccounts": "['111122223333']" } });
        BTreeMap::from([(name.to_owned(), watch::Object { body, is_too_large, ..watch::Object::default() })])
    };
    for is_too_large in [false, true, false] {
        let objects = &objects(is_too_large);
        take_in(name, &mut config_map, &mut keeper, &Told::Objects { objects, resource_version: "7" });
        take_in(name, &mut config_map, &mut keeper, &Told::InStep);
        assert_eq!(keeper.is_well(), !is_too_large);
        assert_eq!(live.mappings().map(|mappings| mappings.len()), Some(1), "the last good one stays");
    }
}

/// A server may have one thread for them.
#[test]
fn logins_go_on_while_a_source_is_read() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().expect("a runtime");
    let (answered, login) = std::sync::mpsc::channel();
    let reading = runtime.spawn(async move {
        tokio::spawn(async move { answered.send(()) });
        aside(|| login.recv_timeout(LIMIT))
    });
    assert_eq!(runtime.block_on(reading).expect("it is read"), Ok(()));
}

/// Whoever renames a file into its place and only then lets others read it changes neither its length nor its time.
#[tokio::test]
async fn what_could_not_be_read_is_read_as_soon_as_it_can_be() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, new) = (folder.path().join("mappings.json"), folder.path().join("new"));
    fs::create_dir(&path).expect("made");
    let about = fs::metadata(&path).expect("it is there");
    let sources = follow(&Sources::default(), &config(&path, false));
    judged(&sources).await;
    let error = sources.read_once(&Sources::default(), Duration::from_millis(300)).await.expect_err("no file");
    assert!(error.to_string().contains("mappings.json: "), "{error}");

    let width = usize::try_from(about.len()).expect("a length");
    fs::write(&new, format!("{:<width$}", r#"{"mapAccounts": ["111122223333"]}"#)).expect("written");
    let file = fs::File::options().write(true).open(&new).expect("open");
    file.set_modified(about.modified().expect("a time")).expect("set");
    fs::remove_dir(&path).expect("removed");
    fs::rename(&new, &path).expect("renamed");
    sources.read_once(&Sources::default(), LIMIT).await.expect("a good file");
    let mappings = sources.live(live::DYNAMIC_FILE).and_then(|live| live.mappings()).expect("it is read");
    assert_eq!(mappings.len(), 1);
}
