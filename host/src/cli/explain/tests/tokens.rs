//! Tokens that are no good, by what is wrong with them.

use expect_test::{Expect, expect};

use super::*;

#[test]
fn tokens_that_are_no_good() {
    let url = |text: &str| {
        use base64::Engine as _;
        format!("k8s-aws-v1.{}", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text))
    };
    let query = "Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20260101%2Feu-west-1%2Fsts%2Faws4_request&X-Amz-Date=20260101T000000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=";
    let signature = format!("&X-Amz-Signature={}", "0".repeat(64));
    let good = format!("https://sts.eu-west-1.amazonaws.com/?{query}host%3Bx-k8s-aws-id{signature}");
    let offline = |token: &str, good: bool, expected: &Expect| check(&["--offline", "-t", token], good, expected);
    offline(
        &url(&good),
        true,
        &expect![[r#"
        token
          prefix         ok
          encoding       ok
          url            ok
          host           ok     sts.eu-west-1.amazonaws.com (eu-west-1)
          query          ok
          request        ok
          date           ok     signed 2026-01-01T00:00:00Z
          credential     ok     access key AKIAIOSFODNN7EXAMPLE
          expires        ok
          signed headers ok     host and cluster id
          signature      ok
          age            ok     good until 2026-01-01T00:15:00Z
    "#]],
    );
    offline(
        "eyJhbGciOi",
        false,
        &expect![[r#"
        token
          prefix         FAILED not a token of a configured provider
          encoding       -
          url            -
          host           -
          query          -
          request        -
          date           -
          credential     -
          expires        -
          signed headers -
          signature      -
          age            -
        what to do
          make a token with `herald token` or `aws eks get-token`
    "#]],
    );
    offline(
        "k8s-aws-v1.$$$",
        false,
        &expect![[r#"
        token
          prefix         ok
          encoding       FAILED malformed token: not unpadded base64url after the prefix
          url            -
          host           -
          query          -
          request        -
          date           -
          credential     -
          expires        -
          signed headers -
          signature      -
          age            -
        what to do
          give the whole token, and nothing else
    "#]],
    );
    offline(
        &url(&good.replace("host%3Bx-k8s-aws-id", "host")),
        false,
        &expect![[r#"
        token
          prefix         ok
          encoding       ok
          url            ok
          host           ok
          query          ok
          request        ok
          date           ok
          credential     ok
          expires        ok
          signed headers FAILED malformed token: X-Amz-SignedHeaders: x-k8s-aws-id is not signed
          signature      -
          age            -
        what to do
          make the token for this cluster: `herald token -i c`
    "#]],
    );
    offline(
        &url(&good.replace("sts.eu-west-1.amazonaws.com", "example.com")),
        false,
        &expect![[r#"
        token
          prefix         ok
          encoding       ok
          url            ok
          host           FAILED malformed token: not signed for a host of STS
          query          -
          request        -
          date           -
          credential     -
          expires        -
          signed headers -
          signature      -
          age            -
        what to do
          use an STS of AWS, or add its host to `server.sts.endpoints`
    "#]],
    );
    offline(
        &url(&good.replace("20260101", "20251231")),
        false,
        &expect![[r#"
        token
          prefix         ok
          encoding       ok
          url            ok
          host           ok
          query          ok
          request        ok
          date           ok
          credential     ok
          expires        ok
          signed headers ok
          signature      ok
          age            FAILED the token has expired: it was signed 2025-12-31T00:00:00Z
        what to do
          make a new token: one is good for 15m
    "#]],
    );
}

/// Neither the policies of the server nor the authorities that it trusts are on a workstation.
#[test]
fn what_only_looks_at_a_token_needs_no_file_of_the_server() {
    let config = "clusterID: c
server:
  backendMode: [Policy/teams, EKSConfigMap]
  policies: [{name: teams, kind: map, component: /nowhere/teams.wasm}]
  sts: {endpoints: [{host: sts.example.com, region: eu-west-1, caFile: /nowhere/ca.pem}]}
";
    let (code, out) = run_with(&["--offline", "-t", "eyJhbGciOi"], config, "");
    assert_eq!(code.expect("it runs"), ExitCode::FAILURE, "{out}");
    assert!(out.contains("prefix         FAILED not a token of a configured provider"), "{out}");
}
