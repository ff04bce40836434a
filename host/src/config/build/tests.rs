//! Every kind, mode and `onFault` of a policy with every answer that it can give: what becomes of the login.

use std::path::Path;

use super::*;
use crate::{
    authenticator::Decision,
    caller::made_up,
    config::CheckedFile,
    policy::{
        cloud::Fact,
        tests::{
            Fixture,
            guest::{GET, Guest, saying, text},
        },
    },
};

mod properties;

/// An answer of a policy, and what becomes of the login with each kind of policy that gives it.
struct Row {
    answer: &'static str,
    guest: Guest,
    limits: &'static str,
    /// Enforced, and as a shadow.
    map: [String; 2],
    /// Enforced, enforced with `onFault: skip`, as a shadow, as a shadow with it.
    augment: [String; 4],
    /// Enforced, and as a shadow.
    guard: [String; 2],
}

impl Shared {
    /// The sources of whoever is to be told of them by hand.
    pub(in crate::config) fn sources(&self) -> &Sources {
        &self.sources
    }
}

/// Whose login it is: a federated user's, of whom nothing is asked at EC2 or IAM.
const BOB: &str = "arn:aws:sts::123456789012:federated-user/bob";
const PATIENT: &str = "timeout: 5s";
/// That the configuration is refused, since the policy asks for what it may not have.
const NOT_GRANTED: &str = "the policy asks for what it is not granted";

/// A row of words.
fn row(answer: &'static str, guest: Guest, map: [&str; 2], augment: [&str; 4], guard: [&str; 2]) -> Row {
    let (map, augment, guard) = (map.map(str::to_owned), augment.map(str::to_owned), guard.map(str::to_owned));
    Row { answer, guest, limits: PATIENT, map, augment, guard }
}

/// A fault of whatever class: it refuses, unless it is an augment policy's and skipped; and changes nothing as a shadow.
fn fault(reason: &'static str, guest: Guest, limits: &'static str) -> Row {
    let shadow = |login: &str| format!("{login} | {reason} refuses");
    Row {
        answer: reason,
        guest,
        limits,
        map: [reason.to_owned(), shadow("not_mapped")],
        augment: [reason.to_owned(), "alice []".to_owned(), shadow("alice []"), format!("alice [] | {reason}")],
        guard: [reason.to_owned(), shadow("alice [dev ops]")],
    }
}

