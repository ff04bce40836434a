//! Names written with placeholders, filled in from the caller without letting the caller's own words
//! become more than a part of a name.

use std::fmt;

use serde::Deserialize;

use crate::{Caller, PrincipalKind};

/// A username or group with `{{…}}` placeholders, as the static mappings of Herald and its peers
/// write them:
///
/// | placeholder | value |
/// |---|---|
/// | `{{AccountID}}` | the account's digits |
/// | `{{PermissionSet}}` | the AWS IAM Identity Center permission set |
/// | `{{PrincipalID}}` | the principal's stable unique id |
/// | `{{RoleName}}` | the role behind the session, without its path |
/// | `{{SessionName}}` | the session's name, each `@` written as `-`; caller-chosen |
/// | `{{SessionNameRaw}}` | the session's name; caller-chosen |
///
/// An unknown placeholder is refused when the settings are read. A value goes in only if it consists
/// of letters, digits and `+=,.@_-`, the characters of names in the clouds: so it can hold neither a
/// `:` that would make a prefix nor a `/`. What comes out never begins with `system:`, unless the
/// operator wrote the whole name and it has no placeholder.
///
/// ```
/// use herald_policy::{Template, testing};
///
/// let template: Template = "dev:{{SessionNameRaw}}".parse()?;
/// let request = testing::session("111122223333", "Dev", "alice@example.com");
/// assert_eq!(template.render(&request.caller)?, "dev:alice@example.com");
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(try_from = "String")]
pub struct Template(Vec<Part>);

#[derive(Clone, Debug, Eq, PartialEq)]
enum Part {
    Text(String),
    Value(Placeholder),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Placeholder {
    AccountId,
    PermissionSet,
    PrincipalId,
    RoleName,
    SessionName,
    SessionNameRaw,
}

/// Why a text is not a template: the operator's fault.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum InvalidTemplate {
    /// There is nothing in it.
    Empty,
    /// It begins with `system:` and has a placeholder.
    Reserved,
    /// A `{{` without its `}}`.
    Unclosed,
    /// The placeholder of that name does not exist.
    Unknown(String),
}

/// Why a template cannot be filled in for this caller. Deny on it: another rule must not catch what
/// this one was meant for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unfit {
    /// The value of the named placeholder has a character outside letters, digits and `+=,.@_-`.
    Characters(&'static str),
    /// The caller has no value for the named placeholder.
    Missing(&'static str),
    /// The name would begin with `system:`.
    Reserved,
}

const RESERVED: &str = "system:";
const PLACEHOLDERS: [Placeholder; 6] = [
    Placeholder::AccountId,
    Placeholder::PermissionSet,
    Placeholder::PrincipalId,
    Placeholder::RoleName,
    Placeholder::SessionName,
    Placeholder::SessionNameRaw,
];

// === impl Template ===

impl Template {
    /// Whether some part comes from the caller: `false` for a fixed name.
    #[must_use]
    pub fn has_placeholders(&self) -> bool {
        self.0.iter().any(|part| matches!(part, Part::Value(_)))
    }

    /// The name for this caller.
    ///
    /// # Errors
    ///
    /// [`Unfit`], when a value is missing or is not made of a name's characters.
    pub fn render(&self, caller: &Caller) -> Result<String, Unfit> {
        let mut name = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => name.push_str(text),
                Part::Value(placeholder) => placeholder.write(caller, &mut name)?,
            }
        }
        if self.has_placeholders() && is_reserved(&name) { Err(Unfit::Reserved) } else { Ok(name) }
    }

    fn push_text(&mut self, text: &str) {
        if !text.is_empty() {
            self.0.push(Part::Text(text.to_owned()));
        }
    }
}

impl std::str::FromStr for Template {
    type Err = InvalidTemplate;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err(InvalidTemplate::Empty);
        }
        let mut template = Self(Vec::new());
        let mut rest = text;
        while let Some((before, after)) = split_at(rest, *b"{{") {
            let (name, tail) = split_at(after, *b"}}").ok_or(InvalidTemplate::Unclosed)?;
            template.push_text(before);
            template.0.push(Part::Value(Placeholder::named(name)?));
            rest = tail;
        }
        template.push_text(rest);
        if template.has_placeholders() && is_reserved(text) {
            return Err(InvalidTemplate::Reserved);
        }
        Ok(template)
    }
}

impl TryFrom<String> for Template {
    type Error = InvalidTemplate;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

/// What is before and behind the first `mark`. The standard library's search prepares itself for long texts,
/// which costs more than all of a short one.
fn split_at(text: &str, mark: [u8; 2]) -> Option<(&str, &str)> {
    let at = text.as_bytes().windows(2).position(|pair| pair == mark)?;
    Some((text.get(..at)?, text.get(at + 2..)?))
}

/// Kubernetes compares names by case, but people do not read them so.
fn is_reserved(name: &str) -> bool {
    name.get(..RESERVED.len()).is_some_and(|head| head.eq_ignore_ascii_case(RESERVED))
}

// === impl Placeholder ===

impl Placeholder {
    fn named(name: &str) -> Result<Self, InvalidTemplate> {
        let known = PLACEHOLDERS.into_iter().find(|known| known.name() == name);
        known.ok_or_else(|| InvalidTemplate::Unknown(name.to_owned()))
    }

    fn name(self) -> &'static str {
        match self {
            Self::AccountId => "AccountID",
            Self::PermissionSet => "PermissionSet",
            Self::PrincipalId => "PrincipalID",
            Self::RoleName => "RoleName",
            Self::SessionName => "SessionName",
            Self::SessionNameRaw => "SessionNameRaw",
        }
    }

