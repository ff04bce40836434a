//! A TLS stream that tells its connection what arrives, and that closes politely.

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
        Self { stream, connection, messages, closing: None }
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
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
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
