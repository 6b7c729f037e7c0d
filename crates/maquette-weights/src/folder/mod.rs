//! Model folders: what `pipeline.json` says, and (natively) where each model's files are.

pub(crate) mod fields;
mod model_config;
#[cfg(feature = "native")]
mod model_folder;
mod pipeline;
#[cfg(feature = "native")]
pub mod repair;
#[cfg(feature = "native")]
pub(crate) mod resolve;
#[cfg(feature = "native")]
mod synchuman;

pub use model_config::ModelConfig;
#[cfg(feature = "native")]
pub use model_folder::{CheckpointRef, ModelFolder};
pub use pipeline::{IMAGE_ENCODER, ImageCondModel, Normalization, PipelineConfig, SamplerConfig, SamplerParams};
#[cfg(feature = "native")]
pub use resolve::SearchPlaces;
#[cfg(feature = "native")]
pub use synchuman::{OneStageFolder, SyncHumanFolder};
