//! `SLatMeshDecoder`: structured latent → FlexiCubes features at four times the resolution.

use burn::tensor::{Device, FloatDType, Tensor};
use maquette_kernels::{
    Activation, Conv3, DecodedRows, Linear, Voxels, activate, conv3_sparse, group_norm, linear, subdivide,
};
use maquette_weights::TensorSource;

use super::{MeshDecoderConfig, trunk::Trunk};
use crate::{
    Precision, Result,
    loading::{Affine, Loading, Scope},
    nn::DEFAULT_NORM_EPS,
};

const MODEL: &str = "SLatMeshDecoder";
/// Channel groups of the norms.
const GROUPS: usize = 32;

/// The mesh decoder.
#[derive(Debug)]
pub struct MeshDecoder {
    config: MeshDecoderConfig,
    trunk: Trunk,
    upsample: Vec<SubdivideBlock>,
    out_layer: Linear,
}

/// Decoded features of the fine voxels ("cubes").
#[derive(Clone, Debug)]
pub struct MeshFeatures {
    /// The fine voxels; coordinates are the cubes' lower corners.
    pub voxels: Voxels,
    /// Edge of the fine grid.
    pub resolution: usize,
    /// `[voxels, 53]` or with colour `[voxels, 101]`, made by the last layer where they are used: signed distance at 8 corners, deformation 8×3, FlexiCubes weights 21
    /// (β 12, α 8, γ 1), colour and normal 8×6. The bias −1/resolution is not yet added to the distances. Corners: x fastest.
    pub rows: DecodedRows,
}

/// Where [`MeshDecoder::forward_watched`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MeshStage {
    /// After the transformer.
    Trunk,
    /// After upsampling block `.0`.
    Upsample(usize),
}

impl MeshDecoder {
    /// Builds the network from its description and weights.
    ///
    /// # Errors
    /// [`crate::Error::Weights`], [`crate::Error::UnexpectedTensors`].
    pub fn load(
        config: MeshDecoderConfig,
        source: &dyn TensorSource,
        device: &Device,
        precision: Precision,
    ) -> Result<Self> {
        let loading = Loading::new(MODEL, source, device, precision);
        let scope = loading.root();
        let c = config.trunk.model_channels;
        let outputs = if config.representation_config.use_color { 101 } else { 53 };
        let network = Self {
            trunk: Trunk::load(&scope, config.trunk.clone(), config.latent_channels)?,
            upsample: vec![
                SubdivideBlock::load(&scope.at("upsample.0"), c, c / 4)?,
                SubdivideBlock::load(&scope.at("upsample.1"), c / 4, c / 8)?,
            ],
            out_layer: scope.linear("out_layer", c / 8, outputs, FloatDType::F32)?,
            config,
        };
        loading.finish(&[])?;
        Ok(network)
    }

    /// Its description.
    pub fn config(&self) -> &MeshDecoderConfig {
        &self.config
    }

    /// Features of a denormalised latent `[voxels, latent_channels]`, f32.
    ///
    /// # Errors
    /// [`crate::Error::Input`] for another shape.
    pub fn forward(&self, latent: Tensor<2>, voxels: &Voxels) -> Result<MeshFeatures> {
        self.forward_watched(latent, voxels, |_, _, _| {})
    }

    /// As [`MeshDecoder::forward`]; `watch` sees the features after each part.
    ///
    /// # Errors
    /// [`crate::Error::Input`] for another shape.
    pub fn forward_watched(
        &self,
        latent: Tensor<2>,
        voxels: &Voxels,
        mut watch: impl FnMut(MeshStage, &Tensor<2>, &Voxels),
    ) -> Result<MeshFeatures> {
        let mut h = self.trunk.forward(MODEL, latent, voxels, |_, _| {})?;
        watch(MeshStage::Trunk, &h, voxels);
        let mut voxels = voxels.clone();
        for (i, block) in self.upsample.iter().enumerate() {
            let fine = voxels.subdivided();
            h = block.forward(h, &voxels, &fine);
            voxels = fine;
            watch(MeshStage::Upsample(i), &h, &voxels);
        }
        // No norm here, unlike the other decoders.
        let rows = DecodedRows::new(h, self.out_layer.clone());
        Ok(MeshFeatures { voxels, resolution: 4 * self.config.trunk.resolution, rows })
    }
}

/// `SparseSubdivideBlock3d`: every voxel becomes eight, then two convolutions around a shortcut.
#[derive(Clone, Debug)]
pub struct SubdivideBlock {
    act_norm: Affine,
    conv1: Conv3,
    out_norm: Affine,
    conv2: Conv3,
    skip_connection: Linear,
}

impl SubdivideBlock {
    fn load(scope: &Scope<'_>, inputs: usize, outputs: usize) -> Result<Self> {
        let skip = scope.at("skip_connection.conv");
        // spconv multiplies by this buffer viewed as [in, out]; it does not transpose the stored [out, 1, 1, 1, in]. The
        // published weights were trained that way, so the view is undone into the [out, in] of a linear layer here.
        let viewed: Tensor<2> =
            skip.reshaped("weight", &[outputs, 1, 1, 1, inputs], [inputs, outputs], scope.torso())?;
        Ok(Self {
            act_norm: scope.affine("act_layers.0", inputs)?,
            conv1: scope.conv3_sparse("out_layers.0.conv", inputs, outputs)?,
            out_norm: scope.affine("out_layers.1", outputs)?,
            conv2: scope.conv3_sparse("out_layers.3.conv", outputs, outputs)?,
            skip_connection: Linear {
                weight: viewed.transpose(),
                bias: Some(skip.tensor("bias", [outputs], scope.torso())?),
            },
        })
    }

    /// `x [coarse voxels, inputs]` → `[fine voxels, outputs]`.
    pub fn forward(&self, x: Tensor<2>, coarse: &Voxels, fine: &Voxels) -> Tensor<2> {
        let h = activate(normed(x.clone(), coarse, &self.act_norm), Activation::Silu);
        let h = conv3_sparse(subdivide(h), &self.conv1, fine.neighbours());
        let h = activate(normed(h, fine, &self.out_norm), Activation::Silu);
        let h = conv3_sparse(h, &self.conv2, fine.neighbours());
        // Eight children share their parent's shortcut: made once, and added without its eight copies.
        let shortcut = linear(x, &self.skip_connection, Activation::None);
        let [parents, outputs] = shortcut.dims();
        let sum = h.reshape([parents, 8, outputs]) + shortcut.reshape([parents, 1, outputs]);
        sum.reshape([8 * parents, outputs])
    }
}

fn normed(x: Tensor<2>, voxels: &Voxels, norm: &Affine) -> Tensor<2> {
    group_norm(x, voxels.batches(), GROUPS, norm.pair(), DEFAULT_NORM_EPS)
}
