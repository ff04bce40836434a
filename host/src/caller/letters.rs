//! Letters that no name, log line or terminal should have: what they do is not what a reader sees.

/// Whether a letter steers a terminal or hides in a text: a control character, one that turns the direction of writing (UAX #9,
/// Unicode Bidirectional Algorithm), a separator of lines, or one that nobody sees, in which whole words may hide (Unicode Character
/// Database, "Default_Ignorable_Code_Point").
#[must_use]
pub fn steers(letter: char) -> bool {
    letter.is_control()
        || matches!(
            letter,
            '\u{AD}' | '\u{34F}' | '\u{61C}' | '\u{115F}'..='\u{1160}' | '\u{17B4}'..='\u{17B5}'
                | '\u{180B}'..='\u{180F}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{3164}'
                | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFFB}' | '\u{1BCA0}'..='\u{1BCA3}'
                | '\u{1D173}'..='\u{1D17A}' | '\u{E0000}'..='\u{E0FFF}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_reader_sees_steers_nothing() {
        #[track_caller]
        fn check(text: &str, steering: usize) {
            assert_eq!(text.chars().filter(|letter| steers(*letter)).count(), steering, "{text:?}");
        }
        check("jane.doe@example.org", 0);
        check("häuser 你好 नमस्ते", 0);
        check("\t\n\u{1b}\u{7f}\u{85}", 5);
        check("\u{202E}\u{2066}\u{61C}\u{2028}", 4);
        check("\u{200B}\u{FEFF}\u{AD}\u{180E}\u{3164}", 5);
        // Tags spell "hi" in letters that no terminal shows.
        check("a\u{E0068}\u{E0069}b", 2);
    }
}
