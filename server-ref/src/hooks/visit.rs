//! How a client came: its transport, and what of its own request may be passed on to hooks.
//!
//! Only what some address is to be told is kept: idle connections should take little memory.

use crate::config::{Config, Proxy};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use std::{collections::BTreeMap, sync::Arc};

/// Headers of the trace context, always passed on.
static TRACE: [HeaderName; 2] =
    [HeaderName::from_static("traceparent"), HeaderName::from_static("tracestate")];

/// Longest value of a header from the connect command, in bytes.
const MAX_EMULATED: usize = 4096;

/// How a client came.
#[derive(Clone, Debug)]
pub struct Visit {
    transport: &'static str,
    passed: Option<Arc<Passed>>,
}

#[derive(Clone, Debug, Default)]
struct Passed {
    headers: HeaderMap,
    emulated: HeaderMap,
}

impl Default for Visit {
    fn default() -> Self {
        Self { transport: "websocket", passed: None }
    }
}

impl Visit {
    /// The transport's name: `websocket`, `http_stream`, `sse`.
    #[must_use]
    pub const fn transport(&self) -> &'static str {
        self.transport
    }

    /// A header of the client's own request, if any hook is to be told of it.
    #[must_use]
    pub fn header(&self, name: &HeaderName) -> Option<&HeaderValue> {
        self.passed.as_ref().and_then(|passed| passed.headers.get(name))
    }

    /// A header that the connect command names, if any hook is to be told of it.
    #[must_use]
    pub fn emulated_header(&self, name: &HeaderName) -> Option<&HeaderValue> {
        self.passed.as_ref().and_then(|passed| passed.emulated.get(name))
    }

    /// What an address is told: trace context, and what its settings allow.
    pub(super) fn told_to(&self, allowed: &Allowed) -> HeaderMap {
        let mut told = HeaderMap::new();
        let Some(passed) = &self.passed else { return told };
        for name in allowed.headers.iter().chain(&TRACE) {
            if told.contains_key(name) {
                continue;
            }
            for value in passed.headers.get_all(name) {
                told.append(name.clone(), value.clone());
            }
        }
        if !allowed.cookies.is_empty() && !told.contains_key(header::COOKIE) {
            let all = passed.headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
            let named = |cookie: &&str| {
                let name = cookie.split('=').next().unwrap_or_default().trim();
                allowed.cookies.iter().any(|allowed| allowed == name)
            };
            // Only browsers put a blank behind each semicolon.
            let cookies = all.flat_map(|line| line.split(';')).map(str::trim);
            let some: Vec<&str> = cookies.filter(named).collect();
            if let Ok(value) = HeaderValue::try_from(some.join("; "))
                && !some.is_empty()
            {
                told.insert(header::COOKIE, value);
            }
        }
        for name in &allowed.emulated {
            if let Some(value) = passed.emulated.get(name)
                && !passed.headers.contains_key(name)
            {
                told.insert(name.clone(), value.clone());
            }
        }
        told
    }
}

/// What may be passed on, to one address or to any.
#[derive(Clone, Debug, Default)]
pub(crate) struct Allowed {
    headers: Vec<HeaderName>,
    cookies: Vec<String>,
    emulated: Vec<HeaderName>,
    /// Whether there is anybody to be told.
    any: bool,
}

impl Allowed {
    /// What one address may be told. Names that are none are left out: the settings were checked.
    pub(super) fn to(proxy: &Proxy) -> Self {
        let names = |names: &[String]| names.iter().filter_map(|name| name.parse().ok()).collect();
        Self {
            headers: names(&proxy.http_headers),
            cookies: proxy.http_cookies.clone(),
            emulated: names(&proxy.emulated_headers),
            any: !proxy.endpoint.is_empty(),
        }
    }

    /// What some address may be told.
    pub(super) fn to_any(config: &Config) -> Self {
        let mut all = Self::default();
        for (_, proxy) in config.all_proxies() {
            let one = Self::to(proxy);
            all.headers.extend(one.headers);
            all.emulated.extend(one.emulated);
            all.cookies.extend(one.cookies);
            all.any |= one.any;
        }
        all
    }

    /// How a client with this request came.
    pub(crate) fn visit(&self, transport: &'static str, request: &HeaderMap) -> Visit {
        let mut passed = Passed::default();
        let cookie = (!self.cookies.is_empty()).then_some(&header::COOKIE);
        // A header of the request hides an emulated one, so those must be known too.
        let names = self.headers.iter().chain(cookie).chain(&self.emulated).chain(&TRACE);
        for name in names.filter(|_| self.any) {
            if !passed.headers.contains_key(name) {
                for value in request.get_all(name) {
                    passed.headers.append(name.clone(), value.clone());
                }
            }
        }
        let passed = (!passed.headers.is_empty()).then(|| Arc::new(passed));
        Visit { transport, passed }
    }

    /// Adds what the connect command says in `headers`: an object of texts.
    pub(crate) fn emulate(&self, visit: &mut Visit, headers: &str) {
        if self.emulated.is_empty() {
            return;
        }
        let Ok(said) = serde_json::from_str::<BTreeMap<String, String>>(headers) else { return };
        let mut emulated = HeaderMap::new();
        for (name, value) in said {
            let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::try_from(value)) else {
                continue;
            };
            if self.emulated.contains(&name) && value.len() <= MAX_EMULATED {
                emulated.insert(name, value);
            }
        }
        if !emulated.is_empty() {
            let headers = visit.passed.take().map(|passed| passed.headers.clone()).unwrap_or_default();
            visit.passed = Some(Arc::new(Passed { headers, emulated }));
        }
    }
}
