//! Hooks: what the application's backend is asked about its clients, and how it is asked.
//!
//! [`Hooks`] is the contract, with one method for each hook. [`http::HttpHooks`] puts the questions to a
//! backend over HTTP, as the settings say; a program that embeds the server may answer them itself
//! ([`crate::serve::Builder::hooks`]). Which commands are asked about is always the settings' business.
//!
//! Whoever answers, sessions ask through the node's desk: it bounds what is under way, leaves a backend alone
//! that fails, and says when to come back.

mod ask;
mod breaker;
mod desk;
mod gate;
pub mod http;
mod visit;

use crate::{clock::Millis, engine::Pending};
use bytes::Bytes;
use std::{future::Future, sync::Arc};

pub use ask::{
    Asker, ConnectAsk, ConnectGrant, PublishAsk, PublishGrant, RefreshAsk, RefreshGrant, RpcAsk,
    SubRefreshAsk, SubscribeAsk, SubscribeGrant,
};
pub(crate) use desk::{Desk, Line};
pub use visit::Visit;

/// The hooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hook {
    /// Who is a client that connects without a token.
    Connect,
    /// Does an expiring connection go on.
    Refresh,
    /// May a client subscribe.
    Subscribe,
    /// Does an expiring subscription go on.
    SubRefresh,
    /// May a client publish.
    Publish,
    /// A procedure of the backend.
    Rpc,
}

impl Hook {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Connect, Self::Refresh, Self::Subscribe, Self::SubRefresh, Self::Publish, Self::Rpc];

    /// Its name in settings and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Refresh => "refresh",
            Self::Subscribe => "subscribe",
            Self::SubRefresh => "sub_refresh",
            Self::Publish => "publish",
            Self::Rpc => "rpc",
        }
    }
}

/// Why a hook did not grant what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HookError {
    /// The client gets this error.
    #[error("{message} ({code})")]
    Refused {
        /// 400 to 1999 belong to the application.
        code: u32,
        /// For a developer to read.
        message: String,
        /// Whether the same command may succeed later.
        temporary: bool,
    },
    /// The connection ends.
    #[error("disconnected: {reason} ({code})")]
    Disconnect {
        /// Close code; 4000 to 4999 belong to the application, from 4500 on the client does not come back.
        code: u16,
        /// For a developer to read.
        reason: String,
    },
    /// Nobody answered, or nobody was asked because too much is under way; the client gets a temporary error.
    #[error("the hook is away, try again in {retry_after} ms")]
    Away {
        /// Milliseconds after which another try makes sense; 0: the server decides.
        retry_after: Millis,
    },
    /// The answer cannot be used; the client gets a temporary error.
    #[error("the hook answered with something unusable: {0}")]
    Unusable(String),
}

/// What a hook answers.
pub type Verdict<T> = Result<T, HookError>;

/// What the server asks its application. A hook that is switched on and not implemented refuses with 108,
/// not available.
///
/// Futures are dropped when the client is gone or the time is up; what they have begun may be half done then.
/// The same question may come again: a client whose answer was lost repeats what it asked for.
pub trait Hooks: Send + Sync + 'static {
    /// Says who a client is that connects without a token.
    fn connect(&self, ask: ConnectAsk) -> impl Future<Output = Verdict<ConnectGrant>> + Send {
        unanswered(ask)
    }

    /// Says whether a connection that expires goes on.
    fn refresh(&self, ask: RefreshAsk) -> impl Future<Output = Verdict<RefreshGrant>> + Send {
        unanswered(ask)
    }

    /// Says whether a client may subscribe.
    fn subscribe(&self, ask: SubscribeAsk) -> impl Future<Output = Verdict<SubscribeGrant>> + Send {
        unanswered(ask)
    }

    /// Says whether a subscription that expires goes on.
    fn sub_refresh(&self, ask: SubRefreshAsk) -> impl Future<Output = Verdict<RefreshGrant>> + Send {
        unanswered(ask)
    }

    /// Says whether a client may publish, and what. Questions about one channel are asked without waiting
    /// for the answer to the one before; messages keep their order all the same.
    fn publish(&self, ask: PublishAsk) -> impl Future<Output = Verdict<PublishGrant>> + Send {
        unanswered(ask)
    }

    /// Carries a procedure out; its argument and result are JSON text.
    fn rpc(&self, ask: RpcAsk) -> impl Future<Output = Verdict<Option<Bytes>>> + Send {
        unanswered(ask)
    }
}

