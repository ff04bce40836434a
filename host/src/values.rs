//! Values of JSON and YAML of which no more is made than there is memory for.
//!
//! What is read of a text takes many times its bytes where all values are short. So they are counted while they are read, by
//! the [`Count`] of whoever reads.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, IgnoredAny, IntoDeserializer, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};

/// Counts values, and says what becomes of one beyond the last.
pub(crate) trait Count: Copy {
    /// Takes one more of `shape`, and says whether it is to be made.
    ///
    /// # Errors
    ///
    /// Where one too many is a mistake.
    fn take<E: Error>(self, shape: Shape) -> Result<bool, E>;

    /// What counts the parts of a value that is counted by this.
    fn inside(self) -> Self {
        self
    }

    /// Whether there has been room for all so far.
    fn has_room(self) -> bool;

    /// An object has `key` twice; the last one counts.
    ///
    /// # Errors
    ///
    /// Where that is a mistake.
    fn twice<E: Error>(self, key: &str) -> Result<(), E>;
}

/// What is counted: each value, and those again that have parts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Shape {
    Value,
    List,
    Object,
}

/// Any value, counted.
#[derive(Clone, Copy)]
pub(crate) struct Counted<C>(pub(crate) C);

// === impl Counted ===

impl<'de, C: Count> DeserializeSeed<'de> for Counted<C> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        if self.0.take(Shape::Value)? {
            return deserializer.deserialize_any(self);
        }
        deserializer.deserialize_ignored_any(IgnoredAny).map(|_| Value::Null)
    }
}

/// What has no parts.
fn whole<'de, T: IntoDeserializer<'de, E>, E: Error>(value: T) -> Result<Value, E> {
    Value::deserialize(value.into_deserializer())
}

impl<'de, C: Count> Visitor<'de> for Counted<C> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        whole(value)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        whole(value)
    }

    fn visit_i128<E: Error>(self, value: i128) -> Result<Value, E> {
        whole(value)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        whole(value)
    }

    fn visit_u128<E: Error>(self, value: u128) -> Result<Value, E> {
        whole(value)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        whole(value)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        whole(value)
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_none<E: Error>(self) -> Result<Value, E> {
        self.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        self.0.take(Shape::List)?;
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(Self(self.0.inside()))? {
            if self.0.has_room() {
                values.push(value);
            }
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        self.0.take(Shape::Object)?;
        let mut object = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            let value = map.next_value_seed(Self(self.0.inside()))?;
            if object.contains_key(&key) {
                self.0.twice(&key)?;
            }
            if self.0.has_room() {
                object.insert(key, value);
            }
        }
        Ok(Value::Object(object))
    }
}
