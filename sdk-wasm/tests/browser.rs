//! The host in Chromium, with a socket that the test plays: opening, frames, the fast lane, reentrancy, letting go.
#![cfg(target_arch = "wasm32")]
#![expect(clippy::unwrap_used, reason = "a failed setup is a failed test")]

use homing_wasm::{Function, Host, NUMBERS, Verb};
use js_sys::{Array, Promise, Reflect};
use std::{cell::RefCell, rc::Rc};
use wasm_bindgen::{JsCast, prelude::*};
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

wasm_bindgen_test_configure!(run_in_browser);

#[wasm_bindgen(inline_js = r"
    export const makeSocket = () => ({
        sent: [], closed: null, onopen: null, onmessage: null, onclose: null,
        send(text) { this.sent.push(text); },
        close(code, reason) { this.closed = [code, reason]; },
    });
    export const say = (socket, name, event) => socket[name]?.({ type: name.slice(2), ...event });
    export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
")]
extern "C" {
    #[wasm_bindgen(js_name = makeSocket)]
    fn make_socket() -> JsValue;
    fn say(socket: &JsValue, name: &str, event: &JsValue);
    fn sleep(ms: u32) -> Promise;
}

/// A host, the sockets that it asked for and the events that it gave.
struct Desk {
    host: Host,
    sockets: Array,
    events: Rc<RefCell<Vec<String>>>,
    _open: Closure<dyn Fn(String, u32) -> Result<JsValue, JsValue>>,
    _emit: Closure<dyn Fn(String)>,
}

const CONNECTED: &str = r#"{"id":1,"connect":{"client":"c1","version":"v","ping":25,"pong":true}}"#;

impl Desk {
    fn new() -> Self {
        Self::with(|_| Ok(()), |_| {})
    }

