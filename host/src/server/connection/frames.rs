//! Frames of HTTP/2: whether a peer is in the middle of something it sends, by the bytes that arrive (RFC 9113, sections
//! 3.4, 4.1 and 6.10).
//!
//! Only lengths, types and one flag are read, so that it costs next to nothing. Failure rule: what is wrong with frames is
//! for hyper to say; here it can only shift where one ends.

/// Bytes of a frame before its payload.
const FRAME_HEAD: usize = 9;
/// Types of frames that carry a block of fields, and the flag of the last one of a block.
const HEADERS: u8 = 0x01;
const CONTINUATION: u8 = 0x09;
const END_HEADERS: u8 = 0x04;
/// What a client sends before its first frame, in bytes.
const PREFACE: usize = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len();

/// How far a peer has come in its stream of frames.
#[derive(Debug)]
pub struct Frames {
    /// Bytes that are still to come of the preface or of a payload.
    left: usize,
    /// The first `known` bytes of the next frame.
    head: [u8; FRAME_HEAD],
    known: usize,
    /// A block of fields has begun and not ended.
    block: bool,
}

// === impl Frames ===

impl Default for Frames {
    /// Before the preface.
    fn default() -> Self {
        Self { left: PREFACE, head: [0; FRAME_HEAD], known: 0, block: false }
    }
}

impl Frames {
    /// Whether the last byte ended a frame that stands for itself, or the last one of a block.
    #[must_use]
    pub fn is_between(&self) -> bool {
        self.left == 0 && self.known == 0 && !self.block
    }

    /// Follows `bytes`; says whether such an end is in them.
    pub fn follow(&mut self, mut bytes: &[u8]) -> bool {
        let mut ended = false;
        while !bytes.is_empty() {
            let wanted = if self.left > 0 { self.left } else { FRAME_HEAD - self.known };
            let (now, later) = bytes.split_at(wanted.min(bytes.len()));
            bytes = later;
            if self.left > 0 {
                self.left -= now.len();
            } else {
                self.head[self.known..][..now.len()].copy_from_slice(now);
                self.known += now.len();
                if self.known == FRAME_HEAD {
                    self.begin();
                }
            }
            ended |= self.is_between();
        }
        ended
    }

    /// The head of a frame is known.
    fn begin(&mut self) {
        let [high, middle, low, kind, flags, ..] = self.head;
        self.left = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        self.known = 0;
        if matches!(kind, HEADERS | CONTINUATION) {
            self.block = flags & END_HEADERS == 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATA: u8 = 0;
    const PING: u8 = 6;

    /// A client's whole first bytes, and frames of these types, flags and lengths.
    fn bytes(frames: &[(u8, u8, usize)]) -> Vec<u8> {
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
        for (kind, flags, length) in frames {
            bytes.extend(&u32::try_from(*length).expect("short").to_be_bytes()[1..]);
            bytes.extend([*kind, *flags, 0, 0, 0, 1]);
            bytes.resize(bytes.len() + length, 0xAB);
        }
        bytes
    }

    /// Where a peer stands who has sent all but the last `missing` bytes of `frames`, in pieces of any size.
    #[track_caller]
    fn check(frames: &[(u8, u8, usize)], missing: usize, between: bool) {
        let all = bytes(frames);
        for size in [1, 2, 7, 9, 10, 64, all.len()] {
            let mut state = Frames::default();
            let mut ended = false;
            for piece in all[..all.len() - missing].chunks(size) {
                ended |= state.follow(piece);
            }
            assert_eq!(state.is_between(), between, "{frames:?} without {missing} bytes, in pieces of {size}");
            assert!(ended || all.len() - missing < PREFACE, "the preface has an end");
        }
    }

    #[test]
    fn ends_of_frames_and_of_blocks() {
        check(&[], 0, true);
        check(&[], 1, false);
        check(&[], 9, true);
        check(&[], 12, false);
        check(&[(PING, 0, 8)], 0, true);
        check(&[(PING, 0, 8)], 1, false);
        check(&[(DATA, 0, 0)], 0, true);
        check(&[(DATA, 0, 70_000)], 0, true);
        check(&[(DATA, 0, 70_000)], 69_999, false);
        check(&[(DATA, 0, 70_000)], 70_001, false);
        check(&[(HEADERS, END_HEADERS, 40)], 0, true);
        check(&[(HEADERS, END_HEADERS, 40)], 39, false);
        check(&[(HEADERS, 0, 40)], 0, false);
        check(&[(HEADERS, 0, 0)], 0, false);
        check(&[(HEADERS, 0, 40), (CONTINUATION, 0, 40)], 0, false);
        check(&[(HEADERS, 0, 40), (CONTINUATION, END_HEADERS, 40)], 0, true);
        check(&[(HEADERS, 0, 40), (CONTINUATION, END_HEADERS, 40)], 1, false);
        check(&[(HEADERS, END_HEADERS, 40), (DATA, 1, 100)], 100, false);
    }

    #[test]
    fn an_end_in_the_middle_is_told() {
        let all = bytes(&[(HEADERS, END_HEADERS, 4), (DATA, 1, 4)]);
        let mut state = Frames::default();
        assert!(state.follow(&all[..all.len() - 1]) && !state.is_between());
        assert!(state.follow(&all[all.len() - 1..]) && state.is_between());
        assert!(!state.follow(&[0]) && !state.is_between());
    }
}
