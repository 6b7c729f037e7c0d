//! `SparseStructureDecoder`: latent volume → occupancy logits.

use burn::tensor::{FloatDType, Tensor};
use maquette_kernels::{Conv3, Grid, Voxels, conv3_dense, rows_to_volume, volume_to_rows};
use maquette_weights::TensorSource;

use super::{
    StructureDecoderConfig,
    structure_blocks::{OutNorm, ResBlock, UpsampleBlock},
};
use crate::{Error, Precision, Result, loading::Loading};

const MODEL: &str = "SparseStructureDecoder";

/// The structure decoder.
#[derive(Debug)]
pub struct StructureDecoder {
    config: StructureDecoderConfig,
    input_layer: Conv3,
    middle_block: Vec<ResBlock>,
    blocks: Vec<Block>,
    out_norm: OutNorm,
    out_layer: Conv3,
    torso: FloatDType,
}

#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "one a block: a dozen exist")]
enum Block {
    Residual(ResBlock),
    Upsample(UpsampleBlock),
}

impl StructureDecoder {
    /// Builds the network from its description and weights.
    ///
    /// # Errors
    /// [`Error::Weights`], [`Error::UnexpectedTensors`].
    pub fn load(
        config: StructureDecoderConfig,
        source: &dyn TensorSource,
        device: &burn::tensor::Device,
        precision: Precision,
    ) -> Result<Self> {
        let loading = Loading::new(MODEL, source, device, precision);
        let scope = loading.root();
        let widths = &config.channels;
        let (first, last) = (widths[0], widths[widths.len() - 1]);
        let middle_block = (0..config.num_res_blocks_middle)
            .map(|i| ResBlock::load(&scope.at("middle_block").at(i), first))
            .collect::<Result<_>>()?;
        let mut blocks = Vec::new();
        for (level, &width) in widths.iter().enumerate() {
            for _ in 0..config.num_res_blocks {
                blocks.push(Block::Residual(ResBlock::load(&scope.at("blocks").at(blocks.len()), width)?));
            }
            if let Some(&next) = widths.get(level + 1) {
                blocks.push(Block::Upsample(UpsampleBlock::load(&scope.at("blocks").at(blocks.len()), width, next)?));
            }
        }
        let network = Self {
            input_layer: scope.conv3_dense("input_layer", config.latent_channels, first, FloatDType::F32)?,
            middle_block,
            blocks,
            out_norm: OutNorm::load(&scope, last, &config.norm_type)?,
            out_layer: scope.conv3_dense("out_layer.2", last, config.out_channels, FloatDType::F32)?,
            torso: precision.dtype(),
            config,
        };
        loading.finish(&[])?;
        Ok(network)
    }

    /// Its description.
    pub fn config(&self) -> &StructureDecoderConfig {
        &self.config
    }

    /// Logits of a latent `z [B, latent_channels, X, Y, Z]`, f32 → `[B, out_channels, s·X, s·Y, s·Z]`, f32, `s` = 2 per
    /// upsampling.
    ///
    /// # Errors
    /// [`Error::Input`] for another channel count.
    pub fn forward(&self, z: Tensor<5>) -> Result<Tensor<5>> {
        self.forward_watched(z, |_, _| {})
    }

    /// As [`StructureDecoder::forward`]; `watch` sees the rows after the middle blocks (first call) and after each level.
    ///
    /// # Errors
    /// [`Error::Input`] for another channel count.
    pub fn forward_watched(&self, z: Tensor<5>, mut watch: impl FnMut(&Tensor<2>, Grid)) -> Result<Tensor<5>> {
        let dims = z.dims();
        if dims[1] != self.config.latent_channels || dims.contains(&0) {
            let expected = format!("[batch, {}, x, y, z]", self.config.latent_channels);
            return Err(Error::Input { model: MODEL, input: "z", found: dims.to_vec(), expected });
        }
        let (z, mut grid) = volume_to_rows(z);
        let mut h = conv3_dense(z, &self.input_layer, grid).cast(self.torso);
        for block in &self.middle_block {
            h = block.forward(h, grid);
        }
        watch(&h, grid);
        for block in &self.blocks {
            match block {
                Block::Residual(block) => h = block.forward(h, grid),
                Block::Upsample(block) => {
                    (h, grid) = block.forward(h, grid);
                    watch(&h, grid);
                }
            }
        }
        let h = self.out_norm.forward_silu(h.cast(FloatDType::F32), grid);
        Ok(rows_to_volume(conv3_dense(h, &self.out_layer, grid), grid))
    }
}

/// The voxels whose logit is above zero, `logits [B, 1, X, Y, Z]`, in lexicographic order of (batch, x, y, z). This is the one
/// place where the pipeline has to wait for the device.
///
/// # Errors
/// [`Error::EmptyStructure`] when a batch item has none, [`Error::Input`] for more than one channel, [`Error::ReadBack`].
pub async fn occupied_voxels(logits: Tensor<5>) -> Result<Voxels> {
    let [batch, channels, nx, ny, nz] = logits.dims();
    if channels != 1 {
        let expected = "[batch, 1, x, y, z]".to_owned();
        return Err(Error::Input { model: MODEL, input: "logits", found: logits.dims().to_vec(), expected });
    }
    let data = logits.cast(FloatDType::F32).into_data_async().await.map_err(|e| Error::ReadBack(e.to_string()))?;
    let values = data.try_into_vec::<f32>().map_err(|e| Error::ReadBack(e.to_string()))?;
    let occupied: Vec<bool> = values.iter().map(|v| *v > 0.0).collect();
    let voxels = Voxels::from_occupancy(&occupied, [batch, nx, ny, nz])?;
    if (0..batch).any(|b| voxels.batches().range(b).is_empty()) {
        return Err(Error::EmptyStructure);
    }
    Ok(voxels)
}
