//! De: serde's way into a [`Node`]. It folds the case of struct keys, as existing files need, refuses
//! keys it does not know with the nearest one it does, and says of every error where it stands.
//!
//! Strict about scalars: text is text, a number is a number, and nothing is converted in silence.

use std::collections::HashMap;

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, IntoDeserializer, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
    forward_to_deserialize_any,
};

use super::{
    error::{Position, Problem, did_you_mean},
    finding::CheckId,
    node::{Key, Node, Value},
};

/// A node and the document it is from.
#[derive(Clone, Copy)]
pub(super) struct De<'a> {
    pub(super) node: &'a Node,
    pub(super) source: &'a str,
}

/// The names that the struct `T` has in a file, aliases included; none if it is no struct.
pub(super) fn fields_of<'de, T: Deserialize<'de>>() -> &'static [&'static str] {
    let mut fields: &'static [&'static str] = &[];
    // The probe always ends in an error: it never has a value to give.
    T::deserialize(FieldProbe(&mut fields)).err();
    fields
}

/// The known name that `key` is, whatever its case.
pub(super) fn fold(key: &str, fields: &[&'static str]) -> Option<&'static str> {
    fields.iter().find(|field| field.eq_ignore_ascii_case(key)).copied()
}

/// That `key` is nobody's.
pub(super) fn unknown(key: &Key, known: &[&'static str]) -> Problem {
    let hint = did_you_mean(&key.text, known.iter().copied());
    Problem::new(key.at, format!("unknown key `{}`", key.text)).id(CheckId::UnknownKey).maybe(hint)
}

/// That `key` is there for the second time.
pub(super) fn twice(key: &Key, first: &Key) -> Problem {
    let what = format!("`{}` is given already, as `{}` on line {}", key.text, first.text, first.at.line);
    Problem::new(key.at, what).id(CheckId::DuplicateKey)
}

// === impl De ===

impl<'a> De<'a> {
    pub(super) fn new(node: &'a Node, source: &'a str) -> Self {
        Self { node, source }
    }

    /// Reads a whole value.
    pub(super) fn read<T: Deserialize<'a>>(self) -> Result<T, Problem> {
        T::deserialize(self).map_err(|mut problem| {
            problem.at.get_or_insert(self.node.at);
            problem
        })
    }

    fn here(self, what: impl Into<String>) -> Problem {
        Problem::new(self.node.at, what)
    }

    fn wrong(self, expected: &str) -> Problem {
        self.here(format!("expected {expected}, found {}", self.node.value.noun()))
    }

    fn entries(self) -> Result<&'a [(Key, Node)], Problem> {
        match &self.node.value {
            Value::Map(entries) => Ok(entries),
            Value::Null => Ok(&[]),
            _ => Err(self.wrong("a map")),
        }
    }

    fn integer<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Problem> {
        let written = self.node.written(self.source);
        let leading_zero = written.len() > 1 && written.starts_with('0') && written.bytes().all(|b| b.is_ascii_digit());
        if leading_zero {
            let what = format!("`{written}` starts with a zero, which readers of YAML do not agree on");
            return Err(self.here(what).id(CheckId::YamlTrap));
        }
        match self.node.value {
            Value::Signed(number) => visitor.visit_i64(number),
            Value::Unsigned(number) => visitor.visit_u64(number),
            _ => Err(self.wrong("a whole number")),
        }
    }
}

macro_rules! integers {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
            self.integer(visitor)
        }
    )*};
}

