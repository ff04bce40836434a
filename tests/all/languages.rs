//! Policies in every language there is an SDK for: one suite of cases for all of them, the tutorials word for word, and
//! the SDKs' own tests. A language whose toolchain is not here is skipped aloud, and never in CI.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::Duration,
};

use tests::{
    herald::{Server, binary, forget_package, repository},
    policies,
    sts::{ALICE, Keys, Options, Person, Running},
    tools,
};

use crate::{
    memory::anonymous,
    support::{ONE_WORKER, config, fresh, setup, sts, until_within},
};

/// A language, by the folder of its conformance policy and of its SDK.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Language {
    Go,
    Js,
    Python,
    Rust,
}

/// What the conformance policy asks for; the policies of the tutorials ask for the log alone.
const IMPORTS: [&str; 3] = ["herald:policy/cloud@0.1.0", "herald:policy/data@0.1.0", "herald:policy/log@0.1.0"];
/// `limits.memory` in our manifests: 64Mi.
const ALLOWED: u64 = 64 << 20;
/// Longest that one command may take: the largest components, compiled by a slow build of Herald on a busy machine.
const LIMIT: Duration = Duration::from_secs(600);

// === impl Language ===

impl Language {
    fn name(self) -> &'static str {
        match self {
            Self::Go => "go",
            Self::Js => "js",
            Self::Python => "python",
            Self::Rust => "rust",
        }
    }

    /// Where its SDK is, with all that it needs; `None` if that cannot be had on this machine.
    fn sdk(self) -> Option<PathBuf> {
        match self {
            Self::Go => tools::go().then(|| repository().join("sdk/go")),
            Self::Js => tools::javascript(),
            Self::Python => tools::python().map(|_| repository().join("sdk/python")),
            Self::Rust => Some(repository().join("sdk/rust")),
        }
    }

    /// Puts what a project finds beside itself once it is installed.
    fn install(self, project: &Path) {
        let link = |installed: Option<PathBuf>, place: &str| {
            tools::link(&installed.expect("asked before"), project, place).expect("a link");
        };
        match self {
            Self::Go | Self::Rust => {}
            Self::Js => link(tools::javascript(), "node_modules/herald-policy"),
            Self::Python => link(tools::python(), ".venv"),
        }
    }
}

/// What the commands of one test share: where they run and what is around them.
struct Shell {
    folder: tempfile::TempDir,
    variables: Vec<(&'static str, PathBuf)>,
}

// === impl Shell ===

impl Shell {
    fn new(language: Language) -> Self {
        // Machine code is named after what it was made of, so that runs of these tests can share it; and a folder of it holds so
        // much and no more.
        let variables = vec![("HERALD_CODE", repository().join("target/tools/code").join(language.name()))];
        let folder = tempfile::tempdir().expect("a folder");
        let bin = folder.path().join("bin");
        fs::create_dir(&bin).expect("a folder");
        // Only Herald's own cache is moved: the toolchains find theirs where they always are.
        let text = format!(
            "#!/bin/sh\n[ \"$2\" = build ] || export XDG_CACHE_HOME=\"$HERALD_CODE\"\nexec '{}' \"$@\"\n",
            binary().expect("herald builds").display()
        );
        tools::program(&bin.join("herald"), &text);
        Self { folder, variables }
    }

    /// Runs a script as a person would who has `herald` on `PATH`.
    async fn run(&self, script: &str) -> Output {
        let bin = self.folder.path().join("bin");
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
        let mut command = std::process::Command::new("sh");
        forget_package(&mut command);
        command.args(["-euc", script]).current_dir(self.folder.path()).env("PATH", path).stdin(Stdio::null());
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        let mut command = tokio::process::Command::from(command);
        let output = tokio::time::timeout(LIMIT, command.kill_on_drop(true).output()).await;
        output.expect("within its time").expect("a shell")
    }

    #[track_caller]
    fn succeeded(output: &Output) -> String {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
        text(&output.stdout)
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in from.read_dir().expect("a folder").map(|entry| entry.expect("an entry")) {
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).expect("copied");
        }
    }
}

