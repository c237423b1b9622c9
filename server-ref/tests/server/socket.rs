//! A server on a free port, and a WebSocket client that sends whatever bytes it is told to.

use homing_server::{Config, Handle, Server, config, serve};
use serde_json::Value;
use std::{net::SocketAddr, os::fd::AsFd, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

/// How long anything may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) handle: Handle,
    pub(crate) server: Server,
}

/// Starts a server that lets everybody in, unless `change` says otherwise.
pub(crate) async fn start(change: impl FnOnce(&mut Config)) -> Running {
    let mut config = config::development();
    config.client.insecure = true;
    config.shutdown.drain_window = config::Span::from_millis(200);
    change(&mut config);
    let server = Server::builder().config(config).procedure("echo", async |_, data| Ok(data));
    let server = server.build().await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve::listen(listener, server.router()));
    Running { address, handle: server.handle(), server }
}

/// What a frame of the server was.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    Text(String),
    Pong(Vec<u8>),
    Close(u16, String),
    /// The socket was closed without more.
    End,
}

pub(crate) struct Socket {
    stream: TcpStream,
    read: Vec<u8>,
    id: u32,
    lines: Vec<Value>,
}

pub(crate) const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// The head of a good handshake, with further headers.
pub(crate) fn handshake(path: &str, more: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: example.org\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{more}\r\n"
    )
}

/// Sends a request and gives back the status and all that was answered.
pub(crate) async fn request(address: SocketAddr, head: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut read = Vec::new();
    timeout(PATIENCE, async {
        loop {
            let mut piece = [0; 1024];
            let length = stream.read(&mut piece).await.unwrap();
            read.extend_from_slice(&piece[..length]);
            let text = String::from_utf8_lossy(&read).into_owned();
            let Some((head, body)) = text.split_once("\r\n\r\n") else {
                assert!(length > 0, "the connection ended: {text}");
                continue;
            };
            let wanted = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let wanted: usize = wanted.map_or(0, |length| length.parse().unwrap());
            if body.len() >= wanted || length == 0 {
                let status = head.split(' ').nth(1).unwrap().parse().unwrap();
                return (status, text);
            }
        }
    })
    .await
    .unwrap()
}

pub(crate) async fn fetch(address: SocketAddr, path: &str) -> (u16, String) {
    request(address, &format!("GET {path} HTTP/1.1\r\nHost: example.org\r\n\r\n")).await
}

/// A frame of a client, masked.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    match payload.len() {
        short @ 0..=125 => out.push(0x80 | u8::try_from(short).unwrap()),
        medium @ 126..=65_535 => {
            out.push(0x80 | 126);
            out.extend(u16::try_from(medium).unwrap().to_be_bytes());
        }
        long => {
            out.push(0x80 | 127);
            out.extend((long as u64).to_be_bytes());
        }
    }
    let mask = [0x12, 0x34, 0x56, 0x78];
    out.extend(mask);
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    out
}

impl Socket {
    /// Opens a connection; `early` goes out together with the handshake.
    pub(crate) async fn open_at(address: SocketAddr, path: &str, early: &[u8]) -> Self {
        let mut head = handshake(path, "").into_bytes();
        head.extend_from_slice(early);
        Self::open_by(address, &head).await
    }

