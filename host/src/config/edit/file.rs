//! A file with mappings, as text: the manifest of an `aws-auth` ConfigMap, or a configuration of Herald's.
//!
//! Its lists are found where the parser of YAML says that their keys stand, cut out, changed as those of a cluster are,
//! and put back in the same form. The file is read again before anybody sees it: if anything in it but the one list is
//! not what it was, or an entry that was in force is left out, there is no result.

use std::path::Path;

use serde_json::Value as Json;

use super::{AuthMap, Edit, EditError};
use crate::{
    config::{
        CheckedFile, Finding, Severity, file, manifest,
        node::{self, Key, Node, Value},
        sources::config_map,
    },
    provider::Cloud,
};

/// A file with mappings.
#[derive(Clone, Debug)]
pub struct MapFile {
    text: String,
    /// Its lists.
    pub map: AuthMap,
    places: Places,
}

/// Where everything stands; lines are counted from 0.
#[derive(Clone, Debug)]
struct Places {
    form: Form,
    /// Which of the file's documents has the lists.
    document: usize,
    /// Where a list goes that is not there yet.
    holder: Holder,
    lists: Vec<(&'static str, Place)>,
}

/// What a file is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Form {
    /// Lists are texts under `data`.
    ConfigMap,
    /// Lists are lists under `server`.
    Configuration,
}

/// The place of `data:` or `server:`.
#[derive(Clone, Copy, Debug)]
enum Holder {
    /// In brackets, say: nothing can be put in.
    Closed,
    /// It is not there, and may stand at the end.
    End,
    /// On this line, its keys indented by so much.
    Line { line: usize, indent: usize },
}

/// Where one list stands.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// Whole lines, each indented by so much.
    Lines { first: usize, end: usize, indent: usize },
    /// From one byte to another: a list in brackets.
    Bytes { start: usize, end: usize },
    /// Its key alone stands on this line.
    Empty { line: usize },
    /// Somewhere else, as a text in quotes.
    Elsewhere,
}

// === impl MapFile ===

impl MapFile {
    /// Finds the lists of `text`.
    ///
    /// # Errors
    ///
    /// [`EditError::Invalid`] if the file has none, or more than one document with them, or is no YAML.
    pub fn parse(text: String) -> Result<Self, EditError> {
        let mut found = Vec::new();
        for (index, document) in manifest::documents(&text).iter().enumerate() {
            let root = node::read_whole(document)
                .map_err(|problem| EditError::Invalid(format!("line {}: {problem}", problem.at.unwrap_or_default())))?;
            if let Some(form) = form_of(&root) {
                found.push((index, form, root));
            }
        }
        let [(document, form, root)] = found.try_into().map_err(|found: Vec<_>| {
            let what = "an aws-auth ConfigMap or a configuration of Herald's with `clusterID` or `server`";
            EditError::Invalid(match found.len() {
                0 => format!("the file is not {what}"),
                many => format!("the file has {many} documents that could be meant: it takes one that is {what}"),
            })
        })?;
        Ok(Self::find(text, document, form, &root))
    }

    /// The whole file with the text that `edit` makes of one list.
    ///
    /// # Errors
    ///
    /// [`EditError`]. Nothing is to be written then.
    pub fn with(&self, edit: &Edit) -> Result<String, EditError> {
        let unsafe_ = || EditError::Unsafe(edit.key);
        let after = self.changed(edit).ok_or_else(unsafe_)?;
        let again = Self::parse(after.clone()).map_err(|_| unsafe_())?;
        let wanted = self.map.with(edit);
        let same = config_map::DOCUMENTS.iter().all(|key| {
            let text = |map: &AuthMap| map.data.get(*key).map(|text| text.trim_end().to_owned()).unwrap_or_default();
            text(&again.map) == text(&wanted)
        });
        if !same || self.rest(edit.key) != again.rest(edit.key) || self.rest(edit.key).is_none() {
            return Err(unsafe_());
        }
        let errors = |text: &str| {
            let findings = CheckedFile::parse(Path::new("file"), text.to_owned()).findings;
            let errors = findings.into_iter().filter(|finding| finding.severity == Severity::Error);
            errors.collect::<Vec<Finding>>()
        };
        let (before, new) = (errors(&self.text), errors(&after));
        match new.last() {
            Some(error) if new.len() > before.len() => Err(EditError::invalid(error)),
            _ => Ok(after),
        }
    }

