//! Scrubbing: what policies say of a caller whose account stays out of logs, without the account's id and his ARNs.
//!
//! Their words are for the operator, and name whom they are about.

use crate::{caller::Caller, policy::LogLine};

/// What stays out of words about one caller.
pub(super) struct Scrub<'a>([&'a str; 3]);

/// What stands in its place.
const HIDDEN: &str = "[hidden]";

// === impl Scrub ===

impl<'a> Scrub<'a> {
    pub(super) fn of(caller: &'a Caller) -> Self {
        Self([caller.arn.as_str(), caller.canonical_arn.as_str(), caller.account_id.as_str()])
    }

    pub(super) fn text(&self, text: &mut String) {
        for hidden in self.0 {
            *text = text.replace(hidden, HIDDEN);
        }
    }

    pub(super) fn log(&self, log: &mut [LogLine]) {
        log.iter_mut().for_each(|line| self.text(&mut line.message));
    }
}

#[cfg(test)]
mod tests {
    use std::{path::Path, sync::Arc, time::SystemTime};

    use crate::{
        config::{Config, Shared},
        mapping::rule::tests::caller,
        policy::tests::{
            Fixture,
            guest::{Guest, saying, text},
        },
    };

    /// One that counts and one in shadow mode, which both log their words and refuse with them.
    #[tokio::test]
    async fn words_of_policies_name_no_scrubbed_account() {
        const WORDS: &str = "arn:aws:iam::123456789012:role/Admin of 123456789012 is in no table";
        let length = u32::try_from(WORDS.len()).expect("short");
        let log = format!("(call $log (i32.const 1) (i32.const 1024) (i32.const {length}))");
        let guest = Guest::deciding(format!("{log} {}", saying(0, 2, length))).with(text(WORDS));
        let fixture = Fixture::new(&guest.component());
        let policy = |name: &str, mode: &str| {
            let component = fixture.path().display();
            format!("{{name: {name}, kind: guard, mode: {mode}, component: {component}, limits: {{timeout: 5s}}}}")
        };
        let policies = [policy("s", "shadow"), policy("g", "enforce")].join(", ");
        for (scrubbed, words) in [("", WORDS), ("'123456789012'", "[hidden] of [hidden] is in no table")] {
            let text = format!(
                "clusterID: c\nserver:\n  scrubbedAccounts: [{scrubbed}]\n  mapRoles: [{{rolearn: \
                 'arn:aws:iam::123456789012:role/Admin', username: alice}}]\n  policies: [{policies}]\n"
            );
            let config = Config::parse(Path::new("/herald.yaml"), &text).expect("good").config;
            let shared = Shared::new(&config, Arc::default(), None, || SystemTime::UNIX_EPOCH).expect("made");
            let authenticator = config.build(&shared).expect("built");
            let caller = Arc::new(caller("arn:aws:sts::123456789012:assumed-role/Admin/alice"));
            let decision = authenticator.decide_unproven(caller, SystemTime::UNIX_EPOCH).await;
            let told = serde_json::to_value(&decision).expect("plain data");
            assert_eq!(told["message"], format!("denied by Policy/g: {words}"));
            assert_eq!(told["stages"][1]["log"][0]["message"], words);
            assert_eq!(told["shadows"][0]["refuses"], words);
            assert_eq!(told["shadows"][0]["log"][0]["message"], words);
            assert_eq!(told.to_string().contains("123456789012"), scrubbed.is_empty(), "{told}");
        }
    }
}
