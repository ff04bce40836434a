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

/// User and system time of all threads (fields 14 and 15; the command's name may hold spaces).
fn cpu_time() -> Option<Duration> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let mut fields = stat.rsplit_once(") ")?.1.split(' ').skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    Some(Duration::from_millis(ticks()?.checked_add(ticks()?)?.checked_mul(1000 / TICKS_PER_SECOND)?))
}

/// `USER_HZ`, the unit of times in `/proc`: 100 wherever Linux runs today.
const TICKS_PER_SECOND: u64 = 100;
