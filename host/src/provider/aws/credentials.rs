//! Credentials of the person or machine that wants a token: the AWS default chain, and a role on top.
//!
//! Order and files are those of AWS (AWS SDKs and Tools Reference Guide, "Standardized credential
//! providers"): environment, web identity, profile (with IAM Identity Center, `credential_process` and
//! `source_profile`), container, EC2 instance metadata. A profile that is named and is not there, or that says
//! where its credentials come from and has none, is an error: nobody signs as the machine by a typo. The links are
//! `aws-config`'s; we put them together ourselves for four reasons. Its own chain looks at the profile before web
//! identity and goes past a profile that is not there. Nothing goes to the network, and no CA file is read, unless
//! a link needs it. The instance metadata service has one second in all. And it is asked for a region only if the
//! credentials came from it, so that nobody waits for a service that is not there.

use std::{
    cell::Cell,
    env, io,
    pin::{Pin, pin},
    time::{Duration, SystemTime},
};

use aws_config::{
    BehaviorVersion, Region, SdkConfig,
    ecs::EcsCredentialsProvider,
    imds::{self, credentials::ImdsCredentialsProvider, region::ImdsRegionProvider},
    meta::region::RegionProviderChain,
    profile::{self, Profile, ProfileFileCredentialsProvider, ProfileFileRegionProvider, ProfileSet},
    provider_config::ProviderConfig,
    timeout::TimeoutConfig,
    web_identity_token::WebIdentityTokenCredentialsProvider,
};
use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials as _, Result as Found, error::CredentialsError},
};
use aws_types::os_shim_internal::{Env, Fs};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::timeout;

use self::{
    environment::{PROFILE, REGION, WEB_IDENTITY, first, variable},
    role::Step,
};
use crate::{caller::Arn, provider::http::Client};

mod environment;
mod login;
mod mfa;
mod role;

pub use environment::are_at_hand;
pub use login::logins;
pub use role::AskCode;

/// Region where nobody names one.
const DEFAULT_REGION: &str = "us-east-1";
/// Profile where nobody names one.
const DEFAULT_PROFILE: &str = "default";
/// Keys of a profile that say where its credentials come from, and about which the SDK is silent when they lead nowhere.
const PROMISES: [&str; 3] = ["role_arn", "sso_account_id", "sso_role_name"];
/// For all calls to the instance metadata service together.
const METADATA_BUDGET: Duration = Duration::from_secs(1);
/// For connections to STS and IAM Identity Center.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// For one operation of theirs, retries included.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(15);

/// What the user asked for.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Profile to use, and no other source. Default: the whole chain, with the profile of `AWS_PROFILE`, else of
    /// `AWS_DEFAULT_PROFILE`.
    pub profile: Option<String>,
    /// Region to sign for. Default: see [`load`].
    pub region: Option<String>,
    /// Role to assume with what the chain gives. Default: none.
    pub role: Option<Role>,
    /// The role's session will be kept, and should last an hour. Default: a quarter of one, for one token, unless
    /// a person is asked for a code.
    pub long: bool,
    /// Longest time for all of it. What was started for it is ended then. Default: none, since a person may be asked.
    pub within: Option<Duration>,
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
    Expiration(#[source] time::error::Parse),
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
         `aws sso login` (environment, web identity, profile and container have none; {metadata})"
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
    /// A source has no end.
    #[error("the AWS credentials were not there after {}: does a `credential_process` hang?", humantime::format_duration(*within))]
    TooSlow {
        /// The longest time it may take.
        within: Duration,
    },
}

/// Loads credentials and region for `request`, blocking the thread.
///
/// The region is the first of: the request's, `AWS_REGION`, `AWS_DEFAULT_REGION`, the profile's, the
/// instance's (if it gave the credentials), `us-east-1`. What is empty or blank counts as absent.
///
/// # Errors
///
/// [`LoadError`].
pub fn load(request: &Request, now: SystemTime) -> Result<Session, LoadError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(LoadError::Runtime)?;
    runtime.block_on(async {
        let load = pin!(Loader::new(request, now).load());
        match request.within {
            None => load.await,
            Some(within) => in_time(within, load).await.unwrap_or(Err(LoadError::TooSlow { within })),
        }
    })
}

/// What comes of `load`, unless it takes too long. Then the programs are ended that it has started on this thread, and those
/// that they have: nobody would wait for them, one that has no end would stay for good, and so would the next.
async fn in_time<T>(within: Duration, mut load: Pin<&mut impl Future<Output = T>>) -> Option<T> {
    let ended = timeout(within, load.as_mut()).await;
    if ended.is_err() {
        // Nobody else waits for them while `load` is there, so that their ids are theirs (proc(5)).
        end_programs("/proc/thread-self/children");
    }
    ended.ok()
}

/// Ends the programs that are listed at `list`; a shell's own ones first, as they are nobody's once it is gone.
fn end_programs(list: &str) {
    let programs = std::fs::read_to_string(list).unwrap_or_default();
    for program in programs.split_whitespace().filter_map(|id| Pid::from_raw(id.parse().ok()?)) {
        let id = program.as_raw_nonzero();
        end_programs(&format!("/proc/{id}/task/{id}/children"));
        let _ = kill_process(program, Signal::KILL);
    }
}

struct Loader<'a> {
    request: &'a Request,
    /// The profile that the request or a variable names.
    named_profile: Option<String>,
    http: Client,
    now: SystemTime,
    asked: Cell<bool>,
}

