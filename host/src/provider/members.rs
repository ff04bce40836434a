//! Members: reads an object of JSON in which no name that counts may occur twice, in whatever case. Others are ignored.

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};

/// The names that count, as they must be written.
#[derive(Clone, Copy)]
struct Names<'a>(&'a [&'a str]);

/// The texts of the members called `names`, in that order.
pub(super) fn texts<'de, A: MapAccess<'de>, const N: usize>(
    mut map: A,
    names: &[&str; N],
) -> Result<[Option<String>; N], A::Error> {
    let mut values = [const { None }; N];
    while let Some(member) = map.next_key_seed(Names(names))? {
        match member {
            None => drop(map.next_value::<IgnoredAny>()?),
            Some(member) if values[member].is_some() => return Err(A::Error::custom("a name is written twice")),
            Some(member) => values[member] = Some(map.next_value()?),
        }
    }
    Ok(values)
}

// === impl Names ===

/// Gives a name's place among them.
impl<'de> DeserializeSeed<'de> for Names<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<usize>, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for Names<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Option<usize>, E> {
        let member = self.0.iter().position(|known| known.eq_ignore_ascii_case(name));
        match member {
            Some(member) if self.0[member] != name => Err(E::custom("a name is written in another case")),
            member => Ok(member),
        }
    }
}
