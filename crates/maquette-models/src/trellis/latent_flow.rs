//! `SLatFlowModel`: the sparse diffusion transformer that samples what the object looks like.

use burn::tensor::{Device, FloatDType, Tensor};
use maquette_kernels::{Activation, Linear, Voxels, layer_norm, linear};
use maquette_weights::TensorSource;

use super::{
    LatentFlowConfig, PreparedCondition, condition_rows,
    latent_res_block::{Resample, ResidualModulations, SparseResBlock},
    structure_flow::FlowMoment,
};
use crate::{
    Error, Precision, Result,
    loading::Loading,
    nn::{DEFAULT_NORM_EPS, ModulatedCrossBlock, Modulations, TimestepEmbedder, position_embedding},
    sampler::VelocityField,
};

const MODEL: &str = "SLatFlowModel";

/// The latent flow.
#[derive(Debug)]
pub struct LatentFlow {
    config: LatentFlowConfig,
    t_embedder: TimestepEmbedder,
    input_layer: Linear,
    input_blocks: Vec<SparseResBlock>,
    blocks: Vec<ModulatedCrossBlock>,
    out_blocks: Vec<SparseResBlock>,
    out_layer: Linear,
    modulations: Modulations,
    residual_modulations: ResidualModulations,
    torso: FloatDType,
}

/// What the flow needs of a voxel set, computed once for all steps: the coarser sets and the tokens' positions.
#[derive(Clone, Debug)]
pub struct LatentSites {
    /// The sets, finest first.
    levels: Vec<Voxels>,
    /// Position embedding of the coarsest set, in the torso's type.
    position: Tensor<2>,
}

impl LatentSites {
    /// The voxels that the latent lives on.
    pub fn voxels(&self) -> &Voxels {
        &self.levels[0]
    }

    /// The voxels that are the transformer's tokens.
    pub fn tokens(&self) -> &Voxels {
        &self.levels[self.levels.len() - 1]
    }
}

/// Where [`LatentFlow::forward_watched`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LatentStage {
    /// After the input layer.
    InputLayer,
    /// After input block `.0`.
    InputBlock(usize),
    /// After transformer block `.0`.
    Block(usize),
    /// After output block `.0`.
    OutBlock(usize),
}

impl LatentFlow {
    /// Builds the network from its description and weights.
    ///
    /// # Errors
    /// [`Error::Weights`], [`Error::UnexpectedTensors`].
    pub fn load(
        config: LatentFlowConfig,
        source: &dyn TensorSource,
        device: &Device,
        precision: Precision,
    ) -> Result<Self> {
        let loading = Loading::new(MODEL, source, device, precision);
        let scope = loading.root();
        let channels = config.flow.model_channels;
        let levels = config.levels();
        let mut emb_layers = Vec::new();
        let mut residual = |side: &str, i: usize, inputs: usize, outputs: usize, resample: Resample| {
            let scope = scope.at(side).at(i);
            emb_layers.push(scope.linear("emb_layers.1", channels, 2 * outputs, scope.torso())?);
            SparseResBlock::load(&scope, inputs, outputs, resample)
        };

        let mut input_blocks = Vec::new();
        for (level, &width) in levels.iter().enumerate() {
            for _ in 1..config.num_io_res_blocks {
                input_blocks.push(residual("input_blocks", input_blocks.len(), width, width, Resample::None)?);
            }
            let next = levels.get(level + 1).copied().unwrap_or(channels);
            input_blocks.push(residual("input_blocks", input_blocks.len(), width, next, Resample::Down)?);
        }
        let skip = if config.use_skip_connection { 2 } else { 1 };
        let mut out_blocks = Vec::new();
        for (level, &width) in levels.iter().enumerate().rev() {
            let below = levels.get(level + 1).copied().unwrap_or(channels);
            out_blocks.push(residual("out_blocks", out_blocks.len(), skip * below, width, Resample::Up)?);
            for _ in 1..config.num_io_res_blocks {
                out_blocks.push(residual("out_blocks", out_blocks.len(), skip * width, width, Resample::None)?);
            }
        }

        let blocks = (0..config.flow.num_blocks)
            .map(|i| ModulatedCrossBlock::load(&scope.at("blocks").at(i), &config.flow.block()))
            .collect::<Result<_>>()?;
        let outer = levels.first().copied().unwrap_or(channels);
        let network = Self {
            t_embedder: TimestepEmbedder::load(&scope.at("t_embedder"), channels)?,
            input_layer: scope.linear("input_layer", config.flow.in_channels, outer, FloatDType::F32)?,
            input_blocks,
            blocks,
            out_blocks,
            out_layer: scope.linear("out_layer", outer, config.flow.out_channels, FloatDType::F32)?,
            modulations: Modulations::load(&scope, channels, config.flow.num_blocks, config.flow.share_mod)?,
            residual_modulations: ResidualModulations::new(emb_layers, precision.dtype()),
            torso: precision.dtype(),
            config,
        };
        loading.finish(&[])?;
        Ok(network)
    }

