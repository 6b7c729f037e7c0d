//! The two-layer perceptron of a transformer block.

use burn::tensor::{FloatDType, Tensor};
use maquette_kernels::{Activation, Linear, RowGroups, linear, linear_residual};

use crate::{Result, loading::Scope};

/// `Linear → GELU → Linear`.
#[derive(Clone, Debug)]
pub struct Mlp {
    fc1: Linear,
    fc2: Linear,
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
            fc1: scope.linear(names[0], channels, hidden, dtype)?,
            fc2: scope.linear(names[1], hidden, channels, dtype)?,
            activation,
        })
    }

    /// Element type of its weights.
    pub fn dtype(&self) -> FloatDType {
        self.fc2.weight.dtype().into()
    }

    /// `x [M, C]` → `[M, C]`.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        linear(linear(x, &self.fc1, self.activation), &self.fc2, Activation::None)
    }

    /// `residual + gate · mlp(x)`.
    pub fn forward_residual(
        &self,
        x: Tensor<2>,
        residual: Tensor<2>,
        gate: Option<(&Tensor<2>, &RowGroups)>,
    ) -> Tensor<2> {
        linear_residual(linear(x, &self.fc1, self.activation), &self.fc2, residual, gate)
    }
}
