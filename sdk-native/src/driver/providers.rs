//! The app's own functions that the client asks: for tokens, and for endpoints.
//!
//! Owns the tasks that they run in, so that one which blocks or panics harms nothing else. Each has a
//! deadline; none outlives the client.

use futures::{FutureExt, future::BoxFuture};
use homing_core::{EndpointRequestId, Input, TokenRefusal, TokenRequestId};
use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};
use tokio::{task::JoinSet, time::timeout};

pub(crate) type TokenProvider =
    Arc<dyn Fn(Option<String>) -> BoxFuture<'static, Result<String, TokenRefusal>> + Send + Sync>;
pub(crate) type Resolver = Arc<dyn Fn() -> BoxFuture<'static, Result<Vec<String>, String>> + Send + Sync>;

pub(crate) struct Providers {
    token: Option<TokenProvider>,
    resolver: Option<Resolver>,
    deadline: Duration,
    asked: JoinSet<Input<'static>>,
}

impl Providers {
    pub(crate) fn new(token: Option<TokenProvider>, resolver: Option<Resolver>, deadline: Duration) -> Self {
        Self { token, resolver, deadline, asked: JoinSet::new() }
    }

    pub(crate) fn ask_token(&mut self, request: TokenRequestId, channel: Option<Box<str>>) {
        let (provider, deadline) = (self.token.clone(), self.deadline);
        self.asked.spawn(async move {
            let asking = async {
                match provider {
                    Some(provider) => provider(channel.map(String::from)).await,
                    None => Err(TokenRefusal::Failed("there is no token provider".into())),
                }
            };
            let failed = |why: &str| Err(TokenRefusal::Failed(why.into()));
            let token = match timeout(deadline, AssertUnwindSafe(asking).catch_unwind()).await {
                Ok(Ok(token)) => token.map(Into::into),
                Ok(Err(_)) => failed("the token provider panicked"),
                Err(_) => failed("the token provider did not answer in time"),
            };
            Input::TokenProvided { request, token }
        });
    }

    pub(crate) fn ask_endpoints(&mut self, request: EndpointRequestId) {
        let (resolver, deadline) = (self.resolver.clone(), self.deadline);
        self.asked.spawn(async move {
            let asking = async {
                match resolver {
                    Some(resolver) => resolver().await,
                    None => Err("there is no resolver".into()),
                }
            };
            let endpoints = match timeout(deadline, AssertUnwindSafe(asking).catch_unwind()).await {
                Ok(Ok(Ok(endpoints))) => Ok(endpoints.into_iter().map(Into::into).collect()),
                Ok(Ok(Err(why))) => Err(why.into()),
                Ok(Err(_)) => Err("the resolver panicked".into()),
                Err(_) => Err("the resolver did not answer in time".into()),
            };
            Input::EndpointsResolved { request, endpoints }
        });
    }

    /// The next answer; never, while nothing is asked. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Input<'static> {
        while let Some(answered) = self.asked.join_next().await {
            // A task that ended without an answer has its deadline in the core.
            if let Ok(input) = answered {
                return input;
            }
        }
        std::future::pending().await
    }
}
