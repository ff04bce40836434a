//! A value of a table, none of whose objects has a key twice: which of the two a policy sees would be luck.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error, IntoDeserializer, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};

/// A value like that.
pub(super) struct Once(pub(super) Value);

impl<'de> Deserialize<'de> for Once {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Anything)
    }
}

struct Anything;

/// What has no parts.
fn whole<'de, T: IntoDeserializer<'de, E>, E: Error>(value: T) -> Result<Once, E> {
    Value::deserialize(value.into_deserializer()).map(Once)
}

impl<'de> Visitor<'de> for Anything {
    type Value = Once;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Once, E> {
        whole(value)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Once, E> {
        whole(value)
    }

    fn visit_i128<E: Error>(self, value: i128) -> Result<Once, E> {
        whole(value)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Once, E> {
        whole(value)
    }

    fn visit_u128<E: Error>(self, value: u128) -> Result<Once, E> {
        whole(value)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Once, E> {
        whole(value)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Once, E> {
        whole(value)
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Once, E> {
        Ok(Once(Value::String(value)))
    }

    fn visit_none<E: Error>(self) -> Result<Once, E> {
        self.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Once, D::Error> {
        Once::deserialize(deserializer)
    }

    fn visit_unit<E: Error>(self) -> Result<Once, E> {
        Ok(Once(Value::Null))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Once, A::Error> {
        let mut items = Vec::new();
        while let Some(Once(item)) = seq.next_element()? {
            items.push(item);
        }
        Ok(Once(Value::Array(items)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Once, A::Error> {
        let mut object = Map::new();
        while let Some((key, Once(value))) = map.next_entry::<String, _>()? {
            if object.contains_key(&key) {
                return Err(A::Error::custom(format_args!("the key {key:?} is there twice")));
            }
            object.insert(key, value);
        }
        Ok(Once(Value::Object(object)))
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
}
