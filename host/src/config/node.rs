//! Node: a YAML document as a tree in which every value knows its line, with the mapping entries handed
//! out one by one as they are read, so that 50,000 of them are never in memory as YAML.
//!
//! Bounds: those of [`serde_saphyr::Budget`], set far below its defaults for everything but the number
//! of entries. Aliases and merge keys work within them.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_saphyr::{Location, Spanned};

use super::{
    error::{Position, Problem},
    finding::CheckId,
    yaml_error::from_yaml,
};

/// One value of a document.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) at: Position,
    /// Offset and length, in bytes, of the scalar as it is written.
    written: (u32, u32),
    pub(super) value: Value,
}

#[derive(Debug)]
pub(super) enum Value {
    Bool(bool),
    Float(f64),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
    /// A map with a key that is no text, as in an unquoted `{{Variable}}`.
    MapOfMaps,
    Null,
    Signed(i64),
    Text(Box<str>),
    Unsigned(u64),
}

#[derive(Debug)]
pub(super) struct Key {
    pub(super) at: Position,
    pub(super) text: Box<str>,
}

/// What is read entry by entry: lists, and objects that are one entry each.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Section {
    /// `bootstrapAdmins`.
    Admins,
    /// The specs of IAMIdentityMapping objects.
    Identities,
    Roles,
    Users,
}

/// Takes one entry and its place in its list.
pub(super) type EachEntry<'a> = &'a mut dyn FnMut(Section, usize, Node);

/// Longest document, in bytes: some 200,000 entries.
pub(super) const MAX_BYTES: u64 = 32 << 20;
/// Most values and keys of a document.
const MAX_NODES: usize = 4_000_000;
/// Deepest nesting.
const MAX_DEPTH: usize = 32;
/// Words that older YAML takes for booleans when they stand without quotes (YAML 1.1, "Boolean
/// Language-Independent Type").
const OLD_BOOLEANS: [&str; 6] = ["y", "n", "yes", "no", "on", "off"];

/// Reads `text`, handing every entry of `server.mapRoles` and `server.mapUsers` to `each`. In the tree
/// an empty value stands in for those lists.
pub(super) fn read(text: &str, each: EachEntry<'_>) -> Result<Node, Problem> {
    read_from(Level::Top, text, each)
}

/// The same of a document that has `mapRoles` and `mapUsers` on top.
pub(super) fn read_mappings(text: &str, each: EachEntry<'_>) -> Result<Node, Problem> {
    read_from(Level::Server, text, each)
}

/// Reads `text` as one tree.
pub(super) fn read_whole(text: &str) -> Result<Node, Problem> {
    read_within(MAX_NODES, text)
}

/// The same of a text that is refused where it holds more than so many values and keys: of one in which all are short, the tree
/// takes many times its bytes.
pub(super) fn read_within(nodes: usize, text: &str) -> Result<Node, Problem> {
    serde_saphyr::from_str_with_options(text, options(nodes)).map_err(|error| from_yaml(&error, text))
}

fn read_from(level: Level, text: &str, each: EachEntry<'_>) -> Result<Node, Problem> {
    let walk = Walk { level, each };
    let value = serde_saphyr::with_deserializer_from_str_with_options(text, options(MAX_NODES), |deserializer| {
        walk.deserialize(deserializer)
    })
    .map_err(|error| from_yaml(&error, text))?;
    Ok(Node::new(Position { line: 1, column: 1 }, value))
}

fn options(max_nodes: usize) -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_aliases: 1_000,
            max_anchors: 1_000,
            max_depth: MAX_DEPTH,
            max_documents: 2,
            max_events: 8_000_000,
            max_merge_keys: 1_000,
            max_nodes: max_nodes,
            max_recorded_anchor_bytes: 1 << 20,
            max_recorded_anchor_events: 20_000,
            max_total_scalar_bytes: MAX_BYTES as usize,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_replay_stack_depth: 8,
            max_total_replayed_events: 20_000,
        },
        // Told by whoever reads the map, so that a key given twice in one entry costs only that entry.
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::PassThrough,
        reject_unsupported_tags: true,
        strict_booleans: true,
        with_snippet: false,
    }
}

pub(super) fn position(location: &Location) -> Position {
    let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    Position { line: small(location.line()), column: small(location.column()) }
}

// === impl Node ===

impl Node {
    pub(super) fn new(at: Position, value: Value) -> Self {
        Self { at, written: (0, 0), value }
    }

