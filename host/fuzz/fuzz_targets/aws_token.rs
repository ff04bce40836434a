//! AWS tokens: what is accepted is what would be sent. The rebuilt request, made a token again, is
//! accepted again and rebuilds to the same bytes.
#![no_main]

use std::time::{Duration, SystemTime};

use herald::{
    provider::{
        Provider as _,
        aws::{Aws, Config, Partition},
    },
    token::BearerToken,
};
use libfuzzer_sys::fuzz_target;

/// 2026-01-02T03:10:00Z: minutes after the seeds were signed.
const NOW: Duration = Duration::from_secs(1_767_323_400);

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let aws = Aws::new(Config {
        cluster_id: "test-cluster".parse().expect("a good id"),
        partition: Partition::Aws,
        hosts: Vec::new(),
    });
    let now = SystemTime::UNIX_EPOCH + NOW;
    // The seeds are URLs, so that bytes changed by the fuzzer stand for bytes of the request.
    let token = if text.starts_with("https") { encode(text) } else { text.to_owned() };
    let call = match aws.inspect(&BearerToken::new(token), now) {
        Ok(call) => call,
        Err(error) => return drop((error.reason(), error.to_string())),
    };
    let url = format!("https://{}{}", call.host, call.path_and_query.expose());
    let again = aws.inspect(&BearerToken::new(encode(&url)), now).expect("what would be sent is accepted");
    assert_eq!(again.path_and_query.expose(), call.path_and_query.expose());
    assert_eq!((again.host, again.region, again.signed_at), (call.host, call.region, call.signed_at));
});

fn encode(url: &str) -> String {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    format!("k8s-aws-v1.{}", URL_SAFE_NO_PAD.encode(url))
}
