//! Settings are taken in once, and everything else is as if each instance had taken them.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use crate::policy::{
    CompiledFolder, Digest, Elsewhere, Engine, Evaluation, Policy, Verdict, compile, compile_configured,
    compiled::{Form, Origin},
    sections::{EXAMPLES, tests::section},
    tests::{
        ENGINE, Fixture, PATIENT, SMALL, WIT, caller,
        guest::{Guest, answer, componentise, module_section},
        request, run,
    },
};

/// Computes for a long time in `configure` and keeps the settings' text, which `decide` gives as the username.
fn keeper() -> Guest {
    let configure = "(local $i i32)
        (loop $l (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 100000))))
        (global.set $kept (local.get $settings)) (i32.store (i32.const 512) (local.get $length)) i32.const 0";
    let decide = format!(
        "(i32.store (i32.const 24) (global.get $kept)) (i32.store (i32.const 28) (i32.load (i32.const 512))) {}",
        answer(&[(0, 0), (4, 1), (16, 0), (28, 0), (32, 0)])
    );
    Guest { decide, ..Guest::configuring(configure) }.with("(global $kept (mut i32) (i32.const 0))")
}

/// The same with a global that no snapshot can hold.
fn unfit() -> Guest {
    let guest = keeper();
    let more = format!("{} (global $v (mut v128) (v128.const i64x2 0 0))", guest.more);
    guest.with(more)
}

fn fixture(guest: &Guest, settings: &str) -> Fixture {
    let mut fixture = Fixture::new(&guest.component());
    fixture.config.settings = settings.into();
    fixture
}

fn decide(policy: &Policy) -> Evaluation {
    run(policy.decide(&request(&caller("Admin"))))
}

#[track_caller]
fn check(policy: &Policy, username: &str, takes_settings_each_time: bool) {
    let Evaluation { verdict, fuel, .. } = decide(policy);
    let Ok(Verdict::Allow(mapping)) = verdict else { panic!("{verdict:?}") };
    assert_eq!(mapping.username, format!("{username:?}"), "the settings' JSON");
    assert_eq!(fuel > 100_000, takes_settings_each_time, "{fuel} of fuel");
    assert_eq!(decide(policy).fuel, fuel, "the same every time");
}

#[test]
fn settings_are_taken_in_once() {
    check(&fixture(&keeper(), "first").load().unwrap(), "first", false);
    check(&fixture(&unfit(), "first").load().unwrap(), "first", true);
}

/// Reading its state takes a little more than it has.
#[test]
fn a_policy_that_needs_all_of_its_memory_takes_its_settings_in_once() {
    let pages = u32::try_from(SMALL.bytes() >> 16).unwrap();
    check(&fixture(&Guest { pages, ..keeper() }, "first").load().unwrap(), "first", false);
}

