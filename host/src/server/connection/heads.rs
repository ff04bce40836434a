//! Messages of HTTP/1.1: whether a peer is in the middle of one, by the bytes that arrive (RFC 9112, sections 2.1, 6.2 and
//! 9.3.2).
//!
//! Only the ends of lines and `Content-Length` are read. A body of untold length is not followed: from then on the peer
//! counts as in the middle of something. Failure rule: what is wrong with a message is for hyper to say; here it can only
//! shift where one ends.

/// How far a peer has come in its stream of messages.
#[derive(Debug)]
pub struct Heads {
    state: State,
    /// The first bytes of the line that is arriving, without its end.
    line: [u8; LINE],
    /// How many bytes that line has.
    length: usize,
}

#[derive(Debug, Eq, PartialEq)]
enum State {
    /// Nothing of a message is there.
    Between,
    /// A head has begun, and tells so many bytes of a body so far.
    Head { body: u64 },
    /// So many bytes of a body are still to come.
    Body { left: u64 },
    /// Where the message ends is not told.
    Untold,
}

/// Room for `Content-Length`, any number and the spaces that people write.
const LINE: usize = 64;

// === impl Heads ===

impl Default for Heads {
    /// Before the first message.
    fn default() -> Self {
        Self { state: State::Between, line: [0; LINE], length: 0 }
    }
}

impl Heads {
    /// Whether the last byte ended a message, or none has begun.
    #[must_use]
    pub fn is_between(&self) -> bool {
        self.state == State::Between && self.length == 0
    }

    /// Follows `bytes`.
    pub fn follow(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            bytes = match &mut self.state {
                State::Untold => return,
                State::Body { left } => {
                    let now = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                    *left -= now as u64;
                    if *left == 0 {
                        self.state = State::Between;
                    }
                    &bytes[now..]
                }
                State::Between | State::Head { .. } => self.line(bytes),
            };
        }
    }

    /// Takes up to one line of a head off `bytes`.
    fn line<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let (piece, later) = bytes.split_at(end.map_or(bytes.len(), |end| end + 1));
        let kept = self.length.min(LINE);
        let room = piece.len().min(LINE - kept);
        self.line[kept..kept + room].copy_from_slice(&piece[..room]);
        self.length += piece.len();
        if end.is_some() {
            let length = std::mem::take(&mut self.length);
            let line = self.line;
            self.take(line[..length.min(LINE)].trim_ascii_end());
        }
        later
    }

    /// Takes over one whole line, or the beginning of a long one.
    fn take(&mut self, line: &[u8]) {
        self.state = match self.state {
            // Empty lines may stand in front of a message.
            State::Between if line.is_empty() => State::Between,
            State::Between => State::Head { body: 0 },
            State::Head { body: 0 } if line.is_empty() => State::Between,
            State::Head { body } if line.is_empty() => State::Body { left: body },
            State::Head { body } => told(line).map_or(State::Untold, |told| State::Head { body: told.unwrap_or(body) }),
            State::Body { .. } | State::Untold => State::Untold,
        };
    }
}

/// What a field says of the body's length: nothing (`Some(None)`), a number, or that it is not told (`None`).
fn told(line: &[u8]) -> Option<Option<u64>> {
    let Some(colon) = line.iter().position(|byte| *byte == b':') else { return Some(None) };
    let (name, value) = (line[..colon].trim_ascii(), line[colon + 1..].trim_ascii());
    if name.eq_ignore_ascii_case(b"transfer-encoding") {
        return None;
    }
    if !name.eq_ignore_ascii_case(b"content-length") {
        return Some(None);
    }
    Some(Some(std::str::from_utf8(value).ok()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a peer that has sent `text`, in pieces of any size, is between two messages.
    #[track_caller]
    fn check(text: &str, between: bool) {
        for size in [1, 2, 3, 7, 64, 65, text.len().max(1)] {
            let mut heads = Heads::default();
            text.as_bytes().chunks(size).for_each(|piece| heads.follow(piece));
            assert_eq!(heads.is_between(), between, "{text:?} in pieces of {size}");
        }
    }

    #[test]
    fn ends_of_messages() {
        let long = format!("GET / HTTP/1.1\r\nx-a: {}\r\n", "content-length: 7 ".repeat(20));
        for (text, between) in [
            ("", true),
            ("\r\n", true),
            ("\r", false),
            ("G", false),
            ("GET / HTTP/1.1\r\n", false),
            ("GET / HTTP/1.1\r\n\r", false),
            ("GET / HTTP/1.1\r\n\r\n", true),
            ("GET / HTTP/1.1\n\n", true),
            ("\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n", true),
            ("GET / HTTP/1.1\r\n\r\nGET / HTTP", false),
            ("GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n", true),
            ("POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\n", false),
            ("POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\nabc", false),
            ("POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\nabcd", true),
            ("POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\nab\n\n", true),
            ("POST / HTTP/1.1\r\ncontent-length :  0 \r\n\r\n", true),
            ("POST / HTTP/1.1\r\ncontent-length:4\r\nhost: a\r\n\r\nabcdPOST", false),
            ("POST / HTTP/1.1\r\ncontent-length: 4\r\n\r\nabcdGET / HTTP/1.1\r\n\r\n", true),
            ("POST / HTTP/1.1\r\ncontent-length: -4\r\n\r\n", false),
            ("POST / HTTP/1.1\r\ncontent-length: 99999999999999999999\r\n\r\n", false),
            ("POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", false),
            (&format!("{long}\r\n"), true),
            (&long, false),
        ] {
            check(text, between);
        }
    }
}
