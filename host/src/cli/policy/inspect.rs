//! `herald policy inspect`: what a component is, what it asks for, and what therefore cannot happen. Nothing of this is taken
//! from its word: it follows from its imports, and from what the host enforces.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, anyhow};
use serde::Serialize;
use serde_json::Value;

use self::guarantees::{Bounds, Guarantee, of_component, of_entry};
use crate::{
    cli::{Globals, verify::Plain},
    policy::{self, Config, Digest, cloud::Fact, sections::Sections, shape::Shape, stranger},
};

mod guarantees;

/// Show what a component is: identity, imports, and what cannot happen whatever is in it.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Command {
    /// The policy's component. With --config, also what the entries that use it let it do.
    #[arg(value_name = "POLICY.wasm")]
    pub component: PathBuf,
    /// Print JSON: the schema of the settings with it, bounds in numbers, and an identifier that stays for all that cannot happen.
    #[arg(long)]
    pub json: bool,
}

const EXAMPLES: &str = "\
Examples:
  herald policy inspect oncall.wasm
  herald policy inspect oncall.wasm --config herald.yaml --json
  herald policy inspect oncall.wasm --json | jq .settingsSchema      what its settings look like";

/// All there is to say about a component.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    file: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    license: Option<String>,
    sha256: String,
    bytes: usize,
    contract: String,
    imports: Vec<String>,
    /// What has to be granted: the keys in its entry of `server.policies`, and of `cloud` the value.
    needs: Vec<String>,
    /// The facts about callers among its imports.
    #[serde(skip)]
    pub(super) facts: Vec<Fact>,
    /// The JSON Schema that it carries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) settings_schema: Option<Value>,
    pub(super) examples: usize,
    bounds: Bounds,
    guarantees: Vec<Guarantee>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    entries: Vec<Entry>,
}

/// An entry of `server.policies` that uses the component.
#[derive(Debug, Serialize)]
struct Entry {
    name: String,
    bounds: Bounds,
    guarantees: Vec<Guarantee>,
}

/// Of a component that shows both facts about callers.
pub(super) const MAY_ASK_FOR_LESS: &str =
    "a component in JavaScript or Python shows both facts, whichever it asks for: it loads where one is granted";
const TABLES: &str = "tables";

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

// === impl Report ===

impl Report {
    pub(super) fn of(component: &Path) -> anyhow::Result<Self> {
        let bytes = policy::read(component)?;
        let named = || component.display().to_string();
        let sections = Sections::of(&bytes).with_context(named)?;
        let shape = Shape::of(&bytes).with_context(named)?;
        let examples = sections.examples().with_context(named)?.map_or(0, |document| document.len());
        // Held to what a schema may be before it is shown.
        sections.schema().with_context(named)?;
        let settings_schema = sections.schema.map(serde_json::from_slice).transpose().with_context(named)?;
        let unread = |error: anyhow::Error| {
            anyhow!("what it says of its name, version and license cannot be read: {}", stranger::words(error))
        };
        let metadata = wasm_metadata::Payload::from_binary(&bytes).map_err(unread).with_context(named)?;
        let metadata = metadata.metadata();
        let text = |value: Option<String>| value.filter(|text| !text.is_empty());
        let has_tables = shape.imports.iter().any(|import| import.starts_with("herald:policy/data@"));
        let cloud = (!shape.facts.is_empty()).then(|| Fact::grant(&shape.facts));
        let needs = has_tables.then(|| TABLES.to_owned()).into_iter().chain(cloud).collect();
        let bounds = Bounds::hard()?;
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
            bounds,
            guarantees: of_component(&shape.imports, &shape.facts, &bounds),
            imports: shape.imports,
            facts: shape.facts,
            settings_schema,
            examples,
            entries: Vec::new(),
        })
    }

    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        self.write_about(out)?;
        writeln!(out, "file      {}", self.file.display())?;
        writeln!(out, "sha256    {}", self.sha256)?;
        writeln!(out, "size      {} bytes", self.bytes)?;
        self.write_shape(out)?;
        if self.facts.len() > 1 {
            writeln!(out, "          {MAY_ASK_FOR_LESS}")?;
        }
        writeln!(out, "settings  {}", if self.settings_schema.is_some() { "held to a schema" } else { "no schema" })?;
        writeln!(out, "examples  {}", self.examples)?;
        writeln!(out, "whatever is in it")?;
        write_all(out, &self.guarantees)?;
        for entry in &self.entries {
            writeln!(out, "as Policy/{}", entry.name)?;
            write_all(out, &entry.guarantees)?;
        }
        Ok(())
    }

    /// What its author says that it is.
    pub(super) fn write_about(&self, out: &mut impl Write) -> io::Result<()> {
        let version = self.version.as_deref().unwrap_or_default();
        let name = format!("{} {version}", self.name.as_deref().unwrap_or("(without a name)"));
        writeln!(out, "policy    {}", Plain(name.trim_end()))?;
        for (name, text) in [("about", &self.description), ("license", &self.license)] {
            if let Some(text) = text {
                writeln!(out, "{name:<9} {}", Plain(text))?;
            }
        }
        Ok(())
    }

    /// What it is to its host.
    pub(super) fn write_shape(&self, out: &mut impl Write) -> io::Result<()> {
        let listed = |all: &[String], none: &str| if all.is_empty() { none.to_owned() } else { all.join(", ") };
        writeln!(out, "contract  {}", Plain(&self.contract))?;
        writeln!(out, "imports   {}", Plain(&listed(&self.imports, "nothing")))?;
        writeln!(out, "needs     {}", listed(&self.needs, "no grant"))
    }

    /// The lines that grant what it needs, as its entry of `server.policies` takes them.
    pub(super) fn grants(&self) -> Vec<String> {
        let line = |need: &String| if need == TABLES { format!("{TABLES}: {{NAME: FILE}}") } else { need.clone() };
        self.needs.iter().map(line).collect()
    }
}

fn write_all(out: &mut impl Write, guarantees: &[Guarantee]) -> io::Result<()> {
    guarantees.iter().try_for_each(|guarantee| writeln!(out, "  {}", Plain(&guarantee.text)))
}

// === impl Entry ===

impl Entry {
    fn of(config: &Config) -> Self {
        let bounds = Bounds::configured(&config.limits);
        Self { name: config.name.to_string(), bounds, guarantees: of_entry(config, &bounds) }
    }
}
