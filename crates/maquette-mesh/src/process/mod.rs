//! Mesh processing: welding, cleaning, winding, parts, decimation, hole filling, removal of hidden faces.

mod clean;
mod components;
mod decimate;
mod distance;
mod finish;
mod holes;
mod inner_faces;
mod max_flow;
mod patch;
mod quadric;
pub(crate) mod topology;
mod weld;
mod winding;

pub use clean::{CleanReport, clean};
pub use components::remove_small_parts;
pub use decimate::{DecimateOptions, decimate};
pub use distance::{MeshDistance, Nearest, TriangleTree, mesh_distance};
pub use finish::{CloseReport, FinishOptions, Reduced, close, reduce};
pub use holes::{HoleOptions, fill_holes};
pub use inner_faces::{InnerFaceOptions, remove_inner_faces};
pub use weld::weld;
pub use winding::orient;
