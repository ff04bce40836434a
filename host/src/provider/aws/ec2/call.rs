//! One question to EC2: DescribeInstances of the query protocol, signed, and its answer page by page.
//!
//! Sources: Amazon EC2 API Reference, "DescribeInstances" and "Query requests for Amazon EC2".

use std::time::{Duration, SystemTime};

use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use aws_smithy_runtime_api::client::{
    http::HttpConnectorSettings,
    identity::Identity,
    orchestrator::{HttpRequest, HttpResponse},
};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};

use super::{
    Ec2Error, InstanceId,
    access::{Access, Loaded},
    answer::{self, Found},
    queue::Pace,
};

const SERVICE: &str = "ec2";
const VERSION: &str = "2016-11-15";
const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";
/// Most instances of one page; a batch fits into one.
const PAGE: usize = 100;
/// Most pages that are read.
const MAX_PAGES: usize = 10;
/// Largest page in bytes. An instance with all that hangs on it takes some 10 KiB.
const MAX_BYTES: usize = 4 << 20;
const CONNECT: Duration = Duration::from_secs(2);
const READ: Duration = Duration::from_secs(4);

/// Asks for `ids`. Every page after the first waits for its own turn.
///
/// # Errors
///
/// When nothing is known about any of them.
pub(super) async fn describe(access: &Access, ids: &[InstanceId], pace: &Pace) -> Result<Found, Ec2Error> {
    let ready = access.ready().await?;
    let mut found = Found::in_region(&ready.region);
    let mut next = None;
    for page in 0..MAX_PAGES {
        if page > 0 {
            pace.turn().await;
        }
        let body = form(ids, next.as_deref());
        let answer = ask(access, &ready, &body).await;
        if let Err(Ec2Error::Refused { .. }) = &answer {
            access.forget().await;
        }
        next = found.read(&answer?)?;
        if next.is_none() {
            return Ok(found);
        }
    }
    Err(Ec2Error::Unintelligible("it has too many pages"))
}

/// The filter, unlike the list of ids that the action also takes, leaves out what there is not.
fn form(ids: &[InstanceId], next: Option<&str>) -> String {
    let mut form = format!("Action=DescribeInstances&Version={VERSION}&MaxResults={PAGE}&Filter.1.Name=instance-id");
    for (index, id) in ids.iter().enumerate() {
        form.push_str(&format!("&Filter.1.Value.{}={}", index + 1, id.as_str()));
    }
    if let Some(token) = next {
        let token = percent_encoding::utf8_percent_encode(token, percent_encoding::NON_ALPHANUMERIC);
        form.push_str(&format!("&NextToken={token}"));
    }
    form
}

async fn ask(access: &Access, ready: &Loaded, body: &str) -> Result<Bytes, Ec2Error> {
    let request = request(ready, body, access.now()).map_err(|_| Ec2Error::Unavailable { cause: "request" })?;
    let settings = HttpConnectorSettings::builder().connect_timeout(CONNECT).read_timeout(READ).build();
    let response = access.http.call(request, &settings).await;
    let response = response.map_err(|error| Ec2Error::Unavailable {
        cause: if error.is_timeout() {
            "timeout"
        } else if error.is_io() {
            "connect"
        } else {
            "protocol"
        },
    })?;
    let status = response.status().as_u16();
    let body = read(response).await?;
    if status == 200 { Ok(body) } else { Err(answer::failure(status, &body)) }
}

async fn read(response: HttpResponse) -> Result<Bytes, Ec2Error> {
    let body = Limited::new(response.into_body(), MAX_BYTES).collect().await;
    let body = body.map_err(|error| Ec2Error::Unavailable {
        cause: if error.is::<http_body_util::LengthLimitError>() { "too_large" } else { "reset" },
    })?;
    Ok(body.to_bytes())
}

type Failed = Box<dyn std::error::Error + Send + Sync>;

fn request(ready: &Loaded, body: &str, now: SystemTime) -> Result<HttpRequest, Failed> {
    let url = format!("{}/", ready.url);
    let host = url.split('/').nth(2).unwrap_or_default();
    let identity = Identity::from(ready.credentials.clone());
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(&ready.region)
        .name(SERVICE)
        .time(now)
        .settings(SigningSettings::default())
        .build()?
        .into();
    let headers = [("content-type", FORM), ("host", host)];
    let signable = SignableRequest::new("POST", &url, headers.into_iter(), SignableBody::Bytes(body.as_bytes()))?;
    let (instructions, _) = sign(signable, &params)?.into_parts();
    let mut request = HttpRequest::new(Bytes::from(body.to_owned()).into());
    request.set_method("POST")?;
    request.set_uri(url.as_str())?;
    for (name, value) in headers {
        request.headers_mut().insert(name, value.to_owned());
    }
    let (signed, _) = instructions.into_parts();
    for header in &signed {
        request.headers_mut().try_insert(header.name(), header.value().to_owned())?;
    }
    Ok(request)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn ids_are_a_filter() {
        let ids = ["i-0123456789abcdef0", "i-01234567"].map(|text| InstanceId::parse(text).expect("an id"));
        expect![
            "Action=DescribeInstances&Version=2016-11-15&MaxResults=100&Filter.1.Name=instance-id&Filter.1.Value.1=i-0123456789abcdef0&Filter.1.Value.2=i-01234567&NextToken=a%2Fb%3D%3D%26c"
        ]
        .assert_eq(&form(&ids, Some("a/b==&c")));
    }
}
