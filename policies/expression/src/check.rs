//! Which type an expression has, or what is wrong with it, told by the node that it is about.

use cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, MapExpr, SelectExpr, operators,
};
use regex_lite::Regex;

use super::{
    depth, functions,
    types::{Type, VARIABLES},
};

/// What is wrong, and with which node.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) id: u64,
    pub(crate) message: String,
}

/// How deep an expression may be. One of a thousand operators in a row takes all of the stack that a policy has, at each login.
const DEEPEST: usize = 200;

/// Checks one expression.
#[derive(Default)]
pub(crate) struct Checker<'a> {
    /// How many nodes are around.
    depth: usize,
    /// Variables of the macros around, innermost last.
    locals: Vec<(&'a str, Type)>,
    /// The patterns that it matches with.
    pub(crate) patterns: Vec<(&'a str, Regex)>,
}

type Checked<T = Type> = Result<T, Problem>;

// === impl Checker ===

impl<'a> Checker<'a> {
    /// The type of `node`.
    pub(crate) fn check(&mut self, node: &'a IdedExpr) -> Checked {
        if self.depth == DEEPEST {
            return problem(node.id, depth::TOO_DEEP);
        }
        self.depth += 1;
        let found = match &node.expr {
            Expr::Call(call) => self.call(node.id, call),
            Expr::Comprehension(comprehension) => self.comprehension(node.id, comprehension),
            Expr::Ident(name) => self.variable(node.id, name),
            Expr::List(list) => self.elements(list.elements.iter()).map(Type::list),
            Expr::Literal(literal) => constant(node.id, literal),
            Expr::Map(map) => self.map(map),
            Expr::Select(select) => self.select(node.id, select),
            Expr::Struct(_) => problem(node.id, "there are no types to make values of here"),
            Expr::Unspecified => problem(node.id, "an expression is missing"),
        };
        self.depth -= 1;
        found
    }

    fn variable(&self, id: u64, name: &str) -> Checked {
        let local = self.locals.iter().rev().find(|(known, _)| *known == name).map(|(_, found)| found.clone());
        let global = || VARIABLES.iter().find(|(known, _)| *known == name).map(|(_, field)| (*field).into());
        local.or_else(global).ok_or_else(|| {
            let known = VARIABLES.iter().map(|(known, _)| *known);
            Problem { id, message: format!("there is no variable `{name}`{}", meant(name, known)) }
        })
    }

    fn select(&mut self, id: u64, select: &'a SelectExpr) -> Checked {
        let SelectExpr { operand, field, test } = select;
        match self.check(operand)? {
            Type::Record(record) => match record.fields.iter().find(|(known, _)| known == field) {
                Some(_) if *test => {
                    problem(id, format!("`{}.{field}` is always there, and empty where there is none", record.name))
                }
                Some((_, found)) => Ok((*found).into()),
                None => {
                    let known = record.fields.iter().map(|(known, _)| *known);
                    problem(id, format!("`{}` has no field `{field}`{}", record.name, meant(field, known)))
                }
            },
            Type::Map(value) => Ok(if *test { Type::Bool } else { *value }),
            other => problem(id, format!("values of type {other} have no fields")),
        }
    }

    fn call(&mut self, id: u64, call: &'a CallExpr) -> Checked {
        let name = call.func_name.as_str();
        let is_method = call.target.is_some();
        let written = call.target.as_deref().into_iter().chain(&call.args);
        if !is_known(name, is_method) {
            let names = functions::names(is_method).filter(|known| *known != name);
            return problem(id, format!("there is no {} `{name}`{}", kind(is_method), meant(name, names)));
        }
        let given = written.map(|argument| self.check(argument)).collect::<Checked<Vec<_>>>()?;
        if is_method && name == "matches" {
            self.pattern(id, call)?;
        }
        let result = generic(name, &given).or_else(|| functions::result(name, &given, is_method));
        result.ok_or_else(|| Problem { id, message: unfit(name, &given, is_method) })
    }

    /// Patterns are written out, so that a wrong one is found now and none is compiled at a login.
    fn pattern(&mut self, id: u64, call: &'a CallExpr) -> Checked<()> {
        let [IdedExpr { id: place, expr: Expr::Literal(LiteralValue::String(pattern)) }] = &call.args[..] else {
            return problem(id, "the pattern of `matches` has to be a text that is written out here");
        };
        let regex = Regex::new(pattern.inner())
            .map_err(|error| Problem { id: *place, message: format!("not a pattern: {error}") })?;
        self.patterns.push((pattern.inner(), regex));
        Ok(())
    }

    fn elements(&mut self, elements: impl Iterator<Item = &'a IdedExpr>) -> Checked {
        let mut all = Type::Nothing;
        for element in elements {
            let found = self.check(element)?;
            let message = || format!("of type {found}, among values of type {all}");
            all = all.join(&found).ok_or_else(|| Problem { id: element.id, message: message() })?;
        }
        Ok(all)
    }

    fn map(&mut self, map: &'a MapExpr) -> Checked {
        let entries = || {
            map.entries
                .iter()
                .filter_map(|entry| if let EntryExpr::MapEntry(entry) = &entry.expr { Some(entry) } else { None })
        };
        for entry in entries() {
            let key = self.check(&entry.key)?;
            if key != Type::String {
                return problem(
                    entry.key.id,
                    format!("the keys of a map are of type string, this one is of type {key}"),
                );
            }
        }
        self.elements(entries().map(|entry| &entry.value)).map(Type::map)
    }

    /// What `all`, `exists`, `exists_one`, `filter` and `map` are made of.
    fn comprehension(&mut self, id: u64, comprehension: &'a ComprehensionExpr) -> Checked {
        let item = match self.check(&comprehension.iter_range)? {
            Type::List(element) => *element,
            Type::Map(_) => Type::String,
            other => return problem(id, format!("goes over a list or the keys of a map, not over type {other}")),
        };
        let begin = self.check(&comprehension.accu_init)?;
        let known = self.locals.len();
        self.locals.push((&comprehension.accu_var, begin.clone()));
        self.locals.push((&comprehension.iter_var, item));
        self.expect(&comprehension.loop_cond, &Type::Bool)?;
        let step = self.check(&comprehension.loop_step)?;
        let accumulated = begin
            .join(&step)
            .ok_or_else(|| Problem { id, message: format!("begins with {begin} and goes on with {step}") })?;
        self.locals.truncate(known);
        self.locals.push((&comprehension.accu_var, accumulated));
        let result = self.check(&comprehension.result);
        self.locals.truncate(known);
        result
    }

    fn expect(&mut self, node: &'a IdedExpr, wanted: &Type) -> Checked<()> {
        let found = self.check(node)?;
        if found.fits(wanted) { Ok(()) } else { problem(node.id, format!("is of type {found}, needed is {wanted}")) }
    }
}

fn problem<T>(id: u64, message: impl Into<String>) -> Checked<T> {
    Err(Problem { id, message: message.into() })
}

fn constant(id: u64, literal: &LiteralValue) -> Checked {
    match literal {
        LiteralValue::Boolean(_) => Ok(Type::Bool),
        LiteralValue::Int(_) => Ok(Type::Int),
        LiteralValue::String(_) => Ok(Type::String),
        LiteralValue::Bytes(_) => problem(id, "there are no bytes here, only texts"),
        LiteralValue::Double(_) | LiteralValue::UInt(_) => problem(id, "numbers are of type int here"),
        LiteralValue::Null => problem(id, "there is no null here: what is not known is empty"),
    }
}

/// Operators whose result depends on what they are given.
fn generic(name: &str, given: &[Type]) -> Option<Type> {
    match (name, given) {
        (operators::CONDITIONAL, [Type::Bool, one, other]) => one.join(other),
        (operators::EQUALS | operators::NOT_EQUALS, [one, other]) => one.join(other).map(|_| Type::Bool),
        (operators::ADD, [one @ Type::List(_), other @ Type::List(_)]) => one.join(other),
        (operators::INDEX, [Type::List(element), Type::Int]) => Some((**element).clone()),
        (operators::INDEX, [Type::Map(value), Type::String]) => Some((**value).clone()),
        (operators::IN, [item, Type::List(element)]) => item.join(element).map(|_| Type::Bool),
        (operators::IN, [Type::String, Type::Map(_)]) => Some(Type::Bool),
        _ => None,
    }
}

fn is_known(name: &str, is_method: bool) -> bool {
    const GENERIC: [&str; 5] =
        [operators::CONDITIONAL, operators::EQUALS, operators::NOT_EQUALS, operators::INDEX, operators::IN];
    functions::exists(name, is_method) || !is_method && GENERIC.contains(&name)
}

fn kind(is_method: bool) -> &'static str {
    if is_method { "method" } else { "function" }
}

