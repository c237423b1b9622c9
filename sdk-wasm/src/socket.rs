//! One socket: made by the page's factory, owned here. Says opened and closed; its messages go to the page's
//! own listener. A foreign implementation need not be an instance of anything.

use crate::browser::{Event, WebSocket};
use homing_core::ConnId;
use std::cell::Cell;
use wasm_bindgen::prelude::*;

/// What a socket says.
pub(crate) enum Said {
    Opened,
    Closed { code: u32, reason: String },
}

pub(crate) struct Socket {
    conn: ConnId,
    socket: WebSocket,
    /// Why it failed, in the words of an implementation that tells.
    error: Cell<String>,
    _listener: Closure<dyn Fn(Event)>,
}

impl Socket {
    /// Listens to what the factory made.
    pub(crate) fn adopt(conn: ConnId, socket: WebSocket, said: impl Fn(Said) + 'static) -> Self {
        let listener = Closure::<dyn Fn(Event)>::new(move |event: Event| {
            if event.kind() == "open" {
                said(Said::Opened);
            } else {
                said(Said::Closed { code: event.code().into(), reason: event.reason() });
            }
        });
        socket.set_onopen(listener.as_ref());
        socket.set_onclose(listener.as_ref());
        Self { conn, socket, error: Cell::default(), _listener: listener }
    }

    pub(crate) const fn conn(&self) -> ConnId {
        self.conn
    }

    /// Hands a frame over. One that the socket refuses is lost with the socket, which says so by itself.
    pub(crate) fn send(&self, text: &str) {
        let _ = self.socket.send(text);
    }

    pub(crate) fn set_error(&self, text: String) {
        self.error.set(text);
    }

    pub(crate) fn take_error(&self) -> String {
        self.error.take()
    }

    /// Stops listening, then closes. The error listener is the page's and stays: an implementation may throw
    /// an error that nobody listens to.
    pub(crate) fn close(&self, code: u16, reason: &str) {
        self.detach();
        let _ = self.socket.close_with(code, reason);
    }

    fn detach(&self) {
        self.socket.set_onopen(&JsValue::NULL);
        self.socket.set_onclose(&JsValue::NULL);
        self.socket.set_onmessage(&JsValue::NULL);
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.detach();
        // Closing a closed socket does nothing.
        let _ = self.socket.close();
    }
}