/// Every answer and every class of fault but `policy_overloaded`, which takes others who ask.
fn rows() -> Vec<Row> {
    let forever = || Guest::deciding("(loop $l (br $l)) unreachable");
    let named = |name: &str| Guest::deciding(saying(0, 1, name.len().try_into().expect("short"))).with(text(name));
    vec![
        row(
            "alice of dev",
            Guest::allowing(),
            ["alice [dev]", "not_mapped | allow groupsAdded letsIn"],
            ["alice [dev]", "alice [dev]", "alice [] | allow groupsAdded", "alice [] | allow groupsAdded"],
            ["alice [dev]", "alice [dev ops] | allow groupsRemoved"],
        ),
        row(
            "no opinion",
            Guest::default(),
            ["not_mapped", "not_mapped | abstain"],
            ["alice []", "alice []", "alice [] | abstain", "alice [] | abstain"],
            ["alice [dev ops]", "alice [dev ops] | abstain"],
        ),
        row(
            "a denial, final whatever the kind",
            Guest::deciding(saying(0, 2, 2)).with(text("no")),
            ["policy_denied", "not_mapped | deny refuses"],
            ["policy_denied", "policy_denied", "alice [] | deny refuses", "alice [] | deny refuses"],
            ["policy_denied", "alice [dev ops] | deny refuses"],
        ),
        row(
            "somebody else, whom only a map policy may name",
            named("eve"),
            ["eve []", "not_mapped | allow letsIn"],
            [
                "policy_out_of_bounds",
                "alice []",
                "alice [] | policy_out_of_bounds refuses",
                "alice [] | policy_out_of_bounds",
            ],
            ["policy_out_of_bounds", "alice [dev ops] | policy_out_of_bounds refuses"],
        ),
        row(
            "nobody",
            named(""),
            ["guard_empty_username", "not_mapped | guard_empty_username refuses"],
            [
                "policy_out_of_bounds",
                "alice []",
                "alice [] | policy_out_of_bounds refuses",
                "alice [] | policy_out_of_bounds",
            ],
            ["policy_out_of_bounds", "alice [dev ops] | policy_out_of_bounds refuses"],
        ),
        fault("policy_out_of_bounds", named("system:admin"), PATIENT),
        fault("policy_broken", Guest::deciding(saying(1, 1, 4)).with(text("oops")), PATIENT),
        fault("policy_unavailable", Guest::deciding(saying(1, 0, 4)).with(text("late")), PATIENT),
        fault("policy_trap", Guest::deciding("unreachable"), PATIENT),
        fault("policy_fuel", forever(), "timeout: 5s, fuel: 10000"),
        fault("policy_timeout", forever(), "timeout: 20ms, fuel: 20000000000"),
        fault("policy_memory", Guest::deciding("(drop (memory.grow (i32.const 1000))) unreachable"), PATIENT),
        fault(
            "policy_table",
            Guest::deciding("(drop (table.grow $t (ref.null func) (i32.const 20001))) unreachable")
                .with("(table $t 1 funcref)"),
            PATIENT,
        ),
        fault(
            "policy_stack",
            Guest::deciding("(call $f (i64.const 1))")
                .with("(func $f (param i64) (result i32) (i32.add (call $f (local.get 0)) (i32.const 1)))"),
            PATIENT,
        ),
        fault("policy_malformed", Guest::deciding("i32.const -4"), PATIENT),
        fault("policy_too_large", Guest { pages: 20, ..Guest::deciding(saying(0, 2, 1 << 20)) }, PATIENT),
        fault("policy_host_calls", Guest::asking_without_end(), PATIENT),
    ]
}

/// A configuration with one policy, whose entry has `keys` besides.
fn config(kind: &str, mode: &str, on_fault: &str, keys: &str, guest: &Fixture) -> String {
    // Nobody maps the caller of a `map` policy; the others see a mapping that leaves them something to do.
    let (list, arn, groups) = match kind {
        "map" => ("MountedFile, Policy/p", "arn:aws:iam::123456789012:user/somebody-else", ""),
        "augment" => ("MountedFile", BOB, ""),
        _ => ("MountedFile", BOB, "dev, ops"),
    };
    format!(
        "clusterID: c\nserver:\n  backendMode: [{list}]\n  mapUsers: [{{userarn: '{arn}', username: alice, groups: [{groups}]}}]\n  \
         policies: [{{name: p, kind: {kind}, mode: {mode}, onFault: {on_fault}, component: {}, {keys}}}]\n",
        guest.path().display(),
    )
}

