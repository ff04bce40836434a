//! Files that keep tokens and temporary credentials from one run to the next.
//!
//! In `$HERALD_CACHE_DIR`, else in `herald` beside `$AWS_IAM_AUTHENTICATOR_CACHE_FILE`, else in
//! `~/.kube/cache/herald`, which is made with mode 0700; files have 0600. One file holds one token or one set
//! of credentials. Its name is a digest of everything that says whose it is: options, all `AWS_` variables
//! and the contents of the files that they name; for a token the cluster and region as well. A change of
//! any of these is another name, so nothing has to be invalidated. A file is replaced by renaming a whole
//! one over it: no locks, and no reader ever sees a half. What cannot be read is as good as absent, and a
//! folder that cannot be written means that there is no cache.

use std::{
    env,
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

use aws_credential_types::Credentials;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest as _, Sha256};

use crate::{
    provider::aws::{
        ClusterId,
        credentials::{Request, Session},
        presign::Token,
    },
    token::BearerToken,
};

/// The files of one caller.
pub(super) struct Cache {
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

/// What a session's file holds.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct KeptSession {
    access_key_id: String,
    secret_access_key: String,
    session_token: String,
    expires_at: u64,
    region: String,
    fips: bool,
    dual_stack: bool,
    asked: bool,
}

/// Files whose contents say who asks: the variable that names each, and where it is without that, in the home.
const FILES: [(&str, Option<&str>); 4] = [
    ("AWS_CONFIG_FILE", Some(".aws/config")),
    ("AWS_SHARED_CREDENTIALS_FILE", Some(".aws/credentials")),
    ("AWS_WEB_IDENTITY_TOKEN_FILE", None),
    ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", None),
];
/// Changes with the meaning of the files.
const GENERATION: &str = "herald cache 1";
/// What must be left of a token's time, so that kubectl does not come back at once.
const TOKEN_MARGIN: Duration = Duration::from_secs(60);
/// What must be left of a session's time for one more token that is of use.
const SESSION_MARGIN: Duration = Duration::from_secs(3 * 60);
/// Names of files, and how old such a file can be and still be of use: a quarter of an hour for a token, half a
/// day for the longest session that STS gives, a moment for one that is being written; and an hour more.
const KINDS: [(&str, Duration); 3] = [
    ("token-", Duration::from_secs(75 * 60)),
    ("session-", Duration::from_secs(13 * 60 * 60)),
    (".new-", Duration::from_secs(60 * 60)),
];
/// Largest file that is read, in bytes; far more than any is long.
const MAX_BYTES: u64 = 64 << 10;

// === impl Cache ===

impl Cache {
    /// The cache for `request`. `None` when `switch` turns it off, when it could save nothing, and when there
    /// is no home for it.
    pub(super) fn new(request: &Request, switch: Option<bool>) -> Option<Self> {
        // Keys in the environment are at hand already: one look-up of a variable is all that they cost.
        let at_hand = request.profile.is_none() && env::var_os("AWS_ACCESS_KEY_ID").is_some_and(|key| !key.is_empty());
        if switch == Some(false) || (switch.is_none() && at_hand) {
            return None;
        }
        Self::of(env::vars_os().collect(), request, switch == Some(true))
    }

    fn of(mut variables: Vec<(OsString, OsString)>, request: &Request, all: bool) -> Option<Self> {
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
        let paths = FILES.map(|(name, place)| named(name).or_else(|| usual(place)));
        // A pipe can be read only once, and not by us.
        let is_pipe = |path: &PathBuf| fs::metadata(path).is_ok_and(|metadata| !metadata.is_file());
        if paths.iter().flatten().any(|path| path != Path::new("/dev/null") && is_pipe(path)) {
            return None;
        }
        let files = paths.map(|path| fs::read(path?).ok());
        variables.retain(|(name, _)| name.as_bytes().starts_with(b"AWS_"));
        variables.sort();
        let mut caller = Sha256::new();
        add(&mut caller, Some(GENERATION.as_bytes()));
        add(&mut caller, request.profile.as_ref().map(String::as_bytes));
        add(&mut caller, request.role.as_ref().map(|role| format!("{role:?}")).as_ref().map(String::as_bytes));
        add(&mut caller, request.region.as_ref().map(|_| b"named".as_slice()));
        for (name, value) in &variables {
            add(&mut caller, Some(name.as_bytes()));
            add(&mut caller, Some(value.as_bytes()));
        }
        files.iter().for_each(|file| add(&mut caller, file.as_deref()));
        Some(Self { folder, caller, region: request.region.clone(), all })
    }

