//! Findings for people: the message, the place, the line it is about with what is meant marked, and the fix.

use std::io::{self, Write};

use super::{Named, counts, findings};
use crate::{
    caller::letters::steers,
    cli::{TOKENS, verify::Plain},
    config::{Finding, Severity},
};

/// Most letters of a line that are shown.
const MAX_SHOWN: usize = 160;

/// Writes every finding, and how many there are.
pub(super) fn write(files: &[Named], out: &mut impl Write) -> io::Result<()> {
    for (named, finding) in findings(files) {
        one(named, finding, out)?;
    }
    let counts = counts(files);
    let words: Vec<String> =
        counts.iter().rev().map(|(severity, count)| plural(*count, &severity.to_string())).collect();
    let files = plural(files.len(), "file");
    if words.is_empty() {
        writeln!(out, "{files}: nothing to say")
    } else {
        writeln!(out, "{files}: {}", words.join(", "))
    }
}

fn one(named: &Named, finding: &Finding, out: &mut impl Write) -> io::Result<()> {
    let Finding { id, severity, at, path, message, fix, .. } = finding;
    writeln!(out, "{severity}[{id}]: {}", Plain(message))?;
    let key = if path.is_empty() { String::new() } else { format!(" ({path})") };
    writeln!(out, "  --> {}:{at}{}", Plain(&named.name), Plain(&key))?;
    let number = at.line.to_string();
    let margin = " ".repeat(number.len());
    if let Some((line, mark)) = excerpt(&named.file.text, finding) {
        writeln!(out, " {margin} |\n {number} | {line}\n {margin} | {mark}")?;
    }
    if let Some(fix) = fix {
        writeln!(out, " {margin} = fix: {}", Plain(fix))?;
    }
    writeln!(out)
}

/// The line that a finding is about, and marks below what it means.
fn excerpt(text: &str, finding: &Finding) -> Option<(String, String)> {
    let line = text.lines().nth((finding.at.line as usize).checked_sub(1)?)?;
    if line.trim().is_empty() || TOKENS.iter().any(|token| line.contains(token)) {
        return None;
    }
    let shown = |letter: char| if steers(letter) { ' ' } else { letter };
    let letters: Vec<char> = line.chars().map(shown).collect();
    let start = (finding.at.column as usize).saturating_sub(1).min(letters.len().saturating_sub(1));
    let skipped = if start + 40 > MAX_SHOWN { start - 40 } else { 0 };
    let window: String = letters.iter().skip(skipped).take(MAX_SHOWN).collect();
    let length = meant(&letters[start..]).min(MAX_SHOWN - (start - skipped));
    Some((window.trim_end().to_owned(), format!("{}{}", " ".repeat(start - skipped), "^".repeat(length.max(1)))))
}

/// How many letters the key or value has that `rest` starts with.
fn meant(rest: &[char]) -> usize {
    let quoted = rest.first().filter(|letter| ['"', '\''].contains(letter));
    if let Some(end) = quoted.and_then(|quote| rest.iter().skip(1).position(|letter| letter == quote)) {
        return end + 2;
    }
    let ends = |index: &usize| match rest[*index] {
        ',' | ']' | '}' => true,
        ':' => rest.get(index + 1).is_none_or(|next| next.is_whitespace()),
        '#' => *index > 0 && rest[index - 1].is_whitespace(),
        _ => false,
    };
    let end = (0..rest.len()).find(ends).unwrap_or(rest.len());
    rest[..end].iter().rposition(|letter| !letter.is_whitespace()).map_or(1, |last| last + 1)
}

fn plural(count: usize, word: &str) -> String {
    if count == 1 { format!("1 {word}") } else { format!("{count} {word}s") }
}

// Worse comes first in the summary, so the order of severities is part of the output.
const _: () = assert!((Severity::Note as u8) < (Severity::Error as u8));
