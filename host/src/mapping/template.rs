//! Template: a username or group with `{{Variables}}`, read once at load and filled in per login.
//!
//! The variables and their spelling are those of existing mapping files: `{{AccountID}}`,
//! `{{SessionName}}` (with `@` written `-`), `{{SessionNameRaw}}`, `{{AccessKeyID}}`, and `{{EC2PrivateDNSName}}`,
//! the name of the node that the caller is, which somebody has to find before. Rendering is a
//! single pass: text that was filled in is never looked at again. Failure rule: what is not understood
//! is refused at load, and what does not fit a caller refuses the login.

use std::fmt;

use super::node::NodeName;
use crate::caller::Caller;

/// Literal text, or text with variables between.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Template(Form);

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
enum Form {
    /// By far the most common, so it is kept small.
    Literal(Box<str>),
    Parts(Box<[Part]>),
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
enum Part {
    Text(Box<str>),
    Variable(Variable),
}

/// What a template may ask about the caller.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum Variable {
    AccessKeyId,
    AccountId,
    Ec2PrivateDnsName,
    SessionName,
    SessionNameRaw,
}

/// Why a text is no template. Found at load.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidTemplate {
    /// The name between the braces is not a variable.
    #[error("unknown template variable {{{{{name}}}}}; {}", advice(name))]
    UnknownVariable {
        /// The name as written, cut to 64 characters.
        name: String,
    },
    /// Braces that are not closed, or not opened.
    #[error("template braces do not pair up: write {{{{Variable}}}}")]
    Braces,
}

/// Why a template does not fit a caller.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RenderError {
    /// The template asks for the name of a node, and none was found.
    #[error("{{{{EC2PrivateDNSName}}}} asks for the name of a node, which has not been looked up")]
    NoNode,
    /// The caller has no session, the template asks for its name.
    #[error("{{{{{0}}}}} asks for a session name, and this caller has no session")]
    NoSession(&'static str),
    /// What the caller chose would make a name that belongs to Kubernetes.
    #[error("the rendered name would start with `system:`, which the template itself does not")]
    System,
}

/// Every variable by its name.
const VARIABLES: [(&str, Variable); 5] = [
    ("AccessKeyID", Variable::AccessKeyId),
    ("AccountID", Variable::AccountId),
    ("EC2PrivateDNSName", Variable::Ec2PrivateDnsName),
    ("SessionName", Variable::SessionName),
    ("SessionNameRaw", Variable::SessionNameRaw),
];
/// Prefix of names that Kubernetes keeps for itself (Kubernetes documentation, "Using RBAC Authorization").
const SYSTEM: &str = "system:";
/// Longest part of a wrong name that an error repeats, in characters.
const MAX_SHOWN: usize = 64;

