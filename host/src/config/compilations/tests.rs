//! Who asks is told what came of it, and what nobody asks for any more ends.

use std::sync::mpsc::{self, Receiver, Sender};

use tokio::time::timeout;

use super::*;

/// Compilations whose compiler does what the test says.
struct Rig {
    compilations: Compilations,
    wake: Arc<Notify>,
    /// What the compiler begins, by settings.
    begun: Receiver<(String, Stop)>,
    outcomes: Sender<Result<(), String>>,
    folder: tempfile::TempDir,
}

const PATIENCE: Duration = Duration::from_secs(60);

impl Rig {
    fn new() -> Self {
        let (begin, begun) = mpsc::channel();
        let (outcomes, outcome) = mpsc::channel::<Result<(), String>>();
        let outcome = Mutex::new(outcome);
        let compiler: Compiler = Arc::new(move |_, policy, stop| {
            let settings = policy.settings.as_str().expect("text").to_owned();
            begin.send((settings, stop.clone())).expect("the test listens");
            let outcome = outcome.lock().expect("one at a time");
            while !stop.is_told() {
                if let Ok(outcome) = outcome.recv_timeout(Duration::from_millis(5)) {
                    return outcome;
                }
            }
            Err("stopped".to_owned())
        });
        let wake = Arc::new(Notify::new());
        let compilations = Compilations::new(compiler, Arc::clone(&wake));
        Self { compilations, wake, begun, outcomes, folder: tempfile::tempdir().expect("a folder") }
    }

    /// A reload that asks for `wanted`, each by its settings and its component.
    fn reload(&self, wanted: &[(&str, &str)]) -> Vec<Result<Elsewhere, String>> {
        self.begin();
        let told = self.ask(wanted);
        self.compilations.settle();
        told
    }

    fn begin(&self) {
        self.compilations.begin(&self.file());
    }

    fn ask(&self, wanted: &[(&str, &str)]) -> Vec<Result<Elsewhere, String>> {
        let ask = |(settings, component): &(&str, &str)| {
            let json = serde_json::json!({"name": "a", "kind": "map", "component": "a.wasm", "settings": settings});
            let policy = serde_json::from_value(json).expect("a policy");
            self.compilations.ask(&self.file(), &policy, Digest::of(component.as_bytes()))
        };
        wanted.iter().map(ask).collect()
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("herald.yaml")
    }

    fn begun(&self) -> (String, Stop) {
        self.begun.recv_timeout(PATIENCE).expect("it begins")
    }

    async fn ends(&self, outcome: Result<(), &str>) {
        self.outcomes.send(outcome.map_err(str::to_owned)).expect("it waits");
        timeout(PATIENCE, self.wake.notified()).await.expect("a reload is due");
    }
}

const UNDER_WAY: Result<Elsewhere, String> = Ok(Elsewhere::UnderWay);

#[tokio::test]
async fn what_is_asked_for_is_compiled_once_and_told() {
    let rig = Rig::new();
    assert_eq!(rig.reload(&[("one", "1")]), [UNDER_WAY]);
    assert_eq!(rig.begun().0, "one");
    assert_eq!(rig.reload(&[("one", "1")]), [UNDER_WAY], "another file has changed meanwhile");
    rig.ends(Ok(())).await;
    assert_eq!(rig.reload(&[("one", "1")]), [Ok(Elsewhere::Done)]);
    assert!(rig.begun.try_recv().is_err(), "once");
    assert_eq!(rig.reload(&[("one", "1")]), [UNDER_WAY], "the code is gone, or it would not be asked for again");
    assert_eq!(rig.begun().0, "one");
}

