//! The standard `process_…` metrics, read from `/proc/self` when somebody asks (proc(5)).
//!
//! Where there is no `/proc`, they are left out.

use std::{fmt, fs, time::Duration};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
};

/// Reads `/proc/self` at each scrape.
#[derive(Debug)]
pub(super) struct Process;

// === impl Process ===

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut gauge = |name: &str, help: &str, value: Option<i64>| {
            let Some(value) = value else { return Ok(()) };
            ConstGauge::new(value).encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)
        };
        gauge("process_resident_memory_bytes", "Resident memory size", resident_bytes())?;
        gauge("process_open_fds", "Open file descriptors", open_files())?;
        gauge("process_max_fds", "Most file descriptors that may be open", max_files())?;
        if let Some(time) = start_time() {
            let (name, help) = ("process_start_time_seconds", "When the process was started, in seconds since 1970");
            let descriptor = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(time.as_secs_f64()).encode(descriptor)?;
        }
        let Some(time) = cpu_time() else { return Ok(()) };
        let descriptor =
            encoder.encode_descriptor("process_cpu_seconds", "CPU time spent", None, MetricType::Counter)?;
        ConstCounter::new(time.as_secs_f64()).encode(descriptor)
    }
}

fn resident_bytes() -> Option<i64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse::<i64>().ok()?.checked_mul(1024)
}

fn open_files() -> Option<i64> {
    i64::try_from(fs::read_dir("/proc/self/fd").ok()?.count()).ok()
}

fn max_files() -> Option<i64> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    limit.and_then(|limit| i64::try_from(limit).ok())
}

/// User and system time of all threads (fields 14 and 15).
fn cpu_time() -> Option<Duration> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    time(&stat, 14)?.checked_add(time(&stat, 15)?)
}

/// Since 1970: when the machine was started, and how long after that the process was (field 22).
fn start_time() -> Option<Duration> {
    let (own, machine) = (fs::read_to_string("/proc/self/stat").ok()?, fs::read_to_string("/proc/stat").ok()?);
    let boot = machine.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    time(&own, 22)?.checked_add(Duration::from_secs(boot))
}

/// The time in a field of `stat` behind the second, the command's name, which may hold spaces.
fn time(stat: &str, field: usize) -> Option<Duration> {
    let ticks: u64 = stat.rsplit_once(") ")?.1.split(' ').nth(field.checked_sub(3)?)?.parse().ok()?;
    Some(Duration::from_millis(ticks.checked_mul(1000 / TICKS_PER_SECOND)?))
}

/// `USER_HZ`, the unit of times in `/proc`: 100 wherever Linux runs today.
const TICKS_PER_SECOND: u64 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_behind_a_name_that_may_hold_spaces() {
        let stat = "7 (a ) 9 (b)) S 1 1 1 0 -1 4194304 123 0 0 0 250 50 0 0 20 0 1 0 2671399 3932160 514";
        assert_eq!(time(stat, 14), Some(Duration::from_millis(2500)));
        assert_eq!(time(stat, 15), Some(Duration::from_millis(500)));
        assert_eq!(time(stat, 22), Some(Duration::from_millis(26_713_990)));
        assert_eq!((time(stat, 99), time("", 14), time(stat, 3)), (None, None, None));
    }

    /// Later than a year in which nothing of this was there, and not after the machine's own clock of files.
    #[test]
    fn a_process_was_started_before_it_wrote_a_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let written = file.as_file().metadata().unwrap().modified().unwrap();
        let written = written.duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap();
        let started = start_time().expect("Linux tells");
        // The machine's start is known to the second.
        assert!(started <= written + Duration::from_secs(2), "{started:?} {written:?}");
        assert!(started > Duration::from_secs(1_600_000_000), "{started:?}");
    }
}
