//! Any number of callers of Alibaba Cloud without a table, as for AWS: the AccessKey id names the caller, and the dev STS
//! works the rest out of it.

use std::time::SystemTime;

use super::Draft;
use crate::{
    sts::alibaba::{Identity, Key},
    tokens::bulk::{Made, base36, filler, role_name},
};

/// The account of every derived caller.
pub const ACCOUNT: &str = "1111222233334444";

const PREFIX_OF_IDS: &str = "STS.NUDERIVED";
const ROLE_DIGITS: usize = 5;
const SESSION_DIGITS: usize = 8;
/// Length of every security token, in bytes: with it a token has 2 kB, as with temporary credentials.
const SECURITY_TOKEN: u64 = 800;

/// `count` good tokens for `cluster_id`, each of a session of its own, numbered from `first_session` and spread over
/// `roles`; and the username that a mapping `ROLE → role-name:{{SessionName}}` must give each.
#[must_use]
pub fn many(count: usize, first_session: u64, roles: u64, cluster_id: &str, at: SystemTime) -> Vec<Made> {
    let made = |index: u64| {
        // Roles are taken all over the table, not from its start.
        let (role, session) = (index.wrapping_mul(7919) % roles.max(1), first_session + index);
        let token = Draft::of_key(&key(role, session), cluster_id, at).token();
        (token, Some(format!("{}:sess-{session}", role_name(role))))
    };
    (0..count as u64).map(made).collect()
}

/// The key behind a derived AccessKey id; `None` for ids that are none.
#[must_use]
pub fn derived_key(id: &str) -> Option<Key> {
    let rest = id.strip_prefix(PREFIX_OF_IDS)?;
    let (role, session) = rest.split_at_checked(ROLE_DIGITS).filter(|(_, session)| session.len() == SESSION_DIGITS)?;
    let number = |text: &str| u64::from_str_radix(text, 36).ok();
    Some(key(number(role)?, number(session)?)).filter(|key| key.id == id)
}

fn key(role: u64, session: u64) -> Key {
    let id = format!("{PREFIX_OF_IDS}{}{}", base36(role, ROLE_DIGITS), base36(session, SESSION_DIGITS));
    Key {
        secret: format!("derived-secret-of-{id}"),
        security_token: Some(filler(&id, SECURITY_TOKEN)),
        identity: Identity {
            account_id: ACCOUNT.to_owned(),
            arn: format!("acs:ram::{ACCOUNT}:assumed-role/{}/sess-{session}", role_name(role)),
            identity_type: "AssumedRoleUser",
            principal_id: format!("3{role:017}:sess-{session}"),
        },
        id,
        expires_at: None,
        disabled: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_all_that_is_needed() {
        let made = key(9_999, 1_000_000);
        let found = derived_key(&made.id).expect("one of ours");
        assert_eq!((&found.secret, &found.security_token), (&made.secret, &made.security_token));
        assert_eq!(found.identity, made.identity);
        for other in ["LTAI5tDEVLINEXAMPLE1", "STS.NUDERIVED", "STS.NUDERIVED0000000000é", "STS.NUDERIVED0000a00000001"]
        {
            assert!(derived_key(other).is_none(), "{other}");
        }
    }

    #[test]
    fn every_token_is_anothers() {
        let made = many(50, 7, 5, "bench", crate::now());
        let tokens: std::collections::HashSet<_> = made.iter().map(|(token, _)| token).collect();
        assert_eq!(tokens.len(), 50);
        assert_eq!(made[1].1.as_deref(), Some("bench-role-000004:sess-8"));
    }
}
