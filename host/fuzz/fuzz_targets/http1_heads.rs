//! Messages of HTTP/1.1: they end at the same byte in pieces of whatever size, and behind an end the next one begins anew.
//!
//! The first byte is the size of the pieces, the rest is what a peer sends.
#![no_main]

use herald::server::Heads;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((size, stream)) = bytes.split_first() else { return };
    let (mut whole, mut pieces) = (Heads::default(), Heads::default());
    assert!(whole.is_between());
    whole.follow(stream);
    stream.chunks(usize::from(*size).max(1)).for_each(|piece| pieces.follow(piece));
    assert_eq!(whole.is_between(), pieces.is_between());
    if whole.is_between() {
        whole.follow(b"GET / HTTP/1.1\r\nhost: a\r\n");
        assert!(!whole.is_between());
        whole.follow(b"\r\n");
        assert!(whole.is_between());
    }
});
