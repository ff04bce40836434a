//! One connection: handshake, requests, and the clock that runs while it does nothing.
//!
//! HTTP's own timers do not tell a slow head from a connection kept for later, so the bytes that
//! arrive are watched here: a head, and in HTTP/2 any frame, has `headTimeout` from its first byte, a first request
//! `headTimeout` from the handshake, and between requests there is `idleTimeout`, or where places are scarce `headTimeout`.
//! A head that has begun while a request was under way has its time from when that is answered. An answer that its peer
//! does not take has `headTimeout`, over HTTP/1.1 whatever stands behind it, and nothing more of his is read there meanwhile.
//! Whoever was too slow with a body over HTTP/2 does not keep the connection.
//! Over HTTP/2 a peer is told that an idle connection ends (GOAWAY), and what it has sent meanwhile is answered.

use std::{
    future::{Future as _, poll_fn},
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    time::Duration,
};

use axum::Router;
use hyper::{
    Request,
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::graceful::GracefulConnection,
};
use rustls::AlertDescription;
use tokio::{
    net::TcpStream,
    sync::{Semaphore, watch},
    time::Instant,
};
use tokio_rustls::TlsAcceptor;
use tower::Service as _;

use super::Config;

mod frames;
mod heads;
mod turn;
mod watched;

pub use frames::Frames;
pub use heads::Heads;
use turn::Turn;
use watched::{LINGER, Watched};

/// The reason of a connection whose peer does not trust our certificate.
pub(super) const UNTRUSTED: &str = "untrusted";
/// The reason of one that was not used for a while.
const IDLE: &str = "idle";
/// The reason of one whose peer was too slow with a body.
const SLOW_BODY: &str = "slow_body";

/// Requests at once on one HTTP/2 connection: a share of these, which is less the more connections are open when it begins.
/// One whose body does not come costs 6 KiB, and on all connections there may be some thousands; clients that need more open
/// another connection.
const STREAMS: u32 = 256;
/// The largest share.
const MAX_STREAMS: u32 = 250;
/// The smallest one.
const MIN_STREAMS: u32 = 2;
/// Largest head, in bytes.
const MAX_HEAD_BYTES: u32 = 16 * 1024;
/// Largest read buffer of an HTTP/1.1 connection, in bytes.
const MAX_BUFFER_BYTES: usize = 32 * 1024;
/// What a peer may send on one HTTP/2 stream before it is read, in bytes.
const STREAM_WINDOW: u32 = 128 * 1024;
/// What a peer may send on one HTTP/2 connection before it is read, in bytes.
const CONNECTION_WINDOW: u32 = 512 * 1024;
/// How often a silent HTTP/2 peer is asked whether it is still there.
const PING_INTERVAL: Duration = Duration::from_secs(30);
/// How long it may take to say so.
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// How far the server's end has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Phase {
    /// Serving.
    Open,
    /// What is under way is finished, nothing else is begun.
    Draining,
    /// Everything ends now.
    Cut,
}

/// What handlers and the transport tell each other about one connection.
#[derive(Debug)]
pub(super) struct Connection {
    peer: SocketAddr,
    head_timeout: Duration,
    idle_timeout: Duration,
    /// Room for connections, and how much of it may be left before those without a request give way soon.
    places: Arc<Semaphore>,
    scarce: usize,
    linger: AtomicBool,
    activity: Mutex<Activity>,
}

#[derive(Debug)]
struct Activity {
    /// Requests are answered beside each other, and not one after another.
    h2: bool,
    /// Requests that are not answered yet.
    requests: usize,
    /// Answers that the peer has not taken whole.
    answers: usize,
    /// When to end the connection, if nothing has begun to arrive by then.
    due: Instant,
    /// The name of that end.
    reason: &'static str,
    /// When what has begun to arrive, a head or a frame of HTTP/2, has to be whole; counts while no request is under way.
    head: Option<Instant>,
    /// Over HTTP/1.1: the last byte that arrived did not end a message.
    amid: bool,
    /// No request has arrived yet.
    fresh: bool,
    leaving: Leaving,
    /// Why it leaves, once it does.
    farewell: &'static str,
}

/// Whether the server wants to be rid of an HTTP/2 connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Leaving {
    No,
    /// The peer is to be told.
    Wanted,
    /// It has been told.
    Told,
}

