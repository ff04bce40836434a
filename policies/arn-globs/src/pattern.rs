//! Patterns that capture, and names that captures are put into.

use serde::Deserialize;

/// A pattern for a whole field: `*` is any run of characters, `?` any one, `{name}` a run of at least one, kept under
/// that name. Where several divisions fit, earlier parts are as short as can be.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Pattern(Vec<Part>);

#[derive(Debug)]
enum Part {
    Any,
    Capture(String),
    One,
    Text(String),
}

/// A username or group with `{name}` where a captured value goes.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Name(Vec<Part>);

/// What patterns captured, each under its name. No name is there twice.
pub(crate) type Captured<'a> = Vec<(&'a str, String)>;

/// Most wildcards of a pattern; its cost is their number times the square of the text's length.
const MAX_WILDCARDS: usize = 8;
const RESERVED: &str = "system:";

fn parse(text: &str, wildcards: bool) -> Result<Vec<Part>, String> {
    let (mut parts, mut rest, mut literal) = (Vec::new(), text, String::new());
    while let Some(c) = rest.chars().next() {
        let (part, length) = match c {
            '*' if wildcards => (Part::Any, 1),
            '?' if wildcards => (Part::One, 1),
            '{' => {
                let end = rest.find('}').ok_or_else(|| [text, ": a { without its }"].concat())?;
                let name = &rest[1..end];
                if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                    return Err([text, ": {", name, "} must be letters and digits"].concat());
                }
                (Part::Capture(name.to_owned()), end + 1)
            }
            '}' => return Err([text, ": a } without its {"].concat()),
            c => {
                literal.push(c);
                rest = &rest[c.len_utf8()..];
                continue;
            }
        };
        if !literal.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut literal)));
        }
        parts.push(part);
        rest = &rest[length..];
    }
    if !literal.is_empty() {
        parts.push(Part::Text(literal));
    }
    if parts.is_empty() { Err("must not be empty".to_owned()) } else { Ok(parts) }
}

// === impl Pattern ===

impl TryFrom<String> for Pattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let parts = parse(&text, true)?;
        if text.contains([':', '/']) {
            return Err([&text, ": a pattern for one field, without : and /"].concat());
        }
        let wildcards = parts.iter().filter(|part| matches!(part, Part::Any | Part::Capture(_))).count();
        if wildcards > MAX_WILDCARDS {
            return Err([&text, ": more than ", &MAX_WILDCARDS.to_string(), " wildcards"].concat());
        }
        Ok(Self(parts))
    }
}

impl Pattern {
    pub(crate) fn captures(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Capture(name) => Some(name.as_str()),
            _ => None,
        })
    }

    /// What is captured of `text`, if the pattern covers all of it.
    pub(crate) fn matches(&self, text: &str) -> Option<Captured<'_>> {
        let text: Vec<char> = text.chars().collect();
        let mut dead = vec![false; (self.0.len() + 1) * (text.len() + 1)];
        let mut ends = Vec::with_capacity(self.0.len());
        self.fit(&text, 0, 0, &mut ends, &mut dead).then(|| {
            let starts = std::iter::once(0).chain(ends.iter().copied());
            let spans = self.0.iter().zip(starts.zip(&ends));
            let captured = spans.filter_map(|(part, (start, end))| match part {
                Part::Capture(name) => Some((name.as_str(), text[start..*end].iter().collect())),
                _ => None,
            });
            captured.collect()
        })
    }

    /// Whether the parts from `part` on cover `text` from `at` on; `ends` then says where each ends.
    fn fit(&self, text: &[char], part: usize, at: usize, ends: &mut Vec<usize>, dead: &mut [bool]) -> bool {
        let place = part * (text.len() + 1) + at;
        let Some(wanted) = self.0.get(part) else { return at == text.len() };
        if dead[place] {
            return false;
        }
        let possible = match wanted {
            Part::Any => at..=text.len(),
            Part::Capture(_) => at + 1..=text.len(),
            Part::One if at < text.len() => at + 1..=at + 1,
            Part::Text(literal) => {
                let length = literal.chars().count();
                let here = text.get(at..at + length).is_some_and(|found| found.iter().copied().eq(literal.chars()));
                if !here {
                    dead[place] = true;
                    return false;
                }
                at + length..=at + length
            }
            Part::One => {
                dead[place] = true;
                return false;
            }
        };
        for end in possible {
            ends.push(end);
            if self.fit(text, part + 1, end, ends, dead) {
                return true;
            }
            ends.pop();
        }
        dead[place] = true;
        false
    }
}

// === impl Name ===

impl TryFrom<String> for Name {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let parts = parse(&text, false)?;
        let has_captures = parts.iter().any(|part| matches!(part, Part::Capture(_)));
        if has_captures && is_reserved(&text) {
            return Err([&text, ": a name under system: must be written out"].concat());
        }
        Ok(Self(parts))
    }
}

