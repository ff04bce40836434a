//! What is kept for callers of AWS.

use std::{env, ffi::OsString, time::SystemTime};

use aws_credential_types::Credentials;
use serde::{Deserialize, Serialize};

use super::{Cache, Kept, Owner, add, moment, seconds};
use crate::provider::{
    ClusterId, Token,
    aws::credentials::{self, Request, Session},
};

/// A session's file.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct KeptSession {
    access_key_id: String,
    secret_access_key: String,
    session_token: String,
    expires_at: u64,
    region: String,
    fips: bool,
    dual_stack: bool,
    asked: bool,
}

const VARIABLES: [&str; 2] = ["AWS_", "SECRET_ACCESS_KEY"];
const FILES: [(&str, Option<&str>); 4] = [
    ("AWS_CONFIG_FILE", Some(".aws/config")),
    ("AWS_SHARED_CREDENTIALS_FILE", Some(".aws/credentials")),
    ("AWS_WEB_IDENTITY_TOKEN_FILE", None),
    ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", None),
];

// === impl Cache ===

impl Cache {
    /// The cache for `request`. `None` when `switch` turns it off, when it could save nothing, and when there
    /// is no home for it.
    pub(in crate::cli::token) fn new(request: &Request, switch: Option<bool>) -> Option<Self> {
        // Keys in the environment are at hand already: some look-ups of variables are all that they cost.
        let at_hand = request.profile.is_none() && credentials::are_at_hand();
        if switch == Some(false) || (switch.is_none() && at_hand) {
            return None;
        }
        Self::of(env::vars_os().collect(), request, switch == Some(true))
    }

    /// The cache for `request` among these variables of the environment; with `all`, of everything, else of sessions that a
    /// person was asked for. `None` when there is no home for it.
    #[must_use]
    pub fn of(variables: Vec<(OsString, OsString)>, request: &Request, all: bool) -> Option<Self> {
        let options = vec![
            request.profile.clone(),
            request.role.as_ref().map(|role| format!("{role:?}")),
            request.region.as_ref().map(|_| "named".to_owned()),
        ];
        let owner = Owner { variables: &VARIABLES, files: &FILES, options, region: request.region.clone() };
        let mut cache = Self::open(variables.clone(), owner, all)?;
        // Behind that, since it reads the configuration again, and a pipe can be read only once.
        if let Some(logins) = credentials::logins(request, variables) {
            add(&mut cache.caller, Some(logins.as_bytes()));
        }
        Some(cache)
    }

    /// Temporary credentials that are good for a while.
    #[must_use]
    pub fn session(&self, now: SystemTime) -> Option<Session> {
        let kept: KeptSession = self.kept(now)?;
        let end = moment(kept.expires_at)?;
        let KeptSession { access_key_id, secret_access_key, session_token, .. } = kept;
        Some(Session {
            credentials: Credentials::new(access_key_id, secret_access_key, Some(session_token), Some(end), "cache"),
            region: self.region.clone().unwrap_or(kept.region),
            fips: kept.fips,
            dual_stack: kept.dual_stack,
            asked: kept.asked,
        })
    }

    /// Keeps the token, and the session if it is one.
    pub fn keep(&self, cluster_id: &ClusterId, session: &Session, token: &Token, now: SystemTime) {
        self.store(cluster_id, KeptSession::of(session).as_ref(), token, now);
    }
}

// === impl KeptSession ===

impl KeptSession {
    fn of(session: &Session) -> Option<Self> {
        let credentials = &session.credentials;
        Some(Self {
            access_key_id: credentials.access_key_id().to_owned(),
            secret_access_key: credentials.secret_access_key().to_owned(),
            session_token: credentials.session_token()?.to_owned(),
            expires_at: seconds(credentials.expiry()?),
            region: session.region.clone(),
            fips: session.fips,
            dual_stack: session.dual_stack,
            asked: session.asked,
        })
    }
}

impl Kept for KeptSession {
    fn expires_at(&self) -> u64 {
        self.expires_at
    }

    fn is_always_kept(&self) -> bool {
        self.asked
    }
}
