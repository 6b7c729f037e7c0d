//! The pipeline in a page's worker. The API is written down in the README.
#![cfg(target_family = "wasm")]

mod asset;
mod browser;
mod cutout;
mod engine;
mod events;
mod facts;
mod failure;
mod fault;
mod generated;
mod one_thread;
mod options;
mod pack_model;
mod pictures;
mod splats;

use wasm_bindgen::prelude::*;

unsafe extern "C" {
    /// Made by the linker: what has to run before `main` (the tensor library registers its operations so).
    fn __wasm_call_ctors();
}

/// Runs once, when the module is instantiated.
#[wasm_bindgen(start)]
pub fn start() {
    // Where nobody calls them, the linker has every export do so first, a fifth of a millisecond a call.
    // SAFETY: nothing of the module has run yet.
    unsafe { __wasm_call_ctors() };
    fault::watch();
}
