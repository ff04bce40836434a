//! Compiles large policies in a process of its own: `herald policy compile` of the same binary, with the lowest priority
//! and limits of its own, so that the server's memory never grows and logins go on. The first load of a server waits for
//! it, a reload does not.

use std::{
    collections::VecDeque,
    fs,
    io::Read as _,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, ChildStderr, Command, ExitStatus, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use crate::{
    cli::policy::compile::MYSELF,
    config::compilations::{Compiler, Stop},
    policy,
};

/// Longest time that one policy may take. The largest take half a minute of a processor.
const LONGEST: Duration = Duration::from_secs(300);
/// Most memory that the process may take, in MiB. The largest policies need less on one processor.
const MOST_MEMORY: u64 = 1024;
/// Of what the container has left, in MiB: kept for the server, and the least with which it is worth a try.
const KEPT: u64 = 8;
const LEAST: u64 = 64;
const POLL: Duration = Duration::from_millis(20);
/// Most that is kept of what the process has to say, the end of it.
const MAX_WORDS: usize = 16 << 10;
/// What the allocator says before it gives up.
const NO_MEMORY: &str = "memory allocation of ";

/// Compiles below `state_dir`.
pub(super) fn compiler(state_dir: PathBuf) -> Compiler {
    Arc::new(move |config, policy, stop| {
        let (started, policy) = (Instant::now(), &policy.name);
        tracing::info!(%policy, "compiling a large policy in a process of its own");
        run(command(config, &state_dir, policy, most_memory(left())?), LONGEST, stop)?;
        tracing::info!(%policy, seconds = started.elapsed().as_secs(), "compiled a large policy");
        Ok(())
    })
}

fn command(config: &Path, state_dir: &Path, policy: &policy::Name, mebibytes: u64) -> Command {
    let mut command = Command::new(MYSELF);
    command
        // Not by an old name, which would mean other arguments.
        .arg0("herald")
        .args(["policy", "compile", "--config"])
        .arg(config)
        .arg("--state-dir")
        .arg(state_dir)
        .args(["--only", policy.as_str(), "--background", &format!("{mebibytes}Mi")])
        // No credentials, and nothing else that is the server's.
        .env_clear();
    command
}

/// Runs `command` to its end, but no longer than `longest` or until it is stopped; what went wrong is one line.
fn run(mut command: Command, longest: Duration, stop: &Stop) -> Result<(), String> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let program = command.get_program().to_string_lossy().into_owned();
    let mut child = command.spawn().map_err(|error| format!("{program} cannot be started: {error}"))?;
    // All the time, or it would wait until there is room in the pipe.
    let said = child.stderr.take().map(|stderr| thread::Builder::new().spawn(|| last_words(stderr)));
    let said = said.transpose().map_err(|error| {
        end(&mut child);
        format!("there is no thread for what {program} says: {error}")
    })?;
    let status = wait(&mut child, longest, stop);
    let said = said.and_then(|said| said.join().ok()).unwrap_or_default();
    match status {
        None if stop.is_told() => Err("it was stopped".to_owned()),
        None => Err(format!("it took longer than {longest:?}")),
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(words(&said, status)),
    }
}

/// Waits for the end; `None`: it did not come in time, or nobody waits for it any more, and was brought about.
fn wait(child: &mut Child, longest: Duration, stop: &Stop) -> Option<ExitStatus> {
    let started = Instant::now();
    while started.elapsed() < longest && !stop.is_told() {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        thread::sleep(POLL);
    }
    end(child);
    None
}

/// It may have ended by now, which is as good.
fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// The end of all that it says until it ends. What cannot be read was not said.
fn last_words(mut stderr: ChildStderr) -> String {
    let (mut said, mut buffer) = (VecDeque::new(), [0; 4096]);
    while let Ok(read @ 1..) = stderr.read(&mut buffer) {
        said.extend(&buffer[..read]);
        said.drain(..said.len().saturating_sub(MAX_WORDS));
    }
    String::from_utf8_lossy(said.make_contiguous()).into_owned()
}

/// Its complaint, or how it ended and what to do.
fn words(said: &str, status: ExitStatus) -> String {
    let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
    if let Some(complaint) = last.strip_prefix("herald: ") {
        return complaint.to_owned();
    }
    let last = said.lines().find(|line| line.starts_with(NO_MEMORY)).unwrap_or(last);
    let colon = if last.is_empty() { "" } else { ": " };
    format!(
        "it ended with {status}{colon}{last}; if memory ran out, allow the container more, or run `herald policy compile` in one of its own"
    )
}

