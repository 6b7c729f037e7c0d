//! The diffusion transformers' block: self-attention, cross-attention, perceptron, modulated by time (adaLN).

use burn::tensor::{FloatDType, Tensor};
use maquette_kernels::{Activation, Linear, RowGroups, activate, layer_norm, layer_norm_modulate, linear};

use super::{BLOCK_NORM_EPS, CrossAttention, CrossContext, Mlp, SelfAttention, Span};
use crate::{
    Result,
    loading::{Affine, Scope},
};

/// Sizes of a block.
#[derive(Clone, Copy, Debug)]
pub struct BlockConfig {
    /// Token width.
    pub channels: usize,
    /// Width of condition tokens.
    pub cond_channels: usize,
    /// Attention heads.
    pub heads: usize,
    /// Hidden width of the perceptron.
    pub mlp_channels: usize,
    /// RMS norm on self-attention's queries and keys.
    pub qk_rms_norm: bool,
    /// The same for cross-attention.
    pub qk_rms_norm_cross: bool,
}

/// `ModulatedTransformerCrossBlock`, dense or sparse.
#[derive(Clone, Debug)]
pub struct ModulatedCrossBlock {
    /// Self-attention.
    pub self_attn: SelfAttention,
    /// Affine norm before cross-attention.
    pub norm2: Affine,
    /// Cross-attention.
    pub cross_attn: CrossAttention,
    /// Perceptron.
    pub mlp: Mlp,
}

impl ModulatedCrossBlock {
    /// Loads one block, its adaLN layer excepted (see [`Modulations`]).
    ///
    /// # Errors
    /// [`crate::Error::Weights`].
    pub fn load(scope: &Scope<'_>, config: &BlockConfig) -> Result<Self> {
        let BlockConfig { channels, heads, .. } = *config;
        let torso = scope.torso();
        Ok(Self {
            self_attn: SelfAttention::load(
                &scope.at("self_attn"),
                ["to_qkv", "to_out"],
                channels,
                heads,
                config.qk_rms_norm,
                torso,
            )?,
            norm2: scope.affine("norm2", channels)?,
            cross_attn: CrossAttention::load(
                &scope.at("cross_attn"),
                channels,
                config.cond_channels,
                heads,
                config.qk_rms_norm_cross,
                torso,
            )?,
            mlp: Mlp::load(
                &scope.at("mlp"),
                ["mlp.0", "mlp.2"],
                channels,
                config.mlp_channels,
                Activation::GeluTanh,
                torso,
            )?,
        })
    }

    /// `x [M, C]` → `[M, C]`; full self-attention inside each of `batches`.
    pub fn forward(
        &self,
        x: Tensor<2>,
        modulation: &BlockModulation,
        context: &CrossContext,
        batches: &RowGroups,
    ) -> Tensor<2> {
        let groups = modulation.groups(batches);
        let m = modulation;
        let u = layer_norm_modulate(x.clone(), &m.scale_attn, &m.shift_attn, &groups, BLOCK_NORM_EPS);
        let x = self.self_attn.forward_residual(u, Span::Full(batches), x, Some((&m.gate_attn, &groups)));
        let normed = || layer_norm(x.clone(), Some(self.norm2.pair()), BLOCK_NORM_EPS);
        let x = self.cross_attn.forward_residual(normed, batches, context, x.clone());
        let u = layer_norm_modulate(x.clone(), &m.scale_mlp, &m.shift_mlp, &groups, BLOCK_NORM_EPS);
        self.mlp.forward_residual(u, x, Some((&m.gate_mlp, &groups)))
    }
}

/// One block's modulation, one row per time: `[times, C]` each.
#[derive(Clone, Debug)]
pub struct BlockModulation {
    /// Added before self-attention.
    pub shift_attn: Tensor<2>,
    /// Multiplied (plus one) before self-attention.
    pub scale_attn: Tensor<2>,
    /// Multiplied after self-attention.
    pub gate_attn: Tensor<2>,
    /// Added before the perceptron.
    pub shift_mlp: Tensor<2>,
    /// Multiplied (plus one) before the perceptron.
    pub scale_mlp: Tensor<2>,
    /// Multiplied after the perceptron.
    pub gate_mlp: Tensor<2>,
}

impl BlockModulation {
    /// Cuts `[times, 6·C]` at column `start`.
    fn cut(all: &Tensor<2>, start: usize, channels: usize) -> Self {
        let times = all.dims()[0];
        let part = |i: usize| all.clone().slice([0..times, start + i * channels..start + (i + 1) * channels]);
        Self {
            shift_attn: part(0),
            scale_attn: part(1),
            gate_attn: part(2),
            shift_mlp: part(3),
            scale_mlp: part(4),
            gate_mlp: part(5),
        }
    }

    /// Which rows each time modulates: one time serves all rows, several go with the batch items.
    fn groups(&self, batches: &RowGroups) -> RowGroups {
        if self.shift_attn.dims()[0] == 1 { RowGroups::single(batches.rows()) } else { batches.clone() }
    }
}

/// The adaLN layers of all blocks. They depend on time alone, so they are one multiplication a step.
#[derive(Clone, Debug)]
pub struct Modulations {
    /// `[blocks·6·C, C]`, or `[6·C, C]` when the blocks share one.
    linear: Linear,
    blocks: usize,
    shared: bool,
    torso: FloatDType,
}

impl Modulations {
    /// Loads `blocks.{i}.adaLN_modulation.1`, or with `shared` the single `adaLN_modulation.1`, which stays f32.
    ///
    /// # Errors
    /// [`crate::Error::Weights`].
    pub fn load(scope: &Scope<'_>, channels: usize, blocks: usize, shared: bool) -> Result<Self> {
        const NAME: &str = "adaLN_modulation.1";
        let torso = scope.torso();
        let linear = if shared {
            scope.linear(NAME, channels, 6 * channels, FloatDType::F32)?
        } else {
            let layers = (0..blocks)
                .map(|i| scope.at("blocks").at(i).linear(NAME, channels, 6 * channels, torso))
                .collect::<Result<Vec<_>>>()?;
            stack(layers)
        };
        Ok(Self { linear, blocks, shared, torso })
    }

    /// Every block's modulation for time embeddings `[times, C]`, f32.
    pub fn forward(&self, embedding: &Tensor<2>) -> Vec<BlockModulation> {
        let channels = self.linear.inputs();
        if self.shared {
            let all = linear(activate(embedding.clone(), Activation::Silu), &self.linear, Activation::None);
            let one = BlockModulation::cut(&all.cast(self.torso), 0, channels);
            return vec![one; self.blocks];
        }
        let all =
            linear(activate(embedding.clone().cast(self.torso), Activation::Silu), &self.linear, Activation::None);
        (0..self.blocks).map(|b| BlockModulation::cut(&all, b * 6 * channels, channels)).collect()
    }
}

/// One layer whose outputs are those of `layers` side by side.
pub(crate) fn stack(layers: Vec<Linear>) -> Linear {
    let (weights, biases): (Vec<_>, Vec<_>) = layers
        .into_iter()
        .map(|layer| {
            let outputs = layer.outputs();
            let zero = Tensor::zeros([outputs], (&layer.weight.device(), layer.weight.dtype()));
            (layer.weight, layer.bias.unwrap_or(zero))
        })
        .unzip();
    Linear { weight: Tensor::cat(weights, 0), bias: Some(Tensor::cat(biases, 0)) }
}
