//! Descriptions of TRELLIS' networks, as the checkpoints' json files hold them in `args`.
//!
//! Members that say nothing about the numbers (`use_fp16`, `use_checkpoint`) are not read: precision is the caller's choice.

use serde::Deserialize;

use crate::{Error, Result, loading::description, nn::BlockConfig};

macro_rules! from_args {
    ($($config:ident: $model:literal),* $(,)?) => {$(
        impl $config {
            /// Reads the `args` member of the checkpoint's json.
            ///
            /// # Errors
            /// [`Error::Description`] when a member is missing or has the wrong type, [`Error::Config`] when they contradict
            /// each other.
            pub fn from_args(args: &serde_json::Value) -> Result<Self> {
                let config: Self = description($model, args)?;
                config.validate()?;
                Ok(config)
            }
        }
    )*};
}

from_args!(
    StructureFlowConfig: "SparseStructureFlowModel",
    StructureDecoderConfig: "SparseStructureDecoder",
    StructureEncoderConfig: "SparseStructureEncoder",
    LatentFlowConfig: "SLatFlowModel",
    GaussianDecoderConfig: "SLatGaussianDecoder",
    MeshDecoderConfig: "SLatMeshDecoder",
    RadianceDecoderConfig: "SLatRadianceFieldDecoder",
    TrunkConfig: "SparseTransformerBase",
);

fn head_channels() -> usize {
    64
}
fn mlp_ratio() -> f64 {
    4.0
}
fn ape() -> String {
    "ape".into()
}
fn swin() -> String {
    "swin".into()
}
fn yes() -> bool {
    true
}
fn layer() -> String {
    "layer".into()
}
fn window() -> usize {
    8
}

/// Widths that a device and a multiplication can hold; far beyond any published network.
const WIDEST: usize = 1 << 16;

fn check_heads(model: &'static str, channels: usize, heads: usize) -> Result<()> {
    check_width(model, "model_channels", channels)?;
    if heads == 0 || !channels.is_multiple_of(heads) {
        return Err(Error::config(model, "num_heads", heads, format!("a divisor of model_channels = {channels}")));
    }
    Ok(())
}

fn check_width(model: &'static str, field: &'static str, channels: usize) -> Result<()> {
    if channels == 0 || channels > WIDEST {
        return Err(Error::config(model, field, channels, format!("1 to {WIDEST}")));
    }
    Ok(())
}

fn check_positions(model: &'static str, pe_mode: &str) -> Result<()> {
    if pe_mode == "ape" {
        return Ok(());
    }
    // The published rotary table has more phases than a head has channel pairs: no checkpoint can exist.
    Err(Error::config(
        model,
        "pe_mode",
        pe_mode,
        "\"ape\" (no checkpoint uses another, and \"rope\" cannot run as published)",
    ))
}

fn hidden(channels: usize, ratio: f64) -> usize {
    (channels as f64 * ratio) as usize
}

fn check_ratio(model: &'static str, ratio: f64) -> Result<()> {
    if ratio > 0.0 && ratio <= 64.0 {
        return Ok(());
    }
    Err(Error::config(model, "mlp_ratio", ratio, "more than 0, at most 64"))
}

/// What the two flow transformers have in common.
#[derive(Clone, Debug, Deserialize)]
pub struct FlowConfig {
    /// Edge of the latent volume, or of the voxel grid.
    pub resolution: usize,
    /// Channels of the latent.
    pub in_channels: usize,
    /// Token width.
    pub model_channels: usize,
    /// Width of condition tokens.
    pub cond_channels: usize,
    /// Channels of the velocity.
    pub out_channels: usize,
    /// Transformer blocks.
    pub num_blocks: usize,
    /// Attention heads; absent: `model_channels / num_head_channels`.
    pub num_heads: Option<usize>,
    /// Width of a head when `num_heads` is absent.
    #[serde(default = "head_channels")]
    pub num_head_channels: usize,
    /// Hidden width of the perceptron over `model_channels`.
    #[serde(default = "mlp_ratio")]
    pub mlp_ratio: f64,
    /// Position embedding; only `"ape"` exists.
    #[serde(default = "ape")]
    pub pe_mode: String,
    /// One adaLN layer for all blocks.
    #[serde(default)]
    pub share_mod: bool,
    /// RMS norm on self-attention's queries and keys.
    #[serde(default)]
    pub qk_rms_norm: bool,
    /// RMS norm on cross-attention's queries and keys.
    #[serde(default)]
    pub qk_rms_norm_cross: bool,
}

