//! Assuming a role: one call of AssumeRole, with the code of an MFA device where the role asks for one.

use std::{
    io,
    time::{Duration, SystemTime},
};

use aws_config::SdkConfig;
use aws_credential_types::{
    Credentials,
    provider::{SharedCredentialsProvider, error::CredentialsError},
};
use aws_sdk_sts::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    types::Credentials as Answer,
};

use super::{LoadError, Role};

/// Asks a person for the code that an MFA device shows; the argument is the device's serial number or ARN.
pub type AskCode = fn(serial: &str) -> io::Result<String>;

/// The shortest session STS gives; one token needs no longer one.
pub(super) const SHORTEST: Duration = Duration::from_secs(15 * 60);
/// What `duration_seconds` of a profile is by default: a person is not asked for a code every few minutes.
pub(super) const HOUR: Duration = Duration::from_secs(60 * 60);

/// One role to assume, and how.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) role: Role,
    /// The MFA device whose code STS wants, and who can tell it.
    pub(super) device: Option<String>,
    pub(super) duration: Duration,
}

// === impl Step ===

impl Step {
    /// The role's credentials, by those of `base`. A person is asked for a code first, so that nobody waits
    /// for STS where there is nobody to ask.
    pub(super) async fn assume(
        &self,
        base: Credentials,
        settings: &SdkConfig,
        now: SystemTime,
        ask: Option<AskCode>,
    ) -> Result<Credentials, LoadError> {
        let code = self.device.as_deref().map(|device| code(device, ask)).transpose()?;
        let failed = |source| LoadError::AssumeRole { role: self.role.arn.to_string(), source };
        let settings =
            settings.clone().into_builder().credentials_provider(SharedCredentialsProvider::new(base)).build();
        let client = Client::new(&settings);
        let name = self.session_name(&client, now).await.map_err(failed)?;
        let source = self.role.source_arn.clone();
        let answer = client
            .assume_role()
            .role_arn(self.role.arn.to_string())
            .role_session_name(name)
            .duration_seconds(i32::try_from(self.duration.as_secs()).unwrap_or(i32::MAX))
            .set_external_id(self.role.external_id.clone())
            .set_serial_number(self.device.clone())
            .set_token_code(code)
            .customize()
            .mutate_request(move |request| {
                if let Some((arn, account)) = &source {
                    request.headers_mut().insert("x-amz-source-arn", arn.clone());
                    request.headers_mut().insert("x-amz-source-account", account.clone());
                }
            })
            .send()
            .await;
        let answer = answer.map_err(|error| failed(refused(error)))?;
        answer
            .credentials
            .ok_or_else(|| CredentialsError::unhandled("no credentials in it"))
            .and_then(read)
            .map_err(failed)
    }

    async fn session_name(&self, client: &Client, now: SystemTime) -> Result<String, CredentialsError> {
        if let Some(name) = &self.role.session_name {
            return Ok(name.clone());
        }
        if self.role.forward_session_name {
            let caller = client.get_caller_identity().send().await.map_err(refused)?;
            if let Some(name) = caller.user_id().and_then(session_of) {
                return Ok(name.to_owned());
            }
        }
        let seconds = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        Ok(format!("herald-{seconds}"))
    }
}

fn code(device: &str, ask: Option<AskCode>) -> Result<String, LoadError> {
    let ask = ask.ok_or_else(|| io::Error::from(io::ErrorKind::Unsupported));
    ask.and_then(|ask| ask(device)).map_err(|source| LoadError::NoCode { device: device.to_owned(), source })
}

/// The session in the `UserId` of a role session, `AROA…:session`; users have none.
fn session_of(user_id: &str) -> Option<&str> {
    user_id.split_once(':').map(|(_, session)| session).filter(|session| !session.is_empty() && !session.contains(':'))
}

fn read(answer: Answer) -> Result<Credentials, CredentialsError> {
    let end = SystemTime::try_from(answer.expiration).map_err(CredentialsError::unhandled)?;
    Ok(Credentials::new(
        answer.access_key_id,
        answer.secret_access_key,
        Some(answer.session_token),
        Some(end),
        "AssumeRole",
    ))
}

/// STS says in a sentence what it minds; the SDK's error names only a code.
fn refused<E>(error: SdkError<E>) -> CredentialsError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    match (error.code(), error.message()) {
        (Some(code), Some(message)) => CredentialsError::provider_error(format!("{code}: {message}")),
        _ => CredentialsError::provider_error(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_that_can_be_forwarded() {
        #[track_caller]
        fn check(user_id: &str, expected: Option<&str>) {
            assert_eq!(session_of(user_id), expected, "{user_id}");
        }
        check("AROAEXAMPLE:alice", Some("alice"));
        check("AROAEXAMPLE:alice@example.com", Some("alice@example.com"));
        check("AIDAEXAMPLE", None);
        check("123456789012:federated:x", None);
        check("AROAEXAMPLE:", None);
    }
}
