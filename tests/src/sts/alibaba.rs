//! STS of Alibaba Cloud, on the same port: `GetCallerIdentity`, `AssumeRole` and `AssumeRoleWithOIDC` of version
//! 2015-04-01 (Security Token Service API Reference), for every host under `aliyuncs.com`.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use time::{OffsetDateTime, format_description::FormatItem, macros::format_description};

use super::{query::Parameters, verify::Wire};
use crate::sigv4::sha256_hex;

mod error;
mod people;
mod verify;

pub use error::Error;
pub use people::{DEPLOYER, EXTERNAL_ID, GUARDED, LIN, MEI, OIDC_PROVIDER, OIDC_TOKEN, POD, Person, ROOT, ZOE};

/// What `GetCallerIdentity` answers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Identity {
    /// 16 digits.
    pub account_id: String,
    /// `acs:ram::…`.
    pub arn: String,
    /// `Account`, `RAMUser` or `AssumedRoleUser`.
    pub identity_type: &'static str,
    /// An id, of a role with its session.
    pub principal_id: String,
}

/// One AccessKey.
#[derive(Clone, Debug)]
pub struct Key {
    /// `LTAI…`, or `STS.…` with a security token.
    pub id: String,
    /// The AccessKey secret.
    pub secret: String,
    /// Must come with every request when set, and with none when not.
    pub security_token: Option<String>,
    /// Whose key it is.
    pub identity: Identity,
    /// When a temporary key ends.
    pub expires_at: Option<SystemTime>,
    /// Whether its owner has turned it off.
    pub disabled: bool,
}

/// A role that can be assumed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Role {
    arn: &'static str,
    id: &'static str,
    /// ARN of the one who may, or nobody's.
    trusts: &'static str,
    external_id: Option<&'static str>,
    /// The OIDC token that its trust policy takes.
    oidc: Option<(&'static str, &'static str)>,
}

/// Whom the service knows, and which nonces it has seen.
pub struct Service {
    fixed: HashMap<String, Arc<Key>>,
    derived: fn(&str) -> Option<Key>,
    temporary: RwLock<HashMap<String, Arc<Key>>>,
    nonces: Mutex<HashSet<String>>,
}

