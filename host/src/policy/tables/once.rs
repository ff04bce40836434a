//! A value of a table, none of whose objects has a key twice: which of the two a policy sees would be luck.

use std::{cell::Cell, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, IntoDeserializer, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};

/// A value like that, with no more in it than [`MAX_VALUES`].
pub(super) struct Once(pub(super) Value);

/// Most values in one, itself among them. Where all are short, what is made of them takes eighty times their bytes: of all that
/// fit into a ConfigMap more memory than a server is given.
const MAX_VALUES: usize = 250_000;
/// For how many values an object counts, even one with a single key: for those that take its memory.
const OBJECT: usize = 12;

impl<'de> Deserialize<'de> for Once {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Part(&Cell::new(MAX_VALUES)).deserialize(deserializer).map(Self)
    }
}

/// Anything, if there may be so many more.
#[derive(Clone, Copy)]
struct Part<'a>(&'a Cell<usize>);

/// What has no parts.
fn whole<'de, T: IntoDeserializer<'de, E>, E: Error>(value: T) -> Result<Value, E> {
    Value::deserialize(value.into_deserializer())
}

impl<'de> DeserializeSeed<'de> for Part<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.take(1)?;
        deserializer.deserialize_any(self)
    }
}

impl Part<'_> {
    fn take<E: Error>(self, values: usize) -> Result<(), E> {
        let left = self.0.get().checked_sub(values);
        self.0.set(left.ok_or_else(|| E::custom(format_args!("more than {MAX_VALUES} values are under one key")))?);
        Ok(())
    }
}

impl<'de> Visitor<'de> for Part<'_> {
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

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(self)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        self.take(OBJECT - 1)?;
        let mut object = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            let value = map.next_value_seed(self)?;
            if object.contains_key(&key) {
                return Err(A::Error::custom(format_args!("the key {key:?} is there twice")));
            }
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_what_it_was() {
        let text = r#"{"a":[null,true,-1,18446744073709551615,0.5,"b",{"c":{},"d":[[]]}],"e":null}"#;
        let Once(value) = serde_json::from_str(text).expect("a value");
        assert_eq!(value, serde_json::from_str::<Value>(text).expect("the same value"));
        let Once(value) = crate::config::read_document("a: [~, true, -1, 0.5, b, {c: {}}]\n").expect("a value");
        assert_eq!(value, serde_json::json!({"a": [null, true, -1, 0.5, "b", {"c": {}}]}));
    }

    #[test]
    fn there_are_no_more_values_in_it_than_there_is_memory_for() {
        #[track_caller]
        fn check(item: &str, count: usize, fits: bool) {
            let text = format!("[{}]", vec![item; count].join(",\n "));
            let read = [
                serde_json::from_str::<Once>(&text).map_err(|error| error.to_string()),
                crate::config::read_document::<Once>(&text),
            ];
            for read in read {
                match read.map(|Once(value)| value.as_array().map(Vec::len)) {
                    Ok(found) => assert_eq!((found, fits), (Some(count), true)),
                    // The reader of YAML has a bound of its own, for any document.
                    Err(why) => {
                        assert!(!fits && (why.contains("more than 250000 values") || why.contains("larger")), "{why}");
                    }
                }
            }
        }
        check("0", MAX_VALUES - 1, true);
        check("0", MAX_VALUES, false);
        let objects = (MAX_VALUES - 1) / (OBJECT + 1);
        check(r#"{"a":0}"#, objects, true);
        check(r#"{"a":0}"#, objects + 1, false);
    }
}
