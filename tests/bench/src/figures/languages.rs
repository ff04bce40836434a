//! One decision of a policy in each language, in a fresh instance, as `herald policy bench` measures it: settings taken
//! in, machine code compiled beforehand. Alone, and while another process decides by the same policy without a pause, so
//! that on two processors both are loaded. A language whose toolchain is not here has one row, which says so.

use std::{
    cell::RefCell,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
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

/// What was measured of one policy, one entry a repeat.
#[derive(Default)]
struct Found {
    alone: Vec<Measured>,
    loaded: Vec<Measured>,
}

/// A process that decides until it is dropped.
struct Busy(Child);

/// Builds everything first, then measures by turns.
pub(super) fn measure(binaries: &Binaries, scale: Scale) -> anyhow::Result<Vec<Row>> {
    let folder = tempfile::tempdir()?;
    let (mut subjects, left_out) = (Vec::new(), RefCell::new(Vec::new()));
    let tools = |language| {
        let found = installed(language);
        if found.is_none() {
            left_out.borrow_mut().push(Row::left_out(policy_in(language), "its toolchain is not here"));
        }
        found
    };
    for subject in subjects::subjects(tools) {
        subjects.push(subject.build(binaries, folder.path())?);
    }
    let mut found: Vec<Found> = subjects.iter().map(|_| Found::default()).collect();
    for repeat in 0..scale.repeats {
        for (built, found) in subjects.iter().zip(&mut found) {
            output::progress(format_args!("repeat {repeat}: {}", built.subject.name));
            // First, so that what the other one needs is compiled.
            found.alone.push(built.ask(binaries, folder.path())?);
            let _busy = built.keep_busy(binaries, folder.path())?;
            found.loaded.push(built.ask(binaries, folder.path())?);
        }
    }
    let rows = subjects.iter().zip(&found).map(|(built, found)| built.rows(found));
    let mut rows = rows.collect::<anyhow::Result<Vec<_>>>()?.concat();
    rows.extend(left_out.into_inner());
    Ok(rows)
}

fn policy_in(language: Language) -> &'static str {
    match language {
        Language::Go => "a policy in Go",
        Language::JavaScript => "a policy in JavaScript",
        Language::Python => "a policy in Python",
    }
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
    /// `herald policy bench` of it.
    fn command(&self, binaries: &Binaries, cache: &Path) -> Command {
        let mut command = Command::new(&binaries.herald);
        command.args(["policy", "bench"]).arg(&self.component).arg("--settings").arg(&self.settings);
        command
            .args(["--arn", &subjects::arn(), "--json", "--timeout", "5s", "--memory", "32Mi"])
            .env("XDG_CACHE_HOME", cache)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit());
        command
    }

    fn ask(&self, binaries: &Binaries, cache: &Path) -> anyhow::Result<Measured> {
        let output = self.command(binaries, cache).output().context("herald policy bench")?;
        let measured: Measured = serde_json::from_slice(&output.stdout).context("herald policy bench")?;
        ensure!(output.status.success() && measured.faults == 0, "{}: {} faults", self.subject.name, measured.faults);
        Ok(measured)
    }

    /// One that is deciding by now, and goes on.
    fn keep_busy(&self, binaries: &Binaries, cache: &Path) -> anyhow::Result<Busy> {
        let mut command = self.command(binaries, cache);
        command.args(["--count", ENDLESS]).stdout(Stdio::null()).stderr(Stdio::null());
        let mut busy = Busy(command.spawn().context("herald policy bench")?);
        thread::sleep(LOADED);
        ensure!(busy.0.try_wait()?.is_none(), "{}: it does not go on deciding", self.subject.name);
        Ok(busy)
    }

    fn rows(&self, Found { alone, loaded }: &Found) -> anyhow::Result<Vec<Row>> {
        let Subject { name, decision, size: most, .. } = &self.subject;
        let each = |found: &[Measured], figure: fn(&Measured) -> f64| found.iter().map(figure).collect::<Vec<f64>>();
        let micros =
            |what: &str, found, figure, goal| Row::alone(format!("{name}, {what}"), "µs", each(found, figure), goal);
        let size = fs::metadata(&self.component)?.len() as f64 / 1e3;
        Ok(vec![
            micros(
                "one decision, both processors loaded, 50th percentile",
                loaded,
                |it| it.micros.p50,
                AtMost(*decision),
            ),
            micros("one decision, both processors loaded, 99th percentile", loaded, |it| it.micros.p99, Information),
            micros("one decision, 50th percentile", alone, |it| it.micros.p50, Information),
            micros("one decision, 99th percentile", alone, |it| it.micros.p99, Information),
            micros("first decision", alone, |it| it.first_micros, Information),
            Row::alone(
                format!("{name}, memory of one decision"),
                "MiB",
                each(alone, |it| it.memory_bytes as f64 / MEBIBYTE),
                Information,
            ),
            Row::alone(format!("{name}, component"), "kB", vec![size], most.map_or(Information, AtMost)),
        ])
    }
}

// === impl Busy ===

impl Drop for Busy {
    fn drop(&mut self) {
        // It may have ended by now, which is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Decisions of a process that is to be busy: more than it comes to.
const ENDLESS: &str = "20000000";
/// From its start until it decides, everything being compiled.
const LOADED: Duration = Duration::from_millis(700);
const MEBIBYTE: f64 = (1 << 20) as f64;