impl FlowConfig {
    fn validate(&self, model: &'static str) -> Result<()> {
        check_heads(model, self.model_channels, self.heads())?;
        check_ratio(model, self.mlp_ratio)?;
        check_positions(model, &self.pe_mode)?;
        check_width(model, "in_channels", self.in_channels)?;
        check_width(model, "out_channels", self.out_channels)?;
        check_width(model, "cond_channels", self.cond_channels)
    }

    fn heads(&self) -> usize {
        self.num_heads.unwrap_or(self.model_channels / self.num_head_channels.max(1))
    }

    /// Widths of one of its blocks.
    pub(super) fn block(&self) -> BlockConfig {
        BlockConfig {
            channels: self.model_channels,
            cond_channels: self.cond_channels,
            heads: self.heads(),
            mlp_channels: hidden(self.model_channels, self.mlp_ratio),
            qk_rms_norm: self.qk_rms_norm,
            qk_rms_norm_cross: self.qk_rms_norm_cross,
        }
    }
}

/// `SparseStructureFlowModel`.
#[derive(Clone, Debug, Deserialize)]
pub struct StructureFlowConfig {
    /// Widths and blocks.
    #[serde(flatten)]
    pub flow: FlowConfig,
    /// Edge of a patch that becomes one token.
    pub patch_size: usize,
}

impl StructureFlowConfig {
    fn validate(&self) -> Result<()> {
        const MODEL: &str = "SparseStructureFlowModel";
        self.flow.validate(MODEL)?;
        let resolution = self.flow.resolution;
        if resolution == 0 || resolution > 256 {
            return Err(Error::config(MODEL, "resolution", resolution, "1 to 256"));
        }
        if self.patch_size == 0 || !resolution.is_multiple_of(self.patch_size) {
            let expected = format!("a divisor of resolution = {resolution}");
            return Err(Error::config(MODEL, "patch_size", self.patch_size, expected));
        }
        Ok(())
    }
}

/// `SparseStructureDecoder`.
#[derive(Clone, Debug, Deserialize)]
pub struct StructureDecoderConfig {
    /// Channels of the logits, 1 in every published network.
    pub out_channels: usize,
    /// Channels of the latent.
    pub latent_channels: usize,
    /// Residual blocks a level.
    pub num_res_blocks: usize,
    /// Width of each level, coarsest first.
    pub channels: Vec<usize>,
    /// Residual blocks before the first level.
    #[serde(default = "two")]
    pub num_res_blocks_middle: usize,
    /// Norm of the last layer; all blocks use channel layer norms whatever this says.
    #[serde(default = "layer")]
    pub norm_type: String,
}

fn two() -> usize {
    2
}

/// Channel groups of a group norm.
pub(super) const NORM_GROUPS: usize = 32;

fn check_levels(model: &'static str, channels: &[usize], last: usize, norm_type: &str) -> Result<()> {
    if channels.is_empty() {
        return Err(Error::config(model, "channels", "[]", "at least one width"));
    }
    for &width in channels {
        check_width(model, "channels", width)?;
    }
    match norm_type {
        "layer" => Ok(()),
        "group" if last.is_multiple_of(NORM_GROUPS) => Ok(()),
        _ => Err(Error::config(
            model,
            "norm_type",
            norm_type,
            "\"layer\", or \"group\" with a last width that 32 divides",
        )),
    }
}

impl StructureDecoderConfig {
    fn validate(&self) -> Result<()> {
        const MODEL: &str = "SparseStructureDecoder";
        check_levels(MODEL, &self.channels, self.channels.last().copied().unwrap_or(0), &self.norm_type)?;
        check_width(MODEL, "out_channels", self.out_channels)?;
        check_width(MODEL, "latent_channels", self.latent_channels)
    }
}

/// `SparseStructureEncoder`.
#[derive(Clone, Debug, Deserialize)]
pub struct StructureEncoderConfig {
    /// Channels of the occupancy volume, 1 in every published network.
    pub in_channels: usize,
    /// Channels of the latent.
    pub latent_channels: usize,
    /// Residual blocks a level.
    pub num_res_blocks: usize,
    /// Width of each level, finest first.
    pub channels: Vec<usize>,
    /// Residual blocks after the last level.
    #[serde(default = "two")]
    pub num_res_blocks_middle: usize,
    /// Norm of the last layer; all blocks use channel layer norms whatever this says.
    #[serde(default = "layer")]
    pub norm_type: String,
}

impl StructureEncoderConfig {
    fn validate(&self) -> Result<()> {
        const MODEL: &str = "SparseStructureEncoder";
        check_levels(MODEL, &self.channels, self.channels.last().copied().unwrap_or(0), &self.norm_type)?;
        check_width(MODEL, "in_channels", self.in_channels)?;
        check_width(MODEL, "latent_channels", self.latent_channels)
    }
}

