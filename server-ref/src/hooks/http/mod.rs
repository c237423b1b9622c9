//! Hooks over HTTP: each question is a POST of JSON to the address that the settings name.
//!
//! Follows no redirect, uses no proxy of the environment, connects to no address that is not allowed, and
//! reads no more of an answer than is allowed. Asks once: a client whose command gets a temporary error asks
//! again.

mod json;
mod network;
mod sign;

use super::{
    ConnectAsk, ConnectGrant, Hook, HookError, Hooks, PublishAsk, PublishGrant, RefreshAsk, RefreshGrant,
    RpcAsk, SubRefreshAsk, SubscribeAsk, SubscribeGrant, Verdict, visit::Allowed,
};
use crate::{
    clock::{Clock, Millis},
    config::{Config, ConfigError, Proxy},
};
use aws_lc_rs::hmac;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use bytes::Bytes;
use json::Ask;
use network::{Guarded, Networks};
use reqwest::{Url, redirect::Policy};
use serde::Deserialize;
use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

pub use sign::{Forged, HOOK, REQUEST, SIGNATURE, TIMESTAMP, WINDOW, verify};

/// Longest pause that a backend may ask for.
const FARTHEST: Millis = 60_000;
/// Failures of one address are logged once in this time.
const LOGGED: Millis = 1000;

/// Headers that are the server's own to write.
const OWN_HEADERS: [HeaderName; 12] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::EXPECT,
    header::HOST,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    TIMESTAMP,
    REQUEST,
    SIGNATURE,
    HOOK,
];

/// Hooks that a backend answers over HTTP.
pub struct HttpHooks {
    client: reqwest::Client,
    clock: Arc<dyn Clock>,
    endpoints: Vec<(Hook, Box<str>, Endpoint)>,
    size_limit: usize,
}

struct Endpoint {
    url: Url,
    timeout: Duration,
    allowed: Allowed,
    headers: HeaderMap,
    key: Option<hmac::Key>,
    with_meta: bool,
    logged_at: AtomicU64,
}

impl std::fmt::Debug for HttpHooks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let endpoints = self.endpoints.iter().map(|(hook, name, _)| (hook, name));
        f.debug_list().entries(endpoints).finish()
    }
}

