//! `herald policy inspect` and `check`: what a component is, what it asks for, and what therefore cannot happen. Nothing
//! of this is taken from its word: it follows from its imports, and from what the host enforces.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use serde::Serialize;

use super::{cache::Cache, encode, subject::Subject};
use crate::{
    cli::{Globals, verify::Plain},
    policy::{self, Ceiling, Config, Digest, Engine, Kind, Mode, OnFault, cloud::Fact, sections::Sections},
};

/// Show what a component is: identity, imports, and what cannot happen whatever is in it.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Command {
    /// The policy's component. With --config, also what the entries that use it let it do.
    #[arg(value_name = "POLICY.wasm")]
    pub component: PathBuf,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Check a component as a server would before it loads: its imports, schema, metadata and own examples.
#[derive(clap::Args, Debug)]
#[command(after_help = CHECK_EXAMPLES)]
pub struct Check {
    #[command(flatten)]
    subject: Subject,
}

const EXAMPLES: &str = "\
Examples:
  herald policy inspect oncall.wasm
  herald policy inspect oncall.wasm --config herald.yaml --json";
const CHECK_EXAMPLES: &str = "\
Examples:
  herald policy check oncall.wasm                            whether a server could load it at all
  herald policy check oncall.wasm --settings oncall.yaml     and with these settings";

/// All there is to say about a component.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    file: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    license: Option<String>,
    sha256: String,
    bytes: usize,
    contract: String,
    imports: Vec<String>,
    needs: Vec<String>,
    settings_schema: bool,
    examples: usize,
    guarantees: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    entries: Vec<Entry>,
}

/// An entry of `server.policies` that uses the component.
#[derive(Debug, Serialize)]
struct Entry {
    name: String,
    guarantees: Vec<String>,
}

// === impl Command ===

impl Command {
    /// Prints what the component is.
    ///
    /// # Errors
    ///
    /// When it cannot be read or is no policy.
    pub fn run(&self, globals: &Globals, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        let mut report = Report::of(&self.component)?;
        if globals.config.is_some() {
            let same = |policy: &&Config| {
                fs::read(&policy.component).is_ok_and(|bytes| Digest::of(&bytes).to_string() == report.sha256)
            };
            let policies = globals.load()?.policies;
            report.entries = policies.iter().filter(same).map(Entry::of).collect();
        }
        if self.json {
            writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?
        } else {
            report.write(out)?
        }
        Ok(ExitCode::SUCCESS)
    }
}

// === impl Check ===

impl Check {
    /// Checks the component, and says what a server would have to grant it.
    ///
    /// # Errors
    ///
    /// When a server would not load it, and why.
    pub fn run(&self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        let report = Report::of(&self.subject.component)?;
        let config = self.subject.config()?;
        if self.subject.settings.is_some() {
            self.subject.load()?;
        } else {
            let cache = Cache::open()?;
            cache.compile(&config.component)?;
            let engine = Engine::new(&policy::EngineConfig::default())?;
            policy::check(&engine, &config, cache.folder())?;
        }
        let settings = match (&self.subject.settings, report.settings_schema) {
            (Some(_), true) => "taken, and they fit the schema",
            (Some(_), false) => "taken; there is no schema",
            (None, true) => "not tried; there is a schema",
            (None, false) => "not tried; there is no schema",
        };
        writeln!(out, "contract  {}", report.contract)?;
        writeln!(out, "imports   {}", listed(&report.imports))?;
        writeln!(
            out,
            "needs     {}",
            if report.needs.is_empty() { "no grant".to_owned() } else { report.needs.join(", ") }
        )?;
        writeln!(out, "settings  {settings}")?;
        writeln!(out, "examples  {} passed", report.examples)?;
        Ok(ExitCode::SUCCESS)
    }
}

// === impl Report ===

