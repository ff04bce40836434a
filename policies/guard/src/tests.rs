//! Which groups a combination means, as a table and against every way to choose. `cases.yaml` holds what an operator
//! reads.

use super::*;

fn globs(patterns: &[&str]) -> Vec<Glob> {
    patterns.iter().map(|pattern| pattern.parse().expect("a pattern")).collect()
}

fn owned(groups: &[&str]) -> Vec<String> {
    groups.iter().map(|&group| group.to_owned()).collect()
}

#[test]
fn each_pattern_needs_a_group_of_its_own() {
    #[track_caller]
    fn check(patterns: &[&str], groups: &[&str], expected: Option<&[&str]>) {
        let groups = owned(groups);
        assert_eq!(one_for_each(&globs(patterns), &groups).as_deref(), expected);
    }
    check(&["dev", "audit"], &["audit", "x", "dev"], Some(&["dev", "audit"]));
    check(&["dev", "audit"], &["audit", "x"], None);
    check(&["prod:*", "*:admin"], &["prod:admin"], None);
    check(&["prod:*", "*:admin"], &["prod:admin", "prod:admin"], None);
    check(&["prod:*", "*:admin"], &["prod:admin", "dev:admin"], Some(&["prod:admin", "dev:admin"]));
    check(&["prod:*", "*:admin"], &["prod:admin", "prod:view"], Some(&["prod:view", "prod:admin"]));
    check(&["*", "*"], &["a"], None);
    check(&["*", "*"], &["a", "b"], Some(&["b", "a"]));
    check(&["*", "a?", "ab"], &["ab", "ac", "x"], Some(&["x", "ac", "ab"]));
    check(&["*", "a?", "ab"], &["ab", "ac"], None);
    check(&["a", "b"], &[], None);
}

/// Whether there is a choice, found by trying every one.
fn is_there(patterns: &[Glob], groups: &[String], taken: &mut Vec<usize>) -> bool {
    let Some(pattern) = patterns.get(taken.len()) else { return true };
    (0..groups.len()).any(|group| {
        let is_free = !taken.iter().any(|&other| groups[other] == groups[group]);
        is_free && pattern.matches(&groups[group]) && {
            taken.push(group);
            let found = is_there(patterns, groups, taken);
            taken.pop();
            found
        }
    })
}

/// Every combination of up to four patterns with every set of groups.
#[test]
fn a_choice_is_found_where_there_is_one() {
    const PATTERNS: [&str; 5] = ["*", "a*", "*b", "ab", "c?"];
    const GROUPS: [&str; 6] = ["ab", "ac", "bb", "cb", "ab", "d"];
    for number in 0..PATTERNS.len().pow(4) {
        let nth = |place: u32| PATTERNS[number / PATTERNS.len().pow(place) % PATTERNS.len()];
        for length in 2..=4 {
            let patterns: Vec<&str> = (0..length).map(nth).collect();
            let patterns = globs(&patterns);
            for chosen in 0..1 << GROUPS.len() {
                let groups = (0..GROUPS.len()).filter(|group| (chosen >> group) & 1 == 1).map(|group| GROUPS[group]);
                let groups = owned(&groups.collect::<Vec<_>>());
                let found = one_for_each(&patterns, &groups);
                assert_eq!(found.is_some(), is_there(&patterns, &groups, &mut Vec::new()), "{patterns:?} {groups:?}");
                let Some(found) = found else { continue };
                assert!(patterns.iter().zip(&found).all(|(pattern, group)| pattern.matches(group)), "{found:?}");
                let differ = (1..found.len()).all(|nth| !found[..nth].contains(&found[nth]));
                assert!(differ, "{patterns:?} {groups:?} {found:?}");
            }
        }
    }
}
