//! Answers of STS of Alibaba Cloud: a caller only out of an answer that says 200, and then one whose parts agree.
//!
//! The first two bytes choose the status, the rest is the body.
#![no_main]

use std::time::{Duration, SystemTime};

use herald::{
    caller::Arn,
    provider::{
        Provider as _, SecretText, StsCall, StsReply,
        alibaba::{Alibaba, Config},
    },
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((head, body)) = bytes.split_at_checked(2) else { return };
    let status = 100 + u16::from_be_bytes([head[0], head[1]]) % 500;
    let alibaba = Alibaba::new(Config {
        cluster_id: "test-cluster".parse().expect("a good id"),
        endpoint: "sts.aliyuncs.com".parse().expect("a good host"),
        region: None,
    });
    let signed_at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_323_400);
    let call = StsCall {
        host: "sts.aliyuncs.com".to_owned(),
        region: String::new(),
        method: http::Method::POST,
        path_and_query: SecretText::new("/".to_owned()),
        headers: Vec::new(),
        access_key_id: "LTAI5tDUMMYexample01".to_owned(),
        signed_at,
        expires_at: signed_at + Duration::from_secs(900),
    };
    let reply = StsReply {
        status,
        content_type: Some("application/json".to_owned()),
        retry_after: None,
        body: body.to_vec().into(),
    };
    let Ok(caller) = alibaba.interpret(&call, &reply) else { return };
    assert_eq!(status, 200);
    let arn: Arn = caller.arn.parse().expect("a caller has an ARN");
    assert_eq!(arn.account_id(), &caller.account_id);
    assert_eq!(arn.canonical(), caller.canonical_arn);
    assert_eq!(
        (caller.partition.as_str(), caller.uid.as_str()),
        ("acs", format!("ack-ram-authenticator:{}:{}", caller.account_id, caller.principal_id.as_str()).as_str())
    );
});
