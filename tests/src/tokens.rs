//! Token forge: presigned `GetCallerIdentity` tokens, good ones and ones with any defect.
//!
//! A [`Draft`] has every part of a token as a field. What is changed before [`Draft::sign`] is signed
//! with it; what is changed in the [`Signed`] afterwards is a forgery.

use std::time::SystemTime;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::{
    sigv4::{self, Scope},
    sts::{
        Person, amz_date,
        keys::{Identity, Key},
    },
};

pub mod alibaba;
mod bulk;

pub use bulk::{ACCOUNT, Batch, Kind, Made, Who, derived_key, role_name};

/// What every token starts with.
pub const PREFIX: &str = "k8s-aws-v1.";
/// The header whose signed value is the cluster's id.
pub const CLUSTER_HEADER: &str = "x-k8s-aws-id";

/// A token before it is signed. Every field may be made wrong.
#[derive(Clone)]
pub struct Draft {
    /// `X-Amz-Credential`'s first part.
    pub access_key_id: String,
    /// What it is signed with.
    pub secret: String,
    /// `X-Amz-Security-Token`.
    pub session_token: Option<String>,
    /// The host in the URL, which is also the signed `host` header.
    pub host: String,
    /// The HTTP method that is signed; it is not in the token.
    pub method: String,
    /// `/`.
    pub path: String,
    /// The scope's region.
    pub region: String,
    /// The scope's service.
    pub service: String,
    /// The scope's day; `None`: that of `date`.
    pub scope_date: Option<String>,
    /// `X-Amz-Date`.
    pub date: String,
    /// `X-Amz-Expires`; `None` leaves it out.
    pub expires: Option<String>,
    /// Parameters before those of the signature, in order: `Action` and `Version`.
    pub parameters: Vec<(String, String)>,
    /// Headers that are signed besides `host`, in alphabetical order with it.
    pub headers: Vec<(String, String)>,
    /// Whether `host` is signed.
    pub sign_host: bool,
}

/// A signed URL, taken apart.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Signed {
    /// `https`.
    pub scheme: String,
    /// Host, with a port or user information if you like.
    pub authority: String,
    /// `/`.
    pub path: String,
    /// Decoded pairs, in order, the signature last.
    pub pairs: Vec<(String, String)>,
}

// === impl Draft ===

impl Draft {
    /// A good token of `person` for `cluster_id`, from the regional endpoint of us-east-1.
    #[must_use]
    pub fn new(person: &Person, cluster_id: &str, at: SystemTime) -> Self {
        Self::of_key(&person.key(), cluster_id, at)
    }

    /// A good token by `key` for `cluster_id`, from the regional endpoint of us-east-1.
    #[must_use]
    pub fn of_key(key: &Key, cluster_id: &str, at: SystemTime) -> Self {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        Self {
            access_key_id: key.id.clone(),
            secret: key.secret.clone(),
            session_token: key.session_token.clone(),
            host: "sts.us-east-1.amazonaws.com".to_owned(),
            method: "GET".to_owned(),
            path: "/".to_owned(),
            region: "us-east-1".to_owned(),
            service: "sts".to_owned(),
            scope_date: None,
            date: amz_date(at),
            expires: Some("60".to_owned()),
            parameters: vec![pair("Action", "GetCallerIdentity"), pair("Version", "2011-06-15")],
            headers: vec![pair(CLUSTER_HEADER, cluster_id)],
            sign_host: true,
        }
    }

    /// Signs it.
    #[must_use]
    pub fn sign(&self) -> Signed {
        let date = self.scope_date.as_deref().unwrap_or_else(|| self.date.get(..8).unwrap_or_default());
        let scope = Scope { date, region: &self.region, service: &self.service };
        let headers = self.signed_headers();
        let signed_headers = headers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
        let mut pairs = self.pairs(scope, &signed_headers);
        let request = sigv4::Request {
            method: &self.method,
            path: &self.path,
            query: &sigv4::canonical_query(pairs.iter().map(|(name, value)| (name, value))),
            headers: &headers,
            signed_headers: &signed_headers,
            payload_hash: sigv4::EMPTY_PAYLOAD,
        };
        let signature = sigv4::sign(&self.secret, &self.date, scope, &request);
        pairs.push(("X-Amz-Signature".to_owned(), signature));
        Signed { scheme: "https".to_owned(), authority: self.host.clone(), path: self.path.clone(), pairs }
    }