impl Report {
    fn of(component: &Path) -> anyhow::Result<Self> {
        let bytes = policy::read(component)?;
        let named = || component.display().to_string();
        let shape = encode::shape(&bytes).with_context(named)?;
        let sections = Sections::of(&bytes).with_context(named)?;
        let examples = sections.examples().with_context(named)?.map_or(0, |document| document.len());
        let schema = sections.schema().with_context(named)?.is_some();
        let metadata = wasm_metadata::Payload::from_binary(&bytes).with_context(named)?;
        let metadata = metadata.metadata();
        let text = |value: Option<String>| value.filter(|text| !text.is_empty());
        let has_tables = shape.imports.iter().any(|import| import.starts_with("herald:policy/data@"));
        let cloud = (!shape.facts.is_empty()).then(|| Fact::grant(&shape.facts));
        let needs = has_tables.then(|| "tables".to_owned()).into_iter().chain(cloud).collect();
        Ok(Self {
            file: component.to_owned(),
            name: text(metadata.name.clone()),
            version: text(metadata.version.as_ref().map(ToString::to_string)),
            description: text(metadata.description.as_ref().map(ToString::to_string)),
            license: text(metadata.licenses.as_ref().map(ToString::to_string)),
            sha256: Digest::of(&bytes).to_string(),
            bytes: bytes.len(),
            contract: shape.contract,
            needs,
            guarantees: by_imports(&shape.imports, &shape.facts),
            imports: shape.imports,
            settings_schema: schema,
            examples,
            entries: Vec::new(),
        })
    }

    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let version = self.version.as_deref().unwrap_or_default();
        writeln!(out, "policy    {} {}", Plain(self.name.as_deref().unwrap_or("(without a name)")), Plain(version))?;
        for (name, text) in [("about", &self.description), ("license", &self.license)] {
            if let Some(text) = text {
                writeln!(out, "{name:<9} {}", Plain(text))?;
            }
        }
        writeln!(out, "file      {}", self.file.display())?;
        writeln!(out, "sha256    {}", self.sha256)?;
        writeln!(out, "size      {} bytes", self.bytes)?;
        writeln!(out, "contract  {}", Plain(&self.contract))?;
        writeln!(out, "imports   {}", Plain(&listed(&self.imports)))?;
        writeln!(
            out,
            "needs     {}",
            if self.needs.is_empty() { "no grant".to_owned() } else { self.needs.join(", ") }
        )?;
        writeln!(out, "settings  {}", if self.settings_schema { "held to a schema" } else { "no schema" })?;
        writeln!(out, "examples  {}", self.examples)?;
        writeln!(out, "whatever is in it")?;
        self.guarantees.iter().try_for_each(|line| writeln!(out, "  {}", Plain(line)))?;
        for entry in &self.entries {
            writeln!(out, "as Policy/{}", entry.name)?;
            entry.guarantees.iter().try_for_each(|line| writeln!(out, "  {}", Plain(line)))?;
        }
        Ok(())
    }
}

fn listed(imports: &[String]) -> String {
    if imports.is_empty() { "nothing".to_owned() } else { imports.join(", ") }
}

/// What follows from the imports alone, and from the facts about callers that are among them.
fn by_imports(imports: &[String], facts: &[Fact]) -> Vec<String> {
    let interface = |import: &String| import.split_once('@').map_or(import.as_str(), |(name, _)| name).to_owned();
    let beyond: Vec<String> = imports.iter().map(interface).filter(|name| name != "herald:policy/log").collect();
    let mut lines = match beyond.as_slice() {
        [] => vec!["pure: the same settings and the same request always get the same answer".to_owned()],
        [only] if only == "herald:policy/data" => {
            vec!["depends on its settings, the request and the tables that it is attached, on nothing else".to_owned()]
        }
        known if known.iter().all(|name| ["herald:policy/cloud", "herald:policy/data"].contains(&name.as_str())) => {
            let about = match facts {
                [Fact::CallerInstance] => " and the caller's own machine",
                [Fact::CallerTags] => " and the tags of the caller's own role or user",
                _ => ", the caller's own machine and the tags of his role or user",
            };
            vec![format!(
                "depends on its settings, the request, the tables that it is attached{about}, on nothing else"
            )]
        }
        others => vec![format!("asks for what no server grants: {}", others.join(", "))],
    };
    lines.push("sees no token, key or signature; has no network, files, clock, randomness or environment".to_owned());
    lines.push("keeps nothing from one login to the next".to_owned());
    lines
}

// === impl Entry ===

impl Entry {
    fn of(config: &Config) -> Self {
        let mut guarantees = vec![match config.kind {
            Kind::Augment => "cannot change usernames or uids, cannot take a group away".to_owned(),
            Kind::Guard => "cannot grant anything, cannot change usernames".to_owned(),
            Kind::Map => "is asked only about callers whom no stage before it has mapped".to_owned(),
        }];
        let is_shadow = config.mode == Mode::Shadow;
        if is_shadow {
            guarantees.push("counts for nothing: it is in shadow mode, and what would follow is only told".to_owned());
        }
        if config.kind != Kind::Guard {
            guarantees.extend(by_ceiling(&config.ceiling, config.kind));
        }
        guarantees.push(match config.on_fault {
            _ if is_shadow => "when it fails, no login notices".to_owned(),
            OnFault::Refuse => "when it fails, the login is refused".to_owned(),
            OnFault::Skip => "when it fails, its groups are missing".to_owned(),
        });
        let limits = &config.limits;
        let mebibytes = limits.memory().bytes().div_ceil(1 << 20);
        guarantees.push(format!(
            "at worst {} of a processor's time, {} fuel and {mebibytes} MiB of memory for a login; on a busy machine it takes up to {}, {}",
            humantime::format_duration(limits.timeout()),
            limits.fuel(),
            humantime::format_duration(limits.longest()),
            if is_shadow { "which no login waits for" } else { "and the wait for a free instance" },
        ));
        Self { name: config.name.to_string(), guarantees }
    }
}

