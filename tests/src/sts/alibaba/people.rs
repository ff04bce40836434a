//! Made-up people and roles of Alibaba Cloud. No real cloud knows these keys.

use super::{Identity, Key, Role};

/// A person with a key.
#[derive(Clone, Copy, Debug)]
pub struct Person {
    /// `ALIBABA_CLOUD_ACCESS_KEY_ID`.
    pub access_key_id: &'static str,
    /// `ALIBABA_CLOUD_ACCESS_KEY_SECRET`.
    pub access_key_secret: &'static str,
    /// `ALIBABA_CLOUD_SECURITY_TOKEN`, for temporary keys.
    pub security_token: Option<&'static str>,
    /// What `GetCallerIdentity` says.
    pub arn: &'static str,
    /// What `GetCallerIdentity` says.
    pub principal_id: &'static str,
}

/// A RAM user, by a long-lived key. May assume [`DEPLOYER`] and [`GUARDED`].
pub const LIN: Person = Person {
    access_key_id: "LTAI5tDEVLINEXAMPLE1",
    access_key_secret: "devLinSecretOfNoRealAccount001",
    security_token: None,
    arn: "acs:ram::1234567890123456:user/lin",
    principal_id: "201234567890123456",
};

/// In the role `Developers` under the session name `mei`, by temporary keys.
pub const MEI: Person = Person {
    access_key_id: "STS.NUDEVMEIEXAMPLE00000001",
    access_key_secret: "devMeiSecretOfNoRealAccount0000000000000002",
    security_token: Some("CAISmei+dev/security+token0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ=="),
    arn: "acs:ram::1234567890123456:assumed-role/Developers/mei",
    principal_id: "301234567890123456:mei",
};

/// The account of [`LIN`] and [`MEI`] itself.
pub const ROOT: Person = Person {
    access_key_id: "LTAI5tDEVROOTEXAMPLE",
    access_key_secret: "devRootSecretOfNoRealAccount03",
    security_token: None,
    arn: "acs:ram::1234567890123456:root",
    principal_id: "1234567890123456",
};

/// A RAM user of another account: proven by STS, named by no mapping.
pub const ZOE: Person = Person {
    access_key_id: "LTAI5tDEVZOEEXAMPLE1",
    access_key_secret: "devZoeSecretOfNoRealAccount004",
    security_token: None,
    arn: "acs:ram::6543210987654321:user/zoe",
    principal_id: "206543210987654321",
};

/// A role that [`LIN`] may assume.
pub const DEPLOYER: &str = "acs:ram::1234567890123456:role/Deployer";
/// A role that [`LIN`] may assume with [`EXTERNAL_ID`].
pub const GUARDED: &str = "acs:ram::1234567890123456:role/Guarded";
/// What [`GUARDED`] wants to hear.
pub const EXTERNAL_ID: &str = "herald-external-id";
/// A role for whoever shows [`OIDC_TOKEN`] of [`OIDC_PROVIDER`].
pub const POD: &str = "acs:ram::1234567890123456:role/Pod";
/// Who makes OIDC tokens.
pub const OIDC_PROVIDER: &str = "acs:ram::1234567890123456:oidc-provider/ack-rrsa-dev";
/// An OIDC token, as far as the dev STS is concerned.
pub const OIDC_TOKEN: &str = "dev.oidc.token";

pub(super) const ROLES: [Role; 3] = [
    Role { arn: DEPLOYER, id: "302345678901234567", trusts: LIN.arn, external_id: None, oidc: None },
    Role { arn: GUARDED, id: "303456789012345678", trusts: LIN.arn, external_id: Some(EXTERNAL_ID), oidc: None },
    Role { arn: POD, id: "304567890123456789", trusts: "", external_id: None, oidc: Some((OIDC_PROVIDER, OIDC_TOKEN)) },
];

// === impl Person ===

impl Person {
    /// The person's key as the dev STS keeps it.
    #[must_use]
    pub fn key(&self) -> Key {
        let identity_type = match self.arn.split(':').nth(4).and_then(|resource| resource.split('/').next()) {
            Some("root") => "Account",
            Some("user") => "RAMUser",
            _ => "AssumedRoleUser",
        };
        Key {
            id: self.access_key_id.to_owned(),
            secret: self.access_key_secret.to_owned(),
            security_token: self.security_token.map(str::to_owned),
            identity: Identity {
                account_id: self.arn.split(':').nth(3).unwrap_or_default().to_owned(),
                arn: self.arn.to_owned(),
                identity_type,
                principal_id: self.principal_id.to_owned(),
            },
            expires_at: None,
            disabled: false,
        }
    }

    /// The environment variables that clients read.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, &'static str)> {
        let mut variables = vec![
            ("ALIBABA_CLOUD_ACCESS_KEY_ID", self.access_key_id),
            ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", self.access_key_secret),
        ];
        variables.extend(self.security_token.map(|token| ("ALIBABA_CLOUD_SECURITY_TOKEN", token)));
        variables
    }
}
