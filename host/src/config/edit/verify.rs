//! Verify: whether a changed text holds every other entry exactly as it was.

use super::{EditError, List};
use crate::config::{
    node::{Key, Node, Value},
    sources::config_map,
};

/// Which entry is another one afterwards.
#[derive(Clone, Copy, Debug)]
pub(super) enum Change {
    Added,
    Removed(usize),
    Replaced(usize),
}

/// The number of the changed entry in `after`, if every other entry is exactly what it was.
pub(super) fn verify(
    list: List,
    (before, old): (&str, &[Node]),
    after: &str,
    change: Change,
) -> Result<usize, EditError> {
    let new = config_map::items(after).map_err(|_| EditError::Unsafe(list.key()))?;
    let kept_old: Vec<&Node> = match change {
        Change::Added => old.iter().collect(),
        Change::Removed(at) | Change::Replaced(at) => without(old, at),
    };
    let (changed, kept_new) = match change {
        Change::Added => (new.len().saturating_sub(1), without(&new, new.len().saturating_sub(1))),
        Change::Removed(at) => (at, new.iter().collect()),
        Change::Replaced(at) => (at, without(&new, at)),
    };
    let same = kept_old.len() == kept_new.len()
        && std::iter::zip(&kept_old, &kept_new).all(|(old, new)| same(old, before, new, after));
    let whole = match change {
        Change::Replaced(at) => new.get(at).is_some_and(|new| same_but_given(&old[at], before, new, after)),
        Change::Added | Change::Removed(_) => true,
    };
    if same && whole { Ok(changed) } else { Err(EditError::Unsafe(list.key())) }
}

fn without(items: &[Node], at: usize) -> Vec<&Node> {
    items.iter().enumerate().filter(|(index, _)| *index != at).map(|(_, item)| item).collect()
}

/// Whether two values are the same to every reader.
pub(super) fn same(one: &Node, source: &str, other: &Node, other_source: &str) -> bool {
    match (&one.value, &other.value) {
        (Value::List(one), Value::List(other)) => {
            one.len() == other.len()
                && std::iter::zip(one, other).all(|(one, other)| same(one, source, other, other_source))
        }
        (Value::Map(one), Value::Map(other)) => {
            one.len() == other.len()
                && std::iter::zip(one, other).all(|((key, one), (other_key, other))| {
                    key.text == other_key.text && same(one, source, other, other_source)
                })
        }
        (Value::Null, Value::Null) => true,
        (Value::Text(one), Value::Text(other)) => one == other,
        (Value::Bool(_) | Value::Float(_) | Value::Signed(_) | Value::Unsigned(_), _) => {
            !one.written(source).is_empty() && one.written(source) == other.written(other_source)
        }
        _ => false,
    }
}

/// The same of two entries, but for what they give.
fn same_but_given(one: &Node, source: &str, other: &Node, other_source: &str) -> bool {
    let (Value::Map(one), Value::Map(other)) = (&one.value, &other.value) else { return false };
    let given = |key: &str| ["username", "groups"].iter().any(|given| given.eq_ignore_ascii_case(key));
    let kept = |(key, _): &&(Key, Node)| !given(&key.text);
    let (one, other): (Vec<_>, Vec<_>) = (one.iter().filter(kept).collect(), other.iter().filter(kept).collect());
    one.len() == other.len()
        && std::iter::zip(one, other).all(|((key, one), (other_key, other))| {
            key.text == other_key.text && same(one, source, other, other_source)
        })
}
