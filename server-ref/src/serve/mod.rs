//! The host: gives nodes and sessions their tasks, sockets, time and randomness.
//!
//! Owns everything that touches tokio and HTTP. Decides nothing about the protocol.

mod admission;
mod api;
mod body;
mod drain;
mod handle;
mod listen;
mod patient;
mod routes;
mod streaming;
mod task;
mod upgrade;
mod upkeep;

use crate::{
    clock::{Clock, SystemClock},
    config::{self, Config, ConfigError, EngineKind},
    engine::{
        Engine,
        memory::Memory,
        redis::{Ack, Redis, RedisConfig, RedisStartError},
    },
    hooks::{AnyHooks, Hooks, http::HttpHooks},
    metrics::{Metrics, SECONDS},
    node::{Node, Parts},
    rpc::{Caller, ProcedureResult, Procedures},
};
use bytes::Bytes;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use rand::{TryRng, rngs::SysRng};
use std::{future::Future, sync::Arc, time::Duration};

pub use handle::{Ended, Handle, Reached};
pub use listen::{listen, listen_until};

/// Why a server cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// A setting is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Redis is away, or must not be used.
    #[error("engine.redis: {0}")]
    Redis(#[from] RedisStartError),
    /// There is no tokio runtime to run its tasks on.
    #[error("a server is built within a tokio runtime")]
    NoRuntime,
    /// The system gives no randomness.
    #[error("no randomness: {0}")]
    NoEntropy(String),
}

/// A server: a node, its tasks, and its routes. It lives as long as the router, a handle, or this does.
#[derive(Debug)]
pub struct Server {
    node: Arc<Node>,
    metrics: PrometheusHandle,
}

/// Makes a server.
#[derive(Debug, Default)]
pub struct Builder {
    config: Option<Config>,
    engine: Option<Engines>,
    clock: Option<Clocks>,
    entropy: Option<[u8; 32]>,
    procedures: Procedures,
    hooks: Option<AnyHooks>,
}

struct Engines(Arc<dyn Engine>);

impl std::fmt::Debug for Engines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.name())
    }
}

struct Clocks(Arc<dyn Clock>);

impl std::fmt::Debug for Clocks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}

impl Builder {
    /// Settings; without any, those of [`config::development`].
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = Some(config);
        self
    }

    /// An engine of the application's own, instead of the one that the settings name.
    #[must_use]
    pub fn engine(mut self, engine: Arc<dyn Engine>) -> Self {
        self.engine = Some(Engines(engine));
        self
    }

    /// Another source of time than the system's. The tasks still sleep in real time.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(Clocks(clock));
        self
    }

    /// Seed of all randomness, instead of the system's.
    #[must_use]
    pub fn entropy(mut self, entropy: [u8; 32]) -> Self {
        self.entropy = Some(entropy);
        self
    }

    /// Offers a procedure to clients. Its argument and result are JSON text.
    #[must_use]
    pub fn procedure<F, R>(mut self, name: impl Into<String>, procedure: F) -> Self
    where
        F: Fn(Caller, Option<Bytes>) -> R + Send + Sync + 'static,
        R: Future<Output = ProcedureResult> + Send + 'static,
    {
        self.procedures.add(name, procedure);
        self
    }

    /// Answers the questions that the settings have the server ask (`client.proxy.connect.enabled`,
    /// `publish_proxy_enabled` of a namespace, …) instead of a backend behind HTTP. Endpoints are not needed
    /// then.
    #[must_use]
    pub fn hooks(mut self, hooks: impl Hooks) -> Self {
        self.hooks = Some(AnyHooks::new(hooks));
        self
    }

    /// Takes the messages of clients that want no answer.
    #[must_use]
    pub fn on_message(mut self, take: impl Fn(Caller, Option<Bytes>) + Send + Sync + 'static) -> Self {
        self.procedures.on_message(take);
        self
    }

    /// Builds the server and starts its tasks.
    ///
    /// # Errors
    /// A setting that is wrong, or a system that does not give what is needed.
    pub async fn build(self) -> Result<Server, BuildError> {
        let config = self.config.unwrap_or_else(config::development);
        config::check(&config)?;
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| BuildError::NoRuntime)?;
        let clock = self.clock.map_or_else(|| Arc::new(SystemClock::new()) as _, |clock| clock.0);
        let engine = match self.engine {
            Some(engine) => engine.0,
            None => engine(&config, &clock).await?,
        };
        let entropy = match self.entropy {
            Some(entropy) => entropy,
            None => entropy()?,
        };
        let buckets = PrometheusBuilder::new().set_buckets(&SECONDS);
        let recorder = buckets.expect("there are buckets").build_recorder();
        let metrics = Metrics::new(&recorder);
        let hooks = match self.hooks {
            None if config.wanted_hooks().next().is_some() => {
                Some(AnyHooks::new(HttpHooks::new(&config, Arc::clone(&clock))?))
            }
            hooks => hooks,
        };
        let procedures = self.procedures;
        let node = Node::new(Parts { config, engine, clock, entropy, procedures, hooks, metrics });
        let metrics = recorder.handle();
        runtime.spawn(upkeep::keep(Arc::downgrade(&node)));
        runtime.spawn(upkeep::keep_metrics(Arc::downgrade(&node), metrics.clone()));
        Ok(Server { node, metrics })
    }
}

/// The engine that the settings name.
async fn engine(config: &Config, clock: &Arc<dyn Clock>) -> Result<Arc<dyn Engine>, BuildError> {
    match config.engine.kind {
        EngineKind::Memory => Ok(Arc::new(Memory::new(Arc::clone(clock)))),
        EngineKind::Redis => Ok(Arc::new(Redis::connect(redis(&config.engine.redis)).await?)),
    }
}

fn redis(config: &config::Redis) -> RedisConfig {
    let replicas = config.ack_replicas;
    RedisConfig {
        ack: match config.ack {
            config::Ack::Appended => Ack::Appended,
            config::Ack::Replicated => Ack::Replicated { replicas },
            config::Ack::Fsynced => Ack::Fsynced { replicas },
        },
        ack_timeout: Duration::from_millis(config.ack_timeout.millis()),
        prefix: config.prefix.clone(),
        partitions: config.partitions,
        deadline: Duration::from_millis(config.io_timeout.millis()),
        start_deadline: Duration::from_millis(config.start_timeout.millis()),
        ..RedisConfig::new(config.url())
    }
}

fn entropy() -> Result<[u8; 32], BuildError> {
    let mut seed = [0; 32];
    SysRng.try_fill_bytes(&mut seed).map_err(|error| BuildError::NoEntropy(error.to_string()))?;
    Ok(seed)
}

impl Server {
    /// Begins to make a server.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The routes: the WebSocket endpoint, the API, `/health`, `/ready`, `/metrics`, and the files of
    /// `http_server.static_dir`, as far as the settings have them. An application may nest or merge them.
    /// Where there is an internal address or port, what is not for clients is in [`Self::internal_router`].
    pub fn router(&self) -> axum::Router {
        routes::router(&self.node, self.metrics.clone())
    }

    /// The routes that are not for clients, where they are served elsewhere.
    #[must_use]
    pub fn internal_router(&self) -> Option<axum::Router> {
        let internal = self.node.config.http_server.has_internal();
        internal.then(|| routes::internal(&self.node, self.metrics.clone()))
    }

    /// A handle to act on the server from anywhere.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle::new(Arc::clone(&self.node))
    }

    /// The node inside.
    #[must_use]
    pub const fn node(&self) -> &Arc<Node> {
        &self.node
    }
}
