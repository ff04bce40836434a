//! Presigning: makes the token that proves to one cluster whose key this is.
//!
//! The URL is written by the same code that the server writes its request with, so what we sign is what
//! will be sent; the signature itself is `aws-sigv4`'s.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign},
    sign::v4,
};
use aws_smithy_runtime_api::client::identity::Identity;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

use super::{
    hosts::{Endpoint, Target},
    request::{self, CLUSTER_ID, PREFIX, Presigned, Secret, date::AmzDate},
};
use crate::{
    provider::{ClusterId, Token, validity::token_end},
    token::BearerToken,
};

/// What the token's owner is told to keep it for: a minute less than STS does.
pub const TOKEN_LIFETIME: Duration = Duration::from_secs(14 * 60);
/// `X-Amz-Expires`. STS does not look at it; some servers ask for a minute at most.
const EXPIRES: u16 = 60;

/// Why no token was made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PresignError {
    /// The user's move: the credentials are past their end.
    #[error("the AWS credentials expired {}: sign in again or fetch new ones", humantime::format_rfc3339_seconds(*at))]
    CredentialsExpired {
        /// Their end.
        at: SystemTime,
    },
    /// Our fault, or a key or token that no request can carry.
    #[error("the request could not be signed")]
    Signing(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Presigns `GetCallerIdentity` at `target` for `cluster_id`, dated `now`.
///
/// # Errors
///
/// [`PresignError`].
pub fn presign(
    credentials: &Credentials,
    target: &Target,
    cluster_id: &ClusterId,
    now: SystemTime,
) -> Result<Token, PresignError> {
    let expires_at =
        token_end(TOKEN_LIFETIME, credentials.expiry(), now).map_err(|at| PresignError::CredentialsExpired { at })?;
    let date = AmzDate::at(now);
    let signature = Zeroizing::new(signature(credentials, target, cluster_id, now)?);
    let presigned = Presigned {
        endpoint: Endpoint { host: &target.host, scope_region: &target.scope_region, global: false },
        access_key_id: credentials.access_key_id(),
        date,
        expires: EXPIRES,
        security_token: credentials.session_token().map(Secret),
        signature: Secret(&signature),
    };
    let url = Zeroizing::new(format!("https://{}{}", target.host, presigned.path_and_query()));
    let mut token = String::with_capacity(PREFIX.len() + url.len().div_ceil(3) * 4);
    token.push_str(PREFIX);
    URL_SAFE_NO_PAD.encode_string(url.as_bytes(), &mut token);
    Ok(Token { token: BearerToken::new(token), expires_at })
}

fn signature(
    credentials: &Credentials,
    target: &Target,
    cluster_id: &ClusterId,
    now: SystemTime,
) -> Result<String, PresignError> {
    let identity = Identity::from(credentials.clone());
    let mut settings = SigningSettings::default();
    settings.signature_location = SignatureLocation::QueryParams;
    settings.expires_in = Some(Duration::from_secs(u64::from(EXPIRES)));
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(&target.scope_region)
        .name(request::SERVICE)
        .time(now)
        .settings(settings)
        .build()
        .map_err(failed)?
        .into();
    let url = format!("https://{}{}", target.host, request::UNSIGNED_PATH_AND_QUERY);
    let headers = [(CLUSTER_ID, cluster_id.as_str())];
    let request = SignableRequest::new("GET", url, headers.into_iter(), SignableBody::empty()).map_err(failed)?;
    let (_, signature) = sign(request, &params).map_err(failed)?.into_parts();
    Ok(signature)
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> PresignError {
    PresignError::Signing(Box::new(error))
}

#[cfg(test)]
mod tests;
