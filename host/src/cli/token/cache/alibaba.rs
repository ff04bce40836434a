//! What is kept for callers of Alibaba Cloud.

use std::{env, ffi::OsString, fs, time::SystemTime};

use serde::{Deserialize, Serialize};

use super::{Cache, Kept, Owner, moment, seconds};
use crate::provider::{
    ClusterId, Token,
    alibaba::credentials::{Credentials, Request},
};

/// A session's file.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct KeptSession {
    access_key_id: String,
    access_key_secret: String,
    security_token: String,
    expires_at: u64,
}

const VARIABLES: [&str; 7] = [
    "ALIBABA_CLOUD_",
    "ALICLOUD_",
    "ALIBABACLOUD_",
    "ACK_RAM_TOOL_",
    "ACCESS_KEY_ID",
    "ACCESS_KEY_SECRET",
    "SECURITY_TOKEN",
];
const FILES: [(&str, Option<&str>); 5] = [
    // No variable has a name such as this one: the file is where it always is.
    ("", Some(".aliyun/config.json")),
    ("ALIBABA_CLOUD_CREDENTIALS_FILE", None),
    ("", Some(".alibabacloud/credentials")),
    ("", Some(".acs/credentials")),
    ("ALIBABA_CLOUD_OIDC_TOKEN_FILE", None),
];

// === impl Cache ===

impl Cache {
    /// The cache for `request`. `None` unless `switch` turns it on, and when there is no home for it.
    pub(in crate::cli::token) fn of_alibaba(request: &Request, switch: Option<bool>) -> Option<Self> {
        if switch != Some(true) {
            return None;
        }
        Self::for_alibaba(env::vars_os().collect(), request)
    }

    /// The same among these variables of the environment, turned on.
    #[must_use]
    pub fn for_alibaba(variables: Vec<(OsString, OsString)>, request: &Request) -> Option<Self> {
        let file = request.profile_file.as_ref().map(|file| fs::read_to_string(file).unwrap_or_default());
        // What is asked for holds no secret.
        let options = vec![Some("alibaba".to_owned()), Some(format!("{request:?}")), file];
        Self::open(variables, Owner { variables: &VARIABLES, files: &FILES, options, region: None }, true)
    }

    /// Temporary credentials that are good for a while.
    #[must_use]
    pub fn alibaba_session(&self, now: SystemTime) -> Option<Credentials> {
        let KeptSession { access_key_id, access_key_secret, security_token, expires_at } = self.kept(now)?;
        let credentials = Credentials::new(&access_key_id, &access_key_secret, Some(&security_token));
        Some(Credentials { expires_at: moment(expires_at), ..credentials })
    }

    /// Keeps the token, and the credentials if they are temporary.
    pub fn keep_alibaba(&self, cluster_id: &ClusterId, credentials: &Credentials, token: &Token, now: SystemTime) {
        self.store(cluster_id, KeptSession::of(credentials).as_ref(), token, now);
    }
}

// === impl KeptSession ===

impl KeptSession {
    fn of(credentials: &Credentials) -> Option<Self> {
        Some(Self {
            access_key_id: credentials.access_key_id.clone(),
            access_key_secret: credentials.access_key_secret.expose().to_owned(),
            security_token: credentials.security_token.as_ref()?.expose().to_owned(),
            expires_at: seconds(credentials.expires_at?),
        })
    }
}

impl Kept for KeptSession {
    fn expires_at(&self) -> u64 {
        self.expires_at
    }

    fn is_always_kept(&self) -> bool {
        false
    }
}
