//! Lists of accounts: each item is read by itself.

use std::collections::BTreeSet;

use super::{
    error::{Position, Problem},
    finding::{CheckId, Findings, Severity},
    node::{Node, Value},
};
use crate::caller::AccountId;

/// How a list of accounts is read.
#[derive(Clone, Copy)]
pub(super) struct Accounts<'a> {
    pub(super) source: &'a str,
    /// The keys that the list stands under, from the outside in.
    pub(super) path: &'a [&'a str],
    pub(super) numbers: Numbers,
    /// What becomes of an item that is no account.
    pub(super) wrong: fn(&mut Findings, Problem),
}

/// What becomes of an account that stands without quotes, and so is a number.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Numbers {
    /// Its digits as they are written, with a warning.
    AsWritten,
    /// The same where all readers of YAML agree on its digits. With a leading zero they do not, and it is wrong.
    Unambiguous,
}

/// The items of a list.
pub(super) fn items(node: &Node) -> Result<&[Node], Problem> {
    match &node.value {
        Value::Null => Ok(&[]),
        Value::List(items) => Ok(items),
        other => Err(Problem::new(node.at, format!("expected a list of accounts, found {}", other.noun()))),
    }
}

// === impl Accounts ===

impl Accounts<'_> {
    /// The accounts among `items`.
    pub(super) fn read(self, items: &[Node], findings: &mut Findings) -> BTreeSet<AccountId> {
        let mut accounts = BTreeSet::new();
        for (index, item) in items.iter().enumerate() {
            let full = |problem: Problem| self.placed(problem.within(index, item.at), item.at);
            match self.account(item) {
                Ok(account) => drop(accounts.insert(account)),
                Err(problem) => {
                    (self.wrong)(findings, full(problem));
                    continue;
                }
            }
            if is_number(item) {
                let written = item.written(self.source);
                let what = format!("`{written}` is a number, which other readers of YAML write in another way");
                let problem = Problem::new(item.at, what).id(CheckId::YamlTrap).fix("write it in quotes");
                findings.remark(Severity::Warning, full(problem));
            }
        }
        accounts
    }

    /// That `problem` is with this list, which stands `at`.
    pub(super) fn placed(self, problem: Problem, at: Position) -> Problem {
        self.path.iter().rev().fold(problem, |problem, key| problem.under(key, at))
    }

    fn account(self, item: &Node) -> Result<AccountId, Problem> {
        let written = item.written(self.source);
        let digits = |text: &str| !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
        let text = match self.numbers {
            Numbers::AsWritten if is_number(item) => written,
            Numbers::Unambiguous if is_number(item) && digits(written) => written,
            Numbers::AsWritten | Numbers::Unambiguous => item.text(self.source)?,
        };
        let wrong = |error| Problem::new(item.at, format!("{error}, found `{text}`")).id(CheckId::AccountId);
        text.parse().map_err(wrong)
    }
}

fn is_number(item: &Node) -> bool {
    matches!(item.value, Value::Float(_) | Value::Signed(_) | Value::Unsigned(_))
}
