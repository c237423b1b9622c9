//! The servers under measurement as processes: how each is started, and what the kernel says they used.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a server may take until it accepts connections.
const START: Duration = Duration::from_secs(20);
/// The key of the API, for servers that have one.
pub(crate) const KEY: &str = "bench";
/// The kernel counts processor time in hundredths of a second.
const TICK: Duration = Duration::from_millis(10);

/// A process that is killed when it is dropped.
pub(crate) struct Process(Child);

impl Process {
    /// Starts a program and waits until it accepts connections at `address`.
    fn start(
        program: &PathBuf,
        arguments: &[String],
        environment: &[(&str, String)],
        address: SocketAddr,
    ) -> io::Result<Self> {
        let child = Command::new(program)
            .args(arguments)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .env("HOMING_HTTP_API_KEY", KEY)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", program.display())))?;
        let mut process = Self(child);
        let deadline = Instant::now() + START;
        while TcpStream::connect(address).is_err() {
            if let Some(status) = process.0.try_wait()? {
                return Err(io::Error::other(format!("{} {arguments:?} ended: {status}", program.display())));
            }
            if Instant::now() > deadline {
                return Err(io::Error::other(format!("{} does not listen", program.display())));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(process)
    }

    /// Processor time that it has used so far, in user space and in the kernel.
    pub(crate) fn cpu(&self) -> io::Result<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id()))?;
        // The second field is the program's name in parentheses and may hold anything.
        let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
        let ticks: Vec<u32> = fields.skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
        Ok(TICK * ticks.iter().sum())
    }

    /// Resident memory in bytes.
    pub(crate) fn resident(&self) -> io::Result<f64> {
        resident(&self.0.id().to_string())
    }
}

/// Resident memory of a process in bytes.
pub(crate) fn resident(process: &str) -> io::Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    let kib: f64 = line.trim().trim_end_matches(" kB").parse().map_err(io::Error::other)?;
    Ok(kib * 1024.0)
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only where the process has ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What is measured; the order is that of the table's columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Floor,
    Homing,
    Go,
    HomingRedis,
    GoRedis,
}

impl Kind {
    pub(crate) const ALL: [Self; 5] = [Self::Floor, Self::Homing, Self::Go, Self::HomingRedis, Self::GoRedis];

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Homing => "homing",
            Self::Go => "go",
            Self::HomingRedis => "homing redis",
            Self::GoRedis => "go redis",
        }
    }

    /// The server with the same engine that this one is compared with.
    pub(crate) fn peer(self) -> Option<Self> {
        match self {
            Self::Homing => Some(Self::Go),
            Self::HomingRedis => Some(Self::GoRedis),
            Self::Floor | Self::Go | Self::GoRedis => None,
        }
    }

    /// Whether a message can be numbered, so that sending it twice does no harm.
    pub(crate) fn knows_producers(self) -> bool {
        matches!(self, Self::Homing | Self::HomingRedis)
    }

    /// Of its column in the table.
    pub(crate) fn width(self) -> usize {
        match self {
            Self::Floor => 12,
            Self::Homing | Self::HomingRedis => 26,
            Self::Go | Self::GoRedis => 21,
        }
    }

    pub(crate) fn on_redis(self) -> bool {
        matches!(self, Self::HomingRedis | Self::GoRedis)
    }
}

/// Where the programs are; one that was not built is not measured.
#[derive(Clone, Debug, Default)]
pub(crate) struct Programs {
    pub(crate) floor: Option<PathBuf>,
    pub(crate) homing: Option<PathBuf>,
    /// The settings of `homing`, which offer what the peer offers.
    pub(crate) homing_config: Option<PathBuf>,
    /// Its settings for the figures of the outbox; without them those are left out.
    pub(crate) outbox_config: Option<PathBuf>,
    pub(crate) go: Option<PathBuf>,
}

/// A fresh server, with a fresh Redis behind it where it uses one.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) process: Process,
    pub(crate) redis: Option<Process>,
}

impl Server {
    /// Starts a server of this kind; `None` where its program was not built.
    pub(crate) fn start(kind: Kind, programs: &Programs) -> io::Result<Option<Self>> {
        let program = match kind {
            Kind::Floor => &programs.floor,
            Kind::Homing | Kind::HomingRedis => &programs.homing,
            Kind::Go | Kind::GoRedis => &programs.go,
        };
        let Some(program) = program else { return Ok(None) };
        let redis = if kind.on_redis() { Some(start_redis()?) } else { None };
        let address = free_address()?;
        let listen = address.to_string();
        let mut arguments: Vec<String> = Vec::new();
        match kind {
            Kind::Floor => arguments.push(listen),
            Kind::Homing | Kind::HomingRedis => {
                if let Some(config) = &programs.homing_config {
                    arguments.extend(["--config".to_owned(), config.display().to_string()]);
                }
                arguments.extend(["--listen".to_owned(), listen]);
                if let Some((_, redis)) = &redis {
                    arguments.extend(["--engine", "redis", "--redis-url"].map(str::to_owned));
                    arguments.push(format!("redis://{redis}"));
                }
            }
            Kind::Go | Kind::GoRedis => {
                arguments.extend(["--listen".to_owned(), listen, "--ping=300s".to_owned()]);
                if let Some((_, redis)) = &redis {
                    arguments.extend(["--redis".to_owned(), redis.to_string()]);
                }
            }
        }
        let process = Process::start(program, &arguments, &[], address)?;
        Ok(Some(Self { address, process, redis: redis.map(|(process, _)| process) }))
    }

    /// Starts Homing's server with a connect hook at this address.
    pub(crate) fn start_with_hook(programs: &Programs, backend: SocketAddr) -> io::Result<Option<Self>> {
        let Some(program) = &programs.homing else { return Ok(None) };
        let address = free_address()?;
        let environment = [
            ("HOMING_CLIENT_PROXY_CONNECT_ENABLED", "true".to_owned()),
            ("HOMING_CLIENT_PROXY_CONNECT_ENDPOINT", format!("http://{backend}/connect")),
            ("HOMING_HOOKS_PRIVATE_NETWORKS", "127.0.0.0/8".to_owned()),
        ];
        let arguments = ["--listen".to_owned(), address.to_string()];
        let process = Process::start(program, &arguments, &environment, address)?;
        Ok(Some(Self { address, process, redis: None }))
    }
}

fn start_redis() -> io::Result<(Process, SocketAddr)> {
    let address = free_address()?;
    let port = address.port().to_string();
    let arguments =
        ["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"].map(str::to_owned);
    let process = Process::start(&PathBuf::from("redis-server"), &arguments, &[], address)?;
    Ok((process, address))
}

/// A port that nobody listens on; the server that is started next takes it.
fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}
