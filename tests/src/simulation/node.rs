//! A server node without sockets and tasks: its sessions, and the work that its host would carry out.

use super::{dice::Dice, engine::Shaky};
use homing_core::wire::{self, json};
use homing_server::{
    Config,
    clock::{Clock, Millis},
    engine::{Engine, memory::Memory},
    hub::{Connection, Outgoing},
    metrics::Metrics,
    node::{Node, Parts, Work},
    rpc::Procedures,
    session::Session,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
};

/// The servers' time.
#[derive(Default)]
pub(crate) struct Time(AtomicU64);

impl Time {
    pub(crate) fn set(&self, now: Millis) {
        self.0.store(now, Ordering::Relaxed);
    }
}

impl Clock for Time {
    fn now(&self) -> Millis {
        self.0.load(Ordering::Relaxed)
    }
    fn unix(&self) -> i64 {
        1_700_000_000_000 + i64::try_from(self.now()).expect("a story is short")
    }
}

/// Which client's socket.
pub(crate) type Link = (usize, u32);

/// What a session says to its client.
pub(crate) enum Said {
    Frame(String),
    Close(u32, String),
}

struct Served {
    link: Link,
    session: Session,
    connection: Arc<Connection>,
    outgoing: Outgoing,
}

pub(crate) struct Host {
    pub(crate) node: Arc<Node>,
    pub(crate) engine: Arc<Shaky>,
    /// The process stands still until then.
    pub(crate) frozen_until: Millis,
    time: Arc<Time>,
    sessions: Vec<Served>,
    works: Vec<Work>,
}

impl Host {
    pub(crate) fn new(config: Config, store: &Memory, time: &Arc<Time>, dice: &mut Dice) -> Self {
        let engine = Arc::new(Shaky::new(store.node(), Dice::new(dice.number())));
        let procedures = Procedures::default();
        let node = Node::new(Parts {
            config,
            engine: Arc::clone(&engine) as Arc<dyn Engine>,
            clock: Arc::clone(time) as Arc<dyn Clock>,
            entropy: dice.entropy(),
            procedures,
            hooks: None,
            metrics: Metrics::unread(),
        });
        engine.set_now(time.now());
        Self {
            node,
            engine,
            frozen_until: 0,
            time: Arc::clone(time),
            sessions: Vec::new(),
            works: Vec::new(),
        }
    }

    pub(crate) fn accept(&mut self, link: Link) {
        let connection = self.node.connection();
        let place = self.node.registry.add(&connection, 0).expect("there is no limit");
        let session = Session::new(Arc::clone(&self.node), Arc::clone(&connection), place);
        self.sessions.push(Served { link, session, connection, outgoing: Outgoing::default() });
    }

    pub(crate) fn has(&self, link: Link) -> bool {
        self.sessions.iter().any(|served| served.link == link)
    }

    pub(crate) fn handle_frame(&mut self, link: Link, text: &str) {
        if let Some(served) = self.sessions.iter_mut().find(|served| served.link == link) {
            served.session.handle_frame(text);
        }
    }

    /// The client's socket is gone.
    pub(crate) fn forget(&mut self, link: Link) {
        self.sessions.retain(|served| served.link != link);
    }

    /// The process dies: nothing of it runs any more, and its farewells reach nobody.
    pub(crate) fn die(self) {
        self.engine.die();
    }

    pub(crate) fn next_deadline(&self, now: Millis) -> Millis {
        if self.frozen_until > now {
            return self.frozen_until.min(self.engine.next_in_store().unwrap_or(Millis::MAX));
        }
        let sessions = self.sessions.iter().filter_map(|served| served.session.poll_timeout());
        let answers = self.engine.next().into_iter();
        sessions.chain(answers).min().unwrap_or(Millis::MAX).min(self.node.poll_timeout())
    }

    /// Does all that can be done at this moment, and hands over what the sessions say.
    pub(crate) fn turn(&mut self, say: &mut impl FnMut(Link, Said)) {
        let now = self.time.now();
        self.engine.set_now(now);
        if self.node.poll_timeout() <= now {
            self.node.handle_timeout();
        }
        let mut cx = Context::from_waker(Waker::noop());
        loop {
            let mut moved = false;
            while let Poll::Ready(works) = self.node.poll_work(&mut cx) {
                self.works.extend(works);
                moved = true;
            }
            self.works.retain_mut(|work| work.as_mut().poll(&mut cx).is_pending());
            for served in &mut self.sessions {
                moved |= served.turn(now, &mut cx, say);
            }
            self.sessions.retain(|served| served.outgoing.close.is_none());
            if !moved {
                return;
            }
        }
    }
}

impl Served {
    fn turn(&mut self, now: Millis, cx: &mut Context<'_>, say: &mut impl FnMut(Link, Said)) -> bool {
        if self.session.poll_timeout().is_some_and(|at| at <= now) {
            self.session.handle_timeout();
        }
        self.session.poll_calls(cx);
        let mut moved = false;
        let mut written = 0;
        while self.outgoing.close.is_none()
            && self.connection.poll_outgoing(&mut self.outgoing, written, None).is_ready()
        {
            moved = true;
            written = self.outgoing.frames.iter().map(bytes::Bytes::len).sum();
            let lines: Vec<_> = self
                .outgoing
                .frames
                .drain(..)
                .map(|line| String::from_utf8_lossy(&line).into_owned())
                .collect();
            if !lines.is_empty() {
                say(self.link, Said::Frame(lines.join("\n")));
            }
            for control in self.outgoing.controls.drain(..) {
                self.session.handle_control(control);
            }
        }
        if let Some(close) = &self.outgoing.close {
            if close.retry_after > 0 {
                let event = wire::PushEvent::Disconnect(wire::Disconnect {
                    code: close.code.into(),
                    reason: (&*close.reason).into(),
                    reconnect: !wire::closes_for_good(close.code.into()),
                    retry_after: close.retry_after,
                });
                let mut text = String::new();
                json::encode_reply(&wire::Reply::Push(wire::Push { channel: "".into(), event }), &mut text);
                say(self.link, Said::Frame(text));
            }
            say(self.link, Said::Close(close.code.into(), close.reason.to_string()));
        }
        moved
    }
}
