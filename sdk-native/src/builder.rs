//! Options of a client, checked when it is built.

use crate::TransportError;
use crate::{
    BufferLimits, BuildError, RealtimeClient,
    call::Admission,
    client::Shared,
    clock::{Clock, SystemClock, Timeline},
    driver::{Driver, Ledger, Providers, Resolver, Shown, TokenProvider},
    storage::{Keeper, Storage},
    transport::{Connector, Dialer, Tls, TransportOptions, check_header, parse},
};
use homing_core::{Config, Health, Instant, OutboxLimits, TokenRefusal};
use serde::Serialize;
use std::{
    fmt::Display,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};
use tokio::sync::{mpsc, watch};
use tokio_tungstenite::tungstenite::http::HeaderMap;

/// Options of a client; [`build`](Self::build) makes it.
#[must_use]
pub struct Builder {
    config: Config,
    transport: TransportOptions,
    buffer: BufferLimits,
    headers: HeaderMap,
    connector: Option<Arc<dyn Connector>>,
    tls: Tls,
    token_provider: Option<TokenProvider>,
    resolver: Option<Resolver>,
    clock: Box<dyn Clock>,
    storage: Option<Box<dyn Storage>>,
    fault: Option<BuildError>,
}

impl Builder {
    pub(crate) fn new(url: Option<String>) -> Self {
        let endpoints = url.into_iter().map(Into::into).collect();
        Self {
            config: Config { endpoints, name: "homing-rust".into(), ..Config::default() },
            transport: TransportOptions::default(),
            buffer: BufferLimits::default(),
            headers: HeaderMap::new(),
            connector: None,
            tls: Tls::default(),
            token_provider: None,
            resolver: None,
            clock: Box::new(SystemClock::default()),
            storage: None,
            fault: None,
        }
    }

    /// Another address, tried after the ones before it failed to open.
    pub fn endpoint(mut self, url: impl Into<String>) -> Self {
        self.config.endpoints.push(url.into().into());
        self
    }

    /// A function that gives the addresses, in order of preference, before every attempt: for apps that
    /// choose a server by shard or region. Addresses given otherwise are not used.
    pub fn resolver<F, Fut, E>(mut self, resolve: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Vec<String>, E>> + Send + 'static,
        E: Display,
    {
        let resolve = Arc::new(resolve);
        self.resolver = Some(Arc::new(move || {
            let resolve = resolve.clone();
            Box::pin(async move { resolve().await.map_err(|why| why.to_string()) })
        }));
        self.config.resolves_endpoints = true;
        self
    }

    /// A connection token that the app has already; it is used until the server calls it expired.
    pub fn token(mut self, token: impl Into<Box<str>>) -> Self {
        self.config.token = token.into();
        self
    }

    /// A function that gives tokens: for the connection, where the argument is `None`, and for channels whose
    /// options say [`provides_tokens`](homing_core::SubscribeOptions::provides_tokens). It is asked before
    /// every attempt and before a token expires, never twice at a time for the same thing. An empty token
    /// means: go on without.
    pub fn token_provider<F, Fut>(mut self, provide: F) -> Self
    where
        F: Fn(Option<String>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<String, TokenRefusal>> + Send + 'static,
    {
        let provide = Arc::new(provide);
        self.token_provider = Some(Arc::new(move |channel| {
            let provide = provide.clone();
            Box::pin(async move { provide(channel).await })
        }));
        self.config.provides_tokens = true;
        self
    }

    /// Data for the server's connect handler.
    pub fn data(mut self, data: &(impl Serialize + ?Sized)) -> Self {
        match serde_json::to_string(data) {
            Ok(data) => self.config.data = data.into(),
            Err(error) => self.fault = Some(BuildError::InvalidData(error.to_string())),
        }
        self
    }

    /// Name and version of the app, for the server's logs.
    pub fn name(mut self, name: impl Into<Box<str>>, version: impl Into<Box<str>>) -> Self {
        (self.config.name, self.config.version) = (name.into(), version.into());
        self
    }

    /// A header for the WebSocket upgrade.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        match check_header(name, value) {
            Some((name, value)) => drop(self.headers.append(name, value)),
            None => self.fault = Some(BuildError::InvalidHeader { name: name.into() }),
        }
        self
    }

    /// Timings and limits of the client: see [`Config`] for all of them and their defaults.
    pub fn configure(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    /// Deadlines and limits of the socket.
    pub fn transport(mut self, options: TransportOptions) -> Self {
        self.transport = options;
        self
    }

    /// How much may wait for the reader of a stream.
    pub fn buffer(mut self, limits: BufferLimits) -> Self {
        self.buffer = limits;
        self
    }

    /// Opens connections in the app's own way, TLS included.
    pub fn connector(mut self, connector: impl Connector) -> Self {
        self.connector = Some(Arc::new(connector));
        self
    }

    /// The rustls configuration for `wss`, with its own roots, provider and client certificate.
    #[cfg(feature = "rustls")]
    pub fn rustls(mut self, config: Arc<rustls::ClientConfig>) -> Self {
        self.tls.rustls = Some(config);
        self
    }

    /// The connector of the operating system's TLS for `wss`; it is preferred to rustls where both are there.
    #[cfg(feature = "native-tls")]
    pub fn native_tls(mut self, connector: native_tls::TlsConnector) -> Self {
        self.tls.native = Some(connector);
        self
    }

    /// Where the outbox and the positions of durable channels outlive the client. What is stored belongs to a
    /// server and a user: nothing of it is read or sent under another one. Where it fails, the client tells an
    /// error and goes on in memory.
    pub fn storage(mut self, storage: impl Storage) -> Self {
        self.storage = Some(Box::new(storage));
        self
    }

    /// The name of the server in the storage, where several addresses lead to the same one. Otherwise it is the
    /// first endpoint without its query, and empty where a resolver gives them.
    pub fn storage_name(mut self, name: impl Into<Box<str>>) -> Self {
        self.config.storage_name = Some(name.into());
        self
    }

    /// Id of the user, where the app knows it: what is stored is there before the connection is. Needed with a
    /// storage on a server that does not name the user.
    pub fn user(mut self, id: impl Into<Box<str>>) -> Self {
        self.config.user = Some(id.into());
        self
    }

    /// What the outbox holds at most, in messages, bytes and age.
    pub fn outbox(mut self, limits: OutboxLimits) -> Self {
        self.config.outbox = limits;
        self
    }

    /// On a server that cannot tell duplicates: whether a message whose outcome is unknown is sent again, at
    /// the risk that it arrives twice. Otherwise it is parked, and the app decides. False.
    pub fn resend(mut self, resend: bool) -> Self {
        self.config.resends = resend;
        self
    }

    /// Clocks other than the system's, to simulate time.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Box::new(clock);
        self
    }