#[expect(clippy::unused_async, reason = "it stands for a hook that would be asynchronous")]
async fn unanswered<A: Send, T>(ask: A) -> Verdict<T> {
    drop(ask);
    let code = homing_core::wire::ErrorCode::NotAvailable;
    Err(HookError::Refused { code: code.code(), message: code.text().to_owned(), temporary: false })
}

/// [`Hooks`] of any type.
trait Erased: Send + Sync {
    fn connect(&self, ask: ConnectAsk) -> Pending<ConnectGrant, HookError>;
    fn refresh(&self, ask: RefreshAsk) -> Pending<RefreshGrant, HookError>;
    fn subscribe(&self, ask: SubscribeAsk) -> Pending<SubscribeGrant, HookError>;
    fn sub_refresh(&self, ask: SubRefreshAsk) -> Pending<RefreshGrant, HookError>;
    fn publish(&self, ask: PublishAsk) -> Pending<PublishGrant, HookError>;
    fn rpc(&self, ask: RpcAsk) -> Pending<Option<Bytes>, HookError>;
}

struct Held<H>(Arc<H>);

impl<H: Hooks> Erased for Held<H> {
    fn connect(&self, ask: ConnectAsk) -> Pending<ConnectGrant, HookError> {
        let hooks = Arc::clone(&self.0);
        Box::pin(async move { hooks.connect(ask).await })
    }
    fn refresh(&self, ask: RefreshAsk) -> Pending<RefreshGrant, HookError> {
        let hooks = Arc::clone(&self.0);
        Box::pin(async move { hooks.refresh(ask).await })
    }
    fn subscribe(&self, ask: SubscribeAsk) -> Pending<SubscribeGrant, HookError> {
        let hooks = Arc::clone(&self.0);
        Box::pin(async move { hooks.subscribe(ask).await })
    }
    fn sub_refresh(&self, ask: SubRefreshAsk) -> Pending<RefreshGrant, HookError> {
        let hooks = Arc::clone(&self.0);
        Box::pin(async move { hooks.sub_refresh(ask).await })
    }
    fn publish(&self, ask: PublishAsk) -> Pending<PublishGrant, HookError> {
        let hooks = Arc::clone(&self.0);
        Box::pin(async move { hooks.publish(ask).await })
    }
    fn rpc(&self, ask: RpcAsk) -> Pending<Option<Bytes>, HookError> {
        let hooks = Arc::clone(&self.0);
        Box::pin(async move { hooks.rpc(ask).await })
    }
}

/// Who answers a server's questions.
#[derive(Clone)]
pub struct AnyHooks(Arc<dyn Erased>);

impl AnyHooks {
    /// These hooks.
    pub fn new(hooks: impl Hooks) -> Self {
        Self(Arc::new(Held(Arc::new(hooks))))
    }

    pub(crate) fn connect(&self, ask: ConnectAsk) -> Pending<ConnectGrant, HookError> {
        self.0.connect(ask)
    }
    pub(crate) fn refresh(&self, ask: RefreshAsk) -> Pending<RefreshGrant, HookError> {
        self.0.refresh(ask)
    }
    pub(crate) fn subscribe(&self, ask: SubscribeAsk) -> Pending<SubscribeGrant, HookError> {
        self.0.subscribe(ask)
    }
    pub(crate) fn sub_refresh(&self, ask: SubRefreshAsk) -> Pending<RefreshGrant, HookError> {
        self.0.sub_refresh(ask)
    }
    pub(crate) fn publish(&self, ask: PublishAsk) -> Pending<PublishGrant, HookError> {
        self.0.publish(ask)
    }
    pub(crate) fn rpc(&self, ask: RpcAsk) -> Pending<Option<Bytes>, HookError> {
        self.0.rpc(ask)
    }
}

impl std::fmt::Debug for AnyHooks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AnyHooks")
    }
}
