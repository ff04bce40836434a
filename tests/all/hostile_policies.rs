//! Policies that break the rules: the login is refused with the reason, and the server goes on.

use std::{
    collections::BTreeSet,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
};

use tests::{
    herald::{Finished, Server},
    policies,
    sts::{ALICE, BOB, Running},
};
use tokio::task::JoinSet;

use crate::support::{config, fresh, setup, sts, until, until_asked};

/// Time enough that no row depends on how busy the machine is.
const PATIENT: &str = "timeout: 5s";

/// bob is mapped before the policy is asked; alice is the policy's.
fn hostile(component: &Path, mode: &str, limits: &str) -> String {
    let policy = format!(
        "  backendMode: [MountedFile, Policy/hostile]\n  policies:\n  - name: hostile\n    kind: map\n    \
         component: {}\n    settings: {{mode: {mode}}}\n    limits: {{{limits}}}",
        component.display()
    );
    config(&policy).replace(":role/Developers", ":role/SomebodyElse")
}

async fn serve(sts: &Running, component: &Path, mode: &str, limits: &str) -> Server {
    let server = setup(sts, &hostile(component, mode, limits)).start().await;
    server.unwrap_or_else(|error| panic!("{mode}: {error:#}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_is_refused_with_its_reason_and_the_next_login_works() {
    let component = policies::build("hostile").expect("a policy");
    let sts = Arc::new(sts().await);
    let table = [
        ("spin", "timeout: 50ms, fuel: 20000000000", 200, "policy_timeout"),
        ("spin", "timeout: 5s, fuel: 2000000", 200, "policy_fuel"),
        ("trap", PATIENT, 200, "policy_trap"),
        ("recurse", PATIENT, 200, "policy_stack"),
        ("memory", PATIENT, 200, "policy_memory"),
        ("huge-string", PATIENT, 200, "policy_too_large"),
        ("huge-deny", PATIENT, 200, "policy_too_large"),
        ("many-groups", PATIENT, 200, "policy_too_large"),
        ("many-extra", PATIENT, 200, "policy_too_large"),
        ("fault-broken", PATIENT, 200, "policy_broken"),
        ("fault-unavailable", PATIENT, 503, "policy_unavailable"),
        ("bad-username", PATIENT, 200, "guard_characters"),
        ("empty-username", PATIENT, 200, "guard_empty_username"),
        ("host-extra", PATIENT, 200, "guard_reserved_extra"),
        ("masters", PATIENT, 200, "policy_out_of_bounds"),
        ("system-user", PATIENT, 200, "policy_out_of_bounds"),
    ];
    let mut rows = JoinSet::new();
    for (mode, limits, status, reason) in table {
        let (sts, component) = (Arc::clone(&sts), component.clone());
        rows.spawn(async move {
            let server = serve(&sts, &component, mode, limits).await;
            let answer = server.review(&fresh(&ALICE)).await.expect("an answer");
            assert_eq!((answer.status, answer.username()), (status, None), "{mode}: {}", answer.text);
            assert_eq!(answer.reason().as_deref(), Some(reason), "{mode}: {}", answer.text);
            assert!(answer.text.len() < 1024, "{mode}: a policy's own words are not passed on");
            let id = answer.decision_id().unwrap_or_else(|| panic!("{mode}: {}", answer.text));
            let line = server.audit_of(&id).await.unwrap_or_else(|| panic!("{mode}: no audit line"));
            assert_eq!(line["reason"], reason, "{mode}");
            let next = server.review(&fresh(&BOB)).await.expect("an answer");
            assert_eq!(next.username().as_deref(), Some("bob"), "after {mode}: {}", next.text);
        });
        if rows.len() == 4 {
            rows.join_next().await.expect("four are under way").expect("it holds");
        }
    }
    rows.join_all().await;
}

/// alice is a good policy's; bob is the hostile one's, which is asked after it.
fn good_before_hostile(good: &Path, hostile: &Path, mode: &str, limits: &str) -> String {
    let policies = format!(
        "  backendMode: [Policy/good, Policy/hostile, MountedFile]\n  policyEngine: {{queueTimeout: 2s}}\n  policies:\n  \
         - name: good\n    kind: map\n    component: {}\n    \
         settings: {{rules: [{{match: {{accounts: ['123456789012'], role: Developers}}, username: 'good:{{{{SessionName}}}}'}}]}}\n    \
         limits: {{{PATIENT}}}\n  - name: hostile\n    kind: map\n    component: {}\n    settings: {{mode: {mode}}}\n    \
         limits: {{{limits}}}",
        good.display(),
        hostile.display()
    );
    config(&policies)
}

/// Logins that ask a hostile policy, again and again until this is ended.
struct Attack {
    stop: Arc<AtomicBool>,
    /// Answers that they have had.
    answered: Arc<AtomicUsize>,
    /// Those of them with the reason that is the attack's own: as many decisions have come to their end.
    ended: Arc<AtomicUsize>,
    attackers: JoinSet<BTreeSet<String>>,
}

// === impl Attack ===

impl Attack {
    /// Twice as many as there are instances.
    const ATTACKERS: usize = 16;

    fn start(server: &Arc<Server>, reason: &'static str) -> Self {
        let (stop, answered, ended) = (Arc::default(), Arc::default(), Arc::default());
        let mut attack = Self { stop, answered, ended, attackers: JoinSet::new() };
        for _ in 0..Self::ATTACKERS {
            let (server, token) = (Arc::clone(server), fresh(&BOB));
            let stop = Arc::clone(&attack.stop);
            let (answered, ended) = (Arc::clone(&attack.answered), Arc::clone(&attack.ended));
            attack.attackers.spawn(async move {
                let mut heard = BTreeSet::new();
                while !stop.load(Relaxed) {
                    let answer = server.review(&token).await.expect("an answer");
                    let found = answer.reason().unwrap_or_else(|| panic!("{}", answer.text));
                    answered.fetch_add(1, Relaxed);
                    ended.fetch_add(usize::from(found == reason), Relaxed);
                    heard.insert(found);
                }
                heard
            });
        }
        attack
    }

    fn ended(&self) -> usize {
        self.ended.load(Relaxed)
    }

    /// Every reason that anybody heard.
    async fn end(self) -> BTreeSet<String> {
        self.stop.store(true, Relaxed);
        self.attackers.join_all().await.into_iter().flatten().collect()
    }
}

/// Twice as many logins as there are instances ask a policy that does its worst, again and again. Whoever another policy names
/// waits for none of them: what they may have of the instances is not all, and they have a line of their own. Decisions
/// that take their time take it together for longer than anybody waits for an instance.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_login_beside_an_attack_never_notices() {
    const LOGINS: usize = 50;
    // With ten times as long for whoever gets little of a processor, an answer still comes before its client gives up.
    const LONG: &str = "timeout: 2s, fuel: 20000000000";
    let (hostile, good) = (policies::build("hostile").expect("a policy"), policies::build("session-groups"));
    let (good, sts) = (good.expect("a policy"), sts().await);
    for (mode, limits, reason) in [
        ("spin", LONG, "policy_timeout"),
        ("memory", PATIENT, "policy_memory"),
        ("recurse", PATIENT, "policy_stack"),
        ("huge-string", PATIENT, "policy_too_large"),
    ] {
        let server = setup(&sts, &good_before_hostile(&good, &hostile, mode, limits)).start().await;
        let server = Arc::new(server.unwrap_or_else(|error| panic!("{mode}: {error:#}")));
        let attack = Attack::start(&server, reason);
        // A decision has ended, or somebody has waited in vain for the end of one.
        until_asked(&attack.answered, 0).await;
        let (began, mut between) = (attack.ended(), 0);
        for _ in 0..LOGINS {
            let before = attack.ended();
            let answer = server.review(&fresh(&ALICE)).await.expect("an answer");
            assert_eq!(answer.username().as_deref(), Some("good:alice"), "beside {mode}: {}", answer.text);
            between += usize::from(attack.ended() == before);
        }
        let ended = attack.ended() - began;
        if limits == LONG {
            // Who waits for an instance waits for the end of a decision, each time; how long the rest of a login takes is
            // the machine's matter.
            assert!(between > LOGINS / 5, "beside {mode}: {between} of {LOGINS} waited for no end of a decision");
        } else {
            assert!(ended > 0, "{mode}: no decision ended beside them");
        }
        let mut heard = attack.end().await;
        heard.remove("policy_overloaded");
        assert_eq!(heard, BTreeSet::from([reason.to_owned()]), "{mode}");
    }
}

#[tokio::test]
async fn a_flood_of_log_lines_fills_no_disk() {
    let component = policies::build("hostile").expect("a policy");
    let sts = sts().await;
    // How many lines are kept, and the last of them.
    let injected = r#"a line\u{a}{"decision":"allow"}\u{1b}[2J\u{d}\u{0}"#;
    for (mode, username, reason, kept, last) in [
        ("log-flood", Some("fine"), None, 33, Some(("warn", "(49968 more lines were dropped)"))),
        ("log-huge", None, Some("policy_too_large"), 0, None),
        ("log-injection", Some("fine"), None, 1, Some(("error", injected))),
    ] {
        let server = serve(&sts, &component, mode, PATIENT).await;
        let answer = server.review(&fresh(&ALICE)).await.expect("an answer");
        let said = (answer.username(), answer.reason());
        assert_eq!((said.0.as_deref(), said.1.as_deref()), (username, reason), "{mode}: {}", answer.text);
        until(async || !server.audit().is_empty()).await;
        let line = server.audit().remove(0);
        let stages = line["stages"].as_array().into_iter().flatten();
        let lines: Vec<(&str, &str)> = stages
            .filter(|stage| stage["stage"] == "Policy/hostile")
            .flat_map(|stage| stage["log"].as_array().into_iter().flatten())
            .map(|line| (line["level"].as_str().expect("a level"), line["message"].as_str().expect("words")))
            .collect();
        assert_eq!((lines.len(), lines.last().copied()), (kept, last), "{mode}: {line}");
        let finished = server.stop().await.expect("an end");
        assert!(finished.stderr.len() < 64 << 10, "{mode}: {} bytes", finished.stderr.len());
        let odd = |c: char| c.is_control() && c != '\n';
        assert!(!finished.stderr.contains(odd), "{mode}: control characters are escaped");
    }
}

#[tokio::test]
async fn one_that_cannot_start_does_not_go_live() {
    let component = policies::build("hostile").expect("a policy");
    let sts = sts().await;
    for (mode, reason) in [
        ("configure-error", "refuses its settings: mode: this one is refused"),
        ("configure-trap", "failed while it took its settings: the policy trapped: "),
        ("configure-trap", "; the last error that it logged: panicked at "),
        ("configure-trap", "hostile: configure"),
        ("configure-spin", "failed while it took its settings: the policy ran out of fuel"),
        ("configure-memory", "failed while it took its settings: the policy asked for more memory than its limit"),
        ("no-such-mode", "refuses its settings: unknown variant `no-such-mode`"),
    ] {
        let finished: Finished = setup(&sts, &hostile(&component, mode, PATIENT)).run().await.expect("an end");
        assert_eq!(finished.code, Some(78), "{mode}: {}", finished.stderr);
        let complaint = finished.complaint().expect("one line");
        assert!(complaint.contains("config.yaml: policy hostile: "), "{mode}: {complaint}");
        assert!(complaint.contains(reason), "{mode}: {complaint}");
    }
}

#[tokio::test]
async fn nothing_survives_from_one_login_to_the_next() {
    let component = policies::build("hostile").expect("a policy");
    let sts = sts().await;
    let server = serve(&sts, &component, "count", PATIENT).await;
    for _ in 0..3 {
        let answer = server.review(&fresh(&ALICE)).await.expect("an answer");
        assert_eq!(answer.username().as_deref(), Some("call-1"), "{}", answer.text);
    }
}
