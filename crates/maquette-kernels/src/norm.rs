//! Normalisations with their modulation fused. Statistics are f32 whatever the activations' dtype.

use burn::tensor::Tensor;

use crate::{
    RowGroups,
    linear::{in_f32, per_row},
};

fn normalised(x: Tensor<2>, eps: f64) -> Tensor<2> {
    let centred = x.clone() - x.mean_dim(1);
    let variance = (centred.clone() * centred.clone()).mean_dim(1);
    centred / (variance + eps).sqrt()
}

/// Layer norm over the last axis of `x [M, C]`; `affine` is f32 `(weight [C], bias [C])`.
pub fn layer_norm(x: Tensor<2>, affine: Option<(&Tensor<1>, &Tensor<1>)>, eps: f64) -> Tensor<2> {
    in_f32(x, |x| {
        let y = normalised(x, eps);
        match affine {
            Some((weight, bias)) => y * weight.clone().unsqueeze::<2>() + bias.clone().unsqueeze::<2>(),
            None => y,
        }
    })
}

/// `LN(x)·(1 + scale) + shift` without affine parameters; `scale`, `shift` are `[groups, C]`, one row per group of rows.
pub fn layer_norm_modulate(
    x: Tensor<2>,
    scale: &Tensor<2>,
    shift: &Tensor<2>,
    groups: &RowGroups,
    eps: f64,
) -> Tensor<2> {
    let y = layer_norm(x, None, eps);
    y * per_row(scale.clone() + 1.0, groups) + per_row(shift.clone(), groups)
}

/// RMS norm of every head vector as TRELLIS does it: L2-normalise (floor 1e-12), times `gamma [H, D]` (f32), times √D.
/// `x [M, H, D]`.
pub fn rms_norm_heads(x: Tensor<3>, gamma: &Tensor<2>) -> Tensor<3> {
    let scale = (x.dims()[2] as f64).sqrt();
    in_f32(x, |x| {
        let length = (x.clone() * x.clone()).sum_dim(2).sqrt().clamp_min(1e-12);
        x / length * gamma.clone().unsqueeze::<3>() * scale
    })
}