fn by_ceiling(ceiling: &Ceiling, kind: Kind) -> Vec<String> {
    let outside = |what: &str, patterns: Option<&Vec<String>>| match patterns {
        None => format!("cannot grant {what} under system:"),
        Some(patterns) if patterns.is_empty() => format!("cannot grant {what} at all"),
        Some(patterns) => format!("cannot grant {what} outside {}", patterns.join(", ")),
    };
    let mut lines = vec![outside("groups", ceiling.groups.as_ref())];
    if kind == Kind::Map {
        lines.push(outside("usernames", ceiling.usernames.as_ref()));
        lines.push(outside("uids", Some(ceiling.uids.as_ref().unwrap_or(&Vec::new()))));
    }
    lines
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    #[test]
    fn imports_say_what_cannot_happen() {
        #[track_caller]
        fn check(imports: &[&str], facts: &[Fact], first: &str) {
            let imports: Vec<String> = imports.iter().map(|&text| text.to_owned()).collect();
            assert!(by_imports(&imports, facts)[0].starts_with(first), "{imports:?}");
        }
        check(&[], &[], "pure");
        check(&["herald:policy/log@0.1.0"], &[], "pure");
        check(
            &["herald:policy/log@0.1.0", "herald:policy/data@0.1.0"],
            &[],
            "depends on its settings, the request and the tables",
        );
        let cloud = ["herald:policy/cloud@0.1.0", "herald:policy/log@0.1.0"];
        check(
            &cloud,
            &[Fact::CallerInstance],
            "depends on its settings, the request, the tables that it is attached and the caller's own machine, on nothing else",
        );
        check(
            &cloud,
            &[Fact::CallerTags],
            "depends on its settings, the request, the tables that it is attached and the tags of the caller's own role or user, on nothing else",
        );
        check(
            &cloud,
            &Fact::ALL,
            "depends on its settings, the request, the tables that it is attached, the caller's own machine and the tags of his role or user, on nothing else",
        );
        check(&["wasi:sockets/tcp@0.2.0"], &[], "asks for what no server grants: wasi:sockets/tcp");
    }

    #[test]
    #[expect(clippy::needless_pass_by_value, reason = "a row reads better")]
    fn entries_say_what_cannot_happen() {
        #[track_caller]
        fn check(json: serde_json::Value, expected: Expect) {
            let config: Config = serde_json::from_value(json).expect("an entry");
            expected.assert_eq(&Entry::of(&config).guarantees.join("\n"));
        }
        check(
            serde_json::json!({"name": "a", "kind": "map", "component": "a.wasm", "ceiling": {"groups": ["corp:*"]}}),
            expect![[r#"
                is asked only about callers whom no stage before it has mapped
                cannot grant groups outside corp:*
                cannot grant usernames under system:
                cannot grant uids at all
                when it fails, the login is refused
                at worst 50ms of a processor's time, 50000000 fuel and 16 MiB of memory for a login; on a busy machine it takes up to 500ms, and the wait for a free instance"#]],
        );
        check(
            serde_json::json!({"name": "a", "kind": "augment", "component": "a.wasm", "onFault": "skip", "mode": "shadow"}),
            expect![[r#"
                cannot change usernames or uids, cannot take a group away
                counts for nothing: it is in shadow mode, and what would follow is only told
                cannot grant groups under system:
                when it fails, no login notices
                at worst 50ms of a processor's time, 50000000 fuel and 16 MiB of memory for a login; on a busy machine it takes up to 500ms, which no login waits for"#]],
        );
        check(
            serde_json::json!({"name": "a", "kind": "guard", "component": "a.wasm"}),
            expect![[r#"
                cannot grant anything, cannot change usernames
                when it fails, the login is refused
                at worst 50ms of a processor's time, 50000000 fuel and 16 MiB of memory for a login; on a busy machine it takes up to 500ms, and the wait for a free instance"#]],
        );
    }
}
