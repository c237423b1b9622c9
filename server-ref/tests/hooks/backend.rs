//! A backend on loopback that records what it is asked and answers as it is told.

use crate::socket::{self, Running, Socket};
use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use homing_server::config;
use serde_json::Value;
use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{net::TcpListener, task::JoinHandle};

pub(crate) const SECRET: &str = "a secret that both know";

/// One request of the server.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Asked {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

type Answerer = Arc<dyn Fn(&Asked) -> Response + Send + Sync>;

pub(crate) struct Inner {
    asked: Mutex<Vec<Asked>>,
    answerer: Mutex<Answerer>,
    delay: Mutex<Duration>,
    under_way: AtomicUsize,
    most: AtomicUsize,
}

pub(crate) struct Backend {
    pub(crate) inner: Arc<Inner>,
    pub(crate) address: SocketAddr,
    task: Option<JoinHandle<()>>,
}

async fn answer(State(inner): State<Arc<Inner>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let asked = Asked { path: uri.path().to_owned(), headers, body };
    inner.asked.lock().unwrap().push(asked.clone());
    let now = inner.under_way.fetch_add(1, Ordering::SeqCst) + 1;
    inner.most.fetch_max(now, Ordering::SeqCst);
    let guard = Leaving(Arc::clone(&inner));
    let delay = *inner.delay.lock().unwrap();
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    let answerer = Arc::clone(&*inner.answerer.lock().unwrap());
    let response = answerer(&asked);
    drop(guard);
    response
}

struct Leaving(Arc<Inner>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::SeqCst);
    }
}

/// An answer of JSON.
pub(crate) fn json(text: &str) -> Response {
    (StatusCode::OK, [("content-type", "application/json")], text.to_owned()).into_response()
}

impl Backend {
    /// A backend that grants everything and says nothing of it.
    pub(crate) async fn start() -> Self {
        let inner = Arc::new(Inner {
            asked: Mutex::default(),
            answerer: Mutex::new(Arc::new(|_| json(r#"{"result":{}}"#))),
            delay: Mutex::default(),
            under_way: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut backend = Self { inner, address, task: None };
        backend.listen(listener);
        backend
    }

    fn listen(&mut self, listener: TcpListener) {
        let router = Router::new().fallback(answer).with_state(Arc::clone(&self.inner));
        self.task = Some(tokio::spawn(async move { axum::serve(listener, router).await.unwrap() }));
    }

    /// Nobody listens any more.
    pub(crate) async fn stop(&mut self) {
        let task = self.task.take().unwrap();
        task.abort();
        let _ = task.await;
    }

    pub(crate) async fn come_back(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.listen(listener);
    }

    pub(crate) fn answer(&self, answerer: impl Fn(&Asked) -> Response + Send + Sync + 'static) {
        *self.inner.answerer.lock().unwrap() = Arc::new(answerer);
    }

    pub(crate) fn say(&self, text: &'static str) {
        self.answer(move |_| json(text));
    }

    pub(crate) fn take_so_long(&self, delay: Duration) {
        *self.inner.delay.lock().unwrap() = delay;
    }

    /// Takes what was asked.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.inner.asked.lock().unwrap())
    }

    /// Most requests that were under way at once.
    pub(crate) fn most(&self) -> usize {
        self.inner.most.load(Ordering::SeqCst)
    }

    /// Settings of a server that asks this backend everything.
    pub(crate) fn settings(&self, more: &str) -> config::Config {
        let at = format!("http://{}", self.address);
        let text = format!(
            r#"
            {more}
            [hooks]
            secret = "{SECRET}"
            private_networks = ["127.0.0.0/8"]
            [client.proxy.connect]
            enabled = true
            endpoint = "{at}/connect"
            [client.proxy.refresh]
            enabled = true
            endpoint = "{at}/refresh"
            include_connection_meta = true
            [channel.proxy.subscribe]
            endpoint = "{at}/subscribe"
            [channel.proxy.sub_refresh]
            endpoint = "{at}/sub_refresh"
            [channel.proxy.publish]
            endpoint = "{at}/publish"
            [rpc.proxy]
            endpoint = "{at}/rpc"
            [rpc.without_namespace]
            proxy_enabled = true
            [[proxies]]
            name = "billing"
            endpoint = "{at}/billing"
            [[channel.namespaces]]
            name = "chat"
            presence = true
            history_size = 100
            history_ttl = "60s"
            force_recovery = true
            subscribe_proxy_enabled = true
            sub_refresh_proxy_enabled = true
            publish_proxy_enabled = true
            allow_presence_for_subscriber = true
            allow_history_for_subscriber = true
            [[channel.namespaces]]
            name = "bills"
            subscribe_proxy_enabled = true
            subscribe_proxy_name = "billing"
            "#
        );
        config::parse(&text).unwrap()
    }

    /// A server that asks this backend everything, with a change.
    pub(crate) async fn server(&self, change: impl FnOnce(&mut config::Config)) -> Running {
        let mut settings = self.settings("");
        change(&mut settings);
        socket::start(|config| *config = settings).await
    }
}

/// Connects as this user, by the hook.
pub(crate) async fn connected(backend: &Backend, server: &Running, user: &'static str) -> Socket {
    let mut socket = Socket::open(server).await;
    backend.answer(move |_| json(&format!(r#"{{"result":{{"user":"{user}"}}}}"#)));
    let reply = socket.call("connect", "{}").await;
    assert!(reply["connect"].is_object(), "{reply}");
    backend.say(r#"{"result":{}}"#);
    backend.asked();
    socket
}
