//! Sinusoidal embeddings of time and position.

use burn::tensor::{DType, Device, FloatDType, Int, Tensor, TensorData};
use maquette_kernels::{Activation, Linear, linear};

use crate::{Result, loading::Scope};

/// Width of the sinusoidal time embedding.
const TIME_CHANNELS: usize = 256;

/// Sinusoidal embedding of times, `[times, 256]`: cosines first, then sines, 128 frequencies `10000^(−i/128)`.
///
/// Frequencies and phases are rounded to f32 as the reference rounds them: at t = 1000 that alone moves the result by 5e-5, and
/// trained weights have seen it.
pub fn timestep_frequencies(times: &[f32], device: &Device) -> Tensor<2> {
    let half = TIME_CHANNELS / 2;
    let frequencies: Vec<f32> = (0..half).map(|i| ((-(10000f64.ln()) as f32 * i as f32) / half as f32).exp()).collect();
    let values: Vec<f32> = times
        .iter()
        .flat_map(|t| {
            let phase = |f: &f32| t * f;
            let cos = frequencies.iter().map(phase).map(f32::cos);
            let sin = frequencies.iter().map(phase).map(f32::sin);
            cos.chain(sin).collect::<Vec<_>>()
        })
        .collect();
    Tensor::from_data(TensorData::new(values, [times.len(), TIME_CHANNELS]), (device, DType::F32))
}

/// `t_embedder`: sinusoidal embedding, then `Linear → SiLU → Linear`, all f32.
#[derive(Clone, Debug)]
pub struct TimestepEmbedder {
    mlp_0: Linear,
    mlp_2: Linear,
}

impl TimestepEmbedder {
    /// Loads `mlp.0` and `mlp.2`.
    ///
    /// # Errors
    /// [`crate::Error::Weights`].
    pub fn load(scope: &Scope<'_>, channels: usize) -> Result<Self> {
        Ok(Self {
            mlp_0: scope.linear("mlp.0", TIME_CHANNELS, channels, FloatDType::F32)?,
            mlp_2: scope.linear("mlp.2", channels, channels, FloatDType::F32)?,
        })
    }

    /// Embeds times that are already multiplied by 1000: `[times, C]`, f32.
    pub fn forward(&self, times: &[f32]) -> Tensor<2> {
        let x = timestep_frequencies(times, &self.mlp_0.weight.device());
        linear(linear(x, &self.mlp_0, Activation::Silu), &self.mlp_2, Activation::None)
    }
}

/// Absolute position embedding of voxels, `[rows, channels]`, f32: per axis (x, y, z) the sines and then the cosines of
/// `coordinate · 10000^(−i/F)`, `F = ⌊⌊channels/3⌋/2⌋`, zeros up to `channels`. Coordinates are `[batch, x, y, z]` and not
/// negative.
pub fn position_embedding(coords: &[[i32; 4]], channels: usize, device: &Device) -> Tensor<2> {
    let count = channels / 3 / 2;
    let rows = coords.len();
    // Coordinates repeat, so sines are taken once per distinct value and gathered on the device.
    let values = coords.iter().flat_map(|c| &c[1..]).copied().max().unwrap_or(0).max(0) as usize + 1;
    let mut table = Vec::with_capacity(values * 2 * count);
    for value in 0..values {
        let phase = |i: usize| value as f32 * (1.0 / 10000f32.powf(i as f32 / count as f32));
        table.extend((0..count).map(|i| phase(i).sin()));
        table.extend((0..count).map(|i| phase(i).cos()));
    }
    let table = Tensor::<2>::from_data(TensorData::new(table, [values, 2 * count]), (device, DType::F32));
    let mut parts: Vec<Tensor<2>> = (1..4)
        .map(|axis| {
            let at: Vec<i32> = coords.iter().map(|c| c[axis]).collect();
            let at = Tensor::<1, Int>::from_data(TensorData::new(at, [rows]), (device, DType::I32));
            table.clone().select(0, at)
        })
        .collect();
    if channels > 6 * count {
        parts.push(Tensor::zeros([rows, channels - 6 * count], (device, DType::F32)));
    }
    Tensor::cat(parts, 1)
}
