//! Credentials of the person or machine that wants a token: where they are looked for, and in which order.
//!
//! Order, variables and files are those of Alibaba Cloud's own tools: environment, with the file of
//! `ALIBABA_CLOUD_CREDENTIALS_FILE` at its end, `~/.aliyun/config.json`, `~/.alibabacloud/credentials`, and last
//! `~/.acs/credentials`, which has no profiles: whoever names one is not signed for by it. Looking asks nobody; keys that are
//! written there are taken as they are, and only for other sources is anything started or anybody called. A file
//! that cannot be read is reported and passed over, so that a good one behind it still counts. Instance metadata is
//! asked only where something names it: nobody waits for a service that is not there.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use crate::{caller::Arn, provider::SecretText};

pub mod aliyun;
pub mod answer;
mod environment;
pub(in crate::provider::alibaba) mod fetch;
pub mod ini;
pub mod process;

pub use environment::Environment;

use super::endpoint::Host;

/// An AccessKey, with the security token of a temporary one.
#[derive(Clone)]
pub struct Credentials {
    /// `LTAI…`, or `STS.…` for a temporary key.
    pub access_key_id: String,
    /// What it signs with.
    pub access_key_secret: SecretText,
    /// Of a temporary key.
    pub security_token: Option<SecretText>,
    /// When a temporary key ends, if that is known.
    pub expires_at: Option<SystemTime>,
}

/// What the user asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// Profile of a file. Default: `ALIBABA_CLOUD_PROFILE`, else the file's current one.
    pub profile: Option<String>,
    /// Take nothing but that profile: neither the environment's keys nor a file that has no profiles.
    pub profile_only: bool,
    /// File with profiles, instead of the environment and the usual files.
    pub profile_file: Option<PathBuf>,
    /// Leave the environment aside.
    pub ignore_environment: bool,
    /// Leave `~/.aliyun/config.json` aside.
    pub ignore_aliyun_cli: bool,
    /// Ask the instance's metadata, and nobody else.
    pub metadata_only: bool,
    /// Role to assume with what is found. Default: none.
    pub role: Option<Role>,
    /// Name of the session of a role for which none is given, as ActionTrail and the cluster will see it. Default
    /// `herald-<seconds since 1970>`.
    pub session_name: Option<String>,
    /// STS that is asked for the session of a role.
    pub sts: Host,
    /// The role's session will be kept, and should last an hour. Default: a quarter of one, for one token.
    pub long: bool,
}

/// A role to assume before signing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Role {
    /// Its ARN.
    pub arn: String,
    /// External id that its trust policy asks for.
    pub external_id: Option<String>,
    /// Session name. Default: as [`Request::session_name`] says.
    pub session_name: Option<String>,
    /// How long the session lasts, in seconds. Default: as [`Request::long`] says.
    pub seconds: Option<u32>,
}

/// Where credentials come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// They are written there.
    Keys(Credentials),
    /// The session of a role.
    Assume {
        /// Who assumes it.
        base: Box<Self>,
        /// The role.
        role: Role,
    },
    /// The session of a role for the holder of a token of OpenID Connect.
    Oidc {
        /// ARN of the provider that has made the token.
        provider_arn: String,
        /// The file with the token.
        token_file: PathBuf,
        /// The role.
        role: Role,
    },
    /// The URL that answers with them.
    Uri(String),
    /// The instance's metadata.
    Metadata {
        /// The instance's role. Default: the one that metadata names.
        role: Option<String>,
    },
    /// The command that prints them.
    Process(String),
    /// Of a person who has signed in with a browser.
    SignedIn(Session),
}

/// What Alibaba Cloud's CLI keeps of a person who has signed in with a browser. It alone can renew it.
#[derive(Clone, Debug)]
pub struct Session {
    keys: Credentials,
    profile: String,
}

/// Why there are no credentials.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// A source answered something else than credentials.
    #[error("{source_name} gives no credentials: {what}")]
    Answer {
        /// The source, without anything secret.
        source_name: &'static str,
        /// What is wrong with its answer.
        what: String,
    },
    /// A file says something that makes no sense.
    #[error("{}: {what}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// No file has the profile that is named.
    #[error(
        "no Alibaba Cloud credentials: no file has a profile {profile:?} (~/.aliyun/config.json and \
         ~/.alibabacloud/credentials have profiles)"
    )]
    NoProfile {
        /// The profile's name.
        profile: String,
    },
    /// No source has any.
    #[error(
        "no Alibaba Cloud credentials: set ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET, or run \
         `aliyun configure` (the environment, ~/.aliyun/config.json, ~/.alibabacloud/credentials and \
         ~/.acs/credentials have none)"
    )]
    NotFound,
    /// A program that prints credentials did not.
    #[error("the program that should print credentials failed")]
    Process(#[source] io::Error),
    /// The session of a person who signed in with a browser is over.
    #[error(
        "the session of profile {profile:?} has ended: run `aliyun sts GetCallerIdentity --profile {profile}`, which renews it"
    )]
    SignedOut {
        /// The profile's name.
        profile: String,
    },
    /// STS did not give the session of a role.
    #[error("the role {role} could not be assumed: {code}")]
    Refused {
        /// The role's ARN.
        role: String,
        /// The code of the answer, at most 64 letters and digits.
        code: String,
    },
    /// The machine is out of file descriptors or the like.
    #[error("the asynchronous runtime could not start")]
    Runtime(#[source] io::Error),
    /// A source did not answer.
    #[error("{source_name} cannot be asked")]
    Send {
        /// The source, without anything secret.
        source_name: &'static str,
        /// What happened.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A file that should hold a token cannot be read.
    #[error("{}, which a profile's oidc_token_file or ALIBABA_CLOUD_OIDC_TOKEN_FILE names, cannot be read", file.display())]
    TokenFile {
        /// The file.
        file: PathBuf,
        /// What happened.
        #[source]
        source: io::Error,
    },
}

/// Loads credentials for `request`, blocking the thread. Keys that are written somewhere cost no more than reading
/// them.
///
/// # Errors
///
/// [`LoadError`].
pub fn load(request: &Request, environment: &Environment, now: SystemTime) -> Result<Credentials, LoadError> {
    let source = find(request, environment)?;
    let source = match &request.role {
        Some(role) => Source::Assume { base: Box::new(source), role: role.clone() },
        None => source,
    };
    match source {
        Source::Keys(credentials) => Ok(credentials),
        Source::SignedIn(session) => session.at(now),
        source => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(LoadError::Runtime)?;
            runtime.block_on(fetch::Fetcher::new(request, environment, now).resolve(&source))
        }
    }
}

