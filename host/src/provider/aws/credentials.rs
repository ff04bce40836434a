//! Credentials of the person or machine that wants a token: the AWS default chain, and a role on top.
//!
//! Order and files are those of AWS (AWS SDKs and Tools Reference Guide, "Standardized credential
//! providers"): environment, profile (with IAM Identity Center, `credential_process` and `source_profile`),
//! web identity, container, EC2 instance metadata. The chain is `aws-config`'s; we put its links together
//! ourselves for three reasons. Nothing goes to the network, and no CA file is read, unless a link needs
//! it. The instance metadata service has one second in all. And it is asked for a region only if the
//! credentials came from it, so that nobody waits for a service that is not there.

use std::{
    cell::Cell,
    env, io,
    time::{Duration, SystemTime},
};

use aws_config::{
    BehaviorVersion, Region, SdkConfig,
    ecs::EcsCredentialsProvider,
    environment::EnvironmentVariableCredentialsProvider,
    imds::{self, credentials::ImdsCredentialsProvider, region::ImdsRegionProvider},
    meta::{credentials::CredentialsProviderChain, region::RegionProviderChain},
    profile::{ProfileFileCredentialsProvider, ProfileFileRegionProvider},
    provider_config::ProviderConfig,
    timeout::TimeoutConfig,
    web_identity_token::WebIdentityTokenCredentialsProvider,
};
use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials as _, error::CredentialsError},
};

use self::role::Step;
use crate::{caller::Arn, provider::http::Client};

mod mfa;
mod role;

pub use role::AskCode;

/// Region where nobody names one.
const DEFAULT_REGION: &str = "us-east-1";
/// For all calls to the instance metadata service together.
const METADATA_BUDGET: Duration = Duration::from_secs(1);
/// For connections to STS and IAM Identity Center.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// For one operation of theirs, retries included.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(15);
/// When the keys in the environment end, in RFC 3339.
const EXPIRATION: &str = "AWS_CREDENTIAL_EXPIRATION";

/// What the user asked for.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Profile to use, and no other source. Default: the whole chain, with `AWS_PROFILE`.
    pub profile: Option<String>,
    /// Region to sign for. Default: see [`load`].
    pub region: Option<String>,
    /// Role to assume with what the chain gives. Default: none.
    pub role: Option<Role>,
    /// The role's session will be kept, and should last an hour. Default: a quarter of one, for one token, unless
    /// a person is asked for a code.
    pub long: bool,
    /// Who tells the code of an MFA device, for profiles with `mfa_serial`. Default: nobody.
    pub ask_code: Option<AskCode>,
}

/// A role to assume before signing.
#[derive(Clone, Debug)]
pub struct Role {
    /// Its ARN.
    pub arn: Arn,
    /// External id that its trust policy asks for.
    pub external_id: Option<String>,
    /// Session name, as CloudTrail and the cluster will see it. Default `herald-<seconds since 1970>`.
    pub session_name: Option<String>,
    /// Take the name of the session that assumes the role, if it is one and `session_name` is none.
    pub forward_session_name: bool,
    /// ARN and account of the resource on whose behalf the role is assumed, for trust policies that ask for them.
    pub source_arn: Option<(String, String)>,
}

/// Credentials, and the settings that go with them.
#[derive(Clone, Debug)]
pub struct Session {
    /// The credentials.
    pub credentials: Credentials,
    /// Region to sign for.
    pub region: String,
    /// `AWS_USE_FIPS_ENDPOINT`, or the profile's `use_fips_endpoint`. Default false.
    pub fips: bool,
    /// `AWS_USE_DUALSTACK_ENDPOINT`, or the profile's `use_dualstack_endpoint`. Default false.
    pub dual_stack: bool,
    /// A person was asked for a code.
    pub asked: bool,
}

