//! One question to a service: a form of the query protocol, signed, and what comes back. No redirect is followed.
//!
//! Sources: Amazon EC2 API Reference, "Query requests for Amazon EC2"; IAM User Guide, "Calling the IAM API using HTTP query
//! requests".

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

use super::{Access, CallError, access::Loaded};

/// What a service said.
pub(in crate::provider::aws) struct Answer {
    pub(in crate::provider::aws) status: u16,
    pub(in crate::provider::aws) body: Bytes,
}

const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";
const CONNECT: Duration = Duration::from_secs(2);
const READ: Duration = Duration::from_secs(4);

/// Sends `form` by what `access` has made ready. At most `most` bytes of an answer are read.
///
/// # Errors
///
/// [`CallError::Unavailable`].
pub(in crate::provider::aws) async fn post(
    access: &Access,
    ready: &Loaded,
    form: &str,
    most: usize,
) -> Result<Answer, CallError> {
    let name = access.service().name;
    let request = request(name, ready, form, access.now()).map_err(|_| CallError::Unavailable("request"))?;
    let settings = HttpConnectorSettings::builder().connect_timeout(CONNECT).read_timeout(READ).build();
    let response = access.http.call(request, &settings).await;
    let response = response.map_err(|error| {
        CallError::Unavailable(if error.is_timeout() {
            "timeout"
        } else if error.is_io() {
            "connect"
        } else {
            "protocol"
        })
    })?;
    let status = response.status().as_u16();
    Ok(Answer { status, body: read(response, most).await? })
}

async fn read(response: HttpResponse, most: usize) -> Result<Bytes, CallError> {
    let body = Limited::new(response.into_body(), most).collect().await;
    let body = body.map_err(|error| {
        CallError::Unavailable(if error.is::<http_body_util::LengthLimitError>() { "too_large" } else { "reset" })
    })?;
    Ok(body.to_bytes())
}

type Failed = Box<dyn std::error::Error + Send + Sync>;

fn request(service: &str, ready: &Loaded, form: &str, now: SystemTime) -> Result<HttpRequest, Failed> {
    let url = format!("{}/", ready.url);
    let host = url.split('/').nth(2).unwrap_or_default();
    let identity = Identity::from(ready.credentials.clone());
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(&ready.region)
        .name(service)
        .time(now)
        .settings(SigningSettings::default())
        .build()?
        .into();
    let headers = [("content-type", FORM), ("host", host)];
    let signable = SignableRequest::new("POST", &url, headers.into_iter(), SignableBody::Bytes(form.as_bytes()))?;
    let (instructions, _) = sign(signable, &params)?.into_parts();
    let mut request = HttpRequest::new(Bytes::from(form.to_owned()).into());
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
