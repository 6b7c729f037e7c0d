//! TRELLIS' networks, image to 3D.

mod config;
mod gaussian_decoder;
mod latent_encoder;
mod latent_flow;
mod latent_res_block;
mod mesh_decoder;
mod patches;
mod radiance_decoder;
mod structure_blocks;
mod structure_decoder;
mod structure_encoder;
mod structure_flow;
mod trunk;

pub use config::{
    FlowConfig, GaussianDecoderConfig, GaussianFactors, GaussianRepresentation, LatentFlowConfig, MeshDecoderConfig,
    MeshRepresentation, RadianceDecoderConfig, RadianceRepresentation, ScalingActivation, StructureDecoderConfig,
    StructureEncoderConfig, StructureFlowConfig, TrunkConfig,
};
pub use gaussian_decoder::{GaussianDecoder, Gaussians};
pub use latent_encoder::{LatentDistribution, LatentEncoder};
pub use latent_flow::{LatentField, LatentFlow, LatentSites, LatentStage};
pub use latent_res_block::{Resample, SparseResBlock};
pub use mesh_decoder::{MeshDecoder, MeshFeatures, MeshStage, SubdivideBlock};
pub use patches::{patchify, unpatchify};
pub use radiance_decoder::{RadianceDecoder, RadianceField};
pub use structure_blocks::{DownsampleBlock, ResBlock, UpsampleBlock};
pub use structure_decoder::{StructureDecoder, occupied_voxels};
pub use structure_encoder::{StructureDistribution, StructureEncoder};
pub use structure_flow::{FlowMoment, StructureFlow};
pub use trunk::{TransformerBlock, Trunk};

use burn::tensor::Tensor;
use maquette_kernels::RowGroups;

use crate::{Error, Result, nn::CrossContext};

/// A condition made ready for one flow network: the context of each block's cross-attention.
#[derive(Clone, Debug)]
pub struct PreparedCondition {
    pub(crate) contexts: Vec<CrossContext>,
}

/// Rows and groups of condition tokens `[B, L, C]`.
fn condition_rows(model: &'static str, cond: Tensor<3>, channels: usize) -> Result<(Tensor<2>, RowGroups)> {
    let [batch, tokens, width] = cond.dims();
    if width != channels || batch == 0 || tokens == 0 {
        return Err(Error::Input {
            model,
            input: "cond",
            found: vec![batch, tokens, width],
            expected: format!("[batch, tokens, {channels}]"),
        });
    }
    Ok((cond.reshape([batch * tokens, width]), RowGroups::uniform(batch, tokens)))
}
