//! The page's events, as hints for the core. Listeners exist while a client is meant to be connected, and not
//! at all where there is no page (Node, workers). There is no unload handler: it would keep the page out of
//! the back/forward cache. The document comes from JavaScript: looking for it from here costs more code.

use crate::browser::{Event, Target};
use homing_core::Input;
use wasm_bindgen::prelude::*;

const OF_WINDOW: [&str; 4] = ["pagehide", "pageshow", "online", "offline"];
const OF_DOCUMENT: [&str; 2] = ["visibilitychange", "resume"];

pub(crate) struct Page {
    window: Target,
    document: Target,
    listener: Closure<dyn Fn(Event)>,
}

impl Page {
    /// Listens; `None` where the document is in no window.
    pub(crate) fn watch(document: &Target, said: impl Fn(Input<'static>) + 'static) -> Option<Self> {
        let window = document.window()?;
        let (document, seen) = (document.clone(), document.clone());
        let listener = Closure::<dyn Fn(Event)>::new(move |event: Event| {
            if let Some(input) = hint(&event, &seen) {
                said(input);
            }
        });
        let page = Self { window, document, listener };
        page.each(Target::listen);
        Some(page)
    }

    fn each(&self, act: fn(&Target, &str, &JsValue)) {
        let listener = self.listener.as_ref();
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
        self.each(Target::ignore);
    }
}

fn hint(event: &Event, document: &Target) -> Option<Input<'static>> {
    match event.kind().as_str() {
        "pagehide" if event.persisted() => Some(Input::Suspended),
        "pageshow" if event.persisted() => Some(Input::Resumed),
        "resume" => Some(Input::Resumed),
        "online" => Some(Input::Online),
        "offline" => Some(Input::Offline),
        "visibilitychange" if document.hidden() => Some(Input::Hidden),
        "visibilitychange" => Some(Input::Visible),
        _ => None,
    }
}
