//! One question to IAM: GetRole or GetUser.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::{IamError, Principal, Tags, principal::Kind, read_answer};
use crate::provider::aws::service::{self, Access};

const VERSION: &str = "2010-05-08";
/// Largest answer in bytes. A role's trust policy, its description and fifty tags take some 50 KiB with everything escaped.
const MAX_BYTES: usize = 256 << 10;

/// The tags of `principal`.
///
/// # Errors
///
/// [`IamError`].
pub(super) async fn get(access: &Access, principal: &Principal) -> Result<Tags, IamError> {
    let ready = access.ready().await?;
    let answer = service::post(access, &ready, &form(principal), MAX_BYTES).await?;
    let tags = read_answer(answer.status, &answer.body, principal);
    match &tags {
        Ok(_) => ready.belongs_to(principal.account()),
        Err(IamError::Refused { .. }) => access.forget().await,
        Err(_) => {}
    }
    tags
}

fn form(principal: &Principal) -> String {
    let (action, parameter) = match principal.kind() {
        Kind::Role => ("GetRole", "RoleName"),
        Kind::User => ("GetUser", "UserName"),
    };
    let name = utf8_percent_encode(principal.name(), NON_ALPHANUMERIC);
    format!("Action={action}&Version={VERSION}&{parameter}={name}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::aws::iam::tests::principal;

    #[test]
    fn principals_are_asked_for_by_name() {
        #[track_caller]
        fn check(arn: &str, expected: &str) {
            assert_eq!(form(&principal(arn)), expected);
        }
        let role = "Action=GetRole&Version=2010-05-08&RoleName=Dev%2B%3D%2C%2E%40%5F%2D";
        check("arn:aws:sts::123456789012:assumed-role/Dev+=,.@_-/alice", role);
        check("arn:aws:iam::123456789012:user/path/alice", "Action=GetUser&Version=2010-05-08&UserName=alice");
    }
}
