//! Keys and roles the dev STS knows: whose secret it is, what the caller is told, who may become whom.

use std::{
    collections::HashMap,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use super::error::StsError;
use crate::sigv4::sha256_hex;

mod people;

pub use people::{
    ALICE, BOB, DEPLOYER_ROLE, DEVICE, DEVICE_CODE, EVE, EXTERNAL_ID, GUARDED_ROLE, PLATFORM_ROLE, POD_ROLE, Person,
    WEB_IDENTITY,
};

/// What `GetCallerIdentity` answers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Identity {
    /// 12 digits.
    pub account: String,
    /// The caller's ARN; a session's has no role path, as with the real service.
    pub arn: String,
    /// `AIDA…` for a user, `AROA…:session` for a role session.
    pub user_id: String,
}

/// One access key.
#[derive(Clone)]
pub struct Key {
    /// `AKIA…` or, with a session token, `ASIA…`.
    pub id: String,
    /// The secret access key.
    pub secret: String,
    /// Must come with every request when set, and with none when not.
    pub session_token: Option<String>,
    /// Whose key it is.
    pub identity: Identity,
    /// When a temporary key ends.
    pub expires_at: Option<SystemTime>,
}

/// A role that `AssumeRole` can hand out.
#[derive(Clone, Debug)]
pub struct Role {
    /// With its path: `arn:aws:iam::123456789012:role/platform/Admins`.
    pub arn: String,
    /// `AROA…`.
    pub id: String,
    /// Callers, by ARN or 12-digit account, that its trust policy lets in.
    pub trusts: Vec<String>,
    /// What its trust policy wants to hear, if anything.
    pub external_id: Option<String>,
    /// The MFA device whose code its trust policy wants, with that code.
    pub device: Option<(String, String)>,
    /// The web identity token that its trust policy takes, from callers without a key.
    pub web_identity: Option<String>,
    /// Longest session. Default with the real service: one hour.
    pub max_duration: Duration,
}

/// The table. Temporary keys that `AssumeRole` made join it until they end.
#[derive(Default)]
pub struct Keys {
    fixed: HashMap<String, Arc<Key>>,
    temporary: RwLock<HashMap<String, Arc<Key>>>,
    roles: Vec<Role>,
    derived: Option<fn(&str) -> Option<Key>>,
    made: AtomicU64,
}

/// What `AssumeRole` asks for, already read.
#[derive(Clone, Copy, Debug)]
pub struct Assumption<'a> {
    /// `RoleArn`.
    pub role_arn: &'a str,
    /// `RoleSessionName`.
    pub session_name: &'a str,
    /// `ExternalId`.
    pub external_id: Option<&'a str>,
    /// `SerialNumber` and `TokenCode`.
    pub device: Option<(&'a str, &'a str)>,
    /// `DurationSeconds`; one hour when absent.
    pub duration: Duration,
}

/// Most temporary keys alive at once.
const MAX_TEMPORARY: usize = 10_000;
/// Longest session of a caller that is a session itself ("role chaining").
const MAX_CHAINED: Duration = Duration::from_secs(3600);

// === impl Keys ===

impl Keys {
    /// The people and roles of `people`, for demos and tests.
    #[must_use]
    pub fn people() -> Self {
        let mut keys = Self::default();
        for person in [&ALICE, &BOB, &EVE] {
            keys.add(person.key());
        }
        keys.roles = people::roles();
        keys
    }

    /// Adds a long-lived key, or replaces the one of the same id.
    pub fn add(&mut self, key: Key) {
        self.fixed.insert(key.id.clone(), Arc::new(key));
    }

    /// Adds a role.
    pub fn add_role(&mut self, role: Role) {
        self.roles.push(role);
    }

    /// Also knows every key that `derive` can work out from its id: any number of callers, no table.
    #[must_use]
    pub fn with_derived(mut self, derive: fn(&str) -> Option<Key>) -> Self {
        self.derived = Some(derive);
        self
    }