    /// Makes the client and starts its task, which opens nothing before
    /// [`connect`](RealtimeClient::connect).
    ///
    /// # Errors
    /// A [`BuildError`] that names the option.
    pub fn build(self) -> Result<RealtimeClient, BuildError> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let Self {
            mut config,
            transport,
            buffer,
            headers,
            connector,
            tls,
            token_provider,
            resolver,
            storage,
            clock,
            ..
        } = self;
        if config.endpoints.is_empty() && resolver.is_none() {
            return Err(BuildError::NoEndpoint);
        }
        config.resolves_endpoints = resolver.is_some();
        config.provides_tokens = token_provider.is_some();
        config.durable = storage.is_some();
        config.observes_outbox = true;
        config.started_at = i64::try_from(clock.wall().as_millis()).unwrap_or(i64::MAX);
        for url in &config.endpoints {
            let target = parse(url)?;
            if target.secure && connector.is_none() && !Tls::is_available() {
                return Err(TransportError::TlsUnavailable.into());
            }
        }
        check_options(&config, &transport, buffer)?;
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| BuildError::NoRuntime)?;
        let mut entropy = [0; 32];
        getrandom::fill(&mut entropy).map_err(|error| BuildError::NoEntropy(error.to_string()))?;

        let providers = Providers::new(token_provider, resolver, config.provider_timeout);
        let dialer = Dialer { options: transport, headers, connector, tls: tls.complete()? };
        let keeper = storage.map(Keeper::start).transpose();
        let keeper = keeper.map_err(|error| BuildError::NoThread(error.to_string()))?;
        let admission = Arc::new(Admission::new(config.max_requests, config.max_request_bytes));
        let room = Arc::new(Admission::new(config.outbox.entries, config.outbox.bytes));
        let ledger = Ledger::new(room.clone(), config.durable);
        let max_message_bytes = config.max_message_bytes;
        let core = homing_core::RealtimeClient::new(config, entropy, Instant::default());
        let (commands, receiver) = mpsc::unbounded_channel();
        let (state, watch_state) = watch::channel(core.connection().clone());
        let (health, watch_health) = watch::channel(Health::default());
        let (retry_at, watch_retry_at) = watch::channel(None);
        let protocol_errors = Arc::new(AtomicU64::new(0));
        let shown = Shown { state, health, retry_at, protocol_errors: Arc::clone(&protocol_errors) };
        let timeline = Timeline::new(clock);
        let kept = (keeper, ledger);
        let driver = Driver::new(core, timeline, receiver, Arc::new(dialer), providers, shown, kept);
        runtime.spawn(driver.run());
        Ok(RealtimeClient {
            shared: Arc::new(Shared {
                commands,
                numbers: AtomicU64::new(1),
                admission,
                room,
                max_message_bytes,
                buffer,
                runtime,
                state: watch_state,
                health: watch_health,
                retry_at: watch_retry_at,
                protocol_errors,
            }),
        })
    }
}

impl std::fmt::Debug for Builder {
    /// Without the token and the headers, which may be secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder").field("transport", &self.transport).finish_non_exhaustive()
    }
}

fn check_options(
    config: &Config,
    transport: &TransportOptions,
    buffer: BufferLimits,
) -> Result<(), BuildError> {
    let durations = [
        ("connect_timeout", config.connect_timeout),
        ("request_timeout", config.request_timeout),
        ("provider_timeout", config.provider_timeout),
        ("storage_timeout", config.storage_timeout),
        ("outbox.age", config.outbox.age),
        ("probe_timeout", config.probe_timeout),
        ("transport.connect_timeout", transport.connect_timeout),
        ("transport.tls_timeout", transport.tls_timeout),
        ("transport.upgrade_timeout", transport.upgrade_timeout),
        ("transport.write_timeout", transport.write_timeout),
    ];
    let sizes = [
        ("max_requests", config.max_requests),
        ("max_request_bytes", config.max_request_bytes),
        ("max_message_bytes", config.max_message_bytes),
        ("outbox.entries", config.outbox.entries),
        ("outbox.bytes", config.outbox.bytes),
        ("transport.max_frame_bytes", transport.max_frame_bytes),
        ("transport.max_outgoing_bytes", transport.max_outgoing_bytes),
        ("buffer.items", buffer.items),
        ("buffer.bytes", buffer.bytes),
    ];
    let zero = durations.into_iter().find(|(_, value)| *value == Duration::ZERO).map(|(name, _)| name);
    let zero = zero.or_else(|| sizes.into_iter().find(|(_, value)| *value == 0).map(|(name, _)| name));
    zero.map_or(Ok(()), |option| Err(BuildError::ZeroOption { option }))
}
