//! A TLS stream that tells its connection what arrives, that reads no more from a peer who takes no answers, and that closes
//! politely.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::Sleep,
};
use tokio_rustls::server::TlsStream;

use super::{Connection, frames::Frames, heads::Heads};

/// Longest time that is spent on what a rejected peer still sends.
pub(super) const LINGER: Duration = Duration::from_secs(1);
/// Most bytes of it that are read.
const LINGER_BYTES: usize = 1024 * 1024;

/// The stream of one connection.
pub(super) struct Watched {
    stream: TlsStream<TcpStream>,
    connection: Arc<Connection>,
    messages: Messages,
    /// Over HTTP/1.1: an answer waits for its peer. As long as it does nothing of his is read: hyper would go on answering
    /// requests whose bodies nobody wants, and keep the heads of all those answers.
    is_full: bool,
    /// Somebody wanted to read meanwhile.
    is_held: bool,
    closing: Option<Closing>,
}

/// How far the peer has come in what it sends.
enum Messages {
    Http1(Heads),
    Http2(Frames),
}

/// Our side is shut; what the peer still sends is thrown away.
struct Closing {
    deadline: Pin<Box<Sleep>>,
    bytes: usize,
}

// === impl Watched ===

impl Watched {
    pub(super) fn new(stream: TlsStream<TcpStream>, connection: Arc<Connection>, h2: bool) -> Self {
        let messages = if h2 { Messages::Http2(Frames::default()) } else { Messages::Http1(Heads::default()) };
        Self { stream, connection, messages, is_full: false, is_held: false, closing: None }
    }

    fn arrived(&mut self, bytes: &[u8]) {
        match &mut self.messages {
            Messages::Http1(heads) => {
                heads.follow(bytes);
                self.connection.arrived(!heads.is_between());
            }
            Messages::Http2(frames) => {
                let was_amid = !frames.is_between();
                let ended = frames.follow(bytes);
                let is_amid = !frames.is_between();
                // Requests mostly come whole, and then there is nothing to tell.
                if is_amid != was_amid || (is_amid && ended) {
                    self.connection.is_amid(is_amid);
                }
            }
        }
    }

    /// Whether the peer had room for what was written. Whoever was held back reads on when he has.
    fn wrote<T>(&mut self, cx: &Context<'_>, result: Poll<T>) -> Poll<T> {
        self.is_full = result.is_pending() && matches!(self.messages, Messages::Http1(_));
        if !self.is_full && std::mem::take(&mut self.is_held) {
            cx.waker().wake_by_ref();
        }
        result
    }

    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let closing =
            self.closing.get_or_insert_with(|| Closing { deadline: Box::pin(tokio::time::sleep(LINGER)), bytes: 0 });
        let mut space = [0; 8192];
        while closing.bytes < LINGER_BYTES && closing.deadline.as_mut().poll(cx).is_pending() {
            let mut buffer = ReadBuf::new(&mut space);
            let read = ready!(Pin::new(&mut *self.stream.get_mut().0).poll_read(cx, &mut buffer));
            if read.is_err() || buffer.filled().is_empty() {
                break;
            }
            closing.bytes += buffer.filled().len();
        }
        Poll::Ready(())
    }
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.is_full {
            self.is_held = true;
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        let arrived = &buffer.filled()[before..];
        if !arrived.is_empty() {
            self.arrived(arrived);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.wrote(cx, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.wrote(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_flush(cx);
        self.wrote(cx, result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.closing.is_none() {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
        }
        if self.connection.lingers() {
            ready!(self.poll_linger(cx));
        }
        Poll::Ready(Ok(()))
    }
}