/// Where the credentials are that `request` wants.
fn find(request: &Request, environment: &Environment) -> Result<Source, LoadError> {
    if request.metadata_only {
        return Ok(Source::Metadata { role: environment.metadata_role() });
    }
    let profile = request.profile.clone().or_else(|| environment.profile());
    if let Some(file) = &request.profile_file {
        let json = file.extension().is_some_and(|extension| extension == "json");
        let found = if json { aliyun::read(file, profile.as_deref()) } else { ini::read(file, profile.as_deref()) };
        return found?.ok_or_else(|| LoadError::file(file, "has no profiles"));
    }
    if !(request.ignore_environment || request.profile_only)
        && let Some(source) = environment.source()
    {
        return Ok(source);
    }
    let mut trouble = None;
    type Reader = fn(&Path, Option<&str>) -> Result<Option<Source>, LoadError>;
    let files: [(Option<PathBuf>, Reader); 4] = [
        (environment.credentials_file().filter(|_| !request.ignore_environment), named),
        (environment.home(".aliyun/config.json").filter(|_| !request.ignore_aliyun_cli), aliyun::read),
        (environment.home(".alibabacloud/credentials"), ini::read),
        (environment.home(".acs/credentials").filter(|_| profile.is_none()), |file, _| answer::file(file)),
    ];
    for (file, read) in files {
        match file.map_or(Ok(None), |file| read(&file, profile.as_deref())) {
            Ok(Some(source)) => {
                trouble.inspect(|error| tracing::warn!("passed over: {error}"));
                return Ok(source);
            }
            Ok(None) => {}
            Err(error) => trouble = trouble.or(Some(error)),
        }
    }
    Err(trouble.unwrap_or_else(|| profile.map_or(LoadError::NotFound, |profile| LoadError::NoProfile { profile })))
}

/// The source in the file that a variable names. That it is not there is a mistake.
fn named(file: &Path, profile: Option<&str>) -> Result<Option<Source>, LoadError> {
    match ini::read(file, profile)? {
        None if !file.exists() => {
            Err(LoadError::file(file, "ALIBABA_CLOUD_CREDENTIALS_FILE names it, and it is not there"))
        }
        found => Ok(found),
    }
}

/// The text of a file; `None` if it is not there.
fn read_file(file: &Path) -> Result<Option<String>, LoadError> {
    match std::fs::read_to_string(file) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(LoadError::file(file, format!("cannot be read: {error}"))),
    }
}

// === impl Request ===

impl Request {
    /// Whatever the usual places have, by way of `sts` where STS is needed.
    #[must_use]
    pub fn new(sts: Host) -> Self {
        Self {
            profile: None,
            profile_only: false,
            profile_file: None,
            ignore_environment: false,
            ignore_aliyun_cli: false,
            metadata_only: false,
            role: None,
            session_name: None,
            sts,
            long: false,
        }
    }
}

// === impl Role ===

impl Role {
    /// A role, to be assumed under any session name.
    #[must_use]
    pub fn new(arn: &Arn) -> Self {
        Self::of(arn.to_string())
    }

    fn of(arn: String) -> Self {
        Self { arn, external_id: None, session_name: None, seconds: None }
    }
}

// === impl Session ===

impl Session {
    /// The keys, if they are good at `now`.
    ///
    /// # Errors
    ///
    /// [`LoadError::SignedOut`].
    pub fn at(self, now: SystemTime) -> Result<Credentials, LoadError> {
        let good = self.keys.expires_at.is_some_and(|end| end > now);
        if good { Ok(self.keys) } else { Err(LoadError::SignedOut { profile: self.profile }) }
    }
}

// === impl LoadError ===

impl LoadError {
    fn file(file: &Path, what: impl Into<String>) -> Self {
        Self::File { file: file.to_owned(), what: what.into() }
    }
}

// === impl Credentials ===

impl Credentials {
    /// Keys of which nobody knows when they end.
    #[must_use]
    pub fn new(id: &str, secret: &str, security_token: Option<&str>) -> Self {
        let hide = |text: &str| SecretText::new(text.to_owned());
        Self {
            access_key_id: id.to_owned(),
            access_key_secret: hide(secret),
            security_token: security_token.map(hide),
            expires_at: None,
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { access_key_id, expires_at, .. } = self;
        f.debug_struct("Credentials")
            .field("access_key_id", access_key_id)
            .field("expires_at", expires_at)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