/// What the instrumentation cannot read, or takes for granted that there is not.
#[test]
fn a_policy_of_another_shape_takes_its_settings_each_time() {
    #[track_caller]
    fn check_shape(component: &[u8]) {
        let mut fixture = Fixture::new(component);
        fixture.config.settings = "first".into();
        check(&fixture.load().unwrap(), "first", true);
    }
    let fixed = keeper().text().replacen(r#"(memory (export "memory") 1)"#, r#"(memory (export "memory") 1 1)"#, 1);
    check_shape(&componentise(&fixed, WIT, "policy"));
    let good = keeper().component();
    let is_module = |payload: &wasmparser::Payload<'_>| matches!(payload, wasmparser::Payload::ModuleSection { .. });
    let modules = wasmparser::Parser::new(0).parse_all(&good).map(Result::unwrap).filter(is_module).count();
    let instance = [2, 4, 1, 0, u8::try_from(modules).unwrap(), 0];
    let mute = |module: &str| [&good[..], &module_section(module), &instance].concat();
    check_shape(&mute("(module (memory 1))"));
    check_shape(&mute("(module (global (mut i32) (i32.const 0)))"));
}

#[test]
fn code_is_kept_for_its_settings_alone() {
    let mut fixture = fixture(&keeper(), "first");
    let (path, folder) = fixture.compiled();
    let component = Digest::of(&fs::read(&fixture.config.component).unwrap());
    let files = || fs::read_dir(&path).unwrap().count();
    for (settings, expected) in [("first", 3), ("second", 4), ("first", 4)] {
        fixture.config.settings = settings.into();
        let policy = Policy::load(&ENGINE, &fixture.config, Some(&folder)).unwrap();
        check(&policy, settings, false);
        assert_eq!(files(), expected, "the key, the readable form, and one file for each settings");
    }
    let as_built = Origin { component, form: Form::AsBuilt };
    assert!(folder.fetch(&ENGINE, as_built).is_none(), "nobody asked for it without settings");
}

/// Too large to be compiled beside logins.
fn large(guest: Guest) -> Fixture {
    let more = format!("{} (data (i32.const 65536) {:?})", guest.more, "x".repeat(300_000));
    fixture(&Guest { pages: 8, ..guest }.with(more), "first")
}

#[test]
fn a_large_policy_takes_its_settings_where_it_is_compiled() {
    #[track_caller]
    fn check_large(guest: Guest, has_settings: bool) {
        let fixture = large(guest);
        let (_, folder) = fixture.compiled();
        let load = || Policy::load(&ENGINE, &fixture.config, Some(&folder));
        assert_eq!(load().unwrap_err().reason(), "not_compiled");
        let compiling = Engine::for_compiling().unwrap();
        compile(&compiling, &fixture.config.component, &folder).unwrap();
        check(&load().unwrap(), "first", true);
        let compiled = compile_configured(&compiling, &fixture.config, &folder).unwrap();
        assert_eq!(compiled.has_settings, has_settings);
        check(&load().unwrap(), "first", !has_settings);
    }
    check_large(keeper(), true);
    check_large(unfit(), false);
}

#[test]
fn a_large_policy_is_compiled_elsewhere_with_its_settings() {
    #[track_caller]
    fn check_large(guest: Guest, takes_settings_each_time: bool) {
        let mut fixture = large(guest);
        for settings in ["first", "second", "first"] {
            fixture.config.settings = settings.into();
            let (path, folder) = fixture.compiled();
            let folder = folder.compiling(Arc::new(move |config, _| {
                let (engine, folder) = (Engine::for_compiling_aside().unwrap(), CompiledFolder::open(&path).unwrap());
                compile_configured(&engine, config, &folder).map(|_| Elsewhere::Done).map_err(|error| error.to_string())
            }));
            let policy = Policy::load(&ENGINE, &fixture.config, Some(&folder)).unwrap();
            check(&policy, settings, takes_settings_each_time);
        }
    }
    check_large(keeper(), false);
    check_large(unfit(), true);
}

/// Its own examples need code that takes any settings, which may have been removed while that with its settings was not.
#[test]
fn a_large_policy_that_is_there_in_part_is_compiled_again() {
    let examples = r#"{"settings": "eg", "cases": [{"name": "one", "caller": {"arn": "arn:aws:iam::111122223333:user/bob"},
        "expect": {"allow": {"username": "\"eg\""}}}]}"#;
    let mut fixture = large(keeper());
    let mut bytes = fs::read(&fixture.config.component).unwrap();
    bytes.extend(section(EXAMPLES, examples.as_bytes()));
    fs::write(&fixture.config.component, &bytes).unwrap();
    fixture.config.settings = "first".into();
    let (path, folder) = fixture.compiled();
    let calls = Arc::new(AtomicUsize::new(0));
    let (counted, elsewhere) = (Arc::clone(&calls), path.clone());
    let helped = CompiledFolder::open(&path).unwrap().compiling(Arc::new(move |config, _| {
        counted.fetch_add(1, SeqCst);
        let (engine, folder) = (Engine::for_compiling_aside().unwrap(), CompiledFolder::open(&elsewhere).unwrap());
        compile_configured(&engine, config, &folder).map(|_| Elsewhere::Done).map_err(|error| error.to_string())
    }));
    let compiled = compile_configured(&ENGINE, &fixture.config, &folder).unwrap();
    assert!(compiled.has_settings);
    let lose_the_others = || {
        for entry in fs::read_dir(&path).unwrap().map(Result::unwrap) {
            if entry.path() != compiled.path && entry.metadata().unwrap().len() > 100_000 {
                fs::remove_file(entry.path()).unwrap();
            }
        }
    };
    let load = |folder| Policy::load(&ENGINE, &fixture.config, Some(folder));
    check(&load(&folder).unwrap(), "first", false);
    lose_the_others();
    assert_eq!(load(&folder).unwrap_err().reason(), "not_compiled");
    check(&load(&helped).unwrap(), "first", false);
    check(&load(&helped).unwrap(), "first", false);
    assert_eq!(calls.load(SeqCst), 1, "once, and only where something is missing");
    lose_the_others();
    assert!(compile_configured(&ENGINE, &fixture.config, &folder).unwrap().has_settings);
    check(&load(&folder).unwrap(), "first", false);
}

