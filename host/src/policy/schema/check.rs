//! Settings held to their schema: every violation, each with the way to it.

use std::{
    collections::HashSet,
    fmt,
    time::{Duration, Instant},
};

use serde_json::{Map, Value};

use super::{Additional, Bounds, MAX_DEPTH, MAX_REASON, Rule, Schema, Type, tame};
use crate::config::did_you_mean;

/// One thing that is wrong with settings.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Violation {
    /// The way to the value, from the outside in; a key that should not be there is its last step.
    pub path: Vec<Step>,
    /// What is wrong, and what is expected.
    pub what: String,
}

/// One step from a value to what stands in it.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Step {
    /// The value of a key.
    Key(String),
    /// An item of a list, counted from 0.
    Index(usize),
}

/// Most violations that are looked for: who mends ten sees the next ten.
const MAX_VIOLATIONS: usize = 10;
/// Most rules that are tried for one document.
const MAX_RULES: u32 = 2_000_000;
/// Longest that all of it may take: one rule may be a long list, or a pattern that goes through a long text.
const PATIENCE: Duration = Duration::from_secs(10);

struct Check<'a> {
    schema: &'a Schema,
    path: Vec<Step>,
    found: Vec<Violation>,
    depth: usize,
    /// How many rules may still be tried: references in alternatives could multiply without end.
    left: u32,
    /// When it is given up.
    end: Instant,
}

// === impl Schema ===

impl Schema {
    /// What is wrong with `settings`, the first ten of it; nothing if they fit. Given up after ten seconds, and then they do not.
    #[must_use]
    pub fn check(&self, settings: &Value) -> Vec<Violation> {
        self.check_until(Instant::now() + PATIENCE, settings)
    }

    /// The same, given up at `end`.
    pub(super) fn check_until(&self, end: Instant, settings: &Value) -> Vec<Violation> {
        let mut check = Check { schema: self, path: Vec::new(), found: Vec::new(), depth: 0, left: MAX_RULES, end };
        check.value(&self.root, settings);
        if check.is_late() {
            // What was found until then is not what is wrong.
            check.found.clear();
            check.wrong("cannot be held to this schema: it takes too long");
        }
        check.found.truncate(MAX_VIOLATIONS);
        check.found
    }
}

// === impl Check ===

