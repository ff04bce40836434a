//! Schema: what a component says its settings look like, as JSON Schema (draft 2020-12, "Validation"), strictly.
//!
//! The keywords that settings need are known, and any other is refused when the component is built and when it
//! loads: a keyword that is passed over would let through what its author meant to forbid. Patterns are those of
//! the `regex-lite` crate, which take time linear in the text. References point into `$defs` of the same document.

use std::collections::BTreeMap;

use regex_lite::{Regex, RegexBuilder};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Map, Value};

use super::{limits::MAX_REASON, text::tame};

mod check;

pub use check::{Step, Violation};

/// A schema of settings.
#[derive(Debug)]
pub struct Schema {
    root: Rule,
    defs: BTreeMap<String, Rule>,
}

/// Why a text is no schema that settings can be held to: its author's fault.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{}{what}", if path.is_empty() { String::new() } else { format!("{path}: ") })]
pub struct InvalidSchema {
    /// Where in the schema, e.g. `properties.rules.items`; empty for the whole.
    path: String,
    what: String,
}

/// What holds for one value.
#[derive(Debug, Default)]
struct Rule {
    reference: Option<String>,
    types: Vec<Type>,
    /// Of `enum` and `const`.
    allowed: Option<Vec<Value>>,
    properties: BTreeMap<String, Self>,
    required: Vec<String>,
    /// For keys that are not among `properties`; `None` takes anything.
    additional: Option<Additional>,
    property_names: Option<Box<Self>>,
    items: Option<Box<Self>>,
    any_of: Vec<Self>,
    pattern: Option<Regex>,
    properties_count: Bounds,
    items_count: Bounds,
    length: Bounds,
    minimum: Option<f64>,
    maximum: Option<f64>,
    unique_items: bool,
}

#[derive(Debug)]
enum Additional {
    Forbidden,
    Rule(Box<Rule>),
}

#[derive(Clone, Copy, Debug, Default)]
struct Bounds {
    least: Option<u64>,
    most: Option<u64>,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Type {
    Array,
    Boolean,
    Integer,
    Null,
    Number,
    Object,
    String,
}

/// Every keyword there is. What stands under it is read one by one, so that an error says where.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
struct Keywords {
    #[serde(rename = "$schema")]
    _schema: Option<IgnoredAny>,
    #[serde(rename = "$id")]
    _id: Option<IgnoredAny>,
    #[serde(rename = "$comment")]
    _comment: Option<IgnoredAny>,
    #[serde(rename = "title")]
    _title: Option<IgnoredAny>,
    #[serde(rename = "description")]
    _description: Option<IgnoredAny>,
    #[serde(rename = "default")]
    _default: Option<IgnoredAny>,
    #[serde(rename = "examples")]
    _examples: Option<IgnoredAny>,
    #[serde(rename = "$defs")]
    defs: Option<Map<String, Value>>,
    #[serde(rename = "$ref")]
    reference: Option<String>,
    #[serde(rename = "type")]
    types: Option<Value>,
    #[serde(rename = "enum")]
    allowed: Option<Vec<Value>>,
    #[serde(rename = "const")]
    constant: Option<Value>,
    properties: Map<String, Value>,
    required: Vec<String>,
    additional_properties: Option<Value>,
    property_names: Option<Value>,
    min_properties: Option<u64>,
    max_properties: Option<u64>,
    items: Option<Value>,
    min_items: Option<u64>,
    max_items: Option<u64>,
    unique_items: bool,
    min_length: Option<u64>,
    max_length: Option<u64>,
    pattern: Option<String>,
    minimum: Option<f64>,
    maximum: Option<f64>,
    any_of: Vec<Value>,
}

/// Deepest nesting of a schema, and longest way of a value through references that do not descend.
const MAX_DEPTH: usize = 32;
/// Largest compiled pattern, in bytes.
const MAX_PATTERN: usize = 256 << 10;
const DEFS: &str = "#/$defs/";

// === impl Schema ===

impl Schema {
    /// Reads a schema.
    ///
    /// # Errors
    ///
    /// [`InvalidSchema`], naming the place and the keyword.
    pub fn parse(json: &[u8]) -> Result<Self, InvalidSchema> {
        let value = serde_json::from_slice(json).map_err(|error| InvalidSchema::at("", error.to_string()))?;
        let mut defs = BTreeMap::new();
        let root = Rule::read(&value, "", 0, Some(&mut defs))?;
        let schema = Self { root, defs };
        schema.all_references_lead_somewhere()?;
        Ok(schema)
    }

    fn all_references_lead_somewhere(&self) -> Result<(), InvalidSchema> {
        let mut rules: Vec<(&str, &Rule)> = self.defs.iter().map(|(name, rule)| (name.as_str(), rule)).collect();
        rules.push(("", &self.root));
        while let Some((path, rule)) = rules.pop() {
            if let Some(name) = &rule.reference {
                self.target(name).ok_or_else(|| InvalidSchema::at(path, format!("`{DEFS}{name}` leads nowhere")))?;
            }
            rules.extend(rule.below().map(|rule| (path, rule)));
        }
        Ok(())
    }

