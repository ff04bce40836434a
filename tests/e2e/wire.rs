//! The network between Herald and an API server: a way to it that fails as networks do.

use std::{future::pending, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::{JoinHandle, JoinSet},
};

/// What becomes of what is sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Network {
    /// It arrives.
    Whole,
    /// It arrives once the network is whole again.
    Frozen,
    /// Every connection is closed, and so is each new one.
    Cut,
}

/// A TCP port that leads to another one. Dropping it closes every connection.
pub(crate) struct Wire {
    /// The port, on loopback.
    pub(crate) port: u16,
    state: watch::Sender<State>,
    accepting: JoinHandle<()>,
}

#[derive(Clone, Copy)]
struct State {
    network: Network,
    /// Connections of an earlier age stay open and carry nothing.
    age: u32,
}

// === impl Wire ===

impl Wire {
    /// A whole one.
    pub(crate) async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let state = watch::Sender::new(State { network: Network::Whole, age: 0 });
        let accepting = tokio::spawn(accept(listener, target, state.subscribe()));
        Self { port, state, accepting }
    }

    /// From now on.
    pub(crate) fn set(&self, network: Network) {
        self.state.send_modify(|state| state.network = network);
    }

    /// Connections that are open now carry nothing any more and nobody is told, as behind a firewall that has forgotten
    /// them. New ones are as good as before.
    pub(crate) fn forget(&self) {
        self.state.send_modify(|state| state.age += 1);
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, target: SocketAddr, state: watch::Receiver<State>) {
    let mut connections = JoinSet::new();
    loop {
        let (client, _) = listener.accept().await.expect("it listens");
        connections.spawn(carry(client, target, state.clone()));
        while connections.try_join_next().is_some() {}
    }
}

/// Carries one connection until either end closes it, or the network does.
async fn carry(client: TcpStream, target: SocketAddr, mut state: watch::Receiver<State>) {
    let age = state.borrow_and_update().age;
    let open = async {
        passes(&mut state.clone(), age).await;
        let Ok(server) = TcpStream::connect(target).await else { return };
        let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
        tokio::join!(
            copy(from_client, to_server, state.clone(), age),
            copy(from_server, to_client, state.clone(), age)
        );
    };
    let mut other = state.clone();
    let cut = other.wait_for(|state| state.network == Network::Cut && state.age == age);
    tokio::select! {
        () = open => {}
        _ = cut => {}
    }
}

async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut state: watch::Receiver<State>, age: u32) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        passes(&mut state, age).await;
        let read = from.read(&mut buffer).await;
        // What came in just when the network failed waits as well.
        passes(&mut state, age).await;
        match read {
            Ok(count) if count > 0 && to.write_all(&buffer[..count]).await.is_ok() => {}
            _ => return,
        }
    }
}

/// Waits until something of a connection of that age passes; for a forgotten one, for ever.
async fn passes(state: &mut watch::Receiver<State>, age: u32) {
    let found = state.wait_for(|state| state.age != age || state.network == Network::Whole).await;
    if found.is_ok_and(|state| state.age != age) {
        pending().await
    }
}