/// The project with the conformance policy, where it can be built.
fn project(language: Language, shell: &Shell) -> PathBuf {
    let source = repository().join("tests/policies/conformance").join(language.name());
    if matches!(language, Language::Go | Language::Rust) {
        // They name the SDK by its place.
        return source;
    }
    let project = shell.folder.path().join(language.name());
    copy(&source, &project);
    language.install(&project);
    project
}

async fn conforms(language: Language) {
    if language.sdk().is_none() {
        return;
    }
    let shell = Shell::new(language);
    let (project, cases) = (project(language, &shell), repository().join("tests/policies/conformance/cases.yaml"));
    let run = async |script: String| Shell::succeeded(&shell.run(&script).await);
    let built = run(format!("herald policy build '{}' --output policy.wasm", project.display())).await;
    let imports = built.lines().find_map(|line| line.strip_prefix("imports  ")).unwrap_or_default();
    let mut imports: Vec<&str> = imports.split(", ").collect();
    imports.sort_unstable();
    assert_eq!(imports, IMPORTS, "nothing that is not granted: {built}");
    let inspected = run("herald policy inspect policy.wasm".to_owned()).await;
    assert!(inspected.contains("on nothing else") && inspected.contains("policy    conformance"), "{inspected}");
    assert!(inspected.contains("needs     tables, cloud: [caller-instance, caller-tags]\n"), "{inspected}");

    let tested = shell.run(&format!("herald policy test policy.wasm '{}'", cases.display())).await;
    let tested = Shell::succeeded(&tested);
    assert!(tested.contains("\n40 passed, 0 failed\n"), "{tested}");

    fs::write(shell.folder.path().join("settings.yaml"), "account: '111122223333'\n").expect("a file");
    fs::write(shell.folder.path().join("rota.json"), "{}").expect("a file");
    fs::write(shell.folder.path().join("instance.yaml"), "not-found").expect("a file");
    let ask = |word: &str| {
        let arn = format!("arn:aws:sts::111122223333:assumed-role/Dev/{word}");
        format!(
            "herald policy run policy.wasm --settings settings.yaml --table rota=rota.json --instance instance.yaml --timeout 5s \
             --arn '{arn}'"
        )
    };
    let asked = run(ask("log")).await;
    let lines: Vec<&str> = asked.lines().filter_map(|line| line.strip_prefix("log       ")).collect();
    assert_eq!(lines, ["debug: debug é", "info: info 許可", "warn: warn 😀", "error: error !"], "{asked}");
    let asked = shell.run(&ask("crash")).await;
    let asked = String::from_utf8_lossy(&asked.stdout).into_owned();
    assert!(asked.contains("policy_trap") && asked.contains("crash, as asked"), "the log says why: {asked}");
    let fuel = |text: &str| text.split_once(", fuel ").map(|(_, rest)| rest.to_owned());
    for word in ["tell", "many-3", "deny"] {
        let (first, second) = (run(ask(word)).await, run(ask(word)).await);
        assert_eq!(fuel(&first), fuel(&second), "the same question costs the same fuel and memory");
        assert!(fuel(&first).is_some(), "{first}");
    }
}

#[tokio::test]
async fn a_policy_in_go_does_what_the_contract_says() {
    conforms(Language::Go).await;
}

#[tokio::test]
async fn a_policy_in_javascript_does_what_the_contract_says() {
    conforms(Language::Js).await;
}

#[tokio::test]
async fn a_policy_in_python_does_what_the_contract_says() {
    conforms(Language::Python).await;
}

#[tokio::test]
async fn a_policy_in_rust_does_what_the_contract_says() {
    conforms(Language::Rust).await;
}

