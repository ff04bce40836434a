//! Policies that attack: each ends within its budget, with a reason that tells it from the others, and whoever is asked
//! about beside it never notices.

use tokio::task::JoinSet;

use super::*;

/// What becomes of an attack.
#[derive(Clone, Copy, Debug)]
enum End {
    /// It does not load, for this reason, in a message with these words.
    Unloadable(&'static str, &'static str),
    /// It loads, and its decision is a fault with this reason.
    Fault(&'static str),
    /// It is let do, within a bound: it abstains.
    Harmless,
}

use End::{Harmless, Unloadable};

/// One attack.
struct Attack {
    what: &'static str,
    component: Vec<u8>,
    /// Time, fuel; the memory is [`SMALL`].
    limits: (Duration, u64),
    end: End,
}

/// So short that fuel lasts longer.
const BRIEF: Duration = Duration::from_millis(50);
/// What a load or a decision may take besides what the limits say: until a busy machine has a processor for it.
const NOTICED: Duration = Duration::from_secs(20);

fn attack(what: &'static str, guest: &Guest, end: End) -> Attack {
    Attack { what, component: guest.component(), limits: (PATIENT, Limits::default().fuel()), end }
}

/// The same, in bytes of its own.
fn file(what: &'static str, component: Vec<u8>, end: End) -> Attack {
    Attack { what, component, limits: (PATIENT, Limits::default().fuel()), end }
}

/// A policy that imports `interface` of `package` besides the log.
fn importing(package: &str, interface: &str) -> Vec<u8> {
    let name = format!("{package}/{interface}@1.0.0");
    let wit = WIT.replacen("world policy {", &format!("world policy {{\n    import {name};"), 1)
        + &format!("\npackage {package}@1.0.0 {{ interface {interface} {{ open: func(port: u32) -> u32; }} }}\n");
    let import = format!(r#"(module (import "{name}" "open" (func $open (param i32) (result i32)))"#);
    let text = Guest::deciding(format!("(drop (call $open (i32.const 22))) {}", answer(&[]))).text();
    componentise(&text.replacen("(module", &import, 1), &wit, "policy")
}

/// `component` with `other` wherever `name` was, which is as long.
fn renamed(component: &[u8], name: &str, other: &str) -> Vec<u8> {
    assert_eq!(name.len(), other.len());
    let mut bytes = component.to_vec();
    let places = component.windows(name.len()).enumerate().filter(|(_, part)| *part == name.as_bytes());
    places.for_each(|(at, _)| bytes[at..at + other.len()].copy_from_slice(other.as_bytes()));
    bytes
}

fn attacks() -> Vec<Attack> {
    use End::Fault;
    let spin =
        |limits| Attack { limits, ..attack("an infinite loop", &Guest::deciding(LOOP), Fault("policy_timeout")) };
    let count = |body: &str, count: u32| {
        format!(
            "(local $i i32) (loop $l {body} (br_if $l (i32.lt_u
                (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const {count})))) {}",
            answer(&[])
        )
    };
    let groups = |count| answer(&[(0, 0), (4, 1), (8, 1024), (12, 1), (28, 2048), (32, count)]);
    let roomy = |decide: String| Guest { pages: 20, ..Guest::deciding(decide) };
    let recursion = "(func $f (param i64) (result i32) (i32.add (call $f (local.get 0)) (i32.const 1)))";
    let deeply = "(call $f (i64.const 1))";
    let tables = "(loop $l (drop (table.grow $t (ref.null func) (i32.const 1000))) (br $l)) unreachable";
    let late = Unloadable("policy_timeout", "ran out of time");
    let start = "(func $start (loop $l (br $l))) (start $start)";
    let good = Guest::allowing().component();
    vec![
        spin((BRIEF, Limits::MAX_FUEL)),
        Attack { end: Fault("policy_fuel"), ..spin((PATIENT, 1_000_000)) },
        attack(
            "a memory bomb",
            &Guest::deciding("(loop $l (drop (memory.grow (i32.const 1))) (br $l)) unreachable"),
            Fault("policy_memory"),
        ),
        attack(
            "a memory bomb in one grab",
            &Guest::deciding("(drop (memory.grow (i32.const 65535))) unreachable"),
            Fault("policy_memory"),
        ),
        attack(
            "a memory bomb to start with",
            &Guest { pages: 33, ..Guest::default() },
            Unloadable("policy_memory", "asked for more memory than its limit"),
        ),
        attack("a table bomb", &Guest::deciding(tables).with("(table $t 1 funcref)"), Fault("policy_table")),
        attack(
            "a table bomb in configure",
            &Guest::configuring(tables).with("(table $t 1 funcref)"),
            Unloadable("policy_table", "asked for larger tables than it may have"),
        ),
        attack(
            "a table bomb to start with",
            &Guest::default().with("(table 100000000 funcref)"),
            Unloadable("policy_table", "asked for larger tables than it may have"),
        ),
        attack("deep recursion", &Guest::deciding(deeply).with(recursion), Fault("policy_stack")),
        attack(
            "deep recursion in configure",
            &Guest::configuring(deeply).with(recursion),
            Unloadable("policy_stack", "calls went too deep"),
        ),
        attack("a trap", &Guest::deciding("unreachable"), Fault("policy_trap")),
        attack("an address beyond its memory", &Guest::deciding("(i32.load (i32.const -4))"), Fault("policy_trap")),
        // More than there is to read.
        attack("a string of a gigabyte", &Guest::deciding(saying(0, 1, 1 << 30)), Fault("policy_malformed")),
        attack("a list of a hundred million groups", &Guest::deciding(groups(100_000_000)), Fault("policy_malformed")),
        // As much as there is in its memory.
        attack("a name of a megabyte", &roomy(saying(0, 1, 1 << 20)), Fault("policy_too_large")),
        attack("a denial of a megabyte", &roomy(saying(0, 2, 1 << 20)), Fault("policy_too_large")),
        attack("a list of a hundred thousand groups", &roomy(groups(100_000)), Fault("policy_too_large")),
        attack(
            "a hundred thousand log lines",
            &Guest::deciding(count("(call $log (i32.const 1) (i32.const 1024) (i32.const 5))", 100_000))
                .with(text("hello")),
            Harmless,
        ),
        attack(
            "a log line of a third of a megabyte",
            &Guest {
                pages: 5,
                ..Guest::deciding("(call $log (i32.const 1) (i32.const 0) (i32.const 300000)) unreachable")
            },
            Fault("policy_too_large"),
        ),
        attack("host calls in a loop", &Guest::asking_without_end(), Fault("policy_host_calls")),
        attack(
            "a trap in configure",
            &Guest::configuring("unreachable"),
            Unloadable("policy_trap", "trapped: wasm trap: wasm `unreachable` instruction executed"),
        ),
        Attack {
            limits: (BRIEF, Limits::MAX_FUEL),
            ..attack("a configure that hangs", &Guest::configuring(LOOP), late)
        },
        Attack {
            limits: (BRIEF, Limits::MAX_FUEL),
            ..attack("a start function that hangs", &Guest::default().with(start), late)
        },
        attack("an answer that is none", &Guest::deciding(answer(&[(4, 7)])), Fault("policy_malformed")),
        attack("an answer that is nowhere", &Guest::deciding("i32.const -4"), Fault("policy_malformed")),
        attack("an answer at an odd place", &Guest::deciding("i32.const 17"), Fault("policy_malformed")),
        attack(
            "a denial that is no text",
            &Guest::deciding(saying(0, 2, 1)).with(r#"(data (i32.const 1024) "\ff")"#),
            Fault("policy_malformed"),
        ),
        attack(
            "a log line of no level",
            &Guest::deciding("(call $log (i32.const 9) (i32.const 1024) (i32.const 1)) unreachable"),
            Fault("policy_malformed"),
        ),
        attack(
            "an answer of configure that is nowhere",
            &Guest::configuring("i32.const -4"),
            Unloadable("contract_mismatch", "does not fit the policy contract: "),
        ),
        file(
            "sockets",
            importing("wasi:sockets", "tcp"),
            Unloadable("system_import", "imports wasi:sockets/tcp@1.0.0, and no policy gets anything of the system"),
        ),
        file(
            "an interface that nobody knows",
            importing("evil:things", "anything"),
            Unloadable("unknown_import", "imports evil:things/anything@1.0.0, which this host does not have"),
        ),
        file(
            "an interface whose name moves the cursor",
            renamed(
                &importing("evil:things", "anything"),
                "evil:things/anything@1.0.0",
                "url=<\u{1b}[2J---------------->",
            ),
            Unloadable("unknown_import", r"imports url=<\u{1b}[2J---------------->, which"),
        ),
        attack(
            "facts about callers that it is not granted",
            &cloud::asking(),
            Unloadable("ungranted_import", "imports herald:policy/cloud@0.1.0, which it is not granted"),
        ),
        file(
            "a core module",
            wat::parse_str(Guest::allowing().text()).unwrap(),
            Unloadable("core_module", "a core WebAssembly module, not a component"),
        ),
        file(
            "no policy",
            wat::parse_str("(component)").unwrap(),
            Unloadable("not_a_policy", "exports no herald:policy/mapper"),
        ),
        file(
            "a truncated file",
            good[..good.len() / 2].to_vec(),
            Unloadable("truncated_component", "the file is cut short"),
        ),
        file("a file with a flipped bit", flipped(&good), Unloadable("invalid_component", "not a valid component: ")),
        file(
            "machine code",
            ENGINE.wasmtime().precompile_component(&good).unwrap(),
            Unloadable("not_wasm", "not a WebAssembly file"),
        ),
    ]
}

