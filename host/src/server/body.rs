//! Request bodies: whole, contiguous, of bounded size, within bounded time, and few bytes of unfinished ones.
//!
//! A body that is there in one piece, as nearly all are, costs nothing here. What has arrived of any other one is taken
//! from a budget that all connections share, until the body is whole or given up.

use std::{
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::Body as _;

use super::rejection::Rejection;

/// Bytes of unfinished bodies that a server may hold; the buffers they are in may be twice as large.
#[derive(Debug)]
pub(super) struct Budget(AtomicUsize);

/// What one body has of the budget; given back when dropped.
struct Held<'a> {
    budget: &'a Budget,
    bytes: usize,
}

/// As many as there are connections by default, each with a usual body.
const BUDGET: usize = 4 * 1024 * 1024;
/// Bodies of the largest size that fit in any case.
const LARGEST: usize = 16;

/// Reads `body` to its end. One that says it is larger than `limit` is not read at all.
pub(super) async fn read(body: Body, limit: usize, within: Duration, budget: &Budget) -> Result<Bytes, Rejection> {
    if body.size_hint().lower() > u64::try_from(limit).unwrap_or(u64::MAX) {
        return Err(Rejection::TooLarge(limit));
    }
    tokio::time::timeout(within, collect(body, limit, budget)).await.unwrap_or(Err(Rejection::SlowBody))
}

async fn collect(mut body: Body, limit: usize, budget: &Budget) -> Result<Bytes, Rejection> {
    let mut whole = BytesMut::new();
    let mut held = Held { budget, bytes: 0 };
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Rejection::BrokenBody)?.into_data() else { continue };
        if whole.len() + data.len() > limit {
            return Err(Rejection::TooLarge(limit));
        }
        if whole.is_empty() && body.is_end_stream() {
            return Ok(data);
        }
        held.take(data.len())?;
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}

// === impl Budget ===

impl Budget {
    /// For bodies of at most `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self(AtomicUsize::new(BUDGET.max(LARGEST * limit)))
    }
}

// === impl Held ===

impl Held<'_> {
    fn take(&mut self, bytes: usize) -> Result<(), Rejection> {
        let taken = self.budget.0.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(bytes));
        taken.map_err(|_| Rejection::BodyBudget)?;
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.budget.0.fetch_add(self.bytes, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::{FutureExt as _, StreamExt as _, stream};

    use super::*;

    const LIMIT: usize = 8;

    /// A body of these pieces, which does not end (`open`) or does.
    fn body(pieces: &'static [&'static str], open: bool) -> Body {
        let pieces = stream::iter(pieces).map(|piece| Ok::<_, Infallible>(Bytes::from_static(piece.as_bytes())));
        if open { Body::from_stream(pieces.chain(stream::pending())) } else { Body::from_stream(pieces) }
    }

    /// What comes of such a body at once, `None` if it is waited for, with so much of the budget left.
    #[track_caller]
    fn check(left: usize, body: Body, expected: Option<Result<&str, Rejection>>) {
        let budget = Budget(AtomicUsize::new(left));
        let found = collect(body, LIMIT, &budget).now_or_never();
        assert_eq!(found, expected.map(|result| result.map(|text| Bytes::copy_from_slice(text.as_bytes()))));
        assert_eq!(budget.0.into_inner(), left, "all is given back");
    }

    #[test]
    fn bodies_in_pieces_are_of_the_budget() {
        check(0, Body::from("{\"a\":1}"), Some(Ok("{\"a\":1}")));
        check(4, body(&["ab", "cd"], false), Some(Ok("abcd")));
        check(3, body(&["ab", "cd"], false), Some(Err(Rejection::BodyBudget)));
        check(4, body(&["ab", "cd"], true), None);
        check(100, body(&["abcd", "efgh", "i"], true), Some(Err(Rejection::TooLarge(LIMIT))));
    }

    #[test]
    fn a_body_that_waits_holds_what_has_come_of_it_and_no_more() {
        let budget = Budget(AtomicUsize::new(5));
        let waiting = |pieces| collect(body(pieces, true), LIMIT, &budget);
        let mut first = Box::pin(waiting(&["ab", "c"]));
        assert!((&mut first).now_or_never().is_none());
        assert_eq!(budget.0.load(Relaxed), 2);
        assert_eq!(waiting(&["abc"]).now_or_never(), Some(Err(Rejection::BodyBudget)));
        drop(first);
        assert_eq!(budget.0.load(Relaxed), 5);
    }
}
