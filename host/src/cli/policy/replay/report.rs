//! What a replay says: each kind of difference once, and how many decisions are of it. Bounded, however long the log is.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fmt,
    io::{self, Write},
};

use serde_json::{Value, json};

use super::Fate;
use crate::cli::verify::Plain;

/// What came of all decisions of a log.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// By who it is and how he differs.
    kinds: BTreeMap<(String, String), Kind>,
    /// Decisions that differ in ways for which there was no room.
    more: u64,
    /// By why.
    not_comparable: BTreeMap<String, Seen>,
    same: u64,
    different: u64,
    left_out: u64,
}

/// One way in which decisions about one role or user differ.
#[derive(Debug)]
struct Kind {
    seen: Seen,
    /// The answers of the first of them.
    was: Value,
    now: Value,
}

/// Decisions of one kind.
#[derive(Debug)]
struct Seen {
    count: u64,
    /// The id of the first.
    example: String,
}

/// Most kinds of differences that are kept.
const MAX_KINDS: usize = 2000;

// === impl Report ===

impl Report {
    /// Counts the decision of `record`.
    pub(super) fn add(&mut self, record: &Value, fate: Fate) {
        let seen = || Seen { count: 0, example: record["decisionId"].as_str().unwrap_or_default().to_owned() };
        match fate {
            Fate::Different { caller, difference, was, now } => {
                self.different += 1;
                let has_room = self.kinds.len() < MAX_KINDS;
                match self.kinds.entry((caller, difference)) {
                    Entry::Occupied(mut kind) => kind.get_mut().seen.count += 1,
                    Entry::Vacant(place) if has_room => {
                        place.insert(Kind { seen: Seen { count: 1, ..seen() }, was, now });
                    }
                    Entry::Vacant(_) => self.more += 1,
                }
            }
            Fate::LeftOut => self.left_out += 1,
            Fate::NotComparable(why) => self.not_comparable.entry(why).or_insert_with(seen).count += 1,
            Fate::Same => self.same += 1,
        }
    }

    /// Whether something was compared, and all of that is the same.
    pub(super) fn is_good(&self) -> bool {
        self.different == 0 && self.same > 0
    }

    fn not_comparable(&self) -> u64 {
        self.not_comparable.values().map(|seen| seen.count).sum()
    }

    /// The report for people.
    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        for ((caller, difference), kind) in &self.kinds {
            writeln!(out, "{}\n        decisions: {}", Plain(caller), kind.seen)?;
            for line in difference.lines() {
                writeln!(out, "{}", Plain(line))?;
            }
        }
        if self.more > 0 {
            writeln!(out, "and others\n        decisions: {}, each of which differs in yet another way", self.more)?;
        }
        for (why, seen) in &self.not_comparable {
            writeln!(out, "not comparable\n        decisions: {seen}\n        {}", Plain(why))?;
        }
        let Self { same, different, left_out, .. } = self;
        let not_comparable = self.not_comparable();
        writeln!(
            out,
            "{same} the same, {different} different, {not_comparable} not comparable, {left_out} without a verified caller"
        )
    }

    /// The same for programs.
    pub(super) fn json(&self) -> Value {
        let kind = |((caller, _), kind): (&(String, String), &Kind)| {
            let Kind { seen: Seen { count, example }, was, now } = kind;
            json!({"caller": caller, "count": count, "decisionId": example, "expected": was, "found": now})
        };
        let why = |(why, seen): (&String, &Seen)| json!({"why": why, "count": seen.count, "decisionId": seen.example});
        json!({
            "same": self.same,
            "different": self.different,
            "notComparable": self.not_comparable(),
            "withoutVerifiedCaller": self.left_out,
            "differences": self.kinds.iter().map(kind).collect::<Vec<_>>(),
            "differencesNotKept": self.more,
            "reasonsNotComparable": self.not_comparable.iter().map(why).collect::<Vec<_>>(),
        })
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, such as {}", self.count, Plain(&self.example))
    }
}