    /// The whole file.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    fn find(text: String, document: usize, form: Form, root: &Node) -> Self {
        let holder_key = form.holder();
        let holder = entry(root, holder_key, form);
        let mut places = Places { form, document, holder: Holder::Closed, lists: Vec::new() };
        let mut map = AuthMap { sessions: form.sessions(), ..AuthMap::default() };
        if let Some((key, holder)) = holder {
            let keys: &[(Key, Node)] = if let Value::Map(keys) = &holder.value { keys } else { &[] };
            let line = key.at.line as usize - 1;
            let indent = keys.first().map_or(key.at.column as usize + 1, |(first, _)| first.at.column as usize - 1);
            let head = |text: &str| text.split(" #").next().unwrap_or_default().trim_end().ends_with(':');
            if text.lines().nth(line).is_some_and(head) {
                places.holder = Holder::Line { line, indent };
            }
            for name in config_map::DOCUMENTS {
                let Some((key, node)) = entry(holder, name, form) else { continue };
                let (place, list) = locate(&text, form, key, node);
                places.lists.push((name, place));
                map.data.insert(name.to_owned(), list);
            }
        } else if !text.trim_end().ends_with("...") && manifest::documents(&text).len() == document + 1 {
            places.holder = Holder::End;
        }
        Self { text, map, places }
    }

    /// The text with the list put in, or `None` where it does not fit.
    fn changed(&self, edit: &Edit) -> Option<String> {
        let text = &self.text;
        let break_ = if text.contains("\r\n") { "\r\n" } else { "\n" };
        let place = self.places.lists.iter().find(|(key, _)| *key == edit.key).map(|(_, place)| *place);
        match place {
            Some(Place::Lines { first, end, indent }) => {
                Some(replace_lines(text, first, end, &indented(&edit.after, indent, break_)))
            }
            Some(Place::Bytes { start, end }) => Some(format!("{}{}{}", &text[..start], edit.after, &text[end..])),
            Some(Place::Empty { line }) => {
                let old = text.lines().nth(line)?;
                let (key, value) = old.split_once(':')?;
                let indent = key.len() - key.trim_start().len();
                let new = self.places.form.block(key, comment(value), &edit.after, indent, break_);
                Some(replace_lines(text, line, line + 1, &new))
            }
            Some(Place::Elsewhere) => None,
            None => {
                let new = |indent: usize| {
                    let key = format!("{}{}", " ".repeat(indent), edit.key);
                    self.places.form.block(&key, "", &edit.after, indent, break_)
                };
                match self.places.holder {
                    Holder::Closed => None,
                    Holder::Line { line, indent } => Some(replace_lines(text, line + 1, line + 1, &new(indent))),
                    Holder::End => {
                        let open = if text.is_empty() || text.ends_with('\n') { "" } else { break_ };
                        Some(format!("{text}{open}{}:{break_}{}", self.places.form.holder(), new(2)))
                    }
                }
            }
        }
    }

    /// Everything but one list, to every reader; `None` if it cannot be read.
    fn rest(&self, list: &str) -> Option<Vec<Json>> {
        let mut roots = Vec::new();
        for (index, document) in manifest::documents(&self.text).iter().enumerate() {
            let mut root: Json = serde_saphyr::from_str(document).ok()?;
            if index == self.places.document {
                let form = self.places.form;
                let is = |key: &str, other: &str| form.is(key, other);
                let object = root.as_object_mut()?;
                let holder = object.iter_mut().find(|(key, _)| is(key, form.holder()));
                let is_empty = match holder {
                    Some((_, Json::Object(keys))) => {
                        keys.retain(|key, _| !is(key, list));
                        keys.is_empty()
                    }
                    Some((_, Json::Null)) => true,
                    _ => false,
                };
                if is_empty {
                    object.retain(|key, _| !is(key, form.holder()));
                }
            }
            roots.push(root);
        }
        Some(roots)
    }
}

// === impl Form ===

impl Form {
    /// The key that the lists stand under.
    fn holder(self) -> &'static str {
        match self {
            Self::ConfigMap => "data",
            Self::Configuration => "server",
        }
    }

    /// Clouds of which the ARN of a session stands for its role.
    fn sessions(self) -> &'static [Cloud] {
        match self {
            Self::ConfigMap => &[],
            Self::Configuration => file::SESSIONS,
        }
    }

    /// Keys of ConfigMaps are exact, those of configurations fold their case.
    fn is(self, key: &str, other: &str) -> bool {
        match self {
            Self::ConfigMap => key == other,
            Self::Configuration => key.eq_ignore_ascii_case(other),
        }
    }

    /// A key, indented already, with the `comment` behind it, and its list.
    fn block(self, key: &str, comment: &str, list: &str, indent: usize, break_: &str) -> String {
        let (marker, more) = match self {
            Self::ConfigMap => (" |", 2),
            Self::Configuration => ("", 0),
        };
        format!("{key}:{marker}{comment}{break_}{}", indented(list, indent + more, break_))
    }
}

/// The comment behind a `value` that says nothing, with the blanks in front of it; empty if there is none.
fn comment(value: &str) -> &str {
    let hash = value.match_indices('#').find(|(at, _)| value[..*at].ends_with([' ', '\t']));
    hash.map_or("", |(at, _)| &value[value[..at].trim_end().len()..])
}

fn form_of(root: &Node) -> Option<Form> {
    if !manifest::is_object(root) {
        return manifest::is_configuration(root).then_some(Form::Configuration);
    }
    let text = |key: &str, of: &Node| entry(of, key, Form::ConfigMap)?.1.plain().map(str::to_owned);
    let (_, metadata) = entry(root, "metadata", Form::ConfigMap)?;
    let is_map = text("kind", root)? == "ConfigMap"
        && [config_map::AWS_AUTH, config_map::ALIBABACLOUD_AUTH].contains(&text("name", metadata)?.as_str());
    is_map.then_some(Form::ConfigMap)
}