    /// Its description.
    pub fn config(&self) -> &LatentFlowConfig {
        &self.config
    }

    /// Transformer blocks, for checks.
    pub fn blocks(&self) -> &[ModulatedCrossBlock] {
        &self.blocks
    }

    /// adaLN layers, for checks.
    pub fn modulations(&self) -> &Modulations {
        &self.modulations
    }

    /// Number of residual blocks before the transformer; as many come after it.
    pub fn input_blocks(&self) -> usize {
        self.input_blocks.len()
    }

    /// Element type of the torso.
    pub fn torso(&self) -> FloatDType {
        self.torso
    }

    /// Scale and shift of every residual block, input side first, for time embeddings `[times, model_channels]`, f32.
    pub fn residual_modulation(&self, embedding: &Tensor<2>) -> Vec<(Tensor<2>, Tensor<2>)> {
        self.residual_modulations.forward(embedding)
    }

    /// Prepares a voxel set.
    pub fn sites(&self, voxels: &Voxels) -> LatentSites {
        let mut levels = vec![voxels.clone()];
        for _ in self.config.levels() {
            let coarse = levels[levels.len() - 1].coarsened().coarse.clone();
            levels.push(coarse);
        }
        let device = self.input_layer.weight.device();
        let tokens = &levels[levels.len() - 1];
        let position = position_embedding(tokens.coords(), self.config.flow.model_channels, &device).cast(self.torso);
        LatentSites { levels, position }
    }

