//! Sources and policies: which there are, in which order, where they stand, and what goes with what.

use expect_test::{Expect, expect};

use super::*;

#[test]
fn sources_in_order() {
    #[track_caller]
    fn check(mode: &str, expected: &[&str]) {
        let policies = "[{name: a, kind: map, component: a.wasm}]";
        let text = format!("server: {{backendMode: {mode}, policies: {policies}}}");
        let config = parse(&text).expect("it loads").config;
        assert_eq!(config.sources.iter().map(Source::name).collect::<Vec<_>>(), expected, "{mode}");
    }
    check("[MountedFile, Policy/a]", &["MountedFile", "Policy/a"]);
    check("[Policy/a, File]", &["Policy/a", "MountedFile"]);
    check("'Policy/a,MountedFile'", &["Policy/a", "MountedFile"]);
    check("'Policy/a MountedFile'", &["Policy/a", "MountedFile"]);
    check("Policy/a", &["Policy/a"]);
    says("server: {backendMode: []}", &expect!["config.yaml:1:23: names no source (server.backendMode)"]);
    says(
        "server: {backendMode: [MountedFiles]}",
        &expect!["config.yaml:1:24: unknown source `MountedFiles`, did you mean `MountedFile`? (server.backendMode)"],
    );
    says(
        "server: {backendMode: [File, MountedFile]}",
        &expect!["config.yaml:1:30: names MountedFile twice (server.backendMode)"],
    );
    says(
        "server: {backendMode: [ConfigMap, EKSConfigMap]}",
        &expect!["config.yaml:1:35: names EKSConfigMap twice (server.backendMode)"],
    );
    says(
        "server: {backendMode: [DynamicFile]}",
        &expect!["config.yaml:1:24: DynamicFile needs `dynamicFilePath` (server.backendMode)"],
    );
    says(
        "server: {backendMode: [Policy/a]}",
        &expect!["config.yaml:1:24: Policy/a names no policy of `policies` (server.backendMode)"],
    );
    says(
        "server: {backendMode: 5}",
        &expect!["config.yaml:1:23: expected a list of sources, found integer `5` (server.backendMode)"],
    );
}

