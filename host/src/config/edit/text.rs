//! The cuts themselves: from a list's text and its parsed entries to the text with one of them added, changed or
//! taken away. Nothing here has to be trusted: whoever asks reads the result again. `None` is "not in this form".

use super::{NewEntry, to_yaml};
use crate::config::{
    entry::value,
    error::Position,
    node::{Key, Node, Value},
    sources::config_map,
};

/// What ends a line.
const BREAKS: [char; 2] = ['\n', '\r'];

/// `text` with the list of one entry, `entry`, at its end.
pub(super) fn append(text: &str, items: &[Node], entry: &str) -> Option<String> {
    if config_map::is_nothing(text) {
        return Some(entry.to_owned());
    }
    let break_ = line_break(text);
    if let Some(open) = flow_start(text) {
        let close = text.rfind(']').filter(|close| *close > open)?;
        let before = text[..close].trim_end();
        if items.is_empty() {
            // A comment in it would be lost.
            return text[open + 1..close]
                .trim()
                .is_empty()
                .then(|| format!("{}{}{}", &text[..open], entry.trim_end(), &text[close + 1..]));
        }
        let comma = if before.ends_with(',') { " " } else { ", " };
        let json: Vec<serde_json::Value> = serde_saphyr::from_str(entry).ok()?;
        return Some(format!("{before}{comma}{}{}", json.first()?, &text[before.len()..]));
    }
    let column = match items.first() {
        None => 0,
        Some(_) => indent_of(text, dash_line(text, items, 0)?),
    };
    let end = text.trim_end().len();
    // Blanks behind the last word stay in its line: in a line of their own they may say something.
    let end = end + text[end..].find(BREAKS).unwrap_or(text.len() - end);
    let added = indented(entry, column, break_);
    let rest = &text[end..];
    // Whichever of them this line ends with.
    let rest = ["\r\n", "\n", "\r"].into_iter().find_map(|break_| rest.strip_prefix(break_)).unwrap_or(rest);
    Some(format!("{}{break_}{added}{break_}{rest}", &text[..end]))
}

/// `text` without the entry numbered `index`.
pub(super) fn remove(text: &str, items: &[Node], index: usize) -> Option<String> {
    if flow_start(text).is_some() {
        let start = offset(text, items[index].at)?;
        if let Some(next) = items.get(index + 1) {
            return Some(format!("{}{}", &text[..start], &text[offset(text, next.at)?..]));
        }
        let close = text.rfind(']')?;
        let before = text[..start].trim_end();
        return Some(format!("{}{}", before.strip_suffix(',').unwrap_or(before), &text[close..]));
    }
    let (first, end) = lines_of(text, items, index)?;
    let lines: Vec<&str> = lines(text).collect();
    Some(lines[..first].iter().chain(&lines[end..]).copied().collect())
}

/// `text` in which the entry numbered `index` gives what `entry` gives. Its other keys stay.
pub(super) fn replace(text: &str, items: &[Node], index: usize, entry: &NewEntry) -> Option<String> {
    let Value::Map(keys) = &items[index].value else { return None };
    let start = offset(text, items[index].at)?;
    if text[start..].starts_with('{') {
        let limit = items.get(index + 1).map_or(Some(text.len()), |next| offset(text, next.at))?;
        let end = start + text[start..limit].rfind('}')? + 1;
        return Some(format!("{}{}{}", &text[..start], flow_entry(keys, entry)?, &text[end..]));
    }
    let mut cuts = vec![username_cut(text, keys, entry)?];
    cuts.push(groups_cut(text, items, index, keys, entry)?);
    cuts.sort_by_key(|(from, ..)| std::cmp::Reverse(*from));
    let mut result = text.to_owned();
    for (from, to, new) in cuts {
        result.replace_range(from..to, &new);
    }
    Some(result)
}

/// From where to where a text is cut, and what takes the place.
type Cut = (usize, usize, String);

fn username_cut(text: &str, keys: &[(Key, Node)], entry: &NewEntry) -> Option<Cut> {
    let node = value(keys, "username")?;
    let written = node.written(text);
    let start = offset(text, node.at)?;
    if written.is_empty() || !text[start..].starts_with(written) {
        return None;
    }
    Some((start, start + written.len(), to_yaml(&entry.username)?.trim_end().to_owned()))
}

fn groups_cut(text: &str, items: &[Node], index: usize, keys: &[(Key, Node)], entry: &NewEntry) -> Option<Cut> {
    let (_, end) = lines_of(text, items, index)?;
    let break_ = line_break(text);
    let first = keys.first()?.0.at;
    let indent = first.column.checked_sub(1)? as usize;
    let list = |key: &str| {
        let groups = std::collections::BTreeMap::from([(key, &entry.groups)]);
        Some(indented(&to_yaml(&groups)?, indent, break_))
    };
    let Some((key, _)) = keys.iter().find(|(key, _)| key.text.eq_ignore_ascii_case("groups")) else {
        let at = line_start(text, end)?;
        if entry.groups.is_empty() {
            return Some((at, at, String::new()));
        }
        let open = !text[..at].ends_with(BREAKS);
        let (before, after) = if open { (break_, "") } else { ("", break_) };
        return Some((at, at, format!("{before}{}{after}", list("groups")?)));
    };
    let line = key.at.line.checked_sub(1)? as usize;
    let next = keys.iter().map(|(other, _)| other.at.line).filter(|other| *other > key.at.line).min();
    let limit = next.map_or(end, |next| next as usize - 1);
    let last = content_end(text, line + 1, limit);
    let (from, to) = (offset(text, key.at)?, line_start(text, last)?);
    let new = list(&key.text)?;
    let new = new.trim_start();
    let end = if text[..to].ends_with(BREAKS) { break_ } else { "" };
    Some((from, to, format!("{new}{end}")))
}

