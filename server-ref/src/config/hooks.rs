//! Where the application's backend is asked, under the names that Centrifugo has for its proxies, and what all
//! hooks have in common.

use super::{Config, Span};
use crate::hooks::Hook;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What all hooks have in common.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Hooks {
    /// Secret that requests to backends are signed with; empty: they are not signed. See `docs/backends.md`.
    pub secret: String,
    /// How long a client's command waits for its hook's turn before it gets a temporary error; default 3s,
    /// because clients give up after 5s.
    pub queue_timeout: Span,
    /// Calls of one hook under way at once; default 128.
    pub concurrency: usize,
    /// Calls of one hook that wait for their turn; what comes behind them is told when to come back. Default
    /// 10000.
    pub queue_size: usize,
    /// Largest answer of a backend in bytes; default 256 KiB.
    pub response_size_limit: usize,
    /// Consecutive failures after which a hook is not called for a while; default 5, 0: it is called always.
    pub breaker_failures: u32,
    /// How long it is not called then; doubled with every further failure, up to 30s. Default 1s.
    pub breaker_pause: Span,
    /// Networks that are not public and where backends may be nevertheless: `127.0.0.0/8`, `10.1.2.3`,
    /// `fd00::/8`. Default: none, so that a name cannot be made to lead into the server's own network.
    pub private_networks: Vec<String>,
}

impl Default for Hooks {
    fn default() -> Self {
        Self {
            secret: String::new(),
            queue_timeout: Span::seconds(3),
            concurrency: 128,
            queue_size: 10_000,
            response_size_limit: 256 * 1024,
            breaker_failures: 5,
            breaker_pause: Span::seconds(1),
            private_networks: Vec::new(),
        }
    }
}

/// One address of the application's backend.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Proxy {
    /// URL that requests are posted to.
    pub endpoint: String,
    /// Time for the answer; default 1s.
    pub timeout: Span,
    /// Headers of the client's own request (its WebSocket handshake) that are passed on; `Cookie` passes all
    /// cookies.
    pub http_headers: Vec<String>,
    /// Cookies of that request that are passed on.
    pub http_cookies: Vec<String>,
    /// Headers that the connect command names in `headers` and that are passed on; where the client's request
    /// has one of that name, the request's counts.
    pub emulated_headers: Vec<String>,
    /// What is said with every request.
    pub http: ProxyHttp,
    /// Whether the connection's `meta` is passed on; default false.
    pub include_connection_meta: bool,
    /// Secret of this address; empty: `hooks.secret`.
    pub secret: String,
}

impl Default for Proxy {
    fn default() -> Self {
        Self {
            endpoint: String::new(),
            timeout: Span::seconds(1),
            http_headers: Vec::new(),
            http_cookies: Vec::new(),
            emulated_headers: Vec::new(),
            http: ProxyHttp::default(),
            include_connection_meta: false,
            secret: String::new(),
        }
    }
}

/// What is said with every request.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProxyHttp {
    /// Further headers, by name.
    pub static_headers: BTreeMap<String, String>,
}

/// A hook for all connections.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EnabledProxy {
    /// Whether the hook is called; default false.
    pub enabled: bool,
    /// Where.
    #[serde(flatten)]
    pub proxy: Proxy,
}

/// Hooks of connections.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClientProxies {
    /// Asked who a client is that connects without a token.
    pub connect: EnabledProxy,
    /// Asked when a connection expires, instead of its client.
    pub refresh: EnabledProxy,
}

/// Hooks of channels; the options of a namespace switch them on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ChannelProxies {
    /// Asked whether a client may subscribe.
    pub subscribe: Proxy,
    /// Asked when a subscription expires, instead of its client.
    pub sub_refresh: Proxy,
    /// Asked whether a client may publish, and what.
    pub publish: Proxy,
}

/// A further address, for the namespaces that name it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NamedProxy {
    /// Its name.
    pub name: String,
    /// The address.
    #[serde(flatten)]
    pub proxy: Proxy,
}

