//! Every kind, mode and `onFault` of a policy with every answer that it can give: what becomes of the login.

use std::path::Path;

use super::*;
use crate::{
    authenticator::Decision,
    caller::made_up,
    config::CheckedFile,
    policy::tests::{Fixture, guest::Guest},
};

/// The policies of the table: alice in group `dev`, no opinion, a refusal, a trap.
fn guests() -> [Fixture; 4] {
    use crate::policy::tests::guest::{saying, text};
    [
        Guest::allowing(),
        Guest::default(),
        Guest::deciding(saying(0, 2, 2)).with(text("no")),
        Guest::deciding("unreachable"),
    ]
    .map(|guest| Fixture::new(&guest.component()))
}

fn config(kind: &str, mode: &str, on_fault: &str, component: &Path) -> String {
    // Nobody maps the caller of a `map` policy; the others see a mapping that leaves them something to do.
    let (list, arn, groups) = match kind {
        "map" => ("MountedFile, Policy/p", "somebody-else", ""),
        "augment" => ("MountedFile", "bob", ""),
        _ => ("MountedFile", "bob", "dev, ops"),
    };
    format!(
        "clusterID: c\nserver:\n  backendMode: [{list}]\n  mapUsers: [{{userarn: 'arn:aws:iam::123456789012:user/{arn}', \
         username: alice, groups: [{groups}]}}]\n  policies: [{{name: p, kind: {kind}, mode: {mode}, onFault: {on_fault}, \
         component: {}, limits: {{timeout: 5s}}}}]\n",
        component.display()
    )
}

/// What becomes of a login, and behind `|` what the policy would have changed.
fn words(decision: &Decision) -> String {
    let outcome = match &decision.outcome {
        crate::authenticator::Outcome::Allowed { user } => format!("{} [{}]", user.username, user.groups.join(" ")),
        crate::authenticator::Outcome::Denied(denial) => denial.reason.to_owned(),
    };
    let shadows = decision.shadows.iter().map(|record| {
        let json = serde_json::to_value(&record.change).expect("it is data");
        let keys: Vec<&str> = json.as_object().expect("a map").keys().map(String::as_str).collect();
        assert_eq!(record.same, keys.is_empty());
        format!(" | {} {}", record.verdict, keys.join(" ")).trim_end().to_owned()
    });
    outcome + &shadows.collect::<String>()
}

fn login(text: &str) -> String {
    let checked = CheckedFile::parse(Path::new("/herald.yaml"), text.to_owned());
    if checked.findings.iter().any(|finding| finding.refuses) {
        return "refused".to_owned();
    }
    let config = &checked.parts[0].config;
    let shared = Shared::new(config, Arc::default(), None, || SystemTime::UNIX_EPOCH).expect("made");
    let authenticator = config.build(&shared).expect("built");
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(3600);
    let arn = "arn:aws:iam::123456789012:user/bob".parse().expect("an ARN");
    let caller = Arc::new(made_up::caller(&arn, now));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    words(&runtime.block_on(authenticator.decide_unproven(caller, now)))
}

#[test]
fn every_kind_in_every_mode_with_every_answer() {
    #[rustfmt::skip]
    let table = [
        // kind, mode, onFault          allows                    abstains          denies                    traps
        ("map", "enforce", "refuse",    ["alice [dev]",           "not_mapped",     "policy_denied",          "policy_trap"]),
        ("map", "enforce", "skip",      ["refused",               "refused",        "refused",                "refused"]),
        ("map", "shadow", "refuse",     ["not_mapped | allow groupsAdded letsIn", "not_mapped | abstain",
                                         "not_mapped | deny refuses", "not_mapped | policy_trap refuses"]),
        ("map", "shadow", "skip",       ["refused",               "refused",        "refused",                "refused"]),
        ("augment", "enforce", "refuse", ["alice [dev]",          "alice []",       "policy_denied",          "policy_trap"]),
        ("augment", "enforce", "skip",  ["alice [dev]",           "alice []",       "policy_denied",          "alice []"]),
        ("augment", "shadow", "refuse", ["alice [] | allow groupsAdded", "alice [] | abstain",
                                         "alice [] | deny refuses", "alice [] | policy_trap refuses"]),
        ("augment", "shadow", "skip",   ["alice [] | allow groupsAdded", "alice [] | abstain",
                                         "alice [] | deny refuses", "alice [] | policy_trap"]),
        ("guard", "enforce", "refuse",  ["alice [dev]",           "alice [dev ops]", "policy_denied",         "policy_trap"]),
        ("guard", "enforce", "skip",    ["refused",               "refused",        "refused",                "refused"]),
        ("guard", "shadow", "refuse",   ["alice [dev ops] | allow groupsRemoved", "alice [dev ops] | abstain",
                                         "alice [dev ops] | deny refuses", "alice [dev ops] | policy_trap refuses"]),
        ("guard", "shadow", "skip",     ["refused",               "refused",        "refused",                "refused"]),
    ];
    let guests = guests();
    for (kind, mode, on_fault, expected) in table {
        let found = guests.each_ref().map(|guest| login(&config(kind, mode, on_fault, guest.path())));
        assert_eq!(found, expected, "{kind} {mode} {on_fault}");
    }
}

#[test]
fn a_shadow_stands_where_its_place_is() {
    let [allows, abstains, ..] = guests();
    let policy = |name: &str, kind: &str, mode: &str, guest: &Fixture| {
        format!(
            "  - {{name: {name}, kind: {kind}, mode: {mode}, component: {}, limits: {{timeout: 5s}}}}\n",
            guest.path().display()
        )
    };
    let check = |list: &str, policies: &[String], expected: &str| {
        let text = format!("clusterID: c\nserver:\n  backendMode: [{list}]\n  policies:\n{}", policies.concat());
        assert_eq!(login(&text), expected, "{text}");
    };
    let (first, shadow) = (policy("a", "map", "enforce", &allows), policy("s", "map", "shadow", &allows));
    check("Policy/s, Policy/a", &[first.clone(), shadow.clone()], "alice [dev] | allow");
    // Nobody asks behind the stage that mapped.
    check("Policy/a, Policy/s", &[first.clone(), shadow.clone()], "alice [dev]");
    let silent = policy("a", "map", "enforce", &abstains);
    check("Policy/a, Policy/s", &[silent, shadow], "not_mapped | allow groupsAdded letsIn");
    let guards = [first, policy("g", "guard", "shadow", &abstains), policy("h", "guard", "enforce", &allows)];
    check("Policy/a", &guards, "alice [dev] | abstain");
}
