//! Lists of accounts: each item is read by itself.

use std::collections::BTreeSet;

use super::{
    error::Problem,
    node::{Node, Value},
};
use crate::caller::AccountId;

/// What becomes of an account that stands without quotes, and so is a number.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Numbers {
    /// Its digits as they are written.
    AsWritten,
    /// It is wrong: readers of YAML do not agree on what it is.
    Refused,
}

/// The accounts of a list. `wrong` is told of each item that is none, and decides whether that fails
/// the whole list.
pub(super) fn accounts(
    node: &Node,
    source: &str,
    numbers: Numbers,
    mut wrong: impl FnMut(Problem) -> Result<(), Problem>,
) -> Result<BTreeSet<AccountId>, Problem> {
    let items: &[Node] = match &node.value {
        Value::Null => &[],
        Value::List(items) => items,
        other => return Err(Problem::new(node.at, format!("expected a list of accounts, found {}", other.noun()))),
    };
    let mut accounts = BTreeSet::new();
    for (index, item) in items.iter().enumerate() {
        let parse =
            |text: &str| text.parse().map_err(|error| Problem::new(item.at, format!("{error}, found `{text}`")));
        let text = match item.value {
            Value::Float(_) | Value::Signed(_) | Value::Unsigned(_) if numbers == Numbers::AsWritten => {
                Ok(item.written(source))
            }
            _ => item.text(source),
        };
        match text.and_then(parse) {
            Ok(account) => drop(accounts.insert(account)),
            Err(problem) => wrong(problem.within(index, item.at))?,
        }
    }
    Ok(accounts)
}
