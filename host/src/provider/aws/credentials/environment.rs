//! Variables that AWS's tools read (AWS SDKs and Tools Reference Guide, "Environment variables list"), with every name
//! that aws-iam-authenticator takes. One that is empty or blank counts as absent.

use std::env;

use aws_credential_types::Credentials;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::LoadError;

/// Names of the profile; the first that is set counts, here and below.
pub(super) const PROFILE: [&str; 2] = ["AWS_PROFILE", "AWS_DEFAULT_PROFILE"];
pub(super) const REGION: [&str; 2] = ["AWS_REGION", "AWS_DEFAULT_REGION"];
/// Both of which make a web identity.
pub(super) const WEB_IDENTITY: [&str; 2] = ["AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE"];
const KEY_ID: [&str; 2] = ["AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY"];
const SECRET: [&str; 3] = ["AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY", "SECRET_ACCESS_KEY"];
const SESSION_TOKEN: [&str; 1] = ["AWS_SESSION_TOKEN"];
/// When the keys end, in RFC 3339 with whatever offset.
const EXPIRATION: [&str; 1] = ["AWS_CREDENTIAL_EXPIRATION"];

/// Whether there are keys in the environment: they count before everything but a profile of [`super::Request`], and
/// nobody has to be asked for them.
#[must_use]
pub fn are_at_hand() -> bool {
    keys(variable).is_some()
}

/// A variable of this process. What is no Unicode is not passed over in silence: it is wrong where it is used.
pub(super) fn variable(name: &str) -> Option<String> {
    env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}

/// The option, else the first of the variables, without the blanks around it.
pub(super) fn first(option: Option<&str>, names: &[&str], variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    let given = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
    option.and_then(given).or_else(|| names.iter().find_map(|name| given(&variable(name)?)))
}

/// The keys that variables hold.
pub(super) fn keys(variable: impl Fn(&str) -> Option<String>) -> Option<Credentials> {
    let [id, secret, session_token] = [&KEY_ID[..], &SECRET, &SESSION_TOKEN].map(|names| first(None, names, &variable));
    Some(Credentials::new(id?, secret?, session_token, None, "Environment"))
}

/// Keys in the environment do not say when they end, unless `aws configure export-credentials` put them there.
pub(super) fn with_expiration(
    mut keys: Credentials,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Credentials, LoadError> {
    if let Some(text) = first(None, &EXPIRATION, variable) {
        let end = OffsetDateTime::parse(&text, &Rfc3339).map_err(LoadError::Expiration)?;
        *keys.expiry_mut() = Some(end.into());
    }
    Ok(keys)
}
