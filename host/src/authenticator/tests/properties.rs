//! What holds for any two callers and any configuration.

use std::path::Path;

use futures_util::{FutureExt as _, future::join_all};
use proptest::prelude::*;

use super::*;

/// Callers of few names, so that entries and callers meet, and some meet none.
const CALLERS: [&str; 8] = [
    "arn:aws:iam::123456789012:user/alice",
    "arn:aws:iam::123456789012:user/bob",
    "arn:aws:sts::123456789012:assumed-role/Admin/alice",
    "arn:aws:sts::123456789012:assumed-role/Admin/bob",
    "arn:aws:sts::123456789012:assumed-role/AWSReservedSSO_Dev_0123456789abcdef/carol",
    "arn:aws:iam::123456789012:root",
    "arn:aws:sts::123456789013:assumed-role/Admin/eve",
    "arn:aws:sts::123456789013:federated-user/eve",
];

/// One entry of a list; the second half is a template or a name.
fn entry() -> impl Strategy<Value = (bool, String)> {
    let end = prop::sample::select(vec!["", ", notAfter: 1970-01-12T13:46:40Z"]);
    let roles = prop::sample::select(vec![
        "roleARN: 'arn:aws:iam::123456789012:role/Admin'",
        "roleARN: 'arn:aws:iam::123456789013:role/Admin'",
        "sso: {permissionSetName: Dev, accountID: '123456789012'}",
    ]);
    let users = prop::sample::select(vec![
        "userARN: 'arn:aws:iam::123456789012:user/alice'",
        "userARN: 'arn:aws:iam::123456789012:user/bob'",
        "userARN: 'arn:aws:iam::123456789012:root'",
    ]);
    let names = prop::sample::select(vec!["x", "'{{AccountID}}'", "'s:{{SessionName}}'", "'r:{{SessionNameRaw}}'"]);
    let groups = prop::sample::select(vec!["[]", "[a]", "[a, b]", "['{{SessionName}}']", "[system:masters]"]);
    (any::<bool>(), roles, users, names, groups, end).prop_map(|(is_role, role, user, name, groups, end)| {
        let subject = if is_role { role } else { user };
        (is_role, format!("{{{subject}, username: {name}, groups: {groups}{end}}}"))
    })
}

fn configuration() -> impl Strategy<Value = String> {
    let accounts = prop::sample::select(vec!["", "'123456789012'", "'123456789013'"]);
    (prop::collection::vec(entry(), 0..8), accounts.clone(), accounts, any::<bool>()).prop_map(
        |(entries, accounts, scrubbed, is_reserved)| {
            let list = |of_roles: bool| {
                let of_kind = entries.iter().filter(|(is_role, _)| *is_role == of_roles);
                of_kind.map(|(_, entry)| entry.clone()).collect::<Vec<_>>().join(", ")
            };
            let reserved = "{backendMode: MountedFile, usernamePrefixReserveList: ['s:']}";
            format!(
                "clusterID: c\nserver:\n  mapRoles: [{}]\n  mapUsers: [{}]\n  mapAccounts: [{accounts}]\n  \
                 scrubbedAccounts: [{scrubbed}]\n  reservedPrefixConfig: [{}]\n",
                list(true),
                list(false),
                if is_reserved { reserved } else { "" },
            )
        },
    )
}

fn engine(text: &str) -> Option<Authenticator> {
    // What does not load never decides anything: two entries of one subject, for one.
    let config = Config::parse(Path::new("/config.yaml"), text).ok()?.config;
    let shared = Shared::new(&config, Arc::default(), None, || SystemTime::UNIX_EPOCH).expect("made");
    Some(config.build(&shared).expect("built"))
}

/// A question: who, and when, in seconds around the end of entries that have one.
type Question = (usize, u64);

async fn said(engine: &Authenticator, (who, seconds): Question) -> serde_json::Value {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(999_000 + seconds);
    let decision = engine.decide_unproven(Arc::new(caller(CALLERS[who])), now).await;
    let mut said = serde_json::to_value(&decision).expect("plain data");
    // What is another one each time.
    for key in ["decisionId", "micros", "verifyMicros"] {
        said[key].take();
    }
    for stage in said["stages"].as_array_mut().into_iter().flatten() {
        stage["micros"].take();
    }
    if let Some(extra) = said["user"]["extra"].as_object_mut() {
        extra.remove("herald.dev/decision-id");
    }
    said
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// A decision is a function of request, configuration and time: what an engine of its own says of a question, an
    /// engine says that has been asked anything else before, and is asked it in between and at once.
    #[test]
    fn nobody_is_decided_about_by_what_was_asked_of_others(
        text in configuration(),
        questions in prop::collection::vec((0..CALLERS.len(), 0..2000_u64), 2..24),
    ) {
        let shared = engine(&text);
        prop_assume!(shared.is_some());
        let shared = shared.expect("it has loaded");
        let in_turn: Vec<_> = questions
            .iter()
            .map(|question| said(&shared, *question).now_or_never().expect("no stage waits"))
            .collect();
        let at_once = join_all(questions.iter().rev().map(|question| said(&shared, *question)));
        let mut at_once = at_once.now_or_never().expect("no stage waits");
        at_once.reverse();
        for (nth, question) in questions.iter().enumerate() {
            let alone = engine(&text).expect("it has loaded before");
            let alone = said(&alone, *question).now_or_never().expect("no stage waits");
            prop_assert_eq!(&in_turn[nth], &alone, "{}\n{:?}", text, question);
            prop_assert_eq!(&at_once[nth], &alone, "{}\n{:?}", text, question);
        }
    }
}
