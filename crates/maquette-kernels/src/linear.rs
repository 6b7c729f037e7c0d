//! Linear layers with the epilogues that the networks need.

use burn::tensor::{FloatDType, Tensor, activation};

use crate::{RowGroups, rms_norm_heads, wgsl};

/// What happens to a linear layer's result before it is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    #[default]
    None,
    /// `0.5 x (1 + tanh(√(2/π)(x + 0.044715 x³)))`, TRELLIS' MLP.
    GeluTanh,
    /// `0.5 x (1 + erf(x/√2))`, DINOv2's MLP.
    GeluErf,
    /// `x · sigmoid(x)`.
    Silu,
}

/// Weights of a linear layer: `y = x·Wᵀ + b`.
#[derive(Clone, Debug)]
pub struct Linear {
    /// `[out, in]`, as the checkpoint stores it.
    pub weight: Tensor<2>,
    /// `[out]`.
    pub bias: Option<Tensor<1>>,
}

impl Linear {
    /// Input width.
    pub fn inputs(&self) -> usize {
        self.weight.dims()[1]
    }

    /// Output width.
    pub fn outputs(&self) -> usize {
        self.weight.dims()[0]
    }
}

/// `activation(x·Wᵀ + b)`: `x [M, in]` → `[M, out]`, in `x`'s dtype.
pub fn linear(x: Tensor<2>, layer: &Linear, act: Activation) -> Tensor<2> {
    if let Some(y) = wgsl::linear(&x, layer, act) {
        return y;
    }
    in_f32(x, |x| {
        let y = x.matmul(layer.weight.clone().cast(FloatDType::F32).transpose());
        let y = match &layer.bias {
            Some(bias) => y + bias.clone().cast(FloatDType::F32).unsqueeze::<2>(),
            None => y,
        };
        activate(y, act)
    })
}

/// The activation alone, element by element, computed in f32.
pub fn activate(x: Tensor<2>, act: Activation) -> Tensor<2> {
    // Device back ends refuse some operations on nothing.
    if act == Activation::None || x.dims().contains(&0) {
        return x;
    }
    if let Some(y) = wgsl::activate(&x, act) {
        return y;
    }
    in_f32(x, |x| match act {
        Activation::None => x,
        Activation::GeluTanh => {
            let cubic = x.clone() * x.clone() * x.clone() * 0.044715 + x.clone();
            (cubic * (2.0 / std::f64::consts::PI).sqrt()).tanh().add_scalar(1.0) * x * 0.5
        }
        Activation::GeluErf => activation::gelu(x),
        Activation::Silu => activation::silu(x),
    })
}

/// `residual + gate · (x·Wᵀ + b)`; `gate [groups, out]` holds one row per group of `groups`, `None` means 1.
pub fn linear_residual(
    x: Tensor<2>,
    layer: &Linear,
    residual: Tensor<2>,
    gate: Option<(&Tensor<2>, &RowGroups)>,
) -> Tensor<2> {
    if let Some(y) = wgsl::linear_residual(&x, layer, &residual, gate) {
        return y;
    }
    in_f32(residual, |residual| {
        let y = linear(x.cast(FloatDType::F32), layer, Activation::None);
        match gate {
            Some((gate, groups)) => residual + y * per_row(gate.clone().cast(FloatDType::F32), groups),
            None => residual + y,
        }
    })
}

/// Queries, keys and values of one fused layer: the outputs are three thirds of `heads` heads each, `x [M, in]` →
/// `[M, heads, D]` three times. With `gammas` (`[heads, D]`, f32) queries and keys are then RMS-normalised per head
/// ([`rms_norm_heads`]). The layer's outputs must be a multiple of `3 · heads`.
pub fn linear_qkv(
    x: Tensor<2>,
    layer: &Linear,
    heads: usize,
    gammas: Option<(&Tensor<2>, &Tensor<2>)>,
) -> [Tensor<3>; 3] {
    let [q, k, v] = wgsl::linear_qkv(&x, layer, heads).unwrap_or_else(|| {
        let (rows, third) = (x.dims()[0], layer.outputs() / 3);
        let y = linear(x, layer, Activation::None);
        [0, 1, 2].map(|part| {
            y.clone().slice([0..rows, part * third..(part + 1) * third]).reshape([rows, heads, third / heads])
        })
    });
    match gammas {
        Some((of_q, of_k)) => [rms_norm_heads(q, of_q), rms_norm_heads(k, of_k), v],
        None => [q, k, v],
    }
}

/// Expands one row per group, `[groups, C]`, to something that broadcasts over `[rows, C]`.
pub(crate) fn per_row(x: Tensor<2>, groups: &RowGroups) -> Tensor<2> {
    if groups.len() == 1 {
        return x;
    }
    let channels = x.dims()[1];
    let parts = (0..groups.len())
        .filter(|g| !groups.range(*g).is_empty())
        .map(|g| x.clone().slice([g..g + 1, 0..channels]).expand([groups.range(g).len(), channels]))
        .collect();
    Tensor::cat(parts, 0)
}

/// Computes `f` in f32 and rounds the result to `x`'s dtype.
pub(crate) fn in_f32<const D: usize>(x: Tensor<D>, f: impl FnOnce(Tensor<D>) -> Tensor<D>) -> Tensor<D> {
    let dtype: FloatDType = x.dtype().into();
    match dtype {
        FloatDType::F32 => f(x),
        _ => f(x.cast(FloatDType::F32)).cast(dtype),
    }
}
