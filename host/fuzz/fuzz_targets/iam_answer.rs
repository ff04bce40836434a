//! Answers of IAM: tags only out of an answer that says 200, about the caller's own id, and each stands in it.
//!
//! The first two bytes choose the status, the rest is the body.
#![no_main]

use std::time::SystemTime;

use herald::{
    caller::made_up,
    provider::aws::iam::{Principal, read_answer},
};
use libfuzzer_sys::fuzz_target;

/// One of each kind, whose ids are made up.
const CALLERS: [&str; 2] = ["arn:aws:sts::123456789012:assumed-role/Dev/alice", "arn:aws:iam::123456789012:user/alice"];

fuzz_target!(|bytes: &[u8]| {
    let Some((head, body)) = bytes.split_at_checked(2) else { return };
    let status = 100 + u16::from_be_bytes([head[0], head[1]]) % 500;
    for arn in CALLERS {
        let caller = made_up::caller(&arn.parse().expect("an ARN"), SystemTime::UNIX_EPOCH);
        let principal = Principal::of(&caller).expect("a role or user");
        match read_answer(status, body, &principal) {
            Ok(tags) => {
                assert_eq!(status, 200);
                let text = String::from_utf8_lossy(body);
                // Parts of a text may be written as references to characters.
                let is_there = |part: &str| text.contains(part) || text.contains('&');
                assert!(is_there(principal.id()) && is_there("123456789012"));
                assert!(tags.0.iter().all(|(key, value)| !key.is_empty() && is_there(key) && is_there(value)));
            }
            Err(error) => assert!(!error.reason().is_empty()),
        }
    }
});