/// Why there are no credentials.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// STS did not let the role be assumed.
    #[error("the role {role} could not be assumed")]
    AssumeRole {
        /// The role's ARN.
        role: String,
        /// What the SDK says.
        #[source]
        source: CredentialsError,
    },
    /// `AWS_CREDENTIAL_EXPIRATION` is no moment.
    #[error("AWS_CREDENTIAL_EXPIRATION must be a time such as 2026-01-02T03:04:05Z")]
    Expiration(#[source] humantime::TimestampError),
    /// There is nobody who could tell the code of an MFA device.
    #[error(
        "the AWS profile asks for a code of the MFA device {device}, and nobody can be asked for it: run the same \
         command once in a terminal"
    )]
    NoCode {
        /// The device's serial number or ARN.
        device: String,
        /// What is wrong with the terminal.
        #[source]
        source: io::Error,
    },
    /// No source has any.
    #[error(
        "no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, set AWS_PROFILE, or sign in with \
         `aws sso login` (environment, profile, web identity and container have none; {metadata})"
    )]
    NotFound {
        /// What became of the instance metadata service.
        metadata: &'static str,
    },
    /// The named profile has none.
    #[error("the AWS profile {profile:?} gives no credentials (~/.aws/config, ~/.aws/credentials)")]
    Profile {
        /// The profile's name.
        profile: String,
        /// What the SDK says.
        #[source]
        source: CredentialsError,
    },
    /// The machine is out of file descriptors or the like.
    #[error("the asynchronous runtime could not start")]
    Runtime(#[source] io::Error),
    /// A source is set up but does not work.
    #[error("the AWS credentials could not be loaded")]
    Source(#[source] CredentialsError),
}

/// Loads credentials and region for `request`, blocking the thread.
///
/// The region is the first of: the request's, `AWS_REGION`, `AWS_DEFAULT_REGION`, the profile's, the
/// instance's (if it gave the credentials), `us-east-1`.
///
/// # Errors
///
/// [`LoadError`].
pub fn load(request: &Request, now: SystemTime) -> Result<Session, LoadError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(LoadError::Runtime)?;
    runtime.block_on(Loader::new(request, now).load())
}

struct Loader<'a> {
    request: &'a Request,
    http: Client,
    now: SystemTime,
    asked: Cell<bool>,
}

impl<'a> Loader<'a> {
    fn new(request: &'a Request, now: SystemTime) -> Self {
        Self { request, http: Client::new(), now, asked: Cell::default() }
    }

    async fn load(self) -> Result<Session, LoadError> {
        let named = self.named_region().await;
        let mut settings = self.settings(named.clone()).await;
        let mut instance_region = None;
        let credentials = match &self.request.profile {
            Some(profile) => self.of_profile(profile, &settings).await?,
            None => match self.of_chain(&settings).await? {
                Some(credentials) => credentials,
                None => self.of_instance(&settings, named.is_none(), &mut instance_region).await?,
            },
        };
        if let Some(region) = instance_region {
            settings = settings.into_builder().region(region).build();
        }
        let credentials = match &self.request.role {
            Some(role) => {
                let duration = if self.request.long || self.asked.get() { role::HOUR } else { role::SHORTEST };
                let step = Step { role: role.clone(), device: None, duration };
                step.assume(credentials, &settings, self.now, None).await?
            }
            None => credentials,
        };
        Ok(Session {
            credentials,
            region: settings.region().map_or(DEFAULT_REGION, Region::as_ref).to_owned(),
            fips: settings.use_fips().unwrap_or(false),
            dual_stack: settings.use_dual_stack().unwrap_or(false),
            asked: self.asked.get(),
        })
    }

    /// The region that the user or a file names.
    async fn named_region(&self) -> Option<Region> {
        let mut profile = ProfileFileRegionProvider::builder();
        if let Some(name) = &self.request.profile {
            profile = profile.profile_name(name);
        }
        let named = named_region(self.request.region.as_deref(), |name| env::var(name).ok()).map(Region::new);
        RegionProviderChain::first_try(named).or_else(profile.build()).region().await
    }

    /// Everything but the credentials. Without a region the SDK would ask the instance metadata service for
    /// one here already.
    async fn settings(&self, named: Option<Region>) -> SdkConfig {
        let loader = aws_config::defaults(BehaviorVersion::latest())
            .no_credentials()
            .http_client(self.http.clone())
            .timeout_config(timeouts())
            .region(named.unwrap_or(Region::from_static(DEFAULT_REGION)));
        match &self.request.profile {
            Some(name) => loader.profile_name(name).load().await,
            None => loader.load().await,
        }
    }

    fn provider_config(&self, settings: &SdkConfig) -> ProviderConfig {
        ProviderConfig::without_region()
            .with_region(settings.region().cloned())
            .with_http_client(self.http.clone())
            .with_timeout_config(timeouts())
            .with_use_fips(settings.use_fips())
            .with_use_dual_stack(settings.use_dual_stack())
    }

