//! A relay in front of a Redis that can lose what one kind of connection is sent, while its socket stays open.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

#[derive(Default)]
struct Connection {
    listens: AtomicBool,
    is_deaf: AtomicBool,
}

pub(crate) struct Relay {
    address: SocketAddr,
    connections: Arc<Mutex<Vec<Arc<Connection>>>>,
}

impl Relay {
    pub(crate) async fn before(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections: Arc<Mutex<Vec<Arc<Connection>>>> = Arc::default();
        let all = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let connection = Arc::new(Connection::default());
                all.lock().unwrap().push(Arc::clone(&connection));
                tokio::spawn(relay(client, port, connection));
            }
        });
        Self { address, connections }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// What Redis says to the connections that listen to topics is lost from now on.
    pub(crate) fn deafen(&self) -> usize {
        let connections = self.connections.lock().unwrap();
        let listening = connections.iter().filter(|connection| connection.listens.load(Ordering::Relaxed));
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
    }
}
