//! `~/.aliyun/config.json`: the profiles of Alibaba Cloud's CLI, and what a credential program prints.

use std::{
    path::Path,
    time::{Duration, SystemTime},
};

use serde::Deserialize;
use zeroize::Zeroizing;

use super::{Credentials, LoadError, Role, Session, Source, answer::described, read_file};
use crate::provider::SecretText;

#[derive(Deserialize)]
struct File {
    /// Where it is left out, the CLI takes `default`.
    #[serde(default = "default_profile")]
    current: String,
    #[serde(default)]
    profiles: Vec<Profile>,
}

/// A profile. What other modes need is left out.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Profile {
    pub(super) name: String,
    pub(super) mode: String,
    pub(super) access_key_id: String,
    pub(super) access_key_secret: SecretText,
    pub(super) sts_token: SecretText,
    pub(super) ram_role_arn: String,
    pub(super) ram_session_name: String,
    pub(super) ram_role_name: String,
    pub(super) external_id: String,
    pub(super) source_profile: String,
    pub(super) process_command: String,
    pub(super) credentials_uri: String,
    pub(super) oidc_provider_arn: String,
    pub(super) oidc_token_file: String,
    pub(super) expired_seconds: Option<u32>,
    /// When the keys of a session end, in seconds since 1970: of a person who has signed in, or as a program printed it.
    pub(super) sts_expiration: u64,
}

/// What is left to whoever has another kind of credentials.
pub(super) const ELSE: &str = "for others take External, with a program that prints a profile of mode StsToken as JSON";
/// Most profiles that refer to each other.
const MAX_CHAIN: usize = 8;

/// The source of the profile `name`, or of the current one; `None` if the file is not there or has no profiles.
pub(super) fn read(file: &Path, name: Option<&str>) -> Result<Option<Source>, LoadError> {
    let Some(text) = read_file(file)?.map(Zeroizing::new) else { return Ok(None) };
    parse(&text, name).map_err(|what| LoadError::file(file, what))
}

/// The same by the text of the file.
///
/// # Errors
///
/// What is wrong with it, without anything secret.
pub fn parse(text: &str, name: Option<&str>) -> Result<Option<Source>, String> {
    let parsed: File = serde_json::from_str(text).map_err(|error| described(&error))?;
    let wanted = name.unwrap_or(&parsed.current);
    match parsed.find(wanted) {
        Some(profile) => parsed.source(profile, MAX_CHAIN).map(Some),
        None if name.is_some() => Err(format!("has no profile {wanted:?}")),
        None if parsed.profiles.is_empty() => Ok(None),
        None => Err(format!(
            "its current profile {wanted:?} is not there: choose one with `aliyun configure switch --profile NAME` or \
             ALIBABA_CLOUD_PROFILE"
        )),
    }
}

fn default_profile() -> String {
    "default".to_owned()
}

// === impl File ===

impl File {
    fn find(&self, name: &str) -> Option<&Profile> {
        self.profiles.iter().find(|profile| profile.name == name)
    }

    fn source(&self, profile: &Profile, depth: usize) -> Result<Source, String> {
        match profile.mode.as_str() {
            "ChainableRamRoleArn" => {}
            // The CLI reads `sts_expiration` for people who sign in alone, and leaves an old one where a profile is set to
            // other keys: whether these have ended, STS tells.
            "StsToken" => return Ok(Source::Keys(Credentials { expires_at: None, ..profile.session()? })),
            // As the CLI makes it before anything is configured.
            "" => {
                let Profile { name, .. } = profile;
                return Err(format!("its profile {name:?} is not set up: run `aliyun configure --profile {name}`"));
            }
            _ => return profile.source(),
        }
        let name = &profile.source_profile;
        let base = self.find(name).ok_or_else(|| format!("has no profile {name:?}"))?;
        let depth = depth.checked_sub(1).ok_or("has profiles that refer to each other in a circle")?;
        let base = Box::new(self.source(base, depth)?);
        Ok(Source::Assume { base, role: profile.role()? })
    }
}

// === impl Profile ===

impl Profile {
    /// The source that this profile is by itself.
    pub(super) fn source(&self) -> Result<Source, String> {
        match self.mode.as_str() {
            "AK" => Ok(Source::Keys(self.keys(None)?)),
            "StsToken" => Ok(Source::Keys(self.session()?)),
            "CloudSSO" | "OAuth" => self.signed_in(),
            "RamRoleArn" => {
                let token = Some(self.sts_token.expose()).filter(|token| !token.is_empty());
                Ok(Source::Assume { base: Box::new(Source::Keys(self.keys(token)?)), role: self.role()? })
            }
            "EcsRamRole" => Ok(Source::Metadata { role: some(&self.ram_role_name) }),
            "RamRoleArnWithRoleName" => {
                let base = Box::new(Source::Metadata { role: some(&self.ram_role_name) });
                Ok(Source::Assume { base, role: self.role()? })
            }
            "OIDC" => Ok(Source::Oidc {
                provider_arn: needed("oidc_provider_arn", &self.oidc_provider_arn)?,
                token_file: needed("oidc_token_file", &self.oidc_token_file)?.into(),
                role: self.role()?,
            }),
            "External" => Ok(Source::Process(needed("process_command", &self.process_command)?)),
            "CredentialsURI" => Ok(Source::Uri(needed("credentials_uri", &self.credentials_uri)?)),
            other => Err(format!(
                "has a profile of mode {other:?}: known are AK, StsToken, RamRoleArn, EcsRamRole, \
                 RamRoleArnWithRoleName, ChainableRamRoleArn, OIDC, CloudSSO, OAuth, External and CredentialsURI; {ELSE}"
            )),
        }
    }

    /// What the CLI keeps of a person who signed in with a browser.
    fn signed_in(&self) -> Result<Source, String> {
        let Self { mode, name, .. } = self;
        if self.access_key_id.is_empty() || self.sts_expiration == 0 {
            return Err(format!(
                "has a profile of mode {mode} without a session: run `aliyun configure --profile {name}`"
            ));
        }
        Ok(Source::SignedIn(Session { keys: self.session()?, profile: name.clone() }))
    }

    /// Temporary keys, with their end if one is written beside them.
    fn session(&self) -> Result<Credentials, String> {
        let token = self.sts_token.expose();
        if token.is_empty() {
            return Err(format!("has a profile of mode {} without sts_token", self.mode));
        }
        let end = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(self.sts_expiration));
        Ok(Credentials { expires_at: end.filter(|_| self.sts_expiration > 0), ..self.keys(Some(token))? })
    }

    fn keys(&self, token: Option<&str>) -> Result<Credentials, String> {
        if self.access_key_id.is_empty() || self.access_key_secret.expose().is_empty() {
            return Err("has a profile without access_key_id or access_key_secret".to_owned());
        }
        Ok(Credentials::new(&self.access_key_id, self.access_key_secret.expose(), token))
    }

    fn role(&self) -> Result<Role, String> {
        Ok(Role {
            external_id: some(&self.external_id),
            session_name: some(&self.ram_session_name),
            seconds: self.expired_seconds.filter(|seconds| *seconds > 0),
            ..Role::of(needed("ram_role_arn", &self.ram_role_arn)?)
        })
    }
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn needed(key: &str, text: &str) -> Result<String, String> {
    some(text).ok_or_else(|| format!("has a profile without {key}"))
}
