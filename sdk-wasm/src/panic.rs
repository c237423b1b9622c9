//! What is left of a panic: its text. The page's side asks for it when a call trapped, and declares the client
//! dead; nothing here survives or restarts anything.

use std::cell::RefCell;
use wasm_bindgen::prelude::*;

thread_local! {
    static TEXT: RefCell<String> = const { RefCell::new(String::new()) };
}

#[wasm_bindgen(start)]
fn start() {
    std::panic::set_hook(Box::new(|info| {
        let text = info.to_string();
        let _ = TEXT.try_with(|slot| {
            if let Ok(mut slot) = slot.try_borrow_mut() {
                *slot = text;
            }
        });
    }));
}

/// The text of the panic that ended the last call, given once; empty if it was no panic.
#[wasm_bindgen(js_name = panicText)]
#[must_use]
pub fn panic_text() -> String {
    TEXT.try_with(|slot| {
        slot.try_borrow_mut().map(|mut text| core::mem::take(&mut *text)).unwrap_or_default()
    })
    .unwrap_or_default()
}
