//! What a policy's author does at a terminal: write one, look into it, ask it, attack it.

use std::{path::Path, time::Duration};

use serde_json::json;
use tests::{
    herald::{self, Finished, repository},
    policies, tools,
};

const ARN: &str = "arn:aws:sts::111122223333:assumed-role/Dev-web/alice@example.com";

async fn policy(arguments: &[&str]) -> Finished {
    let path = std::env::var("PATH").unwrap_or_default();
    herald::run(&[&["policy"], arguments].concat(), [("PATH", path)]).await.expect("herald runs")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn settings(folder: &Path, username: &str) -> std::path::PathBuf {
    let path = folder.join("settings.yaml");
    let rule = format!(
        "rules: [{{match: {{accounts: ['111122223333'], role: 'Dev-*'}}, username: '{username}', groups: [dev]}}]\n"
    );
    std::fs::write(&path, rule).expect("a file");
    path
}

/// A section may say that it has four gigabytes; nobody makes room for them.
#[tokio::test]
async fn a_file_that_ends_early_takes_no_memory() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut cut = std::fs::read(policies::build("session-groups").expect("a policy")).expect("a file");
    // A custom section of 0xffff_ffff bytes that ends behind its name (WebAssembly Core Specification, "Binary Format").
    cut.extend(*b"\x00\xff\xff\xff\xff\x0f\x01a");
    let component = folder.path().join("cut.wasm");
    std::fs::write(&component, cut).expect("a file");
    let mut inspect = tokio::process::Command::new("prlimit");
    inspect.arg("--data=1073741824").arg(herald::binary().expect("herald"));
    inspect.args(["policy", "inspect", text(&component)]);
    let refused = herald::finish(inspect).await.expect("it ends");
    assert_eq!(refused.code, Some(1), "{}", refused.stderr);
    assert!(refused.stderr.contains("the file is cut short"), "{}", refused.stderr);
}

/// A custom section, and one with the vectors of a component's, each short enough for two bytes of length (WebAssembly Core
/// Specification, "Binary Format").
fn section(id: u8, body: &[u8]) -> Vec<u8> {
    let length = [body.len() & 0x7f | 0x80, body.len() >> 7].map(|part| u8::try_from(part).expect("seven bits"));
    [&[id][..], &length, body].concat()
}

/// Lists of lists in an instance, which is all that the next one exports, and so on: the library that reads it panics.
fn nested() -> Vec<u8> {
    let lists: Vec<u8> = (0..40).flat_map(|inner| [0x70, inner]).collect();
    let more: Vec<u8> = (0..95).flat_map(|before| [1, 1, 0, 1, b'a', 5, before]).collect();
    let types = section(7, &[&[41, 0x70, 0x7d][..], &lists].concat());
    let instances = section(5, &[&[96, 1, 1, 0, 1, b'a', 3, 40][..], &more].concat());
    [&b"\0asm\x0d\0\x01\0"[..], &types, &instances].concat()
}

/// Whoever looks into somebody's file has a terminal, and reads what is wrong in Herald's words.
#[tokio::test]
async fn what_is_wrong_with_a_file_is_told_in_one_line_that_steers_no_terminal() {
    let folder = tempfile::tempdir().expect("a folder");
    let good = std::fs::read(policies::build("session-groups").expect("a policy")).expect("a file");
    let license = section(0, b"\x08licenses\x1b[2JNONE");
    let rows: [(&str, Vec<u8>, &str); 2] = [
        ("license", [good, license].concat(), r"its name, version and license cannot be read: \u{1b}[2JNONE"),
        ("nested", nested(), "not a valid component: the library that reads it panics over it: assertion failed"),
    ];
    for (name, component, expected) in rows {
        let path = folder.path().join(name);
        std::fs::write(&path, component).expect("a file");
        for command in ["inspect", "check"] {
            let refused = policy(&[command, text(&path)]).await;
            let told = refused.stderr;
            assert!(refused.code == Some(1) && told.contains(expected), "{command} {name}: {told}");
            assert!(told.lines().count() == 1 && !told.contains('\u{1b}'), "{command} {name}: {told:?}");
        }
    }
}

