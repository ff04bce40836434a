//! What holds for every answer that a policy may think of.

use std::cell::Cell;

use proptest::prelude::*;

use super::*;

/// A policy that says what it was made to say.
struct Says(Result<Verdict, StageError>);

impl Stage for Says {
    fn name(&self) -> &str {
        "says"
    }

    fn decide<'a>(&'a self, _: &'a Request<'a>) -> BoxFuture<'a, Answer> {
        Box::pin(async { Answer::plain(self.0.clone()) })
    }
}

fn says(verdict: Result<Verdict, StageError>, skip_on_fault: bool) -> Link {
    Link { stage: Box::new(Says(verdict)), ceiling: Some(Ceiling::default()), skip_on_fault }
}

/// Names of one of two crowds, of which two may not fit beside each other.
fn crowd(most: usize) -> impl Strategy<Value = Vec<String>> {
    let crowds = prop::sample::select(vec!["p", "q"]);
    (crowds, 1..=most).prop_map(|(crowd, count)| (0..count).map(|number| format!("{crowd}{number}")).collect())
}

/// Few names, so that answers meet.
fn few(names: &'static [&str], most: usize) -> impl Strategy<Value = Vec<String>> {
    let names = prop::collection::vec(prop::sample::select(names), 0..=most);
    names.prop_map(|names| names.into_iter().map(str::to_owned).collect())
}

/// Often what there was before, and now and then a group that the guard does not pass.
fn groups() -> impl Strategy<Value = Vec<String>> {
    let list = |names: &[&str]| Just(names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>());
    let before = prop_oneof![2 => list(&["a"]), 1 => list(&[])];
    let crowd = prop_oneof![3 => list(&[]).boxed(), 2 => crowd(MAX_GROUPS).boxed()];
    let odd = prop_oneof![12 => list(&[]), 1 => list(&[""])];
    let few = few(&["a", "b", "c", "d", "system:masters"], 3);
    (before, few, crowd, odd).prop_map(|(before, few, crowd, odd)| [before, few, crowd, odd].concat())
}

fn mapping() -> impl Strategy<Value = Mapping> {
    let values = prop_oneof![3 => few(&["1", "2"], 2).boxed(), 1 => crowd(MAX_EXTRA).boxed()];
    let key = prop::sample::select(vec!["k", "l", "L"]).prop_map(str::to_owned);
    let extra = prop::collection::vec((key, values), 0..3);
    let name = prop::sample::select(vec!["alice", "alice", "alice", "alice", "eve"]);
    (name, groups(), extra).prop_map(|(name, groups, extra)| Mapping {
        username: name.to_owned(),
        uid: None,
        groups,
        extra,
    })
}

fn verdict() -> impl Strategy<Value = Result<Verdict, StageError>> {
    prop_oneof![
        1 => Just(Ok(Verdict::Abstain)),
        5 => mapping().prop_map(|mapping| Ok(Verdict::Allow(mapping))),
        1 => Just(Ok(Verdict::Deny("no".into()))),
        2 => Just(Err(Fault::Timeout.into())),
    ]
}

/// Mostly what a guard may say of [`whole`], and now and then anything.
fn guarded() -> impl Strategy<Value = Result<Verdict, StageError>> {
    let groups = prop::sample::subsequence(vec!["a", "b", "c"], 0..=3);
    let values = prop::sample::subsequence(vec!["1", "2"], 0..=2);
    let less =
        (groups, values).prop_map(|(groups, values)| Ok::<_, StageError>(Verdict::Allow(with(&groups, &values))));
    prop_oneof![2 => less, 1 => verdict()]
}

/// How a stage fails, if it does.
fn failure() -> impl Strategy<Value = Option<StageError>> {
    prop_oneof![
        3 => Just(None),
        1 => Just(Some(Fault::Timeout.into())),
        1 => Just(Some(StageError::NotReady)),
    ]
}

fn first(groups: &[&str]) -> Mapping {
    named("alice", groups)
}

/// Alice in these groups, with these values of an extra key.
fn with(groups: &[&str], values: &[&str]) -> Mapping {
    let values = values.iter().map(|&value| value.to_owned()).collect();
    Mapping { extra: vec![("k".into(), values)], ..first(groups) }
}

/// All that there is to take away.
fn whole() -> Mapping {
    with(&["a", "b", "c"], &["1", "2"])
}

fn after(mapped: &Mapping, augment: Vec<Link>, guards: Vec<Link>) -> Result<Mapping, Refusal> {
    let map = vec![Link { ceiling: None, ..says(Ok(Verdict::Allow(mapped.clone())), false) }];
    decide(&Chain { map, augment, guards, ..Chain::default() }).outcome
}

fn has_no_more(small: &Mapping, large: &Mapping) -> bool {
    // For Kubernetes, as for the guard, keys that differ in case alone are one.
    let lower = |mapping: &Mapping| {
        let extra = mapping.extra.iter().map(|(key, values)| (key.to_ascii_lowercase(), values.clone())).collect();
        Mapping { extra, ..Mapping::default() }
    };
    small.username == large.username
        && small.uid == large.uid
        && small.groups.iter().all(|group| large.groups.contains(group))
        && extra_within(&lower(small), &lower(large))
}

