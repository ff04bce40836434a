//! Files that keep tokens and temporary credentials from one run to the next.
//!
//! In `$HERALD_CACHE_DIR`, else in `herald` beside `$AWS_IAM_AUTHENTICATOR_CACHE_FILE`, else in
//! `~/.kube/cache/herald`, which is made with mode 0700; files have 0600. One file holds one token or one set
//! of credentials. Its name is a digest of everything that says whose it is: options, all variables of the cloud
//! and the contents of the files that they name, and of the AWS CLI's SSO logins if credentials come of one; for a
//! token the cluster and region as well. A change of
//! any of these is another name, so nothing has to be invalidated. A file is replaced by renaming a whole
//! one over it: no locks, and no reader ever sees a half. What cannot be read is as good as absent, and a
//! folder that cannot be written means that there is no cache.

use std::{
    ffi::OsString,
    fs::{self, DirBuilder, File},
    io::{self, Read as _, Write as _},
    os::unix::{
        ffi::OsStrExt as _,
        fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    },
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest as _, Sha256};

use crate::{
    provider::{ClusterId, Token},
    token::BearerToken,
};

mod alibaba;
mod aws;

/// The files of one caller.
pub struct Cache {
    folder: PathBuf,
    /// Digest of everything that says who asks.
    caller: Sha256,
    region: Option<String>,
    /// Everything is kept, not only what a person was asked for.
    all: bool,
}

/// What a token's file holds.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct KeptToken {
    token: String,
    made_at: u64,
    expires_at: u64,
}

/// Whose tokens and sessions are kept.
struct Owner<'a> {
    /// How the names of variables start that say who asks.
    variables: &'a [&'a str],
    /// Files whose contents say who asks: the variable that names each, and where it is without that, in the home.
    files: &'a [(&'a str, Option<&'a str>)],
    /// Options that say who asks.
    options: Vec<Option<String>>,
    /// Counts for a token, but not for a session.
    region: Option<String>,
}

/// What a session's file holds.
trait Kept: DeserializeOwned + Serialize {
    /// When the session ends, in Unix seconds.
    fn expires_at(&self) -> u64;

    /// Whether it is kept even where nobody asked for a cache.
    fn is_always_kept(&self) -> bool;
}

/// Changes with the meaning of the files.
const GENERATION: &str = "herald cache 1";
/// What must be left of a token's time, so that kubectl does not come back at once.
const TOKEN_MARGIN: Duration = Duration::from_secs(60);
/// What must be left of a session's time for one more token that is of use.
const SESSION_MARGIN: Duration = Duration::from_secs(3 * 60);
/// How names of files start and end, how many letters and digits are between, and how old such a file can be and still be of
/// use: a quarter of an hour for a token, half a day for the longest session that STS gives, a moment for one that is being
/// written; and an hour more.
const KINDS: [(&str, usize, &str, Duration); 3] = [
    ("token-", DIGITS, ".json", Duration::from_secs(75 * 60)),
    ("session-", DIGITS, ".json", Duration::from_secs(13 * 60 * 60)),
    (".new-", 6, "", Duration::from_secs(60 * 60)),
];
/// Of a digest in a name.
const DIGITS: usize = 64;
/// Largest file that is read, in bytes; far more than any is long.
const MAX_BYTES: u64 = 64 << 10;

// === impl Cache ===

impl Cache {
    fn open(mut variables: Vec<(OsString, OsString)>, owner: Owner<'_>, all: bool) -> Option<Self> {
        let find = |name: &str| variables.iter().find(|(key, _)| key == name).map(|(_, value)| Path::new(value));
        let find = |name: &str| find(name).filter(|value| !value.as_os_str().is_empty());
        let home = find("HOME");
        let beside = |file: &Path| file.parent().map(|folder| folder.join("herald"));
        let folder = find("HERALD_CACHE_DIR")
            .map(Path::to_owned)
            .or_else(|| find("AWS_IAM_AUTHENTICATOR_CACHE_FILE").and_then(beside))
            .or_else(|| home.map(|home| home.join(".kube/cache/herald")))?;
        let named = |name: &str| {
            find(name).map(|path| match (path.strip_prefix("~"), home) {
                (Ok(rest), Some(home)) => home.join(rest),
                _ => path.to_owned(),
            })
        };
        let usual = |place: Option<&str>| Some(home?.join(place?));
        let paths: Vec<_> = owner.files.iter().map(|(name, place)| named(name).or_else(|| usual(*place))).collect();
        // A pipe can be read only once, and not by us.
        let is_pipe = |path: &PathBuf| fs::metadata(path).is_ok_and(|metadata| !metadata.is_file());
        if paths.iter().flatten().any(|path| path != Path::new("/dev/null") && is_pipe(path)) {
            return None;
        }
        let files = paths.into_iter().map(|path| fs::read(path?).ok());
        let counts =
            |name: &OsString| owner.variables.iter().any(|start| name.as_bytes().starts_with(start.as_bytes()));
        let files: Vec<_> = files.collect();
        variables.retain(|(name, _)| counts(name));
        variables.sort();
        let mut caller = Sha256::new();
        add(&mut caller, Some(GENERATION.as_bytes()));
        owner.options.iter().for_each(|option| add(&mut caller, option.as_ref().map(String::as_bytes)));
        for (name, value) in &variables {
            add(&mut caller, Some(name.as_bytes()));
            add(&mut caller, Some(value.as_bytes()));
        }
        files.iter().for_each(|file| add(&mut caller, file.as_deref()));
        Some(Self { folder, caller, region: owner.region, all })
    }

