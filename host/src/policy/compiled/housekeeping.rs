//! Housekeeping: what nobody needs any more leaves the folder of compiled policies, so that it does not grow with every
//! version of a policy, of its settings and of Herald.
//!
//! A file's time of modification is when it was last needed: whoever loads it sets it, and a server sets it every hour
//! on all that it would need to start again. Several servers may share a folder, so none removes what was needed within
//! the last hours. Whatever goes too early, because a clock was wrong, is compiled again; a file that is in use stays in
//! memory after it is gone.

use std::{
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, futimens, utimensat};
use sha2::{Digest as _, Sha256};

use super::{Authentic, CODE, CompiledFolder, Form, Origin, name};
use crate::policy::{Config, Digest, Engine};

/// How often a server says what it needs.
pub const RENEW_EVERY: Duration = Duration::from_secs(3600);
/// What files are called that were half written when their writer was killed.
const HALF_WRITTEN: &str = ".tmp";

/// How much a folder keeps.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// What was needed within this time stays: somebody may have it in force.
    pub in_use: Duration,
    /// What nobody has needed for this long goes.
    pub forgotten: Duration,
    /// Of what is in between, the newest stay, as long as there are at most this many files in all …
    pub files: usize,
    /// … and this many bytes.
    pub bytes: u64,
}

/// What was removed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Removed {
    /// Files.
    pub files: usize,
    /// Their bytes, together.
    pub bytes: u64,
}

/// One file in the folder that may go.
struct Entry {
    path: PathBuf,
    bytes: u64,
    /// Since it was last needed; zero where the clock has stepped back.
    age: Duration,
}

// === impl Bounds ===

impl Bounds {
    /// What servers keep: a folder may be several servers'.
    pub const OF_SERVERS: Self = Self {
        in_use: Duration::from_secs(6 * 3600),
        forgotten: Duration::from_secs(30 * 24 * 3600),
        files: 64,
        bytes: 1 << 30,
    };
}

// === impl CompiledFolder ===

impl CompiledFolder {
    /// Says that the policies that `config` describes are needed. Best effort: a folder that cannot be written to is not
    /// cleaned either.
    pub fn renew(&self, engine: &Engine, config: &Config) {
        let Ok(component) = digest_of(&config.component) else { return };
        let settings = config.settings.to_string();
        let forms = [
            (engine, Form::AsBuilt),
            (engine.draft(), Form::Readable),
            (engine, Form::Configured(&settings)),
            (engine, Form::Functions),
        ];
        for (engine, form) in forms {
            let path = self.file(name(engine, Origin { component, form }));
            // Most are not there: a policy is compiled in one form or two.
            let _ = utimensat(CWD, &path, &needed_now(), AtFlags::SYMLINK_NOFOLLOW);
        }
    }

    /// Removes what nobody needs any more: what is forgotten, and the oldest files while there are more than `bounds` says,
    /// but never any that is in use.
    ///
    /// # Errors
    ///
    /// When the folder cannot be read, or the first file cannot be removed.
    pub fn tidy(&self, bounds: &Bounds, now: SystemTime) -> io::Result<Removed> {
        if self.key.is_err() {
            return Ok(Removed::default());
        }
        let mut entries = self.entries(now)?;
        entries.sort_by_key(|entry| entry.age);
        let (mut files, mut bytes, mut removed) = (0, 0, Removed::default());
        for entry in entries {
            (files, bytes) = (files + 1, bytes + entry.bytes);
            let is_too_much = files > bounds.files || bytes > bounds.bytes;
            if entry.age < bounds.in_use || (entry.age < bounds.forgotten && !is_too_much && entry.is_whole()) {
                continue;
            }
            match fs::remove_file(&entry.path) {
                // Another server does the same.
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            (files, bytes) = (files - 1, bytes - entry.bytes);
            removed = Removed { files: removed.files + 1, bytes: removed.bytes + entry.bytes };
        }
        Ok(removed)
    }

    /// Files of ours but the key. What somebody else has put here is left alone.
    fn entries(&self, now: SystemTime) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let path = entry?.path();
            // Gone meanwhile, or no file.
            let Ok(about) = fs::symlink_metadata(&path) else { continue };
            let entry = Entry {
                bytes: about.len(),
                age: about.modified().map(|then| now.duration_since(then).unwrap_or_default())?,
                path,
            };
            if about.is_file() && (entry.is_whole() || entry.is_half_written()) {
                entries.push(entry);
            }
        }
        Ok(entries)
    }
}

// === impl Authentic ===

impl Authentic {
    /// Says that it is needed.
    pub(super) fn renewed(self) -> Self {
        // Best effort, as in `renew`.
        let _ = futimens(&self.0, &needed_now());
        self
    }
}

// === impl Entry ===

impl Entry {
    fn is_whole(&self) -> bool {
        self.path.extension().is_some_and(|extension| extension == CODE)
    }

    fn is_half_written(&self) -> bool {
        let name = self.path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.starts_with(HALF_WRITTEN))
    }
}

/// Sets the time of modification to the kernel's present.
fn needed_now() -> Timestamps {
    let at = |tv_nsec| Timespec { tv_sec: 0, tv_nsec };
    Timestamps { last_access: at(UTIME_OMIT), last_modification: at(UTIME_NOW) }
}

