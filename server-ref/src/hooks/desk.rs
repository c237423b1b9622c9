//! Where sessions put their questions: which hooks are switched on, and the gate before each of them.

use super::{
    AnyHooks, Hook, HookError, Visit,
    gate::{Gate, Limits},
    visit::Allowed,
};
use crate::{
    clock::{Clock, Millis},
    config::{Config, RpcOptions},
    engine::{Call, Pending},
    metrics::HookMeters,
};
use axum::http::HeaderMap;
use std::sync::Arc;

/// How long a session waits beyond the time that a call may take.
const SLACK: Millis = 500;

/// A hook that is switched on, as it is for one namespace.
pub(crate) struct Line {
    hook: Hook,
    /// Name in `proxies`; empty: the hook's own address.
    pub(crate) proxy: Arc<str>,
    gate: Arc<Gate>,
    /// How long a session waits for the answer.
    pub(crate) patience: Millis,
}

/// The hooks of a node.
pub(crate) struct Desk {
    hooks: Option<AnyHooks>,
    lines: Vec<Arc<Line>>,
    allowed: Allowed,
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let lines = self.lines.iter().map(|line| (line.hook, &line.proxy));
        f.debug_list().entries(lines).finish()
    }
}

impl Desk {
    pub(crate) fn new(
        hooks: Option<AnyHooks>,
        config: &Config,
        clock: &Arc<dyn Clock>,
        meters: &HookMeters,
    ) -> Self {
        let mut desk = Self { hooks, lines: Vec::new(), allowed: Allowed::to_any(config) };
        if desk.hooks.is_none() {
            return desk;
        }
        for (hook, name) in config.wanted_hooks() {
            if desk.line(hook, name).is_some() {
                continue;
            }
            let timeout = config.proxy_of(hook, name).map_or(1000, |proxy| proxy.timeout.millis());
            let limits = Limits {
                concurrency: config.hooks.concurrency,
                queue: config.hooks.queue_size,
                queue_timeout: config.hooks.queue_timeout.millis(),
                timeout,
                breaker_failures: config.hooks.breaker_failures,
                breaker_pause: config.hooks.breaker_pause.millis(),
            };
            let gate = Gate::new(limits, Arc::clone(clock), meters.of(hook).clone());
            let patience = limits.queue_timeout + timeout + SLACK;
            desk.lines.push(Arc::new(Line { hook, proxy: name.into(), gate, patience }));
        }
        desk
    }

    /// The line of a hook to the address that a namespace names.
    pub(crate) fn line(&self, hook: Hook, proxy: &str) -> Option<&Arc<Line>> {
        self.lines.iter().find(|line| line.hook == hook && *line.proxy == *proxy)
    }

    /// The line for a method, where a hook carries it out.
    pub(crate) fn line_of_method(&self, config: &Config, method: &str) -> Option<&Arc<Line>> {
        let options = config.rpc.options_of(method)?;
        if options.proxy_enabled { self.line(Hook::Rpc, &options.proxy_name) } else { None }
    }

    /// Asks when the line has a turn.
    pub(crate) fn ask<T, A>(
        &self,
        line: &Arc<Line>,
        ask: A,
        put: fn(&AnyHooks, A) -> Pending<T, HookError>,
    ) -> Call<T, HookError>
    where
        T: Send + 'static,
        A: Send + 'static,
    {
        let Some(hooks) = self.hooks.clone() else { return Call::Ready(Err(line.gave_up())) };
        let turn = match line.gate.enter() {
            Ok(turn) => turn,
            Err(away) => return Call::Ready(Err(away)),
        };
        Call::Pending(Box::pin(async move {
            let permit = turn.come().await?;
            let verdict = put(&hooks, ask).await;
            permit.finish(verdict)
        }))
    }

    /// How a client with this request came.
    pub(crate) fn visit(&self, transport: &'static str, request: &HeaderMap) -> Visit {
        self.allowed.visit(transport, request)
    }

    /// Adds what the connect command says in `headers`.
    pub(crate) fn emulate(&self, visit: &mut Visit, headers: &str) {
        self.allowed.emulate(visit, headers);
    }
}

impl Line {
    pub(crate) fn gave_up(&self) -> HookError {
        HookError::Away { retry_after: self.gate.retry_after() }
    }
}

impl crate::config::Rpc {
    /// What becomes of a method; `None` where its namespace is not configured.
    pub(crate) fn options_of(&self, method: &str) -> Option<&RpcOptions> {
        let boundary = &*self.namespace_boundary;
        match method.split_once(boundary).filter(|_| !boundary.is_empty()) {
            None => Some(&self.without_namespace),
            Some((name, _)) => self.namespaces.iter().find(|one| one.name == name).map(|one| &one.options),
        }
    }
}
