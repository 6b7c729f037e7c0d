//! The whole network.

use burn::tensor::{DType, Device, FloatDType, Tensor, TensorData, activation};
use maquette_weights::TensorSource;

use super::blocks::{Conv, Reach, ResidualU, halved, resized_like};
use crate::loading::Loading;
use crate::{Error, Precision, Result};

pub(super) const MODEL: &str = "U²-Net";

/// Encoder stages: levels and reach, from the finest.
const ENCODER: [(usize, Reach); 6] = [
    (7, Reach::Pooling),
    (6, Reach::Pooling),
    (5, Reach::Pooling),
    (4, Reach::Pooling),
    (4, Reach::Dilation),
    (4, Reach::Dilation),
];

/// U²-Net or U²-Netp, whichever the weights are. Always f32.
#[derive(Debug)]
pub struct U2Net {
    /// `stage1` … `stage6`.
    encoder: Vec<ResidualU>,
    /// `stage1d` … `stage5d`.
    decoder: Vec<ResidualU>,
    /// `side1` … `side6`.
    sides: Vec<Conv>,
    outconv: Conv,
}

impl U2Net {
    /// Builds the network from its weights.
    ///
    /// # Errors
    /// [`Error::Weights`], [`Error::Config`] when a size cannot be read, [`Error::UnexpectedTensors`].
    pub fn load(source: &dyn TensorSource, device: &Device) -> Result<Self> {
        let loading = Loading::new(MODEL, source, device, Precision::F32);
        let scope = loading.root();
        let mut encoder: Vec<ResidualU> = Vec::with_capacity(6);
        for (k, (levels, reach)) in ENCODER.into_iter().enumerate() {
            let inputs = encoder.last().map_or(3, ResidualU::outputs);
            encoder.push(ResidualU::load(&scope.at(format!("stage{}", k + 1)), inputs, levels, reach)?);
        }
        let mut decoder: Vec<ResidualU> = Vec::with_capacity(5);
        for (k, (levels, reach)) in ENCODER.into_iter().enumerate().take(5).rev() {
            let below = decoder.last().unwrap_or(&encoder[5]).outputs();
            let inputs = below + encoder[k].outputs();
            decoder.push(ResidualU::load(&scope.at(format!("stage{}d", k + 1)), inputs, levels, reach)?);
        }
        decoder.reverse();
        let sides = decoder
            .iter()
            .chain(encoder.last())
            .enumerate()
            .map(|(k, stage)| Conv::load(&scope, &format!("side{}", k + 1), stage.outputs(), 1, 3))
            .collect::<Result<_>>()?;
        let outconv = Conv::load(&scope, "outconv", 6, 1, 1)?;
        // Training counters of the batch norms; nothing that inference needs.
        let counters: Vec<String> =
            source.names().into_iter().filter(|n| n.ends_with(".num_batches_tracked")).map(str::to_owned).collect();
        loading.finish(&counters.iter().map(String::as_str).collect::<Vec<_>>())?;
        Ok(Self { encoder, decoder, sides, outconv })
    }

    /// Probability that a pixel belongs to the subject: `pictures [B, 3, H, W]`, normalised (H and W at least 32, usually
    /// 320) → `[B, 1, H, W]` in (0, 1). This is the first output of the exported networks.
    ///
    /// # Errors
    /// [`Error::Input`] for another shape.
    pub fn forward(&self, pictures: Tensor<4>) -> Result<Tensor<4>> {
        let dims = pictures.dims();
        if dims[0] == 0 || dims[1] != 3 || dims[2] < 32 || dims[3] < 32 {
            let expected = "[batch, 3, height, width], at least 32 pixels a side".to_owned();
            return Err(Error::Input { model: MODEL, input: "pictures", found: dims.to_vec(), expected });
        }
        let mut h = pictures.cast(FloatDType::F32);
        let mut stages: Vec<Tensor<4>> = Vec::with_capacity(6);
        for (k, stage) in self.encoder.iter().enumerate() {
            if k > 0 {
                h = halved(h);
            }
            h = stage.forward(h);
            stages.push(h.clone());
        }
        let mut maps = vec![self.sides[5].forward(h.clone())];
        for ((stage, skip), side) in self.decoder.iter().zip(&stages).zip(&self.sides).rev() {
            h = stage.forward(Tensor::cat(vec![resized_like(h, skip), skip.clone()], 1));
            maps.push(side.forward(h.clone()));
        }
        maps.reverse();
        let finest = maps[0].clone();
        let maps = maps.into_iter().map(|map| resized_like(map, &finest)).collect();
        Ok(activation::sigmoid(self.outconv.forward(Tensor::cat(maps, 1))))
    }
}

/// `[1, 3, side, side]`, f32, from normalised planes.
///
/// # Errors
/// [`Error::Input`] when the length does not fit.
pub fn matting_tensor(planes: Vec<f32>, side: usize, device: &Device) -> Result<Tensor<4>> {
    if side.checked_mul(side).and_then(|n| n.checked_mul(3)) != Some(planes.len()) {
        let expected = format!("3·{side}·{side} values");
        return Err(Error::Input { model: MODEL, input: "picture", found: vec![planes.len()], expected });
    }
    Ok(Tensor::from_data(TensorData::new(planes, [1, 3, side, side]), (device, DType::F32)))
}