/// Where the toolchain leaves out what is not called. Components that hold an engine show every function of an interface.
#[tokio::test]
async fn a_component_shows_which_facts_it_asks_for() {
    if Language::Go.sdk().is_none() {
        return;
    }
    let shell = Shell::new(Language::Go);
    let sdk = repository().join("sdk/go");
    let run = async |script: String| Shell::succeeded(&shell.run(&script).await);
    run(format!("herald policy new --lang go --sdk '{}' asking", sdk.display())).await;
    for (call, needs) in [("CallerTags", "caller-tags"), ("CallerInstance", "caller-instance")] {
        let results = if call == "CallerTags" { "_, _, err" } else { "_, err" };
        let policy = format!(
            "package main\n\nimport \"herald.dev/policy\"\n\ntype asking struct{{}}\n\nfunc (asking) Decide(*policy.Request) \
             (policy.Decision, error) {{\n\t{results} := policy.{call}()\n\treturn policy.Abstain(), err\n}}\n\nfunc init() {{\n\t\
             policy.Export(func(struct{{}}) (policy.Policy, error) {{ return asking{{}}, nil }})\n}}\n\nfunc main() {{}}\n"
        );
        fs::write(shell.folder.path().join("asking/policy.go"), policy).expect("a file");
        let script = "rm -f asking/*_test.go asking/examples.yaml; herald policy build asking --output asking.wasm; herald policy inspect asking.wasm";
        let inspected = run(script.to_owned()).await;
        assert!(inspected.contains(&format!("needs     cloud: [{needs}]\n")), "{inspected}");
    }
}

/// `go.mod` takes such a folder in quotes alone.
#[tokio::test]
async fn a_project_is_built_whatever_folder_its_sdk_is_in() {
    if Language::Go.sdk().is_none() {
        return;
    }
    let shell = Shell::new(Language::Go);
    copy(&repository().join("sdk/go"), &shell.folder.path().join("my \"repo\"/sdk/go"));
    let script = "herald policy new --lang go --sdk 'my \"repo\"/sdk/go' 'my policies/quoted'\n\
                  cd 'my policies/quoted'\ngo test .\nherald policy build .";
    let built = Shell::succeeded(&shell.run(script).await);
    assert!(built.contains("\npolicy   quoted 0.1.0\n"), "{built}");
}

/// As packages did before there was `exports`.
#[tokio::test]
async fn packages_of_npm_are_found_by_main_and_by_module() {
    let Some(sdk) = Language::Js.sdk() else { return };
    let shell = Shell::new(Language::Js);
    let new = format!(
        "herald policy new --lang js --sdk '{}' packed; rm packed/examples.yaml packed/schema.json",
        sdk.display()
    );
    Shell::succeeded(&shell.run(&new).await);
    let project = shell.folder.path().join("packed");
    Language::Js.install(&project);
    for (name, key, code) in
        [("old", "main", "exports.first = 'found-';"), ("new", "module", "export const last = 'both';")]
    {
        let package = project.join("node_modules").join(name);
        fs::create_dir_all(&package).expect("a folder");
        let manifest = format!(r#"{{"name": "{name}", "version": "1.0.0", "license": "MIT", "{key}": "code.js"}}"#);
        fs::write(package.join("package.json"), manifest).expect("a file");
        fs::write(package.join("code.js"), code).expect("a file");
    }
    let policy = "import { allow } from 'herald-policy';\nimport { first } from 'old';\nimport { last } from 'new';\n\
                  export default class Policy {\n  decide() {\n    return allow({ username: first + last });\n  }\n}\n";
    fs::write(project.join("policy.js"), policy).expect("a file");
    Shell::succeeded(&shell.run("herald policy build packed --output packed.wasm").await);
    // Its code has an engine in it, which takes its time to compile.
    let ask = "herald policy run packed.wasm --timeout 5s --arn arn:aws:sts::111122223333:assumed-role/Dev/ann";
    let ran = Shell::succeeded(&shell.run(ask).await);
    assert!(ran.contains("found-both"), "{ran}");
}

/// What the kernel says of the most memory that a process ever had resident, in bytes; `None` where it does not tell.
fn most_memory(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kibibytes| kibibytes << 10)
}

/// Holds `server` to `most` bytes ever resident, and to [`ALLOWED`] of those that the kernel cannot drop.
#[track_caller]
fn is_within(server: &Server, most: u64) {
    let (resident, anonymous) = (most_memory(server.pid).expect("Linux tells"), anonymous(server.pid));
    assert!(resident < most && anonymous < ALLOWED, "{} MiB, {} of them anonymous", resident >> 20, anonymous >> 20);
}