/// Each of the replaced programs means its own by it.
#[test]
fn a_config_map_without_more_is_that_of_the_only_cloud() {
    fn names(config: &Config) -> Vec<String> {
        config.sources.iter().map(Source::name).collect()
    }
    #[track_caller]
    fn check(usual: Cloud, providers: &str, expected: &str) {
        let reserved = "reservedPrefixConfig: [{backendMode: ConfigMap, usernamePrefixReserveList: [aws]}]";
        let text = format!("server: {{{providers}backendMode: [ConfigMap], {reserved}}}");
        let checked = file::parse_for(usual, Path::new(FILE), &text);
        let Loaded { mut config, warnings } = Loaded::of(Path::new(FILE), checked).expect("it loads");
        assert_eq!(warnings, [], "{text}");
        assert_eq!(names(&config), [expected], "{text}");
        assert_eq!(config.reserved_prefixes.keys().collect::<Vec<_>>(), [expected], "{text}");
        config.set_backend_mode(&["File".to_owned(), "ConfigMap".to_owned()]).expect("good");
        assert_eq!(names(&config), ["MountedFile", expected], "{text}");
    }
    check(Cloud::Aws, "", "EKSConfigMap");
    check(Cloud::Aws, "providers: [aws], ", "EKSConfigMap");
    check(Cloud::Aws, "providers: [alibaba], ", "ACKConfigMap");
    check(Cloud::Aws, "providers: [alibaba, aws], ", "EKSConfigMap");
    check(Cloud::Alibaba, "", "ACKConfigMap");
    check(Cloud::Alibaba, "providers: [aws], ", "EKSConfigMap");
    check(Cloud::Alibaba, "providers: [aws, alibaba], ", "EKSConfigMap");

    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("written");
    write("config.yaml", "server: {dynamicBackendModePath: mode.json}");
    write("mode.json", r#"{"backendMode": "ConfigMap"}"#);
    for (usual, expected) in [(Cloud::Aws, "EKSConfigMap"), (Cloud::Alibaba, "ACKConfigMap")] {
        let config = Config::load_for(usual, &folder.path().join("config.yaml")).expect("it loads").config;
        assert_eq!(names(&config), [expected]);
    }
}

#[test]
fn the_command_line_may_name_other_sources() {
    let text = "server: {policies: [{name: a, kind: map, component: a}], backendMode: [Policy/a]}";
    let mut config = parse(text).expect("it loads").config;
    config.set_backend_mode(&["MountedFile".to_owned(), "Policy/a".to_owned()]).expect("good");
    assert_eq!(config.sources, [Source::MountedFile, Source::Policy("a".to_owned())]);
    let error = config.set_backend_mode(&["CRDs".to_owned()]).expect_err("no source").to_string();
    expect!["config.yaml: --backend-mode: unknown source `CRDs`, did you mean `CRD`?"].assert_eq(&error);
    let error = Config::default().set_backend_mode(&["CRDs".to_owned()]).expect_err("no source").to_string();
    expect!["--backend-mode: unknown source `CRDs`, did you mean `CRD`?"].assert_eq(&error);
    assert_eq!(config.sources.len(), 2, "what was there stays");
}

#[test]
fn policies_and_sources_agree() {
    #[track_caller]
    fn check(mode: &str, policies: &[&str], expected: &Expect) {
        let entry = |text: &&str| format!("    - {{component: x.wasm, {text}}}\n");
        let policies: String = policies.iter().map(entry).collect();
        says(&format!("server:\n    backendMode: [{mode}]\n    policies:\n{policies}"), expected);
    }
    check("Policy/a", &["name: a, kind: map"], &expect![""]);
    check("MountedFile", &["name: a, kind: augment, onFault: skip", "name: b, kind: augment"], &expect![""]);
    check("MountedFile", &["name: a, kind: guard"], &expect![""]);
    check(
        "MountedFile",
        &["name: a, kind: map"],
        &expect![
            "config.yaml:4:7: `a` is of kind map and never asked: put `Policy/a` into backendMode (server.policies[0])"
        ],
    );
    check(
        "Policy/oncal",
        &["name: oncall, kind: map"],
        &expect![
            "config.yaml:2:19: Policy/oncal names no policy of `policies`, did you mean `oncall`? (server.backendMode)"
        ],
    );
    check(
        "Policy/a",
        &["name: a, kind: guard"],
        &expect![
            "config.yaml:2:19: Policy/a is not of kind map: policies of other kinds follow the list by themselves (server.backendMode)"
        ],
    );
    check(
        "Policy/a",
        &["name: a, kind: map", "name: a, kind: guard"],
        &expect!["config.yaml:5:7: another policy is called `a` already (server.policies[1])"],
    );
    check(
        "Policy/a",
        &["name: a, kind: map, onFault: skip"],
        &expect![
            "config.yaml:4:7: onFault: skip is for policies of kind augment: skipping any other could let somebody in (server.policies[0])"
        ],
    );
    check(
        "MountedFile",
        &["name: a, kind: augment, onFault: skip", "name: b, kind: guard"],
        &expect![
            "config.yaml:4:7: onFault: skip does not go with a policy of kind guard: the guard would judge less than there is (server.policies[0])"
        ],
    );
    check(
        "MountedFile",
        &["name: a, kind: mapp"],
        &expect!["config.yaml:4:42: expected one of `map`, `augment`, `guard`, found `mapp` (server.policies[0].kind)"],
    );
    check("MountedFile", &["kind: map"], &expect!["config.yaml:4:7: the key `name` is missing (server.policies[0])"]);
}

#[test]
fn policy_files_are_named_relative_to_the_configuration() {
    let text = "server: {backendMode: [Policy/a, Policy/b], policies: [{name: a, kind: map, component: a.wasm}, {name: b, kind: map, component: /b.wasm}]}";
    let config = Config::parse(Path::new("/etc/herald/config.yaml"), text).expect("it loads").config;
    let files: Vec<_> = config.files().collect();
    assert_eq!(files, ["/etc/herald/config.yaml", "/etc/herald/a.wasm", "/b.wasm"].map(Path::new));
}

#[test]
fn settings_of_a_policy_are_any_yaml() {
    let text = "server: {backendMode: [Policy/a], policies: [{name: a, kind: map, component: a, settings: {Team: [x, 1, -2, 1.5, true, no, ~, {a: b}]}}]}";
    let settings = parse(text).expect("it loads").config.policies[0].settings.clone();
    assert_eq!(settings, serde_json::json!({"Team": ["x", 1, -2, 1.5, true, "no", null, {"a": "b"}]}));
    says(
        "server:\n  policies:\n  - name: a\n    settings: {a: 1, A: 2, a: 3}\n",
        &expect!["config.yaml:4:28: `a` is given already, as `a` on line 4 (server.policies[0].settings.a)"],
    );
}

#[test]
fn reserved_prefixes_name_sources_that_are_asked() {
    let reserve = |name: &str| {
        format!("server:\n  reservedPrefixConfig:\n  - {{backendMode: {name}, usernamePrefixReserveList: [aws, '']}}\n")
    };
    says(&reserve("MountedFile"), &expect![""]);
    let reserved = parse(&reserve("File")).expect("it loads").config.reserved_prefixes;
    assert_eq!(reserved, BTreeMap::from([("MountedFile".to_owned(), vec!["aws".to_owned()])]));
    says(&reserve("mapAccounts"), &expect![""]);
    says(
        &reserve("CRD"),
        &expect![[r#"
        line 3: has no effect: CRD is not in backendMode (server.reservedPrefixConfig[0])
    "#]],
    );
    says(
        &reserve("MountedFil"),
        &expect![
            "config.yaml:3:5: `MountedFil` is not in backendMode, did you mean `MountedFile`? (server.reservedPrefixConfig[0])"
        ],
    );
}

#[test]
fn sources_outside_the_file_and_where_they_are() {
    let text = "server: {backendMode: 'File ConfigMap,ACKConfigMap CRD DynamicFile', kubeconfig: kube, \
                master: https://10.0.0.1, dynamicfilepath: /run/map.json, dynamicfileUserIDStrict: true, \
                dynamicBackendModePath: mode.json}";
    let loaded = Config::parse(Path::new("/etc/herald/config.yaml"), text).expect("it loads");
    assert_eq!(loaded.warnings, []);
    let config = loaded.config;
    let names: Vec<String> = config.sources.iter().map(Source::name).collect();
    assert_eq!(names, ["MountedFile", "EKSConfigMap", "ACKConfigMap", "CRD", "DynamicFile"]);
    assert_eq!(config.kubernetes.kubeconfig.as_deref(), Some(Path::new("/etc/herald/kube")));
    assert_eq!(config.kubernetes.master.as_deref(), Some("https://10.0.0.1"));
    assert_eq!(config.dynamic_file.as_deref(), Some(Path::new("/run/map.json")));
    assert!(config.dynamic_file_strict);
    assert_eq!(config.backend_mode_file.as_deref(), Some(Path::new("/etc/herald/mode.json")));
    let nothing = "server: {kubeconfig: '', master: '', dynamicFilePath: '', dynamicBackendModePath: ''}";
    let config = parse(nothing).expect("it loads").config;
    assert_eq!((config.kubernetes, config.dynamic_file), (watch::Access::default(), None));
    assert_eq!(config.backend_mode_file, None);
    let idle = parse("server:\n  dynamicfilepath: map.json\n  dynamicfileUserIDStrict: true\n").expect("it loads");
    let told: Vec<String> = idle.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "line 2: has no effect: DynamicFile is not in `backendMode` (server.dynamicFilePath)",
            "line 3: has no effect: DynamicFile is not in `backendMode` (server.dynamicFileUserIDStrict)",
        ]
    );
    let idle = parse("server: {dynamicfilepath: '', dynamicfileUserIDStrict: false}").expect("it loads");
    assert_eq!(idle.warnings, []);
}

#[test]
fn a_file_of_its_own_goes_over_the_sources_while_it_is_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("written");
    let load = || Config::load(&folder.path().join("config.yaml")).map(|loaded| loaded.config);
    let names = |config: &Config| config.sources.iter().map(Source::name).collect::<Vec<_>>();
    write("config.yaml", "server: {dynamicBackendModePath: mode.json, dynamicFilePath: map.json}");
    let first = load().expect("it loads");
    assert_eq!(names(&first), ["MountedFile"]);
    write("mode.json", r#"{"LastUpdatedDateTime": "1", "Version": "1", "backendMode": "MountedFile DynamicFile"}"#);
    let mut second = load().expect("it loads");
    assert_eq!(names(&second), ["MountedFile", "DynamicFile"]);
    assert_ne!(first.generation, second.generation);
    second.set_backend_mode(&["MountedFile".to_owned()]).expect("good");
    assert_eq!(names(&second), ["MountedFile", "DynamicFile"], "it goes over the command line too");
    for bad in ["", "{}", r#"{"backendMode": "Nobody"}"#, r#"{"backendMode": ""}"#] {
        write("mode.json", bad);
        let error = load().expect_err(bad).to_string();
        assert!(error.contains("mode.json: "), "{error}");
    }
    let policy = "policies: [{name: a, kind: map, component: /dev/null}], dynamicBackendModePath: mode.json";
    write("mode.json", r#"{"backendMode": "Policy/a"}"#);
    write("other.yaml", &format!("server: {{{policy}}}"));
    let other = Config::load(&folder.path().join("other.yaml")).expect("a list may name it later").config;
    assert_eq!(names(&other), ["Policy/a"]);
    std::fs::remove_file(folder.path().join("mode.json")).expect("it was there");
    assert_eq!(load().expect("it loads").generation, first.generation);
}