impl<'a> Loader<'a> {
    fn new(request: &'a Request, now: SystemTime) -> Self {
        let named_profile = first(request.profile.as_deref(), &PROFILE, variable);
        Self { request, named_profile, http: Client::new(), now, asked: Cell::default() }
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

    /// The profile that counts. The SDK would know neither each variable nor that an empty one is none.
    fn profile(&self) -> &str {
        self.named_profile.as_deref().unwrap_or(DEFAULT_PROFILE)
    }

    /// All profiles. `None` where the files make no sense: the SDK, asked for credentials then, says what is wrong.
    async fn profiles(&self) -> Option<ProfileSet> {
        profile::load(&Fs::real(), &Env::real(), &Default::default(), None).await.ok()
    }

    /// The region that the user or a file names.
    async fn named_region(&self) -> Option<Region> {
        let named = first(self.request.region.as_deref(), &REGION, variable).map(Region::new);
        let profile = ProfileFileRegionProvider::builder().profile_name(self.profile()).build();
        let region = RegionProviderChain::first_try(named).or_else(profile).region().await;
        region.filter(|region| !AsRef::<str>::as_ref(region).trim().is_empty())
    }

    /// Everything but the credentials. Without a region the SDK would ask the instance metadata service for
    /// one here already.
    async fn settings(&self, named: Option<Region>) -> SdkConfig {
        aws_config::defaults(BehaviorVersion::latest())
            .no_credentials()
            .http_client(self.http.clone())
            .timeout_config(timeouts())
            .region(named.unwrap_or(Region::from_static(DEFAULT_REGION)))
            .profile_name(self.profile())
            .load()
            .await
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
        match self.with_code(profile, settings).await? {
            Some(credentials) => Ok(credentials),
            None => self.of_plain_profile(profile, settings).await,
        }
    }

    async fn of_plain_profile(&self, profile: &str, settings: &SdkConfig) -> Result<Credentials, LoadError> {
        let config = self.provider_config(settings);
        let provider = ProfileFileCredentialsProvider::builder().configure(&config).profile_name(profile).build();
        let failed = |source| LoadError::Profile { profile: profile.to_owned(), source };
        provider.provide_credentials().await.map(without_empty_token).map_err(failed)
    }

    async fn of_chain(&self, settings: &SdkConfig) -> Result<Option<Credentials>, LoadError> {
        if let Some(keys) = environment::keys(variable) {
            return environment::with_expiration(keys, variable).map(Some);
        }
        let profiles = self.profiles().await;
        let profile = profiles.as_ref().and_then(|profiles| profiles.get_profile(self.profile()));
        if let (Some(_), Some(named), None) = (&profiles, &self.named_profile, profile) {
            let source = CredentialsError::not_loaded("there is no such profile");
            return Err(LoadError::Profile { profile: named.clone(), source });
        }
        if let Some(credentials) = self.of_web_identity(settings).await? {
            return Ok(Some(credentials));
        }
        match self.of_profile(self.profile(), settings).await {
            Err(LoadError::Profile { source: CredentialsError::CredentialsNotLoaded(_), .. })
                if !profile.is_some_and(promises) => {}
            found => return found.map(Some),
        }
        if_any(self.of_container(settings).await)
    }

    async fn of_container(&self, settings: &SdkConfig) -> Found {
        let container = EcsCredentialsProvider::builder().configure(&self.provider_config(settings)).build();
        container.provide_credentials().await
    }

    async fn of_web_identity(&self, settings: &SdkConfig) -> Result<Option<Credentials>, LoadError> {
        // The SDK would look for a file without a name.
        if WEB_IDENTITY.iter().any(|name| first(None, &[name], variable).is_none()) {
            return Ok(None);
        }
        let config = self.provider_config(settings);
        let provider = WebIdentityTokenCredentialsProvider::builder().configure(&config).build();
        if_any(provider.provide_credentials().await)
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
        match timeout(METADATA_BUDGET, asked).await {
            Ok(Ok(credentials)) => Ok(credentials),
            Ok(Err(CredentialsError::CredentialsNotLoaded(_))) => none("the instance metadata service gives none"),
            Ok(Err(CredentialsError::ProviderError(_))) => none("the instance metadata service refuses to give any"),
            Ok(Err(error)) => Err(LoadError::Source(error)),
            Err(_) => none("the instance metadata service did not answer in a second"),
        }
    }
}

/// Whether a profile says where its credentials come from, so that it is a mistake if there are none.
fn promises(profile: &Profile) -> bool {
    PROMISES.iter().any(|key| profile.get(key).is_some())
}

/// A session token that is empty is none, as to AWS's CLI: such a line stays behind where lasting keys take the place of
/// temporary ones, and no STS takes what is signed with it.
fn without_empty_token(keys: Credentials) -> Credentials {
    if !keys.session_token().is_some_and(str::is_empty) {
        return keys;
    }
    let mut lasting = Credentials::builder()
        .access_key_id(keys.access_key_id())
        .secret_access_key(keys.secret_access_key())
        .provider_name("Profile");
    lasting.set_expiry(keys.expiry());
    lasting.set_account_id(keys.account_id().cloned());
    lasting.build()
}

/// `None` of a source that is not set up.
fn if_any(found: Found) -> Result<Option<Credentials>, LoadError> {
    match found {
        Ok(credentials) => Ok(Some(credentials)),
        Err(CredentialsError::CredentialsNotLoaded(_)) => Ok(None),
        Err(error) => Err(LoadError::Source(error)),
    }
}

fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).operation_timeout(OPERATION_TIMEOUT).build()
}

#[cfg(test)]
mod tests;
