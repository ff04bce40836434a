//! Frames of HTTP/2: whatever arrives, and in pieces of whatever size, frames end where a reader that has all bytes before it
//! finds their ends.
//!
//! The first byte is the size of the pieces, the rest is what a peer sends.
#![no_main]

use std::collections::BTreeSet;

use herald::server::Frames;
use libfuzzer_sys::fuzz_target;

const PREFACE: usize = 24;
const HEAD: usize = 9;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

fuzz_target!(|bytes: &[u8]| {
    let Some((size, stream)) = bytes.split_first() else { return };
    let (ends, mut frames, mut read) = (ends(stream), Frames::default(), 0);
    assert!(!frames.is_between());
    for piece in stream.chunks(usize::from(*size).max(1)) {
        let ended = frames.follow(piece);
        let from = read;
        read += piece.len();
        assert_eq!(ended, ends.range(from + 1..=read).next().is_some(), "in bytes {from} to {read}");
        assert_eq!(frames.is_between(), ends.contains(&read), "after {read} bytes");
    }
});

/// Behind which bytes the preface ends, a frame that stands for itself, or the last one of a block.
fn ends(stream: &[u8]) -> BTreeSet<usize> {
    let (mut ends, mut at, mut in_block) = (BTreeSet::new(), PREFACE, false);
    while at <= stream.len() {
        if !in_block {
            ends.insert(at);
        }
        let Some(head) = stream.get(at..at + HEAD) else { break };
        if [HEADERS, CONTINUATION].contains(&head[3]) {
            in_block = head[4] & END_HEADERS == 0;
        }
        at += HEAD + usize::try_from(u32::from_be_bytes([0, head[0], head[1], head[2]])).expect("24 bits");
    }
    ends
}
