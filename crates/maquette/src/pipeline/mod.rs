//! The way from cut-outs to Gaussians and a mesh: typed values on the host between stages, networks in between.

mod networks;
mod sampling;
mod trellis;

use std::sync::Arc;

use maquette_mesh::{Gaussians, flexicubes::ExtractedMesh};
use maquette_models::{Precision, sampler::MultiImage};

pub use sampling::Sampling;
pub use trellis::TrellisImageTo3d;

/// Numbers with a shape, row-major.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Array {
    /// Sizes of the axes, last fastest.
    pub shape: Vec<usize>,
    /// As many values as the shape says.
    pub values: Vec<f32>,
}

/// What the image encoder says: `[pictures, tokens, channels]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// The tokens.
    pub tokens: Array,
}

/// Which voxels are occupied.
#[derive(Clone, Debug, PartialEq)]
pub struct Structure {
    /// The noise that sampling began with, `[1, C, R, R, R]`.
    pub noise: Array,
    /// The sampled latent, `[1, C, R, R, R]`.
    pub latent: Array,
    /// Occupancy logits, `[1, 1, X, Y, Z]`.
    pub logits: Array,
    /// Occupied voxels as (batch, x, y, z), sorted.
    pub coords: Vec<[i32; 4]>,
}

/// What the voxels look like.
#[derive(Clone, Debug, PartialEq)]
pub struct Latent {
    /// The noise that sampling began with, `[voxels, C]`.
    pub noise: Array,
    /// The sampled latent with its statistics put back, `[voxels, C]`.
    pub features: Array,
    /// Voxels as (batch, x, y, z), in the structure's order.
    pub coords: Vec<[i32; 4]>,
}

/// Where sampling begins.
#[derive(Clone, Debug, PartialEq)]
pub enum Noise {
    /// PyTorch's CPU generator with this seed, so that a seed means what it means in the original.
    Seed(u64),
    /// These numbers.
    Given {
        /// `[1, C, R, R, R]`.
        structure: Array,
        /// `[voxels, C]`; it has to fit what the structure stage finds.
        latent: Array,
    },
}

impl Default for Noise {
    fn default() -> Self {
        Self::Seed(42)
    }
}

/// What stays on the GPU between stages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Residency {
    /// Each network is loaded when its stage begins and dropped when it ends: the least memory.
    #[default]
    Staged,
    /// Networks stay, so that the next picture needs no loading.
    Resident,
}

/// How networks are run.
#[derive(Clone, Copy, Debug, Default)]
pub struct PipelineOptions {
    /// Element type of the torsos.
    pub precision: Precision,
    /// What stays loaded.
    pub residency: Residency,
}

/// What to generate.
#[derive(Clone, Debug, Default)]
pub struct GenerateOptions {
    /// Where sampling begins.
    pub noise: Noise,
    /// Settings of the structure stage; what is not set is the model's.
    pub structure: Sampling,
    /// Settings of the latent stage; what is not set is the model's.
    pub latent: Sampling,
    /// How several pictures are combined.
    pub multi: MultiImage,
}

/// An object as decoded.
#[derive(Clone, Debug)]
pub struct Generated {
    /// The Gaussians, world coordinates, z up.
    pub gaussians: Gaussians,
    /// The surface with colours, world coordinates, z up.
    pub mesh: ExtractedMesh,
}

/// A network that is loaded at most once.
type Shared<T> = Arc<T>;