const VERSION: &str = "2015-04-01";
const DATE: &[FormatItem<'_>] = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
const MAX_TEMPORARY: usize = 10_000;

/// Whether `host` is one of Alibaba Cloud: of STS, or of Container Service.
#[must_use]
pub fn is_host(host: &str) -> bool {
    let name = host.rsplit_once(':').map_or(host, |(name, _port)| name);
    let Some(rest) = name.strip_suffix(".aliyuncs.com") else { return false };
    let (service, region) = rest.split_once('.').unwrap_or((rest, ""));
    let known = matches!((service, region), ("cs" | "sts", _)) || (service == "sts-vpc" && !region.is_empty());
    known && !region.contains('.')
}

/// `2026-01-02T03:04:05Z`.
#[must_use]
pub fn acs_date(time: SystemTime) -> String {
    OffsetDateTime::from(time).format(DATE).expect("a date of this era has four-digit years")
}

// === impl Service ===

impl Service {
    /// The people of this module, and the callers of [`crate::tokens::alibaba::many`].
    #[must_use]
    pub fn people() -> Self {
        let keys = [LIN, MEI, ROOT, ZOE].map(|person| person.key());
        let fixed = keys.into_iter().map(|key| (key.id.clone(), Arc::new(key))).collect();
        let derived = crate::tokens::alibaba::derived_key;
        Self { fixed, derived, temporary: RwLock::default(), nonces: Mutex::default() }
    }

    /// Answers one request: the body, or what is wrong with it. Whoever is named is believed if not `verify`.
    ///
    /// # Errors
    ///
    /// What the real service answers to such a request.
    pub(super) fn answer(
        &self,
        wire: &Wire<'_>,
        verify: bool,
        now: SystemTime,
        request_id: &str,
    ) -> Result<String, Error> {
        let mut parameters = Parameters::parse(wire.query).map_err(|_| Error::InvalidParameter("query"))?;
        let in_body = std::str::from_utf8(wire.body).map_err(|_| Error::InvalidParameter("body"))?;
        let header = |name: &str| wire.headers.get(name).and_then(|value| value.to_str().ok());
        let action = header("x-acs-action").or_else(|| parameters.find("Action")).unwrap_or_default().to_owned();
        let version = header("x-acs-version").or_else(|| parameters.find("Version")).unwrap_or_default().to_owned();
        if action == "AssumeRoleWithOIDC" {
            parameters
                .extend(Parameters::parse(in_body).map_err(|_| Error::InvalidParameter("body"))?)
                .map_err(|_| Error::InvalidParameter("body"))?;
            return self.assume(&parameters, None, now, request_id);
        }
        let caller = if verify { self.verify(wire, &parameters, now)? } else { self.named(wire)? };
        if let Some(cluster) = wire.path.strip_prefix("/k8s/").and_then(|rest| rest.strip_suffix("/user_config")) {
            return kubeconfig(wire, &parameters, cluster, (&action, &version), &caller);
        }
        if version != VERSION {
            return Err(Error::InvalidVersion);
        }
        match action.as_str() {
            "GetCallerIdentity" => Ok(identity(&caller.identity, request_id)),
            "AssumeRole" => self.assume(&parameters, Some(&caller), now, request_id),
            _ => Err(Error::InvalidAction),
        }
    }

    /// The key of that id.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<Arc<Key>> {
        let temporary = || self.temporary.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned();
        let derived = || (self.derived)(id).map(Arc::new);
        self.fixed.get(id).cloned().or_else(temporary).or_else(derived)
    }

    /// Whether `nonce` comes for the first time.
    fn is_new(&self, nonce: &str) -> bool {
        self.nonces.lock().unwrap_or_else(PoisonError::into_inner).insert(nonce.to_owned())
    }

    fn assume(
        &self,
        parameters: &Parameters<'_>,
        caller: Option<&Key>,
        now: SystemTime,
        request_id: &str,
    ) -> Result<String, Error> {
        let needed = |name: &'static str| parameters.find(name).ok_or(Error::MissingParameter(name));
        let (arn, session) = (needed("RoleArn")?, needed("RoleSessionName")?);
        let plain = |c: char| c.is_ascii_alphanumeric() || ".@-_".contains(c);
        if !(2..=64).contains(&session.len()) || !session.chars().all(plain) {
            return Err(Error::InvalidParameter("RoleSessionName"));
        }
        let seconds = parameters.find("DurationSeconds").unwrap_or("3600").parse().ok();
        let seconds = seconds.filter(|seconds| (900..=3600).contains(seconds));
        let seconds = seconds.ok_or(Error::InvalidParameter("DurationSeconds"))?;
        let role = people::ROLES.iter().find(|role| role.arn == arn).ok_or(Error::NoRole)?;
        let trusted = match (caller, role.oidc) {
            (Some(caller), _) => {
                caller.identity.arn == role.trusts && parameters.find("ExternalId") == role.external_id
            }
            (None, Some((provider, token))) => {
                parameters.find("OIDCProviderArn") == Some(provider) && parameters.find("OIDCToken") == Some(token)
            }
            (None, None) => false,
        };
        if !trusted {
            return Err(Error::NoPermission);
        }
        let key = self.make(role, session, now + Duration::from_secs(seconds), now);
        Ok(credentials(&key, request_id))
    }

    fn make(&self, role: &Role, session: &str, end: SystemTime, now: SystemTime) -> Arc<Key> {
        let mut temporary = self.temporary.write().unwrap_or_else(PoisonError::into_inner);
        temporary.retain(|_, key| key.expires_at.is_none_or(|end| end > now));
        assert!(temporary.len() < MAX_TEMPORARY, "no test makes so many");
        let seed = format!("{} {} {session} {now:?}", temporary.len(), role.arn);
        let part = |what: &str| sha256_hex(format!("{what} {seed}").as_bytes());
        let account_id = role.arn.split(':').nth(3).unwrap_or_default().to_owned();
        let name = role.arn.rsplit('/').next().unwrap_or_default();
        let key = Arc::new(Key {
            id: format!("STS.NU{}", &part("id")[..20]),
            secret: part("secret")[..44].to_owned(),
            security_token: Some(format!("CAIS+/{}{}==", part("one"), part("two"))),
            identity: Identity {
                arn: format!("acs:ram::{account_id}:assumed-role/{name}/{session}"),
                account_id,
                identity_type: "AssumedRoleUser",
                principal_id: format!("{}:{session}", role.id),
            },
            expires_at: Some(end),
            disabled: false,
        });
        temporary.insert(key.id.clone(), Arc::clone(&key));
        key
    }
}

