//! One exchange with STS: the request, deadlines, the cap on answers, and why there was none.
//!
//! Nothing of a request but its host is ever logged: its query holds the signature.

use std::{error::Error as StdError, fmt, io, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{
    HeaderMap,
    header::{CONTENT_TYPE, HOST, RETRY_AFTER},
};
use reqwest::{Request, Response, Url};

use crate::provider::{StsCall, StsReply};

/// Why STS gave no answer that could be read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Failure {
    /// No connection: refused, unreachable, not in time, or the proxy's fault.
    Connect,
    /// The host's name has no address.
    Dns,
    /// What came back is not HTTP.
    Protocol,
    /// The answer points elsewhere.
    Redirect,
    /// The request cannot be sent as it was rebuilt: our own mistake.
    Request,
    /// The connection ended before the answer did.
    Reset,
    /// The whole answer did not come in time.
    Timeout,
    /// The other side is not whom we trust.
    Tls,
    /// The answer is larger than the cap.
    TooLarge,
}

/// An error and what is behind it, on one line.
struct Causes<'a>(&'a reqwest::Error);

/// Largest answer read, in bytes. Those of STS have less than one KiB.
pub(super) const MAX_ANSWER: usize = 64 * 1024;
/// Longest `Retry-After` believed.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// Sends `call` and reads the whole answer, within `timeout`.
///
/// A pooled connection may be closed by the other side just when it is used. The calls are idempotent,
/// so one that met a reset is sent once more.
pub(super) async fn ask(client: &reqwest::Client, call: &StsCall, timeout: Duration) -> Result<StsReply, Failure> {
    let attempts = async {
        let mut is_retry = false;
        loop {
            match attempt(client, call).await {
                Err(Failure::Reset) if !is_retry => is_retry = true,
                result => return result,
            }
        }
    };
    let result = tokio::time::timeout(timeout, attempts).await.unwrap_or(Err(Failure::Timeout));
    if let Err(failure) = &result {
        tracing::debug!(host = call.host, cause = failure.label(), "STS gave no answer");
    }
    result
}

async fn attempt(client: &reqwest::Client, call: &StsCall) -> Result<StsReply, Failure> {
    let failed = |error| Failure::of(&call.host, error);
    let response = client.execute(request(call)?).await.map_err(failed)?;
    if response.status().is_redirection() {
        return Err(Failure::Redirect);
    }
    let status = response.status().as_u16();
    let content_type = content_type(response.headers());
    let retry_after = retry_after(response.headers());
    let body = body(response, failed).await?;
    Ok(StsReply { status, content_type, body, retry_after })
}

fn request(call: &StsCall) -> Result<Request, Failure> {
    let target = call.path_and_query.expose();
    let mut text = String::with_capacity("https://".len() + call.host.len() + target.len());
    text.extend(["https://", &call.host, target]);
    let url = Url::parse(&text).ok().filter(|url| url.as_str() == text).ok_or(Failure::Request)?;
    let mut request = Request::new(call.method.clone(), url);
    let headers = request.headers_mut();
    for (name, value) in call.headers.iter().filter(|(name, _)| name != HOST) {
        headers.append(name, value.clone());
    }
    Ok(request)
}

/// The whole body; one that comes in a single piece is not copied.
async fn body(mut response: Response, failed: impl Fn(reqwest::Error) -> Failure) -> Result<Bytes, Failure> {
    if response.content_length().is_some_and(|length| length > MAX_ANSWER as u64) {
        return Err(Failure::TooLarge);
    }
    let first = response.chunk().await.map_err(&failed)?.unwrap_or_default();
    let mut whole = BytesMut::new();
    while first.len().max(whole.len()) <= MAX_ANSWER {
        let Some(piece) = response.chunk().await.map_err(&failed)? else {
            return Ok(if whole.is_empty() { first } else { whole.freeze() });
        };
        if whole.is_empty() {
            whole.extend_from_slice(&first);
        }
        whole.extend_from_slice(&piece);
    }
    Err(Failure::TooLarge)
}

fn content_type(headers: &HeaderMap) -> Option<String> {
    headers.get(CONTENT_TYPE)?.to_str().ok().map(str::to_owned)
}

