//! A whole policy: people of one account get a group during office hours (UTC), and none outside them.
//!
//! Settings: `{"accountId": "111122223333", "from": 8, "until": 18, "group": "developers"}`.

use herald_policy::{Decision, Fault, Mapping, Policy, Request, log};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Settings {
    account_id: String,
    from: u64,
    until: u64,
    group: String,
}

struct OfficeHours(Settings);

impl Policy for OfficeHours {
    type Settings = Settings;

    fn configure(settings: Settings) -> Result<Self, String> {
        if settings.from >= settings.until || settings.until > 24 {
            return Err("from and until are hours of the day, from before until".to_owned());
        }
        Ok(Self(settings))
    }

    fn decide(&self, request: &Request) -> Result<Decision, Fault> {
        let Self(settings) = self;
        let caller = &request.caller;
        if caller.provider != "aws" || caller.account_id != settings.account_id {
            return Ok(Decision::Abstain);
        }
        let user = Mapping::named(&caller.canonical_arn);
        let hour = request.now / 3600 % 24;
        if (settings.from..settings.until).contains(&hour) {
            return Ok(user.with_group(&settings.group).into());
        }
        log::info("outside office hours: no group");
        Ok(user.into())
    }
}

herald_policy::export!(OfficeHours);

#[cfg(test)]
mod tests {
    use herald_policy::testing;

    use super::*;

    #[track_caller]
    fn check(account: &str, hour: u64, expected: Decision) {
        let settings = r#"{"accountId": "111122223333", "from": 8, "until": 18, "group": "developers"}"#;
        let policy: OfficeHours = testing::configure(settings).expect("good settings");
        let mut request = testing::session(account, "Dev", "alice");
        request.now = hour * 3600;
        assert_eq!(policy.decide(&request), Ok(expected));
    }

    #[test]
    fn groups_by_the_hour() {
        let user = || Mapping::named("arn:aws:iam::111122223333:role/Dev");
        check("111122223333", 7, user().into());
        check("111122223333", 8, user().with_group("developers").into());
        check("111122223333", 17, user().with_group("developers").into());
        check("111122223333", 18, user().into());
        check("444455556666", 12, Decision::Abstain);
    }

    #[test]
    fn hours_are_checked() {
        let settings = r#"{"accountId": "111122223333", "from": 18, "until": 8, "group": "developers"}"#;
        assert!(testing::configure::<OfficeHours>(settings).is_err());
    }
}
