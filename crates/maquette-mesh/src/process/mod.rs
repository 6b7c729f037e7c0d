//! Mesh processing: welding, cleaning, winding, components, decimation, hole filling, removal of hidden faces.

mod decimate;
mod distance;
mod quadric;
pub(crate) mod topology;
mod weld;

pub use decimate::{DecimateOptions, decimate};
pub use distance::{MeshDistance, Nearest, TriangleTree, mesh_distance};
pub use weld::weld;