/// `SLatFlowModel` (also spelt `ElasticSLatFlowModel`).
#[derive(Clone, Debug, Deserialize)]
pub struct LatentFlowConfig {
    /// Widths and blocks.
    #[serde(flatten)]
    pub flow: FlowConfig,
    /// How much coarser the transformer's voxels are, a power of two.
    #[serde(default = "two")]
    pub patch_size: usize,
    /// Residual blocks a level, the resampling one included.
    #[serde(default = "two")]
    pub num_io_res_blocks: usize,
    /// Width of each level above the transformer's, finest first.
    pub io_block_channels: Option<Vec<usize>>,
    /// Whether the output side sees the input side's features.
    #[serde(default = "yes")]
    pub use_skip_connection: bool,
}

impl LatentFlowConfig {
    fn validate(&self) -> Result<()> {
        const MODEL: &str = "SLatFlowModel";
        self.flow.validate(MODEL)?;
        for &width in self.levels() {
            check_width(MODEL, "io_block_channels", width)?;
        }
        if self.num_io_res_blocks == 0 {
            return Err(Error::config(MODEL, "num_io_res_blocks", 0, "at least 1, the resampling block"));
        }
        if !self.patch_size.is_power_of_two() || self.patch_size > 256 {
            return Err(Error::config(MODEL, "patch_size", self.patch_size, "a power of two up to 256"));
        }
        if self.io_block_channels.is_some() && self.levels().len() != self.patch_size.ilog2() as usize {
            return Err(Error::config(
                MODEL,
                "io_block_channels",
                format!("{:?}", self.levels()),
                format!("log2(patch_size) = {} widths", self.patch_size.ilog2()),
            ));
        }
        Ok(())
    }

    /// Width of each level above the transformer's, finest first.
    pub fn levels(&self) -> &[usize] {
        self.io_block_channels.as_deref().unwrap_or(&[])
    }
}

/// `SparseTransformerBase`: the trunk of all decoders and of the latent encoder.
#[derive(Clone, Debug, Deserialize)]
pub struct TrunkConfig {
    /// Edge of the voxel grid.
    pub resolution: usize,
    /// Token width.
    pub model_channels: usize,
    /// Transformer blocks.
    pub num_blocks: usize,
    /// Attention heads; absent: `model_channels / num_head_channels`.
    pub num_heads: Option<usize>,
    /// Width of a head when `num_heads` is absent.
    #[serde(default = "head_channels")]
    pub num_head_channels: usize,
    /// Hidden width of the perceptron over `model_channels`.
    #[serde(default = "mlp_ratio")]
    pub mlp_ratio: f64,
    /// `"swin"` (windows, shifted by half in odd blocks) or `"full"`.
    #[serde(default = "swin")]
    pub attn_mode: String,
    /// Edge of an attention window.
    #[serde(default = "window")]
    pub window_size: usize,
    /// Position embedding; only `"ape"` exists.
    #[serde(default = "ape")]
    pub pe_mode: String,
    /// RMS norm on queries and keys.
    #[serde(default)]
    pub qk_rms_norm: bool,
}

impl TrunkConfig {
    fn validate(&self) -> Result<()> {
        const MODEL: &str = "SparseTransformerBase";
        check_heads(MODEL, self.model_channels, self.heads())?;
        check_ratio(MODEL, self.mlp_ratio)?;
        check_positions(MODEL, &self.pe_mode)?;
        if self.resolution == 0 || self.resolution > 1024 {
            return Err(Error::config(MODEL, "resolution", self.resolution, "1 to 1024"));
        }
        if !matches!(self.attn_mode.as_str(), "swin" | "full") {
            return Err(Error::config(MODEL, "attn_mode", &self.attn_mode, "\"swin\" or \"full\""));
        }
        if !(1..=1024).contains(&self.window_size) {
            return Err(Error::config(MODEL, "window_size", self.window_size, "1 to 1024"));
        }
        Ok(())
    }

    /// Attention heads.
    pub fn heads(&self) -> usize {
        self.num_heads.unwrap_or(self.model_channels / self.num_head_channels.max(1))
    }

    /// Hidden width of the perceptron.
    pub fn mlp_channels(&self) -> usize {
        hidden(self.model_channels, self.mlp_ratio)
    }
}

/// `SLatGaussianDecoder`.
#[derive(Clone, Debug, Deserialize)]
pub struct GaussianDecoderConfig {
    /// The transformer.
    #[serde(flatten)]
    pub trunk: TrunkConfig,
    /// Channels of the latent.
    pub latent_channels: usize,
    /// How channels become Gaussians.
    pub representation_config: GaussianRepresentation,
}

