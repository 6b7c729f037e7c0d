//! `SparseStructureEncoder`: occupancy volume → latent distribution.

use burn::tensor::{FloatDType, Tensor};
use maquette_kernels::{Conv3, conv3_dense, rows_to_volume, volume_to_rows};
use maquette_weights::TensorSource;

use super::{
    StructureEncoderConfig,
    structure_blocks::{DownsampleBlock, OutNorm, ResBlock},
};
use crate::{Error, Precision, Result, loading::Loading};

const MODEL: &str = "SparseStructureEncoder";

/// The structure encoder.
#[derive(Debug)]
pub struct StructureEncoder {
    config: StructureEncoderConfig,
    input_layer: Conv3,
    blocks: Vec<Block>,
    middle_block: Vec<ResBlock>,
    out_norm: OutNorm,
    out_layer: Conv3,
    torso: FloatDType,
}

#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "one a block: a dozen exist")]
enum Block {
    Residual(ResBlock),
    Downsample(DownsampleBlock),
}

/// A Gaussian over latents. The mean is the deterministic encoding.
#[derive(Clone, Debug)]
pub struct StructureDistribution {
    /// `[B, latent_channels, x, y, z]`.
    pub mean: Tensor<5>,
    /// Logarithm of the variance, the same shape.
    pub logvar: Tensor<5>,
}

impl StructureDistribution {
    /// A sample, `mean + e^(logvar/2)·noise`, for standard normal noise of the mean's shape.
    pub fn sample(&self, noise: Tensor<5>) -> Tensor<5> {
        self.mean.clone() + (self.logvar.clone() * 0.5).exp() * noise
    }
}

impl StructureEncoder {
    /// Builds the network from its description and weights.
    ///
    /// # Errors
    /// [`Error::Weights`], [`Error::UnexpectedTensors`].
    pub fn load(
        config: StructureEncoderConfig,
        source: &dyn TensorSource,
        device: &burn::tensor::Device,
        precision: Precision,
    ) -> Result<Self> {
        let loading = Loading::new(MODEL, source, device, precision);
        let scope = loading.root();
        let widths = &config.channels;
        let (first, last) = (widths[0], widths[widths.len() - 1]);
        let mut blocks = Vec::new();
        for (level, &width) in widths.iter().enumerate() {
            for _ in 0..config.num_res_blocks {
                blocks.push(Block::Residual(ResBlock::load(&scope.at("blocks").at(blocks.len()), width)?));
            }
            if let Some(&next) = widths.get(level + 1) {
                let block = DownsampleBlock::load(&scope.at("blocks").at(blocks.len()), width, next)?;
                blocks.push(Block::Downsample(block));
            }
        }
        let middle_block = (0..config.num_res_blocks_middle)
            .map(|i| ResBlock::load(&scope.at("middle_block").at(i), last))
            .collect::<Result<_>>()?;
        let network = Self {
            input_layer: scope.conv3_dense("input_layer", config.in_channels, first, FloatDType::F32)?,
            blocks,
            middle_block,
            out_norm: OutNorm::load(&scope, last, &config.norm_type)?,
            out_layer: scope.conv3_dense("out_layer.2", last, 2 * config.latent_channels, FloatDType::F32)?,
            torso: precision.dtype(),
            config,
        };
        loading.finish(&[])?;
        Ok(network)
    }

    /// The distribution over latents of an occupancy volume `[B, in_channels, X, Y, Z]`, f32 (0 or 1); every edge must be a
    /// multiple of 2 per downsampling.
    ///
    /// # Errors
    /// [`Error::Input`] for another shape.
    pub fn forward(&self, occupancy: Tensor<5>) -> Result<StructureDistribution> {
        let dims = occupancy.dims();
        let multiple = 1usize << (self.config.channels.len() - 1);
        if dims[1] != self.config.in_channels
            || dims.contains(&0)
            || dims[2..].iter().any(|d| !d.is_multiple_of(multiple))
        {
            let expected = format!("[batch, {}, x, y, z] with edges that {multiple} divides", self.config.in_channels);
            return Err(Error::Input { model: MODEL, input: "occupancy", found: dims.to_vec(), expected });
        }
        let (x, mut grid) = volume_to_rows(occupancy);
        let mut h = conv3_dense(x, &self.input_layer, grid).cast(self.torso);
        for block in &self.blocks {
            match block {
                Block::Residual(block) => h = block.forward(h, grid),
                Block::Downsample(block) => (h, grid) = block.forward(h, grid),
            }
        }
        for block in &self.middle_block {
            h = block.forward(h, grid);
        }
        let h = self.out_norm.forward_silu(h.cast(FloatDType::F32), grid);
        let h = rows_to_volume(conv3_dense(h, &self.out_layer, grid), grid);
        let [batch, channels, nx, ny, nz] = h.dims();
        let half = |start: usize| h.clone().slice([0..batch, start..start + channels / 2, 0..nx, 0..ny, 0..nz]);
        Ok(StructureDistribution { mean: half(0), logvar: half(channels / 2) })
    }
}
