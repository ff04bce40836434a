//! One request on a connection, from its head to the last byte of its answer.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::Response;
use hyper::body::{Body, Frame, SizeHint};

use super::Connection;

/// A request under way.
pub(super) struct Turn {
    connection: Arc<Connection>,
    is_answered: bool,
}

/// An answer's body. Its turn lasts until the peer has room for all of it: the bytes hold it while they wait.
pub(super) struct Answer {
    body: axum::body::Body,
    turn: Arc<Turn>,
}

/// Bytes of an answer.
struct Held {
    bytes: Bytes,
    _turn: Arc<Turn>,
}

// === impl Turn ===

impl Turn {
    pub(super) fn begin(connection: &Arc<Connection>) -> Self {
        let mut activity = connection.lock();
        activity.requests += 1;
        // In HTTP/2 more may be on its way already.
        activity.head = activity.head.filter(|_| activity.h2);
        activity.fresh = false;
        drop(activity);
        Self { connection: Arc::clone(connection), is_answered: false }
    }

    /// From now on it is the peer's move.
    pub(super) fn answered(mut self, answer: Response<axum::body::Body>) -> Response<Answer> {
        self.is_answered = true;
        let mut activity = self.connection.lock();
        activity.requests -= 1;
        activity.answers += 1;
        self.connection.rests(&mut activity);
        drop(activity);
        let turn = Arc::new(self);
        answer.map(|body| Answer { body, turn })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut activity = self.connection.lock();
        if self.is_answered {
            activity.answers -= 1;
        } else {
            activity.requests -= 1;
        }
        self.connection.rests(&mut activity);
    }
}

// === impl Answer ===

impl Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let hold = |bytes, turn: &Arc<Turn>| Bytes::from_owner(Held { bytes, _turn: Arc::clone(turn) });
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        frame.map_ok(|frame| frame.map_data(|bytes| hold(bytes, &self.turn)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

// === impl Held ===

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}
