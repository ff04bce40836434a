//! Reload with real files: what is in force is the newest configuration that is good, whole.

use std::{
    fs::{self, rename},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    time::Instant,
};

use futures_util::future::join_all;
use proptest::{collection::vec, prelude::*};
use tempfile::TempDir;
use tokio::task::{JoinHandle, yield_now};

use super::*;
use crate::{
    config::tests::worlds::{Place, hold, question, read, said, world},
    sts::Executor,
};

mod compiling;

/// A reloader over a folder, started on a good file.
struct Rig {
    folder: TempDir,
    reloader: Reloader,
}

const GOOD: &str = "clusterID: first\n";
/// Longest wait for something that is to happen: less than until the files are looked at again, so that it is seen by watching.
const PATIENCE: Duration = Duration::from_secs(25);

impl Rig {
    fn start(text: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        write(folder.path(), text);
        Self { reloader: reloader(&folder.path().join("config.yaml")), folder }
    }

    fn write(&self, text: &str) {
        write(self.folder.path(), text);
    }

    fn cluster(&self) -> String {
        self.reloader.current().load().cluster_id.clone()
    }

    fn error(&self) -> Option<String> {
        self.reloader.last_error().load().as_ref().map(|line| line.replace(&*self.folder.path().to_string_lossy(), ""))
    }

    async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let started = Instant::now();
        while !holds(self) {
            assert!(started.elapsed() < PATIENCE, "waited for: {what}");
            sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Replaces the file at once, as an editor does.
fn write(folder: &Path, text: &str) {
    fs::write(folder.join("new"), text).expect("written");
    rename(folder.join("new"), folder.join("config.yaml")).expect("renamed");
}

fn reloader(file: &Path) -> Reloader {
    let config = Config::load(file).expect("good").config;
    let shared = Shared::new(&config, Arc::default(), None, || SystemTime::UNIX_EPOCH).expect("made");
    let first = config.build_first(&shared).expect("built");
    Reloader::start(config, shared, first, Arc::new(|_: &mut Config| Ok(())), || SystemTime::UNIX_EPOCH)
}

/// A worker that is told nothing, and keeps machine code in `compiled`.
fn unwatched(file: &Path, compiled: Option<PathBuf>) -> Worker {
    let config = Config::load(file).expect("good").config;
    let shared = Shared::new(&config, Arc::default(), compiled, || SystemTime::UNIX_EPOCH).expect("made");
    let Built { authenticator, standing, .. } = config.build_first(&shared).expect("built");
    Worker {
        current: Arc::new(ArcSwap::from_pointee(authenticator)),
        last_error: Arc::default(),
        compiling: Arc::default(),
        compilations: None,
        standing,
        is_unfinished: false,
        overrides: Arc::new(|_: &mut Config| Ok(())),
        clock: || SystemTime::UNIX_EPOCH,
        seen: Stamp::of(config.files()),
        watcher: Watcher::deaf(),
        kept_house: Instant::now(),
        shared,
        config,
    }
}

/// The worker after it has read the files again.
async fn reloaded(mut worker: Worker) -> Worker {
    let turn = tokio::task::spawn_blocking(move || {
        worker.reload();
        worker
    });
    turn.await.expect("it ends")
}

#[tokio::test]
async fn a_good_file_goes_live_and_a_bad_one_does_not() {
    let rig = Rig::start(GOOD);
    assert_eq!((rig.cluster().as_str(), rig.error()), ("first", None));
    rig.write("clusterID: second\n");
    rig.until("the second file", |rig| rig.cluster() == "second").await;
    let generation = rig.reloader.current().load().generation.clone();
    rig.write("clutserID: third\n");
    rig.until("the error", |rig| rig.error().is_some()).await;
    let expected = "/config.yaml:1:1: unknown key `clutserID`, did you mean `clusterID`? (clutserID)";
    assert_eq!(rig.error().as_deref(), Some(expected));
    assert_eq!(rig.cluster(), "second");
    assert_eq!(rig.reloader.current().load().generation, generation);
    rig.write("# no cluster id\n");
    rig.until("the other error", |rig| rig.error().is_some_and(|line| line.contains("no cluster id"))).await;
    assert_eq!(rig.cluster(), "second");
    rig.write("clusterID: second\n");
    rig.until("no error", |rig| rig.error().is_none()).await;
    assert_eq!(rig.reloader.current().load().generation, generation);
}

#[tokio::test]
async fn a_file_that_is_gone_changes_nothing_until_it_is_back() {
    let rig = Rig::start(GOOD);
    fs::remove_file(rig.folder.path().join("config.yaml")).expect("removed");
    rig.until("the error", |rig| rig.error().is_some()).await;
    assert_eq!(rig.cluster(), "first");
    rig.write("clusterID: second\n");
    rig.until("the second file", |rig| rig.cluster() == "second").await;
    rig.until("no error", |rig| rig.error().is_none()).await;
}

#[tokio::test]
async fn the_swap_of_a_mounted_configmap_is_seen() {
    let folder = tempfile::tempdir().expect("a folder");
    let mount = folder.path().join("mount");
    let version = |name: &str, text: &str| {
        fs::create_dir_all(mount.join(name)).expect("made");
        write(&mount.join(name), text);
        symlink(name, mount.join("..data_tmp")).expect("linked");
        rename(mount.join("..data_tmp"), mount.join("..data")).expect("swapped");
    };
    version("..2026_01", GOOD);
    symlink("..data/config.yaml", mount.join("config.yaml")).expect("linked");
    let rig = Rig { reloader: reloader(&mount.join("config.yaml")), folder };
    version("..2026_02", "clusterID: second\n");
    rig.until("the second version", |rig| rig.cluster() == "second").await;
    fs::remove_dir_all(mount.join("..2026_01")).expect("removed");
    version("..2026_03", "clusterID: third\n");
    rig.until("the third version", |rig| rig.cluster() == "third").await;
}

#[tokio::test]
async fn a_signal_reads_again() {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), GOOD);
    let worker = unwatched(&folder.path().join("config.yaml"), None);
    let (current, last_error) = (Arc::clone(&worker.current), Arc::clone(&worker.last_error));
    let compiling = Arc::clone(&worker.compiling);
    let wake = Arc::new(Notify::new());
    let (_changed, changes) = mpsc::channel(1);
    let worker = AbortOnDropHandle::new(tokio::spawn(worker.run(Arc::clone(&wake), changes)));
    let rig = Rig { reloader: Reloader { current, last_error, compiling, wake, _worker: worker }, folder };
    rig.write("clusterID: second\n");
    sleep(DEBOUNCE * 2).await;
    assert_eq!(rig.cluster(), "first", "nobody has told");
    rig.reloader.trigger();
    rig.until("the second file", |rig| rig.cluster() == "second").await;
}

