//! Repair: reads a struct to its end however much of it is wrong, by cutting out what is and reading again.

use serde::de::DeserializeOwned;

use super::{
    de::De,
    error::{Position, Problem, Step},
    finding::{CheckId, Findings},
    node::{Node, Value},
};

/// A value, and what was cut out of its node.
pub(super) struct Repair<T> {
    value: T,
    problems: Vec<Problem>,
}

/// Most mistakes that are told of one struct. Each costs reading it anew.
const MAX_CUTS: usize = 100;

/// Reads `node`, without what is wrong in it.
pub(super) fn read<T: DeserializeOwned + Default>(node: &mut Node, source: &str) -> Repair<T> {
    read_within(node, source, |_| None)
}

/// The same, without what is beyond its room's bounds: `beyond` names the first such key, with dots between its
/// parts, and says why.
pub(super) fn read_within<T: DeserializeOwned + Default>(
    node: &mut Node,
    source: &str,
    beyond: impl Fn(&T) -> Option<(String, String)>,
) -> Repair<T> {
    let mut problems = Vec::new();
    // As they are numbered when they are cut, and as they were numbered at first.
    let (mut cuts, mut cut_at_first): (Vec<Vec<Step>>, Vec<Vec<Step>>) = (Vec::new(), Vec::new());
    while cuts.len() < MAX_CUTS {
        let mut problem = match De::new(node, source).read() {
            Ok(value) => match beyond(&value) {
                None => return Repair { value, problems },
                Some((path, what)) => node.problem_at(&path, &what),
            },
            Err(problem) => problem,
        };
        let now: Vec<Step> = problem.steps().cloned().collect();
        cuts.iter().rev().for_each(|cut| problem.renumber(cut));
        let at_first: Vec<Step> = problem.steps().cloned().collect();
        // A key that is missing because it was cut out is no second mistake.
        let inside = |cut: &Vec<Step>| cut.len() > at_first.len() && cut.starts_with(&at_first);
        if problem.id != CheckId::MissingKey || !cut_at_first.iter().any(inside) {
            problems.push(problem);
        }
        if !node.cut(&now) {
            break;
        }
        cuts.push(now);
        cut_at_first.push(at_first);
    }
    Repair { value: T::default(), problems }
}

// === impl Repair ===

impl<T> Repair<T> {
    /// Whether nothing was cut out of what stands under `key`.
    pub(super) fn is_whole(&self, key: &str) -> bool {
        let under = |step: Option<&Step>| matches!(step, Some(Step::Key(name)) if name.eq_ignore_ascii_case(key));
        !self.problems.iter().any(|problem| under(problem.steps().next()))
    }

    /// The value. Each of its mistakes refuses the file.
    pub(super) fn report(self, under: &str, findings: &mut Findings) -> T {
        for problem in self.problems {
            findings.refuse(if under.is_empty() { problem } else { problem.under(under, Position::default()) });
        }
        self.value
    }
}

// === impl Node ===

impl Node {
    /// That the value at `path` is not what its room takes.
    fn problem_at(&self, path: &str, what: &str) -> Problem {
        let (mut place, mut keys) = (self, Vec::new());
        for name in path.split('.') {
            let Value::Map(entries) = &place.value else { break };
            let Some((key, node)) = entries.iter().find(|(key, _)| key.text.eq_ignore_ascii_case(name)) else { break };
            keys.push(&*key.text);
            place = node;
        }
        let problem = Problem::new(place.at, what);
        keys.into_iter().rev().fold(problem, |problem, key| problem.under(key, place.at))
    }

    /// Takes out what stands at the end of `steps`; of a key that is there twice, the second.
    fn cut(&mut self, steps: &[Step]) -> bool {
        let Some((first, rest)) = steps.split_first() else { return false };
        match (&mut self.value, first) {
            (Value::List(nodes), Step::Index(index)) if *index < nodes.len() => {
                if rest.is_empty() {
                    nodes.remove(*index);
                    return true;
                }
                nodes[*index].cut(rest)
            }
            (Value::Map(entries), Step::Key(name)) => {
                let Some(place) = entries.iter().rposition(|(key, _)| key.text == *name) else { return false };
                if rest.is_empty() {
                    entries.remove(place);
                    return true;
                }
                entries[place].1.cut(rest)
            }
            _ => false,
        }
    }
}
