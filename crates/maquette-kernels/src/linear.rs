//! Linear layers with the epilogues that the networks need.

use burn::tensor::{FloatDType, Tensor, activation};

use crate::{RowGroups, rms_norm_heads, rows::contiguous, wgsl};

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

/// The outputs of a layer as `P` parts of `heads` heads each (queries, keys and values; keys and values; queries alone):
/// `x [M, in]` → `[M, heads, D]`, `P` times. With `gammas [G, heads, D]` (f32) the first `G` parts are RMS-normalised per head
/// ([`rms_norm_heads`]), before they are rounded where kernels fuse it. The layer's outputs must be a multiple of `P · heads`.
pub fn linear_heads<const P: usize>(
    x: Tensor<2>,
    layer: &Linear,
    heads: usize,
    gammas: Option<&Tensor<3>>,
) -> [Tensor<3>; P] {
    in_heads(x, layer, heads, gammas, linear)
}

/// [`linear_heads`] of weights of any form; `whole` is their layer.
pub(crate) fn in_heads<const P: usize, L: wgsl::Weights>(
    x: Tensor<2>,
    layer: &L,
    heads: usize,
    gammas: Option<&Tensor<3>>,
    whole: fn(Tensor<2>, &L, Activation) -> Tensor<2>,
) -> [Tensor<3>; P] {
    match (wgsl::linear_heads(&x, layer, heads, gammas), gammas) {
        (Some(parts), _) => parts,
        // Heads that lie across tiles are normalised afterwards.
        (None, Some(gammas)) => normed(in_heads(x, layer, heads, None, whole), gammas),
        (None, None) => parts_of(whole(x, layer, Activation::None), heads),
    }
}

/// The columns of `y` as parts of `heads` heads each, in memory of their own as kernels read them: what is used often is then
/// copied once.
fn parts_of<const P: usize>(y: Tensor<2>, heads: usize) -> [Tensor<3>; P] {
    let [rows, columns] = y.dims();
    let width = columns / P;
    std::array::from_fn(|part| {
        contiguous(y.clone().slice([0..rows, part * width..(part + 1) * width]).reshape([rows, heads, width / heads]))
    })
}

/// The first parts, as many as there are `gammas`, normalised per head.
fn normed<const P: usize>(parts: [Tensor<3>; P], gammas: &Tensor<3>) -> [Tensor<3>; P] {
    let [count, heads, dim] = gammas.dims();
    let mut place = 0..;
    parts.map(|part| match place.next().filter(|place| *place < count) {
        Some(place) => rms_norm_heads(part, &gammas.clone().slice(place..place + 1).reshape([heads, dim])),
        None => part,
    })
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