/// The most memory for the process, in MiB. One that takes more than the container has left would be the kernel's to end,
/// and in some clusters the server with it.
fn most_memory(left: Option<u64>) -> Result<u64, String> {
    let most = left.map_or(MOST_MEMORY, |left| (left >> 20).saturating_sub(KEPT).min(MOST_MEMORY));
    if most < LEAST {
        return Err(format!(
            "only {most} MiB of memory are left for it: allow the container more, or run `herald policy compile` in one of its own"
        ));
    }
    Ok(most)
}

/// Bytes that this process's container may still take; `None` where there is no limit, or the kernel does not tell.
fn left() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    // Version 2 has one line (cgroups(7)).
    let group = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    left_in(&Path::new("/sys/fs/cgroup").join(group))
}

/// What the limit of `group` leaves, taking for free what the kernel can drop.
fn left_in(group: &Path) -> Option<u64> {
    let number = |name: &str| fs::read_to_string(group.join(name)).ok()?.trim().parse::<u64>().ok();
    let (most, taken) = (number("memory.max")?, number("memory.current")?);
    let statistics = fs::read_to_string(group.join("memory.stat")).unwrap_or_default();
    let cached = statistics.lines().find_map(|line| line.strip_prefix("inactive_file ")?.parse().ok());
    Some(most.saturating_sub(taken.saturating_sub(cached.unwrap_or(0))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn it_ends_well_or_says_why_in_one_line() {
        #[track_caller]
        fn check(script: &str, expected: Result<(), &str>) {
            let found = run(shell(script), Duration::from_secs(60), &Stop::default());
            assert_eq!(found, expected.map_err(str::to_owned));
        }
        check("true", Ok(()));
        check(
            "echo time=1 level=warn >&2; echo 'herald: a.wasm: refuses its settings: no' >&2; exit 1",
            Err("a.wasm: refuses its settings: no"),
        );
        const IF: &str =
            "; if memory ran out, allow the container more, or run `herald policy compile` in one of its own";
        check(
            "echo memory allocation of 9 bytes failed >&2; echo skipping backtrace >&2; exit 3",
            Err(&format!("it ended with exit status: 3: memory allocation of 9 bytes failed{IF}")),
        );
        check("kill -9 $$", Err(&format!("it ended with signal: 9 (SIGKILL){IF}")));
        let gone = run(Command::new("/nonexistent/herald"), LONGEST, &Stop::default()).expect_err("there is none");
        assert!(gone.starts_with("/nonexistent/herald cannot be started: No such file"), "{gone}");
    }

    /// More than a pipe holds: a thousand warnings about a configuration.
    #[test]
    fn it_may_say_much() {
        const MUCH: &str = "i=0; while [ $i -lt 3000 ]; do echo level=warning msg=left-out-since-it-is-no-good $i >&2; \
                            i=$((i+1)); done; echo 'herald: no' >&2; exit 1";
        assert_eq!(run(shell(MUCH), Duration::from_secs(60), &Stop::default()), Err("no".to_owned()));
    }

    #[test]
    fn it_is_bounded_in_time() {
        let started = Instant::now();
        let found = run(shell("exec sleep 60"), Duration::from_millis(100), &Stop::default());
        assert_eq!(found, Err("it took longer than 100ms".to_owned()));
        assert!(started.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn it_gets_what_the_container_has_left() {
        const MIB: u64 = 1 << 20;
        assert_eq!(most_memory(None), Ok(1024));
        assert_eq!(most_memory(Some(4096 * MIB)), Ok(1024));
        assert_eq!(most_memory(Some(200 * MIB)), Ok(192));
        assert!(most_memory(Some(31 * MIB)).is_err_and(|why| why.starts_with("only 23 MiB")));
        assert!(most_memory(Some(0)).is_err());
    }

    #[test]
    fn what_is_left_is_read_as_the_kernel_writes_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("a file");
        assert_eq!(left_in(folder.path()), None);
        write("memory.current", "5000\n");
        write("memory.max", "max\n");
        assert_eq!(left_in(folder.path()), None);
        write("memory.max", "20000\n");
        assert_eq!(left_in(folder.path()), Some(15_000));
        write("memory.stat", "anon 3000\ninactive_file 1000\n");
        assert_eq!(left_in(folder.path()), Some(16_000));
        write("memory.max", "100\n");
        assert_eq!(left_in(folder.path()), Some(0));
    }

    #[test]
    fn it_is_this_binary_with_nothing_of_the_servers_environment() {
        let name: policy::Name = "oncall".parse().expect("a name");
        let command = command(Path::new("/etc/herald.yaml"), Path::new("/var/herald"), &name, 64);
        let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy()).collect();
        let expected =
            "policy compile --config /etc/herald.yaml --state-dir /var/herald --only oncall --background 64Mi";
        assert_eq!((command.get_program().to_str(), words.join(" ").as_str()), (Some(MYSELF), expected));
        assert_eq!(command.get_envs().count(), 0);
    }
}
