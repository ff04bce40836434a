//! Documents that nobody can have meant: garbled versions of a good one.

/// What is put into the text, or over it.
const JUNK: [&str; 24] = [
    "{",
    "}",
    "[",
    "]",
    ":",
    "- ",
    "? ",
    "&a [*a, *a]",
    "*b",
    "!!binary ",
    "!!map {",
    "|",
    ">",
    "\"",
    "'",
    "\t",
    "\0",
    "\u{feff}",
    "\u{202e}",
    "%YAML 9.9\n",
    "---\n",
    "...\n",
    "\n\n  \n",
    "<<: {a: b}\n",
];
/// What is another kind of document.
const OTHERS: [&str; 9] =
    ["5", "true", "null", "a: b", "- 5", "- - -", "- {rolearn: 5}", "- {rolearn: [], username: {}}", "~"];

/// The `nth` garbled version of `document`, a text in ASCII: cut, with junk in it or over it, doubled, deep, long, or of another
/// kind.
///
/// # Panics
///
/// When `document` is empty, or cut within a character.
#[must_use]
pub fn garbled(document: &str, nth: usize) -> String {
    let at = nth * 37 % document.len();
    let (before, after) = document.split_at(at);
    let junk = JUNK[nth % JUNK.len()];
    match nth % 9 {
        0 => before.to_owned(),
        1 => format!("{before}{junk}{after}"),
        2 => format!("{before}{junk}"),
        3 => format!("{junk}{document}"),
        4 => format!("{document}{before}"),
        5 => "[".repeat(nth * 20),
        6 => format!("- &a [{}]\n", "*a, ".repeat(nth)),
        7 => format!("{before}{}{after}", junk.repeat(500)),
        _ => OTHERS[nth / 9 % OTHERS.len()].to_owned(),
    }
}