/// Procedures that a backend carries out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rpc {
    /// Where.
    pub proxy: Proxy,
    /// What stands behind a namespace of methods; default `:`.
    pub namespace_boundary: String,
    /// Methods without a namespace.
    pub without_namespace: RpcOptions,
    /// Namespaces of methods.
    pub namespaces: Vec<NamedRpcOptions>,
}

impl Default for Rpc {
    fn default() -> Self {
        Self {
            proxy: Proxy::default(),
            namespace_boundary: ":".into(),
            without_namespace: RpcOptions::default(),
            namespaces: Vec::new(),
        }
    }
}

/// What becomes of methods.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RpcOptions {
    /// Whether they are carried out by the hook; default false.
    pub proxy_enabled: bool,
    /// Which of `proxies` is asked; default: `rpc.proxy`.
    pub proxy_name: String,
}

/// A namespace of methods.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NamedRpcOptions {
    /// What stands before the boundary.
    pub name: String,
    /// Its options.
    #[serde(flatten)]
    pub options: RpcOptions,
}

/// The name that stands for a hook's own address.
const OWN: [&str; 2] = ["", "default"];

impl Config {
    /// The address that is asked for a hook; with an empty name, or `default`, the hook's own.
    #[must_use]
    pub fn proxy_of(&self, hook: Hook, name: &str) -> Option<&Proxy> {
        if !OWN.contains(&name) {
            return self.proxies.iter().find(|one| one.name == name).map(|one| &one.proxy);
        }
        Some(match hook {
            Hook::Connect => &self.client.proxy.connect.proxy,
            Hook::Refresh => &self.client.proxy.refresh.proxy,
            Hook::Subscribe => &self.channel.proxy.subscribe,
            Hook::SubRefresh => &self.channel.proxy.sub_refresh,
            Hook::Publish => &self.channel.proxy.publish,
            Hook::Rpc => &self.rpc.proxy,
        })
    }

    /// Every hook that is switched on, with the name of the address that is asked; some more than once.
    pub fn wanted_hooks(&self) -> impl Iterator<Item = (Hook, &str)> {
        let client = &self.client.proxy;
        let of_client = [(Hook::Connect, client.connect.enabled), (Hook::Refresh, client.refresh.enabled)];
        let of_client = of_client.into_iter().map(|(hook, on)| (hook, on, ""));
        let options = self.channel.namespaces.iter().map(|one| &one.options);
        let of_channels = options.chain([&self.channel.without_namespace]).flat_map(|options| {
            [
                (Hook::Subscribe, options.subscribe_proxy_enabled, &*options.subscribe_proxy_name),
                (Hook::SubRefresh, options.sub_refresh_proxy_enabled, &*options.sub_refresh_proxy_name),
                (Hook::Publish, options.publish_proxy_enabled, &*options.publish_proxy_name),
            ]
        });
        let methods = self.rpc.namespaces.iter().map(|one| &one.options);
        let of_methods = methods
            .chain([&self.rpc.without_namespace])
            .map(|options| (Hook::Rpc, options.proxy_enabled, &*options.proxy_name));
        let all = of_client.chain(of_channels).chain(of_methods);
        all.filter(|(_, on, _)| *on).map(|(hook, _, name)| (hook, name))
    }

    /// Every address there is, with its place among the settings.
    pub fn all_proxies(&self) -> impl Iterator<Item = (String, &Proxy)> {
        let (client, channel) = (&self.client.proxy, &self.channel.proxy);
        let own = [
            ("client.proxy.connect", &client.connect.proxy),
            ("client.proxy.refresh", &client.refresh.proxy),
            ("channel.proxy.subscribe", &channel.subscribe),
            ("channel.proxy.sub_refresh", &channel.sub_refresh),
            ("channel.proxy.publish", &channel.publish),
            ("rpc.proxy", &self.rpc.proxy),
        ];
        let own = own.into_iter().map(|(key, proxy)| (key.to_owned(), proxy));
        own.chain(self.proxies.iter().enumerate().map(|(at, one)| (format!("proxies[{at}]"), &one.proxy)))
    }
}
