//! Residual and resampling blocks of the dense structure autoencoder, on rows of a dense grid.

use burn::tensor::Tensor;
use maquette_kernels::{
    Activation, Conv3, Grid, Linear, RowGroups, activate, conv3_dense, gather_cells, group_norm, layer_norm, linear,
    pixel_shuffle,
};

use super::config::NORM_GROUPS;
use crate::{
    Result,
    loading::{Affine, Scope},
    nn::DEFAULT_NORM_EPS,
};

/// `ResBlock3d`: channel layer norm, SiLU, convolution, twice, around the identity.
#[derive(Clone, Debug)]
pub struct ResBlock {
    norm1: Affine,
    conv1: Conv3,
    norm2: Affine,
    conv2: Conv3,
}

impl ResBlock {
    /// Loads a block of equal input and output width.
    ///
    /// # Errors
    /// [`crate::Error::Weights`].
    pub fn load(scope: &Scope<'_>, channels: usize) -> Result<Self> {
        let torso = scope.torso();
        Ok(Self {
            norm1: scope.affine("norm1", channels)?,
            conv1: scope.conv3_dense("conv1", channels, channels, torso)?,
            norm2: scope.affine("norm2", channels)?,
            conv2: scope.conv3_dense("conv2", channels, channels, torso)?,
        })
    }

    /// `x [grid rows, C]` → the same.
    pub fn forward(&self, x: Tensor<2>, grid: Grid) -> Tensor<2> {
        let h = conv3_dense(channel_norm_silu(x.clone(), &self.norm1), &self.conv1, grid);
        let h = conv3_dense(channel_norm_silu(h, &self.norm2), &self.conv2, grid);
        h + x
    }
}

/// Layer norm over each voxel's channels, then SiLU.
fn channel_norm_silu(x: Tensor<2>, norm: &Affine) -> Tensor<2> {
    activate(layer_norm(x, Some(norm.pair()), DEFAULT_NORM_EPS), Activation::Silu)
}

/// The norm before the last layer. The blocks use channel layer norms whatever a description says; this one follows it.
#[derive(Clone, Debug)]
pub(super) struct OutNorm {
    affine: Affine,
    groups: Option<usize>,
}

impl OutNorm {
    pub(super) fn load(scope: &Scope<'_>, channels: usize, norm_type: &str) -> Result<Self> {
        let groups = (norm_type == "group").then_some(NORM_GROUPS);
        Ok(Self { affine: scope.affine("out_layer.0", channels)?, groups })
    }

    /// Norm, then SiLU.
    pub(super) fn forward_silu(&self, x: Tensor<2>, grid: Grid) -> Tensor<2> {
        match self.groups {
            None => channel_norm_silu(x, &self.affine),
            Some(groups) => {
                let batches = RowGroups::uniform(grid.batch, grid.rows() / grid.batch.max(1));
                let x = group_norm(x, &batches, groups, self.affine.pair(), DEFAULT_NORM_EPS);
                activate(x, Activation::Silu)
            }
        }
    }
}

/// `UpsampleBlock3d`: convolution to eight times the channels, then a 3-D pixel shuffle.
#[derive(Clone, Debug)]
pub struct UpsampleBlock {
    conv: Conv3,
}

impl UpsampleBlock {
    /// Loads `inputs → outputs` channels.
    ///
    /// # Errors
    /// [`crate::Error::Weights`].
    pub fn load(scope: &Scope<'_>, inputs: usize, outputs: usize) -> Result<Self> {
        Ok(Self { conv: scope.conv3_dense("conv", inputs, 8 * outputs, scope.torso())? })
    }

    /// `x [grid rows, inputs]` → `[doubled grid rows, outputs]` and the doubled grid.
    pub fn forward(&self, x: Tensor<2>, grid: Grid) -> (Tensor<2>, Grid) {
        (pixel_shuffle(conv3_dense(x, &self.conv, grid), grid), grid.doubled())
    }
}

/// `DownsampleBlock3d`: a convolution of kernel and stride two.
#[derive(Clone, Debug)]
pub struct DownsampleBlock {
    /// `[outputs, 8·inputs]`, the cell's voxels first.
    conv: Linear,
}

impl DownsampleBlock {
    /// Loads `inputs → outputs` channels; stored `[outputs, inputs, 2, 2, 2]`.
    ///
    /// # Errors
    /// [`crate::Error::Weights`].
    pub fn load(scope: &Scope<'_>, inputs: usize, outputs: usize) -> Result<Self> {
        let (scope, torso) = (scope.at("conv"), scope.torso());
        let weight: Tensor<3> = scope.reshaped("weight", &[outputs, inputs, 2, 2, 2], [outputs, inputs, 8], torso)?;
        let weight = weight.swap_dims(1, 2).reshape([outputs, 8 * inputs]);
        Ok(Self { conv: Linear { weight, bias: Some(scope.tensor("bias", [outputs], torso)?) } })
    }

    /// `x [grid rows, inputs]` → `[halved grid rows, outputs]` and the halved grid; edges must be even.
    pub fn forward(&self, x: Tensor<2>, grid: Grid) -> (Tensor<2>, Grid) {
        (linear(gather_cells(x, grid), &self.conv, Activation::None), grid.halved())
    }
}