    /// A token for `cluster_id` that kubectl can use for a while.
    pub(super) fn token(&self, cluster_id: &ClusterId, now: SystemTime) -> Option<Token> {
        if !self.all {
            return None;
        }
        let kept: KeptToken = read(&self.token_file(cluster_id))?;
        let expires_at = moment(kept.expires_at)?;
        // A token from the future is one from before the clock was set right.
        (moment(kept.made_at)? <= now && now + TOKEN_MARGIN <= expires_at)
            .then(|| Token { token: BearerToken::new(kept.token), expires_at })
    }

    /// Temporary credentials that are good for a while.
    pub(super) fn session(&self, now: SystemTime) -> Option<Session> {
        let kept: KeptSession = read(&self.session_file())?;
        let end = moment(kept.expires_at)?;
        if now + SESSION_MARGIN > end || !(self.all || kept.asked) {
            return None;
        }
        let KeptSession { access_key_id, secret_access_key, session_token, .. } = kept;
        Some(Session {
            credentials: Credentials::new(access_key_id, secret_access_key, Some(session_token), Some(end), "cache"),
            region: self.region.clone().unwrap_or(kept.region),
            fips: kept.fips,
            dual_stack: kept.dual_stack,
            asked: kept.asked,
        })
    }

    /// Keeps what is worth it. That it could not be kept is nothing that anybody has to know.
    pub(super) fn keep(&self, cluster_id: &ClusterId, session: &Session, token: &Token, now: SystemTime) {
        if let Err(error) = self.try_to_keep(cluster_id, session, token, now) {
            tracing::debug!(folder = %self.folder.display(), %error, "nothing is kept");
        }
    }

    fn try_to_keep(&self, cluster_id: &ClusterId, session: &Session, token: &Token, now: SystemTime) -> io::Result<()> {
        if !(self.all || session.asked) {
            return Ok(());
        }
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        sweep(&self.folder, now)?;
        if self.all {
            let (made_at, expires_at) = (seconds(now), seconds(token.expires_at));
            let kept = KeptToken { token: token.token.expose().to_owned(), made_at, expires_at };
            write(&self.folder, &self.token_file(cluster_id), &kept)?;
        }
        let credentials = &session.credentials;
        let (Some(end), Some(session_token)) = (credentials.expiry(), credentials.session_token()) else {
            return Ok(());
        };
        let kept = KeptSession {
            access_key_id: credentials.access_key_id().to_owned(),
            secret_access_key: credentials.secret_access_key().to_owned(),
            session_token: session_token.to_owned(),
            expires_at: seconds(end),
            region: session.region.clone(),
            fips: session.fips,
            dual_stack: session.dual_stack,
            asked: session.asked,
        };
        write(&self.folder, &self.session_file(), &kept)
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

/// Removes files of ours that are of no use to anybody any more.
fn sweep(folder: &Path, now: SystemTime) -> io::Result<()> {
    for entry in fs::read_dir(folder)?.flatten() {
        let name = entry.file_name();
        let kind = KINDS.iter().find(|(start, _)| name.as_bytes().starts_with(start.as_bytes()));
        let age = entry.metadata().and_then(|metadata| metadata.modified()).map(|then| now.duration_since(then));
        if kind.is_some_and(|(_, most)| matches!(age, Ok(Ok(age)) if age > *most)) {
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
