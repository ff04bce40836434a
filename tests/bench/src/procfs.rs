//! Readings of one process: its CPU time (clock_getcpuclockid(3)), and from `/proc` (proc(5)) memory, threads and descriptors; and
//! the machine's own busy time, so that a run can tell how much of the CPU others had.

use std::fs;

use nix::{
    sched::{CpuSet, sched_setaffinity},
    time::ClockId,
    unistd::{Pid, SysconfVar, sysconf},
};
use serde::Serialize;

/// One process at one moment.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Sample {
    /// User and system time in milliseconds, exited threads included.
    pub(crate) cpu_ms: f64,
    /// Resident memory in KiB.
    pub(crate) rss_kib: u64,
    /// The anonymous part of it.
    pub(crate) anonymous_kib: u64,
    /// The largest resident memory so far.
    pub(crate) peak_kib: u64,
    /// Threads.
    pub(crate) threads: u64,
    /// Open descriptors.
    pub(crate) descriptors: u64,
}

/// Busy and total CPU time of the whole machine, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Machine {
    /// Neither idle nor waiting for a disk.
    pub(crate) busy_ms: f64,
    /// All of it.
    pub(crate) total_ms: f64,
}

/// User and system time of a process in milliseconds. `/proc/PID/stat` has it too, in steps of 10 ms: as much as a server with
/// little to do needs in a run.
pub(crate) fn cpu_ms(pid: u32) -> Option<f64> {
    let clock = ClockId::pid_cpu_clock_id(Pid::from_raw(pid.try_into().ok()?)).ok()?;
    let time = clock.now().ok()?;
    Some(time.tv_sec() as f64 * 1e3 + time.tv_nsec() as f64 / 1e6)
}

/// Reads one process, or `None` once it has ended, whether or not somebody has asked for its end yet: until then the kernel keeps
/// an entry of it, which has no memory.
pub(crate) fn sample(pid: u32) -> Option<Sample> {
    let mut sample = Sample { cpu_ms: cpu_ms(pid)?, ..Sample::default() };
    for line in fs::read_to_string(format!("/proc/{pid}/status")).ok()?.lines() {
        let Some((key, value)) = line.split_once(':') else { continue };
        let field = match key {
            "VmRSS" => &mut sample.rss_kib,
            "RssAnon" => &mut sample.anonymous_kib,
            "VmHWM" => &mut sample.peak_kib,
            "Threads" => &mut sample.threads,
            _ => continue,
        };
        *field = value.split_ascii_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0);
    }
    sample.descriptors = fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, |entries| entries.count() as u64);
    (sample.rss_kib > 0).then_some(sample)
}

/// Makes the peak start again from the present; a failure leaves it as it was.
pub(crate) fn reset_peak(pid: u32) {
    let _ = fs::write(format!("/proc/{pid}/clear_refs"), "5");
}

/// Reads the machine's CPU time.
pub(crate) fn machine() -> Option<Machine> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let fields: Vec<f64> =
        stat.lines().next()?.split_ascii_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
    let total: f64 = fields.iter().take(8).sum();
    let idle = fields.get(3)? + fields.get(4)?;
    Some(Machine { busy_ms: (total - idle) * ms_per_tick(), total_ms: total * ms_per_tick() })
}

/// Keeps a process that has just been spawned on these CPUs; none means all.
pub(crate) fn pin(pid: u32, cpus: &[usize]) -> anyhow::Result<()> {
    if cpus.is_empty() {
        return Ok(());
    }
    let mut set = CpuSet::new();
    for &cpu in cpus {
        set.set(cpu)?;
    }
    Ok(sched_setaffinity(Pid::from_raw(pid.try_into()?), &set)?)
}

fn ms_per_tick() -> f64 {
    let ticks = sysconf(SysconfVar::CLK_TCK).ok().flatten().unwrap_or(100);
    1000.0 / ticks as f64
}

#[cfg(test)]
mod tests {
    use std::{
        io::Read as _,
        process::{Command, Stdio},
    };

    use super::*;

    #[test]
    fn reads_its_own_process() {
        let sample = sample(std::process::id()).expect("we run");
        assert!(sample.rss_kib > 0 && sample.anonymous_kib > 0 && sample.threads > 0 && sample.descriptors > 0);
        assert!(sample.peak_kib >= sample.rss_kib);
        let before = cpu_ms(std::process::id()).expect("we run");
        let grows = |_: &u64| cpu_ms(std::process::id()).is_some_and(|now| now > before);
        assert!((0..u64::MAX).find(grows).is_some_and(|turns| turns < 1000), "far below ten milliseconds");
    }

    /// Else a server that crashes would be one that keeps no memory.
    #[test]
    fn an_ended_process_has_no_figures() {
        assert!(sample(u32::MAX).is_none());
        let mut child = Command::new("true").stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("it starts");
        // Its memory goes before its descriptors do.
        child.stdout.take().expect("a pipe").read_to_end(&mut Vec::new()).expect("an end");
        assert!(sample(child.id()).is_none(), "nobody has asked for its end");
        child.wait().expect("it has ended");
        assert!(sample(child.id()).is_none());
    }
}
