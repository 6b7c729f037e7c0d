//! Pictures to textured 3D models on any GPU, or none.
//!
//! The walk: a [`Gpu`] (or [`Gpu::cpu`]), a model ([`FolderModel`]), a [`TrellisImageTo3d`] made of both; then pictures become
//! [`Cutout`]s, cut-outs a [`pipeline::Generated`], and that an [`Asset`] which [`export`] writes as GLB, PLY, OBJ or STL.
//!
//! ```
//! use maquette::{Control, FolderModel, GenerateOptions, Gpu, Noise, PipelineOptions, SurfaceOptions, TrellisImageTo3d};
//!
//! # fn main() -> Result<(), maquette::Error> { pollster::block_on(run()) }
//! # async fn run() -> Result<(), maquette::Error> {
//! # let Some(goldens) = maquette::doc_goldens() else { return Ok(()) };
//! # let (model, photo) = (goldens.join("model"), goldens.join("e2e/input.png"));
//! let control = Control::default();
//! let model = FolderModel::open(&model, Default::default())?;
//! let pipeline = TrellisImageTo3d::new(std::sync::Arc::new(model), Gpu::cpu(), PipelineOptions::default())?;
//! let photo = std::fs::read(&photo).map_err(|e| maquette::Error::io("read", &photo, e))?;
//! let cutout = maquette::Cutout::with_alpha(&photo, &Default::default())?;
//! let options = GenerateOptions { noise: Noise::Seed(1), ..Default::default() };
//! # let options = GenerateOptions { structure: maquette::Sampling { steps: Some(2), ..Default::default() }, ..options };
//! let object = pipeline.generate(&[cutout], &options, &control).await?;
//! let surface = SurfaceOptions { faces: Some(500), texture_size: None, ..Default::default() };
//! let asset = maquette::build_asset(object.mesh, Some(&object.gaussians), &surface, &control).await?;
//! assert!(maquette::export::glb(&asset, &Default::default())?.starts_with(b"glTF"));
//! # Ok(())
//! # }
//! ```
//!
//! Everything is `Send`, nothing is global and nothing prints. One thread is started: [`build_asset_on`] reduces the mesh on it
//! while the device draws. Long work reports to a [`Control`] and stops between two steps when its [`CancelToken`] says so.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test fails by panicking"))]

#[cfg(not(target_family = "wasm"))]
pub mod bench;
mod control;
mod cutout;
mod error;
mod error_table;
pub mod export;
#[cfg(not(target_family = "wasm"))]
pub mod files;
mod model;
pub mod pipeline;
pub mod preview;
pub mod stage_files;
mod surface;
pub mod verify;

pub use control::{CancelToken, Control, Event, Pause, Stage};
pub use cutout::{Cutout, CutoutOptions, MaskPolicy, Matting};
pub use error::{Error, Result};
pub use error_table::{ERROR_CLASSES, ErrorClass, error_table_markdown};
pub use maquette_gpu::{Gpu, TierRequest};
pub use maquette_image::DecodeOptions;
pub use maquette_models::{Precision, sampler::MultiImage};
#[cfg(not(target_family = "wasm"))]
pub use model::{FolderModel, SearchPlaces};
pub use model::{MemoryModel, ModelSource, Prepared, Weights};
pub use pipeline::{GenerateOptions, Generated, Noise, PipelineOptions, Residency, Sampling, TrellisImageTo3d};
pub use surface::{Asset, Bake, BakeViews, SurfaceOptions, Unwrap, build_asset, build_asset_on};

pub use {maquette_gpu, maquette_image, maquette_kernels, maquette_mesh, maquette_weights};

/// The tiny model that examples and tests run on, where a checkout has it.
#[doc(hidden)]
#[cfg(not(target_family = "wasm"))]
pub fn doc_goldens() -> Option<std::path::PathBuf> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    Some(root.join("tests/goldens/trellis")).filter(|place| place.join("model/pipeline.json").is_file())
}