/// `Retry-After` in seconds (RFC 9110 §10.2.3); a date is left out, since believing it takes a clock.
#[must_use]
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.as_bytes();
    let digits = (1..=9).contains(&text.len()) && text.iter().all(u8::is_ascii_digit);
    let seconds = digits.then(|| text.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')))?;
    Some(Duration::from_secs(seconds).min(MAX_RETRY_AFTER))
}

// === impl Failure ===

impl Failure {
    /// Whether the failure speaks against the host. A request that cannot be sent does not: a caller could
    /// else close a host to everybody.
    pub(super) fn is_the_hosts(self) -> bool {
        self != Self::Request
    }

    /// The stable label: [`crate::provider::VerifyError::Unavailable`]'s cause.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Dns => "dns",
            Self::Protocol => "protocol",
            Self::Redirect => "redirect",
            Self::Request => "request",
            Self::Reset => "reset",
            Self::Timeout => "timeout",
            Self::Tls => "tls",
            Self::TooLarge => "too_large",
        }
    }

    /// Reads an error of the HTTP client, and logs it without its URL.
    fn of(host: &str, error: reqwest::Error) -> Self {
        let error = error.without_url();
        let failure = Self::classify(&error);
        tracing::debug!(host, cause = failure.label(), error = %Causes(&error), "HTTP towards STS failed");
        failure
    }

    fn classify(error: &reqwest::Error) -> Self {
        let found = causes(error).find_map(Self::of_cause);
        match found {
            Some(Self::Tls) => Self::Tls,
            _ if error.is_dns() => Self::Dns,
            _ if error.is_connect() => Self::Connect,
            Some(failure) => failure,
            None if error.is_timeout() => Self::Timeout,
            None if error.is_builder() => Self::Request,
            None => Self::Protocol,
        }
    }

    fn of_cause(cause: &(dyn StdError + 'static)) -> Option<Self> {
        if cause.is::<rustls::Error>() {
            return Some(Self::Tls);
        }
        if let Some(error) = cause.downcast_ref::<hyper::Error>() {
            // What is left once these are out is a lost connection or, in HTTP/2, a lost stream, or a connection that was
            // given up because its peer left a ping without an answer.
            let other = error.is_parse() || error.is_user();
            return (!other).then_some(Self::Reset);
        }
        Self::of_io(cause.downcast_ref()?)
    }

    /// An `io::Error`'s source is that of the error inside, not the error inside itself: look there too.
    fn of_io(error: &io::Error) -> Option<Self> {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
        let inside = error.get_ref().and_then(|inner| {
            if inner.is::<rustls::Error>() { Some(Self::Tls) } else { Self::of_io(inner.downcast_ref()?) }
        });
        let is_lost = matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof);
        inside.or_else(|| is_lost.then_some(Self::Reset))
    }
}

// === impl Causes ===

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        causes(self.0).try_for_each(|cause| write!(f, ": {cause}"))
    }
}

fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    std::iter::successors(error.source(), |cause| (*cause).source())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::{HeaderValue, Method};
    use rustls::RootCertStore;
    use tokio::net::TcpListener;

    use super::{super::tls, *};

    /// What the system acknowledges says nothing of who should answer, as behind a gateway that has lost him.
    #[tokio::test]
    async fn a_peer_that_leaves_pings_without_an_answer_is_a_lost_connection() {
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}/", silent.local_addr().unwrap())).unwrap();
        let soon = Duration::from_millis(20);
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls::client_config(Arc::new(RootCertStore::empty())))
            .no_proxy()
            .http2_prior_knowledge()
            .http2_keep_alive_interval(soon)
            .http2_keep_alive_timeout(soon)
            .build()
            .unwrap();
        let asked = client.execute(Request::new(Method::GET, url));
        let ended = tokio::time::timeout(Duration::from_secs(60), asked).await.expect("it is given up");
        assert_eq!(Failure::of("sts.test", ended.unwrap_err()), Failure::Reset);
    }

    #[test]
    fn retry_after_is_seconds_within_an_hour() {
        #[track_caller]
        fn check(text: &str, expected: Option<u64>) {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_str(text).unwrap())]);
            assert_eq!(retry_after(&headers), expected.map(Duration::from_secs), "{text:?}");
        }
        check("0", Some(0));
        check("7", Some(7));
        check("3601", Some(3600));
        check("999999999", Some(3600));
        check("9999999999", None);
        check("Fri, 31 Dec 1999 23:59:59 GMT", None);
        check("-1", None);
        check("1.5", None);
        check("", None);
    }
}
