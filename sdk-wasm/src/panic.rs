//! What is left of a panic: its text, and a bell for those that no call of the page's side would see. It asks for the
//! text then, and declares the client dead; nothing here survives or restarts anything.

use crate::browser::Function;
use homing_core::wire::json::encode_number;
use std::cell::Cell;
use wasm_bindgen::prelude::*;

thread_local! {
    static TEXT: Cell<String> = const { Cell::new(String::new()) };
    /// Takes an empty text when the callback that runs panics.
    static BELL: Cell<Option<Function>> = const { Cell::new(None) };
}

/// The browser calls in: a panic rings, until the bell is set back to what it was.
pub(crate) fn set_bell(bell: Option<Function>) -> Option<Function> {
    BELL.replace(bell)
}

#[wasm_bindgen(start)]
fn start() {
    std::panic::set_hook(Box::new(|info| {
        // Put together by hand: the standard library's own form of the same weighs a third of a kilobyte more.
        let mut text = String::new();
        if let Some(at) = info.location() {
            text.push_str(at.file());
            text.push(':');
            encode_number(at.line().into(), &mut text);
            text.push_str(": ");
        }
        text.push_str(info.payload_as_str().unwrap_or_default());
        let _ = TEXT.try_with(|slot| slot.set(text));
        if let Some(bell) = set_bell(None) {
            let _ = bell.emit(&JsValue::NULL, "");
        }
    }));
}

/// The text of the panic that ended the last call, given once; empty if it was no panic.
#[wasm_bindgen(js_name = panicText)]
#[must_use]
pub fn panic_text() -> String {
    TEXT.try_with(Cell::take).unwrap_or_default()
}
