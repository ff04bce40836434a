//! Answers in the shapes of the real service: JSON when asked for, else XML, each with a request id.

use std::{
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Interval, Sleep, interval, sleep};

use super::{
    alibaba,
    connection::Connection,
    error::StsError,
    keys::{Identity, Key},
    verify::amz_date,
};

/// What the service has to say.
pub(super) enum Reply<'a> {
    Identity(&'a Identity),
    Session { action: &'static str, key: &'a Key, role_arn: &'a str },
}

/// A body that comes at once, drop by drop, up to a reset of its connection, or never to its end.
pub(super) enum AnswerBody {
    Whole(Option<Bytes>),
    Drip { rest: Bytes, every: Interval },
    Reset { half: Option<Bytes>, length: u64, arrived: Pin<Box<Sleep>>, connection: Arc<Connection> },
    Stalled(Option<Bytes>),
}

/// How an answer is written, and under which number.
#[derive(Clone, Copy)]
pub(super) struct Style {
    pub(super) json: bool,
    pub(super) serial: u64,
}

const XMLNS: &str = "https://sts.amazonaws.com/doc/2011-06-15/";
const HUGE: usize = 64 << 20;
/// Ample for bytes to arrive that have been sent: a reset overtakes those that have not.
const ON_THE_WAY: Duration = Duration::from_millis(20);

// === impl Style ===

impl Style {
    pub(super) fn reply(self, reply: &Reply<'_>) -> Response<AnswerBody> {
        let body = match reply {
            Reply::Identity(identity) => self.identity(identity),
            Reply::Session { action, key, role_arn } => self.session(action, key, role_arn),
        };
        self.answer(200, body)
    }

    pub(super) fn error(self, error: &StsError) -> Response<AnswerBody> {
        let (code, fault, id) = (error.code(), error.fault(), self.request_id());
        let text = error.to_string();
        let body = if self.json {
            let text = serde_json::to_string(&text).expect("text");
            format!(r#"{{"Error":{{"Code":"{code}","Message":{text},"Type":"{fault}"}},"RequestId":"{id}"}}"#)
        } else {
            let text = escape_xml(&text);
            format!(
                "<ErrorResponse xmlns=\"{XMLNS}\">\n  <Error>\n    <Type>{fault}</Type>\n    <Code>{code}</Code>\n    \
                 <Message>{text}</Message>\n  </Error>\n  <RequestId>{id}</RequestId>\n</ErrorResponse>\n"
            )
        };
        self.answer(error.status(), body)
    }

    /// What STS of Alibaba Cloud answers when it is `host`.
    pub(super) fn of_alibaba(self, host: &str, error: alibaba::Error) -> Response<AnswerBody> {
        Self { json: true, ..self }.answer(error.status(), error.body(host, &self.request_id()))
    }

    /// A body of any text, with the content type that belongs to the style.
    pub(super) fn answer(self, status: u16, body: impl Into<Bytes>) -> Response<AnswerBody> {
        let mut response = Response::new(AnswerBody::Whole(Some(body.into())));
        *response.status_mut() = StatusCode::from_u16(status).expect("statuses are written in this room");
        let kind = if self.json { "application/json" } else { "text/xml" };
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        let id = HeaderValue::try_from(self.request_id()).expect("digits and dashes");
        headers.insert("x-amzn-requestid", id);
        response
    }

    pub(super) fn huge(self) -> Response<AnswerBody> {
        static BODY: OnceLock<Bytes> = OnceLock::new();
        self.answer(200, BODY.get_or_init(|| vec![b'x'; HUGE].into()).clone())
    }

    fn identity(self, identity: &Identity) -> String {
        let Identity { account, arn, user_id } = identity;
        let id = self.request_id();
        if self.json {
            return format!(
                r#"{{"GetCallerIdentityResponse":{{"GetCallerIdentityResult":{{"Account":"{account}","Arn":"{arn}","UserId":"{user_id}"}},"ResponseMetadata":{{"RequestId":"{id}"}}}}}}"#
            );
        }
        format!(
            "<GetCallerIdentityResponse xmlns=\"{XMLNS}\">\n  <GetCallerIdentityResult>\n    <Arn>{arn}</Arn>\n    \
             <UserId>{user_id}</UserId>\n    <Account>{account}</Account>\n  </GetCallerIdentityResult>\n  \
             <ResponseMetadata>\n    <RequestId>{id}</RequestId>\n  </ResponseMetadata>\n</GetCallerIdentityResponse>\n"
        )
    }

    fn session(self, action: &str, key: &Key, role_arn: &str) -> String {
        let role = role_arn.rsplit('/').next().unwrap_or_default();
        let (id, user, arn) = (self.request_id(), &key.identity.user_id, &key.identity.arn);
        let (key_id, secret) = (&key.id, &key.secret);
        let token = key.session_token.as_deref().unwrap_or_default();
        let end = key.expires_at.map(iso_8601).unwrap_or_default();
        if self.json {
            let body = serde_json::json!({format!("{action}Response"): {
                format!("{action}Result"): {
                    "AssumedRoleUser": {"Arn": arn, "AssumedRoleId": user},
                    "Credentials": {"AccessKeyId": key_id, "SecretAccessKey": secret, "SessionToken": token, "Expiration": end},
                },
                "ResponseMetadata": {"RequestId": id},
            }});
            return body.to_string();
        }
        debug_assert!(arn.contains(role), "a session's ARN names its role");
        format!(
            "<{action}Response xmlns=\"{XMLNS}\">\n  <{action}Result>\n    <AssumedRoleUser>\n      \
             <AssumedRoleId>{user}</AssumedRoleId>\n      <Arn>{arn}</Arn>\n    </AssumedRoleUser>\n    <Credentials>\n      \
             <AccessKeyId>{key_id}</AccessKeyId>\n      <SecretAccessKey>{secret}</SecretAccessKey>\n      \
             <SessionToken>{token}</SessionToken>\n      <Expiration>{end}</Expiration>\n    </Credentials>\n  \
             </{action}Result>\n  <ResponseMetadata>\n    <RequestId>{id}</RequestId>\n  </ResponseMetadata>\n\
             </{action}Response>\n"
        )
    }

    pub(super) fn request_id(self) -> String {
        format!("{:08x}-0000-4000-8000-{:012x}", self.serial >> 32, self.serial)
    }
}

/// `2026-01-02T03:04:05Z`.
fn iso_8601(time: std::time::SystemTime) -> String {
    let date = amz_date(time);
    let at = |range| date.get(range).unwrap_or_default();
    format!("{}-{}-{}T{}:{}:{}Z", at(0..4), at(4..6), at(6..8), at(9..11), at(11..13), at(13..15))
}

fn escape_xml(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('\'', "&apos;")
}

// === impl AnswerBody ===

impl AnswerBody {
    /// The same bytes, one each 100 ms.
    pub(super) fn dripping(self) -> Self {
        match self {
            Self::Whole(Some(rest)) => Self::Drip { rest, every: interval(Duration::from_millis(100)) },
            other => other,
        }
    }

    /// The first half of the bytes, and then a reset of their connection.
    pub(super) fn reset(self, connection: Arc<Connection>) -> Self {
        match self {
            Self::Whole(Some(mut bytes)) => {
                let length = bytes.len() as u64;
                let half = Some(bytes.split_to(bytes.len() / 2));
                Self::Reset { half, length, arrived: Box::pin(sleep(ON_THE_WAY)), connection }
            }
            other => other,
        }
    }

    /// The first half of the bytes and then nothing more, ever.
    pub(super) fn stalled(self) -> Self {
        match self {
            Self::Whole(Some(mut bytes)) => Self::Stalled(Some(bytes.split_to(bytes.len() / 2))),
            other => other,
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Drip { rest, .. } if rest.is_empty() => Poll::Ready(None),
            Self::Drip { rest, every } => every.poll_tick(context).map(|_| Some(Ok(Frame::data(rest.split_to(1))))),
            Self::Reset { half, arrived, connection, .. } => match half.take() {
                Some(half) => Poll::Ready(Some(Ok(Frame::data(half)))),
                None => {
                    ready!(arrived.as_mut().poll(context));
                    connection.reset();
                    Poll::Pending
                }
            },
            Self::Stalled(bytes) => match bytes.take() {
                Some(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
                // No waker is kept: only the end of the connection ends this body.
                None => Poll::Pending,
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_none(),
            Self::Drip { rest, .. } => rest.is_empty(),
            Self::Reset { .. } | Self::Stalled(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Drip { rest, .. } => SizeHint::with_exact(rest.len() as u64),
            Self::Reset { length, .. } => SizeHint::with_exact(*length),
            Self::Stalled(_) => SizeHint::default(),
        }
    }
}
