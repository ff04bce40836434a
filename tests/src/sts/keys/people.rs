//! Made-up people and roles that demos, tests and the `dev-sts` binary share. No real cloud knows these keys.

use super::{Identity, Key, Role};

/// A person with a key.
#[derive(Clone, Copy)]
pub struct Person {
    /// `AWS_ACCESS_KEY_ID`.
    pub access_key_id: &'static str,
    /// `AWS_SECRET_ACCESS_KEY`.
    pub secret_access_key: &'static str,
    /// `AWS_SESSION_TOKEN`, for temporary keys.
    pub session_token: Option<&'static str>,
    /// What `GetCallerIdentity` says.
    pub arn: &'static str,
    /// What `GetCallerIdentity` says.
    pub user_id: &'static str,
}

/// In the role `Developers` under the session name `alice`, by temporary keys.
pub const ALICE: Person = Person {
    access_key_id: "ASIADEVALICEEXAMPLE1",
    secret_access_key: "dev/alice+secret+key/of/no/real/account1",
    session_token: Some(
        "IQoJb3JpZ2luX2VjEXAMPLE/alice+dev/session+token//////////wEaCXVzLWVhc3QtMSJHMEUCIQDexample0123456789abcdef\
         ghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ/0123456789+abcdefghijklmnopqrstuvwxyz/ABCDEFGHIJKLMNOPQRSTUVWXYZ\
         0123456789+/abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789==",
    ),
    arn: "arn:aws:sts::123456789012:assumed-role/Developers/alice",
    user_id: "AROADEVELOPERSEXAMPL:alice",
};

/// An IAM user, by a long-lived key. May assume [`DEPLOYER_ROLE`] and [`PLATFORM_ROLE`].
pub const BOB: Person = Person {
    access_key_id: "AKIADEVBOBEXAMPLE001",
    secret_access_key: "dev/bob/secret+key/of/no/real/account/22",
    session_token: None,
    arn: "arn:aws:iam::123456789012:user/bob",
    user_id: "AIDADEVBOBEXAMPLE001",
};

/// An IAM user of another account: proven by STS, named by no mapping.
pub const EVE: Person = Person {
    access_key_id: "AKIADEVEVEEXAMPLE001",
    secret_access_key: "dev/eve/secret+key/of/no/real/account/33",
    session_token: None,
    arn: "arn:aws:iam::210987654321:user/eve",
    user_id: "AIDADEVEVEEXAMPLE001",
};

/// A role that [`BOB`] may assume.
pub const DEPLOYER_ROLE: &str = "arn:aws:iam::123456789012:role/Deployer";
/// A role with a path that account 123456789012 may assume with [`EXTERNAL_ID`].
pub const PLATFORM_ROLE: &str = "arn:aws:iam::123456789012:role/platform/eu/Admins";
/// What [`PLATFORM_ROLE`] wants to hear.
pub const EXTERNAL_ID: &str = "herald-external-id";

/// A role that [`BOB`] may assume with a code of [`DEVICE`].
pub const GUARDED_ROLE: &str = "arn:aws:iam::123456789012:role/Guarded";
/// The MFA device of [`BOB`].
pub const DEVICE: &str = "arn:aws:iam::123456789012:mfa/bob";
/// The code that [`DEVICE`] always shows.
pub const DEVICE_CODE: &str = "314159";
/// A role for whoever shows [`WEB_IDENTITY`].
pub const POD_ROLE: &str = "arn:aws:iam::123456789012:role/Pod";
/// A web identity token, as far as the dev STS is concerned.
pub const WEB_IDENTITY: &str = "dev.web.identity";

/// The account of [`ALICE`] and [`BOB`].
const ACCOUNT: &str = "123456789012";

pub(super) fn roles() -> Vec<Role> {
    let guarded = Role {
        device: Some((DEVICE.to_owned(), DEVICE_CODE.to_owned())),
        ..Role::trusting(BOB.arn, GUARDED_ROLE, "AROAGUARDEDEXAMPLE01")
    };
    let pod =
        Role { web_identity: Some(WEB_IDENTITY.to_owned()), ..Role::trusting("", POD_ROLE, "AROAPODEXAMPLE000001") };
    let platform = Role {
        external_id: Some(EXTERNAL_ID.to_owned()),
        ..Role::trusting(ACCOUNT, PLATFORM_ROLE, "AROAPLATFORMEXAMPLE1")
    };
    vec![guarded, pod, Role::trusting(BOB.arn, DEPLOYER_ROLE, "AROADEPLOYEREXAMPLE1"), platform]
}

// === impl Person ===

impl Person {
    /// The person's key as the dev STS keeps it.
    #[must_use]
    pub fn key(&self) -> Key {
        Key {
            id: self.access_key_id.to_owned(),
            secret: self.secret_access_key.to_owned(),
            session_token: self.session_token.map(str::to_owned),
            identity: Identity {
                account: self.arn.split(':').nth(4).unwrap_or_default().to_owned(),
                arn: self.arn.to_owned(),
                user_id: self.user_id.to_owned(),
            },
            expires_at: None,
        }
    }

    /// The environment variables that every AWS client reads.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, &'static str)> {
        let mut variables =
            vec![("AWS_ACCESS_KEY_ID", self.access_key_id), ("AWS_SECRET_ACCESS_KEY", self.secret_access_key)];
        variables.extend(self.session_token.map(|token| ("AWS_SESSION_TOKEN", token)));
        variables
    }
}