/// SHA-256 of a component's file, without holding all of it.
fn digest_of(path: &Path) -> io::Result<Digest> {
    let (mut file, mut hasher, mut buffer) = (fs::File::open(path)?, Sha256::new(), vec![0; 64 << 10]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(Digest::new(hasher.finalize().into())),
            read => hasher.update(&buffer[..read]),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs::File};

    use super::*;
    use crate::policy::{
        Policy,
        tests::{ENGINE, Fixture, guest::Guest},
    };

    const HOUR: Duration = Duration::from_secs(3600);
    const DAY: Duration = Duration::from_secs(24 * 3600);
    const SERVERS: Bounds = Bounds::OF_SERVERS;

    /// Long after any real file of this test was made.
    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(5_000_000_000)
    }

    fn folder() -> (tempfile::TempDir, CompiledFolder) {
        let place = tempfile::tempdir().expect("a folder");
        let folder = CompiledFolder::open(&place.path().join("compiled")).expect("private");
        (place, folder)
    }

    fn put(folder: &CompiledFolder, name: &str, age: Duration, bytes: u64) {
        let file = File::create(folder.path.join(name)).expect("a file");
        file.set_len(bytes).expect("a hole");
        file.set_modified(now() - age).expect("a time");
    }

    fn left(folder: &CompiledFolder) -> BTreeSet<String> {
        let names = fs::read_dir(&folder.path).expect("there").map(|entry| entry.expect("there").file_name());
        names.map(|name| name.into_string().expect("ours")).filter(|name| name != "key").collect()
    }

    #[track_caller]
    fn check(files: &[(&str, Duration, u64)], expected: &[&str]) {
        check_within(&SERVERS, files, expected);
    }

    #[track_caller]
    fn check_within(bounds: &Bounds, files: &[(&str, Duration, u64)], expected: &[&str]) {
        let (_place, folder) = folder();
        files.iter().for_each(|(name, age, bytes)| put(&folder, name, *age, *bytes));
        let removed = folder.tidy(bounds, now()).expect("removed");
        assert_eq!(removed.files, files.len() - expected.len());
        assert_eq!(left(&folder), expected.iter().map(|&name| name.to_owned()).collect());
        assert_eq!(folder.tidy(bounds, now()).expect("nothing left to do"), Removed::default());
    }

    #[test]
    fn bounds_are_the_folders_own() {
        let bounds = Bounds { in_use: HOUR, files: 1, ..SERVERS };
        let files = [("a.cwasm", 3 * HOUR, 1), ("b.cwasm", 2 * HOUR, 1), (".tmpAbC", HOUR / 2, 1)];
        check_within(&bounds, &files[..2], &["b.cwasm"]);
        check_within(&bounds, &files, &[".tmpAbC"]);
    }

    #[test]
    fn what_nobody_has_needed_for_a_month_goes() {
        check(
            &[("a.cwasm", 29 * DAY, 1), ("b.cwasm", 30 * DAY, 1), ("c.cwasm", Duration::ZERO, 1)],
            &["a.cwasm", "c.cwasm"],
        );
        check(&[(".tmpAbC", 5 * HOUR, 1), (".tmpDeF", 7 * HOUR, 1)], &[".tmpAbC"]);
        check(&[("notes.txt", 300 * DAY, 1)], &["notes.txt"]);
    }

    #[test]
    fn a_clock_that_stepped_back_removes_nothing() {
        let (_place, folder) = folder();
        put(&folder, "a.cwasm", Duration::ZERO, 1);
        folder.tidy(&SERVERS, now() - 90 * DAY).expect("read");
        assert_eq!(left(&folder).len(), 1);
    }

    #[test]
    fn the_folder_is_bounded_in_number_and_size() {
        let (_place, folder) = folder();
        for age in 0..100_u32 {
            put(&folder, &format!("{age}.cwasm"), HOUR * age, 1);
        }
        assert_eq!(folder.tidy(&SERVERS, now()).expect("removed"), Removed { files: 100 - SERVERS.files, bytes: 36 });
        assert!(left(&folder).contains("63.cwasm") && !left(&folder).contains("64.cwasm"), "the newest stay");
        let half = SERVERS.bytes / 2;
        check(
            &[("a.cwasm", 7 * HOUR, half), ("b.cwasm", 8 * HOUR, half), ("c.cwasm", 9 * HOUR, 1)],
            &["a.cwasm", "b.cwasm"],
        );
    }

    #[test]
    fn what_another_server_needs_now_stays_however_much_there_is() {
        let (_place, folder) = folder();
        for number in 0..100 {
            put(&folder, &format!("{number}.cwasm"), HOUR, SERVERS.bytes / 10);
        }
        assert_eq!(folder.tidy(&SERVERS, now()).expect("read"), Removed::default());
    }

    #[test]
    fn loading_and_renewing_say_what_is_needed() {
        let fixture = Fixture::new(&Guest::allowing().component());
        let (path, folder) = fixture.compiled();
        let load = || Policy::load(&ENGINE, &fixture.config, Some(&folder)).expect("it loads");
        load();
        let files = left(&folder).len();
        let age = || {
            for name in left(&folder) {
                let file = File::open(path.join(name)).expect("there");
                file.set_modified(SystemTime::UNIX_EPOCH).expect("a time");
            }
        };
        let needed = || {
            let times =
                left(&folder).into_iter().map(|name| fs::metadata(path.join(name)).and_then(|it| it.modified()));
            times.filter(|time| time.as_ref().expect("there") > &SystemTime::UNIX_EPOCH).count()
        };
        age();
        put(&folder, "of-an-old-engine.cwasm", 31 * DAY, 1);
        load();
        assert_eq!(needed(), 2, "what decisions start from, and the stranger");
        age();
        folder.renew(&ENGINE, &fixture.config);
        assert_eq!(needed(), files, "all that this policy is compiled to, and not the stranger");
        // What was renewed just now is of the future, and 1970 is forgotten.
        folder.tidy(&SERVERS, SystemTime::UNIX_EPOCH + 31 * DAY).expect("removed");
        assert!(!left(&folder).contains("of-an-old-engine.cwasm") && left(&folder).len() == files);
    }
}