/// Builds the conformance policy, and gives its entry in a configuration, as `large`, with limits that no machine is too slow for.
async fn entry(language: Language, shell: &Shell) -> String {
    let (project, component) = (project(language, shell), shell.folder.path().join("policy.wasm"));
    let build = format!("herald policy build '{}' --output '{}'", project.display(), component.display());
    Shell::succeeded(&shell.run(&build).await);
    let rota = shell.folder.path().join("rota.json");
    fs::write(&rota, "{}").expect("a file");
    format!(
        "
  - name: large
    kind: map
    component: {}
    tables: {{rota: {}}}
    cloud: [caller-instance]
    settings: {{account: '123456789012', prefix: 'large:'}}
    limits: {{timeout: 5s, memory: 32Mi}}
",
        component.display(),
        rota.display()
    )
}

/// Compiles the conformance policy beforehand, and holds the server that then loads it to `most` bytes.
async fn is_compiled_beforehand(language: Language, most: u64) {
    if language.sdk().is_none() {
        return;
    }
    let shell = Shell::new(language);
    let policies = entry(language, &shell).await;
    let sts = sts().await;
    let chain = format!("\n{ONE_WORKER}\n  backendMode: [Policy/large]\n  policies:{policies}");
    let herald = setup(&sts, &config(&chain));
    let folder = herald.folder().display();
    let compile = format!("herald policy compile --config '{folder}/config.yaml' --state-dir '{folder}/state'");
    let compiled = Shell::succeeded(&shell.run(&compile).await);
    assert!(compiled.contains("settings taken in"), "a snapshot: {compiled}");

    let server = herald.start().await.expect("a server");
    assert!(!server.stderr.text().contains("compiling a large policy"), "it is there: {}", server.stderr.text());
    let answer = server.review(&fresh(&ALICE)).await.expect("an answer");
    assert_eq!(answer.reason().as_deref(), Some("not_mapped"), "it abstains: {}", answer.text);
    is_within(&server, most);
}

#[tokio::test]
async fn a_large_component_is_compiled_before_the_server_starts_and_not_in_it() {
    is_compiled_beforehand(Language::Go, 128 << 20).await;
}

/// Compiling it takes up to 750 MiB; that it is loaded and asked is no more than our manifests allow.
#[tokio::test]
async fn a_component_with_an_engine_in_it_is_compiled_before_the_server_starts_and_not_in_it() {
    is_compiled_beforehand(Language::Js, 256 << 20).await;
}

#[tokio::test]
async fn a_component_in_python_is_compiled_before_the_server_starts_and_not_in_it() {
    is_compiled_beforehand(Language::Python, 256 << 20).await;
}

/// Alice under a session's name that tells the conformance policy to let her in.
const MANY: Person = Person {
    arn: "arn:aws:sts::123456789012:assumed-role/Developers/many-2",
    user_id: "AROADEVELOPERSEXAMPL:many-2",
    ..ALICE
};

/// Brings the conformance policy to a server that runs another one, and holds it to `most` bytes until it decides by the new
/// one: whoever compiles it, at the lowest priority, is another process.
async fn is_compiled_beside_the_server(language: Language, most: u64) {
    if language.sdk().is_none() {
        return;
    }
    let shell = Shell::new(language);
    let (large, small) = (entry(language, &shell).await, policies::build("session-groups").expect("a policy"));
    let text = |chain: &str, more: &str| {
        config(&format!(
            "\n{ONE_WORKER}\n  backendMode: [{chain}]\n  policies:\n  - name: small\n    kind: map\n    component: {}\n    \
             settings: {{rules: [{{match: {{accounts: ['123456789012']}}, username: 'small:{{{{SessionName}}}}'}}]}}\n    \
             limits: {{timeout: 5s}}{more}",
            small.display()
        ))
    };
    let mut keys = Keys::people();
    keys.add(MANY.key());
    let sts = Running::start(Options { keys, ..Options::default() }).await.expect("a dev STS");
    let server = setup(&sts, &text("Policy/small", "")).start().await.expect("a server");
    let name = async || server.review(&fresh(&MANY)).await.expect("an answer").username();
    let told = async |words: &str| {
        let told = server.stderr.wait_for(LIMIT, |text| text.contains(words).then_some(())).await;
        told.unwrap_or_else(|| panic!("{words}: {}", server.stderr.text()));
    };
    assert_eq!(name().await.as_deref(), Some("small:many-2"));

    server.configure(&text("Policy/large, Policy/small", &large)).expect("a file");
    told("compiling a large policy in a process of its own").await;
    assert_eq!(name().await.as_deref(), Some("small:many-2"), "while it is compiled");
    told("compiled a large policy").await;
    until_within(LIMIT, async || name().await.as_deref() == Some("large:many")).await;
    is_within(&server, most);
}