/// Serves one accepted connection to its end: `Err` tells why the server ended it.
pub(super) async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    tls: &TlsAcceptor,
    router: Router,
    config: &Config,
    places: Arc<Semaphore>,
    mut phase: watch::Receiver<Phase>,
) -> Result<(), &'static str> {
    // Refused only for a socket that is gone already.
    let _ = stream.set_nodelay(true);
    let handshake = tokio::time::timeout(config.handshake_timeout, tls.accept(stream));
    let stream = tokio::select! {
        stream = handshake => stream.map_or(Err("handshake"), |stream| stream.map_err(|error| handshake_failure(&error)))?,
        _ = phase.wait_for(|phase| *phase != Phase::Open) => return Err("shutdown"),
    };
    let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let connection = Arc::new(Connection::new(peer, h2, config, places));
    let io = TokioIo::new(Watched::new(stream, Arc::clone(&connection), h2));
    let turns = Arc::clone(&connection);
    let service = service_fn(move |mut request: Request<Incoming>| {
        let turn = Turn::begin(&turns);
        request.extensions_mut().insert(Arc::clone(&turns));
        let answer = router.clone().call(request);
        async move { answer.await.map(|answer| turn.answered(answer)) }
    });
    if h2 {
        let streams = streams(connection.open(config.max_connections));
        drive(http2(streams).serve_connection(io, service), &connection, phase).await
    } else {
        drive(http1().serve_connection(io, service), &connection, phase).await
    }
}

/// `client_certificate` if the peer shows none, or none that is vouched for; `untrusted` if the peer said that it does not trust our certificate (RFC 8446, "Error Alerts"), as an API server does
/// that was started with another webhook kubeconfig.
fn handshake_failure(error: &std::io::Error) -> &'static str {
    // The last is what some say of a certificate that another authority of the same name has signed.
    use AlertDescription::{BadCertificate, CertificateExpired, CertificateUnknown, DecryptError, UnknownCA};
    let untrusted = [BadCertificate, CertificateExpired, CertificateUnknown, UnknownCA, DecryptError];
    match error.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(rustls::Error::AlertReceived(alert)) if untrusted.contains(alert) => UNTRUSTED,
        Some(rustls::Error::NoCertificatesPresented | rustls::Error::InvalidCertificate(_)) => "client_certificate",
        _ => "handshake",
    }
}

fn http1() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder.header_read_timeout(None).max_buf_size(MAX_BUFFER_BYTES).timer(TokioTimer::new());
    builder
}

/// How many requests one connection may have at once that is the last of so many.
fn streams(open: usize) -> u32 {
    let open = u32::try_from(open).unwrap_or(u32::MAX).max(1);
    (STREAMS / open).clamp(MIN_STREAMS, MAX_STREAMS)
}

fn http2(streams: u32) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(streams)
        .max_header_list_size(MAX_HEAD_BYTES)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    builder
}

async fn drive<C: GracefulConnection>(
    http: C,
    connection: &Connection,
    mut phase: watch::Receiver<Phase>,
) -> Result<(), &'static str> {
    let mut http = pin!(http);
    let mut timer = pin!(tokio::time::sleep_until(connection.lock().due));
    loop {
        let watched = poll_fn(|cx| {
            if let Poll::Ready(result) = http.as_mut().poll(cx) {
                return Poll::Ready(connection.ended(result.map_err(|_| "broken")));
            }
            loop {
                // An earlier end than the armed one is rare (a head that does not come whole), a
                // later one is found when the timer fires: so no request touches the timer.
                let (end, leaves) = connection.lock().ends();
                if leaves {
                    http.as_mut().graceful_shutdown();
                    cx.waker().wake_by_ref();
                }
                if let Some((end, _)) = end.filter(|(end, _)| *end < timer.deadline()) {
                    timer.as_mut().reset(end);
                }
                if timer.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                match connection.overdue() {
                    Ok(again) => timer.as_mut().reset(again),
                    Err(reason) => return Poll::Ready(Err(reason)),
                }
            }
        });
        tokio::select! {
            biased;
            result = watched => return result,
            _ = phase.changed() => {}
        }
        match *phase.borrow_and_update() {
            Phase::Open => {}
            Phase::Draining if connection.lock().fresh => return Err("shutdown"),
            Phase::Draining => http.as_mut().graceful_shutdown(),
            Phase::Cut => return Err("shutdown"),
        }
    }
}

// === impl Connection ===

impl Connection {
    fn new(peer: SocketAddr, h2: bool, config: &Config, places: Arc<Semaphore>) -> Self {
        let due = Instant::now() + config.head_timeout;
        Self {
            peer,
            head_timeout: config.head_timeout,
            idle_timeout: config.idle_timeout,
            places,
            scarce: config.max_connections.div_ceil(4),
            linger: AtomicBool::new(false),
            activity: Mutex::new(Activity {
                h2,
                requests: 0,
                answers: 0,
                due,
                reason: "head_timeout",
                head: None,
                amid: false,
                fresh: true,
                leaving: Leaving::No,
                farewell: SLOW_BODY,
            }),
        }
    }

    /// How many connections are open of at most so many. The place that the listener holds for the next one is none.
    fn open(&self, most: usize) -> usize {
        most.saturating_sub(self.places.available_permits() + 1)
    }

