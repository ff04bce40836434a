//! Fuel: the same decision costs the same, in any run, by any engine, on any machine. The numbers are in `fuel.txt`, so
//! that a change of the compiler, of the engine or of what Herald does around a decision is seen.

use std::fmt::Write as _;

use expect_test::expect_file;

use super::{
    super::{loader::MAX_COMPILED_IN_PROCESS, sections::tests::section},
    *,
};

/// Takes time over its settings, which a snapshot has behind it.
pub(super) fn configured() -> Guest {
    let work = "(local $i i32) (loop $l (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1)))
        (i32.const 1000))))";
    Guest { configure: format!("{work} i32.const 0"), ..Guest::allowing() }
}

/// The same with a global that no snapshot can hold.
pub(super) fn never_a_snapshot() -> Guest {
    let guest = configured();
    let more = format!("{} (global $v (mut v128) (v128.const i64x2 0 0))", guest.more);
    guest.with(more)
}

fn rows() -> Vec<(&'static str, Guest)> {
    let log = Guest::deciding(format!("(call $log (i32.const 1) (i32.const 1024) (i32.const 5)) {}", answer(&[])));
    vec![
        ("abstains", Guest::default()),
        ("allows", Guest::allowing()),
        ("allows, settings taken in by a snapshot", configured()),
        ("allows, settings taken in by each instance", never_a_snapshot()),
        ("computes and says who was asked about", Guest::echoing_after(100_000)),
        ("logs a line", log.with(text("hello"))),
        ("traps", Guest::deciding("unreachable")),
        ("never ends", Guest::deciding(LOOP)),
        (
            "takes memory without end",
            Guest::deciding("(loop $l (drop (memory.grow (i32.const 1))) (br $l)) unreachable"),
        ),
    ]
}

#[test]
fn the_same_decision_costs_the_same_fuel_in_any_run_on_any_machine() {
    let poolless = Engine::for_compiling().unwrap();
    let mut table = String::new();
    for (what, guest) in rows() {
        let fixture = Fixture::new(&guest.component()).limited(PATIENT, SMALL, 10_000_000);
        let (_, folder) = fixture.compiled();
        let mut found: Vec<u64> = Vec::new();
        let engines = [(&*ENGINE, None), (ENGINE.draft(), None), (&poolless, Some(&folder)), (&*ENGINE, Some(&folder))];
        for (engine, compiled) in engines {
            let policy = Policy::load(engine, &fixture.config, compiled).unwrap();
            found.extend((0..10).map(|_| run(policy.decide(&request(&caller("Admin")))).fuel));
            // Whoever is asked aside, or beside others, pays no other price.
            found.push(run(policy.decide_aside(&request(&caller("Admin")))).fuel);
            let caller = caller("Admin");
            let ask = || async { policy.decide(&request(&caller)).await.fuel };
            let (one, two) = run(async { tokio::join!(ask(), ask()) });
            found.extend([one, two]);
        }
        assert!(found.iter().all(|fuel| *fuel == found[0]), "{what}: {found:?}");
        writeln!(table, "{:>10}  {what}", found[0]).unwrap();
    }
    expect_file!["fuel.txt"].assert_eq(&table);
}

/// One that is too large for a snapshot to be taken while it loads costs its cases what it costs a server that has one.
#[test]
fn cases_do_not_pay_for_what_a_server_does_once() {
    #[track_caller]
    fn check(guest: &Guest, expected: Result<(), &str>) {
        let mut bytes = guest.component();
        bytes.extend(section("padding", &vec![0; MAX_COMPILED_IN_PROCESS]));
        let fixture = Fixture::new(&bytes).limited(PATIENT, SMALL, 2000);
        let (_, folder) = fixture.compiled();
        compile(&ENGINE, fixture.path(), &folder).unwrap();
        let found = Policy::load_with(&ENGINE, &fixture.config, Some(&folder), &Tables::default());
        let found = found.map(|policy| run(policy.decide(&request(&caller("Admin")))));
        let found = found.map(|evaluation| evaluation.verdict.map(|_| evaluation.fuel).unwrap());
        assert!(found.as_ref().is_ok_and(|fuel| *fuel < 500) || found.is_err(), "{found:?}");
        assert_eq!(found.as_ref().map(|_| ()).map_err(LoadError::reason), expected);
    }
    check(&configured(), Ok(()));
    check(&never_a_snapshot(), Err("policy_fuel"));
}
