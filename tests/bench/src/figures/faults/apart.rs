//! What a server has to be started for: a wall clock that steps, and a state folder that is closed to writes.
//!
//! A library in front of the C library steps the clock, and the server has mounts of its own (unshare(1)).

use std::{
    env,
    fs::{self, OpenOptions},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::ensure;
use tests::tools;
use tokio::time::{Instant, sleep};

use super::{AFTERWARDS, AtMost, Bench, FAULT, Place, Plan, Row, output, run};

const MINUTE: i64 = 60;
const DAY: i64 = 24 * 60 * MINUTE;
/// How far the clock is from the right one; each is too far for a token of now.
const STEPS: [i64; 5] = [20 * MINUTE, DAY, -20 * MINUTE, -DAY, 400 * DAY];
/// How long the clock stays so.
const STEP: Duration = Duration::from_secs(2);
/// More than two thirds of a certificate's life, after which another one is to be written.
const RENEWAL: i64 = 61 * DAY;
/// Longest wait until the state folder is closed or open.
const REMOUNTED: Duration = Duration::from_secs(10);
/// The folder `$1` can be written to or not, as the file `$2` says; what it is now stands beside that file.
const SCRIPT: &str = r#"
set -e
mkdir -p "$1"
mount --bind "$1" "$1"
(was=rw
while kill -0 $$ 2>/dev/null; do
    now=$(cat "$2" 2>/dev/null || echo rw)
    if [ "$now" != "$was" ] && mount -o "remount,bind,$now" "$1"; then
        was=$now
        echo "$now" >"$2.done"
    fi
    sleep 0.1
done) >/dev/null 2>&1 </dev/null &
shift 2
exec "$@"
"#;

/// Where such a server runs, beside `other`; nowhere if there is no library for its clock, or there are no mounts for it.
pub(super) fn place(other: &Place) -> anyhow::Result<Option<Place>> {
    let Some(library) = tools::clock().filter(|_| tools::own_mounts()) else { return Ok(None) };
    let dir = other.dir.with_file_name("herald-apart");
    fs::create_dir_all(&dir)?;
    let clock = clock_file(&dir);
    fs::write(&clock, 0_i64.to_ne_bytes())?;
    let [state, mode] = [dir.join("state"), mode_file(&dir)].map(|path| path.display().to_string());
    let words = ["unshare", "--map-root-user", "--mount", "sh", "-c", SCRIPT, "sh", &state, &mode];
    let mut environment = other.environment.clone();
    environment.extend([
        ("LD_PRELOAD", library.display().to_string()),
        ("HERALD_TEST_CLOCK", clock.display().to_string()),
        ("PATH", env::var("PATH").unwrap_or_default()),
    ]);
    Ok(Some(Place { dir, wrapper: words.map(str::to_owned).into(), environment, ..other.clone() }))
}

fn clock_file(dir: &Path) -> PathBuf {
    dir.join("clock")
}

fn mode_file(dir: &Path) -> PathBuf {
    dir.join("mode")
}

impl Bench<'_> {
    /// Measures what can be done to a server at [`place`].
    pub(super) async fn run_apart(&mut self) -> anyhow::Result<()> {
        self.warm_up().await?;
        self.clock_steps().await?;
        self.read_only_state().await
    }

    /// Forward and back, while people log in whose clocks are right.
    async fn clock_steps(&mut self) -> anyhow::Result<()> {
        let mut let_in = 0.0;
        for seconds in STEPS {
            output::progress(format_args!("the clock is {seconds} s ahead"));
            self.set_clock(seconds)?;
            let plan = Plan { duration: STEP, ..self.good(AFTERWARDS) };
            let found = run::run(self.world, self.herald, &plan).await?;
            let_in += found.report.verdicts.authenticated as f64;
        }
        self.set_clock(0)?;
        let what = "logins let in whose token has ended, or not begun, by a clock that stepped";
        self.rows.push(Row::alone(what, "", vec![let_in], AtMost(0.0)));
        self.afterwards("steps of its clock").await
    }

    /// A certificate is to be written and cannot be; then people log in.
    async fn read_only_state(&mut self) -> anyhow::Result<()> {
        output::progress("the state folder is read-only");
        self.remount("ro").await?;
        let before = self.place.said(KEPT)?;
        self.set_clock(RENEWAL)?;
        self.place.until_said(KEPT, before).await?;
        self.set_clock(0)?;
        let plan = Plan { duration: FAULT, ..self.good(AFTERWARDS) };
        let found = run::run(self.world, self.herald, &plan).await?;
        let failed = found.report.verdicts.errors() + found.report.verdicts.wrong();
        let what = "logins that fail while the state folder is read-only";
        self.rows.push(Row::alone(what, "", vec![failed as f64], AtMost(0.0)));
        self.remount("rw").await?;
        self.afterwards("a read-only state folder").await
    }

    /// Sets its clock so many seconds ahead of the right time, or behind it.
    fn set_clock(&self, seconds: i64) -> anyhow::Result<()> {
        // In place: the library has the file mapped.
        let file = OpenOptions::new().write(true).open(clock_file(&self.place.dir))?;
        Ok(file.write_all_at(&seconds.to_ne_bytes(), 0)?)
    }

    /// Closes its state folder to writes (`ro`), or opens it (`rw`).
    async fn remount(&self, mode: &str) -> anyhow::Result<()> {
        let file = mode_file(&self.place.dir);
        fs::write(&file, mode)?;
        let end = Instant::now() + REMOUNTED;
        while fs::read_to_string(file.with_extension("done")).unwrap_or_default().trim() != mode {
            ensure!(Instant::now() < end, "the state folder does not become {mode}");
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }
}

/// What the process log says of a certificate that cannot be written.
const KEPT: &str = "certificate: the last good one stays";