    /// Keys and values of condition tokens `[B, L, cond_channels]`, f32, for every block. `B` is the batch size or 1.
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
        let embedding = self.t_embedder.forward(times);
        FlowMoment {
            blocks: self.modulations.forward(&embedding),
            residuals: self.residual_modulations.forward(&embedding),
        }
    }

    /// Velocity at `x [voxels, in_channels]`, f32 → `[voxels, out_channels]`, f32.
    ///
    /// # Errors
    /// [`Error::Input`] for another shape.
    pub fn forward(
        &self,
        x: Tensor<2>,
        sites: &LatentSites,
        moment: &FlowMoment,
        condition: &PreparedCondition,
    ) -> Result<Tensor<2>> {
        self.forward_watched(x, sites, moment, condition, |_, _| {})
    }

    /// As [`LatentFlow::forward`]; `watch` sees the features after each part.
    ///
    /// # Errors
    /// [`Error::Input`] for another shape.
    pub fn forward_watched(
        &self,
        x: Tensor<2>,
        sites: &LatentSites,
        moment: &FlowMoment,
        condition: &PreparedCondition,
        mut watch: impl FnMut(LatentStage, &Tensor<2>),
    ) -> Result<Tensor<2>> {
        let rows = sites.voxels().len();
        if x.dims() != [rows, self.config.flow.in_channels] || rows == 0 {
            let expected = format!("[{rows} voxels (at least one), {}]", self.config.flow.in_channels);
            return Err(Error::Input { model: MODEL, input: "x", found: x.dims().to_vec(), expected });
        }
        let (inputs, outputs) = moment.residuals.split_at(self.input_blocks.len());

        let h = linear(x, &self.input_layer, Activation::None).cast(self.torso);
        watch(LatentStage::InputLayer, &h);
        let (h, skips) = self.input_side(h, sites, inputs, &mut watch);

        let mut h = h + sites.position.clone();
        let batches = sites.tokens().batches();
        for (i, (block, modulation)) in self.blocks.iter().zip(&moment.blocks).enumerate() {
            h = block.forward(h, modulation, &condition.contexts[i], batches);
            watch(LatentStage::Block(i), &h);
        }

        let h = self.output_side(h, skips, sites, outputs, &mut watch);
        // In f16 the norm's result is rounded to f16 before the cast; the structure flow casts first.
        let h = layer_norm(h, None, DEFAULT_NORM_EPS).cast(FloatDType::F32);
        Ok(linear(h, &self.out_layer, Activation::None))
    }

    /// The residual blocks before the transformer: features on the finest voxels → tokens, and what the output side sees of
    /// each block. `modulations` are those of the input blocks.
    pub fn input_side(
        &self,
        mut h: Tensor<2>,
        sites: &LatentSites,
        modulations: &[(Tensor<2>, Tensor<2>)],
        watch: &mut impl FnMut(LatentStage, &Tensor<2>),
    ) -> (Tensor<2>, Vec<Tensor<2>>) {
        let mut skips = Vec::with_capacity(self.input_blocks.len());
        let mut level = 0;
        for (i, (block, modulation)) in self.input_blocks.iter().zip(modulations).enumerate() {
            let step = (block.resample() == Resample::Down).then(|| sites.levels[level].coarsened());
            level += usize::from(step.is_some());
            h = block.forward(h, &sites.levels[level], step, modulation);
            if self.config.use_skip_connection {
                skips.push(h.clone());
            }
            watch(LatentStage::InputBlock(i), &h);
        }
        (h, skips)
    }

    /// The residual blocks after the transformer: tokens → features on the finest voxels. `modulations` are those of the
    /// output blocks.
    pub fn output_side(
        &self,
        mut h: Tensor<2>,
        mut skips: Vec<Tensor<2>>,
        sites: &LatentSites,
        modulations: &[(Tensor<2>, Tensor<2>)],
        watch: &mut impl FnMut(LatentStage, &Tensor<2>),
    ) -> Tensor<2> {
        let mut level = sites.levels.len() - 1;
        for (i, (block, modulation)) in self.out_blocks.iter().zip(modulations).enumerate() {
            if let Some(skip) = skips.pop() {
                h = Tensor::cat(vec![h, skip], 1);
            }
            let up = block.resample() == Resample::Up;
            level -= usize::from(up);
            let step = up.then(|| sites.levels[level].coarsened());
            h = block.forward(h, &sites.levels[level], step, modulation);
            watch(LatentStage::OutBlock(i), &h);
        }
        h
    }
}

/// The flow on one voxel set, as the sampler sees it.
#[derive(Clone, Copy, Debug)]
pub struct LatentField<'a> {
    /// The network.
    pub flow: &'a LatentFlow,
    /// The voxels.
    pub sites: &'a LatentSites,
}

impl VelocityField<2> for LatentField<'_> {
    type Moment = FlowMoment;
    type Condition = PreparedCondition;

    fn moment(&self, time: f32) -> FlowMoment {
        self.flow.moment(&[time])
    }

    fn velocity(&self, x: Tensor<2>, moment: &FlowMoment, condition: &PreparedCondition) -> Result<Tensor<2>> {
        self.flow.forward(x, self.sites, moment, condition)
    }
}
