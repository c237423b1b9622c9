//! The floor that servers are measured against: raw sockets, frames made before anyone asks, and no more
//! logic than it takes to know who is in which room. It keeps no history, checks nothing, and knows just
//! enough of the protocol for the load generator, whose handshake is always the same. Only the benchmark
//! starts it.
#![expect(clippy::print_stdout, reason = "its address is its output")]

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

#[path = "payload.rs"]
mod payload;

const QUEUE: usize = 1024;
/// What the load generator's one key is answered with.
const UPGRADE: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// A room's members, and the one frame that all of them get for every publication.
struct Room {
    frame: Bytes,
    members: Vec<mpsc::Sender<Bytes>>,
}

type Rooms = Arc<Mutex<HashMap<String, Room>>>;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listen = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let listener = TcpListener::bind(listen).await?;
    println!("listening on {}", listener.local_addr()?);
    let rooms = Rooms::default();
    loop {
        let (socket, _) = listener.accept().await?;
        tokio::spawn(serve(Arc::clone(&rooms), socket));
    }
}

async fn serve(rooms: Rooms, socket: TcpStream) {
    if socket.set_nodelay(true).is_err() {
        return;
    }
    let (read, write) = socket.into_split();
    let (sender, queue) = mpsc::channel(QUEUE);
    // Either end means that the load generator has closed.
    tokio::select! { _ = writing(write, queue) => {}, _ = reading(&rooms, &sender, read) => {} }
}

/// Writes what is queued, all of it with one call.
async fn writing(mut write: OwnedWriteHalf, mut queue: mpsc::Receiver<Bytes>) -> io::Result<()> {
    let mut several = Vec::new();
    while let Some(frame) = queue.recv().await {
        if queue.is_empty() {
            write.write_all(&frame).await?;
            continue;
        }
        several.extend_from_slice(&frame);
        while let Ok(frame) = queue.try_recv() {
            several.extend_from_slice(&frame);
        }
        write.write_all(&several).await?;
        several = Vec::new();
    }
    Ok(())
}

async fn reading(rooms: &Rooms, sender: &mpsc::Sender<Bytes>, read: OwnedReadHalf) -> io::Result<()> {
    let mut pending: Vec<u8> = Vec::new();
    let mut upgraded = false;
    loop {
        read.readable().await?;
        // On the stack, so that an idle connection holds no buffer.
        let mut buffer = [0; 2048];
        match read.try_read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => pending.extend_from_slice(&buffer[..length]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        }
        if !upgraded {
            if !pending.ends_with(b"\r\n\r\n") {
                continue;
            }
            upgraded = true;
            pending = Vec::new();
            drop(sender.send(Bytes::from_static(UPGRADE)).await);
        }
        while let Some(length) = complete(&pending) {
            let frame: Vec<u8> = pending.drain(..length).collect();
            let text = if frame[1] & 0x7f < 126 { &frame[6..] } else { &frame[8..] };
            if let Some(reply) = std::str::from_utf8(text).ok().and_then(|line| answer(rooms, sender, line)) {
                drop(sender.send(framed(&reply)).await);
            }
        }
        if pending.is_empty() {
            pending = Vec::new();
        }
    }
}

/// The length of the first frame, once all of it is there. The load generator masks with zeros.
fn complete(bytes: &[u8]) -> Option<usize> {
    let length = match bytes.get(1)? & 0x7f {
        126 => 8 + usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?])),
        short => 6 + usize::from(short),
    };
    (bytes.len() >= length).then_some(length)
}

fn framed(text: &str) -> Bytes {
    let mut frame = vec![0x81];
    match u16::try_from(text.len()) {
        Ok(short) if short < 126 => frame.push(short.to_le_bytes()[0]),
        length => {
            frame.push(126);
            frame.extend(length.unwrap_or(u16::MAX).to_be_bytes());
        }
    }
    frame.extend(text.as_bytes());
    frame.into()
}

fn answer(rooms: &Rooms, sender: &mpsc::Sender<Bytes>, line: &str) -> Option<String> {
    let (id, command) = line.strip_prefix("{\"id\":")?.split_once(',')?;
    if command.starts_with("\"connect\"") {
        return Some(format!("{{\"id\":{id},\"connect\":{{\"client\":\"c\",\"ping\":300}}}}"));
    }
    let channel = command.split_once("\"channel\":\"")?.1.split_once('"')?.0;
    let mut rooms = rooms.lock().expect("no holder of this lock panics");
    if command.starts_with("\"publish\"") {
        if let Some(room) = rooms.get(channel) {
            for member in &room.members {
                // A full queue is a slow reader, which the load generator is not.
                let _ = member.try_send(room.frame.clone());
            }
        }
        return Some(format!("{{\"id\":{id},\"publish\":{{}}}}"));
    }
    let room = rooms
        .entry(channel.to_owned())
        .or_insert_with(|| Room { frame: framed(&payload::publication(channel)), members: Vec::new() });
    room.members.push(sender.clone());
    Some(format!("{{\"id\":{id},\"subscribe\":{{}}}}"))
}