    /// A token for `cluster_id` that kubectl can use for a while.
    #[must_use]
    pub fn token(&self, cluster_id: &ClusterId, now: SystemTime) -> Option<Token> {
        if !self.all {
            return None;
        }
        let kept: KeptToken = read(&self.token_file(cluster_id))?;
        let expires_at = moment(kept.expires_at)?;
        // A token from the future is one from before the clock was set right.
        (moment(kept.made_at)? <= now && now + TOKEN_MARGIN <= expires_at)
            .then(|| Token { token: BearerToken::new(kept.token), expires_at })
    }

    /// A session that is good for a while.
    fn kept<T: Kept>(&self, now: SystemTime) -> Option<T> {
        let kept: T = read(&self.session_file())?;
        let fresh = now + SESSION_MARGIN <= moment(kept.expires_at())?;
        (fresh && (self.all || kept.is_always_kept())).then_some(kept)
    }

    /// Keeps what is worth it. That it could not be kept is nothing that anybody has to know.
    fn store(&self, cluster_id: &ClusterId, session: Option<&impl Kept>, token: &Token, now: SystemTime) {
        if let Err(error) = self.try_to_store(cluster_id, session, token, now) {
            tracing::debug!(folder = %self.folder.display(), %error, "nothing is kept");
        }
    }

    fn try_to_store(
        &self,
        cluster_id: &ClusterId,
        session: Option<&impl Kept>,
        token: &Token,
        now: SystemTime,
    ) -> io::Result<()> {
        let session = session.filter(|session| self.all || session.is_always_kept());
        if !self.all && session.is_none() {
            return Ok(());
        }
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        sweep(&self.folder, now)?;
        if self.all {
            let (made_at, expires_at) = (seconds(now), seconds(token.expires_at));
            let kept = KeptToken { token: token.token.expose().to_owned(), made_at, expires_at };
            write(&self.folder, &self.token_file(cluster_id), &kept)?;
        }
        session.map_or(Ok(()), |session| write(&self.folder, &self.session_file(), session))
    }

    fn token_file(&self, cluster_id: &ClusterId) -> PathBuf {
        let mut digest = self.caller.clone();
        add(&mut digest, self.region.as_ref().map(String::as_bytes));
        add(&mut digest, Some(cluster_id.as_str().as_bytes()));
        self.file("token", digest)
    }

    fn session_file(&self) -> PathBuf {
        self.file("session", self.caller.clone())
    }

    fn file(&self, what: &str, digest: Sha256) -> PathBuf {
        let digest: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        self.folder.join(format!("{what}-{digest}.json"))
    }
}

/// With its length, so that two texts never look like two others.
fn add(digest: &mut Sha256, part: Option<&[u8]>) {
    digest.update(part.map_or(u64::MAX, |bytes| bytes.len() as u64).to_be_bytes());
    digest.update(part.unwrap_or_default());
}

/// What a file of ours holds. A link, somebody else's file and one that others may read are not ours.
fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    let no_links = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).ok()?;
    let file = File::options().read(true).custom_flags(no_links).open(path).ok()?;
    let metadata = file.metadata().ok()?;
    let ours = metadata.uid() == rustix::process::geteuid().as_raw() && metadata.mode() & 0o077 == 0;
    if !metadata.is_file() || !ours {
        return None;
    }
    let mut text = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

fn write(folder: &Path, path: &Path, value: &impl Serialize) -> io::Result<()> {
    let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(folder)?;
    file.write_all(&serde_json::to_vec(value)?)?;
    file.persist(path)?;
    Ok(())
}

/// Removes files of ours that are of no use to anybody any more. Whoever names a folder may have files of other programs in it.
fn sweep(folder: &Path, now: SystemTime) -> io::Result<()> {
    for entry in fs::read_dir(folder)?.flatten() {
        let name = entry.file_name();
        let is_of = |start: &str, letters: usize, end: &str| {
            let between = name.to_str().and_then(|name| name.strip_prefix(start)?.strip_suffix(end));
            between.is_some_and(|part| part.len() == letters && part.bytes().all(|byte| byte.is_ascii_alphanumeric()))
        };
        let kind = KINDS.iter().find(|(start, letters, end, _)| is_of(start, *letters, end));
        let age = entry.metadata().and_then(|metadata| metadata.modified()).map(|then| now.duration_since(then));
        if kind.is_some_and(|(.., most)| matches!(age, Ok(Ok(age)) if age > *most)) {
            // Another process may have been faster.
            let _ = fs::remove_file(entry.path());
        }
    }
    Ok(())
}

fn seconds(moment: SystemTime) -> u64 {
    moment.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn moment(seconds: u64) -> Option<SystemTime> {
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests;
