//! One decision of a policy in each language, in a fresh instance, as `herald policy bench` measures it: settings taken in,
//! machine code compiled beforehand. A language whose toolchain is not here has no rows.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, ensure};
use serde::Deserialize;
use serde_json::{Value, json};
use tests::{
    herald::{forget_package, repository},
    tools,
};

use super::{
    Row, Scale,
    row::Goal::{self, AtMost, Information},
};
use crate::{binaries::Binaries, output};

/// A component with settings, and what is hoped of it.
struct Subject {
    name: &'static str,
    component: PathBuf,
    settings: PathBuf,
    /// For the 50th percentile, in microseconds.
    decision: f64,
    /// For the component's file, in kilobytes.
    size: Goal,
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
    let subjects = Builder { binaries, folder: folder.path() }.subjects()?;
    let mut found: Vec<Vec<Measured>> = subjects.iter().map(|_| Vec::new()).collect();
    for repeat in 0..scale.repeats {
        for (subject, found) in subjects.iter().zip(&mut found) {
            output::progress(format_args!("repeat {repeat}: {}", subject.name));
            found.push(subject.ask(binaries, folder.path())?);
        }
    }
    subjects
        .iter()
        .zip(&found)
        .map(|(subject, found)| subject.rows(found))
        .collect::<anyhow::Result<Vec<_>>>()
        .map(|rows| rows.concat())
}

// === impl Subject ===

impl Subject {
    fn ask(&self, binaries: &Binaries, cache: &Path) -> anyhow::Result<Measured> {
        let mut command = Command::new(&binaries.herald);
        command.args(["policy", "bench"]).arg(&self.component).arg("--settings").arg(&self.settings);
        command.args(["--arn", ARN, "--json", "--timeout", "5s", "--memory", "32Mi"]).env("XDG_CACHE_HOME", cache);
        let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output().context("herald policy bench")?;
        let measured: Measured = serde_json::from_slice(&output.stdout).context("herald policy bench")?;
        ensure!(output.status.success() && measured.faults == 0, "{}: {} faults", self.name, measured.faults);
        Ok(measured)
    }

    fn rows(&self, found: &[Measured]) -> anyhow::Result<Vec<Row>> {
        let name = self.name;
        let each = |figure: fn(&Measured) -> f64| found.iter().map(figure).collect::<Vec<f64>>();
        let size = fs::metadata(&self.component)?.len() as f64 / 1e3;
        Ok(vec![
            Row::alone(
                format!("{name}, one decision, 50th percentile"),
                "µs",
                each(|it| it.micros.p50),
                AtMost(self.decision),
            ),
            Row::alone(format!("{name}, one decision, 99th percentile"), "µs", each(|it| it.micros.p99), Information),
            Row::alone(format!("{name}, first decision"), "µs", each(|it| it.first_micros), Information),
            Row::alone(
                format!("{name}, memory of one decision"),
                "MiB",
                each(|it| it.memory_bytes as f64 / MEBIBYTE),
                Information,
            ),
            Row::alone(format!("{name}, component"), "kB", vec![size], self.size),
        ])
    }
}

/// Where things are built.
struct Builder<'a> {
    binaries: &'a Binaries,
    folder: &'a Path,
}

// === impl Builder ===

impl Builder<'_> {
    fn subjects(&self) -> anyhow::Result<Vec<Subject>> {
        let rule = |role: &str| json!({"match": {"accounts": [ACCOUNT], "role": role}, "username": "{{SessionName}}", "groups": ["admins"]});
        // The caller's rule is the last.
        let roles: Vec<Value> = (0..4999).map(|n| rule(&format!("Role{n}"))).chain([rule("Admin")]).collect();
        let expressions = json!({"rules": [
            {"match": "caller.accountId != '111122223333'", "deny": "'an account of strangers'"},
            {"match": "caller.name.matches('^ci-[a-z]+$')", "username": "'ci:' + caller.name", "groups": "['ci']"},
            {"match": "caller.name == 'Admin' && caller.sessionName.startsWith('a')",
             "username": "'person:' + caller.sessionName.split('@')[0].lowerAscii()", "groups": "['dev'] + (now > 0 ? [] : ['oncall'])"},
        ]});
        let (sessions, expression) = (self.ready_made("session-groups")?, self.ready_made("expression")?);
        let template =
            json!({"account": ACCOUNT, "role": "Admin", "username": "dev:{{SessionName}}", "groups": ["developers"]});
        let mut subjects = vec![
            self.subject("Rust policy", sessions.clone(), &json!({"rules": [rule("Admin")]}), 50.0, AtMost(100.0))?,
            self.subject("Rust policy with 5,000 roles", sessions, &json!({"rules": roles}), 60.0, Information)?,
            self.subject("CEL policy", expression, &expressions, 200.0, AtMost(2000.0))?,
        ];
        // One and a half times what a trial had measured.
        let javascript = tools::javascript()
            .map(|sdk| ("js", "JavaScript policy", sdk.clone(), Some((sdk, "node_modules/herald-policy")), 915.0));
        let python = tools::python().map(|environment| {
            ("python", "Python policy", repository().join("sdk/python"), Some((environment, ".venv")), 1950.0)
        });
        let go = tools::go().then(|| ("go", "Go policy", repository().join("sdk/go"), None, 346.0));
        for (language, name, sdk, installed, decision) in [javascript, python, go].into_iter().flatten() {
            let component = self.template(language, &sdk, installed)?;
            subjects.push(self.subject(name, component, &template, decision, Information)?);
        }
        Ok(subjects)
    }

    fn subject(
        &self,
        name: &'static str,
        component: PathBuf,
        settings: &Value,
        decision: f64,
        size: Goal,
    ) -> anyhow::Result<Subject> {
        let file = self.folder.join(format!("{}.json", name.replace(' ', "-")));
        fs::write(&file, settings.to_string())?;
        Ok(Subject { name, component, settings: file, decision, size })
    }

    fn ready_made(&self, name: &str) -> anyhow::Result<PathBuf> {
        let component = self.folder.join(format!("{name}.wasm"));
        self.binaries.build_policy(Path::new("policies").join(name), &component)?;
        Ok(component)
    }

    /// What `herald policy new` writes, with what it finds beside itself once it is installed.
    fn template(&self, language: &str, sdk: &Path, installed: Option<(PathBuf, &str)>) -> anyhow::Result<PathBuf> {
        let project = self.folder.join(format!("contractors-{language}"));
        let mut command = Command::new(&self.binaries.herald);
        forget_package(&mut command);
        command.args(["policy", "new", "--lang", language]).arg(&project).arg("--sdk").arg(sdk);
        let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status().context("herald policy new")?;
        ensure!(status.success(), "herald policy new: {status}");
        if let Some((installed, place)) = installed {
            tools::link(&installed, &project, place)?;
        }
        let component = project.with_extension("wasm");
        self.binaries.build_policy(&project, &component)?;
        Ok(component)
    }
}

const ACCOUNT: &str = "111122223333";
const ARN: &str = "arn:aws:sts::111122223333:assumed-role/Admin/alice";
const MEBIBYTE: f64 = (1 << 20) as f64;
