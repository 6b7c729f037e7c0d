//! `SLatRadianceFieldDecoder`: structured latent → a tri-vector radiance field (its rendering excepted).

use burn::tensor::{Device, FloatDType, Tensor};
use maquette_kernels::{Linear, Voxels};
use maquette_weights::TensorSource;

use super::{
    RadianceDecoderConfig,
    trunk::{Trunk, centres, head},
};
use crate::{Precision, Result, loading::Loading};

const MODEL: &str = "SLatRadianceFieldDecoder";

/// The radiance-field decoder.
#[derive(Debug)]
pub struct RadianceDecoder {
    config: RadianceDecoderConfig,
    trunk: Trunk,
    out_layer: Linear,
}

/// One octree leaf per voxel, each a sum of `rank` products of three vectors along x, y and z. f32.
#[derive(Clone, Debug)]
pub struct RadianceField {
    /// Leaf centres in the unit cube, `[voxels, 3]`; world positions are these minus ½.
    pub position: Tensor<2>,
    /// Vectors, `[voxels, rank, 3, dim]`.
    pub trivec: Tensor<4>,
    /// Densities, `[voxels, rank]`, raw.
    pub density: Tensor<2>,
    /// Zeroth spherical harmonic, `[voxels, rank, 1, 3]`, raw.
    pub features_dc: Tensor<4>,
}

impl RadianceDecoder {
    /// Builds the network from its description and weights.
    ///
    /// # Errors
    /// [`crate::Error::Weights`], [`crate::Error::UnexpectedTensors`].
    pub fn load(
        config: RadianceDecoderConfig,
        source: &dyn TensorSource,
        device: &Device,
        precision: Precision,
    ) -> Result<Self> {
        let loading = Loading::new(MODEL, source, device, precision);
        let scope = loading.root();
        let r = config.representation_config;
        let outputs = r.rank * (3 * r.dim + 4);
        let network = Self {
            trunk: Trunk::load(&scope, config.trunk.clone(), config.latent_channels)?,
            out_layer: scope.linear("out_layer", config.trunk.model_channels, outputs, FloatDType::F32)?,
            config,
        };
        loading.finish(&[])?;
        Ok(network)
    }

    /// Its description.
    pub fn config(&self) -> &RadianceDecoderConfig {
        &self.config
    }

    /// Raw channels of a denormalised latent `[voxels, latent_channels]`, f32 → `[voxels, rank·(3·dim + 4)]`, f32.
    ///
    /// # Errors
    /// [`crate::Error::Input`] for another shape.
    pub fn forward(&self, latent: Tensor<2>, voxels: &Voxels) -> Result<Tensor<2>> {
        Ok(head(self.trunk.forward(MODEL, latent, voxels, |_, _| {})?, &self.out_layer))
    }

    /// The field of raw channels.
    pub fn represent(&self, raw: Tensor<2>, voxels: &Voxels) -> RadianceField {
        let r = self.config.representation_config;
        let rows = voxels.len();
        let density = r.rank * 3 * r.dim;
        let colour = density + r.rank;
        let part = |range: std::ops::Range<usize>| raw.clone().slice([0..rows, range]);
        RadianceField {
            position: centres(voxels, self.config.trunk.resolution, &raw.device()),
            // Products start from one, so that an untrained field is not flat zero.
            trivec: part(0..density).reshape([rows, r.rank, 3, r.dim]) + 1.0,
            density: part(density..colour),
            features_dc: part(colour..colour + 3 * r.rank).reshape([rows, r.rank, 1, 3]),
        }
    }
}
