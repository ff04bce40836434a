//! A value of a table, none of whose objects has a key twice: which of the two a policy sees would be luck.

use std::cell::Cell;

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed as _, Error},
};
use serde_json::Value;

use crate::values::{Count, Counted, Shape};

/// A value like that, with no more in it than [`MAX_VALUES`].
pub(super) struct Once(pub(super) Value);

/// Most values in one, itself among them. Where all are short, what is made of them takes eighty times their bytes: of all that
/// fit into a ConfigMap more memory than a server is given.
const MAX_VALUES: usize = 250_000;
/// For how many values an object counts, even one with a single key: for those that take its memory.
const OBJECT: usize = 12;

impl<'de> Deserialize<'de> for Once {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Counted(Left(&Cell::new(MAX_VALUES))).deserialize(deserializer).map(Self)
    }
}

/// How many more there may be.
#[derive(Clone, Copy)]
struct Left<'a>(&'a Cell<usize>);

// === impl Left ===

impl Count for Left<'_> {
    fn take<E: Error>(self, shape: Shape) -> Result<bool, E> {
        let much = match shape {
            Shape::Value => 1,
            Shape::List => 0,
            Shape::Object => OBJECT - 1,
        };
        let left = self.0.get().checked_sub(much);
        self.0.set(left.ok_or_else(|| E::custom(format_args!("more than {MAX_VALUES} values are under one key")))?);
        Ok(true)
    }

    fn has_room(self) -> bool {
        true
    }

    fn twice<E: Error>(self, key: &str) -> Result<(), E> {
        Err(E::custom(format_args!("the key {key:?} is there twice")))
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
