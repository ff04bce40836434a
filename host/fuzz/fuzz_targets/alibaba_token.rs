//! Tokens of Alibaba Cloud: what is accepted is what would be sent. The rebuilt request, made a token again, is
//! accepted again and rebuilds to the same request.
#![no_main]

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use herald::{
    provider::{
        Provider as _, StsCall,
        alibaba::{Alibaba, Config},
    },
    token::BearerToken,
};
use libfuzzer_sys::fuzz_target;

/// 2026-11-22T12:40:00Z: minutes after the seeds were signed.
const NOW: Duration = Duration::from_secs(1_795_351_200);
const CLUSTER: &str = "test-cluster";

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let alibaba = Alibaba::new(Config {
        cluster_id: CLUSTER.parse().expect("a good id"),
        endpoint: "sts.aliyuncs.com".parse().expect("a good host"),
        region: None,
    });
    let now = SystemTime::UNIX_EPOCH + NOW;
    // The seeds are JSON, so that bytes changed by the fuzzer stand for bytes of the request.
    let token = if text.starts_with('{') { encode(text) } else { text.to_owned() };
    let call = match alibaba.inspect(&BearerToken::new(token), now) {
        Ok(call) => call,
        Err(error) => return drop((error.reason(), error.to_string())),
    };
    let again = alibaba.inspect(&BearerToken::new(encode(&json(&call))), now).expect("what would be sent is accepted");
    assert_eq!(again.path_and_query.expose(), call.path_and_query.expose());
    assert_eq!((again.host, again.headers, again.signed_at), (call.host, call.headers, call.signed_at));
});

fn json(call: &StsCall) -> String {
    let value = |value: &http::HeaderValue| value.to_str().expect("visible ASCII").to_owned();
    let headers: BTreeMap<_, _> = call.headers.iter().map(|(name, text)| (name.as_str(), value(text))).collect();
    serde_json::json!({"query": {"ACKClusterId": CLUSTER}, "headers": headers}).to_string()
}

fn encode(json: &str) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    format!("k8s-ack-v2.{}", STANDARD.encode(json))
}
