//! Whom the fuzzer makes up, and that every step makes him smaller.

use std::collections::BTreeSet;

use super::*;

fn words() -> Words {
    let settings = json!({
        "accounts": ["111122223333", "1111222233334444"], "regions": ["eu-central-1", "us-gov-east-1"],
        "ids": ["AROAABCDEFGHIJKLMNOPQ", "ASIAABCDEFGHIJKLMNOP"], "trail": ["Policy/oncall"], "until": "2026-05-04T12:00:00Z",
    });
    Words::of(&json!({"settings": settings}), &Value::Null)
}

fn drafts(asked: Option<policy::Kind>) -> Vec<Draft> {
    Draft::of_callers(&words(), asked, &mut fastrand::Rng::with_seed(7)).take(3000).collect()
}

#[test]
fn the_same_seed_makes_the_same_callers() {
    let again = drafts(None);
    assert_eq!(drafts(None), again);
    assert!(again.iter().all(|draft| draft.request().is_some()));
    let (words, mut random) = (words(), fastrand::Rng::with_seed(7));
    assert!((0..100).map(|_| Draft::random(&words, None, &mut random)).any(|draft| draft.request().is_none()));
}

#[test]
fn everything_that_a_host_could_say_is_said() {
    let requests: Vec<OwnedRequest> = drafts(None).iter().filter_map(Draft::request).collect();
    let said = |what: &dyn Fn(&OwnedRequest) -> String| requests.iter().map(what).collect::<BTreeSet<String>>();
    #[track_caller]
    fn check(said: &BTreeSet<String>, expected: &[&str]) {
        assert!(expected.iter().all(|word| said.contains(*word)), "{expected:?} {said:?}");
    }
    check(&said(&|request| request.caller.partition.clone()), &[&AWS_PARTITIONS[..], &[ACS_PARTITION]].concat());
    let kinds = said(&|request| format!("{:?}", request.caller.kind));
    check(&kinds, &["AssumedRole", "FederatedUser", "Root", "User"]);
    let regions = said(&|request| request.caller.sts_region.clone());
    check(&regions, &["", "us-east-1", "eu-central-1", "us-gov-east-1", "cn-north-1", "cn-hangzhou"]);
    check(&said(&|request| request.cluster_id.clone()), &["test.example.com", "oncall"]);
    check(
        &said(&|request| request.caller.principal_id.as_str().to_owned()),
        &["AROAABCDEFGHIJKLMNOPQ", "111122223333"],
    );
    check(&said(&|request| request.caller.access_key_id.clone()), &["ASIAABCDEFGHIJKLMNOP", "AKIAIOSFODNN7EXAMPLE"]);
    let attributes = said(&|request| format!("{:?}", request.caller.attributes));
    assert_eq!(attributes.len(), 4, "{attributes:?}");
    let trails = said(&|request| request.trail.join(" "));
    check(&trails, &["", "MountedFile", "EKSConfigMap", "CRD Policy/other", "Policy/oncall"]);
    let has =
        |what: &dyn Fn(&Mapping) -> bool| requests.iter().any(|request| request.current.as_ref().is_some_and(what));
    assert!(has(&|current| current.uid.is_some()) && has(&|current| current.extra.len() == 2));
}

/// A stage may have any name in the examples that a component carries.
#[test]
fn nothing_that_is_told_steers_a_terminal() {
    let trail = vec!["Policy/\u{1b}[2J\n10000 callers, no counter-example".to_owned()];
    let current = Some(Mapping { username: "\u{1b}[2J".to_owned(), ..Mapping::default() });
    let told = Draft { current, trail, ..Draft::simplest() }.told();
    assert!(told.iter().all(|(_, text)| !text.contains(char::is_control)), "{told:?}");
    assert_eq!(told.last(), Some(&("by", r"Policy/\u{1b}[2J\n10000 callers, no counter-example".to_owned())));
}

/// An id is of its principal, a region of its partition.
#[test]
fn nothing_is_said_that_no_host_would_say() {
    for request in drafts(None).iter().filter_map(Draft::request) {
        let caller = &request.caller;
        let regions = REGIONS.iter().find(|(name, _)| *name == caller.partition).expect("one that is known").1;
        let is_region = regions.contains(&caller.sts_region.as_str());
        assert!(is_region || partition_of(&caller.sts_region) == Some(caller.partition.as_str()), "{caller:?}");
        let id = caller.principal_id.as_str();
        let fits = match (caller.provider, caller.session_name.is_some()) {
            ("alibaba", _) => id.bytes().all(|byte| byte.is_ascii_digit()),
            (_, true) => id.starts_with("AROA"),
            (_, false) => id.starts_with("AIDA") || id.starts_with(caller.account_id.as_str()),
        };
        assert!(fits, "{caller:?}");
        let role = caller.session_name.as_ref().and_then(|_| caller.canonical_arn.split_once(":role/"));
        assert!(role.is_none_or(|(_, role)| role == caller.name), "a role without its path: {caller:?}");
        assert_eq!(caller.attributes.is_empty(), caller.provider == "aws");
        assert_eq!(request.current.is_some(), !request.trail.is_empty());
    }
}

#[test]
fn a_kind_of_policy_sees_what_it_would_see() {
    assert!(drafts(Some(policy::Kind::Map)).iter().all(|draft| draft.current.is_none()));
    assert!(drafts(Some(policy::Kind::Augment)).iter().all(|draft| draft.current.is_some() && draft.trail.len() == 1));
    let guards = drafts(Some(policy::Kind::Guard));
    assert!(guards.iter().all(|draft| draft.current.is_some()) && guards.iter().any(|draft| draft.trail.len() == 2));
}

#[test]
fn regions_are_of_partitions() {
    for (word, expected) in [
        ("eu-central-1", Some("aws")),
        ("us-gov-east-1", Some("aws-us-gov")),
        ("us-isob-east-1", Some("aws-iso-b")),
        ("cn-north-1", Some("aws-cn")),
        ("on-call-team", None),
        ("team-1", None),
        ("", None),
    ] {
        assert_eq!(partition_of(word), expected, "{word}");
    }
}

/// So that making smaller ends.
#[test]
fn what_is_smaller_is_smaller() {
    let weigh = |text: &String| 2 * text.len() + usize::from(text != SIMPLEST);
    let size = |draft: &Draft| {
        let of_mapping = |mapping: &Mapping| {
            let texts = mapping.groups.iter().chain([&mapping.username]).chain(&mapping.uid);
            let extra = mapping.extra.iter().flat_map(|(key, values)| values.iter().chain([key]));
            texts.chain(extra).map(|text| weigh(text) + 1).sum::<usize>()
                + 100 * mapping.extra.iter().map(|(_, values)| values.len() + 1).sum::<usize>()
        };
        let unusual = [&draft.principal_id, &draft.access_key_id, &draft.sts_region, &draft.cluster_id];
        weigh(&draft.name)
            + weigh(&draft.session)
            + draft.kind as usize
            + draft.current.as_ref().map_or(0, |current| of_mapping(current) + 1000)
            + draft.trail.len().pow(2)
            + usize::from(draft.trail.first().is_some_and(|first| first != mounted_file::NAME))
            + unusual.into_iter().flatten().count()
            + usize::from(draft.unusual_now().is_some())
            + usize::from(draft.account != stranger(draft))
            + 2 * usize::from(draft.account.len() == ALIBABA_DIGITS)
            + usize::from(draft.partition != AWS)
    };
    for draft in drafts(None).iter().take(1000) {
        for smaller in draft.smaller() {
            assert!(size(&smaller) < size(draft), "{smaller:?}\n{draft:?}");
        }
    }
}
