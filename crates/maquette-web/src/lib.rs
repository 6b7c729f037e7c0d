//! The pipeline in a page's worker. The API is written down in the README.
#![cfg(target_family = "wasm")]
