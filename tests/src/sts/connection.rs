//! Connections: the first bytes tell whether a client speaks TLS, asks for a tunnel, or is the operator.

use std::{
    os::fd::AsFd as _,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::watch,
    time::timeout,
};

use super::{Sts, admin, hosts, stats::count};

/// What the service knows about the connection a request came on.
pub(super) struct Connection {
    /// Counts from 1.
    pub(super) nth: u64,
    /// The host that the client's TLS asked for.
    pub(super) server_name: Option<String>,
    /// Requests so far.
    pub(super) served: AtomicU64,
    reset: watch::Sender<bool>,
}

const TLS_HANDSHAKE: u8 = 0x16;
const MAX_HEAD: usize = 8192;
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_STREAMS: u32 = 250;

pub(super) async fn serve(sts: Arc<Sts>, mut socket: TcpStream, nth: u64) {
    // Without it answers wait for the client's next packet; nothing is lost when it fails.
    let _ = socket.set_nodelay(true);
    if timeout(HEAD_TIMEOUT, greet(&sts, &mut socket)).await.is_ok_and(|tls| tls == Some(())) {
        secure(sts, socket, nth).await;
    }
}

/// `Some` when TLS comes next on this socket.
async fn greet(sts: &Sts, socket: &mut TcpStream) -> Option<()> {
    let mut first = [0];
    if socket.peek(&mut first).await.ok()? == 0 {
        return None;
    }
    if first == [TLS_HANDSHAKE] {
        return Some(());
    }
    let head = read_head(socket).await?;
    let Some(target) = head.strip_prefix("CONNECT ") else {
        // The operator's own mistake if nobody reads the answer.
        let _ = socket.write_all(admin::answer(sts, &head).as_bytes()).await;
        return None;
    };
    let host = target.split([':', ' ']).next().unwrap_or_default();
    if !hosts::is_known(host) {
        count(&sts.counters.tunnels_refused);
        let _ = socket.write_all(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
        return None;
    }
    count(&sts.counters.tunnels);
    socket.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.ok()
}

async fn secure(sts: Arc<Sts>, socket: TcpStream, nth: u64) {
    // The socket itself goes to TLS and is out of reach then.
    let Ok(handle) = second_handle(&socket) else { return };
    count(&sts.counters.tcp_accepted);
    let _open = sts.counters.open.hold();
    let behaviour = sts.behaviour();
    if behaviour.connect_latency_ms > 0.0 {
        tokio::time::sleep(Duration::from_secs_f64(behaviour.connect_latency_ms / 1000.0)).await;
    }
    let acceptor = if behaviour.h2 { &sts.with_h2 } else { &sts.without_h2 };
    let Ok(tls) = acceptor.accept(socket).await else {
        count(&sts.counters.tls_failures);
        return;
    };
    count(&sts.counters.tls_handshakes);
    let (_, session) = tls.get_ref();
    let h2 = session.alpn_protocol() == Some(b"h2");
    let server_name = session.server_name().map(str::to_owned);
    let reset = watch::Sender::new(false);
    let mut is_reset = reset.subscribe();
    let connection = Arc::new(Connection { nth, server_name, served: AtomicU64::new(0), reset });
    let service = service_fn({
        let sts = Arc::clone(&sts);
        move |request: hyper::Request<Incoming>| {
            connection.served.fetch_add(1, Relaxed);
            Arc::clone(&sts).answer(Arc::clone(&connection), request)
        }
    });
    // An error from the service (fault `close`), or from the client, ends the connection: all there is to do.
    let serving = async {
        if h2 {
            count(&sts.counters.h2_conns);
            let mut builder = http2::Builder::new(TokioExecutor::new());
            let _ = builder.max_concurrent_streams(MAX_STREAMS).serve_connection(TokioIo::new(tls), service).await;
        } else {
            let _ = http1::Builder::new().serve_connection(TokioIo::new(tls), service).await;
        }
    };
    tokio::select! {
        biased;
        _ = is_reset.changed() => {}
        () = serving => {}
    }
    // The socket that TLS had is closed by now, and the last handle decides how the connection ends.
    if *is_reset.borrow() {
        let _ = handle.set_zero_linger();
    }
}

fn second_handle(socket: &TcpStream) -> std::io::Result<TcpStream> {
    TcpStream::from_std(socket.as_fd().try_clone_to_owned()?.into())
}

/// Everything up to the empty line. A client sends nothing behind it before it has its answer.
async fn read_head(socket: &mut TcpStream) -> Option<String> {
    let mut head = Vec::with_capacity(512);
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() > MAX_HEAD || socket.read_buf(&mut head).await.ok()? == 0 {
            return None;
        }
    }
    String::from_utf8(head).ok()
}

// === impl Connection ===

impl Connection {
    /// Ends it by a TCP RST, whatever is on the way.
    pub(super) fn reset(&self) {
        self.reset.send_replace(true);
    }
}
