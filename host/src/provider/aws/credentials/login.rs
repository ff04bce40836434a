//! Logins: what the AWS CLI keeps of people who have signed in to IAM Identity Center with a browser (AWS SDKs and Tools
//! Reference Guide, "IAM Identity Center credential provider").
//!
//! `aws sso logout` takes a login away, and whoever signs in next has another: credentials that came of the one before are
//! nobody's then.

use std::{
    collections::HashMap,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use aws_config::profile::{self, ProfileSet};
use aws_types::os_shim_internal::{Env, Fs};

use super::{
    DEFAULT_PROFILE, Request,
    environment::{PROFILE, first},
};

/// Where logins are kept, in the home.
const FOLDER: &str = ".aws/sso/cache";
/// Keys of a profile whose credentials come of a login.
const KEYS: [&str; 2] = ["sso_session", "sso_start_url"];

/// The logins that are there, if the profile that counts for `request` among these variables gets its credentials by one,
/// itself or through a `source_profile`. They are secrets. No network.
#[must_use]
pub fn logins(request: &Request, variables: Vec<(OsString, OsString)>) -> Option<String> {
    let text = |text: OsString| text.to_string_lossy().into_owned();
    let variables: HashMap<String, String> =
        variables.into_iter().map(|(name, value)| (text(name), text(value))).collect();
    let home = variables.get("HOME").filter(|home| !home.is_empty())?;
    let entries = fs::read_dir(Path::new(home).join(FOLDER)).ok()?;
    let profile = first(request.profile.as_deref(), &PROFILE, |name| variables.get(name).cloned());
    if !is_by_login(&profiles(variables)?, profile.as_deref().unwrap_or(DEFAULT_PROFILE)) {
        return None;
    }
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    files.sort();
    Some(files.iter().filter_map(|file| fs::read_to_string(file).ok()).collect())
}

fn is_by_login(profiles: &ProfileSet, name: &str) -> bool {
    let mut next = Some(name);
    // No chain has more links than there are profiles.
    for _ in profiles.profiles() {
        let Some(profile) = next.and_then(|name| profiles.get_profile(name)) else { return false };
        if KEYS.iter().any(|key| profile.get(key).is_some()) {
            return true;
        }
        next = profile.get("source_profile");
    }
    false
}

fn profiles(variables: HashMap<String, String>) -> Option<ProfileSet> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().ok()?;
    runtime.block_on(profile::load(&Fs::real(), &Env::from(variables), &Default::default(), None)).ok()
}
