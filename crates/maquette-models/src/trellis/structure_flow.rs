//! `SparseStructureFlowModel`: the dense diffusion transformer that samples where the object is.

use burn::tensor::{FloatDType, Tensor};
use maquette_kernels::{Activation, Linear, RowGroups, layer_norm, linear};
use maquette_weights::TensorSource;

use super::{PreparedCondition, StructureFlowConfig, condition_rows, patchify, unpatchify};
use crate::{
    Error, Precision, Result,
    loading::Loading,
    nn::{BlockModulation, DEFAULT_NORM_EPS, ModulatedCrossBlock, Modulations, TimestepEmbedder},
    sampler::VelocityField,
};

const MODEL: &str = "SparseStructureFlowModel";

/// The structure flow.
#[derive(Debug)]
pub struct StructureFlow {
    config: StructureFlowConfig,
    t_embedder: TimestepEmbedder,
    input_layer: Linear,
    /// `[tokens, model_channels]`, as stored.
    pos_emb: Tensor<2>,
    modulations: Modulations,
    blocks: Vec<ModulatedCrossBlock>,
    out_layer: Linear,
    torso: FloatDType,
}

/// What a flow network needs of a moment, common to all conditions.
#[derive(Clone, Debug)]
pub struct FlowMoment {
    pub(crate) blocks: Vec<BlockModulation>,
    /// Per residual block: scale and shift (latent flow only).
    pub(crate) residuals: Vec<(Tensor<2>, Tensor<2>)>,
}

impl StructureFlow {
    /// Builds the network from its description and weights.
    ///
    /// # Errors
    /// [`Error::Weights`], [`Error::UnexpectedTensors`].
    pub fn load(
        config: StructureFlowConfig,
        source: &dyn TensorSource,
        device: &burn::tensor::Device,
        precision: Precision,
    ) -> Result<Self> {
        let loading = Loading::new(MODEL, source, device, precision);
        let scope = loading.root();
        let channels = config.flow.model_channels;
        let patch = config.patch_size.pow(3);
        let tokens = (config.flow.resolution / config.patch_size).pow(3);
        let blocks = (0..config.flow.num_blocks)
            .map(|i| ModulatedCrossBlock::load(&scope.at("blocks").at(i), &config.flow.block()))
            .collect::<Result<_>>()?;
        let network = Self {
            t_embedder: TimestepEmbedder::load(&scope.at("t_embedder"), channels)?,
            input_layer: scope.linear("input_layer", config.flow.in_channels * patch, channels, FloatDType::F32)?,
            pos_emb: scope.tensor("pos_emb", [tokens, channels], FloatDType::F32)?,
            modulations: Modulations::load(&scope, channels, config.flow.num_blocks, config.flow.share_mod)?,
            blocks,
            out_layer: scope.linear("out_layer", channels, config.flow.out_channels * patch, FloatDType::F32)?,
            torso: precision.dtype(),
            config,
        };
        loading.finish(&[])?;
        Ok(network)
    }

    /// Its description.
    pub fn config(&self) -> &StructureFlowConfig {
        &self.config
    }

    /// Element type of the torso.
    pub fn torso(&self) -> FloatDType {
        self.torso
    }

    /// Time embedder, for checks.
    pub fn t_embedder(&self) -> &TimestepEmbedder {
        &self.t_embedder
    }

    /// Transformer blocks, for checks.
    pub fn blocks(&self) -> &[ModulatedCrossBlock] {
        &self.blocks
    }

    /// adaLN layers, for checks.
    pub fn modulations(&self) -> &Modulations {
        &self.modulations
    }

    /// Keys and values of condition tokens `[B, L, cond_channels]`, f32, for every block. `B` is the samples' batch size or 1.
    ///
    /// # Errors
    /// [`Error::Input`] for another width.
    pub fn condition(&self, cond: Tensor<3>) -> Result<PreparedCondition> {
        let (rows, groups) = condition_rows(MODEL, cond, self.config.flow.cond_channels)?;
        let rows = rows.cast(self.torso);
        let contexts = self.blocks.iter().map(|b| b.cross_attn.context(rows.clone(), &groups)).collect();
        Ok(PreparedCondition { contexts })
    }

    /// The all-zero condition that guidance pushes away from.
    pub fn zero_condition(&self) -> PreparedCondition {
        PreparedCondition { contexts: self.blocks.iter().map(|b| b.cross_attn.zero_context()).collect() }
    }

    /// Modulation of all blocks at times that are already multiplied by 1000, one for all samples or one each.
    pub fn moment(&self, times: &[f32]) -> FlowMoment {
        FlowMoment { blocks: self.modulations.forward(&self.t_embedder.forward(times)), residuals: Vec::new() }
    }

    /// Velocity at `x [B, in_channels, R, R, R]`, f32 → `[B, out_channels, R, R, R]`, f32.
    ///
    /// # Errors
    /// [`Error::Input`] for another shape.
    pub fn forward(&self, x: Tensor<5>, moment: &FlowMoment, condition: &PreparedCondition) -> Result<Tensor<5>> {
        Ok(self.forward_with_tokens(x, moment, condition)?.0)
    }

    /// As [`StructureFlow::forward`], with the tokens after the last block, `[B, tokens, model_channels]`, f32.
    ///
    /// # Errors
    /// [`Error::Input`] for another shape.
    pub fn forward_with_tokens(
        &self,
        x: Tensor<5>,
        moment: &FlowMoment,
        condition: &PreparedCondition,
    ) -> Result<(Tensor<5>, Tensor<3>)> {
        let config = &self.config;
        let (batch, edge) = (x.dims()[0], config.flow.resolution);
        if batch == 0 || x.dims() != [batch, config.flow.in_channels, edge, edge, edge] {
            let expected = format!("[batch, {}, {edge}, {edge}, {edge}]", config.flow.in_channels);
            return Err(Error::Input { model: MODEL, input: "x", found: x.dims().to_vec(), expected });
        }
        let tokens = patchify(x, config.patch_size);
        let [_, count, width] = tokens.dims();
        let batches = RowGroups::uniform(batch, count);
        let channels = config.flow.model_channels;

        let h = linear(tokens.reshape([batch * count, width]), &self.input_layer, Activation::None);
        let h = h.reshape([batch, count, channels]) + self.pos_emb.clone().unsqueeze::<3>();
        let mut h = h.reshape([batch * count, channels]).cast(self.torso);
        for ((block, modulation), context) in self.blocks.iter().zip(&moment.blocks).zip(&condition.contexts) {
            h = block.forward(h, modulation, context, &batches);
        }
        // The cast comes before the norm here; the latent flow does it the other way round.
        let h = h.cast(FloatDType::F32);
        let y = linear(layer_norm(h.clone(), None, DEFAULT_NORM_EPS), &self.out_layer, Activation::None);
        let width = y.dims()[1];
        let y = unpatchify(y.reshape([batch, count, width]), config.patch_size, [edge / config.patch_size; 3]);
        Ok((y, h.reshape([batch, count, channels])))
    }
}

impl VelocityField<5> for StructureFlow {
    type Moment = FlowMoment;
    type Condition = PreparedCondition;

    fn moment(&self, time: f32) -> FlowMoment {
        StructureFlow::moment(self, &[time])
    }

    fn velocity(&self, x: Tensor<5>, moment: &FlowMoment, condition: &PreparedCondition) -> Result<Tensor<5>> {
        self.forward(x, moment, condition)
    }
}
