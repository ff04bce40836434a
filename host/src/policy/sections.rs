//! What a component says of itself, in custom sections that run nothing: a schema of its settings, and examples
//! of its decisions.

use wasmparser::{BinaryReaderError, Chunk, Parser, Payload};

use super::{
    LoadProblem,
    cases::{Document, Terms},
    limits::MAX_REASON,
    schema::Schema,
    text::tame,
};

/// The section that holds a JSON Schema of the settings.
pub const SETTINGS_SCHEMA: &str = "herald:settings-schema";
/// The section that holds cases, as JSON, that the policy passes.
pub const EXAMPLES: &str = "herald:examples";

/// Largest section that is read, in bytes.
const MAX_SECTION: usize = 256 << 10;
/// Most examples.
pub const MAX_EXAMPLES: usize = 100;

/// The sections of one component, as text.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sections<'a> {
    /// [`SETTINGS_SCHEMA`].
    pub schema: Option<&'a [u8]>,
    /// [`EXAMPLES`].
    pub examples: Option<&'a [u8]>,
}

/// A section that is there and cannot be used: its author's fault.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SectionError {
    /// No component.
    #[error("cannot be read: {0}")]
    Component(String),
    /// The file ends before the component does.
    #[error("ends in the middle of a component: the file is cut short")]
    EndsEarly,
    /// The examples are no cases.
    #[error("{EXAMPLES}: {0}")]
    Examples(String),
    /// The schema is none that settings can be held to.
    #[error("{SETTINGS_SCHEMA}: {0}")]
    Schema(#[from] super::schema::InvalidSchema),
    /// Larger than any is.
    #[error("{0}: larger than 256 KiB")]
    TooLarge(&'static str),
    /// There is more than one.
    #[error("{0}: there are two")]
    Twice(&'static str),
}

// === impl Sections ===

impl<'a> Sections<'a> {
    /// Finds the sections of `component`. Those of modules and components inside it do not count.
    ///
    /// # Errors
    ///
    /// [`SectionError`], when one is there twice or too large, or the bytes are no component.
    pub fn of(component: &'a [u8]) -> Result<Self, SectionError> {
        let mut found = Self::default();
        let mut depth = 0_usize;
        for payload in Parser::new(0).parse_all(component) {
            let broken = |error: BinaryReaderError| {
                if ends_early(component) { SectionError::EndsEarly } else { SectionError::Component(error.to_string()) }
            };
            match payload.map_err(broken)? {
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::CustomSection(section) if depth == 0 => found.take(section.name(), section.data())?,
                _ => {}
            }
        }
        Ok(found)
    }

    fn take(&mut self, name: &str, data: &'a [u8]) -> Result<(), SectionError> {
        let (name, place) = match name {
            SETTINGS_SCHEMA => (SETTINGS_SCHEMA, &mut self.schema),
            EXAMPLES => (EXAMPLES, &mut self.examples),
            _ => return Ok(()),
        };
        if data.len() > MAX_SECTION {
            return Err(SectionError::TooLarge(name));
        }
        place.replace(data).map_or(Ok(()), |_| Err(SectionError::Twice(name)))
    }

    /// The schema, if there is one.
    ///
    /// # Errors
    ///
    /// When it is none that settings can be held to.
    pub fn schema(&self) -> Result<Option<Schema>, SectionError> {
        Ok(self.schema.map(Schema::parse).transpose()?)
    }

    /// The examples; none if there are none.
    ///
    /// # Errors
    ///
    /// When they are no cases, or too many.
    pub fn examples(&self) -> Result<Option<Document>, SectionError> {
        let Some(json) = self.examples else { return Ok(None) };
        // An error tells what it found, in the author's words.
        let wrong = |error: serde_json::Error| SectionError::Examples(tame(&error.to_string(), MAX_REASON));
        let document: Document = serde_json::from_slice(json).map_err(wrong)?;
        let count = document.len();
        if count > MAX_EXAMPLES {
            return Err(SectionError::Examples(format!("there are {count}, at most {MAX_EXAMPLES} are taken")));
        }
        if document.terms() != Terms::default() {
            let why =
                "kind, ceiling and limits are the operator's, and of no example: only `herald policy test` reads them";
            return Err(SectionError::Examples(why.to_owned()));
        }
        Ok(Some(document))
    }
}

/// Whether more bytes could make something whole of `component`, as far as one can tell before they are there.
fn ends_early(component: &[u8]) -> bool {
    let (mut parser, mut outer, mut rest) = (Parser::new(0), Vec::new(), component);
    loop {
        let (payload, consumed) = match parser.parse(rest, false) {
            Ok(Chunk::Parsed { payload, consumed }) => (payload, consumed),
            Ok(Chunk::NeedMoreData(_)) => return !(rest.is_empty() && outer.is_empty()),
            Err(_) => return false,
        };
        rest = &rest[consumed..];
        match payload {
            Payload::ModuleSection { parser: inner, .. } | Payload::ComponentSection { parser: inner, .. } => {
                outer.push(std::mem::replace(&mut parser, inner));
            }
            Payload::End(_) => match outer.pop() {
                Some(around) => parser = around,
                None => return false,
            },
            _ => {}
        }
    }
}

impl From<SectionError> for LoadProblem {
    fn from(error: SectionError) -> Self {
        match error {
            SectionError::Component(why) => Self::Invalid(why),
            SectionError::EndsEarly => Self::Truncated,
            error => Self::Sections(error),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A custom section (WebAssembly Core Specification, "Custom Section"), short enough for one byte of length.
    pub(in crate::policy) fn section(name: &str, data: &[u8]) -> Vec<u8> {
        let length = |number: usize| {
            let number = u32::try_from(number).expect("short");
            let (low, middle, high) = (number & 0x7f, number >> 7 & 0x7f, number >> 14 & 0x7f);
            [low as u8 | 0x80, middle as u8 | 0x80, high as u8]
        };
        let body = [&length(name.len())[..], name.as_bytes(), data].concat();
        [&[0][..], &length(body.len()), &body].concat()
    }

    fn component(sections: &[(&str, &[u8])]) -> Vec<u8> {
        let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
        sections.iter().for_each(|(name, data)| bytes.extend(section(name, data)));
        bytes
    }

    #[track_caller]
    fn check(bytes: &[u8], expected: Result<(bool, usize), &str>) {
        let read = || {
            let sections = Sections::of(bytes)?;
            let examples = sections.examples()?.map_or(0, |document| document.len());
            Ok((sections.schema()?.is_some(), examples))
        };
        match (read().map_err(|error: SectionError| error.to_string()), expected) {
            (Err(error), Err(part)) => assert!(error.contains(part), "{error}"),
            (found, expected) => assert_eq!(found, expected.map_err(str::to_owned)),
        }
    }

    #[test]
    fn what_a_component_says_of_itself() {
        let case =
            r#"{"cases": [{"name": "a", "caller": {"arn": "arn:aws:iam::111122223333:user/a"}, "expect": "abstain"}]}"#;
        check(&component(&[]), Ok((false, 0)));
        check(&component(&[(SETTINGS_SCHEMA, b"{}"), ("other", b"x"), (EXAMPLES, case.as_bytes())]), Ok((true, 1)));
        check(&component(&[(SETTINGS_SCHEMA, b"{"), (EXAMPLES, case.as_bytes())]), Err("herald:settings-schema: "));
        check(&component(&[(EXAMPLES, b"{}")]), Err("herald:examples: missing field `cases`"));
        check(&component(&[(EXAMPLES, b"{}"), (EXAMPLES, b"{}")]), Err("herald:examples: there are two"));
        check(&component(&[(EXAMPLES, &vec![b' '; MAX_SECTION + 1])]), Err("larger than 256 KiB"));
        let of_operators = case.replacen('{', r#"{"limits": {"memory": "32Mi"}, "#, 1);
        check(&component(&[(EXAMPLES, of_operators.as_bytes())]), Err("kind, ceiling and limits are the operator's"));
        let one = &case[11..case.len() - 2];
        let many = format!(r#"{{"cases": [{}]}}"#, vec![one; MAX_EXAMPLES + 1].join(","));
        check(&component(&[(EXAMPLES, many.as_bytes())]), Err("there are 101, at most 100 are taken"));
        let [examples, schema] = [r#"{"\u001b[2J\n": 1}"#, r#"{"properties": {"\u001b[2J": {"\n": 1}}}"#];
        check(&component(&[(EXAMPLES, examples.as_bytes())]), Err(r"unknown field `\u{1b}[2J\u{a}`"));
        check(&component(&[(SETTINGS_SCHEMA, schema.as_bytes())]), Err(r"properties.\u{1b}[2J: unknown field `\u{a}`"));
        check(&component(&[])[..6], Err("cut short"));
        let whole = component(&[(EXAMPLES, case.as_bytes())]);
        check(&whole[..whole.len() - 1], Err("cut short"));
        let mut of_another_format = whole;
        of_another_format[4] ^= 1;
        check(&of_another_format, Err("cannot be read"));
    }
}
