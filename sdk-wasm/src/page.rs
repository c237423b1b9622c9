//! The page's events, as hints for the core. Listeners exist while a client is meant to be connected, and not
//! at all where there is no page (Node, workers). There is no unload handler: it would keep the page out of
//! the back/forward cache. The document comes from JavaScript: looking for it from here costs more code.

use homing_core::Input;
use wasm_bindgen::{JsCast, prelude::*};
use web_sys::{Document, Event, EventTarget, PageTransitionEvent, Window};

const OF_WINDOW: [&str; 4] = ["pagehide", "pageshow", "online", "offline"];
const OF_DOCUMENT: [&str; 2] = ["visibilitychange", "resume"];

pub(crate) struct Page {
    window: Window,
    document: Document,
    listener: Closure<dyn Fn(Event)>,
}

impl Page {
    /// Listens; `None` where the document is in no window.
    pub(crate) fn watch(document: &Document, said: impl Fn(Input<'static>) + 'static) -> Option<Self> {
        let window = document.default_view()?;
        let document = document.clone();
        let seen = document.clone();
        let listener = Closure::<dyn Fn(Event)>::new(move |event: Event| {
            if let Some(input) = hint(&event, &seen) {
                said(input);
            }
        });
        let page = Self { window, document, listener };
        page.each(|target, name, listener| {
            let _ = target.add_event_listener_with_callback(name, listener);
        });
        Some(page)
    }

    fn each(&self, act: impl Fn(&EventTarget, &str, &js_sys::Function)) {
        let listener = self.listener.as_ref().unchecked_ref();
        for name in OF_WINDOW {
            act(&self.window, name, listener);
        }
        for name in OF_DOCUMENT {
            act(&self.document, name, listener);
        }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.each(|target, name, listener| {
            let _ = target.remove_event_listener_with_callback(name, listener);
        });
    }
}

fn hint(event: &Event, document: &Document) -> Option<Input<'static>> {
    let persisted = || event.unchecked_ref::<PageTransitionEvent>().persisted();
    match event.type_().as_str() {
        "pagehide" if persisted() => Some(Input::Suspended),
        "pageshow" if persisted() => Some(Input::Resumed),
        "resume" => Some(Input::Resumed),
        "online" => Some(Input::Online),
        "offline" => Some(Input::Offline),
        "visibilitychange" if document.hidden() => Some(Input::Hidden),
        "visibilitychange" => Some(Input::Visible),
        _ => None,
    }
}
