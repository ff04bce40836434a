//! `~/.alibabacloud/credentials`: sections of `key = value` lines.
//!
//! A comment is a line that starts with `#` or `;`: inside a value these characters belong to it, as secrets may hold
//! them.

use std::path::Path;

use zeroize::Zeroizing;

use super::{
    LoadError, Source,
    aliyun::{ELSE, Profile},
    read_file,
};
use crate::provider::SecretText;

/// The section that counts where nobody names one.
const DEFAULT: &str = "default";

/// The source of the section `name`, or of the default one; `None` if the file is not there or has no sections.
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
    let wanted = name.unwrap_or(DEFAULT);
    match section(text, wanted) {
        Some(pairs) => source(&pairs).map(Some),
        None if name.is_some() => Err(format!("has no section [{wanted}]")),
        None if text.lines().any(|line| line.trim_start().starts_with('[')) => {
            Err(format!("has no section [{wanted}]: choose another with ALIBABA_CLOUD_PROFILE"))
        }
        None => Ok(None),
    }
}

/// The pairs of a section; of a key that comes twice, the last.
fn section<'a>(text: &'a str, wanted: &str) -> Option<Vec<(&'a str, &'a str)>> {
    let mut found = None::<Vec<_>>;
    let mut inside = false;
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['#', ';'])) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            inside = name.trim() == wanted;
            if inside {
                found.get_or_insert_default();
            }
        } else if let (true, Some((key, value))) = (inside, line.split_once('=')) {
            found.get_or_insert_default().push((key.trim(), unquoted(value.trim())));
        }
    }
    found
}

fn unquoted(value: &str) -> &str {
    let within = |quote: char| value.strip_prefix(quote)?.strip_suffix(quote);
    within('"').or_else(|| within('\'')).unwrap_or(value)
}

fn source(pairs: &[(&str, &str)]) -> Result<Source, String> {
    let find = |keys: &[&str]| {
        let value = |key: &&str| pairs.iter().rev().find(|(name, _)| name == key).map(|(_, value)| *value);
        keys.iter().find_map(value).unwrap_or_default().to_owned()
    };
    let kind = find(&["type"]);
    let mode = match kind.as_str() {
        "access_key" | "" => "AK",
        "sts" => "StsToken",
        "ram_role_arn" => "RamRoleArn",
        "ecs_ram_role" => "EcsRamRole",
        "credentials_uri" => "CredentialsURI",
        "external" => "External",
        other => {
            return Err(format!(
                "has a section of type {other:?}: known are access_key, sts, ram_role_arn, ecs_ram_role, \
                 credentials_uri and external; {}",
                ELSE.replace("External", "external")
            ));
        }
    };
    let profile = Profile {
        mode: mode.to_owned(),
        access_key_id: find(&["access_key_id"]),
        access_key_secret: SecretText::new(find(&["access_key_secret"])),
        sts_token: SecretText::new(find(&["sts_token", "security_token"])),
        ram_role_arn: find(&["role_arn"]),
        ram_session_name: find(&["role_session_name"]),
        ram_role_name: find(&["role_name"]),
        external_id: find(&["external_id"]),
        process_command: find(&["process_command"]),
        credentials_uri: find(&["credentials_uri"]),
        ..Profile::default()
    };
    profile.source()
}
