//! Cases of policies, in YAML and as a component carries them in JSON: a case is met by the answer that it expects and by no
//! other, and means the same in both forms.
#![no_main]

use herald::policy::{
    Mapping, Verdict,
    cases::{Case, Document, Expectation, Outcome, difference},
};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|text: &str| {
    let Ok(document) = serde_saphyr::from_str::<Document>(text) else { return };
    let count = document.len();
    let cases = document.into_cases();
    assert_eq!(cases.len(), count);
    cases.iter().for_each(is_met_by_one_answer);
    // Whoever carries a case in a component wrote it in YAML.
    let Ok(json) = serde_saphyr::from_str::<Value>(text) else { return };
    let Ok(carried) = serde_json::from_value::<Document>(json) else { return };
    for (case, carried) in cases.iter().zip(carried.into_cases()) {
        assert_eq!((&case.name, &case.expect), (&carried.name, &carried.expect));
        assert_eq!((case.request.now, &case.request.caller), (carried.request.now, &carried.request.caller));
    }
});

fn is_met_by_one_answer(case: &Case) {
    let meets = |outcome: &Outcome| difference(&case.expect, outcome).is_none();
    let (abstain, deny) =
        (Outcome::Verdict(Verdict::Abstain), |why: &str| Outcome::Verdict(Verdict::Deny(why.to_owned())));
    let unloadable = |why: &str| Outcome::Unloadable(why.to_owned());
    let allow = |username: &str| {
        Outcome::Verdict(Verdict::Allow(Mapping { username: username.to_owned(), ..Mapping::default() }))
    };
    let text = match &case.expect {
        Expectation::Deny(part) | Expectation::Unloadable(part) => part.as_str(),
        _ => "",
    };
    let words = format!("because {text}!");
    assert_eq!(meets(&abstain), case.expect == Expectation::Abstain);
    assert_eq!(meets(&deny(&words)), matches!(case.expect, Expectation::Deny(_)));
    assert_eq!(meets(&unloadable(&words)), matches!(case.expect, Expectation::Unloadable(_)));
    assert!(!meets(&deny("")) || text.is_empty());
    // Two names that differ are never both the one that is expected.
    assert!(!(meets(&allow("alice")) && meets(&allow("bob"))));
    assert!(matches!(case.expect, Expectation::Allow(_)) || !meets(&allow("alice")));
}
