//! Checkpoint formats, model folders, packs and downloads.
//!
//! The walk is: a [`ModelFolder`] names its models, each resolves lazily to a [`CheckpointRef`], whose weights open as a
//! [`Checkpoint`], which hands out each tensor as a borrowed [`TensorView`]. Code that builds networks takes any
//! [`TensorSource`], so that weights come from a file, from memory or from a browser pack alike.
//!
//! Nothing here prints, reads environment variables or starts threads. Every parser treats its input as hostile: lengths are
//! checked before they are used, and every refusal is a typed [`Error`] that says where and why.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test fails by panicking"))]

mod checkpoint;
#[cfg(feature = "native")]
mod convert;
mod dtype;
mod error;
mod folder;
#[cfg(feature = "fetch")]
pub mod hub;
#[cfg(feature = "native")]
pub mod manifest;
mod nearest;
mod onnx;
pub mod pack;
mod pickle;
pub mod quant;
mod safetensors;
mod strict_json;
#[cfg(feature = "native")]
pub mod synthesize;
mod tensor;

pub use checkpoint::{Checkpoint, Format};
#[cfg(feature = "native")]
pub use convert::{Difference, Precision, TensorDifference, convert_file, difference};
pub use dtype::DType;
pub use error::{Error, Result};
#[cfg(feature = "native")]
pub use folder::{CheckpointRef, ModelFolder, OneStageFolder, SearchPlaces, SyncHumanFolder, repair};
pub use folder::{
    IMAGE_ENCODER, ImageCondModel, ModelConfig, Normalization, PipelineConfig, SamplerConfig, SamplerParams,
};
pub use quant::Layout;
pub use safetensors::header::{Header, HeaderProgress, TensorSpan};
pub use safetensors::index::ShardIndex;
#[cfg(feature = "native")]
pub use safetensors::write::{SafetensorsWriter, write_whole};
pub use tensor::{TensorInfo, TensorSource, TensorView};

#[cfg(test)]
mod test_support;