/// It tells how long something takes, which nobody has to know. With stacks of that size the system has none.
#[tokio::test]
async fn a_thread_that_cannot_be_had_keeps_nobody_from_working() {
    let component = policies::build("session-groups").expect("a policy");
    let folder = tempfile::tempdir().expect("a folder");
    let cache = ("XDG_CACHE_HOME", text(folder.path()));
    // The first one compiles.
    for _ in 0..2 {
        let environment = [cache, ("RUST_MIN_STACK", "1152921504606846976")];
        let ran = herald::run(&["policy", "check", text(&component)], environment).await.expect("herald runs");
        assert!(ran.success().expect("it would load").stdout.contains("examples  3 passed"));
    }
}

/// As after `sudo herald policy test`: each command compiles anew, and says why.
#[tokio::test]
async fn a_cache_that_others_can_reach_into_is_passed_over_and_told() {
    let component = policies::build("session-groups").expect("a policy");
    let folder = tempfile::tempdir().expect("a folder");
    let cache = folder.path().join("herald/policies");
    std::fs::create_dir_all(&cache).expect("a folder");
    std::fs::set_permissions(&cache, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("a mode");
    let environment = [("XDG_CACHE_HOME", text(folder.path()))];
    let ran = herald::run(&["policy", "check", text(&component)], environment).await.expect("herald runs");
    let told = ran.success().expect("it would load").stderr;
    assert!(told.contains("compiled code cannot be kept, so that the next command compiles again: "), "{told}");
    assert!(told.contains("must belong to this user and be closed to others"), "{told}");
    assert_eq!(std::fs::read_dir(&cache).expect("a folder").count(), 0);
}

#[tokio::test]
async fn a_policy_is_looked_into_asked_and_measured() {
    let component = policies::build("session-groups").expect("a policy");
    let folder = tempfile::tempdir().expect("a folder");
    let settings = settings(folder.path(), "dev:{{SessionName}}");
    let bytes = std::fs::read(&component).expect("a file");
    let sha256 = tests::sigv4::sha256_hex(&bytes);
    let (component, settings) = (text(&component), text(&settings));

    let inspected = policy(&["inspect", component]).await.success().expect("it is a policy").stdout;
    for words in
        ["policy    session-groups 0.1.0", "contract  herald:policy/mapper@0.1.0", "pure: ", "held to a schema"]
    {
        assert!(inspected.contains(words), "{words}: {inspected}");
    }
    for line in [format!("sha256    {sha256}"), format!("size      {} bytes", bytes.len())] {
        assert!(inspected.lines().any(|found| found == line), "{line}: {inspected}");
    }
    let json = policy(&["inspect", component, "--json"]).await.success().expect("it is a policy").stdout;
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let schema = std::fs::read_to_string(repository().join("policies/session-groups/schema.json")).expect("a file");
    let schema: serde_json::Value = serde_json::from_str(&schema).expect("JSON");
    assert_eq!((&json["settingsSchema"], &json["examples"]), (&schema, &3.into()), "{json}");
    let most = json!({"source": "hard-maximum", "milliseconds": 5000, "longestMilliseconds": 50000, "fuel": 20_000_000_000_u64, "bytes": 64 << 20});
    assert_eq!(json["bounds"], most, "{json}");
    assert_eq!((&json["sha256"], &json["bytes"]), (&sha256.into(), &bytes.len().into()), "{json}");
    assert_eq!(json["imports"], json!(["herald:policy/log@0.1.0"]), "no import that is not used");

    let checked = policy(&["check", component]).await.success().expect("it would load").stdout;
    for words in ["policy    session-groups 0.1.0\nabout     ", "needs     no grant", "examples  3 passed"] {
        assert!(checked.contains(words), "{words}: {checked}");
    }
    assert!(!checked.contains("warning") && !checked.contains("grants needed"), "{checked}");
    let checked = policy(&["check", component, "--settings", settings]).await.success().expect("it would load").stdout;
    assert!(checked.contains("taken, and they fit the schema"), "{checked}");

    let asked =
        policy(&["run", component, "--settings", settings, "--arn", ARN]).await.success().expect("asked").stdout;
    for words in [
        "decision  allow",
        "username  dev:alice-example.com",
        "groups    dev",
        "log       info: rules[0] fits",
        "fuel ",
    ] {
        assert!(asked.contains(words), "{words}: {asked}");
    }
    let measured =
        policy(&["bench", component, "--settings", settings, "--arn", ARN, "--count", "20", "--timeout", "5s"]).await;
    let measured = measured.success().expect("measured").stdout;
    assert!(measured.contains("decisions 20 (0 faults)") && measured.contains("p99 "), "{measured}");
}

/// No file longer than 4 KiB can be written, the one in memory that a component's instances start from neither; nor is the
/// policy said to be wrong for that.
#[tokio::test]
async fn a_machine_that_gives_no_memory_is_told_apart_from_a_wrong_policy() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = folder.path().join("settings.yaml");
    let rules = "rules: [{match: {accounts: ['123456789012']}, username: 'a:{{SessionName}}'}]";
    std::fs::write(&settings, rules).expect("a file");
    let mut run = tokio::process::Command::new("bash");
    // It hears of it by the error then, not by a signal.
    run.args(["-c", "trap '' XFSZ; ulimit -f 4; exec \"$@\"", "bash"]).arg(herald::binary().expect("herald"));
    run.args(["policy", "run", text(&policies::build("session-groups").expect("a policy")), "--settings"]);
    run.args([text(&settings), "--arn", ARN]);
    run.env("XDG_CACHE_HOME", folder.path());
    let refused = herald::finish(run).await.expect("it ends");
    assert!(refused.code.is_some_and(|code| code != 0), "{}", refused.stdout);
    assert!(
        refused.stderr.contains("the system gives no memory to start it with: File too large"),
        "{}",
        refused.stderr
    );
    assert!(!refused.stderr.contains("does not fit the policy contract"), "{}", refused.stderr);
}

