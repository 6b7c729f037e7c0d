//! The two-layer perceptron of a transformer block.

use burn::tensor::{FloatDType, Tensor};
use maquette_kernels::{Activation, RowGroups};

use super::BlockLinear;
use crate::{Result, loading::Scope};

/// `Linear → GELU → Linear`.
#[derive(Clone, Debug)]
pub struct Mlp {
    fc1: BlockLinear,
    fc2: BlockLinear,
    activation: Activation,
}

impl Mlp {
    /// Loads the two layers under the given names, `channels → hidden → channels`.
    ///
    /// # Errors
    /// [`crate::Error::Weights`].
    pub fn load(
        scope: &Scope<'_>,
        names: [&str; 2],
        channels: usize,
        hidden: usize,
        activation: Activation,
        dtype: FloatDType,
    ) -> Result<Self> {
        Ok(Self {
            fc1: scope.block_linear(names[0], channels, hidden, dtype)?,
            fc2: scope.block_linear(names[1], hidden, channels, dtype)?,
            activation,
        })
    }

    /// Element type of its weights.
    pub fn dtype(&self) -> FloatDType {
        self.fc2.dtype()
    }

    /// `x [M, C]` → `[M, C]`.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        self.fc2.forward(self.fc1.forward(x, self.activation), Activation::None)
    }

    /// `residual + gate · mlp(x)`.
    pub fn forward_residual(
        &self,
        x: Tensor<2>,
        residual: Tensor<2>,
        gate: Option<(&Tensor<2>, &RowGroups)>,
    ) -> Tensor<2> {
        self.fc2.forward_residual(self.fc1.forward(x, self.activation), residual, gate)
    }
}