/// The key that grants a policy the table `rota`, which is written beside it.
fn rota(guest: &Fixture) -> String {
    let table = guest.path().with_file_name("rota.json");
    std::fs::write(&table, r#"{"k": "v"}"#).expect("a table");
    format!("tables: {{rota: {}}}", table.display())
}

/// What becomes of a login, and behind `|` what the policy would have changed.
fn words(decision: &Decision) -> String {
    let outcome = match &decision.outcome {
        crate::authenticator::Outcome::Allowed { user } => format!("{} [{}]", user.username, user.groups.join(" ")),
        crate::authenticator::Outcome::Denied(denial) => denial.reason.to_owned(),
    };
    let shadows = decision.shadows.iter().map(|record| {
        let json = serde_json::to_value(&record.change).expect("it is data");
        let keys: Vec<&str> = json.as_object().expect("a map").keys().map(String::as_str).collect();
        assert_eq!(record.same, keys.is_empty());
        format!(" | {} {}", record.verdict, keys.join(" ")).trim_end().to_owned()
    });
    outcome + &shadows.collect::<String>()
}

/// What becomes of [`BOB`]'s login, unless the policy is refused for what it was not granted; the machine code goes into
/// `compiled`.
fn login(text: &str, compiled: &Path) -> String {
    let checked = CheckedFile::parse(Path::new("/herald.yaml"), text.to_owned());
    if checked.findings.iter().any(|finding| finding.refuses) {
        return "the configuration is refused".to_owned();
    }
    let config = &checked.parts[0].config;
    let shared =
        Shared::new(config, Arc::default(), Some(compiled.to_owned()), || SystemTime::UNIX_EPOCH).expect("made");
    let authenticator = match config.build(&shared) {
        Ok(authenticator) => authenticator,
        Err(error) if error.to_string().contains(", which it is not granted: ") => return NOT_GRANTED.to_owned(),
        Err(error) => panic!("{error}"),
    };
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(3600);
    let caller = Arc::new(made_up::caller(&BOB.parse().expect("an ARN"), now));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    words(&runtime.block_on(authenticator.decide_unproven(caller, now)))
}

#[test]
fn every_kind_in_every_mode_with_every_answer_and_every_fault() {
    const NOT_TAKEN: &str = "the configuration is refused";
    for Row { answer, guest, limits, map, augment, guard } in rows() {
        let (guest, folder) = (Fixture::new(&guest.component()), tempfile::tempdir().expect("a folder"));
        let (compiled, keys) = (folder.path().join("compiled"), format!("{}, limits: {{{limits}}}", rota(&guest)));
        let check = |kind: &str, mode: &str, on_fault: &str, expected: &str| {
            let found = login(&config(kind, mode, on_fault, &keys, &guest), &compiled);
            assert_eq!(found, expected, "{answer}: {kind} {mode} {on_fault}");
        };
        for (kind, [enforced, shadow]) in [("map", map), ("guard", guard)] {
            check(kind, "enforce", "refuse", &enforced);
            check(kind, "shadow", "refuse", &shadow);
            check(kind, "enforce", "skip", NOT_TAKEN);
            check(kind, "shadow", "skip", NOT_TAKEN);
        }
        let [enforced, skipped, shadow, skipped_shadow] = augment;
        check("augment", "enforce", "refuse", &enforced);
        check("augment", "enforce", "skip", &skipped);
        check("augment", "shadow", "refuse", &shadow);
        check("augment", "shadow", "skip", &skipped_shadow);
    }
}

/// Says that the caller is alice of dev once `asked` is behind it.
fn allowing_after(asked: &str, guest: Guest) -> Guest {
    let allowing = Guest::allowing();
    let (decide, more) = (format!("{asked} {}", allowing.decide), guest.more.clone() + &allowing.more);
    Guest { decide, more, ..guest }
}

/// Does so where the table `rota` has a key `k`.
fn asking_a_table() -> Guest {
    let asked = format!(
        "{GET} (if (i32.load8_u (i32.const 2064)) (then unreachable)) (if (i32.eqz (i32.load8_u (i32.const 2068))) (then unreachable))"
    );
    allowing_after(&asked, Guest::reading(""))
}

/// Does so where there is no such `fact` about the caller: the case `not-found` of the error. Traps where it is not granted.
fn asking_the_cloud(fact: Fact) -> Guest {
    let import = format!(r#"(import "herald:policy/cloud@0.1.0" "{}" (func $fact (param i32)))"#, fact.word());
    let asked = "(call $fact (i32.const 2064)) (if (i32.eqz (i32.load8_u (i32.const 2064))) (then unreachable))
        (if (i32.load8_u (i32.const 2068)) (then unreachable))";
    allowing_after(asked, Guest { imports: import, ..Guest::default() })
}

/// What a policy asks its host for.
#[derive(Clone, Copy, Debug)]
enum Asks {
    Nothing,
    Table,
    Fact(Fact),
}

/// A policy that says alice of dev: with a ceiling that has dev in it and with one that has not, and with and without each
/// grant, of those that ask for one of them or none. Who asks for one fact and is granted the other is told so at the login.
#[test]
fn every_kind_in_every_mode_within_and_outside_its_ceiling_with_and_without_each_grant() {
    const FACTS: [&[Fact]; 4] = [&Fact::ALL, &[Fact::CallerInstance], &[Fact::CallerTags], &[]];
    let rows = [
        ("map", "enforce", "refuse", ["alice [dev]", "policy_out_of_bounds"], "policy_trap"),
        (
            "map",
            "shadow",
            "refuse",
            ["not_mapped | allow groupsAdded letsIn", "not_mapped | policy_out_of_bounds refuses"],
            "not_mapped | policy_trap refuses",
        ),
        ("augment", "enforce", "refuse", ["alice [dev]", "policy_out_of_bounds"], "policy_trap"),
        ("augment", "enforce", "skip", ["alice [dev]", "alice []"], "alice []"),
        (
            "augment",
            "shadow",
            "refuse",
            ["alice [] | allow groupsAdded", "alice [] | policy_out_of_bounds refuses"],
            "alice [] | policy_trap refuses",
        ),
        (
            "augment",
            "shadow",
            "skip",
            ["alice [] | allow groupsAdded", "alice [] | policy_out_of_bounds"],
            "alice [] | policy_trap",
        ),
        // What was there before is not its doing, and it adds nothing.
        ("guard", "enforce", "refuse", ["alice [dev]", "alice [dev]"], "policy_trap"),
        (
            "guard",
            "shadow",
            "refuse",
            ["alice [dev ops] | allow groupsRemoved", "alice [dev ops] | allow groupsRemoved"],
            "alice [dev ops] | policy_trap refuses",
        ),
    ];
    let asking = Fact::ALL.map(|fact| (Asks::Fact(fact), asking_the_cloud(fact)));
    let guests = [(Asks::Nothing, Guest::allowing()), (Asks::Table, asking_a_table())].into_iter().chain(asking);
    for (asks, guest) in guests {
        let (guest, folder) = (Fixture::new(&guest.component()), tempfile::tempdir().expect("a folder"));
        let (compiled, table) = (folder.path().join("compiled"), format!("{}, ", rota(&guest)));
        let granted = [table.as_str(), ""].into_iter().flat_map(|tables| FACTS.map(|facts| (tables, facts)));
        for (tables, facts) in granted {
            let grants = format!("{tables}{}", Fact::grant(facts));
            for (kind, mode, on_fault, outcomes, trapped) in rows {
                for (groups, outcome) in ["dev", "ops"].into_iter().zip(outcomes) {
                    let keys = format!("{grants}, ceiling: {{groups: [{groups}]}}, limits: {{{PATIENT}}}");
                    let found = login(&config(kind, mode, on_fault, &keys, &guest), &compiled);
                    let expected = match asks {
                        Asks::Table if tables.is_empty() => NOT_GRANTED,
                        Asks::Fact(_) if facts.is_empty() => NOT_GRANTED,
                        Asks::Fact(fact) if !facts.contains(&fact) => trapped,
                        _ => outcome,
                    };
                    assert_eq!(found, expected, "asks for {asks:?}, has {grants}: {kind} {mode} {on_fault} {groups}");
                }
            }
        }
    }
}

#[test]
fn a_shadow_stands_where_its_place_is() {
    let [allows, abstains] = [Guest::allowing(), Guest::default()].map(|guest| Fixture::new(&guest.component()));
    let folder = tempfile::tempdir().expect("a folder");
    let policy = |name: &str, kind: &str, mode: &str, guest: &Fixture| {
        format!(
            "  - {{name: {name}, kind: {kind}, mode: {mode}, component: {}, limits: {{timeout: 5s}}}}\n",
            guest.path().display()
        )
    };
    let check = |list: &str, policies: &[String], expected: &str| {
        let text = format!("clusterID: c\nserver:\n  backendMode: [{list}]\n  policies:\n{}", policies.concat());
        assert_eq!(login(&text, &folder.path().join("compiled")), expected, "{text}");
    };
    let (first, shadow) = (policy("a", "map", "enforce", &allows), policy("s", "map", "shadow", &allows));
    check("Policy/s, Policy/a", &[first.clone(), shadow.clone()], "alice [dev] | allow");
    // Nobody asks behind the stage that mapped.
    check("Policy/a, Policy/s", &[first.clone(), shadow.clone()], "alice [dev]");
    let silent = policy("a", "map", "enforce", &abstains);
    check("Policy/a, Policy/s", &[silent, shadow], "not_mapped | allow groupsAdded letsIn");
    let guards = [first, policy("g", "guard", "shadow", &abstains), policy("h", "guard", "enforce", &allows)];
    check("Policy/a", &guards, "alice [dev] | abstain");
}

fn of_policy(component: &Path) -> Config {
    let text = format!(
        "clusterID: c\nserver: {{backendMode: [Policy/p], policies: [{{name: p, kind: map, component: {}, limits: {{{PATIENT}}}}}]}}\n",
        component.display()
    );
    Config::parse(Path::new("/herald.yaml"), &text).expect("good").config
}

#[test]
fn a_policy_that_does_not_load_is_told_with_its_reason() {
    #[track_caller]
    fn check(component: &[u8], reason: &str) {
        let fixture = Fixture::new(component);
        let config = of_policy(fixture.path());
        let shared = Shared::new(&config, Arc::default(), None, || SystemTime::UNIX_EPOCH).expect("made");
        let error = config.build(&shared).err().expect("it does not load");
        assert_eq!(error.reason(), reason, "{error}");
        assert!(error.to_string().starts_with("/herald.yaml: policy p: "), "{error}");
    }
    let good = Guest::allowing().component();
    check(b"", "not_wasm");
    check(&good[..good.len() - 1], "truncated_component");
    check(&Guest::configuring("unreachable").component(), "policy_trap");
}

#[test]
fn compiled_policies_that_are_not_used_are_counted() {
    let fixture = Fixture::new(&Guest::allowing().component());
    let (config, metrics) = (of_policy(fixture.path()), Arc::new(Metrics::default()));
    let state = tempfile::tempdir().expect("a folder");
    let folder = state.path().join("compiled");
    let shared = Shared::new(&config, Arc::clone(&metrics), Some(folder.clone()), || SystemTime::UNIX_EPOCH);
    let shared = shared.expect("made");
    config.build(&shared).expect("built");
    assert!(!metrics.text().contains("herald_compiled_policies_ignored_total{"), "nothing was there");
    for file in std::fs::read_dir(&folder).expect("a folder") {
        let path = file.expect("a file").path();
        if path.extension().is_some_and(|extension| extension == "cwasm") {
            let (bytes, torn) = (std::fs::read(&path).expect("read"), path.with_extension("torn"));
            std::fs::write(&torn, &bytes[..bytes.len() / 2]).expect("written");
            std::fs::rename(torn, path).expect("the same folder");
        }
    }
    config.build(&shared).expect("built");
    let text = metrics.text();
    assert!(text.contains("herald_compiled_policies_ignored_total{reason=\"torn\"} "), "{text}");
}

/// As kops mounts the state folder, and as it is once that has been changed.
#[test]
fn that_compiled_policies_cannot_be_kept_is_told_until_they_can() {
    let fixture = Fixture::new(&Guest::allowing().component());
    let (config, metrics) = (of_policy(fixture.path()), Arc::new(Metrics::default()));
    let state = tempfile::tempdir().expect("a folder");
    let shared = |folder: PathBuf| {
        let shared = Shared::new(&config, Arc::clone(&metrics), Some(folder), || SystemTime::UNIX_EPOCH);
        shared.expect("made")
    };
    // Whoever runs tests may write to what is read-only for others; the kernel's own folders take nothing from anybody.
    let (unwritable, good) = (shared("/sys/compiled".into()), shared(state.path().join("compiled")));
    config.build(&unwritable).expect("built");
    let why = metrics.why_not_kept().expect("nowhere to write");
    assert!(why.starts_with("/sys/compiled: "), "{why}");
    config.build(&good).expect("built");
    assert_eq!(metrics.why_not_kept(), None);
    config.keep_compiled(&unwritable, SystemTime::UNIX_EPOCH);
    assert_eq!(metrics.why_not_kept(), Some(why));
}
