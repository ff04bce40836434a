//! The floor for an exec plugin: static keys from the environment, one presigned URL, the ExecCredential
//! on standard output. No options, no profiles, no network.

use std::{
    env,
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign},
    sign::v4,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

fn main() -> anyhow::Result<()> {
    let region = env::var("AWS_REGION").unwrap_or_else(|_| "us-east-1".to_owned());
    let cluster_id = env::args().nth(1).context("usage: floor-token CLUSTER")?;
    let now = now();
    let token = URL_SAFE_NO_PAD.encode(presigned(&region, &cluster_id, now)?);
    let expires = OffsetDateTime::from(now + Duration::from_mins(14)).replace_nanosecond(0)?.format(&Rfc3339)?;
    print(&serde_json::json!({
        "kind": "ExecCredential",
        "apiVersion": "client.authentication.k8s.io/v1beta1",
        "spec": {},
        "status": {"expirationTimestamp": expires, "token": format!("k8s-aws-v1.{token}")},
    }));
    Ok(())
}

fn presigned(region: &str, cluster_id: &str, now: SystemTime) -> anyhow::Result<String> {
    let credentials = Credentials::new(
        env::var("AWS_ACCESS_KEY_ID")?,
        env::var("AWS_SECRET_ACCESS_KEY")?,
        env::var("AWS_SESSION_TOKEN").ok(),
        None,
        "environment",
    );
    let mut settings = SigningSettings::default();
    settings.signature_location = SignatureLocation::QueryParams;
    settings.expires_in = Some(Duration::from_secs(60));
    let identity = credentials.into();
    let parameters = v4::SigningParams::builder().identity(&identity).region(region).name("sts").time(now);
    let parameters = parameters.settings(settings).build()?.into();
    let mut url = format!("https://sts.{region}.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15");
    let headers = [("x-k8s-aws-id", cluster_id)];
    let request = SignableRequest::new("GET", &url, headers.into_iter(), SignableBody::Bytes(&[]))?;
    let (instructions, _) = sign(request, &parameters)?.into_parts();
    for (name, value) in instructions.params() {
        url.extend(["&", name, "="]);
        url.extend(utf8_percent_encode(value, &RESERVED));
    }
    Ok(url)
}

#[expect(clippy::disallowed_methods, reason = "an exec plugin reads the clock once, here")]
fn now() -> SystemTime {
    SystemTime::now()
}

#[expect(clippy::print_stdout, reason = "an exec plugin's answer goes to standard output")]
fn print(answer: &serde_json::Value) {
    println!("{answer}");
}

/// All but the unreserved characters (RFC 3986, section 2.3).
const RESERVED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
