//! The loads on the HTTP API: callers on connections that stay open, each waiting for its answer before it calls
//! again. An answer that holds an error ends the scenario.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::payload::DATA;
use crate::server::{KEY, Server};

/// How long a scenario runs before anything is counted.
const WARM_UP: Duration = Duration::from_secs(1);

/// What is called.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Load {
    /// One message to one channel.
    Single,
    /// So many publishes in one batch.
    Batch(usize),
    /// One message to so many channels.
    Broadcast(usize),
}

impl Load {
    pub(crate) const ALL: [(Self, usize); 3] =
        [(Self::Single, 50), (Self::Batch(100), 8), (Self::Broadcast(1000), 4)];

    pub(crate) fn name(self) -> String {
        match self {
            Self::Single => "API single".to_owned(),
            Self::Batch(size) => format!("API batch of {size}"),
            Self::Broadcast(channels) => format!("API broadcast to {channels}"),
        }
    }

    /// Publishes in one call.
    fn publishes(self) -> usize {
        match self {
            Self::Single => 1,
            Self::Batch(count) | Self::Broadcast(count) => count,
        }
    }

    fn call(self, caller: usize) -> (&'static str, String) {
        let channel = |number: usize| format!("bench:api-{caller}-{number}");
        match self {
            Self::Single => ("publish", format!(r#"{{"channel":"{}","data":{DATA}}}"#, channel(0))),
            Self::Batch(size) => {
                let one = |n| format!(r#"{{"publish":{{"channel":"{}","data":{DATA}}}}}"#, channel(n % 10));
                let all: Vec<String> = (0..size).map(one).collect();
                ("batch", format!(r#"{{"commands":[{}]}}"#, all.join(",")))
            }
            Self::Broadcast(channels) => {
                let all: Vec<String> = (0..channels).map(|number| format!("{:?}", channel(number))).collect();
                ("broadcast", format!(r#"{{"channels":[{}],"data":{DATA}}}"#, all.join(",")))
            }
        }
    }
}

/// How fast the API is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Calling {
    /// Publishes in a second.
    pub(crate) per_second: f64,
    /// Of the time until a call is answered.
    pub(crate) p99: Duration,
    /// Processor time of the server for each publish.
    pub(crate) cpu: Duration,
}

/// Callers that each wait for the answer before they call again.
pub(crate) async fn call(
    server: &Server,
    load: Load,
    callers: usize,
    window: Duration,
) -> io::Result<Calling> {
    let counting = Arc::new(AtomicBool::new(false));
    let mut tasks = JoinSet::new();
    for caller in 0..callers {
        let (address, counting) = (server.address, Arc::clone(&counting));
        let (method, body) = load.call(caller);
        tasks.spawn(async move {
            let mut caller = Caller::open(address, method, &body).await?;
            let (mut waits, mut counted) = (Vec::new(), false);
            loop {
                let start = Instant::now();
                caller.call().await?;
                let counts = counting.load(Relaxed);
                if counts {
                    waits.push(start.elapsed());
                } else if counted {
                    return io::Result::Ok(waits);
                }
                counted |= counts;
            }
        });
    }
    sleep(WARM_UP).await;
    let (cpu, start) = (server.process.cpu()?, Instant::now());
    counting.store(true, Relaxed);
    sleep(window).await;
    counting.store(false, Relaxed);
    let (cpu, elapsed) = (server.process.cpu()? - cpu, start.elapsed());
    let mut waits = Vec::new();
    while let Some(task) = tasks.join_next().await {
        waits.extend(task.map_err(io::Error::other)??);
    }
    waits.sort_unstable();
    let publishes = waits.len() * load.publishes();
    Ok(Calling {
        per_second: publishes as f64 / elapsed.as_secs_f64(),
        p99: waits.get(waits.len() * 99 / 100).copied().unwrap_or_default(),
        cpu: cpu.div_f64(publishes.max(1) as f64),
    })
}

/// An HTTP connection on which the same call is made over and over.
struct Caller {
    stream: TcpStream,
    request: Vec<u8>,
    answer: Vec<u8>,
}

impl Caller {
    async fn open(address: SocketAddr, method: &str, body: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let head = format!(
            "POST /api/{method} HTTP/1.1\r\nHost: {address}\r\nX-API-Key: {KEY}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        Ok(Self { stream, request: (head + body).into_bytes(), answer: Vec::new() })
    }

    async fn call(&mut self) -> io::Result<()> {
        self.stream.write_all(&self.request).await?;
        self.answer.clear();
        let mut whole = usize::MAX;
        while self.answer.len() < whole {
            if self.stream.read_buf(&mut self.answer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if whole == usize::MAX
                && let Some(end) = self.answer.windows(4).position(|four| four == b"\r\n\r\n")
            {
                let head = String::from_utf8_lossy(&self.answer[..end]).to_lowercase();
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                let length: usize = length.unwrap_or_default().parse().map_err(io::Error::other)?;
                whole = end + 4 + length;
            }
        }
        if self.answer.starts_with(b"HTTP/1.1 200")
            && !self.answer.windows(8).any(|eight| eight == b"\"error\":")
        {
            return Ok(());
        }
        Err(io::Error::other(String::from_utf8_lossy(&self.answer).into_owned()))
    }
}
