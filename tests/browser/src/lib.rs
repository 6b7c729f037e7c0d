//! Checks that run inside a browser, on its WebGPU: `run.mjs` opens a page with this module and reads their lines.
//!
//! A check that panics ends the module (WASM aborts), and the page reports the panic's message as its failure.
#![cfg(target_family = "wasm")]

mod device;
mod kernels;

use serde_json::{Value, json};
use wasm_bindgen::prelude::*;

/// One line of the report.
pub(crate) struct Check {
    name: String,
    outcome: Result<String, String>,
}

impl Check {
    /// A check by its name; `Ok` may carry a remark, `Err` says what was expected and what came.
    pub(crate) fn new(name: impl Into<String>, outcome: Result<String, String>) -> Self {
        Self { name: name.into(), outcome }
    }

    fn to_json(&self) -> Value {
        let (passed, detail) = match &self.outcome {
            Ok(detail) => (true, detail),
            Err(detail) => (false, detail),
        };
        json!({ "name": self.name, "passed": passed, "detail": detail })
    }
}

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = console, js_name = error)]
    fn console_error(text: &str);
}

/// Panics' messages reach the console; without this a browser shows only "unreachable".
#[wasm_bindgen(start)]
pub fn start() {
    std::panic::set_hook(Box::new(|panic| console_error(&panic.to_string())));
}

/// What the browser's adapter offers, in words.
#[wasm_bindgen]
pub async fn doctor() -> String {
    maquette_gpu::doctor(&Default::default(), Default::default()).await.to_string()
}

/// Run every check; a JSON list of `{ name, passed, detail }`.
#[wasm_bindgen]
pub async fn checks() -> String {
    let mut checks = device::checks().await;
    checks.extend(kernels::checks().await);
    report(&checks)
}

/// The checks for a page whose devices have no timestamps; the same form.
#[wasm_bindgen]
pub async fn untimed_checks() -> String {
    report(&device::untimed_checks().await)
}

fn report(checks: &[Check]) -> String {
    Value::from(checks.iter().map(Check::to_json).collect::<Vec<_>>()).to_string()
}
