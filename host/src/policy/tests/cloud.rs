//! Facts about callers: who is told which, and how they are looked up.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
};

use futures_util::future::BoxFuture;
use tokio::{sync::Barrier, time::timeout};

use super::*;
use crate::policy::cloud::{Fact, Instance, LookUpError};

/// Longest wait for what must happen by itself.
const LONG: Duration = Duration::from_secs(60);
/// `not-granted`, in the order of the contract.
const NOT_GRANTED: Option<u8> = Some(3);
const NOT_FOUND: Option<u8> = Some(0);

/// Traps unless the caller's instance and his tags are there, or are not with these errors.
fn guest(instance: Option<u8>, tags: Option<u8>) -> Guest {
    let asking = |function: &str, area: u32, error: Option<u8>| {
        let unless = |offset: u32, expected: u8| {
            format!(
                "(if (i32.ne (i32.load8_u offset={offset} (i32.const {area})) (i32.const {expected})) (then unreachable))"
            )
        };
        let told = error.map_or_else(|| unless(0, 0), |code| format!("{} {}", unless(0, 1), unless(4, code)));
        format!("(call {function} (i32.const {area})) {told}")
    };
    let decide = format!("{} {} {}", asking("$instance", 2048, instance), asking("$tags", 2112, tags), answer(&[]));
    Guest {
        imports: r#"(import "herald:policy/cloud@0.1.0" "caller-instance" (func $instance (param i32)))
                    (import "herald:policy/cloud@0.1.0" "caller-tags" (func $tags (param i32)))"#
            .into(),
        ..Guest::deciding(decide)
    }
}

/// A policy that asks for both.
pub(super) fn asking() -> Guest {
    guest(None, None)
}

/// Finds each fact once `together` are looked for.
struct Finder {
    together: Barrier,
    asked: AtomicUsize,
}

impl Finder {
    fn of(together: usize) -> Arc<Self> {
        Arc::new(Self { together: Barrier::new(together), asked: AtomicUsize::new(0) })
    }

    async fn wait(&self) {
        self.asked.fetch_add(1, SeqCst);
        self.together.wait().await;
    }
}

impl FactFinder for Finder {
    fn instance<'a>(&'a self, _: &'a Caller) -> BoxFuture<'a, Result<Instance, LookUpError>> {
        Box::pin(async {
            self.wait().await;
            Err(LookUpError::NotFound)
        })
    }

    fn tags<'a>(&'a self, _: &'a Caller) -> BoxFuture<'a, Result<BTreeMap<String, String>, LookUpError>> {
        Box::pin(async {
            self.wait().await;
            Ok(BTreeMap::from([("team".to_owned(), "db".to_owned())]))
        })
    }
}

#[test]
fn each_fact_is_granted_by_itself_and_all_are_looked_up_at_once() {
    #[track_caller]
    fn check(granted: &[Fact], instance: Option<u8>, tags: Option<u8>) {
        let mut fixture = Fixture::new(&guest(instance, tags).component());
        fixture.config.cloud = granted.to_vec();
        let finder = Finder::of(granted.len());
        let policy = fixture.load().expect("it loads").with_cloud(Arc::clone(&finder) as Arc<dyn FactFinder>);
        let decided = run(async { timeout(LONG, policy.decide(&request(&caller("Admin")))).await });
        assert_eq!(decided.expect("in time").verdict, Ok(Verdict::Abstain), "{granted:?}");
        assert_eq!(finder.asked.load(SeqCst), granted.len(), "{granted:?}");
    }
    check(&[Fact::CallerInstance], NOT_FOUND, NOT_GRANTED);
    check(&[Fact::CallerTags], NOT_GRANTED, None);
    check(&Fact::ALL, NOT_FOUND, None);
}

#[test]
fn what_a_policy_does_not_import_is_not_looked_up() {
    let mut fixture = Fixture::new(&Guest::allowing().component());
    fixture.config.cloud = Fact::ALL.to_vec();
    let finder = Finder::of(1);
    let policy = fixture.load().expect("it loads").with_cloud(Arc::clone(&finder) as Arc<dyn FactFinder>);
    assert!(matches!(run(policy.decide(&request(&caller("Admin")))).verdict, Ok(Verdict::Allow(_))));
    assert_eq!(finder.asked.load(SeqCst), 0);
}

#[test]
fn nobody_knows_a_caller_before_there_is_a_login() {
    let mut asking = guest(NOT_FOUND, None);
    let told = |guest: &Guest| guest.decide.trim_end_matches(&answer(&[])).to_owned();
    asking.configure = format!("{} i32.const 0", told(&guest(NOT_GRANTED, NOT_GRANTED)));
    let mut fixture = Fixture::new(&asking.component());
    fixture.config.cloud = Fact::ALL.to_vec();
    let policy = fixture.load().expect("it loads").with_cloud(Finder::of(2));
    assert_eq!(run(policy.decide(&request(&caller("Admin")))).verdict, Ok(Verdict::Abstain));
}

#[test]
fn who_asks_without_a_grant_does_not_load_and_is_told_which() {
    let error = Fixture::new(&asking().component()).load().unwrap_err();
    assert_eq!(error.reason(), "ungranted_import");
    let words =
        "herald:policy/cloud@0.1.0, which it is not granted: grant it with `cloud: [caller-instance, caller-tags]`";
    assert!(error.to_string().contains(words), "{error}");
}
