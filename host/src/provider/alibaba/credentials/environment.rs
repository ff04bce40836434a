//! Variables that Alibaba Cloud's tools read, with every name that they have had. One that is empty or blank counts as
//! absent, and blanks around a value are none of it: a line's end comes along where a variable is filled from a file.

use std::{
    env,
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
};

use super::{Credentials, Role, Source};

/// The environment, read once.
#[derive(Clone, Default)]
pub struct Environment(Vec<(OsString, OsString)>);

/// Names of one value: the first that is set and not blank counts.
type Names = &'static [&'static str];

const KEY_ID: Names = &[
    "ALIBABA_CLOUD_ACCESS_KEY_ID",
    "ALICLOUD_ACCESS_KEY",
    "ALIBABACLOUD_ACCESS_KEY_ID",
    "ALICLOUD_ACCESS_KEY_ID",
    "ACCESS_KEY_ID",
];
const SECRET: Names = &[
    "ALIBABA_CLOUD_ACCESS_KEY_SECRET",
    "ALICLOUD_SECRET_KEY",
    "ALIBABACLOUD_ACCESS_KEY_SECRET",
    "ALICLOUD_ACCESS_KEY_SECRET",
    "ACCESS_KEY_SECRET",
];
const SECURITY_TOKEN: Names = &[
    "ALIBABA_CLOUD_SECURITY_TOKEN",
    "ALICLOUD_ACCESS_KEY_STS_TOKEN",
    "ALIBABACLOUD_SECURITY_TOKEN",
    "ALICLOUD_SECURITY_TOKEN",
    "SECURITY_TOKEN",
];
const ROLE_ARN: Names = &["ALIBABA_CLOUD_ROLE_ARN"];
const SESSION_NAME: Names = &["ALIBABA_CLOUD_ROLE_SESSION_NAME", "ALICLOUD_ROLE_SESSION_NAME"];
const OIDC_PROVIDER: Names = &["ALIBABA_CLOUD_OIDC_PROVIDER_ARN"];
const OIDC_TOKEN_FILE: Names = &["ALIBABA_CLOUD_OIDC_TOKEN_FILE"];
const URI: Names = &["ALIBABA_CLOUD_CREDENTIALS_URI"];
const METADATA_ROLE: Names = &["ALIBABA_CLOUD_ECS_METADATA"];
const METADATA_ENDPOINT: Names = &["ALIBABA_CLOUD_IMDS_ENDPOINT"];
const METADATA_V2_DISABLED: Names = &["ALIBABA_CLOUD_IMDSV2_DISABLED"];
const PROFILE: Names = &["ALIBABA_CLOUD_PROFILE"];
const CREDENTIALS_FILE: Names = &["ALIBABA_CLOUD_CREDENTIALS_FILE"];
const STS_ENDPOINT: Names = &["ACK_RAM_TOOL_STS_ENDPOINT", "ALIBABA_CLOUD_STS_ENDPOINT"];
const REGION: Names = &["ACK_RAM_TOOL_REGION_ID", "ALIBABA_CLOUD_REGION_ID"];

/// What Go's `strconv.ParseBool` takes for true, in whatever case.
const TRUE: [&str; 3] = ["1", "t", "true"];
/// Where an instance asks for its metadata (Elastic Compute Service, "Instance metadata").
const METADATA: &str = "100.100.100.200";

// === impl Environment ===

impl Environment {
    /// This process's.
    #[must_use]
    pub fn of_process() -> Self {
        Self(env::vars_os().collect())
    }

    /// The credentials that variables name.
    #[must_use]
    pub fn source(&self) -> Option<Source> {
        let keys = self.find(KEY_ID).zip(self.find(SECRET));
        let keys = keys.map(|(id, secret)| Credentials::new(&id, &secret, self.find(SECURITY_TOKEN).as_deref()));
        let role = self.find(ROLE_ARN).map(|arn| Role { session_name: self.session_name(), ..Role::of(arn) });
        let oidc = self.find(OIDC_PROVIDER).zip(self.find(OIDC_TOKEN_FILE));
        match (keys, role, oidc) {
            (Some(keys), _, _) if keys.security_token.is_some() => Some(Source::Keys(keys)),
            (_, Some(role), Some((provider_arn, file))) => {
                Some(Source::Oidc { provider_arn, token_file: file.into(), role })
            }
            (Some(keys), Some(role), None) => Some(Source::Assume { base: Box::new(Source::Keys(keys)), role }),
            (Some(keys), None, _) => Some(Source::Keys(keys)),
            (None, ..) => {
                let uri = self.find(URI).map(Source::Uri);
                uri.or_else(|| self.find(METADATA_ROLE).map(|role| Source::Metadata { role: Some(role) }))
            }
        }
    }

    pub(super) fn metadata_role(&self) -> Option<String> {
        self.find(METADATA_ROLE)
    }

    /// Base of the metadata's URLs.
    pub(super) fn metadata_endpoint(&self) -> String {
        let host = self.find(METADATA_ENDPOINT).unwrap_or_else(|| METADATA.to_owned());
        if host.contains("://") { host } else { format!("http://{host}") }
    }

    pub(super) fn metadata_v2(&self) -> bool {
        let is_true = |value: &str| TRUE.iter().any(|word| word.eq_ignore_ascii_case(value));
        self.find(METADATA_V2_DISABLED).is_none_or(|value| !is_true(&value))
    }

    /// The name that a variable gives the session of a role, if one does.
    #[must_use]
    pub fn session_name(&self) -> Option<String> {
        self.find(SESSION_NAME)
    }

    pub(super) fn profile(&self) -> Option<String> {
        self.find(PROFILE)
    }

    /// The file with sections that a variable names, if one does.
    pub(super) fn credentials_file(&self) -> Option<PathBuf> {
        self.find(CREDENTIALS_FILE).map(PathBuf::from)
    }

    /// `path` in the home.
    pub(super) fn home(&self, path: &str) -> Option<PathBuf> {
        self.value("HOME").filter(|home| !home.is_empty()).map(|home| Path::new(home).join(path))
    }

    /// The host of STS that a variable names, if one does.
    #[must_use]
    pub fn sts_endpoint(&self) -> Option<String> {
        self.find(STS_ENDPOINT)
    }

    /// The region that a variable names, if one does.
    #[must_use]
    pub fn region(&self) -> Option<String> {
        self.find(REGION)
    }

    /// What is no Unicode is not passed over in silence: it is wrong where it is used.
    fn find(&self, names: Names) -> Option<String> {
        let value = |name: &str| Some(self.value(name)?.to_string_lossy().trim().to_owned());
        names.iter().find_map(|name| value(name).filter(|value| !value.is_empty()))
    }

    fn value(&self, name: &str) -> Option<&OsStr> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_os_str())
    }
}

impl<N: Into<OsString>, V: Into<OsString>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        Self(variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}
