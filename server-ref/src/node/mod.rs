//! What the sessions of one server share: settings, engine, hub, clock, randomness, and the upkeep that
//! belongs to no single session.
//!
//! A node has no tasks and no sockets. Its host calls [`Node::handle_timeout`] when [`Node::poll_timeout`]
//! says so, and carries out what [`Node::poll_work`] gives.

mod control;
mod emulation;
mod leases;
mod orders;
mod peers;
mod registry;
mod rooms;
mod survey;
mod upkeep;
mod work;

use crate::{
    api::{
        CallError, PublishOptions,
        calls::{self, Publishing},
    },
    auth::{Origins, Verifier},
    channels::Rules,
    clock::{Clock, Millis},
    config::Config,
    engine::{Call, Engine, EngineError},
    hooks::{AnyHooks, Desk},
    hub::{Close, Connection, Hub},
    metrics::Metrics,
    rpc::Procedures,
};
use parking_lot::Mutex;
use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};
use std::{
    fmt::Write,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

pub(crate) use emulation::Reachable;
pub use emulation::{Emulated, EmulationError};
pub(crate) use leases::Lease;
pub use orders::{Answer, MAX_CHANNELS, NodeInfo, Order, Whom};
pub use registry::{Refused, Registered, Registry};
pub use survey::Answers;
pub use work::Work;
use work::WorkQueue;

/// What the sessions of one server share.
pub struct Node {
    /// Settings, checked.
    pub config: Config,
    /// Namespaces.
    pub rules: Rules,
    /// Who listens to what.
    pub hub: Hub,
    /// Which connections there are.
    pub registry: Registry,
    /// Counters.
    pub metrics: Metrics,
    pub(crate) tokens: Verifier,
    pub(crate) subscription_tokens: Verifier,
    pub(crate) origins: Origins,
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) procedures: Procedures,
    pub(crate) desk: Desk,
    pub(crate) work: WorkQueue,
    emulated: emulation::Sessions,
    id: String,
    random: Mutex<StdRng>,
    leases: leases::Leases,
    upkeep: Mutex<upkeep::Upkeep>,
    peers: Mutex<peers::Peers>,
    surveys: survey::Surveys,
    known: control::Known,
    started_at: Millis,
    draining: AtomicBool,
    /// Start of the second at hand, and connections opened in it.
    opened: Mutex<(Millis, u32)>,
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node").field("id", &self.id).finish_non_exhaustive()
    }
}

/// All that a node is made of.
pub struct Parts {
    /// Settings, checked.
    pub config: Config,
    /// Where logs and maps are kept.
    pub engine: Arc<dyn Engine>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Seed of all randomness.
    pub entropy: [u8; 32],
    /// What clients can call.
    pub procedures: Procedures,
    /// Who answers the questions that the settings have the server ask; `None`: none are asked.
    pub hooks: Option<AnyHooks>,
    /// Counters.
    pub metrics: Metrics,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Node {
    /// A node, attached to its engine.
    #[must_use]
    pub fn new(parts: Parts) -> Arc<Self> {
        let Parts { config, engine, clock, entropy, procedures, hooks, metrics } = parts;
        let verifier = |token| Verifier::new(token).expect("the configuration was checked");
        let tokens = verifier(&config.client.token);
        let separate = config.client.subscription_token.enabled;
        let subscription_tokens =
            if separate { verifier(&config.client.subscription_token.token) } else { tokens.clone() };
        let mut random = StdRng::from_seed(entropy);
        let id = uuid(random.random());
        let node = Arc::new(Self {
            rules: Rules::new(&config.channel),
            hub: Hub::default(),
            registry: Registry::default(),
            tokens,
            subscription_tokens,
            origins: Origins::new(&config.client.allowed_origins),
            procedures,
            desk: Desk::new(hooks, &config, &clock, &metrics.hooks),
            metrics,
            work: WorkQueue::default(),
            emulated: emulation::Sessions::default(),
            id,
            leases: leases::Leases::new(random.next_u64()),
            random: Mutex::new(random),
            upkeep: Mutex::new(upkeep::Upkeep::new(&config, clock.now())),
            peers: Mutex::new(peers::Peers::new(clock.now())),
            surveys: survey::Surveys::default(),
            known: control::Known::default(),
            started_at: clock.now(),
            draining: AtomicBool::new(false),
            opened: Mutex::new((0, 0)),
            config,
            engine,
            clock,
        });
        node.engine.attach(Arc::new(rooms::NodeSink(Arc::downgrade(&node))));
        node
    }

    /// Id of this node.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its name, as configured; its id where it has none.
    #[must_use]
    pub fn name(&self) -> &str {
        if self.config.node.name.is_empty() { &self.id } else { &self.config.node.name }
    }

    /// Work that its host is to carry out; pending while there is none.
    pub fn poll_work(&self, cx: &mut Context<'_>) -> Poll<Vec<Work>> {
        self.work.poll(cx)
    }

    /// The moment, on the clock of deadlines.
    #[must_use]
    pub fn now(&self) -> Millis {
        self.clock.now()
    }

    /// A number below `bound`, or 0.
    pub(crate) fn random_below(&self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.random.lock().next_u64() % bound }
    }