impl Name {
    /// Whether every value is one of `known`.
    pub(crate) fn check(&self, known: &[&str]) -> Result<(), String> {
        let unknown = self.0.iter().find_map(|part| match part {
            Part::Capture(name) if !known.contains(&name.as_str()) => Some(name),
            _ => None,
        });
        unknown.map_or(Ok(()), |name| Err(["nothing captures {", name, "}; there is ", &known.join(", ")].concat()))
    }

    /// Whether it tells callers apart: what is captured may hold any other character, so between two captures stands one of `:` and `/`.
    /// `fixed` is none, since it has one length.
    pub(crate) fn check_apart(&self, fixed: &str) -> Result<(), String> {
        let mut before = None;
        for part in &self.0 {
            match part {
                Part::Capture(name) if name != fixed => {
                    if let Some(before) = before.replace(name) {
                        let words = [
                            "username: put a : or / between {",
                            before,
                            "} and {",
                            name,
                            "}, or two callers may get one name",
                        ];
                        return Err(words.concat());
                    }
                }
                Part::Text(text) if text.contains([':', '/']) => before = None,
                _ => {}
            }
        }
        Ok(())
    }

    /// The name with `values` put in.
    pub(crate) fn render(&self, values: &Captured<'_>) -> Result<String, String> {
        let (mut name, mut literal) = (String::new(), true);
        for part in &self.0 {
            match part {
                Part::Capture(key) => {
                    let value = values.iter().find(|(name, _)| name == key).map(|(_, value)| value);
                    let value = value.ok_or_else(|| ["nothing captured {", key, "}"].concat())?;
                    if !value.chars().all(is_plain) {
                        return Err(["{", key, "} has a character outside letters, digits and +=,.@_-"].concat());
                    }
                    name.push_str(value);
                    literal = false;
                }
                Part::Text(text) => name.push_str(text),
                Part::Any | Part::One => {}
            }
        }
        if !literal && is_reserved(&name) {
            return Err("the name would begin with system:".to_owned());
        }
        Ok(name)
    }
}

fn is_reserved(name: &str) -> bool {
    name.get(..RESERVED.len()).is_some_and(|head| head.eq_ignore_ascii_case(RESERVED))
}

/// The characters of names in the clouds: no `:` that would make a prefix, and no `/`.
fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || "+=,.@_-".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_cover_the_whole_and_capture() {
        #[track_caller]
        fn check(pattern: &str, text: &str, expected: Option<&[(&str, &str)]>) {
            let pattern = Pattern::try_from(pattern.to_owned()).expect("a pattern");
            let found = pattern.matches(text);
            let found: Option<Vec<(&str, &str)>> =
                found.as_ref().map(|list| list.iter().map(|(name, value)| (*name, value.as_str())).collect());
            assert_eq!(found.as_deref(), expected);
        }
        check("team-{team}", "team-web", Some(&[("team", "web")]));
        check("team-{team}", "my-team-web", None);
        check("team-{team}", "team-", None);
        check("{team}-{stage}", "a-b-c", Some(&[("team", "a"), ("stage", "b-c")]));
        check("*-{stage}", "a-b-c", Some(&[("stage", "b-c")]));
        check("{a}-admin", "x-admin-admin", Some(&[("a", "x-admin")]));
        check("a?c", "abc", Some(&[]));
        check("a?c", "ac", None);
        check("?", "", None);
        check("{a}ä", "öä", Some(&[("a", "ö")]));
        check("{a}{b}{c}{d}{e}{f}{g}*x", &"y".repeat(64), None);
    }

    #[test]
    fn texts_that_are_no_patterns() {
        for bad in ["", "{", "}", "{}", "{a b}", "arn:aws", "a/b", "*********"] {
            assert!(Pattern::try_from(bad.to_owned()).is_err(), "{bad}");
        }
        assert!(Name::try_from("system:{a}".to_owned()).is_err());
        assert!(Name::try_from("system:masters".to_owned()).is_ok());
    }

    #[test]
    fn names_tell_callers_apart() {
        #[track_caller]
        fn check(name: &str, expected: bool) {
            let parsed = Name::try_from(name.to_owned()).expect("a name");
            assert_eq!(parsed.check_apart("account").is_ok(), expected, "{name}");
        }
        check("{a}", true);
        check("{a}:{b}", true);
        check("x-{a}-:-{b}/{c}", true);
        check("{a}-{b}", false);
        check("{a}{b}", false);
        check("{a}:{b}-{c}", false);
        check("{account}-{a}", true);
        check("{a}{account}", true);
        check("{a}-{account}-{b}", false);
        check("{a}:{account}-{b}", true);
    }
}
