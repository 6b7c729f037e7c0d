//! maquette's operators on Burn tensors.
//!
//! Every operator has a **default body** in plain Burn operations, which is its definition and the only body on the CPU
//! tier, and, where a GPU is there, WGSL bodies (module `wgsl`) that a tensor's device and capabilities choose. Callers
//! never see which one ran. Operators know tensors, never model names.
//!
//! Conventions: activations are row-major `[rows, channels]`; weights are `[out, in]` as checkpoints store them; rows of a
//! batch are contiguous and described by [`RowGroups`]. Floats are f32 or f16 (runtime dtype of the tensor); statistics and
//! accumulation are f32 always, results are rounded once to the activations' dtype.

pub mod attention;
pub mod bake;
pub mod bench;
mod buffers;
pub mod conv;
pub mod conv2;
pub mod decoded_rows;
mod error;
pub mod flexicubes;
pub mod linear;
pub mod mesh_raster;
pub mod neighbours;
pub mod norm;
pub mod packed;
pub mod prepare;
pub mod random_shapes;
pub mod resample;
pub mod rows;
pub mod scan;
pub mod selfcheck;
pub mod sort;
pub mod splat;
pub mod voxels;
mod wgsl;
pub mod windows;

pub use attention::attention;
pub use conv::{Conv3, Grid, conv3_dense, conv3_sparse, gather_cells, pixel_shuffle, rows_to_volume, volume_to_rows};
pub use conv2::{Conv2, conv2d};
pub use decoded_rows::DecodedRows;
pub use error::Error;
pub use linear::{Activation, Linear, activate, linear, linear_heads, linear_residual};
pub use neighbours::NeighbourMap;
pub use norm::{group_norm, layer_norm, layer_norm_modulate, rms_norm_heads, softmax};
pub use packed::{PackedLinear, Packing, linear_packed, linear_packed_heads, linear_packed_residual};
pub use random_shapes::random_shapes;
pub use resample::{Coarsening, downsample, subdivide, upsample};
pub use rows::{RowGroups, gather_rows, scatter_rows};
pub use selfcheck::{CheckLine, selfcheck};
pub use voxels::Voxels;
pub use windows::{Windows, windowed_attention};
