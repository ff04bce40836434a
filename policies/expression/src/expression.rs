//! One expression: parsed and checked once, evaluated at logins.

use std::{collections::BTreeMap, sync::Arc};

use cel::{Env, IdedExpr, Value, extensions};
use herald_policy::Fault;
use regex_lite::Regex;

use super::{
    check::Checker,
    depth,
    scope::{Root, Scope},
    types::Type,
};

/// Makes expressions, and gathers what they need in common.
pub(crate) struct Compiler {
    env: Arc<Env>,
    patterns: BTreeMap<String, Regex>,
}

/// An expression of a type that is known.
pub(crate) struct Expression {
    /// Where it is written in the settings, for faults.
    place: String,
    node: IdedExpr,
}

// === impl Compiler ===

impl Compiler {
    pub(crate) fn new() -> Self {
        let mut env = Env::stdlib().with_optional_support(false);
        env.add_extension(extensions::strings).expect("nothing of it is there twice");
        Self { env: Arc::new(env), patterns: BTreeMap::new() }
    }

    /// Parses `text`, which has to be of the type `wanted`.
    ///
    /// # Errors
    ///
    /// What is wrong, where, and the line with a mark under the place.
    pub(crate) fn compile(&mut self, place: &str, text: &str, wanted: &Type) -> Result<Expression, String> {
        if let Some(offset) = depth::too_deep(text) {
            return Err(Pointer::at_node(text, offset).say(place, depth::TOO_DEEP));
        }
        let parsed = self.env.parser().parse_with_source_info(text);
        let (node, source) = parsed.map_err(|errors| match errors.errors.first() {
            Some(first) => Pointer::at(text, first.pos).say(place, unexpected(&first.msg)),
            None => format!("{place}: not an expression"),
        })?;
        let mut checker = Checker::default();
        let say = |id, message: &str| {
            let start = source.offset_for(id).map_or(0, |(start, _)| start);
            Pointer::at_node(text, start as usize).say(place, message)
        };
        let found = checker.check(&node).map_err(|problem| say(problem.id, &problem.message))?;
        if !found.fits(wanted) {
            return Err(say(node.id, &format!("is of type {found}, but has to be of type {wanted}")));
        }
        for (pattern, regex) in checker.patterns {
            self.patterns.insert(pattern.to_owned(), regex);
        }
        Ok(Expression { place: place.to_owned(), node })
    }

    /// What the expressions are evaluated in.
    pub(crate) fn finish(self) -> Root {
        Root::new(self.env, self.patterns)
    }
}

/// The parser's words, without what only its authors understand.
fn unexpected(message: &str) -> &str {
    if message.contains("Recursion limit") {
        return depth::TOO_DEEP;
    }
    let message = message.strip_prefix("Syntax error: ").unwrap_or(message);
    message.split(" expecting {").next().unwrap_or(message)
}

// === impl Expression ===

impl Expression {
    pub(crate) fn boolean(&self, scope: &Scope<'_>) -> Result<bool, Fault> {
        match self.evaluate(scope)? {
            Value::Bool(answer) => Ok(answer),
            _ => Err(self.fault("is no bool")),
        }
    }

    pub(crate) fn text(&self, scope: &Scope<'_>) -> Result<String, Fault> {
        match self.evaluate(scope)? {
            Value::String(text) => Ok(text.to_string()),
            _ => Err(self.fault("is no string")),
        }
    }

    pub(crate) fn texts(&self, scope: &Scope<'_>) -> Result<Vec<String>, Fault> {
        let Value::List(values) = self.evaluate(scope)? else { return Err(self.fault("is no list")) };
        let text = |value: &Value| if let Value::String(text) = value { Some(text.to_string()) } else { None };
        values.iter().map(text).collect::<Option<_>>().ok_or_else(|| self.fault("is no list of strings"))
    }

    fn evaluate(&self, scope: &Scope<'_>) -> Result<Value, Fault> {
        Value::resolve(&self.node, scope.context()).map_err(|error| self.fault(&error.to_string()))
    }

    /// A fault that says where the expression is written.
    pub(crate) fn fault(&self, why: &str) -> Fault {
        Fault::broken([&self.place, ": ", why].concat())
    }
}

/// A place in a text; line and column count from 1, the column in characters.
struct Pointer<'a> {
    text: &'a str,
    line: usize,
    column: usize,
}

/// How much of a long line is shown, in characters.
const WIDTH: usize = 100;

// === impl Pointer ===

impl<'a> Pointer<'a> {
    /// Of the parser, which counts from 1 and says 0 where it does not know.
    fn at(text: &'a str, (line, column): (isize, isize)) -> Self {
        let from_one = |number| usize::try_from(number).unwrap_or(1).max(1);
        Self { text, line: from_one(line), column: from_one(column) }
    }

    /// Of a node that the parser puts that many bytes into the text: calls at their parenthesis and fields at their dot,
    /// where the name says more.
    fn at_node(text: &'a str, offset: usize) -> Self {
        let (before, rest) = text.split_at(text.floor_char_boundary(offset));
        let before = match rest.chars().next() {
            Some('(') => before.trim_end_matches(|c: char| c.is_ascii_alphanumeric() || c == '_'),
            Some('.') => &text[..=before.len()],
            _ => before,
        };
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Self { text, line, column }
    }

    fn say(&self, place: &str, message: &str) -> String {
        let Self { text, line, column } = *self;
        let skipped = column.saturating_sub(WIDTH / 2);
        let shown: String = text.lines().nth(line - 1).unwrap_or_default().chars().skip(skipped).take(WIDTH).collect();
        format!("{place}, line {line}, column {column}: {message}\n{shown}\n{:>mark$}", "^", mark = column - skipped)
    }
}
