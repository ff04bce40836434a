//! Profiles with `mfa_serial` (AWS SDKs and Tools Reference Guide, "Assume role credential provider").
//!
//! `aws-config` does not read that key and would call AssumeRole without a code. So the part of such a
//! chain of profiles from the innermost role with a device on is ours; what lies below it stays the SDK's, as long as it
//! is a profile. It would also sign with an empty `aws_session_token`, so that all roles behind such keys are ours.

use std::time::Duration;

use aws_config::{
    SdkConfig,
    profile::{Profile, ProfileSet},
};
use aws_credential_types::{Credentials, provider::error::CredentialsError};

use super::{
    LoadError, Loader, Role,
    environment::{self, variable},
    role::{HOUR, Step},
};

/// A chain of profiles in which a role asks for a code, or that begins with keys whose session token is empty.
#[derive(Debug)]
pub(super) struct Plan {
    /// Where the first keys come from.
    pub(super) source: Source,
    /// Roles to assume with them, one after the other.
    pub(super) steps: Vec<Step>,
}

/// The keys of a chain of profiles.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Source {
    /// Whatever the profile of this name gives.
    Profile(String),
    /// The keys of a profile that is its own `source_profile`.
    Keys { id: String, secret: String, session_token: Option<String> },
    /// Where `credential_source` points.
    Place(Place),
}

/// What `credential_source` may be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Place {
    /// `EcsContainer`
    Container,
    /// `Environment`
    Environment,
    /// `Ec2InstanceMetadata`
    Instance,
}

// === impl Loader ===

impl Loader<'_> {
    /// The credentials of the profile `name`, if there is a [`Plan`] for it. `None` for any other profile, and for files
    /// that the SDK has yet to complain about.
    pub(super) async fn with_code(&self, name: &str, settings: &SdkConfig) -> Result<Option<Credentials>, LoadError> {
        let plan = self.profiles().await.and_then(|profiles| Plan::of(&profiles, name));
        let Some(Plan { source, steps }) = plan else { return Ok(None) };
        let mut credentials = match source {
            Source::Profile(name) => self.of_plain_profile(&name, settings).await?,
            Source::Keys { id, secret, session_token } => Credentials::new(id, secret, session_token, None, "Profile"),
            Source::Place(place) => self.of_place(place, name, settings).await?,
        };
        for step in steps {
            self.asked.set(self.asked.get() || step.device.is_some());
            credentials = step.assume(credentials, settings, self.now, self.request.ask_code).await?;
        }
        Ok(Some(credentials))
    }

    /// The keys at `place`, with which the profile `name` begins.
    async fn of_place(&self, place: Place, name: &str, settings: &SdkConfig) -> Result<Credentials, LoadError> {
        let failed = |source| LoadError::Profile { profile: name.to_owned(), source };
        match place {
            Place::Container => self.of_container(settings).await.map_err(failed),
            Place::Environment => match environment::keys(variable) {
                Some(keys) => environment::with_expiration(keys, variable),
                None => Err(failed(CredentialsError::not_loaded("there are no keys in the environment"))),
            },
            Place::Instance => self.of_instance(settings, false, &mut None).await.map_err(|error| match error {
                LoadError::NotFound { metadata } => failed(CredentialsError::not_loaded(metadata)),
                error => error,
            }),
        }
    }
}

// === impl Place ===

impl Place {
    fn of(profile: &Profile) -> Option<Self> {
        let places = [
            ("EcsContainer", Self::Container),
            ("Environment", Self::Environment),
            ("Ec2InstanceMetadata", Self::Instance),
        ];
        let named = profile.get("credential_source")?;
        places.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(named)).map(|(_, place)| place)
    }
}

// === impl Plan ===

impl Plan {
    /// The plan for the profile `name`, if it is of such a chain. One that makes no sense has none: the SDK, asked for it
    /// then, says what is wrong.
    pub(super) fn of(profiles: &ProfileSet, name: &str) -> Option<Self> {
        let mut links = Vec::<(Step, Source)>::new();
        let mut profile = profiles.get_profile(name)?;
        while let Some(step) = step(profile) {
            let Some(source) = profile.get("source_profile") else {
                links.extend(Place::of(profile).map(|place| (step, Source::Place(place))));
                break;
            };
            if links.iter().any(|(_, earlier)| *earlier == Source::Profile(source.to_owned())) {
                return None;
            }
            if source == profile.name() {
                links.push((step, keys(profile)?));
                break;
            }
            links.push((step, Source::Profile(source.to_owned())));
            let Some(next) = profiles.get_profile(source) else { break };
            profile = next;
        }
        let innermost = if profile.get("aws_session_token").is_some_and(str::is_empty) {
            links.len().checked_sub(1)?
        } else {
            links.iter().rposition(|(step, _)| step.device.is_some())?
        };
        links.truncate(innermost + 1);
        let (mut steps, mut sources): (Vec<_>, Vec<_>) = links.into_iter().unzip();
        steps.reverse();
        Some(Self { source: sources.pop()?, steps })
    }
}

fn step(profile: &Profile) -> Option<Step> {
    let text = |key: &str| profile.get(key).filter(|value| !value.is_empty()).map(str::to_owned);
    let duration = profile.get("duration_seconds").and_then(|text| text.parse().ok()).map_or(HOUR, Duration::from_secs);
    let role = Role {
        arn: profile.get("role_arn")?.parse().ok()?,
        external_id: text("external_id"),
        session_name: text("role_session_name"),
        forward_session_name: false,
        source_arn: None,
    };
    Some(Step { role, device: text("mfa_serial"), duration })
}

fn keys(profile: &Profile) -> Option<Source> {
    let text = |key: &str| profile.get(key).map(str::to_owned);
    Some(Source::Keys {
        id: text("aws_access_key_id")?,
        secret: text("aws_secret_access_key")?,
        session_token: text("aws_session_token").filter(|token| !token.is_empty()),
    })
}

#[cfg(test)]
mod tests;
