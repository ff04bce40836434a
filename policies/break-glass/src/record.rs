//! What is said in the audit record of a login. The host keeps so many lines and bytes of it and drops what comes after, so
//! alarms come first, and only a grant whose alarm is kept whole is given.

/// Grants of one caller that may count at once: of as many the alarms are kept, however long, and of the 4096 bytes that
/// the host keeps some are left for what else is to be said.
pub(crate) const MOST: usize = 3;
/// Most bytes of a line.
pub(crate) const LINE: usize = 1024;
pub(crate) const NO_ROOM: &str = "its alarm has no room in the record";
/// Most bytes of a line that is no alarm.
const SHORT: usize = 200;

/// That the grant at `key` does not count.
pub(crate) fn left_out(key: &str, why: &str) -> String {
    ["break-glass grant ", key, " is left out: ", why].concat()
}

/// A line that is no alarm, cut to what such a line may have.
pub(crate) fn short(words: &str) -> String {
    cut(plain(words), SHORT)
}

/// Without characters that the host would write out in several.
pub(crate) fn plain(text: &str) -> String {
    let hidden = |c: char| matches!(c, '\u{061C}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{2069}' | '\u{FEFF}');
    text.chars().map(|c| if c.is_control() || hidden(c) { '\u{FFFD}' } else { c }).collect()
}

/// Cuts to `most` bytes, the mark of the cut included.
pub(crate) fn cut(mut text: String, most: usize) -> String {
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most - CUT.len()));
        text.push_str(CUT);
    }
    text
}

const CUT: &str = "…";
