//! What the host touches of JavaScript and of the page, bound by hand: js-sys and web-sys bring a scheduler and
//! the standard library's formatting along, three kilobytes of the module. Nothing here checks what it is given:
//! a foreign socket need not be an instance of anything.

use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    /// A function of the page's.
    #[derive(Clone)]
    pub type Function;
    #[wasm_bindgen(method, catch, js_name = call)]
    pub(crate) fn open(this: &Function, that: &JsValue, url: &str, conn: u32) -> Result<WebSocket, Thrown>;
    #[wasm_bindgen(method, catch, js_name = call)]
    pub(crate) fn emit(this: &Function, that: &JsValue, text: &str) -> Result<(), Thrown>;

    /// What a function threw: mostly an error.
    pub(crate) type Thrown;
    #[wasm_bindgen(method, getter)]
    pub(crate) fn message(this: &Thrown) -> JsValue;

    pub(crate) type WebSocket;
    #[wasm_bindgen(method, setter)]
    pub(crate) fn set_onopen(this: &WebSocket, listener: &JsValue);
    #[wasm_bindgen(method, setter)]
    pub(crate) fn set_onclose(this: &WebSocket, listener: &JsValue);
    #[wasm_bindgen(method, setter)]
    pub(crate) fn set_onmessage(this: &WebSocket, listener: &JsValue);
    #[wasm_bindgen(method, catch)]
    pub(crate) fn send(this: &WebSocket, text: &str) -> Result<(), Thrown>;
    #[wasm_bindgen(method, catch)]
    pub(crate) fn close(this: &WebSocket) -> Result<(), Thrown>;
    #[wasm_bindgen(method, catch, js_name = close)]
    pub(crate) fn close_with(this: &WebSocket, code: u16, reason: &str) -> Result<(), Thrown>;

    /// A window or a document.
    #[derive(Clone)]
    pub type Target;
    #[wasm_bindgen(method, js_name = addEventListener)]
    pub(crate) fn listen(this: &Target, name: &str, listener: &JsValue);
    #[wasm_bindgen(method, js_name = removeEventListener)]
    pub(crate) fn ignore(this: &Target, name: &str, listener: &JsValue);
    /// Of a document.
    #[wasm_bindgen(method, getter)]
    pub(crate) fn hidden(this: &Target) -> bool;
    /// Of a document.
    #[wasm_bindgen(method, getter, js_name = defaultView)]
    pub(crate) fn window(this: &Target) -> Option<Target>;

    pub(crate) type Event;
    #[wasm_bindgen(method, getter, js_name = type)]
    pub(crate) fn kind(this: &Event) -> String;
    /// Of a socket's close.
    #[wasm_bindgen(method, getter)]
    pub(crate) fn code(this: &Event) -> u16;
    /// Of a socket's close.
    #[wasm_bindgen(method, getter)]
    pub(crate) fn reason(this: &Event) -> String;
    /// Of a page that is left or entered.
    #[wasm_bindgen(method, getter)]
    pub(crate) fn persisted(this: &Event) -> bool;

    #[wasm_bindgen(js_name = setTimeout)]
    pub(crate) fn set_timeout(act: &JsValue, millis: u32) -> JsValue;
    #[wasm_bindgen(js_name = clearTimeout)]
    pub(crate) fn clear_timeout(timeout: &JsValue);
}
