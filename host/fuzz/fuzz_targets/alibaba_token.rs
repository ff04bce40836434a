//! Tokens of Alibaba Cloud: what is accepted is what would be sent. To a reader that knows nothing of ours, an accepted
//! token and the request that is written for it have the same query, and each header that is signed is sent with its
//! value; and made a token again, that request is accepted again and rebuilds to the same request. Each endpoint accepts what
//! names none; what is signed for one is accepted there alone.
#![no_main]

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, SystemTime},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use herald::{
    provider::{Provider as _, StsCall},
    token::BearerToken,
};
use herald_fuzz::{ALIBABA_HOST, CLUSTER, alibaba, pairs};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

/// 2026-11-22T12:40:00Z: minutes after the seeds were signed.
const NOW: Duration = Duration::from_secs(1_795_351_200);
const PREFIX: &str = "k8s-ack-v2.";
/// The global endpoint, one of a region, and one within a region's network.
const ENDPOINTS: [&str; 3] = [ALIBABA_HOST, "sts.eu-central-1.aliyuncs.com", "sts-vpc.cn-hangzhou.aliyuncs.com"];

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    // The seeds are JSON, so that bytes changed by the fuzzer stand for bytes of the request.
    let token = if text.starts_with('{') { encode(text) } else { text.to_owned() };
    let accepted: Vec<bool> = ENDPOINTS.iter().filter_map(|endpoint| accepted(endpoint, &token)).collect();
    assert!(matches!(accepted[..], [] | [true] | [false, false, false]), "{accepted:?}");
});

/// Whether a token that `endpoint` accepts is signed for it by name.
fn accepted(endpoint: &str, token: &str) -> Option<bool> {
    let (alibaba, now) = (alibaba(endpoint), SystemTime::UNIX_EPOCH + NOW);
    let call = match alibaba.inspect(&BearerToken::new(token.to_owned()), now) {
        Ok(call) => call,
        Err(error) => {
            drop((error.reason(), error.to_string()));
            return None;
        }
    };
    let names_one = is_what_was_signed(endpoint, &call, &decode(token));
    let again = alibaba.inspect(&BearerToken::new(encode(&json(&call))), now).expect("what would be sent is accepted");
    assert_eq!(again.path_and_query.expose(), call.path_and_query.expose());
    assert_eq!((again.host, again.headers, again.signed_at), (call.host, call.headers, call.signed_at));
    Some(names_one)
}

/// Every part of the request that the signature is over is sent, and nothing of the token beside it but what says who signed.
/// Whether the host is one of them.
fn is_what_was_signed(endpoint: &str, call: &StsCall, token: &Value) -> bool {
    assert_eq!((call.method.as_str(), call.host.as_str()), ("POST", endpoint));
    let query = call.path_and_query.expose().strip_prefix("/?").expect("the path is the root");
    let signed = token["query"].as_object().expect("an object").iter();
    let signed = signed.map(|(name, value)| (name.to_ascii_lowercase(), value.as_str().expect("a text").into()));
    assert_eq!(pairs(query), signed.collect::<Vec<(String, Vec<u8>)>>());
    let sent = headers(call);
    let told = token["headers"].as_object().expect("an object").iter();
    let told: BTreeMap<_, _> = told.map(|(name, value)| (name.to_ascii_lowercase(), value.as_str())).collect();
    let authorization = told["authorization"].expect("a text");
    let list = authorization.split("SignedHeaders=").nth(1).and_then(|rest| rest.split(',').next());
    let list: BTreeSet<&str> = list.expect("a list").split(';').collect();
    for name in &list {
        assert_eq!(sent.get(name).map(String::as_str), told[*name], "{name} is signed");
    }
    assert_eq!(sent.get("authorization").map(String::as_str), Some(authorization));
    assert!(sent.keys().all(|name| list.contains(name) || ["authorization", "accept"].contains(name)));
    list.contains("host")
}

fn headers(call: &StsCall) -> BTreeMap<&str, String> {
    let value = |value: &http::HeaderValue| value.to_str().expect("visible ASCII").to_owned();
    call.headers.iter().map(|(name, text)| (name.as_str(), value(text))).collect()
}

fn json(call: &StsCall) -> String {
    serde_json::json!({"query": {"ACKClusterId": CLUSTER}, "headers": headers(call)}).to_string()
}

fn encode(json: &str) -> String {
    format!("{PREFIX}{}", STANDARD.encode(json))
}

fn decode(token: &str) -> Value {
    let json = STANDARD.decode(token.strip_prefix(PREFIX).expect("an accepted prefix")).expect("accepted base64");
    serde_json::from_slice(&json).expect("accepted JSON")
}
