//! Model folders on disk: what `pipeline.json` says, and where each model's files are.

pub(crate) mod fields;
mod model_folder;
mod pipeline;
pub(crate) mod resolve;

pub use model_folder::{CheckpointRef, ModelConfig, ModelFolder};
pub use pipeline::{ImageCondModel, Normalization, PipelineConfig, SamplerConfig, SamplerParams};
pub use resolve::SearchPlaces;
