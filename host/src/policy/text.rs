//! A policy's words made fit for a log line: bounded, and nothing in them that moves a cursor.

use crate::caller::letters::steers;

/// `text` with control and text-direction characters escaped, cut to at most `most` bytes.
pub(super) fn tame(text: &str, most: usize) -> String {
    let mut tame = String::with_capacity(text.len().min(most));
    for c in text.chars() {
        if steers(c) {
            tame.extend(c.escape_unicode());
        } else {
            tame.push(c);
        }
        if tame.len() > most {
            cut(&mut tame, most);
            break;
        }
    }
    tame
}

/// The same for a text of several lines: all but the first are indented, so that none looks like a line of ours.
pub(super) fn tame_lines(text: &str, most: usize) -> String {
    let tamed = text.lines().map(|line| tame(line, most)).collect::<Vec<_>>().join("\n    ");
    if tamed.len() <= most {
        return tamed;
    }
    let mut tamed = tamed;
    cut(&mut tamed, most);
    tamed
}

/// Cuts to `most` bytes, the mark of the cut included where there is room for it.
fn cut(text: &mut String, most: usize) {
    let room = most.saturating_sub(CUT.len());
    text.truncate(text.floor_char_boundary(room));
    if most >= CUT.len() {
        text.push_str(CUT);
    }
}

const CUT: &str = "…";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, most: usize, expected: &str) {
        assert_eq!(tame(text, most), expected);
    }

    #[test]
    fn words() {
        check("a\nb\u{1b}[2J", 64, r"a\u{a}b\u{1b}[2J");
        check("x\u{202E}y\u{200B}", 64, r"x\u{202e}y\u{200b}");
        // Letters that no terminal shows: "hi" in tags.
        check("a\u{E0068}\u{E0069}b\u{AD}c\u{180E}", 64, r"a\u{e0068}\u{e0069}b\u{ad}c\u{180e}");
        check("häuser", 64, "häuser");
        check("abcdef", 6, "abcdef");
        check("abcdefg", 6, "abc…");
        check("ääää", 6, "ä…");
        check("abc", 2, "");
    }

    #[test]
    fn lines() {
        assert_eq!(tame_lines("a\nb\u{1b}\r\nc", 64), "a\n    b\\u{1b}\n    c");
        assert_eq!(tame_lines("a\nb\nc", 10), "a\n    b…");
    }

    proptest! {
        #[test]
        fn never_longer_and_never_wild(text in ".*", most in 0_usize..80) {
            let tame = tame(&text, most);
            prop_assert!(tame.len() <= most);
            prop_assert!(tame.chars().all(|letter| !steers(letter)));
        }
    }
}
