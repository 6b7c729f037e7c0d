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
pub mod linear;
pub mod norm;
pub mod rows;

pub use attention::attention;
pub use linear::{Activation, Linear, linear, linear_residual};
pub use norm::{layer_norm, layer_norm_modulate, rms_norm_heads};
pub use rows::RowGroups;