impl HttpHooks {
    /// The hooks that the settings switch on, at the addresses that they name.
    ///
    /// # Errors
    /// A hook that is switched on and has no address.
    pub fn new(config: &Config, clock: Arc<dyn Clock>) -> Result<Self, ConfigError> {
        let mut endpoints: Vec<(Hook, Box<str>, Endpoint)> = Vec::new();
        for (hook, name) in config.wanted_hooks() {
            let proxy = config.proxy_of(hook, name).filter(|proxy| !proxy.endpoint.is_empty());
            let missing = || match name {
                "" => ConfigError::invalid(place(hook), "the hook is switched on and has no endpoint"),
                name => {
                    ConfigError::invalid("proxies", format!("none with the name \"{name}\" and an endpoint"))
                }
            };
            let endpoint = Endpoint::new(proxy.ok_or_else(missing)?, &config.hooks.secret)
                .map_err(|reason| ConfigError::invalid(place(hook), reason))?;
            if !endpoints.iter().any(|(one, known, _)| *one == hook && **known == *name) {
                endpoints.push((hook, name.into(), endpoint));
            }
        }
        let networks = Networks::new(&config.hooks.private_networks)
            .map_err(|text| ConfigError::invalid("hooks.private_networks", no_network(text)))?;
        let client = reqwest::Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .dns_resolver(Arc::new(Guarded(networks)))
            .pool_max_idle_per_host(config.hooks.concurrency)
            .user_agent(concat!("homing-server/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| ConfigError::invalid("hooks", error))?;
        Ok(Self { client, clock, endpoints, size_limit: config.hooks.response_size_limit })
    }

    async fn ask<'b, A, T, G>(
        &self,
        hook: Hook,
        ask: &A,
        body: &'b mut Vec<u8>,
        grant: fn(T) -> Verdict<G>,
    ) -> Verdict<G>
    where
        A: Ask + Sync,
        T: Deserialize<'b>,
    {
        let proxy = &*ask.asker().proxy;
        let found = self.endpoints.iter().find(|(one, name, _)| *one == hook && **name == *proxy);
        let Some((_, _, endpoint)) = found else { return Err(HookError::Away { retry_after: 0 }) };
        let asked = tokio::time::timeout(endpoint.timeout, self.post(hook, endpoint, ask, body)).await;
        let verdict = match asked {
            Err(_) => Err(Failure::Away("no answer in time".into(), 0)),
            Ok(Err(failure)) => Err(failure),
            Ok(Ok(())) => match json::read(body, grant) {
                Err(HookError::Unusable(reason)) => Err(Failure::Unusable(reason)),
                verdict => return verdict,
            },
        };
        verdict.map_err(|failure| self.note(hook, endpoint, failure))
    }

    async fn post<A: Ask + Sync>(
        &self,
        hook: Hook,
        endpoint: &Endpoint,
        ask: &A,
        body: &mut Vec<u8>,
    ) -> Result<(), Failure> {
        let question = serde_json::to_vec(&ask.question(endpoint.with_meta)).map_err(Failure::unusable)?;
        let mut headers = ask.asker().visit.told_to(&endpoint.allowed);
        headers.extend(endpoint.headers.iter().map(|(name, value)| (name.clone(), value.clone())));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(HOOK, HeaderValue::from_static(hook.name()));
        sign::sign(endpoint.key.as_ref(), self.clock.unix().div_euclid(1000), &question, &mut headers);
        let request = self.client.post(endpoint.url.clone()).headers(headers).body(question);
        let mut response = request.send().await.map_err(Failure::away)?;
        let status = response.status();
        match status {
            StatusCode::OK => {}
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => {
                return Err(Failure::Away(status.to_string(), retry_after(response.headers())));
            }
            status if status.is_redirection() => {
                return Err(Failure::Unusable(format!("{status}: redirects are not followed")));
            }
            status => return Err(Failure::Unusable(status.to_string())),
        }
        while let Some(chunk) = response.chunk().await.map_err(Failure::away)? {
            if body.len() + chunk.len() > self.size_limit {
                return Err(Failure::Unusable(format!("more than {} bytes", self.size_limit)));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(())
    }

    /// Says what went wrong, not too often.
    fn note(&self, hook: Hook, endpoint: &Endpoint, failure: Failure) -> HookError {
        let now = self.clock.now();
        let logged_at = endpoint.logged_at.load(Ordering::Relaxed);
        if logged_at == 0 || now.saturating_sub(logged_at) >= LOGGED {
            endpoint.logged_at.store(now.max(1), Ordering::Relaxed);
            tracing::warn!(hook = hook.name(), reason = failure.reason(), "a hook failed");
        }
        match failure {
            Failure::Away(_, retry_after) => HookError::Away { retry_after },
            Failure::Unusable(reason) => HookError::Unusable(reason),
        }
    }
}

/// Why there is no answer, or none that can be used.
enum Failure {
    /// The reason, and after how many milliseconds the backend wants to be asked again; 0: it does not say.
    Away(String, Millis),
    Unusable(String),
}

impl Failure {
    fn away(error: reqwest::Error) -> Self {
        // The outermost error only says that sending failed; the last one says why.
        let error = error.without_url();
        let mut source: &dyn std::error::Error = &error;
        while let Some(inner) = source.source() {
            source = inner;
        }
        Self::Away(format!("{error}: {source}"), 0)
    }

    fn unusable(error: impl std::fmt::Display) -> Self {
        Self::Unusable(error.to_string())
    }

    fn reason(&self) -> &str {
        match self {
            Self::Away(reason, _) | Self::Unusable(reason) => reason,
        }
    }
}

fn retry_after(headers: &HeaderMap) -> Millis {
    let seconds = headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
    let seconds: Option<u64> = seconds.and_then(|seconds| seconds.parse().ok());
    seconds.map_or(0, |seconds| seconds.saturating_mul(1000).min(FARTHEST))
}

impl Endpoint {
    fn new(proxy: &Proxy, secret: &str) -> Result<Self, String> {
        let mut headers = HeaderMap::new();
        for (name, value) in &proxy.http.static_headers {
            headers.insert(header_name(name)?, value.parse().map_err(|_| format!("the value of {name}"))?);
        }
        let secret = if proxy.secret.is_empty() { secret } else { &proxy.secret };
        Ok(Self {
            url: url(&proxy.endpoint)?,
            timeout: Duration::from_millis(proxy.timeout.millis()),
            allowed: Allowed::to(proxy),
            headers,
            key: sign::key(secret),
            with_meta: proxy.include_connection_meta,
            logged_at: AtomicU64::new(0),
        })
    }
}

fn place(hook: Hook) -> String {
    match hook {
        Hook::Connect | Hook::Refresh => format!("client.proxy.{}.endpoint", hook.name()),
        Hook::Subscribe | Hook::SubRefresh | Hook::Publish => {
            format!("channel.proxy.{}.endpoint", hook.name())
        }
        Hook::Rpc => "rpc.proxy.endpoint".into(),
    }
}

fn url(text: &str) -> Result<Url, String> {
    let url: Url = text.parse().map_err(|_| "is no URL".to_owned())?;
    match url.scheme() {
        "http" | "https" if url.has_host() => Ok(url),
        scheme => Err(format!("\"{scheme}\" is not http or https")),
    }
}

fn header_name(name: &str) -> Result<HeaderName, String> {
    let parsed: HeaderName = name.parse().map_err(|_| format!("\"{name}\" is no name of a header"))?;
    if OWN_HEADERS.contains(&parsed) {
        return Err(format!("\"{name}\" is written by the server itself"));
    }
    Ok(parsed)
}

fn no_network(text: &str) -> String {
    format!("\"{text}\" is no network such as 127.0.0.0/8, 10.1.2.3 or fd00::/8")
}

/// Refuses settings of hooks that cannot work.
pub(crate) fn check(config: &Config) -> Result<(), ConfigError> {
    let networks = Networks::new(&config.hooks.private_networks)
        .map_err(|text| ConfigError::invalid("hooks.private_networks", no_network(text)))?;
    if config.hooks.concurrency == 0 {
        return Err(ConfigError::invalid("hooks.concurrency", "must be above 0"));
    }
    for (key, proxy) in config.all_proxies().filter(|(_, proxy)| **proxy != Proxy::default()) {
        let wrong = |field: &str, reason: String| ConfigError::invalid(format!("{key}.{field}"), reason);
        let lists = [("http_headers", &proxy.http_headers), ("emulated_headers", &proxy.emulated_headers)];
        for (field, names) in lists {
            for name in names {
                header_name(name).map_err(|reason| wrong(field, reason))?;
            }
        }
        if proxy.timeout.millis() == 0 {
            return Err(wrong("timeout", "must be above 0".into()));
        }
        if proxy.endpoint.is_empty() {
            continue;
        }
        let url = url(&proxy.endpoint).map_err(|reason| wrong("endpoint", reason))?;
        Endpoint::new(proxy, "").map_err(|reason| wrong("http.static_headers", reason))?;
        let literal = url.host_str().and_then(|host| host.trim_matches(['[', ']']).parse::<IpAddr>().ok());
        if let Some(address) = literal.filter(|address| !networks.allow(*address)) {
            let reason = format!("{address} is not public and not in hooks.private_networks");
            return Err(wrong("endpoint", reason));
        }
    }
    for (hook, name) in config.wanted_hooks() {
        if config.proxy_of(hook, name).is_none() {
            let reason = format!("none has the name \"{name}\", which {} hooks are to ask", hook.name());
            return Err(ConfigError::invalid("proxies", reason));
        }
    }
    Ok(())
}

impl Hooks for HttpHooks {
    async fn connect(&self, ask: ConnectAsk) -> Verdict<ConnectGrant> {
        self.ask(Hook::Connect, &ask, &mut Vec::new(), json::Connected::grant).await
    }

    async fn refresh(&self, ask: RefreshAsk) -> Verdict<RefreshGrant> {
        self.ask(Hook::Refresh, &ask, &mut Vec::new(), json::Refreshed::grant).await
    }

    async fn subscribe(&self, ask: SubscribeAsk) -> Verdict<SubscribeGrant> {
        self.ask(Hook::Subscribe, &ask, &mut Vec::new(), json::Subscribed::grant).await
    }

    async fn sub_refresh(&self, ask: SubRefreshAsk) -> Verdict<RefreshGrant> {
        self.ask(Hook::SubRefresh, &ask, &mut Vec::new(), json::Refreshed::grant).await
    }

    async fn publish(&self, ask: PublishAsk) -> Verdict<PublishGrant> {
        self.ask(Hook::Publish, &ask, &mut Vec::new(), json::Published::grant).await
    }

    async fn rpc(&self, ask: RpcAsk) -> Verdict<Option<Bytes>> {
        self.ask(Hook::Rpc, &ask, &mut Vec::new(), json::Answered::grant).await
    }
}
