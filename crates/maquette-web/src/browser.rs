//! What the module asks of the browser (`js/adapter.js`).

use js_sys::Promise;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

#[wasm_bindgen(module = "/js/adapter.js")]
extern "C" {
    #[wasm_bindgen(js_name = turn)]
    fn turn_promise() -> Promise;

    #[wasm_bindgen(js_name = look)]
    fn look_promise() -> Promise;

    /// Shows less of the adapter than there is.
    pub(crate) fn restrict(minimum: bool, features: Option<Vec<String>>);
}

/// Lets the worker's messages in.
pub(crate) async fn turn() {
    // A timer does not fail.
    let _ = JsFuture::from(turn_promise()).await;
}

/// What the page may use and what the adapter says of itself, as JSON.
pub(crate) async fn look() -> String {
    let found = JsFuture::from(look_promise()).await;
    found.ok().and_then(|text| text.as_string()).unwrap_or_else(|| "{}".to_owned())
}