    async fn of_profile(&self, profile: &str, settings: &SdkConfig) -> Result<Credentials, LoadError> {
        match self.with_code(Some(profile), settings).await? {
            Some(credentials) => Ok(credentials),
            None => self.of_plain_profile(profile, settings).await,
        }
    }

    async fn of_plain_profile(&self, profile: &str, settings: &SdkConfig) -> Result<Credentials, LoadError> {
        let config = self.provider_config(settings);
        let provider = ProfileFileCredentialsProvider::builder().configure(&config).profile_name(profile).build();
        let failed = |source| LoadError::Profile { profile: profile.to_owned(), source };
        provider.provide_credentials().await.map_err(failed)
    }

    async fn of_chain(&self, settings: &SdkConfig) -> Result<Option<Credentials>, LoadError> {
        match EnvironmentVariableCredentialsProvider::new().provide_credentials().await {
            Ok(credentials) => return with_expiration(credentials, env::var(EXPIRATION).ok()).map(Some),
            Err(CredentialsError::CredentialsNotLoaded(_)) => {}
            Err(error) => return Err(LoadError::Source(error)),
        }
        if let Some(credentials) = self.with_code(None, settings).await? {
            return Ok(Some(credentials));
        }
        let config = self.provider_config(settings);
        let profile = ProfileFileCredentialsProvider::builder().configure(&config).build();
        let web_identity = WebIdentityTokenCredentialsProvider::builder().configure(&config).build();
        let container = EcsCredentialsProvider::builder().configure(&config).build();
        let chain = CredentialsProviderChain::first_try("Profile", profile)
            .or_else("WebIdentityToken", web_identity)
            .or_else("EcsContainer", container);
        match chain.provide_credentials().await {
            Ok(credentials) => Ok(Some(credentials)),
            Err(CredentialsError::CredentialsNotLoaded(_)) => Ok(None),
            Err(error) => Err(LoadError::Source(error)),
        }
    }

    /// The instance's role, and its region if nobody named one. One attempt, one second in all.
    async fn of_instance(
        &self,
        settings: &SdkConfig,
        wants_region: bool,
        region: &mut Option<Region>,
    ) -> Result<Credentials, LoadError> {
        let none = |metadata| Err(LoadError::NotFound { metadata });
        if env::var("AWS_EC2_METADATA_DISABLED").is_ok_and(|value| value.eq_ignore_ascii_case("true")) {
            return none("the instance metadata service is disabled");
        }
        let config = self.provider_config(settings);
        let client = imds::Client::builder()
            .configure(&config)
            .max_attempts(1)
            .connect_timeout(METADATA_BUDGET * 2)
            .read_timeout(METADATA_BUDGET * 2)
            .build();
        let provider = ImdsCredentialsProvider::builder().configure(&config).imds_client(client.clone()).build();
        let asked = async {
            let credentials = provider.provide_credentials().await?;
            if wants_region {
                *region = ImdsRegionProvider::builder().configure(&config).imds_client(client).build().region().await;
            }
            Ok(credentials)
        };
        match tokio::time::timeout(METADATA_BUDGET, asked).await {
            Ok(Ok(credentials)) => Ok(credentials),
            Ok(Err(CredentialsError::CredentialsNotLoaded(_))) => none("the instance metadata service gives none"),
            Ok(Err(CredentialsError::ProviderError(_))) => none("the instance metadata service refuses to give any"),
            Ok(Err(error)) => Err(LoadError::Source(error)),
            Err(_) => none("the instance metadata service did not answer in a second"),
        }
    }
}

fn named_region(flag: Option<&str>, variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    let named = |text: String| (!text.trim().is_empty()).then_some(text);
    flag.map(str::to_owned)
        .and_then(named)
        .or_else(|| variable("AWS_REGION").and_then(named))
        .or_else(|| variable("AWS_DEFAULT_REGION").and_then(named))
}

/// Keys in the environment do not say when they end, unless `aws configure export-credentials` put them there.
fn with_expiration(mut credentials: Credentials, expiration: Option<String>) -> Result<Credentials, LoadError> {
    let text = expiration.unwrap_or_default();
    if !text.trim().is_empty() {
        let utc = text.trim().replace("+00:00", "Z");
        let end = humantime::parse_rfc3339(&utc).map_err(LoadError::Expiration)?;
        *credentials.expiry_mut() = Some(end);
    }
    Ok(credentials)
}

fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).operation_timeout(OPERATION_TIMEOUT).build()
}

#[cfg(test)]
mod tests;