    /// What `name` stands for, through references to references; `None` if it is not there or goes in a circle.
    fn target(&self, name: &str) -> Option<&Rule> {
        let mut rule = self.defs.get(name)?;
        for _ in 0..MAX_DEPTH {
            match &rule.reference {
                None => return Some(rule),
                Some(next) => rule = self.defs.get(next)?,
            }
        }
        None
    }
}

// === impl Rule ===

impl Rule {
    fn read(
        value: &Value,
        path: &str,
        depth: usize,
        defs: Option<&mut BTreeMap<String, Self>>,
    ) -> Result<Self, InvalidSchema> {
        if depth > MAX_DEPTH {
            return Err(InvalidSchema::at(path, "nested too deep"));
        }
        if *value == Value::Bool(true) {
            return Ok(Self::default());
        }
        if !value.is_object() {
            return Err(InvalidSchema::at(path, "a schema is a map of keywords, or true"));
        }
        let keywords = Keywords::deserialize(value).map_err(|error| InvalidSchema::at(path, error.to_string()))?;
        let under = |step: &str| if path.is_empty() { step.to_owned() } else { format!("{path}.{step}") };
        let one = |value: &Value, step: &str| Self::read(value, &under(step), depth + 1, None);
        let boxed = |value: &Option<Value>, step: &str| value.as_ref().map(|value| one(value, step)).transpose();
        match (defs, &keywords.defs) {
            (Some(defs), Some(found)) => {
                for (name, value) in found {
                    defs.insert(name.clone(), one(value, &format!("$defs.{name}"))?);
                }
            }
            (None, Some(_)) => return Err(InvalidSchema::at(path, "`$defs` is known on top alone")),
            (_, None) => {}
        }
        let local = |text: String| {
            let name = text.strip_prefix(DEFS).map(str::to_owned);
            name.ok_or_else(|| InvalidSchema::at(path, format!("`$ref` must begin with `{DEFS}`")))
        };
        let mut properties = BTreeMap::new();
        for (name, value) in &keywords.properties {
            properties.insert(name.clone(), one(value, &format!("properties.{name}"))?);
        }
        let additional = match &keywords.additional_properties {
            None | Some(Value::Bool(true)) => None,
            Some(Value::Bool(false)) => Some(Additional::Forbidden),
            Some(rule) => Some(Additional::Rule(Box::new(one(rule, "additionalProperties")?))),
        };
        let pattern = |text: &String| {
            let regex = RegexBuilder::new(text).size_limit(MAX_PATTERN).build();
            regex.map_err(|error| InvalidSchema::at(path, format!("`pattern`: {error}")))
        };
        let any_of = keywords.any_of.iter().map(|value| one(value, "anyOf")).collect::<Result<_, _>>()?;
        Ok(Self {
            types: types(keywords.types.as_ref()).map_err(|what| InvalidSchema::at(path, what))?,
            allowed: keywords.constant.map(|value| vec![value]).or(keywords.allowed),
            additional,
            property_names: boxed(&keywords.property_names, "propertyNames")?.map(Box::new),
            items: boxed(&keywords.items, "items")?.map(Box::new),
            any_of,
            pattern: keywords.pattern.as_ref().map(pattern).transpose()?,
            reference: keywords.reference.map(local).transpose()?,
            properties,
            required: keywords.required,
            properties_count: Bounds { least: keywords.min_properties, most: keywords.max_properties },
            items_count: Bounds { least: keywords.min_items, most: keywords.max_items },
            length: Bounds { least: keywords.min_length, most: keywords.max_length },
            minimum: keywords.minimum,
            maximum: keywords.maximum,
            unique_items: keywords.unique_items,
        })
    }

    /// The rules that stand in this one.
    fn below(&self) -> impl Iterator<Item = &Self> {
        let additional = match &self.additional {
            Some(Additional::Rule(rule)) => Some(&**rule),
            _ => None,
        };
        self.properties
            .values()
            .chain(additional)
            .chain(self.property_names.as_deref())
            .chain(self.items.as_deref())
            .chain(&self.any_of)
    }
}

fn types(value: Option<&Value>) -> Result<Vec<Type>, String> {
    let wrong = |error: serde_json::Error| format!("`type`: {error}");
    match value {
        None => Ok(Vec::new()),
        Some(list @ Value::Array(_)) => Vec::deserialize(list).map_err(wrong),
        Some(one) => Type::deserialize(one).map(|one| vec![one]).map_err(wrong),
    }
}

// === impl InvalidSchema ===

impl InvalidSchema {
    /// Its author's words are in both.
    fn at(path: &str, what: impl AsRef<str>) -> Self {
        Self { path: tame(path, MAX_REASON), what: tame(what.as_ref(), MAX_REASON) }
    }
}

#[cfg(test)]
mod tests;
