//! `herald policy check`: whether a server could load a component, tried with everything granted that there is to grant; what
//! has to be granted is part of the answer.

use std::{io::Write, process::ExitCode};

use serde::Serialize;

use super::{
    cache::Cache,
    inspect::{MAY_ASK_FOR_LESS, Report},
    subject::Subject,
};
use crate::policy::{self, Config, Engine, EngineConfig, TableSource, cloud::Fact};

/// Check a component as a server would before it loads: its imports, schema and own examples, and with --settings those; says
/// what has to be granted, and what is not told about the policy.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Command {
    #[command(flatten)]
    subject: Subject,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  herald policy check oncall.wasm                            whether a server could load it at all, and what to grant it
  herald policy check oncall.wasm --settings oncall.yaml     and with these settings
  herald policy check oncall.wasm --json";

/// What came of it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Checked {
    #[serde(flatten)]
    report: Report,
    settings: Settings,
    /// Lines for its entry of `server.policies`; of `tables` the names and places are the operator's to fill in.
    grants: Vec<String>,
    warnings: Vec<Warning>,
}

/// What became of the settings.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Settings {
    NotTried,
    Taken,
}

/// What keeps no server from loading it.
#[derive(Debug, Serialize)]
struct Warning {
    /// Stable, in kebab case.
    id: &'static str,
    text: &'static str,
}

// === impl Command ===

impl Command {
    /// Checks the component, and says what a server would have to grant it.
    ///
    /// # Errors
    ///
    /// When a server would not load it whatever is granted, and why.
    pub fn run(&self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        let report = Report::of(&self.subject.component)?;
        let config = granting_all(self.subject.config()?)?;
        let settings = if self.subject.settings.is_some() {
            self.subject.load_as(config)?;
            Settings::Taken
        } else {
            let cache = Cache::open()?;
            cache.compile(&config.component)?;
            let engine = Engine::new(&EngineConfig::default())?;
            policy::check(&engine, &config, cache.folder())?;
            Settings::NotTried
        };
        let checked = Checked { settings, grants: report.grants(), warnings: warnings(&report), report };
        if self.json {
            writeln!(out, "{}", serde_json::to_string_pretty(&checked)?)?;
        } else {
            checked.write(out)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Grants it all there is. No policy reads a table before it is asked about a caller, so any table will do.
fn granting_all(mut config: Config) -> anyhow::Result<Config> {
    config.cloud = Fact::ALL.to_vec();
    if config.tables.is_empty() {
        let name = "any";
        config.tables.insert(name.parse()?, TableSource::Object { name: name.to_owned() });
    }
    Ok(config)
}

/// What `herald policy inspect` and those who look for a policy do without.
fn warnings(report: &Report) -> Vec<Warning> {
    let rows = [
        (&report.name, "no-name", "no name"),
        (&report.version, "no-version", "no version"),
        (&report.description, "no-description", "no description"),
    ];
    let missing = rows.into_iter().filter(|(said, ..)| said.is_none());
    missing.map(|(_, id, text)| Warning { id, text }).collect()
}

// === impl Checked ===

impl Checked {
    fn write(&self, out: &mut impl Write) -> std::io::Result<()> {
        let Self { report, settings, grants, warnings } = self;
        report.write_about(out)?;
        report.write_shape(out)?;
        let settings = match (settings, &report.settings_schema) {
            (Settings::Taken, Some(_)) => "taken, and they fit the schema",
            (Settings::Taken, None) => "taken; there is no schema",
            (Settings::NotTried, Some(_)) => "not tried; there is a schema",
            (Settings::NotTried, None) => "not tried; there is no schema",
        };
        writeln!(out, "settings  {settings}")?;
        writeln!(out, "examples  {} passed", report.examples)?;
        if !grants.is_empty() {
            writeln!(out, "grants needed, in its entry of server.policies:")?;
            grants.iter().try_for_each(|line| writeln!(out, "    {line}"))?;
        }
        if report.facts.len() > 1 {
            writeln!(out, "  {MAY_ASK_FOR_LESS}")?;
        }
        warnings.iter().try_for_each(|Warning { text, .. }| {
            writeln!(out, "warning   {text}: write one into its project's manifest, and build it again")
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use expect_test::{Expect, expect};

    use super::*;
    use crate::policy::tests::{Fixture, guest::Guest};

    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        command: Command,
    }

    fn run(guest: &Guest, more: &[&str]) -> String {
        let fixture = Fixture::new(&guest.component());
        let arguments = ["check", fixture.path().to_str().expect("UTF-8"), "--timeout", "5s"];
        let mut out = Vec::new();
        let code = Cli::parse_from([&arguments[..], more].concat()).command.run(&mut out).expect("it would load");
        assert_eq!(code, ExitCode::SUCCESS);
        String::from_utf8(out).expect("text")
    }

    #[test]
    #[expect(clippy::needless_pass_by_value, reason = "a row reads better")]
    fn grants_are_told_and_what_is_not_known() {
        #[track_caller]
        fn check(guest: &Guest, more: &[&str], expected: Expect) {
            expected.assert_eq(&run(guest, more));
        }
        let folder = tempfile::tempdir().expect("a folder");
        let settings = folder.path().join("settings.yaml");
        std::fs::write(&settings, "a: 1\n").expect("a file");
        let settings = ["--settings", settings.to_str().expect("UTF-8")];
        check(
            &Guest::allowing(),
            &[],
            expect![[r#"
                policy    (without a name)
                contract  herald:policy/mapper@0.1.0
                imports   herald:policy/log@0.1.0
                needs     no grant
                settings  not tried; there is no schema
                examples  0 passed
                warning   no name: write one into its project's manifest, and build it again
                warning   no version: write one into its project's manifest, and build it again
                warning   no description: write one into its project's manifest, and build it again
            "#]],
        );
        check(
            &Guest::naming(),
            &settings,
            expect![[r#"
                policy    (without a name)
                contract  herald:policy/mapper@0.1.0
                imports   herald:policy/data@0.1.0, herald:policy/log@0.1.0
                needs     tables
                settings  taken; there is no schema
                examples  0 passed
                grants needed, in its entry of server.policies:
                    tables: {NAME: FILE}
                warning   no name: write one into its project's manifest, and build it again
                warning   no version: write one into its project's manifest, and build it again
                warning   no description: write one into its project's manifest, and build it again
            "#]],
        );
    }

    #[test]
    fn the_same_in_json() {
        let json: serde_json::Value = serde_json::from_str(&run(&Guest::naming(), &["--json"])).expect("JSON");
        assert_eq!((&json["settings"], &json["examples"]), (&"not-tried".into(), &0.into()), "{json}");
        assert_eq!(json["grants"], serde_json::json!(["tables: {NAME: FILE}"]), "{json}");
        let ids: Vec<_> = json["warnings"].as_array().expect("a list").iter().map(|one| &one["id"]).collect();
        assert_eq!(ids, ["no-name", "no-version", "no-description"], "{json}");
        assert_eq!(json["bounds"]["source"], "hard-maximum", "{json}");
    }
}