/// What a policy has to be granted is the answer, not a reason to refuse it.
#[tokio::test]
async fn what_has_to_be_granted_is_told_with_the_lines_that_grant_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let nodes = folder.path().join("nodes.yaml");
    std::fs::write(&nodes, "nodes: [{account: '111122223333', role: NodeRole}]\n").expect("a file");
    let rows: [(&str, &[&str], &str); 3] = [
        ("ec2-node", &["--settings", text(&nodes)], "    cloud: [caller-instance]\n"),
        ("ec2-node", &[], "    cloud: [caller-instance]\n"),
        ("account-tiers", &[], "    tables: {NAME: FILE}\n"),
    ];
    for (name, more, lines) in rows {
        let component = policies::build(name).expect("a policy");
        let check = [&["check", text(&component)], more].concat();
        let checked = policy(&check).await.success().expect("it would load").stdout;
        let expected = format!("grants needed, in its entry of server.policies:\n{lines}");
        assert!(checked.contains(&expected), "{name}: {checked}");
        let json = policy(&[&check[..], &["--json"]].concat()).await.success().expect("it would load").stdout;
        let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(json["grants"], json!([lines.trim()]), "{name}: {json}");
        assert_eq!(json["settings"], if more.is_empty() { "not-tried" } else { "taken" }, "{name}: {json}");
        assert_eq!((&json["name"], &json["warnings"]), (&name.into(), &json!([])), "{json}");
    }
    let component = policies::build("ec2-node").expect("a policy");
    std::fs::write(&nodes, "nodes: []\nnodse: 1\n").expect("a file");
    let refused = policy(&["check", text(&component), "--settings", text(&nodes)]).await;
    assert!(refused.code == Some(78) && refused.stderr.contains("nodse"), "{}", refused.stderr);
}