#[tokio::test]
async fn a_newer_version_takes_the_place_of_an_older_one_and_the_old_files_back_end_both() {
    let rig = Rig::new();
    rig.reload(&[("one", "1")]);
    let (_, first) = rig.begun();
    rig.reload(&[("two", "1")]);
    let (settings, second) = rig.begun();
    assert_eq!((settings.as_str(), first.is_told(), second.is_told()), ("two", true, false));
    rig.reload(&[("two", "2")]);
    let (_, third) = rig.begun();
    assert!(second.is_told(), "another component");
    rig.reload(&[]);
    assert!(third.is_told());
    assert_eq!(rig.reload(&[("one", "1")]), [UNDER_WAY], "what was stopped has not failed");
    let (_, last) = rig.begun();
    let Rig { compilations, .. } = rig;
    drop(compilations);
    assert!(last.is_told(), "nobody is left who wants it");
}

#[tokio::test]
async fn several_are_compiled_one_after_the_other() {
    let rig = Rig::new();
    let both = [("one", "1"), ("two", "2")];
    assert_eq!(rig.reload(&both), [UNDER_WAY, UNDER_WAY]);
    assert_eq!(rig.begun().0, "one");
    rig.ends(Ok(())).await;
    assert_eq!(rig.reload(&both), [Ok(Elsewhere::Done), UNDER_WAY]);
    assert_eq!(rig.begun().0, "two");
    assert!(rig.begun.try_recv().is_err());
}

#[tokio::test]
async fn what_failed_is_tried_again_when_it_is_another_thing() {
    fn failed(why: &str) -> Result<Elsewhere, String> {
        Err(format!("{why} (not tried again within 10m unless component or entry change)"))
    }
    let rig = Rig::new();
    rig.reload(&[("one", "1")]);
    rig.begun();
    rig.ends(Err("no")).await;
    assert_eq!(rig.reload(&[("one", "1")]), [failed("no")]);
    assert_eq!(rig.reload(&[("one", "1")]), [failed("no")]);
    assert!(rig.begun.try_recv().is_err());
    assert_eq!(rig.reload(&[("one", "2")]), [UNDER_WAY], "another component");
    rig.begun();
    rig.ends(Err("never")).await;
    assert_eq!(rig.reload(&[("one", "2")]), [failed("never")]);
    assert_eq!(rig.reload(&[("two", "2")]), [UNDER_WAY], "another entry");
    rig.begun();
    rig.ends(Ok(())).await;
    assert_eq!(rig.reload(&[("two", "2")]), [Ok(Elsewhere::Done)]);
}

#[tokio::test]
async fn what_failed_is_due_once_the_failure_holds_no_more() {
    let rig = Rig::new();
    rig.reload(&[("one", "1")]);
    rig.begun();
    rig.ends(Err("no")).await;
    assert!(!rig.compilations.is_any_due());
    rig.compilations.let_failures_end();
    assert!(rig.compilations.is_any_due());
    assert_eq!(rig.reload(&[("one", "1")]), [UNDER_WAY]);
    assert!(!rig.compilations.is_any_due(), "it is asked for");
    rig.begun();
    rig.ends(Err("no")).await;
    rig.compilations.let_failures_end();
    rig.reload(&[]);
    assert!(!rig.compilations.is_any_due(), "nobody wants it any more");
}

/// A file that is wrong for a moment is no reason not to try again once it is right.
#[tokio::test]
async fn what_came_of_other_files_is_not_held_against_these() {
    let rig = Rig::new();
    rig.reload(&[("one", "1")]);
    rig.begun();
    std::fs::write(rig.file(), "nonsense").expect("written");
    rig.ends(Err("no")).await;
    assert_eq!(rig.reload(&[("one", "1")]), [UNDER_WAY]);
    rig.begun();
    rig.ends(Ok(())).await;
    // Before it begins, as the reload takes its time over others.
    rig.begin();
    rig.ask(&[("two", "1")]);
    std::fs::write(rig.file(), "nonsense again").expect("written");
    rig.compilations.settle();
    rig.begun();
    rig.ends(Err("no")).await;
    assert_eq!(rig.reload(&[("two", "1")]), [UNDER_WAY]);
    rig.begun();
}