    fn with(refuse: impl Fn(u32) -> Result<(), JsValue> + 'static, heard: impl Fn(&str) + 'static) -> Self {
        let sockets = Array::new();
        let events = Rc::new(RefCell::new(Vec::new()));
        let made = sockets.clone();
        let open = Closure::<dyn Fn(String, u32) -> Result<JsValue, JsValue>>::new(move |_, conn| {
            refuse(conn)?;
            let socket = make_socket();
            made.push(&socket);
            Ok(socket)
        });
        let seen = events.clone();
        let emit = Closure::<dyn Fn(String)>::new(move |event: String| {
            seen.borrow_mut().push(event.clone());
            heard(&event);
        });
        let function = |value: &JsValue| value.clone().unchecked_into::<Function>();
        let numbers = NUMBERS.map(|name| if name.starts_with("backoff") { "1" } else { "" }).join(r#"",""#);
        let options = format!(r#"["00ff","ws://test/","","","","","","","","","","","{numbers}"]"#);
        let document = web_sys::window().unwrap().document().map(JsCast::unchecked_into);
        let host = Host::new(&options, function(open.as_ref()), function(emit.as_ref()), document);
        Self { host, sockets, events, _open: open, _emit: emit }
    }

    fn tell(&self, verb: Verb, one: &str, two: &str, number: f64) -> f64 {
        let id = self.host.tell(verb as u32, one, two, number, 0.0);
        self.host.drain();
        id
    }

    fn socket(&self) -> JsValue {
        self.sockets.get(self.sockets.length() - 1)
    }

    fn sent(&self) -> String {
        let sent: Array = Reflect::get(&self.socket(), &"sent".into()).unwrap().unchecked_into();
        sent.join("\n").into()
    }

    fn connect(&self) {
        self.tell(Verb::Connect, "", "", 0.0);
        say(&self.socket(), "onopen", &JsValue::UNDEFINED);
        self.tell(Verb::Frame, CONNECTED, "", 1.0);
    }

    /// Connected and subscribed to a channel that has no messages yet; gives its key.
    fn subscribe(&self) -> u32 {
        self.connect();
        self.tell(Verb::Subscribe, "chat:x", "\n\n", 0.0);
        let key = self.host.said();
        let key =
            key.strip_prefix(r#"{"key":"#).and_then(|rest| rest.split(',').next()).unwrap().parse().unwrap();
        self.tell(
            Verb::Frame,
            r#"{"id":2,"subscribe":{"recoverable":true,"positioned":true,"epoch":"e"}}"#,
            "",
            1.0,
        );
        key
    }

    fn heard(&self, part: &str) -> usize {
        self.events.borrow().iter().filter(|event| event.contains(part)).count()
    }
}

#[wasm_bindgen_test]
fn connecting_opens_one_socket_and_greets_first() {
    let desk = Desk::new();
    assert_eq!(desk.sockets.length(), 0);
    desk.connect();
    desk.tell(Verb::Connect, "", "", 0.0);
    assert_eq!(desk.sockets.length(), 1);
    assert!(desk.sent().starts_with(r#"{"id":1,"connect":{"#), "{}", desk.sent());
    assert_eq!(desk.heard(r#""status":"connected","client":"c1""#), 1);
}

#[wasm_bindgen_test]
fn the_fast_lane_takes_what_is_next_and_nothing_else() {
    let desk = Desk::new();
    let key = desk.subscribe();
    assert_eq!(desk.host.advance(1, key, 1.0, 3), 3);
    assert_eq!(desk.host.advance(1, key, 3.0, 1), 0, "a double");
    assert_eq!(desk.host.advance(1, key, 5.0, 1), 0, "behind a hole");
    assert_eq!(desk.host.advance(2, key, 4.0, 1), 0, "another socket");
    assert_eq!(desk.host.advance(1, key + 1, 4.0, 1), 0, "another channel");
    assert_eq!(desk.host.advance(1, key, 4.0, 1), 1);
}

#[wasm_bindgen_test]
fn a_slow_frame_gives_its_message_as_it_came() {
    let desk = Desk::new();
    desk.subscribe();
    desk.tell(Verb::Frame, r#"{"push":{"channel":"chat:x","pub":{"data":{"a": 1.50},"offset":1}}}"#, "", 1.0);
    assert_eq!(desk.heard(r#""m":{"data":{"a": 1.50},"offset":1"#), 1);
}

#[wasm_bindgen_test]
fn a_call_made_while_events_are_told_is_carried_out() {
    let host: Rc<RefCell<Option<Host>>> = Rc::default();
    let inner = host.clone();
    let desk = Desk::with(
        |_| Ok(()),
        move |event| {
            if event.contains(r#""status":"connected""#)
                && let Some(host) = inner.borrow().as_ref()
            {
                host.tell(Verb::Rpc as u32, "echo", "1", 0.0, 0.0);
                host.drain();
            }
        },
    );
    let Desk { host: made, sockets, .. } = desk;
    made.tell(Verb::Connect as u32, "", "", 0.0, 0.0);
    made.drain();
    let socket = sockets.get(0);
    host.replace(Some(made));
    say(&socket, "onopen", &JsValue::UNDEFINED);
    let borrowed = host.borrow();
    let made = borrowed.as_ref().unwrap();
    made.tell(Verb::Frame as u32, CONNECTED, "", 1.0, 0.0);
    made.drain();
    let sent: Array = Reflect::get(&socket, &"sent".into()).unwrap().unchecked_into();
    assert!(String::from(sent.join("")).contains(r#""rpc":{"method":"echo","data":1}"#));
}

#[wasm_bindgen_test]
async fn a_factory_that_throws_is_asked_again_later() {
    let desk =
        Desk::with(|conn| if conn == 1 { Err(js_sys::Error::new("none").into()) } else { Ok(()) }, |_| {});
    desk.tell(Verb::Connect, "", "", 0.0);
    assert_eq!(desk.sockets.length(), 0);
    for _ in 0..500 {
        if desk.sockets.length() == 1 {
            return;
        }
        wasm_bindgen_futures::JsFuture::from(sleep(10)).await.unwrap();
    }
    panic!("no second attempt");
}

#[wasm_bindgen_test]
fn a_socket_that_is_given_up_is_closed_and_not_listened_to() {
    let desk = Desk::new();
    desk.connect();
    let old = desk.socket();
    desk.tell(Verb::Disconnect, "", "", 0.0);
    for name in ["onopen", "onclose", "onmessage"] {
        assert!(Reflect::get(&old, &name.into()).unwrap().is_falsy(), "{name} was let go");
    }
    assert!(Reflect::get(&old, &"closed".into()).unwrap().is_truthy());
}

#[wasm_bindgen_test]
fn a_host_that_was_abandoned_hears_nothing_more() {
    let desk = Desk::new();
    desk.connect();
    desk.host.abandon();
    let before = desk.events.borrow().len();
    let event = js_sys::JSON::parse(r#"{"code":1006,"reason":""}"#).unwrap();
    say(&desk.socket(), "onclose", &event);
    web_sys::window().unwrap().dispatch_event(&web_sys::Event::new("online").unwrap()).unwrap();
    assert_eq!(desk.events.borrow().len(), before);
    assert_eq!(desk.sockets.length(), 1);
}

#[wasm_bindgen_test]
fn memory_is_used_again() {
    let desk = Desk::new();
    desk.connect();
    let round = |size: usize| {
        let text = format!("\"{}\"", "x".repeat(size));
        for _ in 0..200 {
            let ids: Vec<f64> = (0..20).map(|_| desk.tell(Verb::Rpc, "echo", &text, 0.0)).collect();
            for id in ids {
                desk.tell(Verb::Cancel, "", "", id);
            }
            Reflect::set(&desk.socket(), &"sent".into(), &Array::new()).unwrap();
            desk.events.borrow_mut().clear();
        }
    };
    for size in [10, 4000, 70, 900] {
        round(size);
    }
    let before = core::arch::wasm32::memory_size(0);
    for size in [4000, 10, 900, 70, 2500] {
        round(size);
    }
    assert_eq!(core::arch::wasm32::memory_size(0), before);
}
