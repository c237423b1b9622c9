//! Readers over a streamed response, as cheap for the load generator as its WebSocket: the first request brings all the
//! commands there are, and messages are counted where they lie in the read buffer. The ways compare with WebSocket in the
//! same run.

use crate::{
    scenario::{Delivery, Rooms, idle_of, pace, publish_when_told, share},
    server::Server,
};
use futures::stream::{self, StreamExt, TryStreamExt};
use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
    task::JoinSet,
    time::sleep,
};

/// Connections opened at the same time.
const OPENING: usize = 64;
/// How long a scenario runs before anything is counted.
const WARM_UP: Duration = Duration::from_secs(1);
/// How long all deliveries may take to arrive.
const DRAIN: Duration = Duration::from_secs(10);
/// What every message holds once, and nothing else does.
const PUSH: &[u8] = b"{\"push\":{\"channel\"";

/// How the response is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    HttpStream,
    Sse,
}

impl Way {
    pub(crate) const ALL: [Self; 2] = [Self::HttpStream, Self::Sse];

    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::HttpStream => "http_stream",
            Self::Sse => "sse",
        }
    }

    fn request(self, address: SocketAddr, commands: &str) -> String {
        match self {
            Self::HttpStream => format!(
                "POST /connection/http_stream HTTP/1.1\r\nHost: {address}\r\nContent-Length: {}\r\n\r\n{commands}",
                commands.len()
            ),
            Self::Sse => {
                let escaped: String = commands.bytes().map(|byte| format!("%{byte:02x}")).collect();
                format!("GET /connection/sse?cf_connect={escaped} HTTP/1.1\r\nHost: {address}\r\n\r\n")
            }
        }
    }
}

struct Reader {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// The end of what was read, for what lies across two reads.
    tail: Vec<u8>,
}

impl Reader {
    async fn open(way: Way, address: SocketAddr, channel: &str) -> io::Result<Self> {
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let commands = format!(
            "{{\"id\":1,\"connect\":{{}}}}\n{{\"id\":2,\"subscribe\":{{\"channel\":\"{channel}\"}}}}"
        );
        stream.write_all(way.request(address, &commands).as_bytes()).await?;
        let mut reader = Self { stream, buffer: vec![0; 2 * 1024], tail: Vec::new() };
        let mut seen = Vec::new();
        loop {
            let read = reader.stream.read(&mut reader.buffer).await?;
            seen.extend_from_slice(&reader.buffer[..read]);
            let text = String::from_utf8_lossy(&seen);
            if text.contains("\"id\":2,\"subscribe\"") {
                return Ok(reader);
            }
            if read == 0 || text.contains("\"error\"") {
                return Err(io::Error::other(text.into_owned()));
            }
        }
    }

    /// How many messages came with the next read.
    async fn count(&mut self) -> io::Result<u64> {
        let read = self.stream.read(&mut self.buffer).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.tail.extend_from_slice(&self.buffer[..read]);
        let found = self.tail.windows(PUSH.len()).filter(|window| *window == PUSH).count();
        let keep = self.tail.len().saturating_sub(PUSH.len() - 1);
        self.tail.drain(..keep);
        Ok(found as u64)
    }
}

async fn readers(way: Way, address: SocketAddr, channels: Vec<String>) -> io::Result<Vec<Reader>> {
    stream::iter(channels)
        .map(|channel| async move { Reader::open(way, address, &channel).await })
        .buffered(OPENING)
        .try_collect()
        .await
}

/// Resident bytes that each of so many idle subscribers adds.
pub(crate) async fn idle(server: &Server, way: Way, connections: usize) -> io::Result<f64> {
    idle_of(server, connections, async |channels| readers(way, server.address, channels).await).await
}

/// Publishes at a fixed rate into one room, over a WebSocket of its own, and counts what its members get.
pub(crate) async fn deliver(
    server: &Server,
    way: Way,
    load: Rooms,
    window: Duration,
) -> io::Result<Delivery> {
    let channel = "bench:room-0";
    let members = readers(way, server.address, vec![channel.to_owned(); load.members]).await?;
    let delivered = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    for mut member in members {
        let delivered = Arc::clone(&delivered);
        tasks.spawn(async move {
            loop {
                delivered.fetch_add(member.count().await?, Relaxed);
            }
            #[expect(unreachable_code, reason = "it names the type of the task")]
            io::Result::Ok(())
        });
    }
    let (publisher, orders) = mpsc::unbounded_channel();
    tasks.spawn(publish_when_told(server.address, channel.to_owned(), orders));
    let (published, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let pacing = tokio::spawn(pace(vec![publisher], load.rate, Arc::clone(&published), Arc::clone(&stop)));
    sleep(WARM_UP).await;
    let (cpu, arrived) = (server.process.cpu()?, delivered.load(Relaxed));
    sleep(window).await;
    let (cpu, arrived) = (server.process.cpu()? - cpu, delivered.load(Relaxed) - arrived);
    stop.store(true, Relaxed);
    let publishers = pacing.await.map_err(io::Error::other)?;
    let expected = published.load(Relaxed) * load.members as u64;
    let deadline = Instant::now() + DRAIN;
    while delivered.load(Relaxed) < expected && Instant::now() < deadline {
        sleep(Duration::from_millis(20)).await;
    }
    let total = delivered.load(Relaxed);
    drop(publishers);
    tasks.abort_all();
    if total != expected {
        return Err(io::Error::other(format!("{total} messages arrived where {expected} were sent")));
    }
    Ok(Delivery { cpu: share(cpu, arrived), redis: None })
}