/// `tests/tables.rs` flips bits everywhere; this one leaves nothing that could still load.
fn flipped(good: &[u8]) -> Vec<u8> {
    let mut bytes = good.to_vec();
    // The version of the format, behind the magic number.
    bytes[4] ^= 1;
    bytes
}

impl Attack {
    fn fixture(&self) -> Fixture {
        let (timeout, fuel) = self.limits;
        let mut fixture = Fixture::new(&self.component).limited(timeout, SMALL, fuel);
        let table = fixture.folder.path().join("rota.json");
        fs::write(&table, r#"{"k": "v"}"#).unwrap();
        fixture.config.tables = [("rota".parse().unwrap(), table.into())].into();
        fixture
    }
}

#[test]
fn each_attack_ends_within_its_budget_with_a_reason_of_its_own() {
    let good = Fixture::new(&Guest::echoing().component()).load().unwrap();
    for attack in attacks() {
        let fixture = attack.fixture();
        let in_time = |started: Instant, limits: &Limits| {
            let (took, most) = (started.elapsed(), limits.longest() + NOTICED);
            assert!(took < most, "{}: {took:?}, at most {most:?}", attack.what);
        };
        let started = Instant::now();
        let loaded = fixture.load();
        in_time(started, &fixture.config.limits.of_configure());
        let found = match loaded {
            Err(error) => Err((error.reason(), error.to_string())),
            Ok(policy) => {
                let started = Instant::now();
                let said = run(policy.decide(&request(&caller("a")))).verdict;
                in_time(started, &policy.limits);
                Ok(said.map_err(|fault| fault.reason()))
            }
        };
        match (attack.end, &found) {
            (Unloadable(expected, words), Err((reason, message))) => {
                assert_eq!(*reason, expected, "{}: {message}", attack.what);
                assert!(message.contains(words), "{}: {message}", attack.what);
            }
            (End::Fault(expected), Ok(Err(reason))) => assert_eq!(*reason, expected, "{}", attack.what),
            (Harmless, Ok(Ok(Verdict::Abstain))) => {}
            (expected, found) => panic!("{}: {found:?}, expected {expected:?}", attack.what),
        }
        let bob = Mapping { username: "bob".into(), ..Mapping::default() };
        assert_eq!(
            run(good.decide(&request(&caller("bob")))).verdict,
            Ok(Verdict::Allow(bob)),
            "after {}",
            attack.what
        );
    }
}

/// Most decisions under way at once: more than there are instances, so that some wait in the queue.
const AT_ONCE: usize = 64;

#[test]
fn ten_thousand_callers_beside_attackers_are_told_apart() {
    let config = EngineConfig { queue: AT_ONCE, queue_timeout: PATIENT * 10, ..EngineConfig::default() };
    let engine = Engine::new(&config).unwrap();
    let load = |fixture: &Fixture| Arc::new(Policy::load(&engine, &fixture.config, None).unwrap());
    // Short ones that pass each other, and long ones in the middle of which others get their turn.
    let (short, long) = (Guest::echoing_after(2_000), Guest::echoing());
    let [short, long] = [short, long].map(|guest| load(&Fixture::new(&guest.component())));
    let hostile: Vec<_> = attacks()
        .into_iter()
        .filter_map(|attack| match attack.end {
            // Ended by fuel and not by time, so that ten thousand callers do not take minutes.
            End::Fault(reason) => {
                let limits = (PATIENT, attack.limits.1.min(5_000_000));
                let reason = if reason == "policy_timeout" { "policy_fuel" } else { reason };
                Some((load(&Attack { limits, ..attack }.fixture()), reason))
            }
            _ => None,
        })
        .collect();
    assert!(hostile.len() > 8);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    runtime.block_on(async {
        let mut under_way = JoinSet::new();
        for number in 0..10_000_usize {
            if under_way.len() == AT_ONCE {
                under_way.join_next().await.unwrap().unwrap();
            }
            let name = format!("role-{number}");
            let (policy, expected) = match number % 20 {
                7 => {
                    let (policy, reason) = &hostile[number / 20 % hostile.len()];
                    (policy, Err(*reason))
                }
                13 if number % 200 == 13 => (&long, Ok(name.clone())),
                _ => (&short, Ok(name.clone())),
            };
            let policy = Arc::clone(policy);
            under_way.spawn(async move {
                let found = policy.decide(&request(&caller(&name))).await.verdict;
                let found = match found {
                    Ok(Verdict::Allow(mapping)) => Ok(mapping.username),
                    other => other.map(|verdict| panic!("{verdict:?}")).map_err(|fault| fault.reason()),
                };
                assert_eq!(found, expected);
            });
        }
        while let Some(ended) = under_way.join_next().await {
            ended.unwrap();
        }
    });
}
