//! Mesh processing: welding, cleaning, winding, components, decimation, hole filling, removal of hidden faces.

mod topology;
mod weld;

pub use weld::weld;
