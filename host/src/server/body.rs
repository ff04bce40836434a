//! Request bodies: whole, contiguous, of bounded size, within bounded time.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::Body as _;

use super::rejection::Rejection;

/// Reads `body` to its end. One that says it is larger than `limit` is not read at all.
pub(super) async fn read(body: Body, limit: usize, within: Duration) -> Result<Bytes, Rejection> {
    if body.size_hint().lower() > u64::try_from(limit).unwrap_or(u64::MAX) {
        return Err(Rejection::TooLarge(limit));
    }
    tokio::time::timeout(within, collect(body, limit)).await.unwrap_or(Err(Rejection::SlowBody))
}

/// Copies nothing when the body came in one piece, as nearly all do.
async fn collect(mut body: Body, limit: usize) -> Result<Bytes, Rejection> {
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Rejection::BrokenBody)?.into_data() else { continue };
        if whole.len() + data.len() > limit {
            return Err(Rejection::TooLarge(limit));
        }
        if whole.is_empty() && body.is_end_stream() {
            return Ok(data);
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}