#[tokio::test]
async fn a_server_that_runs_has_a_javascript_policy_compiled_and_stays_small() {
    is_compiled_beside_the_server(Language::Js, 256 << 20).await;
}

#[tokio::test]
async fn a_server_that_runs_has_a_python_policy_compiled_and_stays_small() {
    is_compiled_beside_the_server(Language::Python, 256 << 20).await;
}

/// A fenced block of a document: the words behind its fence, and its text.
fn blocks(document: &str) -> Vec<(Vec<&str>, &str)> {
    let fenced = document.split("\n```").skip(1).step_by(2);
    fenced.filter_map(|block| block.split_once('\n')).map(|(head, text)| (head.split(' ').collect(), text)).collect()
}

/// The lines of its blocks of commands.
fn console(document: &str) -> impl Iterator<Item = &str> {
    let blocks = blocks(document).into_iter().filter(|(head, _)| *head == ["console"]);
    blocks.flat_map(|(_, text)| text.lines())
}

/// The commands in them, each behind its `$ `.
fn commands_of(document: &str) -> Vec<&str> {
    console(document).filter(|line| line.starts_with("$ ")).collect()
}

/// Runs every command of the SDK's README, looks for every line of output that it shows, and for every piece of a file; then
/// runs every command of the new project's README.
async fn tutorial(language: Language) {
    let Some(sdk) = language.sdk() else { return };
    let mut shell = Shell::new(language);
    let (herald, place) = (shell.folder.path().join("repository"), shell.folder.path().join("repository/sdk"));
    fs::create_dir_all(&place).expect("a folder");
    let linked = place.join(language.name());
    if language == Language::Rust {
        // Of what is here already; and built where the next run finds it.
        shell.variables.push(("CARGO_NET_OFFLINE", PathBuf::from("true")));
        shell.variables.push(("CARGO_BUILD_BUILD_DIR", repository().join("target/tools/rust")));
    }
    if language == Language::Python {
        // An installation writes beside what it installs.
        copy(&sdk, &linked);
        shell.variables.push(("PIP_NO_INDEX", PathBuf::from("1")));
        shell.variables.push(("PIP_FIND_LINKS", repository().join("target/tools/python/wheels")));
    } else {
        std::os::unix::fs::symlink(&sdk, &linked).expect("a link");
    }
    shell.variables.push(("HERALD", herald));

    let readme = repository().join("sdk").join(language.name()).join("README.md");
    let readme = fs::read_to_string(readme).expect("a README");
    let (commands, shown) = (commands_of(&readme), console(&readme).filter(|line| !line.starts_with("$ ")));
    let shown: Vec<&str> = shown.collect();
    assert!(commands.len() >= 5 && shown.contains(&"6 passed, 0 failed"), "{commands:?} {shown:?}");
    let script = commands.iter().map(|line| &line[2..]).collect::<Vec<_>>().join("\n");
    let output = Shell::succeeded(&shell.run(&script).await);
    for line in shown {
        assert!(output.lines().any(|found| found == line), "{line}: {output}");
    }
    let (mut files, project) = (0, shell.folder.path().join("contractors"));
    for (head, text) in blocks(&readme) {
        if let [_, name] = head.as_slice() {
            let file = fs::read_to_string(project.join(name)).expect("a file");
            assert!(file.contains(text), "{name} does not hold\n{text}");
            files += 1;
        }
    }
    assert!(files >= 3, "pieces of files: {files}");

    // And what the project's own README goes on with. Each command has a time of its own: where the component holds an engine,
    // taking its settings in is minutes of compiling for a slow build of Herald.
    let readme = fs::read_to_string(project.join("README.md")).expect("a README");
    let (commands, mut output) = (commands_of(&readme), String::new());
    assert!(commands.len() >= 5, "{commands:?}");
    for line in commands {
        output += &Shell::succeeded(&shell.run(&format!("cd contractors\n{}", &line[2..])).await);
    }
    for words in ["6 passed, 0 failed", "username  dev:alice", "1000 callers, no counter-example"] {
        assert!(output.contains(words), "{words}: {output}");
    }
}

