//! A TCP proxy that misbehaves on command, so that tests can break the network between a client and a
//! server that know nothing of it. It owns the listener and the conditions of the link; what the bytes mean
//! is looked at only to lose acks. Rust tests use [`FaultProxy`], all others the program `fault-proxy` around it.

mod acks;
mod command;
mod connection;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

pub use acks::AckLoss;
pub use command::{Command, CommandError, WayChange};
use connection::{Order, carry};

/// One way through the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server.
    Up,
    /// From the server to the client.
    Down,
}

/// What the link does to the bytes of one direction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Way {
    /// Every byte arrives this much later.
    pub delay: Duration,
    /// Bytes a second; `None` is unlimited.
    pub rate: Option<u64>,
    /// Bytes wait here and go on when this ends.
    pub stalled: bool,
    /// Bytes vanish. A stream that has lost bytes stays silent in this direction for ever, as after a
    /// network that went away and came back too late.
    pub dropping: bool,
    /// Answers to publishes that vanish, all else arriving: the rest of what a server sends.
    pub ack_loss: Option<AckLoss>,
}

/// The state of the whole link.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Conditions {
    /// From the client to the server.
    pub up: Way,
    /// From the server to the client.
    pub down: Way,
    /// New connections are reset at once.
    pub refusing: bool,
}

impl Conditions {
    fn way(&self, direction: Direction) -> Way {
        match direction {
            Direction::Up => self.up,
            Direction::Down => self.down,
        }
    }

    fn ways_mut(&mut self) -> [&mut Way; 2] {
        [&mut self.up, &mut self.down]
    }
}

#[derive(Debug, Default)]
struct Connections {
    next: u64,
    accepted: u64,
    open: BTreeMap<u64, mpsc::UnboundedSender<Order>>,
}

#[derive(Debug)]
struct Shared {
    conditions: watch::Sender<Conditions>,
    upstream: watch::Sender<SocketAddr>,
    connections: Mutex<Connections>,
}

impl Shared {
    fn connections(&self) -> MutexGuard<'_, Connections> {
        self.connections.lock().expect("no holder of this lock panics")
    }
}

/// A running proxy; dropping it closes the listener and resets what passes through it.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

impl FaultProxy {
    /// Listens on a free port of the loopback interface and forwards to `upstream`.
    ///
    /// # Errors
    /// The listener cannot be bound.
    pub async fn start(upstream: SocketAddr) -> io::Result<Self> {
        Self::start_on("127.0.0.1:0", upstream).await
    }

    /// Listens on `listen`, where port 0 chooses a free one.
    ///
    /// # Errors
    /// The listener cannot be bound.
    pub async fn start_on(listen: &str, upstream: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            conditions: watch::Sender::new(Conditions::default()),
            upstream: watch::Sender::new(upstream),
            connections: Mutex::default(),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, accepting })
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections that pass through at this moment.
    pub fn open_connections(&self) -> usize {
        self.shared.connections().open.len()
    }

    /// Connections that were ever let through.
    pub fn accepted_connections(&self) -> u64 {
        self.shared.connections().accepted
    }

    /// Changes the conditions of the link, for open and for coming connections.
    pub fn change(&self, change: impl FnOnce(&mut Conditions)) {
        self.shared.conditions.send_modify(change);
    }

    /// Ends every condition. Streams that lost bytes stay broken.
    pub fn clear(&self) {
        self.change(|conditions| *conditions = Conditions::default());
    }

    /// Sends coming connections elsewhere, such as to a server that was started again on another port.
    pub fn redirect(&self, upstream: SocketAddr) {
        self.shared.upstream.send_replace(upstream);
    }

    /// Closes every connection on both sides, as a proxy that shuts down does.
    pub fn cut(&self) {
        self.order(Order::Close);
    }

    /// Resets every connection on both sides.
    pub fn reset(&self) {
        self.order(Order::Reset);
    }

    /// Ends one direction of every connection; the other one goes on.
    pub fn half_close(&self, direction: Direction) {
        self.order(Order::HalfClose(direction));
    }

    /// Cuts, and refuses new connections until [`FaultProxy::clear`]: a network that is gone.
    pub fn take_down(&self) {
        self.change(|conditions| conditions.refusing = true);
        self.reset();
    }

    /// Does what a line of the control protocol asks.
    pub fn apply(&self, command: Command) {
        match command {
            Command::Clear => self.clear(),
            Command::Cut => self.cut(),
            Command::Reset => self.reset(),
            Command::TakeDown => self.take_down(),
            Command::HalfClose(direction) => self.half_close(direction),
            Command::Redirect(upstream) => self.redirect(upstream),
            Command::Way(direction, change) => self.change(|conditions| {
                for way in match direction {
                    None => conditions.ways_mut().into_iter().collect::<Vec<_>>(),
                    Some(Direction::Up) => vec![&mut conditions.up],
                    Some(Direction::Down) => vec![&mut conditions.down],
                } {
                    change.apply(way);
                }
            }),
        }
    }

    fn order(&self, order: Order) {
        // A connection that has just ended no longer listens, which is as good.
        self.shared.connections().open.values().for_each(|orders| {
            let _ = orders.send(order);
        });
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.reset();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        // Running out of descriptors is the only failure here; it passes when connections end.
        let Ok((client, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        if shared.conditions.borrow().refusing {
            connection::reset(&client);
            continue;
        }
        tokio::spawn(pass(client, Arc::clone(&shared)));
    }
}

async fn pass(client: TcpStream, shared: Arc<Shared>) {
    let (sender, orders) = mpsc::unbounded_channel();
    let number = {
        let mut connections = shared.connections();
        connections.next += 1;
        connections.accepted += 1;
        let number = connections.next;
        connections.open.insert(number, sender);
        number
    };
    let upstream = *shared.upstream.borrow();
    match TcpStream::connect(upstream).await {
        Ok(server) => carry(client, server, shared.conditions.subscribe(), orders).await,
        Err(_) => connection::reset(&client),
    }
    shared.connections().open.remove(&number);
}
