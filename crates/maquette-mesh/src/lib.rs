//! Meshes, Gaussians, extraction, processing and 3D file formats. CPU only: no tensors, no networks, no threads.
//!
//! Coordinates are the decoder's: the object lives in `[-0.5, 0.5]³`, z up, right-handed, faces counter-clockwise from
//! outside. File writers that need another frame (GLB, Gaussian PLY) map axes themselves and say how.

pub mod bake;
pub mod camera;
mod error;
pub mod flexicubes;
pub mod formats;
mod gaussians;
pub mod glb;
mod health;
mod portable;
pub mod process;
pub mod raster_antialias;
pub mod raster_gaussian;
pub mod raster_mesh;
pub mod reference;
pub mod shapes;
mod triangle_mesh;
pub mod uv;
mod vector;

pub use error::MeshError;
pub use gaussians::{GaussianActivation, Gaussians, SH_C0};
pub use health::{HealthContext, HealthReport, health};
pub use triangle_mesh::TriangleMesh;
