//! Messages of HTTP/1.1: they end at the same byte in pieces of whatever size, and where hyper's own reader finds their ends; and
//! behind an end the next one begins anew.
//!
//! The first byte is the size of the pieces, the rest is what a peer sends.
#![no_main]

use herald::server::Heads;
use httparse::{EMPTY_HEADER, Header, Request, Status};
use libfuzzer_sys::fuzz_target;

/// As many as hyper takes.
const MAX_FIELDS: usize = 100;
/// Longest line of which all is looked at.
const LINE: usize = 64;

fuzz_target!(|bytes: &[u8]| {
    let Some((size, stream)) = bytes.split_first() else { return };
    let (mut whole, mut pieces) = (Heads::default(), Heads::default());
    assert!(whole.is_between());
    whole.follow(stream);
    stream.chunks(usize::from(*size).max(1)).for_each(|piece| pieces.follow(piece));
    assert_eq!(whole.is_between(), pieces.is_between());
    if let Some(expected) = is_between(stream) {
        assert_eq!(whole.is_between(), expected, "{}", String::from_utf8_lossy(stream));
    }
    if whole.is_between() {
        whole.follow(b"GET / HTTP/1.1\r\nhost: a\r\n");
        assert!(!whole.is_between());
        whole.follow(b"\r\n");
        assert!(whole.is_between());
    }
});

/// The same by the reader that hyper has; `None` where it refuses a message, so that the connection ends.
fn is_between(mut stream: &[u8]) -> Option<bool> {
    loop {
        // Empty lines may stand in front of a message.
        while let Some(rest) = stream.strip_prefix(b"\r\n").or_else(|| stream.strip_prefix(b"\n")) {
            stream = rest;
        }
        if stream.is_empty() {
            return Some(true);
        }
        let mut fields = [EMPTY_HEADER; MAX_FIELDS];
        let mut request = Request::new(&mut fields);
        let Status::Complete(length) = request.parse(stream).ok()? else { return Some(false) };
        let Some(body) = body(request.headers)? else { return Some(false) };
        match stream.get(length..)?.split_at_checked(body) {
            Some((_, rest)) => stream = rest,
            None => return Some(false),
        }
    }
}

/// The length of the body behind these fields; `Some(None)` if it is not told, `None` if hyper refuses them, or a line of them is
/// longer than what is looked at.
fn body(fields: &[Header<'_>]) -> Option<Option<usize>> {
    let of = |name: &'static str| fields.iter().filter(move |field| field.name.eq_ignore_ascii_case(name));
    if of("transfer-encoding").next().is_some() {
        return Some(None);
    }
    let mut told = of("content-length").map(|field| {
        let line = field.value.as_ptr().addr() - field.name.as_ptr().addr() + field.value.len();
        let text = std::str::from_utf8(field.value).ok()?;
        let is_plain = !text.is_empty() && line <= LINE && text.bytes().all(|byte| byte.is_ascii_digit());
        is_plain.then(|| text.parse::<u64>().ok()).flatten().and_then(|length| usize::try_from(length).ok())
    });
    let Some(first) = told.next() else { return Some(Some(0)) };
    let first = first?;
    told.all(|other| other == Some(first)).then_some(Some(first))
}