#[tokio::test]
async fn the_command_line_stays_in_force_over_reloads() {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), "# the id is on the command line\n");
    let file = folder.path().join("config.yaml");
    let set: Overrides = Arc::new(|config: &mut Config| {
        config.cluster_id = Some("flag".parse().expect("an id"));
        config.set_backend_mode(&["File".to_owned()])
    });
    let mut config = Config::load(&file).expect("good").config;
    set(&mut config).expect("good");
    let shared = Shared::new(&config, Arc::default(), None, || SystemTime::UNIX_EPOCH).expect("made");
    let first = config.build_first(&shared).expect("built");
    let generation = config.generation.clone();
    let rig = Rig { reloader: Reloader::start(config, shared, first, set, || SystemTime::UNIX_EPOCH), folder };
    rig.write("clusterID: file\n");
    rig.until("a new generation", |rig| rig.reloader.current().load().generation != generation).await;
    assert_eq!(rig.cluster(), "flag");
}

#[tokio::test]
async fn a_mistake_in_loading_is_told_and_not_the_end() {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), GOOD);
    let config = Config::load(&folder.path().join("config.yaml")).expect("good").config;
    let shared = Shared::new(&config, Arc::default(), None, || SystemTime::UNIX_EPOCH).expect("made");
    let first = config.build_first(&shared).expect("built");
    let panics: Overrides = Arc::new(|config: &mut Config| {
        let id = config.cluster_id.as_ref().map(|id| id.as_str());
        assert_ne!(id, Some("second"), "as if it could not be taken in");
        Ok(())
    });
    let rig = Rig { reloader: Reloader::start(config, shared, first, panics, || SystemTime::UNIX_EPOCH), folder };
    rig.write("clusterID: second\n");
    rig.until("an error", |rig| rig.error().is_some()).await;
    let error = "/config.yaml: putting it in force failed: that is a mistake in Herald, please report it";
    assert_eq!(rig.error().as_deref(), Some(error));
    assert_eq!(rig.cluster(), "first");
    rig.write("clusterID: third\n");
    rig.until("the third file", |rig| rig.cluster() == "third").await;
    rig.until("no error", |rig| rig.error().is_none()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_whose_digests_begin_alike_are_two_generations() {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), GOOD);
    let file = folder.path().join("config.yaml");
    let mut worker = unwatched(&file, None);
    write(folder.path(), "clusterID: second\n");
    let Config { digest, generation, .. } = Config::load(&file).expect("good").config;
    assert_eq!((digest.len(), digest.starts_with(&generation)), (64, true));
    (worker.config.digest, worker.config.generation) = (format!("{generation:0<64}"), generation);
    assert_eq!(reloaded(worker).await.current.load().cluster_id, "second");
}

