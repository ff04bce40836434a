//! Answers of EC2: an instance only out of an answer that says 200, and then with a name that stands in it, if any.
//!
//! The first two bytes choose the status, the rest is the body.
#![no_main]

use herald::provider::aws::ec2::{InstanceId, read_page};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((head, body)) = bytes.split_at_checked(2) else { return };
    let status = 100 + u16::from_be_bytes([head[0], head[1]]) % 500;
    let id = InstanceId::parse("i-0123456789abcdef0").expect("an id");
    match read_page(status, body, &id) {
        Ok((name, next)) => {
            assert_eq!(status, 200);
            let text = String::from_utf8_lossy(body);
            // Parts of a text may be written as references to characters.
            let is_there = |part: &str| text.contains(part) || text.contains('&');
            assert!(is_there(&name) && next.is_none_or(|token| !token.is_empty() && is_there(&token)));
            assert!(text.contains(id.as_str()));
        }
        Err(error) => assert!(!error.reason().is_empty()),
    }
});
