//! Two thousand clients come back at once, and the backend is slow: it sees only so many at a time, those who
//! cannot be served in time are told when to come back, and in the end all are in.

use crate::backend::{Backend, json};
use homing_server::{
    Server,
    config::Span,
    hub::{Connection, Outgoing},
    session::Session,
};
use serde_json::Value;
use std::{
    sync::Arc,
    task::{Context, Waker},
    time::{Duration, Instant},
};

const CLIENTS: usize = 2000;

struct Client {
    session: Session,
    connection: Arc<Connection>,
    outgoing: Outgoing,
    /// When the connect command is to be sent.
    at: Option<Instant>,
    is_in: bool,
}

impl Client {
    fn new(server: &Server) -> Self {
        let node = server.node();
        let connection = node.connection();
        let place = node.registry.add(&connection, 0).unwrap();
        let session = Session::new(Arc::clone(node), Arc::clone(&connection), place);
        let at = Some(Instant::now());
        Self { session, connection, outgoing: Outgoing::default(), at, is_in: false }
    }

    /// Does what is due; how often it was told to come back.
    fn turn(&mut self) -> usize {
        if self.at.is_some_and(|at| at <= Instant::now()) {
            self.at = None;
            self.session.handle_frame(r#"{"id":1,"connect":{}}"#);
        }
        if self.session.poll_timeout().is_some_and(|at| at <= self.session.node().now()) {
            self.session.handle_timeout();
        }
        self.session.poll_calls(&mut Context::from_waker(Waker::noop()));
        let _ = self.connection.poll_outgoing(&mut self.outgoing, 0, None);
        let mut told = 0;
        for frame in self.outgoing.frames.drain(..) {
            for line in std::str::from_utf8(&frame).unwrap().split('\n') {
                let line: Value = serde_json::from_str(line).unwrap();
                if line["connect"].is_object() {
                    self.is_in = true;
                } else if line["error"].is_object() {
                    assert_eq!(
                        (&line["error"]["code"], &line["error"]["temporary"]),
                        (&100.into(), &true.into())
                    );
                    let wait = line["error"]["retry_after"].as_u64().unwrap();
                    assert!((1..=60_000).contains(&wait), "{line}");
                    self.at = Some(Instant::now() + Duration::from_millis(wait));
                    told += 1;
                }
            }
        }
        assert!(self.outgoing.close.is_none(), "{:?}", self.outgoing.close);
        told
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_that_returns_meets_bounded_concurrency_and_gets_in() {
    let backend = Backend::start().await;
    backend.answer(|_| json(r#"{"result":{"user":"u"}}"#));
    backend.take_so_long(Duration::from_millis(20));
    let mut config = backend.settings("");
    config.hooks.concurrency = 16;
    config.hooks.queue_timeout = Span::from_millis(500);
    config.client.proxy.connect.proxy.timeout = Span::seconds(5);
    // These clients answer no pings, and come again on the same connection.
    config.client.ping_interval = Span::ZERO;
    config.client.stale_close_delay = Span::ZERO;
    let server = Server::builder().config(config).build().await.unwrap();
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| Client::new(&server)).collect();
    let (mut told, begun) = (0, Instant::now());
    while clients.iter().any(|client| !client.is_in) {
        for client in &mut clients {
            told += client.turn();
        }
        assert!(begun.elapsed() < Duration::from_secs(90), "{told} were sent away");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert!(backend.most() <= 16, "{} at once", backend.most());
    assert!(backend.most() > 8, "{} at once", backend.most());
    assert!(told > 0, "with {} at once not all can have waited", backend.most());
    // A stampede would knock many times; here most come once or twice.
    assert!(told < 4 * CLIENTS, "{told} were sent away");
    assert_eq!(backend.asked().len(), CLIENTS, "nobody is asked about twice");
}