/// The user's cache is full, then only to be read, with the key of earlier runs in it each time.
#[tokio::test]
async fn a_cache_that_takes_nothing_more_keeps_nobody_from_working() {
    if !tools::own_mounts() {
        return;
    }
    let component = policies::build("session-groups").expect("a policy");
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("herald.yaml");
    let yaml = format!(
        "clusterID: prod\nserver:\n  backendMode: [Policy/corp]\n  policies:\n  - name: corp\n    kind: map\n    component: {}\n    \
         ceiling: {{usernames: ['corp:*']}}\n    \
         settings: {{rules: [{{match: {{accounts: ['111122223333']}}, username: 'corp:{{{{SessionName}}}}'}}]}}\n",
        component.display()
    );
    std::fs::write(&config, yaml).expect("a file");
    let script = r#"
cd "$1"
mkdir cache
mount -t tmpfs -o size=16k none cache
export XDG_CACHE_HOME="$1/cache"
all() {
    "$2" policy check "$3" 2>&1
    "$2" check-config herald.yaml 2>&1
}
all "$@"
ls cache/herald/policies/key
dd if=/dev/zero of=cache/x bs=1k count=64 2>/dev/null || true
all "$@"
mount -o remount,ro cache
all "$@"
echo done"#;
    let mut command = tokio::process::Command::new("unshare");
    command.args(["--map-root-user", "--mount", "sh", "-euc", script, "sh", text(folder.path())]);
    command.arg(herald::binary().expect("herald")).arg(&component);
    let ended = herald::finish(command).await.and_then(Finished::success).expect("all of them work");
    assert!(ended.stdout.ends_with("done\n"), "{}", ended.stdout);
    assert_eq!(ended.stdout.matches("compiled code cannot be kept, so that").count(), 6, "{}", ended.stdout);
    assert!(
        ended.stdout.contains("No space left") && ended.stdout.contains("Read-only file system"),
        "{}",
        ended.stdout
    );
}

/// With the table, the time and the mapping that the case has.
#[tokio::test]
async fn a_case_is_asked_and_measured() {
    let component = policies::build("break-glass").expect("a policy");
    let case = format!("{}:the first second", repository().join("policies/break-glass/cases.yaml").display());
    let asked = ["run", text(&component), "--case", &case, "--timeout", "5s"];
    let found = policy(&asked).await.success().expect("asked").stdout;
    assert!(found.contains("username  oncall:alice\ngroups    oncall, emergency\n"), "{found}");
    let found = policy(&[&asked[..], &["--kind", "augment"]].concat()).await.success().expect("asked").stdout;
    assert!(found.contains("groups    oncall, emergency\n"), "{found}");
    let found = policy(&[&asked[..], &["--kind", "guard"]].concat()).await;
    assert_eq!(found.code, Some(1), "{}", found.stdout);
    assert!(found.stdout.contains("a guard policy may not add a group"), "{}", found.stdout);
    let bench = ["bench", text(&component), "--case", &case, "--timeout", "5s", "--count", "20"];
    let measured = policy(&bench).await.success().expect("measured").stdout;
    assert!(measured.contains("decisions 20 (0 faults)"), "{measured}");
}

/// A role's own rule is found by its name: 5,000 cost a decision what two cost.
#[tokio::test]
async fn a_decision_costs_the_same_however_many_rules_there_are() {
    let folder = tempfile::tempdir().expect("a folder");
    let fuel = async |name: &str, settings: serde_json::Value, arn: &str| {
        let component = policies::build(name).expect("a policy");
        let file = folder.path().join("settings.json");
        std::fs::write(&file, settings.to_string()).expect("a file");
        let run = ["run", text(&component), "--settings", text(&file), "--arn", arn, "--json"];
        let limits = ["--timeout", "5s", "--memory", "32Mi"];
        let asked = policy(&[&run[..], &limits].concat()).await.success().expect("asked").stdout;
        let asked: serde_json::Value = serde_json::from_str(&asked).expect("JSON");
        assert!(asked["decision"]["allow"].is_object(), "{asked}");
        asked["fuel"].as_u64().expect("a number")
    };
    // The caller's rule is the last.
    let names = |count: usize| (1..count).map(|n| format!("Role{n}")).chain(["Dev-web".to_owned()]);
    let sessions = |count: usize| {
        let rule =
            |role| json!({"match": {"accounts": ["111122223333"], "role": role}, "username": "dev:{{SessionName}}"});
        json!({"rules": names(count).map(rule).collect::<Vec<_>>()})
    };
    let sets = |count: usize| {
        let set = |name| json!({"name": name, "groups": ["dev"]});
        json!({"accounts": ["111122223333"], "permissionSets": names(count).map(set).collect::<Vec<_>>()})
    };
    let of_set = "arn:aws:sts::111122223333:assumed-role/AWSReservedSSO_Dev-web_0123456789abcdef/alice";
    for (name, two, many, arn) in
        [("session-groups", sessions(2), sessions(5000), ARN), ("sso-permission-sets", sets(2), sets(5000), of_set)]
    {
        let (two, many) = (fuel(name, two, arn).await, fuel(name, many, arn).await);
        assert!(many < two + two / 10, "{name}: {many} of fuel, and {two} with two rules");
    }
}

