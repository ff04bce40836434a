//! How deep a text nests, found before it is parsed: the parser calls itself for every operator of a row, and its stack is a policy's.

/// What is said of an expression that is too deep.
pub(crate) const TOO_DEEP: &str = "nested too deeply";

/// Operators and brackets around one value: half of what the stack is known to be enough for. Some may be of no depth to the
/// checker, which knows exactly.
const MOST: usize = 500;

/// What stands between two brackets.
#[derive(Default)]
struct Level {
    /// Of what stands behind the last comma, `&&`, `||`, `?` or `:`. The parser takes these side by side.
    depth: usize,
    /// Of all before.
    deepest: usize,
}

/// The place at which `text` becomes too deep for the parser, in bytes. Texts and comments in it do not count.
pub(crate) fn too_deep(text: &str) -> Option<usize> {
    let mut around = Vec::new();
    let mut level = Level::default();
    let mut letters = text.char_indices().peekable();
    while let Some((offset, letter)) = letters.next() {
        match letter {
            '\'' | '"' => {
                let end = offset + length_of_text(&text[offset..], text[..offset].ends_with(['r', 'R']));
                while letters.next_if(|(inner, _)| *inner < end).is_some() {}
            }
            '/' if letters.peek().is_some_and(|(_, next)| *next == '/') => {
                letters.find(|(_, inner)| *inner == '\n');
            }
            '(' | '[' | '{' => around.push(std::mem::take(&mut level)),
            ')' | ']' | '}' => {
                let inner = level.depth.max(level.deepest);
                level = around.pop().unwrap_or_default();
                level.depth = level.depth.max(inner) + 1;
            }
            ',' | '&' | '|' | '?' | ':' => level.deepest = level.deepest.max(std::mem::take(&mut level.depth)),
            '+' | '-' | '*' | '/' | '%' | '<' | '>' | '=' | '!' | '.' => level.depth += 1,
            _ => {}
        }
        if level.depth > MOST {
            return Some(offset);
        }
    }
    None
}

/// How long the text is that `rest` begins with, in bytes. In a raw one a backslash is a letter like any other.
fn length_of_text(rest: &str, is_raw: bool) -> usize {
    let triple = ["'''", "\"\"\""].into_iter().find(|mark| rest.starts_with(*mark));
    let mark = triple.unwrap_or(&rest[..1]);
    let mut letters = rest.char_indices().skip(mark.len());
    while let Some((offset, letter)) = letters.next() {
        if rest[offset..].starts_with(mark) {
            return offset + mark.len();
        }
        if letter == '\\' && !is_raw {
            letters.next();
        }
    }
    rest.len()
}