/// An entry in braces, its keys in their order.
fn flow_entry(keys: &[(Key, Node)], entry: &NewEntry) -> Option<String> {
    let mut parts = Vec::new();
    for (key, node) in keys {
        let value = match key.text.to_ascii_lowercase().as_str() {
            "username" => entry.username.as_str().into(),
            "groups" => serde_json::json!(entry.groups),
            _ => json(node)?,
        };
        parts.push(format!("{}: {value}", serde_json::Value::from(&*key.text)));
    }
    for (key, value) in [("username", entry.username.as_str().into()), ("groups", serde_json::json!(entry.groups))] {
        if !keys.iter().any(|(other, _)| other.text.eq_ignore_ascii_case(key)) {
            parts.push(format!("\"{key}\": {value}"));
        }
    }
    Some(format!("{{{}}}", parts.join(", ")))
}

fn json(node: &Node) -> Option<serde_json::Value> {
    Some(match &node.value {
        Value::Text(text) => (**text).into(),
        Value::Null => serde_json::Value::Null,
        Value::List(items) => serde_json::Value::Array(items.iter().map(json).collect::<Option<_>>()?),
        Value::Map(entries) => {
            let entries = entries.iter().map(|(key, node)| Some((key.text.to_string(), json(node)?)));
            serde_json::Value::Object(entries.collect::<Option<_>>()?)
        }
        // A number may mean its digits.
        Value::Bool(_) | Value::Float(_) | Value::MapOfMaps | Value::Signed(_) | Value::Unsigned(_) => return None,
    })
}

/// Where the list starts, if it stands in brackets.
fn flow_start(text: &str) -> Option<usize> {
    let mut at = 0;
    for line in lines(text) {
        let content = line.trim_start();
        if !content.is_empty() && !content.starts_with('#') && content.trim_end() != "---" {
            return content.starts_with('[').then_some(at + line.len() - content.len());
        }
        at += line.len();
    }
    None
}

/// The line, counted from 0, in which the dash of an entry stands.
fn dash_line(text: &str, items: &[Node], index: usize) -> Option<usize> {
    let lines: Vec<&str> = lines(text).collect();
    let start = (items[index].at.line as usize).checked_sub(1)?;
    let above = match index.checked_sub(1) {
        None => 0,
        // A block of text that says nothing is placed on the line after it.
        Some(before) => start.min(items[before].at.line as usize),
    };
    let is_dash = |line: &usize| {
        let content = lines.get(*line).map_or("", |line| line.trim());
        content == "-" || content.starts_with("- ")
    };
    (above..=start).rev().find(is_dash)
}

/// From which line up to which an entry stands, without the comments and empty lines behind it.
fn lines_of(text: &str, items: &[Node], index: usize) -> Option<(usize, usize)> {
    let first = dash_line(text, items, index)?;
    let limit = match items.get(index + 1) {
        Some(_) => dash_line(text, items, index + 1)?,
        None => lines(text).count(),
    };
    Some((first, content_end(text, first + 1, limit)))
}

/// The line behind the last one in `first..limit` that says something.
fn content_end(text: &str, first: usize, limit: usize) -> usize {
    let lines: Vec<&str> = lines(text).take(limit).collect();
    let says = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    let last = lines.iter().skip(first).rposition(says);
    last.map_or(first, |last| first + last + 1)
}

fn indent_of(text: &str, line: usize) -> usize {
    lines(text).nth(line).map_or(0, |line| line.len() - line.trim_start().len())
}

/// `text` without its last line break, each line moved to the right.
fn indented(text: &str, column: usize, break_: &str) -> String {
    let blanks = " ".repeat(column);
    let lines: Vec<String> = text.lines().map(|line| format!("{blanks}{line}")).collect();
    lines.join(break_)
}

fn line_break(text: &str) -> &'static str {
    if text.contains("\r\n") { "\r\n" } else { "\n" }
}

/// The lines as a reader of YAML counts them, each with its break: a carriage return alone is one too (YAML 1.2,
/// "Line Break Characters").
fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let end = match rest.find(BREAKS) {
            Some(at) if rest[at..].starts_with("\r\n") => at + 2,
            Some(at) => at + 1,
            None => rest.len(),
        };
        let (line, behind) = rest.split_at(end);
        rest = behind;
        (!line.is_empty()).then_some(line)
    })
}

/// Offset of the line numbered `line` from 0; of the end if there are no more.
fn line_start(text: &str, line: usize) -> Option<usize> {
    Some(lines(text).take(line).map(str::len).sum())
}

/// Offset, in bytes, of a place in `text`.
fn offset(text: &str, at: Position) -> Option<usize> {
    let (line, column) = (at.line.checked_sub(1)? as usize, at.column.checked_sub(1)? as usize);
    let start = line_start(text, line)?;
    let within = text.get(start..)?.char_indices().nth(column).map(|(offset, _)| offset);
    Some(start + within?)
}
