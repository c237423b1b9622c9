//! A WebSocket client that costs the load generator next to nothing: a fixed handshake, a mask of zeros,
//! and frames handed out where they lie in the read buffer. It speaks to servers of this repository's
//! benchmarks only and is no example of how to speak WebSocket.

use std::io;
use std::net::SocketAddr;
use std::ops::Range;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const BUFFER: usize = 2 * 1024;
const OPCODE: u8 = 0x0f;
const TEXT: u8 = 1;
const CLOSE: u8 = 8;
const PING: u8 = 9;

pub(crate) struct Socket {
    stream: TcpStream,
    buffer: Vec<u8>,
    filled: Range<usize>,
    next_id: u32,
}

impl Socket {
    /// Opens a connection and upgrades it.
    pub(crate) async fn open(address: SocketAddr) -> io::Result<Self> {
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let request = format!(
            "GET /connection/websocket HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut socket = Self { stream, buffer: vec![0; BUFFER], filled: 0..0, next_id: 0 };
        loop {
            socket.fill().await?;
            let head = &socket.buffer[socket.filled.clone()];
            if let Some(end) = head.windows(4).position(|four| four == b"\r\n\r\n") {
                if !head.starts_with(b"HTTP/1.1 101") {
                    return Err(io::Error::other(String::from_utf8_lossy(head).into_owned()));
                }
                socket.filled.start += end + 4;
                return Ok(socket);
            }
        }
    }

    /// Sends a command under the next id, which it returns.
    pub(crate) async fn command(&mut self, verb: &str, body: &str) -> io::Result<u32> {
        self.next_id += 1;
        let id = self.next_id;
        self.send(format!("{{\"id\":{id},\"{verb}\":{body}}}").as_bytes()).await?;
        Ok(id)
    }

    /// Sends a text frame.
    pub(crate) async fn send(&mut self, text: &[u8]) -> io::Result<()> {
        let mut frame = Vec::with_capacity(text.len() + 8);
        frame.push(0x80 | TEXT);
        match u16::try_from(text.len()) {
            Ok(short) if short < 126 => frame.push(0x80 | short.to_le_bytes()[0]),
            Ok(length) => {
                frame.push(0x80 | 126);
                frame.extend(length.to_be_bytes());
            }
            Err(_) => return Err(io::Error::other("no command is this long")),
        }
        frame.extend([0; 4]);
        frame.extend(text);
        self.stream.write_all(&frame).await
    }

    /// The next text frame. Safe to cancel: what was read stays in the buffer.
    pub(crate) async fn frame(&mut self) -> io::Result<&[u8]> {
        loop {
            let Some((opcode, payload)) = self.parse() else {
                self.fill().await?;
                continue;
            };
            self.filled.start = payload.end;
            match opcode & OPCODE {
                TEXT => return Ok(&self.buffer[payload]),
                CLOSE => {
                    let reason = String::from_utf8_lossy(&self.buffer[payload]).into_owned();
                    return Err(io::Error::other(format!("closed by the server: {reason}")));
                }
                PING => self.stream.write_all(&[0x8a, 0x80, 0, 0, 0, 0]).await?,
                _ => {}
            }
        }
    }

    /// Sends a command and waits for its reply, passing over what comes before.
    pub(crate) async fn call(&mut self, verb: &str, body: &str) -> io::Result<()> {
        let id = self.command(verb, body).await?;
        let start = format!("{{\"id\":{id},");
        loop {
            for line in self.frame().await?.split(|&byte| byte == b'\n') {
                if line.starts_with(start.as_bytes()) {
                    return accepted(line);
                }
            }
        }
    }

    fn parse(&self) -> Option<(u8, Range<usize>)> {
        let bytes = &self.buffer[self.filled.clone()];
        let (&opcode, &short) = (bytes.first()?, bytes.get(1)?);
        let (head, length) = match short {
            126 => (4, usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?))),
            127 => (10, usize::try_from(u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?)).ok()?),
            short => (2, usize::from(short)),
        };
        let payload = head..head + length;
        bytes.get(payload.clone())?;
        Some((opcode, self.filled.start + payload.start..self.filled.start + payload.end))
    }

    async fn fill(&mut self) -> io::Result<()> {
        if self.filled.start > 0 {
            self.buffer.copy_within(self.filled.clone(), 0);
            self.filled = 0..self.filled.len();
        }
        if self.filled.end == self.buffer.len() {
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        match self.stream.read(&mut self.buffer[self.filled.end..]).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                self.filled.end += read;
                Ok(())
            }
        }
    }
}

/// Whether a line is a reply that refuses.
pub(crate) fn accepted(line: &[u8]) -> io::Result<()> {
    let start = &line[..line.len().min(40)];
    if start.windows(8).any(|eight| eight == b"\"error\":") {
        return Err(io::Error::other(String::from_utf8_lossy(line).into_owned()));
    }
    Ok(())
}