/// What was read of a file has to be what its digest is of, also when the file was changed and changed back meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn files_that_change_while_they_are_read_are_read_again() {
    /// Someone writes each of `texts` while a configuration is being put in force, the first one after it was read.
    async fn check(texts: &'static [&'static str], expected: (&str, bool), attempts: usize) {
        let folder = tempfile::tempdir().expect("a folder");
        write(folder.path(), GOOD);
        let (mut worker, place) = (unwatched(&folder.path().join("config.yaml"), None), folder.path().to_owned());
        let turns = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&turns);
        worker.overrides = Arc::new(move |_: &mut Config| {
            if let Some(text) = texts.get(turns.fetch_add(1, Relaxed)) {
                write(&place, text);
            }
            Ok(())
        });
        write(folder.path(), "clusterID: second\n");
        let worker = reloaded(worker).await;
        let found = (worker.current.load().cluster_id.clone(), worker.last_error.load().is_none());
        assert_eq!((found.0.as_str(), found.1, seen.load(Relaxed)), (expected.0, expected.1, attempts), "{texts:?}");
    }
    check(&[], ("second", true), 1).await;
    check(&["clusterID: third\n"], ("third", true), 2).await;
    check(&["clusterID: second\n"], ("second", true), 2).await;
    check(&["clusterID: first\n"], ("first", true), 1).await;
    let never = &["clusterID: third\n", "clusterID: fourth\n", "clusterID: fifth\n"];
    check(never, ("first", false), 3).await;
}

/// What is not asked lets nobody in, so that taking it away is no loss.
#[tokio::test(flavor = "multi_thread")]
async fn only_mappings_that_were_asked_are_lost() {
    async fn check(modes: &str, lost: bool) {
        let folder = tempfile::tempdir().expect("a folder");
        let server = format!("clusterID: first\nserver:\n  backendMode: [{modes}]\n  dynamicFilePath: nobody.json\n");
        let admin = "{rolearn: 'arn:aws:iam::123456789012:role/A', username: a, groups: ['system:masters']}";
        write(folder.path(), &format!("{server}  mapRoles: [{admin}]\n"));
        let worker = unwatched(&folder.path().join("config.yaml"), None);
        write(folder.path(), &server);
        let worker = reloaded(worker).await;
        assert_eq!(worker.last_error.load_full(), None);
        let text = worker.metrics().text();
        let is_loss = |line: &str| line.starts_with("herald_source_losses_total{") && line.ends_with(" 1");
        assert_eq!(text.lines().any(is_loss), lost, "{text}");
    }
    check("MountedFile", true).await;
    check("DynamicFile, MountedFile", true).await;
    check("DynamicFile", false).await;
}

