//! Sources with a real file: what a change of configuration keeps, starts and waits for.

use std::fs;

use super::*;

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

const LIMIT: Duration = Duration::from_secs(10);

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
    let error = sources.read_once(&Sources::default(), Duration::from_millis(300)).await.expect_err("a bad file");
    assert!(error.to_string().starts_with("DynamicFile cannot be read: "), "{error}");
    assert!(error.to_string().contains("mappings.json:"), "{error}");
    sources.read_once(&sources, Duration::ZERO).await.expect("nothing is new");
    fs::write(&path, "{}").expect("written");
    sources.read_once(&Sources::default(), LIMIT).await.expect("a good file");
}