/// `DescribeClusterUserKubeconfig` of Container Service, which [`LIN`] alone may ask.
fn kubeconfig(
    wire: &Wire<'_>,
    parameters: &Parameters<'_>,
    cluster: &str,
    asked: (&str, &str),
    caller: &Key,
) -> Result<String, Error> {
    if asked != ("DescribeClusterUserKubeconfig", "2015-12-15") || wire.method != "GET" {
        return Err(Error::InvalidAction);
    }
    if caller.identity.arn != LIN.arn {
        return Err(Error::NoPermission);
    }
    let place = if parameters.find("PrivateIpAddress") == Some("true") { "10.0.0.1" } else { "203.0.113.1" };
    let config = serde_json::json!({
        "apiVersion": "v1", "kind": "Config", "preferences": {}, "current-context": format!("2012-{cluster}"),
        "clusters": [{"name": "kubernetes", "cluster": {"server": format!("https://{place}:6443")}}],
        "contexts": [{"name": format!("2012-{cluster}"), "context": {"cluster": "kubernetes", "user": "2012"}}],
        "users": [{"name": "2012", "user": {"client-certificate-data": "Q0VSVA==", "client-key-data": "S0VZ"}}],
    });
    Ok(serde_json::json!({"config": config.to_string(), "expiration": "2100-01-01T00:00:00Z"}).to_string())
}

/// The answer to `GetCallerIdentity`.
pub(super) fn identity(identity: &Identity, request_id: &str) -> String {
    let Identity { account_id, arn, identity_type, principal_id } = identity;
    let id = principal_id.split(':').next().unwrap_or_default();
    let mut json = serde_json::json!({
        "AccountId": account_id, "Arn": arn, "IdentityType": identity_type, "PrincipalId": principal_id,
        "RequestId": request_id,
    });
    json[if *identity_type == "AssumedRoleUser" { "RoleId" } else { "UserId" }] = id.into();
    json.to_string()
}

/// The same for whoever takes no JSON.
pub(super) fn identity_xml(identity: &Identity, request_id: &str) -> String {
    let Identity { account_id, arn, identity_type, principal_id } = identity;
    format!(
        "<?xml version='1.0' encoding='UTF-8'?>\n<GetCallerIdentityResponse><AccountId>{account_id}</AccountId>\
         <Arn>{arn}</Arn><IdentityType>{identity_type}</IdentityType><PrincipalId>{principal_id}</PrincipalId>\
         <RequestId>{request_id}</RequestId></GetCallerIdentityResponse>"
    )
}

fn credentials(key: &Key, request_id: &str) -> String {
    serde_json::json!({
        "RequestId": request_id,
        "AssumedRoleUser": {"Arn": key.identity.arn, "AssumedRoleId": key.identity.principal_id},
        "Credentials": {
            "AccessKeyId": key.id, "AccessKeySecret": key.secret, "SecurityToken": key.security_token,
            "Expiration": key.expires_at.map(acs_date),
        },
    })
    .to_string()
}

#[cfg(test)]
mod tests;
