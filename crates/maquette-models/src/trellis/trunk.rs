//! `SparseTransformerBase`: the windowed transformer that every decoder and the latent encoder start with.

use burn::tensor::{FloatDType, Tensor};
use maquette_kernels::{Activation, Linear, Voxels, layer_norm, linear};

use super::TrunkConfig;
use crate::{
    Error, Result,
    loading::Scope,
    nn::{BLOCK_NORM_EPS, Mlp, SelfAttention, Span, position_embedding},
};

/// The trunk.
#[derive(Clone, Debug)]
pub struct Trunk {
    config: TrunkConfig,
    in_channels: usize,
    input_layer: Linear,
    blocks: Vec<TransformerBlock>,
    torso: FloatDType,
}

/// `SparseTransformerBlock`: norms without parameters, attention, perceptron.
#[derive(Clone, Debug)]
pub struct TransformerBlock {
    attn: SelfAttention,
    mlp: Mlp,
    /// Edge and shift of the attention windows; none: full attention.
    window: Option<(i32, i32)>,
}

impl TransformerBlock {
    /// `x [voxels, C]` → the same.
    pub fn forward(&self, x: Tensor<2>, voxels: &Voxels) -> Tensor<2> {
        let windows = self.window.map(|(size, shift)| voxels.windows(size, shift));
        let span = windows.as_ref().map_or(Span::Full(voxels.batches()), Span::Windowed);
        let x = self.attn.forward_residual(layer_norm(x.clone(), None, BLOCK_NORM_EPS), span, x, None);
        self.mlp.forward_residual(layer_norm(x.clone(), None, BLOCK_NORM_EPS), x, None)
    }
}

impl Trunk {
    /// Loads `input_layer` (f32) and `blocks`.
    ///
    /// # Errors
    /// [`Error::Weights`].
    pub fn load(scope: &Scope<'_>, config: TrunkConfig, in_channels: usize) -> Result<Self> {
        let (channels, heads, torso) = (config.model_channels, config.heads(), scope.torso());
        let size = config.window_size as i32;
        let blocks = (0..config.num_blocks)
            .map(|i| {
                let scope = scope.at("blocks").at(i);
                let attn = scope.at("attn");
                // Odd blocks cut space half a window further, so that voxels on either side of a cut meet.
                let shift = if i % 2 == 1 { size / 2 } else { 0 };
                Ok(TransformerBlock {
                    attn: SelfAttention::load(&attn, ["to_qkv", "to_out"], channels, heads, config.qk_rms_norm, torso)?,
                    mlp: Mlp::load(
                        &scope.at("mlp"),
                        ["mlp.0", "mlp.2"],
                        channels,
                        config.mlp_channels(),
                        Activation::GeluTanh,
                        torso,
                    )?,
                    window: (config.attn_mode == "swin").then_some((size, shift)),
                })
            })
            .collect::<Result<_>>()?;
        let input_layer = scope.linear("input_layer", in_channels, channels, FloatDType::F32)?;
        Ok(Self { config, in_channels, input_layer, blocks, torso })
    }

    /// Its description.
    pub fn config(&self) -> &TrunkConfig {
        &self.config
    }

    /// Its blocks, for checks.
    pub fn blocks(&self) -> &[TransformerBlock] {
        &self.blocks
    }

    /// Features `[voxels, in_channels]`, f32 → `[voxels, model_channels]` in the torso's type. `model` names the network in
    /// messages; `watch` sees the features after each block.
    ///
    /// # Errors
    /// [`Error::Input`] for another shape.
    pub fn forward(
        &self,
        model: &'static str,
        x: Tensor<2>,
        voxels: &Voxels,
        mut watch: impl FnMut(usize, &Tensor<2>),
    ) -> Result<Tensor<2>> {
        if x.dims() != [voxels.len(), self.in_channels] || voxels.is_empty() {
            let expected = format!("[{} voxels (at least one), {}]", voxels.len(), self.in_channels);
            return Err(Error::Input { model, input: "latent", found: x.dims().to_vec(), expected });
        }
        let position = position_embedding(voxels.coords(), self.config.model_channels, &x.device());
        let mut h = (linear(x, &self.input_layer, Activation::None) + position).cast(self.torso);
        for (i, block) in self.blocks.iter().enumerate() {
            h = block.forward(h, voxels);
            watch(i, &h);
        }
        Ok(h)
    }
}

/// Head of the Gaussian and radiance decoders and of the latent encoder: cast, norm without parameters, linear, all f32.
pub(super) fn head(h: Tensor<2>, out_layer: &Linear) -> Tensor<2> {
    let h = layer_norm(h.cast(FloatDType::F32), None, crate::nn::DEFAULT_NORM_EPS);
    linear(h, out_layer, Activation::None)
}

/// Voxel centres in the unit cube, `[voxels, 3]`, f32.
pub(super) fn centres(voxels: &Voxels, resolution: usize, device: &burn::tensor::Device) -> Tensor<2> {
    let values: Vec<f32> =
        voxels.coords().iter().flat_map(|c| [c[1], c[2], c[3]].map(|v| (v as f32 + 0.5) / resolution as f32)).collect();
    let data = burn::tensor::TensorData::new(values, [voxels.len(), 3]);
    Tensor::from_data(data, (device, burn::tensor::DType::F32))
}