    /// The scalar as it is written in `source`, without quotes taken off; empty for anything else.
    pub(super) fn written<'a>(&self, source: &'a str) -> &'a str {
        let (start, length) = (self.written.0 as usize, self.written.1 as usize);
        source.get(start..start + length).unwrap_or_default()
    }

    /// The text, if the value is text to every reader of YAML.
    pub(super) fn text(&self, source: &str) -> Result<&str, Problem> {
        let quotes = "write it in quotes";
        let (found, fix) = match &self.value {
            Value::Text(text) if !self.is_old_boolean(text, source) => return Ok(text),
            Value::Text(text) => (format!("`{text}`, which many readers of YAML take for a boolean"), quotes),
            Value::Bool(value) => (format!("the boolean `{value}`"), quotes),
            Value::Float(_) | Value::Signed(_) | Value::Unsigned(_) => (self.number_is_no_text(source), quotes),
            Value::MapOfMaps => ("a nested map".to_owned(), "a text that starts with {{ needs quotes"),
            other => return Err(Problem::new(self.at, format!("expected text, found {}", other.noun()))),
        };
        Err(Problem::new(self.at, format!("expected text, found {found}")).id(CheckId::YamlTrap).fix(fix))
    }

    /// The text as it is, whatever other readers make of it.
    pub(super) fn plain(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    fn is_old_boolean(&self, text: &str, source: &str) -> bool {
        OLD_BOOLEANS.iter().any(|word| word.eq_ignore_ascii_case(text)) && self.written(source) == text
    }

    fn number_is_no_text(&self, source: &str) -> String {
        let written = self.written(source);
        let octal = if written.starts_with('0') && written.len() > 1 {
            ", and readers of YAML do not agree on what a leading zero means"
        } else {
            ""
        };
        format!("the number `{written}`{octal}")
    }
}

/// What a value is called in a message.
impl Value {
    pub(super) fn noun(&self) -> &'static str {
        match self {
            Self::Bool(_) => "a boolean",
            Self::Float(_) | Self::Signed(_) | Self::Unsigned(_) => "a number",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
            Self::MapOfMaps => "a nested map",
            Self::Null => "nothing",
            Self::Text(_) => "text",
        }
    }
}

impl From<Spanned<Value>> for Node {
    fn from(spanned: Spanned<Value>) -> Self {
        let span = spanned.defined.span();
        let small = |number: Option<u64>| number.and_then(|number| u32::try_from(number).ok()).unwrap_or_default();
        let written = (small(span.byte_offset()), small(span.byte_len()));
        Self { at: position(&spanned.referenced), written, value: spanned.value }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Spanned::deserialize(deserializer).map(Self::from)
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Anything)
    }
}

struct Anything;

impl<'de> Visitor<'de> for Anything {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(u64::try_from(value).map_or(Value::Signed(value), Value::Unsigned))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Unsigned(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.into()))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = list.next_element()? {
            nodes.push(node);
        }
        nodes.shrink_to_fit();
        Ok(Value::List(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut nodes = Vec::new();
        while let Some(key) = map.next_key::<Node>()? {
            let Some(key) = Key::of(key) else {
                map.next_value::<IgnoredAny>()?;
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                return Ok(Value::MapOfMaps);
            };
            nodes.push((key, map.next_value()?));
        }
        nodes.shrink_to_fit();
        Ok(Value::Map(nodes))
    }
}

// === impl Key ===

impl Key {
    fn of(node: Node) -> Option<Self> {
        let text = match node.value {
            Value::Text(text) => text,
            Value::Bool(value) => value.to_string().into(),
            Value::Signed(number) => number.to_string().into(),
            Value::Unsigned(number) => number.to_string().into(),
            Value::Float(_) | Value::List(_) | Value::Map(_) | Value::MapOfMaps | Value::Null => return None,
        };
        Some(Self { at: node.at, text })
    }
}

// === impl Walk ===

/// The way from the top of the document down to the two lists.
struct Walk<'a> {
    level: Level,
    each: EachEntry<'a>,
}

#[derive(Clone, Copy)]
enum Level {
    Entries(Section),
    Server,
    Top,
}

impl Level {
    /// Where the value under `key` leads, if it is on the way.
    fn below(self, key: &str) -> Option<Self> {
        let is = |name: &str| key.eq_ignore_ascii_case(name);
        match self {
            Self::Top => is("server").then_some(Self::Server),
            Self::Server if is("mapRoles") => Some(Self::Entries(Section::Roles)),
            Self::Server => is("mapUsers").then_some(Self::Entries(Section::Users)),
            Self::Entries(_) => None,
        }
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Anything.expecting(f)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Signed(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Unsigned(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.into()))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        if let Level::Entries(_) = self.level {
            return Anything.visit_map(map);
        }
        let mut nodes = Vec::new();
        while let Some(key) = map.next_key::<Node>()? {
            let key = Key::of(key).ok_or_else(|| A::Error::custom("a key must be text"))?;
            let node = match self.level.below(&key.text) {
                None => map.next_value()?,
                Some(level) => {
                    let value = map.next_value_seed(Walk { level, each: &mut *self.each })?;
                    Node::new(key.at, value)
                }
            };
            nodes.push((key, node));
        }
        Ok(Value::Map(nodes))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let Level::Entries(section) = self.level else { return Anything.visit_seq(list) };
        let mut index = 0;
        while let Some(node) = list.next_element()? {
            (self.each)(section, index, node);
            index += 1;
        }
        Ok(Value::Null)
    }
}