    /// The finished token.
    #[must_use]
    pub fn token(&self) -> String {
        self.sign().token()
    }

    fn signed_headers(&self) -> Vec<(&str, String)> {
        let own = self.headers.iter().map(|(name, value)| (name.as_str(), sigv4::canonical_value(value)));
        let mut headers: Vec<_> = self.sign_host.then(|| ("host", self.host.clone())).into_iter().chain(own).collect();
        headers.sort();
        headers
    }

    fn pairs(&self, scope: Scope<'_>, signed_headers: &str) -> Vec<(String, String)> {
        let Scope { date, region, service } = scope;
        let credential = format!("{}/{date}/{region}/{service}/{}", self.access_key_id, sigv4::TERMINATOR);
        let mut pairs = self.parameters.clone();
        let mut push = |name: &str, value: &str| pairs.push((name.to_owned(), value.to_owned()));
        push("X-Amz-Algorithm", sigv4::ALGORITHM);
        push("X-Amz-Credential", &credential);
        push("X-Amz-Date", &self.date);
        if let Some(expires) = &self.expires {
            push("X-Amz-Expires", expires);
        }
        if let Some(token) = &self.session_token {
            push("X-Amz-Security-Token", token);
        }
        push("X-Amz-SignedHeaders", signed_headers);
        pairs
    }
}

// === impl Signed ===

impl Signed {
    /// The URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}://{}{}?{}", self.scheme, self.authority, self.path, self.query())
    }

    /// The query string, in the order of [`Self::pairs`].
    #[must_use]
    pub fn query(&self) -> String {
        let encode = |text: &str| sigv4::encode(text.as_bytes());
        let pairs = self.pairs.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value)));
        pairs.collect::<Vec<_>>().join("&")
    }

    /// The token.
    #[must_use]
    pub fn token(&self) -> String {
        token_of(&self.url())
    }

    /// With the value of `name` replaced.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        for pair in self.pairs.iter_mut().filter(|(key, _)| key == name) {
            value.clone_into(&mut pair.1);
        }
        self
    }

    /// With one more pair at the end.
    #[must_use]
    pub fn and(mut self, name: &str, value: &str) -> Self {
        self.pairs.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Without `name`.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.pairs.retain(|(key, _)| key != name);
        self
    }

    /// The value of `name`.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Makes any URL a token.
#[must_use]
pub fn token_of(url: &str) -> String {
    format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(url))
}

/// The URL in a token, if there is one.
#[must_use]
pub fn url_of(token: &str) -> Option<String> {
    String::from_utf8(URL_SAFE_NO_PAD.decode(token.strip_prefix(PREFIX)?).ok()?).ok()
}

/// The same token made by the AWS SDK's own signer, to check this file against.
///
/// # Errors
///
/// When the signer does not take the draft.
pub fn by_aws_sdk(draft: &Draft, at: SystemTime) -> anyhow::Result<String> {
    use aws_credential_types::Credentials;
    use aws_sigv4::{
        http_request::{SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign},
        sign::v4,
    };
    let session_token = draft.session_token.clone();
    let identity = Credentials::new(&draft.access_key_id, &draft.secret, session_token, None, "forge").into();
    let mut settings = SigningSettings::default();
    settings.signature_location = SignatureLocation::QueryParams;
    let expires = draft.expires.as_deref().unwrap_or("60").parse()?;
    settings.expires_in = Some(std::time::Duration::from_secs(expires));
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(&draft.region)
        .name(&draft.service)
        .time(at)
        .settings(settings)
        .build()?
        .into();
    let parameters: Vec<_> = draft.parameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let base = format!("https://{}{}?{}", draft.host, draft.path, parameters.join("&"));
    let headers = draft.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let request = SignableRequest::new(&draft.method, &base, headers, SignableBody::Bytes(&[]))?;
    let (instructions, _signature) = sign(request, &params)?.into_parts();
    let added =
        instructions.params().iter().map(|(name, value)| format!("&{name}={}", sigv4::encode(value.as_bytes())));
    Ok(token_of(&(base + &added.collect::<String>())))
}

fn identity(account: &str, arn: String, user_id: String) -> Identity {
    Identity { account: account.to_owned(), arn, user_id }
}

#[cfg(test)]
mod tests;
