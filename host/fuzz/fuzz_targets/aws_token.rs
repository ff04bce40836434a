//! AWS tokens: what is accepted is what would be sent. To a reader that knows nothing of ours, the URL in an accepted token
//! and the request that is written for it say the same; and made a token again, that request is accepted again and
//! rebuilds to the same bytes. No two partitions accept a token, but for a host that an operator has added to both.
#![no_main]

use std::time::{Duration, SystemTime};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use herald::{
    provider::{
        Provider as _,
        aws::{Aws, Partition},
    },
    token::BearerToken,
};
use herald_fuzz::{EXTRA_HOST, EXTRA_REGION, aws, pairs};
use libfuzzer_sys::fuzz_target;

/// 2026-01-02T03:10:00Z: minutes after the seeds were signed.
const NOW: Duration = Duration::from_secs(1_767_323_400);
const PREFIX: &str = "k8s-aws-v1.";
const PARTITIONS: [Partition; 8] = [
    Partition::Aws,
    Partition::AwsCn,
    Partition::AwsEusc,
    Partition::AwsIso,
    Partition::AwsIsoB,
    Partition::AwsIsoE,
    Partition::AwsIsoF,
    Partition::AwsUsGov,
];

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    // The seeds are URLs, so that bytes changed by the fuzzer stand for bytes of the request.
    let token = if text.starts_with("https") { encode(text) } else { text.to_owned() };
    let accepted = PARTITIONS.map(|partition| accepted(&aws(partition), &token));
    let found: Vec<_> = accepted.into_iter().flatten().collect();
    let count = if found.iter().any(|(host, _)| host == EXTRA_HOST) { PARTITIONS.len() } else { 1 };
    assert!(found.is_empty() || found.len() == count, "{found:?}");
    assert!(found.iter().all(|(host, region)| host != EXTRA_HOST || region == EXTRA_REGION), "{found:?}");
});

/// Host and region of a token that `aws` accepts.
fn accepted(aws: &Aws, token: &str) -> Option<(String, String)> {
    let now = SystemTime::UNIX_EPOCH + NOW;
    let call = match aws.inspect(&BearerToken::new(token.to_owned()), now) {
        Ok(call) => call,
        Err(error) => {
            drop((error.reason(), error.to_string()));
            return None;
        }
    };
    let (host, query) = parts(&decode(token));
    assert_eq!((call.method.as_str(), call.host.as_str()), ("GET", host.as_str()));
    assert_eq!(call.path_and_query.expose().split_once('?').map(|(_, query)| pairs(query)), Some(pairs(&query)));
    let url = format!("https://{}{}", call.host, call.path_and_query.expose());
    let again = aws.inspect(&BearerToken::new(encode(&url)), now).expect("what would be sent is accepted");
    assert_eq!(again.path_and_query.expose(), call.path_and_query.expose());
    assert_eq!((&again.host, &again.region, again.signed_at), (&call.host, &call.region, call.signed_at));
    assert_eq!(again.headers, call.headers);
    Some((call.host, call.region))
}

/// Host in lower case, and query; the path is `/`.
fn parts(url: &str) -> (String, String) {
    let rest = url.strip_prefix("https://").expect("an accepted URL is https");
    let (host, query) = rest.split_once('?').expect("an accepted URL has a query");
    (host.strip_suffix('/').unwrap_or(host).to_ascii_lowercase(), query.to_owned())
}

fn encode(url: &str) -> String {
    format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(url))
}

fn decode(token: &str) -> String {
    let bytes = URL_SAFE_NO_PAD.decode(token.strip_prefix(PREFIX).expect("an accepted prefix"));
    String::from_utf8(bytes.expect("accepted base64")).expect("an accepted URL is text")
}
