//! The linear layers of transformer blocks, whose weights are floats or packed integers.

use burn::tensor::{FloatDType, Tensor};
use maquette_kernels::{
    Activation, Linear, PackedLinear, RowGroups, linear, linear_heads, linear_packed, linear_packed_heads,
    linear_packed_residual, linear_residual,
};

/// A linear layer of a block. Which form it has, the loading decides ([`crate::loading::Scope::block_linear`]).
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "a few a block, and nearly all are of the larger form")]
pub enum BlockLinear {
    /// Weights in the torso's type.
    Plain(Linear),
    /// Weights that stay packed in memory, and the torso's type.
    Packed(Box<PackedLinear>, FloatDType),
}

impl BlockLinear {
    /// Input width.
    pub fn inputs(&self) -> usize {
        match self {
            Self::Plain(layer) => layer.inputs(),
            Self::Packed(layer, _) => layer.inputs,
        }
    }

    /// Element type of what goes in.
    pub fn dtype(&self) -> FloatDType {
        match self {
            Self::Plain(layer) => layer.weight.dtype().into(),
            Self::Packed(_, dtype) => *dtype,
        }
    }

    /// `[outputs]`.
    pub fn bias(&self) -> Option<&Tensor<1>> {
        match self {
            Self::Plain(layer) => layer.bias.as_ref(),
            Self::Packed(layer, _) => layer.bias.as_ref(),
        }
    }

    /// `activation(x·Wᵀ + b)`, `[M, inputs]` → `[M, outputs]`.
    pub fn forward(&self, x: Tensor<2>, act: Activation) -> Tensor<2> {
        match self {
            Self::Plain(layer) => linear(x, layer, act),
            Self::Packed(layer, _) => linear_packed(x, layer, act),
        }
    }

    /// `residual + gate · (x·Wᵀ + b)`.
    pub fn forward_residual(
        &self,
        x: Tensor<2>,
        residual: Tensor<2>,
        gate: Option<(&Tensor<2>, &RowGroups)>,
    ) -> Tensor<2> {
        match self {
            Self::Plain(layer) => linear_residual(x, layer, residual, gate),
            Self::Packed(layer, _) => linear_packed_residual(x, layer, residual, gate),
        }
    }

    /// The outputs as `P` parts, `[M, heads, D]` each, of which the first are RMS-normalised per head, as many as there are
    /// `gammas [G, heads, D]`.
    pub fn forward_heads<const P: usize>(
        &self,
        x: Tensor<2>,
        heads: usize,
        gammas: Option<&Tensor<3>>,
    ) -> [Tensor<3>; P] {
        match self {
            Self::Plain(layer) => linear_heads(x, layer, heads, gammas),
            Self::Packed(layer, _) => linear_packed_heads(x, layer, heads, gammas),
        }
    }
}
