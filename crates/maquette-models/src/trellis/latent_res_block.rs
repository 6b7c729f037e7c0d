//! `SparseResBlock3d`: the latent flow's residual block on voxels, modulated by time, optionally resampling.

use burn::tensor::{FloatDType, Tensor};
use maquette_kernels::{
    Activation, Coarsening, Conv3, Linear, RowGroups, Voxels, activate, conv3_sparse, downsample, layer_norm,
    layer_norm_modulate, linear, linear_residual, upsample,
};

use crate::{
    Result,
    loading::{Affine, Scope},
    nn::BLOCK_NORM_EPS,
};

/// What a residual block does to the resolution, before anything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resample {
    /// Nothing.
    None,
    /// Halves it, the (count + 1) mean.
    Down,
    /// Doubles it, back to the voxels it came from.
    Up,
}

/// A residual block.
#[derive(Clone, Debug)]
pub struct SparseResBlock {
    norm1: Affine,
    conv1: Conv3,
    conv2: Conv3,
    skip_connection: Option<Linear>,
    resample: Resample,
}

impl SparseResBlock {
    /// Loads a block, its `emb_layers` excepted (all blocks' are one multiplication, see [`super::LatentFlow`]).
    ///
    /// # Errors
    /// [`crate::Error::Weights`].
    pub fn load(scope: &Scope<'_>, inputs: usize, outputs: usize, resample: Resample) -> Result<Self> {
        let skip_connection =
            (inputs != outputs).then(|| scope.linear("skip_connection", inputs, outputs, scope.torso())).transpose()?;
        Ok(Self {
            norm1: scope.affine("norm1", inputs)?,
            conv1: scope.conv3_sparse("conv1.conv", inputs, outputs)?,
            conv2: scope.conv3_sparse("conv2.conv", outputs, outputs)?,
            skip_connection,
            resample,
        })
    }

    /// What the block does to the resolution.
    pub fn resample(&self) -> Resample {
        self.resample
    }

    /// `x [rows, inputs]` → `[rows', outputs]`. `voxels` are the set that the result lives on; `level` is the step between that
    /// set and the input's when the block resamples; `(scale, shift)` are `[times, outputs]`.
    pub fn forward(
        &self,
        x: Tensor<2>,
        voxels: &Voxels,
        level: Option<&Coarsening>,
        (scale, shift): &(Tensor<2>, Tensor<2>),
    ) -> Tensor<2> {
        let x = match (self.resample, level) {
            (Resample::Down, Some(level)) => downsample(x, level),
            (Resample::Up, Some(level)) => upsample(x, level),
            _ => x,
        };
        let whole;
        let groups = if scale.dims()[0] == 1 {
            whole = RowGroups::single(voxels.len());
            &whole
        } else {
            voxels.batches()
        };
        let neighbours = voxels.neighbours();
        let h = activate(layer_norm(x.clone(), Some(self.norm1.pair()), BLOCK_NORM_EPS), Activation::Silu);
        let h = conv3_sparse(h, &self.conv1, neighbours);
        let h = activate(layer_norm_modulate(h, scale, shift, groups, BLOCK_NORM_EPS), Activation::Silu);
        let h = conv3_sparse(h, &self.conv2, neighbours);
        match &self.skip_connection {
            Some(skip) => linear_residual(x, skip, h, None),
            None => h + x,
        }
    }
}

/// The `emb_layers` of all residual blocks as one layer, `[Σ 2·outputs, C]`.
#[derive(Clone, Debug)]
pub(super) struct ResidualModulations {
    linear: Option<Linear>,
    outputs: Vec<usize>,
    torso: FloatDType,
}

impl ResidualModulations {
    pub(super) fn new(layers: Vec<Linear>, torso: FloatDType) -> Self {
        let outputs = layers.iter().map(|layer| layer.outputs() / 2).collect();
        let linear = (!layers.is_empty()).then(|| crate::nn::stack(layers));
        Self { linear, outputs, torso }
    }

    /// Scale and shift of every block for time embeddings `[times, C]`, f32. The stored order is scale, then shift: not adaLN's.
    pub(super) fn forward(&self, embedding: &Tensor<2>) -> Vec<(Tensor<2>, Tensor<2>)> {
        let Some(layer) = &self.linear else { return Vec::new() };
        let e = linear(activate(embedding.clone().cast(self.torso), Activation::Silu), layer, Activation::None);
        let times = e.dims()[0];
        let mut start = 0;
        self.outputs
            .iter()
            .map(|&n| {
                let part = |from: usize| e.clone().slice([0..times, from..from + n]);
                let pair = (part(start), part(start + n));
                start += 2 * n;
                pair
            })
            .collect()
    }
}