    /// The address at the other end.
    pub(super) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Should the connection be closed after this answer, what the peer still sends is read for a
    /// moment and thrown away: a reset would overtake the answer.
    pub(super) fn linger(&self) {
        self.linger.store(true, Ordering::Relaxed);
    }

    fn lingers(&self) -> bool {
        self.linger.load(Ordering::Relaxed)
    }

    /// Over HTTP/2 the connection ends soon: nothing more is begun, and what is under way is finished. Over HTTP/1.1 it ends
    /// with this answer in any case.
    pub(super) fn leave(&self) {
        let mut activity = self.lock();
        if activity.h2 && activity.leaving == Leaving::No {
            (activity.leaving, activity.farewell) = (Leaving::Wanted, SLOW_BODY);
        }
    }

    /// Bytes came in over HTTP/1.1, of which the last one ended a message or (`amid`) did not: between requests such a
    /// message is a head. Empty lines in front of one are none.
    fn arrived(&self, amid: bool) {
        let mut activity = self.lock();
        activity.amid = amid;
        if activity.requests == 0 {
            activity.head = amid.then(|| activity.head.unwrap_or_else(|| Instant::now() + self.head_timeout));
        }
    }

    /// Something has begun to arrive over HTTP/2 and is not whole, or (`false`) nothing is under way.
    fn is_amid(&self, amid: bool) {
        self.lock().head = amid.then(|| Instant::now() + self.head_timeout);
    }

    /// How long the connection is kept without a request. Where places are scarce whoever wants one is worth more than
    /// whoever holds one for later.
    fn patience(&self) -> Duration {
        let is_scarce = self.places.available_permits() < self.scarce;
        if is_scarce { self.head_timeout.min(self.idle_timeout) } else { self.idle_timeout }
    }

    /// A request was answered, or its answer taken: the clock starts for what is to come next.
    fn rests(&self, activity: &mut Activity) {
        let now = Instant::now();
        if activity.amid && activity.requests == 0 && activity.head.is_none() {
            activity.head = Some(now + self.head_timeout);
        }
        (activity.due, activity.reason) = if activity.answers > 0 {
            (now + self.head_timeout, "slow_reader")
        } else if activity.leaving == Leaving::No {
            (now + self.patience(), IDLE)
        } else {
            (now + LINGER, activity.farewell)
        };
    }

    /// The end has come (`Err`), or when to look again (`Ok`). An idle peer is told first over HTTP/2, and what it has
    /// sent before it knows is answered.
    fn overdue(&self) -> Result<Instant, &'static str> {
        let (mut activity, now) = (self.lock(), Instant::now());
        match activity.end() {
            Some((end, IDLE)) if end <= now && activity.h2 && activity.leaving == Leaving::No => {
                (activity.leaving, activity.farewell) = (Leaving::Wanted, IDLE);
                activity.due = now + LINGER;
                Ok(activity.due)
            }
            Some((end, reason)) if end <= now => Err(reason),
            Some((end, _)) => Ok(end),
            None => Ok(now + self.idle_timeout),
        }
    }

    /// How a connection ended that came to its end by itself.
    fn ended(&self, result: Result<(), &'static str>) -> Result<(), &'static str> {
        let activity = self.lock();
        let was_idle = activity.leaving != Leaving::No && activity.farewell == IDLE;
        if was_idle { Err(IDLE) } else { result }
    }

    fn lock(&self) -> MutexGuard<'_, Activity> {
        self.activity.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Activity ===

impl Activity {
    /// When to end the connection, and the name of that end; never while a request is under way. Over HTTP/1.1 one that
    /// is behind an answer that was not taken is not: nobody looks at it before.
    fn end(&self) -> Option<(Instant, &'static str)> {
        let end = match self.head {
            // Not before an answer is on its way.
            Some(head) if head < self.due && self.answers == 0 => (head, "head_timeout"),
            _ => (self.due, self.reason),
        };
        let is_busy = self.requests > 0 && (self.h2 || self.answers == 0);
        (!is_busy).then_some(end)
    }

    /// The same, and whether the peer is to be told that the connection ends, which is said once.
    fn ends(&mut self) -> (Option<(Instant, &'static str)>, bool) {
        let leaves = self.leaving == Leaving::Wanted;
        if leaves {
            self.leaving = Leaving::Told;
        }
        (self.end(), leaves)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_comes_later_has_a_smaller_share() {
        for (open, share) in [(0, 250), (1, 250), (2, 128), (3, 85), (8, 32), (32, 8), (128, 2), (1024, 2)] {
            assert_eq!(streams(open), share, "{open}");
        }
        let all: u32 = (1..=1024).map(streams).sum();
        assert!(all < 4000, "{all}");
    }
}