// === impl Template ===

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    ///
    /// An unknown variable or braces that do not pair up.
    pub fn parse(text: &str) -> Result<Self, InvalidTemplate> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let (name, after) = after.split_once("}}").ok_or(InvalidTemplate::Braces)?;
            push_text(&mut parts, before)?;
            parts.push(Part::Variable(Variable::parse(name)?));
            rest = after;
        }
        if parts.is_empty() && !rest.contains("}}") {
            return Ok(Self(Form::Literal(rest.into())));
        }
        push_text(&mut parts, rest)?;
        Ok(Self(Form::Parts(parts.into())))
    }

    /// Whether it renders to nothing for everybody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(&self.0, Form::Literal(text) if text.is_empty())
    }

    /// The text, if it is the same for everybody.
    #[must_use]
    pub fn literal(&self) -> Option<&str> {
        match &self.0 {
            Form::Literal(text) => Some(text),
            Form::Parts(_) => None,
        }
    }

    /// Whether the operator lets the caller choose the rest of a `system:` name.
    #[must_use]
    pub fn opens_system_names(&self) -> bool {
        is_system(self.literal_head()) && self.needs_session()
    }

    /// Whether it asks for the name of a session, which not every caller has.
    #[must_use]
    pub fn needs_session(&self) -> bool {
        let Form::Parts(parts) = &self.0 else { return false };
        let asks = |part: &Part| matches!(part, Part::Variable(Variable::SessionName | Variable::SessionNameRaw));
        parts.iter().any(asks)
    }

    /// Whether the name of a node has to be found before it can be rendered.
    #[must_use]
    pub fn needs_node(&self) -> bool {
        let Form::Parts(parts) = &self.0 else { return false };
        parts.iter().any(|part| matches!(part, Part::Variable(Variable::Ec2PrivateDnsName)))
    }

    /// The name for `caller`, who is the node `node` if that is known.
    ///
    /// # Errors
    ///
    /// A session variable for a caller without a session, a node's name where none was found, and a name under
    /// `system:` that only the caller's own choice put there.
    pub fn render(&self, caller: &Caller, node: Option<&NodeName>) -> Result<String, RenderError> {
        let parts = match &self.0 {
            Form::Literal(text) => return Ok(text.clone().into()),
            Form::Parts(parts) => parts,
        };
        let mut name = String::with_capacity(64);
        for part in parts {
            match part {
                Part::Text(text) => name.push_str(text),
                Part::Variable(variable) => variable.write(&mut name, caller, node)?,
            }
        }
        if is_system(&name) && !is_system(self.literal_head()) {
            return Err(RenderError::System);
        }
        Ok(name)
    }

    /// What stands before the first variable.
    #[must_use]
    pub fn literal_head(&self) -> &str {
        match &self.0 {
            Form::Literal(text) => text,
            Form::Parts(parts) => match parts.first() {
                Some(Part::Text(text)) => text,
                _ => "",
            },
        }
    }
}

/// As it was written.
impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = match &self.0 {
            Form::Literal(text) => return f.write_str(text),
            Form::Parts(parts) => parts,
        };
        parts.iter().try_for_each(|part| match part {
            Part::Text(text) => f.write_str(text),
            Part::Variable(variable) => {
                let name = VARIABLES.iter().find(|(_, known)| known == variable).map_or("", |(name, _)| name);
                write!(f, "{{{{{name}}}}}")
            }
        })
    }
}

fn push_text(parts: &mut Vec<Part>, text: &str) -> Result<(), InvalidTemplate> {
    if text.contains("}}") {
        return Err(InvalidTemplate::Braces);
    }
    if !text.is_empty() {
        parts.push(Part::Text(text.into()));
    }
    Ok(())
}

fn is_system(name: &str) -> bool {
    name.get(..SYSTEM.len()).is_some_and(|head| head.eq_ignore_ascii_case(SYSTEM))
}

// === impl Variable ===

impl Variable {
    fn parse(name: &str) -> Result<Self, InvalidTemplate> {
        let known = VARIABLES.iter().find(|(known, _)| *known == name);
        let unknown = || InvalidTemplate::UnknownVariable { name: name.chars().take(MAX_SHOWN).collect() };
        known.map(|(_, variable)| *variable).ok_or_else(unknown)
    }

    fn write(self, name: &mut String, caller: &Caller, node: Option<&NodeName>) -> Result<(), RenderError> {
        let session = |variable| caller.session_name.as_ref().ok_or(RenderError::NoSession(variable));
        match self {
            Self::AccessKeyId => name.push_str(&caller.access_key_id),
            Self::AccountId => name.push_str(caller.account_id.as_str()),
            Self::Ec2PrivateDnsName => name.push_str(node.ok_or(RenderError::NoNode)?.as_str()),
            Self::SessionName => {
                let letters = session("SessionName")?.as_str().chars();
                name.extend(letters.map(|letter| if letter == '@' { '-' } else { letter }));
            }
            Self::SessionNameRaw => name.push_str(session("SessionNameRaw")?.as_str()),
        }
        Ok(())
    }
}

// === impl InvalidTemplate ===

/// The nearest variable, or all of them.
fn advice(name: &str) -> String {
    let meant = VARIABLES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name.trim()));
    match meant {
        Some((known, _)) => format!("did you mean {{{{{known}}}}}?"),
        None => {
            let names: Vec<String> = VARIABLES.iter().map(|(known, _)| format!("{{{{{known}}}}}")).collect();
            format!("known are {}", names.join(", "))
        }
    }
}

#[cfg(test)]
mod tests;