    /// Puts items into a random order.
    pub(crate) fn shuffle<T>(&self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            let other = usize::try_from(self.random_below(at as u64 + 1)).unwrap_or(0);
            items.swap(at, other);
        }
    }

    /// Whether another connection may be opened this second.
    pub(crate) fn admit_rate(&self) -> bool {
        let limit = self.config.client.connection_rate_limit;
        if limit == 0 {
            return true;
        }
        let now = self.now();
        let mut opened = self.opened.lock();
        if now.saturating_sub(opened.0) >= 1000 {
            *opened = (now, 0);
        }
        opened.1 += 1;
        opened.1 <= limit
    }

    /// A new connection, not yet registered.
    #[must_use]
    pub fn connection(&self) -> Arc<Connection> {
        let bytes = self.random.lock().random();
        Arc::new(Connection::new(uuid(bytes).into(), self.config.client.queue_max_size))
    }

    /// Whether the node takes connections: the engine answers and nobody drains it.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        !self.is_draining() && self.engine.is_ready()
    }

    /// Whether the node is about to stop.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Stops taking connections.
    pub fn start_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Closes a connection because the node stops, and tells it when to come back: spread over as long as
    /// the drain itself, so that those who come back do not come together.
    pub(crate) fn close_for_shutdown(&self, connection: &Connection) {
        let window = self.config.shutdown.drain_window.millis().max(1000);
        let retry_after = u32::try_from(self.random_below(window)).unwrap_or(0).max(1);
        let code = homing_core::wire::DisconnectCode::Shutdown;
        connection.close(Close { retry_after, ..code.into() });
    }

    /// Publishes on the application's behalf, without a client: sent to the engine at once.
    ///
    /// # Errors
    /// A channel that cannot be, or data that is not JSON or too large.
    pub fn publish(
        &self,
        channel: &str,
        data: &str,
        options: &PublishOptions,
    ) -> Result<Publishing, CallError> {
        calls::publish(self, channel, data, options)
    }

    /// Runs a call of the engine whose completion nobody waits for.
    pub(crate) fn detach<T: Send + 'static>(&self, call: Call<T>, what: &'static str) {
        match call {
            Call::Ready(Ok(_)) => {}
            Call::Ready(Err(error)) => self.note_failure(what, error),
            Call::Pending(pending) => self.work.push(Box::pin(async move {
                if let Err(error) = pending.await {
                    tracing::debug!(what, %error, "engine call failed");
                }
            })),
        }
    }

    pub(crate) fn note_failure(&self, what: &'static str, error: EngineError) {
        self.metrics.engine_failures.increment(1);
        tracing::debug!(what, %error, "engine call failed");
    }
}

/// Whether a text that came from outside may be the id of a node.
fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        })
}

/// A random (version 4) UUID.
fn uuid(mut bytes: [u8; 16]) -> String {
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let mut text = String::with_capacity(36);
    for (at, byte) in bytes.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        let _ = write!(text, "{byte:02x}");
    }
    text
}
