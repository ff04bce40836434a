//! The functions and operators that expressions may use, with their types. What is not here is refused when the policy loads.

use super::types::Type;

/// One way to call a function.
struct Signature {
    name: &'static str,
    /// For methods the type that stands before the dot comes first.
    arguments: &'static [Simple],
    result: Simple,
    style: Style,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Style {
    Function,
    Method,
    Operator,
}

#[derive(Clone, Copy)]
enum Simple {
    AnyList,
    AnyMap,
    Bool,
    Int,
    String,
    Strings,
}

use Simple::{AnyList, AnyMap, Bool, Int, String, Strings};

const fn function(name: &'static str, arguments: &'static [Simple], result: Simple) -> Signature {
    Signature { name, arguments, result, style: Style::Function }
}

const fn method(name: &'static str, arguments: &'static [Simple], result: Simple) -> Signature {
    Signature { name, arguments, result, style: Style::Method }
}

const fn operator(name: &'static str, arguments: &'static [Simple], result: Simple) -> Signature {
    Signature { name, arguments, result, style: Style::Operator }
}

/// The standard library ("CEL language definition", "Standard Definitions"), and of its strings extension what names need.
/// Operators that take any type are [`super::check`]'s.
const SIGNATURES: &[Signature] = &[
    operator("!_", &[Bool], Bool),
    operator("-_", &[Int], Int),
    operator("@not_strictly_false", &[Bool], Bool),
    operator("_%_", &[Int, Int], Int),
    operator("_&&_", &[Bool, Bool], Bool),
    operator("_*_", &[Int, Int], Int),
    operator("_+_", &[Int, Int], Int),
    operator("_+_", &[String, String], String),
    operator("_-_", &[Int, Int], Int),
    operator("_/_", &[Int, Int], Int),
    operator("_<=_", &[Int, Int], Bool),
    operator("_<=_", &[String, String], Bool),
    operator("_<_", &[Int, Int], Bool),
    operator("_<_", &[String, String], Bool),
    operator("_>=_", &[Int, Int], Bool),
    operator("_>=_", &[String, String], Bool),
    operator("_>_", &[Int, Int], Bool),
    operator("_>_", &[String, String], Bool),
    operator("_||_", &[Bool, Bool], Bool),
    function("int", &[Int], Int),
    function("int", &[String], Int),
    function("size", &[AnyList], Int),
    function("size", &[AnyMap], Int),
    function("size", &[String], Int),
    function("string", &[Bool], String),
    function("string", &[Int], String),
    function("string", &[String], String),
    method("contains", &[String, String], Bool),
    method("endsWith", &[String, String], Bool),
    method("indexOf", &[String, String], Int),
    method("join", &[Strings], String),
    method("join", &[Strings, String], String),
    method("lastIndexOf", &[String, String], Int),
    method("lowerAscii", &[String], String),
    method("matches", &[String, String], Bool),
    method("replace", &[String, String, String], String),
    method("size", &[AnyList], Int),
    method("size", &[AnyMap], Int),
    method("size", &[String], Int),
    method("split", &[String, String], Strings),
    method("startsWith", &[String, String], Bool),
    method("substring", &[String, Int], String),
    method("substring", &[String, Int, Int], String),
    method("trim", &[String], String),
    method("upperAscii", &[String], String),
];

/// What a call gives; `None` if it does not exist with such arguments.
pub(crate) fn result(name: &str, arguments: &[Type], is_method: bool) -> Option<Type> {
    let fits = |signature: &&Signature| {
        let wanted = signature.arguments.iter().map(|simple| simple.to_type());
        signature.arguments.len() == arguments.len()
            && wanted.zip(arguments).all(|(wanted, given)| given.fits_any(&wanted))
    };
    named(name, is_method).find(fits).map(|signature| signature.result.to_type())
}

/// Whether anything of that name can be called so.
pub(crate) fn exists(name: &str, is_method: bool) -> bool {
    named(name, is_method).next().is_some()
}

/// All names, for "did you mean".
pub(crate) fn names(is_method: bool) -> impl Iterator<Item = &'static str> {
    let wanted = if is_method { Style::Method } else { Style::Function };
    SIGNATURES.iter().filter(move |signature| signature.style == wanted).map(|signature| signature.name)
}

fn named(name: &str, is_method: bool) -> impl Iterator<Item = &'static Signature> {
    SIGNATURES.iter().filter(move |signature| signature.name == name && (signature.style == Style::Method) == is_method)
}

// === impl Simple ===

impl Simple {
    fn to_type(self) -> Type {
        match self {
            AnyList => Type::list(Type::Nothing),
            AnyMap => Type::map(Type::Nothing),
            Bool => Type::Bool,
            Int => Type::Int,
            String => Type::String,
            Strings => Type::list(Type::String),
        }
    }
}

// === impl Type ===

impl Type {
    /// As [`Self::fits`]; a list or map of nothing takes in every other.
    fn fits_any(&self, wanted: &Self) -> bool {
        match (self, wanted) {
            (Self::List(_), Self::List(element)) | (Self::Map(_), Self::Map(element)) if **element == Self::Nothing => {
                true
            }
            _ => self.fits(wanted),
        }
    }
}
