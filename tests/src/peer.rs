//! A server under test as a process: the program named by HOMING_PEER, which understands the flags and the
//! control endpoints of the Go peer (tests/conformance/go-server). Called by tests that make runs for each server.

use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A running server; it is killed when it is dropped.
#[derive(Debug)]
pub struct Peer {
    child: Child,
    address: SocketAddr,
}

impl Peer {
    /// Starts the server on a free port, with more flags, and waits until it listens.
    ///
    /// # Errors
    /// The program cannot be run, or ends before it listens.
    pub fn start(flags: &[&str]) -> io::Result<Self> {
        Self::start_on("127.0.0.1:0", flags)
    }

    /// Starts the server on an address, to take the place of one that was there before.
    ///
    /// # Errors
    /// As for [`start`](Self::start).
    pub fn start_on(listen: &str, flags: &[&str]) -> io::Result<Self> {
        let program = std::env::var_os("HOMING_PEER").ok_or_else(|| {
            io::Error::other("HOMING_PEER must name the server to test; run this through make")
        })?;
        let child = Command::new(program)
            .args(["--listen", listen])
            .args(flags)
            // Homing's peer ends when this pipe does, so that it never outlives the tests.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut peer = Self { child, address: SocketAddr::from(([0; 4], 0)) };
        let mut line = String::new();
        if let Some(output) = &mut peer.child.stdout {
            BufReader::new(output).read_line(&mut line)?;
        }
        let address = line.split_whitespace().last().and_then(|word| word.parse().ok());
        peer.address = address.ok_or_else(|| io::Error::other(format!("it does not listen: {line:?}")))?;
        Ok(peer)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address of its WebSocket.
    #[must_use]
    pub fn url(&self) -> String {
        format!("ws://{}/connection/websocket", self.address)
    }

    /// Publishes as the server.
    ///
    /// # Errors
    /// The server refuses, or is gone.
    pub async fn publish(&self, channel: &str, data: &Value) -> io::Result<Value> {
        self.order("publish", &json!({ "channel": channel, "data": data })).await
    }

    /// Ends the subscription of a user.
    ///
    /// # Errors
    /// The server refuses, or is gone.
    pub async fn unsubscribe(&self, user: &str, channel: &str, code: u32) -> io::Result<Value> {
        self.order(
            "unsubscribe",
            &json!({ "user": user, "channel": channel, "code": code, "reason": "by order" }),
        )
        .await
    }

    /// Ends the connections of a user.
    ///
    /// # Errors
    /// The server refuses, or is gone.
    pub async fn disconnect(&self, user: &str, code: u32) -> io::Result<Value> {
        self.order("disconnect", &json!({ "user": user, "code": code, "reason": "by order" })).await
    }

    async fn order(&self, verb: &str, order: &Value) -> io::Result<Value> {
        let body = order.to_string();
        let request = format!(
            "POST /control/{verb} HTTP/1.1\r\nhost: peer\r\ncontent-type: application/json\r\n\
             content-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        let mut stream = TcpStream::connect(self.address).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
        if !head.starts_with("HTTP/1.1 200") {
            return Err(io::Error::other(format!("{verb}: {answer}")));
        }
        serde_json::from_str(body).map_err(io::Error::other)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Both fail only where the process has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
