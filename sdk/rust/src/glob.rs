//! Whole-string patterns with `*` and `?`, for settings that match names.

use std::fmt;

use serde::Deserialize;

/// A pattern for a whole string: `*` is any run of characters, `?` any one character, everything else
/// itself. Case counts, and there is no escape: names in the clouds hold neither of the two.
///
/// The cost of a match is bounded by the product of both lengths.
///
/// ```
/// let glob: herald_policy::Glob = "team-*".parse()?;
/// assert!(glob.matches("team-payments"));
/// assert!(!glob.matches("my-team-payments"));
/// # Ok::<_, herald_policy::InvalidGlob>(())
/// ```
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(try_from = "String")]
pub struct Glob(String);

/// An empty pattern, which would match nothing but the empty string.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct InvalidGlob;

// === impl Glob ===

impl Glob {
    /// The pattern as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The only text that the pattern covers, if it has neither `*` nor `?`.
    #[must_use]
    pub fn literal(&self) -> Option<&str> {
        let wild = self.0.bytes().any(|byte| matches!(byte, b'*' | b'?'));
        (!wild).then_some(&self.0)
    }

    /// Whether the pattern covers all of `text`.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        let (mut pattern, mut rest) = (self.0.chars(), text.chars());
        // Where to go on when the characters after the last `*` do not fit: that star takes one more.
        let mut star = None;
        loop {
            let rest_here = rest.clone();
            match (pattern.next(), rest.next()) {
                (Some('*'), _) => {
                    star = Some((pattern.clone(), rest_here.clone()));
                    rest = rest_here;
                }
                (None, None) => return true,
                (Some(wanted), Some(found)) if wanted == '?' || wanted == found => {}
                _ => {
                    let Some((after_star, mut taken)) = star.take() else { return false };
                    if taken.next().is_none() {
                        return false;
                    }
                    (pattern, rest) = (after_star.clone(), taken.clone());
                    star = Some((after_star, taken));
                }
            }
        }
    }
}

impl std::str::FromStr for Glob {
    type Err = InvalidGlob;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.to_owned().try_into()
    }
}

impl TryFrom<String> for Glob {
    type Error = InvalidGlob;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.is_empty() { Err(InvalidGlob) } else { Ok(Self(text)) }
    }
}

// === impl InvalidGlob ===

impl fmt::Display for InvalidGlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a pattern must not be empty: leave it out, or write * for anything")
    }
}

impl std::error::Error for InvalidGlob {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(pattern: &str, text: &str, expected: bool) {
        let glob: Glob = pattern.parse().expect("not empty");
        assert_eq!(glob.matches(text), expected, "{pattern:?} on {text:?}");
    }

    #[test]
    fn whole_strings() {
        check("Dev", "Dev", true);
        check("Dev", "dev", false);
        check("Dev", "Devs", false);
        check("Dev", "ADev", false);
        check("Dev", "", false);
    }

    #[test]
    fn stars() {
        check("*", "", true);
        check("*", "anything", true);
        check("Dev*", "Dev", true);
        check("Dev*", "Dev/ops", true);
        check("*@example.com", "alice@example.com", true);
        check("*@example.com", "alice@example.com.evil", false);
        check("*@example.com", "@example.com@example.com", true);
        check("a*b*c", "a-b-b-c", true);
        check("a*b*c", "a-b-b-d", false);
        check("**a", "a", true);
        check("a**", "a", true);
    }

    #[test]
    fn question_marks_are_one_character() {
        check("d?v", "dev", true);
        check("d?v", "dv", false);
        check("d?v", "dëv", true);
        check("?*", "", false);
        check("*?", "a", true);
    }

    #[test]
    fn an_empty_pattern_is_refused() {
        assert_eq!("".parse::<Glob>(), Err(InvalidGlob));
    }

    #[test]
    fn patterns_without_wildcards_are_texts() {
        #[track_caller]
        fn check(pattern: &str, expected: Option<&str>) {
            let glob: Glob = pattern.parse().expect("not empty");
            assert_eq!(glob.literal(), expected);
        }
        check("Dev", Some("Dev"));
        check("d\\[e]v", Some("d\\[e]v"));
        check("D?v", None);
        check("Dev*", None);
    }

    /// The definition, without any care for cost.
    fn slow(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), _) => {
                slow(rest, text) || text.split_first().is_some_and(|(_, tail)| slow(pattern, tail))
            }
            (Some((b'?', rest)), Some((_, tail))) => slow(rest, tail),
            (Some((wanted, rest)), Some((found, tail))) => wanted == found && slow(rest, tail),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(pattern in "[ab*?]{1,8}", text in "[ab]{0,10}") {
            let glob: Glob = pattern.parse().expect("not empty");
            prop_assert_eq!(glob.matches(&text), slow(pattern.as_bytes(), text.as_bytes()));
            if let Some(literal) = glob.literal() {
                prop_assert_eq!(glob.matches(&text), literal == text);
            }
        }
    }
}