/// STS vouched for callers of this cluster, in this partition, through these hosts: whatever of that changes, its
/// word is no longer good.
#[tokio::test]
async fn what_sts_said_lives_as_long_as_the_question_stays_the_same() {
    #[track_caller]
    fn check(rig: &Rig, before: &Arc<Executor>, kept: bool) -> Arc<Executor> {
        let now = Arc::clone(&rig.reloader.current().load().sts);
        assert_eq!(Arc::ptr_eq(before, &now), kept);
        now
    }
    let rig = Rig::start(GOOD);
    let mut sts = Arc::clone(&rig.reloader.current().load().sts);
    let steps = [
        ("clusterID: first\nserver: {mapAccounts: ['123456789012']}\n", true),
        ("clusterID: second\n", false),
        ("clusterID: second\nserver: {sts: {timeout: 3s}}\n", false),
        ("clusterID: second\nserver: {sts: {timeout: 3s}, partition: aws-cn}\n", false),
    ];
    for (yaml, kept) in steps {
        let generation = rig.reloader.current().load().generation.clone();
        rig.write(yaml);
        rig.until(yaml, |rig| rig.reloader.current().load().generation != generation).await;
        sts = check(&rig, &sts, kept);
    }
}

/// Whatever is written into the file, and whoever asks meanwhile: what decides is the last good one, or the one that
/// takes its place, all of it.
#[test]
fn reload_is_atomic() {
    let place = Place::new();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let _inside = runtime.enter();
    let (steps, questions) = (vec(0..5_usize, 3..8), vec(question(), 2..5));
    hold(8, &(world(read()), world(read()), steps, questions), |(first, second, steps, questions)| {
        let folder = tempfile::tempdir().expect("a folder");
        let good = [first.text(&place), second.text(&place)];
        write(folder.path(), &good[1]);
        let mut worker = unwatched(&folder.path().join("config.yaml"), Some(place.compiled()));
        // What stands in the cluster is the same for both.
        let _feeds = first.tell(worker.shared.sources());
        let current = Arc::clone(&worker.current);
        let mut alone = Vec::new();
        for text in &good {
            write(folder.path(), text);
            worker.reload();
            prop_assert_eq!(worker.last_error.load_full(), None);
            let engine = current.load_full();
            let answers = join_all(questions.iter().map(|question| said(&engine, *question)));
            alone.push((engine.generation.clone(), runtime.block_on(answers)));
        }
        let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let ask = |_| {
            let (stop, asked, current) = (Arc::clone(&stop), Arc::clone(&asked), Arc::clone(&current));
            let (questions, alone) = (questions.clone(), alone.clone());
            runtime.spawn(async move {
                while !stop.load(Relaxed) {
                    for (nth, question) in questions.iter().enumerate() {
                        let said = said(&current.load_full(), *question).await;
                        assert!(alone.iter().any(|(_, all)| all[nth] == said), "{said} is of neither");
                    }
                    asked.fetch_add(1, Relaxed);
                    yield_now().await;
                }
            })
        };
        let askers: Vec<_> = (0..2).map(ask).collect();
        let mut last_good = 1;
        for step in steps {
            write(
                folder.path(),
                &match step {
                    good_one @ 0..2 => good[good_one].clone(),
                    2 => format!("{}  nonsense: 1\n", good[0]),
                    3 => good[0].replacen(".wasm", ".none", 1),
                    _ => format!("{}}}", good[0]),
                },
            );
            worker.reload();
            last_good = if step < good.len() { step } else { last_good };
            prop_assert_eq!(worker.last_error.load().is_none(), step < good.len());
            prop_assert_eq!(&current.load().generation, &alone[last_good].0);
            prop_assert_eq!(&worker.config.generation, &alone[last_good].0);
            let before = asked.load(Relaxed);
            while asked.load(Relaxed) < before + 4 && !askers.iter().any(JoinHandle::is_finished) {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        stop.store(true, Relaxed);
        for ended in runtime.block_on(join_all(askers)) {
            prop_assert!(ended.is_ok(), "{ended:?}");
        }
        Ok(())
    });
}