impl Check<'_> {
    fn value(&mut self, rule: &Rule, value: &Value) {
        if self.found.len() >= MAX_VIOLATIONS {
            return;
        }
        let is_bounded = self.depth <= 4 * MAX_DEPTH && !self.is_late();
        let Some(left) = self.left.checked_sub(1).filter(|_| is_bounded) else {
            return self.wrong("cannot be held to this schema: too deep, or too many alternatives");
        };
        self.left = left;
        self.depth += 1;
        self.all(rule, value);
        self.depth -= 1;
    }

    fn all(&mut self, rule: &Rule, value: &Value) {
        if let Some(target) = rule.reference.as_deref().and_then(|name| self.schema.target(name)) {
            self.value(target, value);
        }
        if !rule.types.is_empty() && !rule.types.iter().any(|kind| kind.is_of(value)) {
            let expected: Vec<&str> = rule.types.iter().map(|kind| kind.noun()).collect();
            return self.wrong(format!("expected {}, found {}", expected.join(" or "), noun(value)));
        }
        if rule.allowed.as_ref().is_some_and(|allowed| !allowed.contains(value)) {
            let allowed: Vec<String> = rule.allowed.iter().flatten().map(ToString::to_string).collect();
            return self.wrong(format!("must be {}", allowed.join(" or ")));
        }
        if !rule.any_of.is_empty() && !rule.any_of.iter().any(|rule| self.fits(rule, value)) {
            return self.wrong("fits none of the forms that this may have");
        }
        match value {
            Value::Array(items) => self.items(rule, items),
            Value::Object(entries) => self.entries(rule, entries),
            Value::String(text) => self.text(rule, text),
            Value::Number(number) => self.number(rule, number.as_f64().unwrap_or_default()),
            Value::Bool(_) | Value::Null => {}
        }
    }

    fn fits(&mut self, rule: &Rule, value: &Value) -> bool {
        let &mut Self { schema, depth, left, end, .. } = self;
        let mut check = Check { schema, path: Vec::new(), found: Vec::new(), depth, left, end };
        check.value(rule, value);
        self.left = check.left;
        check.found.is_empty()
    }

    fn items(&mut self, rule: &Rule, items: &[Value]) {
        self.count(rule.items_count, items.len(), "items");
        let mut seen = HashSet::new();
        if rule.unique_items
            && let Some(index) = items.iter().position(|item| !seen.insert(item))
        {
            self.within(Step::Index(index), |check| check.wrong("is in the list already"));
        }
        let Some(each) = &rule.items else { return };
        for (index, item) in items.iter().enumerate() {
            self.within(Step::Index(index), |check| check.value(each, item));
        }
    }

    fn entries(&mut self, rule: &Rule, entries: &Map<String, Value>) {
        self.count(rule.properties_count, entries.len(), "keys");
        for (name, value) in entries {
            self.within(Step::Key(name.clone()), |check| check.entry(rule, name, value));
        }
        // After the typo that may be why.
        for name in rule.required.iter().filter(|name| !entries.contains_key(*name)) {
            self.wrong(format!("the key `{name}` is missing"));
        }
    }

    fn entry(&mut self, rule: &Rule, name: &str, value: &Value) {
        if let Some(names) = &rule.property_names {
            self.value(names, &Value::from(name));
        }
        match (rule.properties.get(name), &rule.additional) {
            (Some(rule), _) => self.value(rule, value),
            (None, Some(Additional::Rule(rule))) => self.value(rule, value),
            (None, Some(Additional::Forbidden)) => {
                let hint = did_you_mean(name, rule.properties.keys().map(String::as_str));
                let hint = hint.map(|hint| format!(", {hint}")).unwrap_or_default();
                self.wrong(format!("unknown key `{name}`{hint}"));
            }
            (None, None) => {}
        }
    }

    fn text(&mut self, rule: &Rule, text: &str) {
        self.count(rule.length, text.chars().count(), "characters");
        if let Some(pattern) = rule.pattern.as_ref().filter(|pattern| !pattern.is_match(text)) {
            self.wrong(format!("must match {}", pattern.as_str()));
        }
    }

    fn number(&mut self, rule: &Rule, number: f64) {
        if let Some(least) = rule.minimum.filter(|least| number < *least) {
            self.wrong(format!("must be at least {least}"));
        }
        if let Some(most) = rule.maximum.filter(|most| number > *most) {
            self.wrong(format!("must be at most {most}"));
        }
    }

    fn count(&mut self, bounds: Bounds, count: usize, of: &str) {
        let count = count as u64;
        if let Some(least) = bounds.least.filter(|least| count < *least) {
            self.wrong(format!("has {count} {of}, at least {least} are needed"));
        }
        if let Some(most) = bounds.most.filter(|most| count > *most) {
            self.wrong(format!("has {count} {of}, at most {most} are taken"));
        }
    }

    fn is_late(&self) -> bool {
        Instant::now() >= self.end
    }

    fn within(&mut self, step: Step, check: impl FnOnce(&mut Self)) {
        self.path.push(step);
        check(self);
        self.path.pop();
    }

    /// What is allowed is in the words of the schema's author.
    fn wrong(&mut self, what: impl AsRef<str>) {
        self.found.push(Violation { path: self.path.clone(), what: tame(what.as_ref(), MAX_REASON) });
    }
}

// === impl Type ===

impl Type {
    fn is_of(self, value: &Value) -> bool {
        match (self, value) {
            (Self::Integer, Value::Number(number)) => {
                number.is_i64() || number.is_u64() || number.as_f64().is_some_and(|number| number.fract() == 0.0)
            }
            (Self::Array, Value::Array(_))
            | (Self::Boolean, Value::Bool(_))
            | (Self::Null, Value::Null)
            | (Self::Number, Value::Number(_))
            | (Self::Object, Value::Object(_))
            | (Self::String, Value::String(_)) => true,
            _ => false,
        }
    }

    fn noun(self) -> &'static str {
        match self {
            Self::Array => "a list",
            Self::Boolean => "true or false",
            Self::Integer => "a whole number",
            Self::Null => "nothing",
            Self::Number => "a number",
            Self::Object => "a map",
            Self::String => "text",
        }
    }
}

fn noun(value: &Value) -> &'static str {
    match value {
        Value::Array(_) => "a list",
        Value::Bool(_) => "a boolean",
        Value::Null => "nothing",
        Value::Number(_) => "a number",
        Value::Object(_) => "a map",
        Value::String(_) => "text",
    }
}

// === impl Violation ===

impl Violation {
    /// The way to the value in the words of a configuration, e.g. `rules[0].match`; empty for the whole.
    #[must_use]
    pub fn place(&self) -> String {
        let mut place = String::new();
        for step in &self.path {
            match step {
                Step::Index(index) => place.push_str(&format!("[{index}]")),
                Step::Key(key) if place.is_empty() => place.push_str(key),
                Step::Key(key) => place.extend([".", key]),
            }
        }
        place
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place() {
            place if place.is_empty() => f.write_str(&self.what),
            place => write!(f, "{place}: {}", self.what),
        }
    }
}
