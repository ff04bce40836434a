//! One decision of a policy in each language, in a fresh instance, as `herald policy bench` measures it: settings taken in,
//! machine code compiled beforehand. A language whose toolchain is not here has no rows.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, ensure};
use serde::Deserialize;
use tests::{
    herald::{forget_package, repository},
    tools,
};

use super::{
    Row, Scale,
    row::Goal::{AtMost, Information},
};
use crate::{binaries::Binaries, output};
use subjects::{Language, Subject};

mod subjects;

/// A subject that is built.
struct Built {
    subject: Subject,
    component: PathBuf,
    settings: PathBuf,
}

/// What `herald policy bench --json` says, of it what is shown.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Measured {
    faults: u64,
    first_micros: f64,
    memory_bytes: u64,
    micros: Micros,
}

#[derive(Deserialize)]
struct Micros {
    p50: f64,
    p99: f64,
}

/// Builds everything first, then measures by turns.
pub(super) fn measure(binaries: &Binaries, scale: Scale) -> anyhow::Result<Vec<Row>> {
    let folder = tempfile::tempdir()?;
    let mut subjects = Vec::new();
    for subject in subjects::subjects(installed) {
        subjects.push(subject.build(binaries, folder.path())?);
    }
    let mut found: Vec<Vec<Measured>> = subjects.iter().map(|_| Vec::new()).collect();
    for repeat in 0..scale.repeats {
        for (built, found) in subjects.iter().zip(&mut found) {
            output::progress(format_args!("repeat {repeat}: {}", built.subject.name));
            found.push(built.ask(binaries, folder.path())?);
        }
    }
    let rows = subjects.iter().zip(&found).map(|(built, found)| built.rows(found));
    rows.collect::<anyhow::Result<Vec<_>>>().map(|rows| rows.concat())
}

/// Where the tools of a language are; Go brings its own.
fn installed(language: Language) -> Option<PathBuf> {
    match language {
        Language::Go => tools::go().then(PathBuf::new),
        Language::JavaScript => tools::javascript(),
        Language::Python => tools::python(),
    }
}

// === impl Subject ===

impl Subject {
    fn build(self, binaries: &Binaries, folder: &Path) -> anyhow::Result<Built> {
        let mut herald = Command::new(&binaries.herald);
        forget_package(&mut herald);
        herald.arg("policy");
        let project = self.project.folder(repository(), folder, herald)?;
        let component = folder.join(project.file_name().context("a project has a name")?).with_extension("wasm");
        if !component.exists() {
            binaries.build_policy(&project, &component)?;
        }
        let settings = folder.join(format!("{}.json", self.name.replace(' ', "-")));
        fs::write(&settings, self.settings.to_string())?;
        Ok(Built { subject: self, component, settings })
    }
}

// === impl Built ===

impl Built {
    fn ask(&self, binaries: &Binaries, cache: &Path) -> anyhow::Result<Measured> {
        let mut command = Command::new(&binaries.herald);
        command.args(["policy", "bench"]).arg(&self.component).arg("--settings").arg(&self.settings);
        command
            .args(["--arn", &subjects::arn(), "--json", "--timeout", "5s", "--memory", "32Mi"])
            .env("XDG_CACHE_HOME", cache);
        let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output().context("herald policy bench")?;
        let measured: Measured = serde_json::from_slice(&output.stdout).context("herald policy bench")?;
        ensure!(output.status.success() && measured.faults == 0, "{}: {} faults", self.subject.name, measured.faults);
        Ok(measured)
    }

    fn rows(&self, found: &[Measured]) -> anyhow::Result<Vec<Row>> {
        let Subject { name, decision, size: most, .. } = &self.subject;
        let each = |figure: fn(&Measured) -> f64| found.iter().map(figure).collect::<Vec<f64>>();
        let size = fs::metadata(&self.component)?.len() as f64 / 1e3;
        Ok(vec![
            Row::alone(
                format!("{name}, one decision, 50th percentile"),
                "µs",
                each(|it| it.micros.p50),
                AtMost(*decision),
            ),
            Row::alone(format!("{name}, one decision, 99th percentile"), "µs", each(|it| it.micros.p99), Information),
            Row::alone(format!("{name}, first decision"), "µs", each(|it| it.first_micros), Information),
            Row::alone(
                format!("{name}, memory of one decision"),
                "MiB",
                each(|it| it.memory_bytes as f64 / MEBIBYTE),
                Information,
            ),
            Row::alone(format!("{name}, component"), "kB", vec![size], most.map_or(Information, AtMost)),
        ])
    }
}

const MEBIBYTE: f64 = (1 << 20) as f64;