/// As a decision costs what it costs with the snapshot, none fails that would not later.
#[test]
fn until_there_is_code_with_them_settings_are_taken_in_by_code_that_takes_any() {
    let mut fixture = large(keeper());
    let (path, folder) = fixture.compiled();
    let later = CompiledFolder::open(&path).unwrap().compiling(Arc::new(|_, _| Ok(Elsewhere::UnderWay)));
    let load = |fixture: &Fixture| Policy::load(&ENGINE, &fixture.config, Some(&later));
    assert_eq!(load(&fixture).unwrap_err().reason(), "compiling", "there is no code at all");
    compile_configured(&ENGINE, &fixture.config, &folder).unwrap();
    let settled = load(&fixture).unwrap();
    assert!(settled.is_settled_in(&ENGINE) && !settled.is_meanwhile());
    fixture.config.settings = "second".into();
    let meanwhile = load(&fixture).unwrap();
    assert!(meanwhile.is_meanwhile() && !meanwhile.is_settled_in(&ENGINE));
    check(&meanwhile, "second", false);
    assert!(decide(&meanwhile).fuel <= decide(&settled).fuel, "beginning an instance is not the decision's there");
    // A snapshot's bounds are ten times as wide.
    let tight = fixture.limited(PATIENT, SMALL, 100_000);
    assert_eq!(load(&tight).unwrap_err().reason(), "compiling");
    compile_configured(&ENGINE, &tight.config, &folder).unwrap();
    check(&load(&tight).unwrap(), "second", false);
}

#[test]
fn settings_that_are_refused_need_no_code_of_their_own_to_be() {
    let refuse = "(i32.store (i32.const 16) (i32.const 1)) (i32.store (i32.const 20) (local.get $settings))
        (i32.store (i32.const 24) (local.get $length)) i32.const 16";
    let fixture = large(Guest::configuring(refuse));
    let (_, folder) = fixture.compiled();
    compile_configured(&ENGINE, &fixture.config, &folder).unwrap_err();
    let later = folder.compiling(Arc::new(|_, _| Ok(Elsewhere::UnderWay)));
    assert_eq!(Policy::load(&ENGINE, &fixture.config, Some(&later)).unwrap_err().reason(), "settings_refused");
}

/// Whether it goes live then depends on whether there is code that takes any settings.
#[test]
fn what_cannot_be_compiled_elsewhere_either_stays_out_or_takes_its_settings_each_time() {
    let fixture = large(keeper());
    let (_, folder) = fixture.compiled();
    let folder = folder.compiling(Arc::new(|config, _| Err(format!("{} has no luck", config.name.as_str()))));
    let load = || Policy::load(&ENGINE, &fixture.config, Some(&folder));
    let error = load().unwrap_err();
    assert_eq!(error.reason(), "not_compiled");
    assert!(error.to_string().ends_with("a process of its own did not: test has no luck"), "{error}");
    compile(&ENGINE, &fixture.config.component, &folder).unwrap();
    let meanwhile = load().unwrap();
    check(&meanwhile, "first", false);
    assert!(meanwhile.is_meanwhile(), "it is tried again");
}

