//! `SLatEncoder`: picture features on voxels → structured-latent distribution.

use burn::tensor::{Device, FloatDType, Tensor};
use maquette_kernels::{Linear, Voxels};
use maquette_weights::TensorSource;
use serde::Deserialize;

use super::{
    TrunkConfig,
    trunk::{Trunk, head},
};
use crate::{
    Precision, Result,
    loading::{Loading, description},
};

const MODEL: &str = "SLatEncoder";

/// `SLatEncoder`'s description.
#[derive(Clone, Debug, Deserialize)]
struct Sizes {
    in_channels: usize,
    latent_channels: usize,
}

/// The latent encoder.
#[derive(Debug)]
pub struct LatentEncoder {
    trunk: Trunk,
    out_layer: Linear,
    latent_channels: usize,
}

/// A Gaussian over structured latents. The mean is the deterministic encoding.
#[derive(Clone, Debug)]
pub struct LatentDistribution {
    /// `[voxels, latent_channels]`.
    pub mean: Tensor<2>,
    /// Logarithm of the variance, the same shape.
    pub logvar: Tensor<2>,
}

impl LatentDistribution {
    /// A sample, `mean + e^(logvar/2)·noise`, for standard normal noise of the mean's shape.
    pub fn sample(&self, noise: Tensor<2>) -> Tensor<2> {
        self.mean.clone() + (self.logvar.clone() * 0.5).exp() * noise
    }
}

impl LatentEncoder {
    /// Builds the network from the `args` of its description and its weights.
    ///
    /// # Errors
    /// [`crate::Error::Description`], [`crate::Error::Config`], [`crate::Error::Weights`],
    /// [`crate::Error::UnexpectedTensors`].
    pub fn load(
        args: &serde_json::Value,
        source: &dyn TensorSource,
        device: &Device,
        precision: Precision,
    ) -> Result<Self> {
        let sizes: Sizes = description(MODEL, args)?;
        let config = TrunkConfig::from_args(args)?;
        let loading = Loading::new(MODEL, source, device, precision);
        let scope = loading.root();
        let network = Self {
            out_layer: scope.linear("out_layer", config.model_channels, 2 * sizes.latent_channels, FloatDType::F32)?,
            trunk: Trunk::load(&scope, config, sizes.in_channels)?,
            latent_channels: sizes.latent_channels,
        };
        loading.finish(&[])?;
        Ok(network)
    }

    /// The distribution over latents of features `[voxels, in_channels]`, f32.
    ///
    /// # Errors
    /// [`crate::Error::Input`] for another shape.
    pub fn forward(&self, features: Tensor<2>, voxels: &Voxels) -> Result<LatentDistribution> {
        let h = head(self.trunk.forward(MODEL, features, voxels, |_, _| {})?, &self.out_layer);
        let half = |start: usize| h.clone().slice([0..voxels.len(), start..start + self.latent_channels]);
        Ok(LatentDistribution { mean: half(0), logvar: half(self.latent_channels) })
    }
}