/// Whatever guards say, nobody is let in with more than before them.
#[test]
fn a_guard_can_only_take_away() {
    let (with_less, beyond) = (Cell::new(0), Cell::new(0));
    proptest!(|(answers in prop::collection::vec(guarded(), 1..5))| {
        let guards = answers.into_iter().map(|answer| says(answer, false)).collect();
        match after(&whole(), vec![], guards) {
            Ok(after) => {
                prop_assert!(has_no_more(&after, &whole()), "{after:?}");
                with_less.set(with_less.get() + u32::from(after != whole()));
            }
            Err(refusal) => beyond.set(beyond.get() + u32::from(refusal.reason() == "policy_out_of_bounds")),
        }
    });
    assert!(with_less.get() > 20 && beyond.get() > 20, "{with_less:?} {beyond:?}");
}

proptest! {
    /// Whoever is let in has no more when faults are skipped than with the same policies and no fault.
    #[test]
    fn skipping_can_only_lose_groups(answers in prop::collection::vec((verdict(), any::<bool>()), 1..5)) {
        let mapped = first(&["a"]);
        let links = |fails: bool| {
            let answer = |(answer, broken): &(Result<Verdict, StageError>, bool)| {
                says(if fails && *broken { Err(Fault::Timeout.into()) } else { answer.clone() }, true)
            };
            answers.iter().map(answer).collect()
        };
        // A policy that denies is not one that only adds; what it would have refused is no group won.
        let denies = answers.iter().any(|(answer, _)| matches!(answer, Ok(Verdict::Deny(_))));
        if let (Ok(with), Ok(without)) = (after(&mapped, links(true), vec![]), after(&mapped, links(false), vec![])) {
            prop_assert!(has_no_more(&with, &without), "{with:?} {without:?}");
            prop_assert!(has_no_more(&mapped, &with), "{with:?}");
        } else {
            prop_assert!(denies);
        }
    }

    /// No kind of policy gives a `system:` name that no ceiling spells.
    #[test]
    fn nobody_is_made_an_administrator(map in verdict(), augment in verdict(), guard in verdict(), skip in any::<bool>()) {
        let chain = Chain {
            map: vec![says(map, false)],
            augment: vec![says(augment, skip)],
            guards: vec![says(guard, false)],
            ..Chain::default()
        };
        if let Ok(mapping) = decide(&chain).outcome {
            prop_assert!(!mapping.groups.iter().any(|group| group.starts_with("system:")), "{mapping:?}");
        }
    }

    /// A fault of a policy whose faults are not skipped never lets anybody in.
    #[test]
    fn a_fault_refuses(before in prop::collection::vec(verdict(), 0..3), in_guards in any::<bool>()) {
        let mut links: Vec<Link> = before.into_iter().map(|answer| says(answer, false)).collect();
        links.push(says(Err(Fault::Timeout.into()), false));
        let (augment, guards) = if in_guards { (vec![], links) } else { (links, vec![]) };
        prop_assert!(after(&first(&["a"]), augment, guards).is_err());
    }

    /// Whichever stages fail, and however, whoever is let in has the same name and no more groups than with no failure. A
    /// policy that would have denied and is skipped is the one exception: its operator asked for it by `onFault: skip`.
    #[test]
    fn a_failure_never_widens_access(
        map in prop::collection::vec((verdict(), any::<bool>(), failure()), 1..4),
        augment in prop::collection::vec((verdict(), any::<bool>(), failure()), 0..4),
        guards in prop::collection::vec((verdict(), failure()), 0..3),
    ) {
        let outcome = |fails: bool| {
            let answer = |answer: &Result<Verdict, StageError>, failure: &Option<StageError>| match failure {
                Some(failure) if fails => Err(failure.clone()),
                _ => answer.clone(),
            };
            let source = |(verdict, is_policy, failure): &(_, bool, _)| {
                let link = says(answer(verdict, failure), false);
                Link { ceiling: link.ceiling.filter(|_| *is_policy), ..link }
            };
            decide(&Chain {
                map: map.iter().map(source).collect(),
                // As the configuration has it: faults are skipped only where no guard stands behind.
                augment: augment.iter().map(|(verdict, skip, failure)| says(answer(verdict, failure), *skip && guards.is_empty())).collect(),
                guards: guards.iter().map(|(verdict, failure)| says(answer(verdict, failure), false)).collect(),
                ..Chain::default()
            })
            .outcome
        };
        let (with, without) = (outcome(true), outcome(false));
        let denial_skipped = guards.is_empty()
            && augment.iter().any(|(verdict, skip, failure)| *skip && failure.is_some() && matches!(verdict, Ok(Verdict::Deny(_))));
        match (with, without) {
            (Ok(with), Ok(without)) => prop_assert!(has_no_more(&with, &without), "{with:?} {without:?}"),
            (Ok(with), Err(refusal)) => prop_assert!(denial_skipped, "{with:?} in spite of {refusal:?}"),
            (Err(_), _) => {}
        }
    }
}
