//! The machine a run was made on: what a reader needs to judge the figures, and no names of hosts.

use std::{fmt, fs, process::Command, thread};

use time::{OffsetDateTime, macros::format_description};

use crate::clock;

/// Cores, CPU model, memory, kernel, compiler and date.
#[derive(Debug)]
pub(crate) struct Machine {
    cores: usize,
    cpu: String,
    memory_gib: f64,
    kernel: String,
    rustc: String,
    date: String,
}

// === impl Machine ===

impl Machine {
    /// Reads this machine; what cannot be read is `unknown`.
    pub(crate) fn read() -> Self {
        Self {
            cores: thread::available_parallelism().map_or(0, Into::into),
            cpu: field("/proc/cpuinfo", "model name").unwrap_or_else(unknown),
            memory_gib: field("/proc/meminfo", "MemTotal")
                .and_then(|text| text.split(' ').next()?.parse::<f64>().ok())
                .map_or(0.0, |kib| kib / 1024.0 / 1024.0),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")
                .map_or_else(|_| unknown(), |text| text.trim().to_owned()),
            rustc: rustc().unwrap_or_else(unknown),
            date: OffsetDateTime::from(clock::now())
                .format(format_description!("[year]-[month]-[day]"))
                .unwrap_or_else(|_| unknown()),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cores, cpu, memory_gib, kernel, rustc, date } = self;
        write!(f, "{date}; {cores} cores of {cpu}, {memory_gib:.0} GiB, Linux {kernel}; {rustc}")
    }
}

fn field(file: &str, key: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let (_, value) = text.lines().filter_map(|line| line.split_once(':')).find(|(name, _)| name.trim() == key)?;
    Some(value.trim().to_owned())
}

fn rustc() -> Option<String> {
    let output = Command::new("rustc").arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.split(" (").next()?.trim().to_owned())
}

fn unknown() -> String {
    "unknown".to_owned()
}
