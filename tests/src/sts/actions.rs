//! Actions: `GetCallerIdentity`, `AssumeRole` and `AssumeRoleWithWebIdentity` of version 2011-06-15.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{
    error::StsError,
    keys::{Assumption, Key, Keys},
    query::Parameters,
};

/// What a verified caller gets.
pub(super) enum Outcome {
    Identity(Arc<Key>),
    Session { action: &'static str, key: Arc<Key>, role_arn: String },
}

const ASSUME_ROLE: &str = "AssumeRole";
const BY_TOKEN: &str = "AssumeRoleWithWebIdentity";
const VERSION: &str = "2011-06-15";
const DEFAULT_DURATION: u64 = 3600;
const MIN_DURATION: u64 = 900;
const MAX_DURATION: u64 = 43_200;

pub(super) fn perform(
    parameters: &Parameters<'_>,
    path: &str,
    caller: Arc<Key>,
    keys: &Keys,
    now: SystemTime,
) -> Result<Outcome, StsError> {
    let action = parameters.find("Action").filter(|action| !action.is_empty()).ok_or(StsError::MissingAction)?;
    let version = parameters.find("Version").unwrap_or_default();
    match (action, version, path) {
        ("GetCallerIdentity", VERSION, "/") => Ok(Outcome::Identity(caller)),
        (ASSUME_ROLE, VERSION, "/") => {
            let asked = assumption(parameters)?;
            let key = keys.assume(&caller.identity, asked, now)?;
            Ok(Outcome::Session { action: ASSUME_ROLE, key, role_arn: asked.role_arn.to_owned() })
        }
        _ => Err(StsError::InvalidAction { action: action.to_owned(), version: version.to_owned() }),
    }
}

/// The one action that needs no signature, if `form` asks for it.
pub(super) fn perform_unsigned(
    form: &Parameters<'_>,
    keys: &Keys,
    now: SystemTime,
) -> Option<Result<Outcome, StsError>> {
    (form.find("Action") == Some(BY_TOKEN)).then(|| {
        let asked = assumption(form)?;
        let key = keys.assume_by_token(form.find("WebIdentityToken").unwrap_or_default(), asked, now)?;
        Ok(Outcome::Session { action: BY_TOKEN, key, role_arn: asked.role_arn.to_owned() })
    })
}

fn assumption<'a>(parameters: &'a Parameters<'_>) -> Result<Assumption<'a>, StsError> {
    let required = |name: &str| {
        let missing = || {
            let text = "failed to satisfy constraint: Member must not be null";
            StsError::ValidationError(format!("1 validation error detected: Value null at '{name}' {text}"))
        };
        parameters.find(name).ok_or_else(missing)
    };
    let seconds = match parameters.find("DurationSeconds") {
        None => Some(DEFAULT_DURATION),
        Some(text) => text.parse().ok(),
    };
    let seconds = seconds.filter(|seconds| (MIN_DURATION..=MAX_DURATION).contains(seconds)).ok_or_else(|| {
        StsError::ValidationError("1 validation error detected: 'durationSeconds' must be 900 to 43200".to_owned())
    })?;
    Ok(Assumption {
        role_arn: required("RoleArn")?,
        session_name: required("RoleSessionName")?,
        external_id: parameters.find("ExternalId"),
        device: parameters.find("SerialNumber").zip(parameters.find("TokenCode")),
        duration: Duration::from_secs(seconds),
    })
}