#[tokio::test]
async fn what_cannot_happen_is_told_of_each_entry() {
    let component = policies::build("session-groups").expect("a policy");
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("herald.yaml");
    let yaml = format!(
        "clusterID: prod\nserver:\n  backendMode: [Policy/corp]\n  policies:\n  - name: corp\n    kind: map\n    component: {}\n    \
         ceiling: {{usernames: ['corp:*'], groups: ['corp:*']}}\n    \
         settings: {{rules: [{{match: {{accounts: ['111122223333']}}, username: 'corp:{{{{SessionName}}}}'}}]}}\n    \
         limits: {{timeout: 20ms, memory: 8Mi, fuel: 1000000}}\n",
        component.display()
    );
    std::fs::write(&config, yaml).expect("a file");
    let inspect = ["inspect", text(&component), "--config", text(&config)];
    let told = policy(&inspect).await.success().expect("it is a policy").stdout;
    for line in [
        "as Policy/corp",
        "  is asked only about callers whom no stage before it has mapped",
        "  cannot grant groups outside corp:*",
        "  cannot grant usernames outside corp:*",
        "  cannot grant uids at all",
        "  no ceiling covers extra: it may set any key but the host's own and those of kubernetes.io and k8s.io, at most 64 with 64 values each",
        "  at worst 20ms of a processor's time, 1000000 fuel and 8 MiB of memory for a login; on a busy machine it takes up to 200ms, and the wait for a free instance",
    ] {
        assert!(told.lines().any(|found| found == line), "{line}: {told}");
    }
    let json = policy(&[&inspect[..], &["--json"]].concat()).await.success().expect("it is a policy").stdout;
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["entries"][0]["name"], "corp", "{json}");
    let groups = json!({"id": "groups-within", "text": "cannot grant groups outside corp:*", "patterns": ["corp:*"]});
    assert_eq!(json["entries"][0]["guarantees"][1], groups, "{json}");
    let bounds = json!({"source": "configured", "milliseconds": 20, "longestMilliseconds": 200, "fuel": 1_000_000, "bytes": 8 << 20});
    assert_eq!(json["entries"][0]["bounds"], bounds, "{json}");
    assert_eq!(json["guarantees"][0]["id"], "pure", "{json}");
}

/// A new project of each language, on a machine with none of their programs.
#[tokio::test]
async fn a_toolchain_that_is_not_there_is_told_with_where_to_get_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let empty = folder.path().join("bin");
    std::fs::create_dir(&empty).expect("a folder");
    let environment = [("PATH", text(&empty)), ("HOME", text(folder.path()))];
    for (language, expected) in [
        ("go", "go is not installed: get Go 1.24 or newer from https://go.dev/dl or your system's packages"),
        ("js", "node is not installed: get Node.js 20 or newer from https://nodejs.org or your system's packages"),
        (
            "python",
            "python3 is not installed: get Python 3.11 or newer from https://python.org or your system's packages",
        ),
        ("rust", "rustc is not installed: get Rust from https://rustup.rs or your system's packages"),
    ] {
        let (sdk, project) = (repository().join("sdk").join(language), folder.path().join(format!("in-{language}")));
        let new = ["policy", "new", "--lang", language, "--sdk", text(&sdk), text(&project)];
        herald::run(&new, environment).await.and_then(Finished::success).expect("a project");
        let built = herald::run(&["policy", "build", text(&project)], environment).await.expect("herald runs");
        let last = built.stderr.lines().last().unwrap_or_default();
        assert!(built.code != Some(0) && last.ends_with(expected), "{language}: {}", built.stderr);
        assert!(!project.join("target/policies").exists(), "{language}: nothing is left of it");
    }
}

