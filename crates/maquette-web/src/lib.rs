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

/// Runs once, when the module is instantiated.
#[wasm_bindgen(start)]
pub fn start() {
    fault::watch();
}