impl<'de> Deserializer<'de> for De<'de> {
    type Error = Problem;

    integers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
    }

    forward_to_deserialize_any! {
        i128 u128 char bytes byte_buf unit unit_struct tuple tuple_struct
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match &self.node.value {
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Float(number) => visitor.visit_f64(*number),
            Value::List(_) => self.deserialize_seq(visitor),
            Value::Map(_) => self.deserialize_map(visitor),
            Value::MapOfMaps => Err(self.wrong("a value")),
            Value::Null => visitor.visit_unit(),
            Value::Signed(number) => visitor.visit_i64(*number),
            Value::Text(text) => visitor.visit_str(text),
            Value::Unsigned(number) => visitor.visit_u64(*number),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match self.node.value {
            Value::Bool(value) => visitor.visit_bool(value),
            _ => Err(self.wrong("true or false")),
        }
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match self.node.value {
            Value::Float(number) => visitor.visit_f64(number),
            _ => self.integer(visitor),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        visitor.visit_str(self.node.text(self.source)?)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match self.node.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _name: &'static str, visitor: V) -> Result<V::Value, Problem> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        let nodes: &[Node] = match &self.node.value {
            Value::List(nodes) => nodes,
            Value::Null => &[],
            _ => return Err(self.wrong("a list")),
        };
        visitor.visit_seq(List { nodes: nodes.iter().enumerate(), source: self.source })
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        visitor.visit_map(Map::new(self.entries()?, None, self.source))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        visitor.visit_map(Map::new(self.entries()?, Some(fields), self.source))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        match &self.node.value {
            Value::Map(entries) => visitor.visit_enum(MapAccessDeserializer::new(Map::new(entries, None, self.source))),
            _ => visitor.visit_enum(self.node.text(self.source)?.into_deserializer()),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        visitor.visit_unit()
    }
}

// === impl List ===

struct List<'a> {
    nodes: std::iter::Enumerate<std::slice::Iter<'a, Node>>,
    source: &'a str,
}

impl<'de> SeqAccess<'de> for List<'de> {
    type Error = Problem;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Problem> {
        let Some((index, node)) = self.nodes.next() else { return Ok(None) };
        let value = seed.deserialize(De::new(node, self.source));
        value.map(Some).map_err(|problem| problem.within(index, node.at))
    }
}

// === impl Map ===

struct Map<'a> {
    entries: &'a [(Key, Node)],
    next: usize,
    /// The known names, of a struct.
    fields: Option<&'static [&'static str]>,
    /// The keys so far, of a plain map; they do not fold their case.
    seen: HashMap<&'a str, &'a Key>,
    source: &'a str,
}

impl<'a> Map<'a> {
    fn new(entries: &'a [(Key, Node)], fields: Option<&'static [&'static str]>, source: &'a str) -> Self {
        Self { entries, next: 0, fields, seen: HashMap::new(), source }
    }

    /// The name that serde is to see for the key at hand.
    fn name(&mut self, key: &'a Key) -> Result<&'a str, Problem> {
        let Some(fields) = self.fields else {
            let earlier = self.seen.insert(&key.text, key);
            return earlier.map_or(Ok(&key.text), |first| Err(twice(key, first)));
        };
        let earlier = self.entries[..self.next].iter().find(|(other, _)| other.text.eq_ignore_ascii_case(&key.text));
        match earlier {
            Some((first, _)) => Err(twice(key, first)),
            None => fold(&key.text, fields).ok_or_else(|| unknown(key, fields)),
        }
    }
}

impl<'de> MapAccess<'de> for Map<'de> {
    type Error = Problem;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Problem> {
        let Some((key, _)) = self.entries.get(self.next) else { return Ok(None) };
        let located = |problem: Problem| problem.under(&key.text, key.at);
        let name = self.name(key).map_err(located)?;
        seed.deserialize(name.into_deserializer()).map(Some).map_err(located)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Problem> {
        let (key, node) = self.entries.get(self.next).expect("serde asks for a value after its key");
        self.next += 1;
        let at = if node.at == Position::default() { key.at } else { node.at };
        seed.deserialize(De::new(node, self.source)).map_err(|problem| problem.under(&key.text, at))
    }
}

// === impl FieldProbe ===

/// Asks a type for its fields and gives it nothing.
struct FieldProbe<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for FieldProbe<'_> {
    type Error = serde::de::value::Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, Self::Error> {
        *self.0 = fields;
        Err(serde::de::Error::custom("only asking"))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Self::Error> {
        Err(serde::de::Error::custom("not a struct"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}