/// Stand-ins tell an old version and fail at everything else.
#[tokio::test]
async fn a_toolchain_that_is_too_old_is_told_with_where_to_get_another() {
    let folder = tempfile::tempdir().expect("a folder");
    let programs = folder.path().join("bin");
    std::fs::create_dir(&programs).expect("a folder");
    let environment = [("PATH", text(&programs)), ("HOME", text(folder.path()))];
    for (language, program, version, expected) in [
        ("go", "go", "go version go1.19.8 linux/amd64", "go is too old (1.19): get Go 1.24 or newer from"),
        ("js", "node", "v18.19.1", "node is too old (18.19): get Node.js 20 or newer from"),
        ("python", "python3", "Python 3.9.18", "python3 is too old (3.9): get Python 3.11 or newer from"),
    ] {
        let script = format!("#!/bin/sh\ncase $1 in version|--version) echo '{version}';; *) exit 2;; esac\n");
        tools::program(&programs.join(program), &script);
        let (sdk, project) = (repository().join("sdk").join(language), folder.path().join(format!("in-{language}")));
        let new = ["policy", "new", "--lang", language, "--sdk", text(&sdk), text(&project)];
        herald::run(&new, environment).await.and_then(Finished::success).expect("a project");
        let built = herald::run(&["policy", "build", text(&project)], environment).await.expect("herald runs");
        let last = built.stderr.lines().last().unwrap_or_default();
        assert!(built.code != Some(0) && last.contains(expected), "{language}: {}", built.stderr);
    }
}

/// Checks a configuration. Compiling its policies may take minutes where others want the processors too.
async fn check_config(config: &Path, home: &Path) {
    let mut command = tokio::process::Command::new(herald::binary().expect("herald builds"));
    command.args(["check-config", text(config)]).env_clear().env("HOME", home).kill_on_drop(true);
    let output = tokio::time::timeout(Duration::from_secs(600), command.output()).await;
    let output = output.expect("within ten minutes").expect("herald runs");
    let words = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&words));
}