#[test]
fn what_is_compiled_already_is_left_alone() {
    #[track_caller]
    fn check_twice(guest: Guest, has_settings: bool) {
        let fixture = large(guest);
        let (_, folder) = fixture.compiled();
        let compile = || compile_configured(&ENGINE, &fixture.config, &folder).unwrap();
        let compiled = compile();
        assert_eq!(compiled.has_settings, has_settings);
        let file = || fs::metadata(&compiled.path).map(|about| about.ino()).unwrap();
        let before = file();
        assert_eq!((compile(), file()), (compiled.clone(), before), "it is told, and not written again");
    }
    check_twice(keeper(), true);
    check_twice(unfit(), false);
}

/// Told at once, as compiling may take minutes, and not as if the component could not be read.
#[test]
fn what_cannot_be_kept_is_not_compiled() {
    for guest in [keeper(), unfit()] {
        let fixture = large(guest);
        let (path, folder) = fixture.compiled();
        fs::remove_dir_all(path).unwrap();
        for compiled in [
            compile(&ENGINE, &fixture.config.component, &folder),
            compile_configured(&ENGINE, &fixture.config, &folder),
        ] {
            let error = compiled.unwrap_err();
            assert_eq!(error.reason(), "not_kept");
            assert!(error.to_string().ends_with("its compiled code cannot be kept"), "{error}");
        }
    }
}

#[test]
fn bounds_hold_while_settings_are_taken_in() {
    #[track_caller]
    fn check(guest: &Guest, fuel: u64, expected: &str) {
        let error = Fixture::new(&guest.component()).limited(PATIENT, SMALL, fuel).load().unwrap_err();
        assert_eq!(error.reason(), expected);
    }
    check(&keeper(), 50_000, "policy_fuel");
    check(&Guest::configuring("(drop (memory.grow (i32.const 100))) i32.const 0"), 1_000_000, "policy_memory");
    let grown = Guest::configuring("(drop (table.grow $t (ref.null func) (i32.const 20001))) i32.const 0");
    check(&grown.with("(table $t 1 funcref)"), 1_000_000, "policy_table");
    let deep = Guest::configuring("(drop (call $f (i64.const 1))) i32.const 0");
    let recursion = "(func $f (param i64) (result i32) (i32.add (call $f (local.get 0)) (i32.const 1)))";
    check(&deep.with(recursion), 1_000_000, "policy_stack");
    check(&Guest::configuring("unreachable"), 1_000_000, "policy_trap");
}

#[test]
fn other_settings_are_compiled_with_the_functions_of_the_first() {
    let (engine, mut fixture) = (Engine::for_compiling().unwrap(), fixture(&keeper(), "one"));
    let component = Digest::of(&fs::read(&fixture.config.component).unwrap());
    let (place, folder) = fixture.compiled();
    compile_configured(&engine, &fixture.config, &folder).unwrap();
    let kept = folder.functions(&engine, component).expect("functions");
    assert!(folder.functions(&engine, Digest::of(b"another component")).is_none());

    fixture.config.settings = "another".into();
    let code = |folder: &CompiledFolder| {
        let compiled = compile_configured(&engine, &fixture.config, folder).unwrap();
        let mut bytes = fs::read(compiled.path).unwrap();
        bytes.truncate(compiled.code_bytes);
        bytes
    };
    let (_nothing_in_it, empty) = fixture.compiled();
    assert!(code(&folder) == code(&empty), "byte for byte what is made from nothing");
    assert!(folder.functions(&engine, component) == Some(kept), "none had to be compiled again");
    check(&Policy::load(&ENGINE, &fixture.config, Some(&folder)).unwrap(), "another", false);
    drop(place);
}