    /// The key of that id.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<Arc<Key>> {
        if let Some(key) = self.fixed.get(id) {
            return Some(Arc::clone(key));
        }
        let temporary = self.temporary.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned();
        temporary.or_else(|| self.derived.and_then(|derive| derive(id)).map(Arc::new))
    }

    /// Makes temporary keys for `caller` in a role.
    ///
    /// # Errors
    ///
    /// `AccessDenied` when there is no such role or it does not trust the caller,
    /// `ValidationError` for a bad name or duration.
    pub fn assume(&self, caller: &Identity, asked: Assumption<'_>, now: SystemTime) -> Result<Arc<Key>, StsError> {
        check_session_name(asked.session_name)?;
        let denied = || {
            let (arn, role) = (&caller.arn, asked.role_arn);
            let text = format!("User: {arn} is not authorized to perform: sts:AssumeRole on resource: {role}");
            StsError::AccessDenied(text)
        };
        let role = self.roles.iter().find(|role| role.arn == asked.role_arn).ok_or_else(denied)?;
        if !role.trusts(caller) || role.external_id.as_deref() != asked.external_id {
            return Err(denied());
        }
        role.check_device(asked.device, denied)?;
        check_duration(role, caller, asked.duration)?;
        self.make(role, asked, now)
    }

    /// Makes temporary keys for whoever shows a web identity token.
    ///
    /// # Errors
    ///
    /// `AccessDenied` when there is no such role or it does not take the token.
    pub fn assume_by_token(&self, token: &str, asked: Assumption<'_>, now: SystemTime) -> Result<Arc<Key>, StsError> {
        let takes = |role: &&Role| role.arn == asked.role_arn && role.web_identity.as_deref() == Some(token);
        let denied = || StsError::AccessDenied("Not authorized to perform sts:AssumeRoleWithWebIdentity".to_owned());
        self.make(self.roles.iter().find(takes).ok_or_else(denied)?, asked, now)
    }

    fn make(&self, role: &Role, asked: Assumption<'_>, now: SystemTime) -> Result<Arc<Key>, StsError> {
        let key = Arc::new(self.temporary_key(role, asked, now));
        let mut temporary = self.temporary.write().unwrap_or_else(PoisonError::into_inner);
        temporary.retain(|_, key| key.expires_at.is_none_or(|end| end > now));
        if temporary.len() >= MAX_TEMPORARY {
            return Err(StsError::Throttling);
        }
        temporary.insert(key.id.clone(), Arc::clone(&key));
        Ok(key)
    }

    fn temporary_key(&self, role: &Role, asked: Assumption<'_>, now: SystemTime) -> Key {
        let serial = self.made.fetch_add(1, Relaxed);
        let seed = format!("{serial} {} {} {now:?}", role.arn, asked.session_name);
        let part = |what: &str| sha256_hex(format!("{what} {seed}").as_bytes());
        let session = asked.session_name;
        Key {
            id: format!("ASIA{}", &part("id").to_ascii_uppercase()[..16]),
            secret: part("secret")[..40].to_owned(),
            session_token: Some(format!("IQoJb3JpZ2lu/+{}{}{}==", part("one"), part("two"), part("three"))),
            identity: Identity {
                account: role.account().to_owned(),
                arn: format!("arn:{}:sts::{}:assumed-role/{}/{session}", role.partition(), role.account(), role.name()),
                user_id: format!("{}:{session}", role.id),
            },
            expires_at: Some(now + asked.duration),
        }
    }
}

fn check_session_name(name: &str) -> Result<(), StsError> {
    let good = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
    if (2..=64).contains(&name.len()) && name.chars().all(good) {
        return Ok(());
    }
    let text = format!(
        "1 validation error detected: Value '{name}' at 'roleSessionName' failed to satisfy constraint: Member must \
         satisfy regular expression pattern: [\\w+=,.@-]{{2,64}}"
    );
    Err(StsError::ValidationError(text))
}

fn check_duration(role: &Role, caller: &Identity, asked: Duration) -> Result<(), StsError> {
    let chained = caller.arn.contains(":assumed-role/");
    let longest = if chained { role.max_duration.min(MAX_CHAINED) } else { role.max_duration };
    if asked > longest {
        let text = "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.";
        return Err(StsError::ValidationError(text.to_owned()));
    }
    Ok(())
}

// === impl Role ===

impl Role {
    /// A role that this caller or account may assume, by ARN or 12 digits, for an hour at most, and that wants nothing else.
    #[must_use]
    pub fn trusting(caller: &str, arn: &str, id: &str) -> Self {
        Self {
            arn: arn.to_owned(),
            id: id.to_owned(),
            trusts: vec![caller.to_owned()],
            external_id: None,
            device: None,
            web_identity: None,
            max_duration: Duration::from_secs(3600),
        }
    }

    fn trusts(&self, caller: &Identity) -> bool {
        self.trusts.iter().any(|trusted| *trusted == caller.arn || *trusted == caller.account)
    }

    fn check_device(&self, shown: Option<(&str, &str)>, denied: impl FnOnce() -> StsError) -> Result<(), StsError> {
        let wanted = self.device.as_ref().map(|(device, code)| (device.as_str(), code.as_str()));
        match (wanted, shown) {
            (None, _) => Ok(()),
            (Some(wanted), Some(shown)) if wanted == shown => Ok(()),
            (Some(_), None) => Err(denied()),
            (Some(_), Some(_)) => {
                let text = "MultiFactorAuthentication failed with invalid MFA one time pass code. ";
                Err(StsError::AccessDenied(text.to_owned()))
            }
        }
    }

    fn section(&self, index: usize) -> &str {
        self.arn.split(':').nth(index).unwrap_or_default()
    }

    fn partition(&self) -> &str {
        self.section(1)
    }

    fn account(&self) -> &str {
        self.section(4)
    }

    /// Without its path, as in the ARN of its sessions.
    fn name(&self) -> &str {
        self.arn.rsplit('/').next().unwrap_or_default()
    }
}