#[tokio::test]
async fn the_tutorial_for_go_works_as_written() {
    tutorial(Language::Go).await;
}

#[tokio::test]
async fn the_tutorial_for_javascript_works_as_written() {
    tutorial(Language::Js).await;
}

#[tokio::test]
async fn the_tutorial_for_python_works_as_written() {
    tutorial(Language::Python).await;
}

#[tokio::test]
async fn the_tutorial_for_rust_works_as_written() {
    tutorial(Language::Rust).await;
}

/// A mistake in a new project is told in a few lines that are about the project, not about what builds it.
async fn mistakes(language: Language, mistakes: &[(&str, &str, &str)]) {
    let Some(sdk) = language.sdk() else { return };
    let shell = Shell::new(language);
    let new = format!("herald policy new --lang {} --sdk '{}' mistaken", language.name(), sdk.display());
    Shell::succeeded(&shell.run(&new).await);
    let project = shell.folder.path().join("mistaken");
    language.install(&project);
    for (file, text, expected) in mistakes {
        let file = project.join(file);
        let before = fs::read(&file).expect("a file of every project");
        fs::write(&file, text).expect("a file");
        let output = shell.run("herald policy build mistaken").await;
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && told.contains(expected), "{told}");
        assert!(told.lines().count() < 10 && !told.contains("    at ") && !told.contains("Traceback"), "{told}");
        fs::write(file, before).expect("a file");
    }
}

#[tokio::test]
async fn mistakes_in_go_are_told_in_a_few_lines() {
    let rows = [
        ("policy.go", "package main\nfunc (", "./policy.go:2:"),
        ("policy.json", r#"{"name": "a", "version": "1", "license": "no license"}"#, "its license cannot be written"),
    ];
    mistakes(Language::Go, &rows).await;
}

#[tokio::test]
async fn mistakes_in_javascript_are_told_in_a_few_lines() {
    let rows = [
        ("policy.js", "export const x = 1;", r#"No matching export in "policy.js" for import "default""#),
        ("policy.js", "export default {", "Expected identifier but found end of file"),
        ("package.json", r#"{"type": "module"}"#, "package.json needs a name and a version"),
        ("package.json", "{", "Invalid package config"),
    ];
    mistakes(Language::Js, &rows).await;
}

#[tokio::test]
async fn mistakes_in_python_are_told_in_a_few_lines() {
    let rows = [
        ("pyproject.toml", "[project]", "pyproject.toml needs a name and a version below [project]"),
        ("pyproject.toml", "[", "pyproject.toml: Invalid initial character"),
        ("policy.py", "class Policy(\n", "policy.py:1: '(' was never closed (as Python "),
    ];
    mistakes(Language::Python, &rows).await;
}

#[tokio::test]
async fn the_sdks_pass_their_own_tests() {
    let run = async |language, script: String| Shell::succeeded(&Shell::new(language).run(&script).await);
    if let Some(sdk) = Language::Go.sdk() {
        run(Language::Go, format!("cd '{}' && go vet ./... && go test ./...", sdk.display())).await;
    }
    let js = repository().join("sdk/js");
    if Language::Js.sdk().is_some() {
        run(Language::Js, format!("cd '{}' && npm test", js.display())).await;
    }
    if let (Some(sdk), Some(environment)) = (Language::Python.sdk(), tools::python()) {
        let python = environment.join("bin/python");
        let tests = format!("cd '{}' && '{}' -m unittest discover tests", sdk.display(), python.display());
        run(Language::Python, tests).await;
    }
}
