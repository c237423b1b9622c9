//! A relay in front of a Redis that can lose bytes while sockets stay open, and go on to another Redis.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU16, Ordering},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
};

#[derive(Default)]
struct Connection {
    listens: AtomicBool,
    is_deaf: AtomicBool,
    is_mute: AtomicBool,
    cut: Notify,
}

#[allow(dead_code, reason = "each test crate uses its own part")]
pub(crate) struct Relay {
    address: SocketAddr,
    upstream: Arc<AtomicU16>,
    is_closed: Arc<AtomicBool>,
    connections: Arc<Mutex<Vec<Arc<Connection>>>>,
}

#[allow(dead_code, reason = "each test crate uses its own part")]
impl Relay {
    pub(crate) async fn before(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections: Arc<Mutex<Vec<Arc<Connection>>>> = Arc::default();
        let upstream = Arc::new(AtomicU16::new(port));
        let is_closed: Arc<AtomicBool> = Arc::default();
        let (all, to, closed) = (Arc::clone(&connections), Arc::clone(&upstream), Arc::clone(&is_closed));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if closed.load(Ordering::Relaxed) {
                    continue;
                }
                let connection = Arc::new(Connection::default());
                all.lock().unwrap().push(Arc::clone(&connection));
                tokio::spawn(relay(client, to.load(Ordering::Relaxed), connection));
            }
        });
        Self { address, upstream, is_closed, connections }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// All connections end, and new ones go to another Redis.
    pub(crate) fn switch_to(&self, port: u16) {
        self.upstream.store(port, Ordering::Relaxed);
        self.cut();
    }

    /// All connections end, and no new one is taken until it opens.
    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
        self.cut();
    }

    pub(crate) fn open(&self) {
        self.is_closed.store(false, Ordering::Relaxed);
    }

    pub(crate) fn cut(&self) {
        self.connections.lock().unwrap().drain(..).for_each(|connection| connection.cut.notify_one());
    }

    /// All that is said from now on, either way, is lost; the sockets stay open.
    pub(crate) fn blackhole(&self) {
        for connection in &*self.connections.lock().unwrap() {
            connection.is_deaf.store(true, Ordering::Relaxed);
            connection.is_mute.store(true, Ordering::Relaxed);
        }
    }

    /// What Redis says to the connections that listen to topics is lost from now on.
    pub(crate) fn deafen(&self) -> usize {
        let connections = self.connections.lock().unwrap();
        let listening = connections.iter().filter(|connection| {
            connection.listens.load(Ordering::Relaxed) && !connection.is_deaf.load(Ordering::Relaxed)
        });
        listening.map(|connection| connection.is_deaf.store(true, Ordering::Relaxed)).count()
    }
}

async fn relay(client: TcpStream, port: u16, connection: Arc<Connection>) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else { return };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let up = async {
        let mut bytes = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = from_client.read(&mut bytes).await {
            if bytes[..count].windows(10).any(|word| word == b"SSUBSCRIBE") {
                connection.listens.store(true, Ordering::Relaxed);
            }
            if connection.is_mute.load(Ordering::Relaxed) {
                continue;
            }
            if to_server.write_all(&bytes[..count]).await.is_err() {
                return;
            }
        }
    };
    let down = async {
        let mut bytes = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = from_server.read(&mut bytes).await {
            if connection.is_deaf.load(Ordering::Relaxed) {
                continue;
            }
            if to_client.write_all(&bytes[..count]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = up => {}
        () = down => {}
        () = connection.cut.notified() => {}
    }
}
