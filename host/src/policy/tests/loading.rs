//! What becomes a policy and what does not: files, contracts, pins, and code that was compiled before.

use std::sync::Mutex;

use super::{guest::module_section, *};

#[track_caller]
fn check_load(component: &[u8], reason: &str, words: &str) {
    let fixture = Fixture::new(component);
    let error = fixture.load().unwrap_err();
    assert_eq!(error.reason(), reason, "{error}");
    let message = error.to_string();
    assert!(message.contains(words) && message.contains("policy.wasm"), "{message}");
}

#[test]
fn files_that_are_no_policies() {
    let good = Guest::default().component();
    check_load(b"", "not_wasm", "not a WebAssembly file");
    check_load(b"#!/bin/sh", "not_wasm", "not a WebAssembly file");
    check_load(b"\0as", "not_wasm", "not a WebAssembly file");
    check_load(b"\0asm", "truncated_component", "cut short");
    check_load(&wat::parse_str("(module)").unwrap(), "core_module", "herald policy build");
    check_load(&good[..good.len() / 2], "truncated_component", "cut short");
    check_load(&good[..good.len() - 1], "truncated_component", "cut short");
    check_load(&wat::parse_str("(component)").unwrap(), "not_a_policy", "herald:policy/mapper");
    check_load(&ENGINE.wasmtime().precompile_component(&good).unwrap(), "not_wasm", "not a WebAssembly file");
    check_load(&vec![0; (32 << 20) + 1], "component_too_large", "32 MiB");
    let mut padded = good.clone();
    padded.resize(256 << 10, 0);
    check_load(&padded, "invalid_component", "not a valid component");
    let with_exceptions = [&good[..], &module_section(r#"(module (import "a" "b" (tag)))"#)].concat();
    check_load(&with_exceptions, "invalid_component", "not a valid component");
    let large = [good, sections::tests::section("padding", &vec![0; 256 << 10])].concat();
    check_load(&large, "not_compiled", "herald policy compile");
}

/// Of a system that looks at pages just written, which lasts a moment.
#[test]
fn what_the_system_refuses_is_asked_again() {
    #[track_caller]
    fn check(refusals: usize, expected: Result<usize, usize>) {
        let mut asked = 0;
        let found = loader::tries(3, Duration::ZERO, || {
            asked += 1;
            if asked > refusals { Ok(asked) } else { Err(asked) }
        });
        assert_eq!(found, expected, "{refusals} refusals");
    }
    check(0, Ok(1));
    check(1, Ok(2));
    check(2, Ok(3));
    check(3, Err(3));
}

#[test]
fn a_missing_file_is_named() {
    let mut fixture = Fixture::new(b"");
    fixture.config.component = fixture.folder.path().to_owned();
    assert_eq!(fixture.load().unwrap_err().reason(), "unreadable");
    fixture.config.component = PathBuf::from("/nonexistent/a.wasm");
    let error = fixture.load().unwrap_err();
    assert_eq!(error.to_string(), "/nonexistent/a.wasm: cannot be read");
    assert!(std::error::Error::source(&error).is_some(), "the system's own words");
}

#[test]
fn contracts_that_are_not_ours() {
    let exports = r#"(module (memory (export "memory") 1)
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) i32.const 0)"#;
    let mapper = |version: &str, types: &str| {
        format!(
            r#"{exports} (func (export "herald:policy/mapper@{version}#configure") (param i32 i32) (result i32) i32.const 0)
               (func (export "herald:policy/mapper@{version}#decide") (param {types}) (result i32) i32.const 0)"#
        )
    };
    let newer = componentise(&format!("{})", mapper("0.2.0", "i32")), &WIT.replace("0.1.0", "0.2.0"), "policy");
    check_load(&newer, "unknown_version", "made for version 0.2.0 of the policy contract; this host speaks 0.1");

    let cloud = r#"(import "herald:policy/cloud@0.1.0" "caller-tags" (func (param i32)))"#;
    let greedy = mapper("0.1.0", "i32").replacen("(module", &format!("(module {cloud}"), 1);
    let greedy = componentise(&format!("{greedy})"), WIT, "policy-with-capabilities");
    check_load(&greedy, "ungranted_import", "imports herald:policy/cloud@0.1.0, which it is not granted");

    let wit = "package herald:policy@0.1.0; interface mapper { configure: func(settings: string) -> result<_, string>;
        decide: func(request: string) -> string; } world policy { export mapper; }";
    let other = componentise(&format!("{})", mapper("0.1.0", "i32 i32")), wit, "policy");
    check_load(&other, "contract_mismatch", "does not fit the policy contract");
}

#[test]
fn a_later_patch_version_of_the_contract_is_spoken() {
    let text = Guest::allowing().text().replace("0.1.0", "0.1.7");
    let component = componentise(&text, &WIT.replace("0.1.0", "0.1.7"), "policy");
    let evaluation = run(evaluate(&Fixture::new(&component)));
    assert!(matches!(evaluation.verdict, Ok(Verdict::Allow(_))), "{evaluation:?}");
}