/// How the Gaussian decoder's channels become Gaussians.
#[derive(Clone, Debug, Deserialize)]
pub struct GaussianRepresentation {
    /// Factors on each kind of channel.
    pub lr: GaussianFactors,
    /// Whether the stored offsets are added, so that a voxel's Gaussians start apart.
    #[serde(default)]
    pub perturb_offset: bool,
    /// How far a Gaussian may leave its voxel's centre, in voxels (edge of the reachable cube).
    pub voxel_size: f64,
    /// Gaussians a voxel.
    pub num_gaussians: usize,
    /// Smallest extent, world units.
    #[serde(rename = "3d_filter_kernel_size")]
    pub filter_kernel_size_3d: f64,
    /// Extent at a raw value of zero, world units.
    pub scaling_bias: f64,
    /// Opacity at a raw value of zero.
    pub opacity_bias: f64,
    /// What makes extents positive.
    pub scaling_activation: ScalingActivation,
}

/// What makes extents positive.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum ScalingActivation {
    /// `ln(1 + eˣ)`.
    Softplus,
    /// `eˣ`.
    Exp,
}

/// Factors on each kind of Gaussian channel.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct GaussianFactors {
    /// Position offsets.
    #[serde(rename = "_xyz")]
    pub xyz: f64,
    /// Colour.
    #[serde(rename = "_features_dc")]
    pub features_dc: f64,
    /// Opacity.
    #[serde(rename = "_opacity")]
    pub opacity: f64,
    /// Extents.
    #[serde(rename = "_scaling")]
    pub scaling: f64,
    /// Rotation.
    #[serde(rename = "_rotation")]
    pub rotation: f64,
}

impl GaussianDecoderConfig {
    fn validate(&self) -> Result<()> {
        const MODEL: &str = "SLatGaussianDecoder";
        self.trunk.validate()?;
        check_width(MODEL, "latent_channels", self.latent_channels)?;
        let representation = &self.representation_config;
        if !(1..=1024).contains(&representation.num_gaussians) {
            return Err(Error::config(MODEL, "num_gaussians", representation.num_gaussians, "1 to 1024"));
        }
        if !(representation.opacity_bias > 0.0 && representation.opacity_bias < 1.0) {
            return Err(Error::config(MODEL, "opacity_bias", representation.opacity_bias, "between 0 and 1"));
        }
        if representation.scaling_bias <= 0.0 {
            return Err(Error::config(MODEL, "scaling_bias", representation.scaling_bias, "more than 0"));
        }
        Ok(())
    }
}

/// `SLatMeshDecoder`.
#[derive(Clone, Debug, Deserialize)]
pub struct MeshDecoderConfig {
    /// The transformer.
    #[serde(flatten)]
    pub trunk: TrunkConfig,
    /// Channels of the latent.
    pub latent_channels: usize,
    /// How channels become a mesh.
    #[serde(default)]
    pub representation_config: MeshRepresentation,
}

/// How the mesh decoder's channels become a mesh.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub struct MeshRepresentation {
    /// Whether colours and normals are decoded.
    #[serde(default)]
    pub use_color: bool,
}

impl MeshDecoderConfig {
    fn validate(&self) -> Result<()> {
        const MODEL: &str = "SLatMeshDecoder";
        self.trunk.validate()?;
        check_width(MODEL, "latent_channels", self.latent_channels)?;
        // Two halvings by four and two, and 32 groups to normalise at each width.
        if !self.trunk.model_channels.is_multiple_of(256) {
            return Err(Error::config(MODEL, "model_channels", self.trunk.model_channels, "a multiple of 256"));
        }
        Ok(())
    }
}

/// `SLatRadianceFieldDecoder`.
#[derive(Clone, Debug, Deserialize)]
pub struct RadianceDecoderConfig {
    /// The transformer.
    #[serde(flatten)]
    pub trunk: TrunkConfig,
    /// Channels of the latent.
    pub latent_channels: usize,
    /// How channels become a radiance field.
    pub representation_config: RadianceRepresentation,
}

/// How the radiance-field decoder's channels become vectors.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct RadianceRepresentation {
    /// Products of three vectors a voxel.
    pub rank: usize,
    /// Samples along each vector.
    pub dim: usize,
}

impl RadianceDecoderConfig {
    fn validate(&self) -> Result<()> {
        const MODEL: &str = "SLatRadianceFieldDecoder";
        self.trunk.validate()?;
        check_width(MODEL, "latent_channels", self.latent_channels)?;
        check_width(MODEL, "rank", self.representation_config.rank)?;
        check_width(MODEL, "dim", self.representation_config.dim)
    }
}