/// A README's blocks of YAML: an entry for the server first, and the table that it reads, if any.
fn yaml_blocks(readme: &str) -> Vec<&str> {
    readme.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

#[tokio::test]
async fn the_ready_made_policies_load_as_their_readmes_say() {
    let mut found = 0;
    for entry in repository().join("policies").read_dir().expect("policies/") {
        let place = entry.expect("an entry").path();
        let name = place.file_name().and_then(|name| name.to_str()).expect("UTF-8");
        for file in ["README.md", "cases.yaml", "examples.yaml", "schema.json"] {
            assert!(place.join(file).is_file(), "{name} has no {file}");
        }
        let component = policies::build(name).unwrap_or_else(|error| panic!("{name}: {error:#}"));
        let readme = std::fs::read_to_string(place.join("README.md")).expect("a README");
        let (blocks, folder) = (yaml_blocks(&readme), tempfile::tempdir().expect("a folder"));
        // Where the guide mounts it: what is below /etc/herald is hidden by the configuration.
        let there = format!("component: /policies/{name}.wasm\n");
        assert!(blocks[0].contains(&there), "{name}: the README names its component");
        let entry = blocks[0].replace(&there, &format!("component: {}\n", text(&component)));
        if entry.contains("tables:") {
            let table =
                entry.split_once(": /etc/herald/").and_then(|(_, rest)| rest.split('}').next()).expect("a file");
            std::fs::write(folder.path().join(table), blocks[1]).expect("a file");
        }
        let file = folder.path().join("herald.yaml");
        let entry = entry.replace("/etc/herald", text(folder.path()));
        std::fs::write(&file, format!("clusterID: prod.example.com\n{entry}")).expect("a file");
        check_config(&file, folder.path()).await;
        let inspected = policy(&["inspect", text(&component), "--config", text(&file)]).await.success();
        let inspected = inspected.expect("it is a policy").stdout;
        for words in [&format!("policy    {name} "), "settings  held to a schema", "as Policy/", "at worst "] {
            assert!(inspected.contains(words), "{name}: {words}: {inspected}");
        }
        found += 1;
    }
    assert!(found >= 9, "{found}");
}

#[tokio::test]
async fn a_hole_behind_a_table_is_found_and_saved_with_it() {
    let component = policies::build("break-glass").expect("a policy");
    let folder = tempfile::tempdir().expect("a folder");
    let (table, saved) = (folder.path().join("grants.yaml"), folder.path().join("found.yaml"));
    let grant = "{user: clerk, from: '2026-05-04T12:00:00Z', until: '2026-05-04T12:30:00Z', reason: a good reason, groups: [admins]}";
    std::fs::write(&table, format!("111122223333.x: {grant}\n")).expect("a file");
    let table = format!("grants={}", text(&table));
    let fuzz = ["fuzz", text(&component), "--table", &table, "--timeout", "5s", "--count", "10000"];
    let found = policy(&[&fuzz[..], &["--never-group", "admin*", "--save", text(&saved)]].concat()).await;
    assert_eq!(found.code, Some(1), "{}{}", found.stdout, found.stderr);
    for words in
        ["gives the group \"admins\"", "caller    arn:aws:iam::111122223333:user/clerk\n", "asks at   2026-05-04T12:"]
    {
        assert!(found.stdout.contains(words), "{words}: {}", found.stdout);
    }
    let tested = policy(&["test", text(&component), text(&saved)]).await;
    assert_eq!(tested.code, Some(1), "the case has the table and the time with it: {}{}", tested.stdout, tested.stderr);
    assert!(tested.stdout.contains("FAILED  never: gives the group \"admins\""), "{}", tested.stdout);
}

#[tokio::test]
async fn a_policy_is_attacked_and_the_hole_is_a_case() {
    let component = policies::build("session-groups").expect("a policy");
    let folder = tempfile::tempdir().expect("a folder");
    let good = settings(folder.path(), "dev:{{SessionName}}");
    let fuzz = |settings: &Path, more: &[&str]| {
        let mut arguments =
            vec!["fuzz".to_owned(), text(&component).to_owned(), "--settings".to_owned(), text(settings).to_owned()];
        arguments.extend(more.iter().map(|&text| text.to_owned()));
        arguments.extend(["--timeout", "5s", "--count", "1000"].map(str::to_owned));
        arguments
    };
    let run = async |arguments: Vec<String>| {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        policy(&arguments).await
    };
    let fine = run(fuzz(&good, &["--only-account", "111122223333"])).await.success().expect("no hole").stdout;
    assert!(fine.contains("1000 callers, no counter-example"), "{fine}");

    let saved = folder.path().join("found.yaml");
    let found = run(fuzz(&good, &["--never-username", "dev:*", "--save", text(&saved)])).await;
    assert_eq!(found.code, Some(1), "{}", found.stdout);
    assert!(found.stdout.contains("gives the username \"dev:a\""), "as small as can be: {}", found.stdout);
    let tested = policy(&["test", text(&component), text(&saved)]).await;
    assert_eq!(tested.code, Some(1), "it fails until the policy is mended: {}", tested.stdout);

    // The author's own suite gets one more case, and loses nothing.
    let before = std::fs::read_to_string(repository().join("policies/session-groups/cases.yaml")).expect("cases");
    let suite = folder.path().join("cases.yaml");
    std::fs::write(&suite, &before).expect("a file");
    let found = run(fuzz(&good, &["--never-username", "dev:*", "--save", text(&suite)])).await;
    assert!(found.stdout.contains("saved     "), "{}{}", found.stdout, found.stderr);
    let after = std::fs::read_to_string(&suite).expect("cases");
    assert!(after.len() > before.len() && before.lines().all(|line| after.contains(line)), "{after}");
    let tested = policy(&["test", text(&component), text(&suite)]).await;
    assert!(tested.stdout.contains(" passed, 1 failed\n"), "{}", tested.stdout);

    let report = folder.path().join("report.xml");
    let cases = repository().join("policies/session-groups/cases.yaml");
    policy(&["test", text(&component), text(&cases), "--junit", text(&report)]).await.success().expect("they pass");
    let report = std::fs::read_to_string(report).expect("a report");
    assert!(report.contains("<testsuite name=") && report.contains("failures=\"0\""), "{report}");
}
