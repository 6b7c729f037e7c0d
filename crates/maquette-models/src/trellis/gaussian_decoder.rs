//! `SLatGaussianDecoder`: structured latent → 3D Gaussians.

use burn::tensor::{Device, FloatDType, Tensor, activation};
use maquette_kernels::{Linear, Voxels};
use maquette_weights::TensorSource;

use super::{
    GaussianDecoderConfig, GaussianRepresentation,
    config::ScalingActivation,
    trunk::{Trunk, centres, head},
};
use crate::{Precision, Result, loading::Loading};

const MODEL: &str = "SLatGaussianDecoder";

/// The Gaussian decoder.
#[derive(Debug)]
pub struct GaussianDecoder {
    config: GaussianDecoderConfig,
    trunk: Trunk,
    out_layer: Linear,
    /// `[num_gaussians, 3]`, as stored.
    offset_perturbation: Option<Tensor<2>>,
}

/// Decoded Gaussians, voxel-major, `n` per voxel, before activations. f32.
#[derive(Clone, Debug)]
pub struct Gaussians {
    /// Positions in the unit cube, `[N, 3]`; world positions are these minus ½.
    pub xyz: Tensor<2>,
    /// Zeroth spherical harmonic, `[N, 3]`; colour = max(0, 0.28209479177387814·dc + ½).
    pub features_dc: Tensor<2>,
    /// Extents before bias and activation, `[N, 3]`.
    pub scaling: Tensor<2>,
    /// Quaternions w, x, y, z minus (1, 0, 0, 0), not normalised, `[N, 4]`.
    pub rotation: Tensor<2>,
    /// Opacities before bias and sigmoid, `[N, 1]`.
    pub opacity: Tensor<2>,
    representation: GaussianRepresentation,
}

impl GaussianDecoder {
    /// Builds the network from its description and weights.
    ///
    /// # Errors
    /// [`crate::Error::Weights`], [`crate::Error::UnexpectedTensors`].
    pub fn load(
        config: GaussianDecoderConfig,
        source: &dyn TensorSource,
        device: &Device,
        precision: Precision,
    ) -> Result<Self> {
        let loading = Loading::new(MODEL, source, device, precision);
        let scope = loading.root();
        let n = config.representation_config.num_gaussians;
        let network = Self {
            trunk: Trunk::load(&scope, config.trunk.clone(), config.latent_channels)?,
            out_layer: scope.linear("out_layer", config.trunk.model_channels, 14 * n, FloatDType::F32)?,
            offset_perturbation: scope
                .has("offset_perturbation")
                .then(|| scope.tensor("offset_perturbation", [n, 3], FloatDType::F32))
                .transpose()?,
            config,
        };
        loading.finish(&[])?;
        Ok(network)
    }

    /// Its description.
    pub fn config(&self) -> &GaussianDecoderConfig {
        &self.config
    }

    /// Its transformer, for checks.
    pub fn trunk(&self) -> &Trunk {
        &self.trunk
    }

    /// The stored offsets, `[num_gaussians, 3]`, for checks.
    pub fn offset_perturbation(&self) -> Option<&Tensor<2>> {
        self.offset_perturbation.as_ref()
    }

    /// Raw channels of a denormalised latent `[voxels, latent_channels]`, f32 → `[voxels, 14·n]`, f32: `n` position offsets,
    /// colours, extents, rotations, opacities, in this order.
    ///
    /// # Errors
    /// [`crate::Error::Input`] for another shape.
    pub fn forward(&self, latent: Tensor<2>, voxels: &Voxels) -> Result<Tensor<2>> {
        self.forward_watched(latent, voxels, |_, _| {})
    }

    /// As [`GaussianDecoder::forward`]; `watch` sees the features after each transformer block.
    ///
    /// # Errors
    /// [`crate::Error::Input`] for another shape.
    pub fn forward_watched(
        &self,
        latent: Tensor<2>,
        voxels: &Voxels,
        watch: impl FnMut(usize, &Tensor<2>),
    ) -> Result<Tensor<2>> {
        Ok(head(self.trunk.forward(MODEL, latent, voxels, watch)?, &self.out_layer))
    }

    /// Gaussians of raw channels.
    pub fn represent(&self, raw: Tensor<2>, voxels: &Voxels) -> Gaussians {
        let representation = &self.config.representation_config;
        let (n, rows) = (representation.num_gaussians, voxels.len());
        let resolution = self.config.trunk.resolution;
        let mut start = 0;
        let mut part = |width: usize, factor: f64| {
            let part = raw.clone().slice([0..rows, start..start + width * n]).reshape([rows * n, width]);
            start += width * n;
            part * factor
        };
        let lr = &representation.lr;
        let offset = part(3, lr.xyz).reshape([rows, n, 3]);
        let offset = match &self.offset_perturbation {
            Some(perturbation) if representation.perturb_offset => offset + perturbation.clone().unsqueeze::<3>(),
            _ => offset,
        };
        let reach = 0.5 * representation.voxel_size / resolution as f64;
        let centres = centres(voxels, resolution, &raw.device()).reshape([rows, 1, 3]);
        Gaussians {
            xyz: (offset.tanh() * reach + centres).reshape([rows * n, 3]),
            features_dc: part(3, lr.features_dc),
            scaling: part(3, lr.scaling),
            rotation: part(4, lr.rotation),
            opacity: part(1, lr.opacity),
            representation: representation.clone(),
        }
    }
}

impl Gaussians {
    /// Number of Gaussians.
    pub fn len(&self) -> usize {
        self.xyz.dims()[0]
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// World positions, `[N, 3]`, the object in [−½, ½]³, z up.
    pub fn positions(&self) -> Tensor<2> {
        self.xyz.clone() - 0.5
    }

    /// Extents (standard deviations) in world units, `[N, 3]`: `√(activation(raw + bias)² + smallest²)`.
    pub fn extents(&self) -> Tensor<2> {
        let r = &self.representation;
        let b = r.scaling_bias;
        let extents = match r.scaling_activation {
            ScalingActivation::Softplus => softplus(self.scaling.clone() + (b + (-(-b).exp_m1()).ln())),
            ScalingActivation::Exp => (self.scaling.clone() + b.ln()).exp(),
        };
        (extents.clone() * extents + r.filter_kernel_size_3d * r.filter_kernel_size_3d).sqrt()
    }

    /// Quaternions w, x, y, z, not normalised, `[N, 4]`.
    pub fn quaternions(&self) -> Tensor<2> {
        let identity = Tensor::<2>::from_data([[1.0f32, 0.0, 0.0, 0.0]], &self.rotation.device());
        self.rotation.clone() + identity
    }

    /// Unit quaternions w, x, y, z, `[N, 4]`.
    pub fn rotations(&self) -> Tensor<2> {
        let q = self.quaternions();
        let length = (q.clone() * q.clone()).sum_dim(1).sqrt().clamp_min(1e-12);
        q / length
    }

    /// Opacities, `[N, 1]`, in (0, 1).
    pub fn opacities(&self) -> Tensor<2> {
        let b = self.representation.opacity_bias;
        activation::sigmoid(self.opacity.clone() + (b / (1.0 - b)).ln())
    }
}

/// `ln(1 + eˣ)` without overflow.
fn softplus(x: Tensor<2>) -> Tensor<2> {
    x.clone().clamp_min(0.0) + (-x.abs()).exp().log1p()
}