#[test]
fn settings_are_checked_when_it_loads() {
    let refuse = "(i32.store (i32.const 16) (i32.const 1)) (i32.store (i32.const 20) (local.get $settings))
        (i32.store (i32.const 24) (local.get $length)) i32.const 16";
    let mut fixture = Fixture::new(&Guest::configuring(refuse).component());
    fixture.config.settings = serde_json::json!({"rota": "payments"});
    let error = fixture.load().unwrap_err();
    assert_eq!(error.reason(), "settings_refused");
    assert!(error.to_string().ends_with(r#"refuses its settings: {"rota":"payments"}"#), "{error}");
    let fixture = Fixture::new(&Guest::configuring("unreachable").component());
    assert_eq!(fixture.load().unwrap_err().reason(), "policy_trap");
}

#[test]
fn a_pin_must_match() {
    let component = Guest::default().component();
    let mut fixture = Fixture::new(&component);
    fixture.config.sha256 = Some(Digest::of(&component));
    assert!(fixture.load().is_ok());
    fixture.config.sha256 = Some(Digest::of(b"another"));
    assert_eq!(fixture.load().unwrap_err().reason(), "pin_mismatch");
}

#[test]
fn only_an_augment_policy_may_be_skipped() {
    let mut fixture = Fixture::new(&Guest::default().component());
    fixture.config.on_fault = OnFault::Skip;
    assert_eq!(fixture.load().unwrap_err().reason(), "skip_not_allowed");
    fixture.config.kind = Kind::Augment;
    assert!(fixture.load().is_ok());
}

// === compiled code ===

/// The compiled file that decisions of `fixture` start from.
fn artifact_of(folder: &Path, fixture: &Fixture) -> PathBuf {
    let compiled = compile_configured(&ENGINE, &fixture.config, &CompiledFolder::open(folder).unwrap());
    compiled.unwrap().path
}

#[test]
fn compiled_code_is_kept_and_used() {
    let mut large = Guest::allowing();
    large.more.push_str(&format!("(data (i32.const 16384) {:?})", "x".repeat(300_000)));
    large.pages = 8;
    let fixture = Fixture::new(&large.component());
    let (_, folder) = fixture.compiled();
    let load = || Policy::load(&ENGINE, &fixture.config, Some(&folder));
    assert_eq!(load().unwrap_err().reason(), "not_compiled");
    let compiled = compile(&Engine::for_compiling().unwrap(), &fixture.config.component, &folder).unwrap();
    assert!(compiled.path.exists() && compiled.code_bytes > 300_000, "{compiled:?}");
    let policy = load().unwrap();
    assert_eq!(policy.digest(), compiled.digest);
    if cfg!(target_os = "linux") {
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        assert!(maps.contains(compiled.path.to_str().unwrap()), "the code is mapped, not copied");
    }
    assert!(matches!(run(policy.decide(&request(&caller("a")))).verdict, Ok(Verdict::Allow(_))));
}

#[test]
fn code_that_is_not_ours_is_ignored() {
    #[track_caller]
    fn check(what: &str, why: Ignored, forge: impl FnOnce(&Path, Vec<u8>)) {
        let fixture = Fixture::new(&Guest::allowing().component());
        let (path, folder) = fixture.compiled();
        let told = Arc::new(Mutex::new(Vec::new()));
        let tell = Arc::clone(&told);
        let folder = folder.telling(Arc::new(move |why| tell.lock().unwrap().push(why)));
        Policy::load(&ENGINE, &fixture.config, Some(&folder)).unwrap();
        let artifact = artifact_of(&path, &fixture);
        let written = fs::read(&artifact).unwrap();
        let component = Digest::of(&fs::read(&fixture.config.component).unwrap());
        let origin = Origin { component, form: Form::Configured("{}") };
        assert!(folder.fetch(&ENGINE, origin).is_some(), "{what}: kept");
        assert_eq!(*told.lock().unwrap(), [], "{what}: what is not there is not ignored");
        forge(&artifact, written.clone());
        assert!(folder.fetch(&ENGINE, origin).is_none(), "{what}: ignored");
        assert_eq!(*told.lock().unwrap(), [why], "{what}");
        let policy = Policy::load(&ENGINE, &fixture.config, Some(&folder)).unwrap();
        assert!(matches!(run(policy.decide(&request(&caller("a")))).verdict, Ok(Verdict::Allow(_))), "{what}");
        assert!(folder.fetch(&ENGINE, origin).is_some(), "{what}: written anew");
    }
    check("one bit of the tag", Ignored::Forged, |path, mut bytes| {
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(path, bytes).unwrap();
    });
    check("one bit of the code", Ignored::Forged, |path, mut bytes| {
        bytes[4096] ^= 1;
        fs::write(path, bytes).unwrap();
    });
    check("truncated code", Ignored::Torn, |path, bytes| fs::write(path, &bytes[..bytes.len() / 2]).unwrap());
    check("truncated tag", Ignored::Torn, |path, bytes| fs::write(path, &bytes[..31]).unwrap());
    check("a few bytes", Ignored::Torn, |path, bytes| fs::write(path, &bytes[..40]).unwrap());
    check("nothing", Ignored::Torn, |path, _| fs::write(path, b"").unwrap());
    check("something else", Ignored::Forged, |path, bytes| fs::write(path, vec![1; bytes.len()]).unwrap());
    check("a link to itself", Ignored::Unreadable, |path, _| {
        fs::remove_file(path).unwrap();
        std::os::unix::fs::symlink(path, path).unwrap();
    });
    check("code of another engine", Ignored::Unloadable, |path, _| {
        let folder = CompiledFolder::open(path.parent().unwrap()).unwrap();
        let component = Digest::of(&Guest::allowing().component());
        let other = wasmtime::Engine::default().precompile_component(&Guest::allowing().component()).unwrap();
        folder.store(&ENGINE, Origin { component, form: Form::Configured("{}") }, &other).unwrap();
    });
    check("untagged code", Ignored::Torn, |path, bytes| fs::write(path, &bytes[..bytes.len() - 32]).unwrap());
    check("more code", Ignored::Forged, |path, bytes| fs::write(path, [&bytes[..], &bytes[..]].concat()).unwrap());
    check("another folder's file", Ignored::Forged, |path, _| {
        let other = Fixture::new(&Guest::allowing().component());
        let (elsewhere, folder) = other.compiled();
        Policy::load(&ENGINE, &other.config, Some(&folder)).unwrap();
        fs::copy(artifact_of(&elsewhere, &other), path).unwrap();
    });
    check("another policy's file", Ignored::Forged, |path, _| {
        let other = Fixture::new(&Guest::default().component());
        let folder = CompiledFolder::open(path.parent().unwrap()).unwrap();
        let compiled = compile(&ENGINE, &other.config.component, &folder).unwrap();
        fs::rename(compiled.path, path).unwrap();
    });
}

#[test]
fn a_compiled_folder_is_private() {
    #[track_caller]
    fn check(spoil: impl FnOnce(&Path), expected: Option<&str>) {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("a/compiled");
        CompiledFolder::open(&path).unwrap();
        spoil(&path);
        let found = CompiledFolder::open(&path).map(drop).map_err(|error| error.to_string());
        match expected {
            None => assert_eq!(found, Ok(())),
            Some(words) => assert!(found.as_ref().is_err_and(|error| error.contains(words)), "{found:?}"),
        }
    }
    fn mode(mode: u32) -> fs::Permissions {
        fs::Permissions::from_mode(mode)
    }
    check(|path| fs::set_permissions(path, mode(0o750)).unwrap(), Some("closed to others"));
    check(|path| fs::set_permissions(path, mode(0o702)).unwrap(), Some("closed to others"));
    check(|path| fs::set_permissions(path.join("key"), mode(0o640)).unwrap(), Some("closed to others"));
    check(|path| fs::write(path.join("key"), b"short").unwrap(), Some("not a key"));
    check(
        |path| {
            fs::rename(path, path.with_extension("old")).unwrap();
            std::os::unix::fs::symlink(path.with_extension("old"), path).unwrap();
        },
        Some("closed to others"),
    );
    check(|path| fs::remove_file(path.join("key")).unwrap(), None);
    check(|_| (), None);
}

#[test]
fn every_engine_of_this_build_names_code_alike() {
    let component = Guest::default().component();
    let fixture = Fixture::new(&component);
    let (_, folder) = fixture.compiled();
    let poolless = Engine::for_compiling().unwrap();
    compile_configured(&poolless, &fixture.config, &folder).unwrap();
    let origin = Origin { component: Digest::of(&component), form: Form::Configured("{}") };
    assert!(folder.fetch(&ENGINE, origin).is_some());
    let policy = Policy::load(&poolless, &fixture.config, Some(&folder)).unwrap();
    assert_eq!(run(policy.decide(&request(&caller("a")))).verdict, Ok(Verdict::Abstain), "it runs without a pool too");
}

#[test]
fn the_engines_version_is_the_one_built_in() {
    let lock = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.lock")).unwrap();
    let version = lock.split_once("name = \"wasmtime\"\nversion = \"").unwrap().1.split('"').next().unwrap();
    assert!(engine::VERSION.ends_with(&format!("wasmtime {version}")), "{version}");
}

// === many at once ===

#[test]
fn a_component_that_starts_too_large_does_not_load() {
    let fixture = Fixture::new(&Guest { pages: 33, ..Guest::default() }.component());
    assert_eq!(fixture.load().unwrap_err().reason(), "policy_memory");
    let two_memories = Guest { pages: 17, ..Guest::default() }.with("(memory 16)");
    check_load(&two_memories.component(), "policy_memory", "more memory");
}