    fn write(self, caller: &Caller, name: &mut String) -> Result<(), Unfit> {
        let value = self.value(caller).filter(|value| !value.is_empty()).ok_or_else(|| Unfit::Missing(self.name()))?;
        for c in value.chars() {
            match c {
                '@' if self == Self::SessionName => name.push('-'),
                'A'..='Z' | 'a'..='z' | '0'..='9' | '+' | '=' | ',' | '.' | '@' | '_' | '-' => name.push(c),
                _ => return Err(Unfit::Characters(self.name())),
            }
        }
        Ok(())
    }

    fn value(self, caller: &Caller) -> Option<&str> {
        match self {
            Self::AccountId => Some(&caller.account_id),
            Self::PermissionSet => caller.sso_permission_set.as_deref(),
            Self::PrincipalId => Some(&caller.principal_id),
            Self::RoleName => (caller.kind == PrincipalKind::AssumedRole).then_some(&caller.name),
            Self::SessionName | Self::SessionNameRaw => caller.session_name.as_deref(),
        }
    }
}

// === impl InvalidTemplate ===

impl fmt::Display for InvalidTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("a name must not be empty"),
            Self::Reserved => f.write_str("a name under system: must be written out, without placeholders"),
            Self::Unclosed => f.write_str("a placeholder is not closed: {{ without }}"),
            Self::Unknown(name) => {
                f.write_str("unknown placeholder {{")?;
                f.write_str(name)?;
                f.write_str("}}, expected one of")?;
                PLACEHOLDERS.iter().try_for_each(|known| {
                    f.write_str(" ")?;
                    f.write_str(known.name())
                })
            }
        }
    }
}

impl std::error::Error for InvalidTemplate {}

// === impl Unfit ===

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Characters(name) => {
                f.write_str("the caller's ")?;
                f.write_str(name)?;
                f.write_str(" has a character outside letters, digits and +=,.@_-")
            }
            Self::Missing(name) => {
                f.write_str("the caller has no ")?;
                f.write_str(name)
            }
            Self::Reserved => f.write_str("the name would begin with system:"),
        }
    }
}

impl std::error::Error for Unfit {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing;

    #[track_caller]
    fn check(template: &str, session_name: &str, expected: Result<&str, Unfit>) {
        let template: Template = template.parse().expect("a good template");
        let request = testing::session("111122223333", "Dev", session_name);
        assert_eq!(template.render(&request.caller).as_deref().map_err(|why| *why), expected);
    }

    #[test]
    fn values_go_in() {
        check("{{SessionName}}", "alice", Ok("alice"));
        check("{{SessionName}}", "alice@example.com", Ok("alice-example.com"));
        check("{{SessionNameRaw}}", "alice@example.com", Ok("alice@example.com"));
        check("a:{{AccountID}}:{{RoleName}}:{{SessionNameRaw}}!", "bob", Ok("a:111122223333:Dev:bob!"));
        check("{{PrincipalID}}", "bob", Ok("AROAEXAMPLEEXAMPLE000"));
        check("{{PermissionSet}}", "bob", Err(Unfit::Missing("PermissionSet")));
        check("plain {text}", "bob", Ok("plain {text}"));
        check("{{SessionNameRaw}}", "{{AccountID}}", Err(Unfit::Characters("SessionNameRaw")));
    }

    #[test]
    fn callers_cannot_write_a_prefix() {
        let unfit = Err(Unfit::Characters("SessionName"));
        check("{{SessionName}}", "system:masters", unfit);
        check("{{SessionName}}", "a:b", unfit);
        check("{{SessionName}}", "a/b", unfit);
        check("{{SessionName}}", "a b", unfit);
        check("{{SessionName}}", "a\nb", unfit);
        check("{{SessionName}}", "ålice", unfit);
        check("{{SessionName}}", "a\u{202e}b", unfit);
        check("{{SessionName}}", "", Err(Unfit::Missing("SessionName")));
        check("{{SessionName}}:masters", "system", Err(Unfit::Reserved));
        check("{{SessionName}}:masters", "System", Err(Unfit::Reserved));
        check("sys{{SessionName}}:masters", "tem", Err(Unfit::Reserved));
    }

    #[test]
    fn role_names_are_of_roles() {
        let template: Template = "{{RoleName}}".parse().expect("good");
        let request = testing::user("111122223333", "alice");
        assert_eq!(template.render(&request.caller), Err(Unfit::Missing("RoleName")));
    }

    #[test]
    fn operators_are_told() {
        #[track_caller]
        fn check(text: &str, expected: &str) {
            let error = text.parse::<Template>().expect_err("not a template");
            assert_eq!(error.to_string(), expected);
        }
        check("", "a name must not be empty");
        check("{{SessionName", "a placeholder is not closed: {{ without }}");
        check("system:{{SessionName}}", "a name under system: must be written out, without placeholders");
        check(
            "{{Sessionname}}",
            "unknown placeholder {{Sessionname}}, expected one of AccountID PermissionSet PrincipalID RoleName \
             SessionName SessionNameRaw",
        );
    }

    #[test]
    fn the_operator_may_write_a_system_name_out() {
        check("system:masters", "alice", Ok("system:masters"));
    }

    proptest! {
        #[test]
        fn no_session_name_adds_a_colon_or_a_system_prefix(
            head in "[a-z:]{0,8}", session in any::<String>(), tail in "[a-z:]{0,8}",
        ) {
            let text = format!("{head}{{{{SessionNameRaw}}}}{tail}");
            if let Ok(template) = text.parse::<Template>()
                && let Ok(name) = template.render(&testing::session("111122223333", "Dev", &session).caller)
            {
                prop_assert_eq!(name.matches(':').count(), format!("{head}{tail}").matches(':').count());
                prop_assert!(!name.to_lowercase().starts_with("system:"));
                prop_assert!(name.is_ascii());
            }
        }
    }
}