fn entry<'n>(node: &'n Node, name: &str, form: Form) -> Option<(&'n Key, &'n Node)> {
    let Value::Map(entries) = &node.value else { return None };
    entries.iter().find(|(key, _)| form.is(&key.text, name)).map(|(key, node)| (key, node))
}

/// Where the list of `key` stands in `text`, and its text.
fn locate(text: &str, form: Form, key: &Key, node: &Node) -> (Place, String) {
    let line = key.at.line as usize - 1;
    let key_indent = key.at.column as usize - 1;
    let value = node.plain().unwrap_or_default().to_owned();
    let after = text.lines().nth(line).and_then(|line| line.split_once(':')).map_or("", |(_, after)| after);
    let word = after.split(" #").next().unwrap_or_default().trim();
    let is_nothing = config_map::is_nothing(&value) && matches!(node.value, Value::Null | Value::Text(_));
    let is_empty = matches!(&node.value, Value::List(items) if items.is_empty());
    match form {
        Form::ConfigMap if is_nothing && !word.starts_with('|') => (Place::Empty { line }, value),
        Form::ConfigMap if ["|", "|-", "|+"].contains(&word) => {
            let belongs = |text: &str| text.trim().is_empty() || indent_of(text) > key_indent;
            match lines(text, line + 1, belongs, |line| !line.trim().is_empty()) {
                Some((place, list)) if list.trim_end() == value.trim_end() => (place, value),
                // The last entry was taken away.
                None if is_nothing => (Place::Empty { line }, value),
                _ => (Place::Elsewhere, value),
            }
        }
        Form::ConfigMap => (Place::Elsewhere, value),
        Form::Configuration if matches!(node.value, Value::Null) || (is_empty && word == "[]") => {
            (Place::Empty { line }, String::new())
        }
        Form::Configuration if word.is_empty() => {
            let is_item = |text: &str| text.trim() == "-" || text.trim_start().starts_with("- ");
            let belongs = |text: &str| {
                let indent = indent_of(text);
                let is_comment = text.trim_start().starts_with('#');
                text.trim().is_empty() || is_comment || indent > key_indent || (indent == key_indent && is_item(text))
            };
            let says = |line: &str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
            lines(text, line + 1, belongs, says).unwrap_or((Place::Elsewhere, String::new()))
        }
        Form::Configuration => brackets(text, line, key_indent, node).unwrap_or((Place::Elsewhere, value)),
    }
}

/// The lines from `first` on that belong, up to the last that says something, and the text without the indentation of
/// the first that does.
fn lines(
    text: &str,
    first: usize,
    belongs: impl Fn(&str) -> bool,
    says: impl Fn(&str) -> bool,
) -> Option<(Place, String)> {
    let all: Vec<&str> = text.lines().skip(first).take_while(|line| belongs(line)).collect();
    let start = all.iter().position(|line| says(line))?;
    let all = &all[..=all.iter().rposition(|line| says(line))?];
    let indent = indent_of(all[start]);
    let mut list = String::new();
    for line in all {
        // What is further to the left could not be put back where it was.
        let rest = if line.trim().is_empty() { Some("") } else { line.get(indent..) };
        let rest = rest.filter(|_| line.trim().is_empty() || indent_of(line) >= indent)?;
        list.push_str(rest);
        list.push('\n');
    }
    Some((Place::Lines { first, end: first + all.len(), indent }, list))
}

/// A list in brackets, up to the line of the next key.
fn brackets(text: &str, line: usize, key_indent: usize, node: &Node) -> Option<(Place, String)> {
    let all: Vec<&str> = text.split_inclusive('\n').collect();
    let offset = |line: usize| all.iter().take(line).map(|line| line.len()).sum::<usize>();
    let start = offset(line) + text[offset(line)..].find('[')?;
    if !matches!(node.value, Value::List(_)) {
        return None;
    }
    let belongs = |text: &&&str| {
        let content = text.trim();
        content.is_empty() || indent_of(text) > key_indent || content.starts_with([']', '}'])
    };
    let more = all.iter().skip(line + 1).take_while(belongs).count();
    let limit = offset(line + 1 + more);
    let end = start + text.get(start..limit)?.rfind(']')? + 1;
    Some((Place::Bytes { start, end }, text[start..end].to_owned()))
}

fn indent_of(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

/// Each line of `text` moved to the right and ended.
fn indented(text: &str, indent: usize, break_: &str) -> String {
    let blanks = " ".repeat(indent);
    let line = |line: &str| if line.is_empty() { break_.to_owned() } else { format!("{blanks}{line}{break_}") };
    text.lines().map(line).collect()
}

fn replace_lines(text: &str, first: usize, end: usize, new: &str) -> String {
    let all: Vec<&str> = text.split_inclusive('\n').collect();
    let (first, end) = (first.min(all.len()), end.min(all.len()));
    let mut head: String = all[..first].concat();
    if !head.is_empty() && !head.ends_with('\n') {
        head.push('\n');
    }
    head + new + &all[end..].concat()
}

#[cfg(test)]
mod tests;
