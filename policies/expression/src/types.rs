//! The types that an expression may have, and what the variables are.

use std::fmt;

/// A type of CEL ("CEL language definition", "Values"), of those that this policy has a use for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Type {
    Bool,
    Int,
    List(Box<Self>),
    Map(Box<Self>),
    /// Of the elements of `[]`: fits every type.
    Nothing,
    Record(&'static Record),
    String,
}

/// A variable with fields, each of which is always there.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Record {
    pub(crate) name: &'static str,
    pub(crate) fields: &'static [(&'static str, Field)],
}

/// The types that fields and variables have.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Field {
    Int,
    /// From texts to lists of texts.
    Lists,
    Record(&'static Record),
    String,
    Strings,
    /// From texts to texts.
    Texts,
}

/// All variables.
pub(crate) const VARIABLES: &[(&str, Field)] = &[
    ("caller", Field::Record(&CALLER)),
    ("clusterId", Field::String),
    ("current", Field::Record(&CURRENT)),
    ("now", Field::Int),
    ("trail", Field::Strings),
];

static CALLER: Record = Record {
    name: "caller",
    fields: &[
        ("accessKeyId", Field::String),
        ("accountId", Field::String),
        ("arn", Field::String),
        ("attributes", Field::Texts),
        ("canonicalArn", Field::String),
        ("expiresAt", Field::Int),
        ("kind", Field::String),
        ("name", Field::String),
        ("partition", Field::String),
        ("permissionSet", Field::String),
        ("principalId", Field::String),
        ("provider", Field::String),
        ("sessionName", Field::String),
        ("signedAt", Field::Int),
        ("stsRegion", Field::String),
    ],
};

static CURRENT: Record = Record {
    name: "current",
    fields: &[("extra", Field::Lists), ("groups", Field::Strings), ("uid", Field::String), ("username", Field::String)],
};

// === impl Type ===

impl Type {
    pub(crate) fn list(element: Self) -> Self {
        Self::List(Box::new(element))
    }

    /// Maps have texts as keys.
    pub(crate) fn map(value: Self) -> Self {
        Self::Map(Box::new(value))
    }

    /// The type that takes in values of both, if there is one.
    pub(crate) fn join(&self, other: &Self) -> Option<Self> {
        match (self, other) {
            (Self::Nothing, one) | (one, Self::Nothing) => Some(one.clone()),
            (Self::List(one), Self::List(other)) => one.join(other).map(Self::list),
            (Self::Map(one), Self::Map(other)) => one.join(other).map(Self::map),
            _ => (self == other).then(|| self.clone()),
        }
    }

    /// Whether a value of this type may stand where `wanted` is needed.
    pub(crate) fn fits(&self, wanted: &Self) -> bool {
        self.join(wanted).as_ref() == Some(wanted)
    }
}

impl From<Field> for Type {
    fn from(field: Field) -> Self {
        match field {
            Field::Int => Self::Int,
            Field::Lists => Self::map(Self::list(Self::String)),
            Field::Record(record) => Self::Record(record),
            Field::String => Self::String,
            Field::Strings => Self::list(Self::String),
            Field::Texts => Self::map(Self::String),
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool => f.write_str("bool"),
            Self::Int => f.write_str("int"),
            Self::List(element) if **element == Self::Nothing => f.write_str("list"),
            Self::List(element) => write!(f, "list({element})"),
            Self::Map(value) if **value == Self::Nothing => f.write_str("map"),
            Self::Map(value) => write!(f, "map(string, {value})"),
            Self::Nothing => f.write_str("nothing"),
            Self::Record(record) => f.write_str(record.name),
            Self::String => f.write_str("string"),
        }
    }
}
