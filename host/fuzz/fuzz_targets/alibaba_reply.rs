//! Answers of STS of Alibaba Cloud: a caller only out of an answer that says 200, and then one whose parts agree.
//!
//! The first two bytes choose the status, the rest is the body.
#![no_main]

use herald::{caller::Arn, provider::Provider as _};
use herald_fuzz::{ALIBABA_HOST, alibaba, call, reply};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some(reply) = reply(bytes) else { return };
    let call = call(ALIBABA_HOST, http::Method::POST, "LTAI5tDUMMYexample01");
    let Ok(caller) = alibaba(ALIBABA_HOST).interpret(&call, &reply) else { return };
    assert_eq!(reply.status, 200);
    let arn: Arn = caller.arn.parse().expect("a caller has an ARN");
    assert_eq!(arn.account_id(), &caller.account_id);
    assert_eq!(arn.canonical(), caller.canonical_arn);
    let uid = format!("ack-ram-authenticator:{}:{}", caller.account_id, caller.principal_id.as_str());
    assert_eq!((caller.partition.as_str(), caller.uid), ("acs", uid));
});