    /// Opens a connection with this handshake.
    pub(crate) async fn open_by(address: SocketAddr, head: &[u8]) -> Self {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(head).await.unwrap();
        let mut socket = Self { stream, read: Vec::new(), id: 0, lines: Vec::new() };
        let end = loop {
            if let Some(at) = socket.read.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            assert!(socket.fill().await, "no handshake");
        };
        let head: Vec<u8> = socket.read.drain(..end).collect();
        let head = String::from_utf8(head).unwrap().to_lowercase();
        assert!(head.starts_with("http/1.1 101"), "{head}");
        assert!(head.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="), "{head}");
        socket
    }

    pub(crate) async fn open(server: &Running) -> Self {
        Self::open_at(server.address, "/connection/websocket", b"").await
    }

    /// Opens a connection and connects.
    pub(crate) async fn connected(server: &Running) -> Self {
        let mut socket = Self::open(server).await;
        socket.call("connect", "{}").await;
        socket
    }

    async fn fill(&mut self) -> bool {
        let mut piece = [0; 4096];
        match timeout(PATIENCE, self.stream.read(&mut piece)).await.unwrap() {
            Ok(length) => {
                self.read.extend_from_slice(&piece[..length]);
                length > 0
            }
            Err(_) => false,
        }
    }

    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) {
        // A server that has had enough may be gone before all is written.
        let _ = self.stream.write_all(bytes).await;
    }

    pub(crate) async fn send(&mut self, text: &str) {
        self.send_bytes(&frame(0x81, text.as_bytes())).await;
    }

    /// The same socket once more, to write to while this one is read.
    pub(crate) fn twin(&self) -> TcpStream {
        let socket = std::net::TcpStream::from(self.stream.as_fd().try_clone_to_owned().unwrap());
        TcpStream::from_std(socket).unwrap()
    }

    /// The next frame.
    pub(crate) async fn frame(&mut self) -> Frame {
        loop {
            if let Some((frame, length)) = parse(&self.read) {
                self.read.drain(..length);
                return frame;
            }
            if !self.fill().await {
                return Frame::End;
            }
        }
    }

    /// The next object.
    pub(crate) async fn line(&mut self) -> Value {
        while self.lines.is_empty() {
            match self.frame().await {
                Frame::Text(text) => {
                    self.lines = text.split('\n').map(|line| serde_json::from_str(line).unwrap()).collect();
                    self.lines.reverse();
                }
                other => panic!("{other:?} instead of text"),
            }
        }
        self.lines.pop().unwrap()
    }

    /// Sends a command and takes its reply; what comes before it is dropped.
    pub(crate) async fn call(&mut self, verb: &str, request: &str) -> Value {
        self.id += 1;
        self.send(&format!(r#"{{"id":{},"{verb}":{request}}}"#, self.id)).await;
        loop {
            let line = self.line().await;
            if line["id"] == self.id {
                return line;
            }
        }
    }

    /// Reads on until the server closes; why it did, and the pushes before.
    pub(crate) async fn close(&mut self) -> (u16, String, Vec<Value>) {
        let mut pushes: Vec<Value> = self.lines.drain(..).rev().collect();
        loop {
            match self.frame().await {
                Frame::Close(code, reason) => return (code, reason, pushes),
                Frame::Text(text) => {
                    pushes.extend(text.split('\n').map(|line| serde_json::from_str::<Value>(line).unwrap()));
                }
                Frame::Pong(_) => {}
                Frame::End => panic!("closed without a close frame"),
            }
        }
    }
}

fn parse(bytes: &[u8]) -> Option<(Frame, usize)> {
    let [first, second, ..] = *bytes else { return None };
    let (from, length) = match second {
        126 => (4, usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().unwrap()))),
        127 => (10, usize::try_from(u64::from_be_bytes(bytes.get(2..10)?.try_into().unwrap())).unwrap()),
        short => (2, usize::from(short)),
    };
    let payload = bytes.get(from..from + length)?.to_vec();
    let frame = match first {
        0x81 => Frame::Text(String::from_utf8(payload).unwrap()),
        0x8a => Frame::Pong(payload),
        0x88 => {
            let code = u16::from_be_bytes(payload[..2].try_into().unwrap());
            Frame::Close(code, String::from_utf8(payload[2..].to_vec()).unwrap())
        }
        other => panic!("a frame of kind {other:x}"),
    };
    Some((frame, from + length))
}

/// Waits until `condition` holds.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let waited = timeout(PATIENCE, async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("{what} did not happen"));
}
