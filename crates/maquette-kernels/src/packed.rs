//! Linear layers whose weights stay packed in memory, as 8-bit or 4-bit integers with f16 scales.

use burn::tensor::{DType, Device, FloatDType, Int, Tensor, TensorData};
use maquette_gpu::{Tier, capabilities_of};

use crate::linear::{in_heads, linear, linear_residual};
use crate::{Activation, Linear, RowGroups, wgsl};

/// How weights are packed; both forms are symmetric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// One i8 a weight, one scale a row.
    Int8,
    /// One nibble a weight, holding the level plus 8, the even column in the low nibble; this many columns of a row share a
    /// scale, the last ones of a row may be fewer.
    Int4 {
        /// Columns that share a scale, a multiple of 4.
        group: usize,
    },
}

/// Weights of a linear layer in packed form.
#[derive(Clone, Debug)]
pub struct PackedLinear {
    /// Packed `[out, in]` weights, row by row, as little-endian 32-bit words; zeros fill the last word.
    pub words: Tensor<1, Int>,
    /// f16 scales, row by row, two in a 32-bit word, the first in the low half.
    pub scales: Tensor<1, Int>,
    /// The form of `words`.
    pub packing: Packing,
    /// `[out]`.
    pub bias: Option<Tensor<1>>,
    /// Input width, even for 4-bit weights.
    pub inputs: usize,
    /// Output width.
    pub outputs: usize,
}

impl PackedLinear {
    /// A layer from packed bytes: `data` row by row, `scales` as little-endian f16, both as checkpoints store them.
    pub fn from_bytes(
        data: &[u8],
        scales: &[u8],
        packing: Packing,
        bias: Option<Tensor<1>>,
        [outputs, inputs]: [usize; 2],
        device: &Device,
    ) -> Self {
        let words = |bytes: &[u8]| {
            let words: Vec<i32> = bytes
                .chunks(4)
                .map(|chunk| {
                    let mut word = [0; 4];
                    word[..chunk.len()].copy_from_slice(chunk);
                    i32::from_le_bytes(word)
                })
                .collect();
            let count = words.len();
            Tensor::from_data(TensorData::new(words, [count]), (device, DType::I32))
        };
        Self { words: words(data), scales: words(scales), packing, bias, inputs, outputs }
    }

    /// Whether packed weights of that size are multiplied as they are on a device. Where they are not, they would be unpacked at
    /// every use: better once, when they are loaded.
    pub fn stays_packed(device: &Device, [outputs, inputs]: [usize; 2]) -> bool {
        let multiples = |n: usize| n > 0 && n.is_multiple_of(4);
        capabilities_of(device).tier > Tier::Cpu && multiples(inputs) && multiples(outputs)
    }

    /// The layer with plain weights, f32.
    pub fn unpacked(&self) -> Linear {
        let bits = match self.packing {
            Packing::Int8 => 8,
            Packing::Int4 { .. } => 4,
        };
        let levels = fields(&self.words, bits).narrow(0, 0, self.outputs * self.inputs).float();
        let levels = match self.packing {
            // Two's complement: the upper half of the range is negative.
            Packing::Int8 => levels.clone() - levels.greater_elem(127.0).float() * 256.0,
            Packing::Int4 { .. } => levels - 8.0,
        };
        let levels = levels.cast(FloatDType::F32).reshape([self.outputs, self.inputs]);
        let group = match self.packing {
            Packing::Int8 => self.inputs.max(1),
            Packing::Int4 { group } => group,
        };
        let shares = self.inputs.div_ceil(group);
        let scales = halves(fields(&self.scales, 16)).narrow(0, 0, self.outputs * shares);
        let scales = scales.reshape([self.outputs, shares, 1]).expand([self.outputs, shares, group]);
        let scales = scales.reshape([self.outputs, shares * group]).slice([0..self.outputs, 0..self.inputs]);
        Linear { weight: levels * scales, bias: self.bias.clone() }
    }
}

/// The fields of `bits` bits of every word, lowest first.
fn fields(words: &Tensor<1, Int>, bits: usize) -> Tensor<1, Int> {
    let count = words.dims()[0];
    let mask = (1i64 << bits) - 1;
    let words = words.clone().cast(DType::I32);
    let parts =
        (0..32 / bits).map(|i| words.clone().bitwise_right_shift_scalar((i * bits) as i64).bitwise_and_scalar(mask));
    Tensor::stack::<2>(parts.collect(), 1).reshape([count * 32 / bits])
}

/// The values of f16 bit patterns. Scales are positive, so neither signs nor infinities occur.
fn halves(bits: Tensor<1, Int>) -> Tensor<1> {
    let exponent = bits.clone().bitwise_right_shift_scalar(10).float().cast(FloatDType::F32);
    let mantissa = bits.bitwise_and_scalar(1023).float().cast(FloatDType::F32);
    let normal = exponent.clone().greater_elem(0.0).float().cast(FloatDType::F32);
    let power = (exponent.clamp_min(1.0) - 25.0) * std::f64::consts::LN_2;
    (mantissa + normal * 1024.0) * power.exp()
}

/// [`linear`](crate::linear()) with packed weights: `x [M, in]` → `[M, out]`.
pub fn linear_packed(x: Tensor<2>, layer: &PackedLinear, act: Activation) -> Tensor<2> {
    match wgsl::linear(&x, layer, act) {
        Some(y) => y,
        None => linear(x, &layer.unpacked(), act),
    }
}

/// [`linear_residual`] with packed weights: `residual + gate · (x·Wᵀ + b)`.
pub fn linear_packed_residual(
    x: Tensor<2>,
    layer: &PackedLinear,
    residual: Tensor<2>,
    gate: Option<(&Tensor<2>, &RowGroups)>,
) -> Tensor<2> {
    match wgsl::linear_residual(&x, layer, &residual, gate) {
        Some(y) => y,
        None => linear_residual(x, &layer.unpacked(), residual, gate),
    }
}

/// [`linear_heads`](crate::linear_heads) with packed weights.
pub fn linear_packed_heads<const P: usize>(
    x: Tensor<2>,
    layer: &PackedLinear,
    heads: usize,
    gammas: Option<&Tensor<3>>,
) -> [Tensor<3>; P] {
    in_heads(x, layer, heads, gammas, linear_packed)
}
