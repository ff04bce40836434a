//! Answers of STS: a caller only out of an answer that says 200, and then one whose parts agree.
//!
//! The first two bytes choose the status, the rest is the body.
#![no_main]

use herald::{
    caller::Arn,
    provider::{Provider as _, aws::Partition},
};
use herald_fuzz::{aws, call, reply};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some(reply) = reply(bytes) else { return };
    let call = call("sts.us-east-1.amazonaws.com", http::Method::GET, "AKIAIOSFODNN7EXAMPLE");
    let Ok(caller) = aws(Partition::Aws).interpret(&call, &reply) else { return };
    assert_eq!(reply.status, 200);
    let arn: Arn = caller.arn.parse().expect("a caller has an ARN");
    assert_eq!(arn.account_id(), &caller.account_id);
    assert_eq!(arn.canonical(), caller.canonical_arn);
    assert_eq!(caller.partition, "aws");
});
