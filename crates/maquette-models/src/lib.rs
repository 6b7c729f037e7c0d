//! The networks: DINOv2, TRELLIS and their samplers.
//!
//! One folder a family; a network's file mirrors its checkpoint's key tree and reads like the paper's figure. Networks are
//! built from a description (the checkpoint's json) and any [`maquette_weights::TensorSource`], on any Burn device, with a
//! torso in f32 or f16 ([`Precision`]). They open no files, print nothing and know no GPU.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test fails by panicking"))]

pub mod dinov2;
mod error;
pub mod loading;
pub mod nn;
pub mod sampler;
pub mod trellis;
pub mod u2net;

pub use error::{Error, Result};
pub use loading::Precision;