fn unfit(name: &str, given: &[Type], is_method: bool) -> String {
    let listed = |types: &[Type]| types.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    match (given, symbol(name)) {
        ([target, arguments @ ..], _) if is_method => {
            format!("type {target} has no method `{name}` that takes ({})", listed(arguments))
        }
        (_, Some(symbol)) => format!(
            "`{symbol}` does not take {}",
            given.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ")
        ),
        _ => format!("`{name}` does not take ({})", listed(given)),
    }
}

/// How an operator is written; `None` for a function.
fn symbol(name: &str) -> Option<&str> {
    match name {
        operators::CONDITIONAL => Some("?:"),
        operators::IN => Some("in"),
        operators::INDEX => Some("[]"),
        _ if name.contains('_') => Some(name.trim_matches('_')),
        _ => None,
    }
}

/// The known name that was probably meant: one letter more, less or other.
fn meant<'k>(name: &str, known: impl Iterator<Item = &'k str>) -> String {
    let known: Vec<&str> = known.collect();
    match known.iter().find(|known| known.eq_ignore_ascii_case(name) || is_near(name, known)) {
        Some(known) => format!("; did you mean `{known}`?"),
        None => String::new(),
    }
}

fn is_near(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let same = one.iter().zip(other).take_while(|(one, other)| one == other).count();
    let (one, other) = (&one[same..], &other[same..]);
    let rest = |text: &[u8], from: usize| text.get(from..).unwrap_or_default().to_vec();
    rest(one, 1) == rest(other, 1) || rest(one, 1) == other || one == rest(other, 1)
}
