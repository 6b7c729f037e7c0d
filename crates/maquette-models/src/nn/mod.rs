//! Blocks that the networks share.
//!
//! Everything works on rows, `[tokens, channels]`, so a dense network and a sparse one run the same code: only what says
//! which rows belong together ([`Span`]) differs.

mod attention;
mod block_linear;
mod embedding;
mod mlp;
mod modulated_block;

pub use attention::{CrossAttention, CrossContext, SelfAttention, Span};
pub use block_linear::BlockLinear;
pub use embedding::{TimestepEmbedder, position_embedding, timestep_frequencies};
pub use mlp::Mlp;
pub(crate) use modulated_block::stack;
pub use modulated_block::{BlockConfig, BlockModulation, ModulatedCrossBlock, Modulations};

/// Epsilon of the layer norms inside TRELLIS' and DINOv2's blocks.
pub const BLOCK_NORM_EPS: f64 = 1e-6;
/// Epsilon of PyTorch's functional and default norms: before last layers, channel norms, group norms.
pub const DEFAULT_NORM_EPS: f64 = 1e-5;
