//! Normalisations with their modulation fused. Statistics are f32 whatever the activations' dtype.

use burn::tensor::{FloatDType, Tensor};

use crate::{
    RowGroups,
    linear::{in_f32, per_row},
    wgsl,
};

fn normalised(x: Tensor<2>, eps: f64) -> Tensor<2> {
    let centred = x.clone() - x.mean_dim(1);
    let variance = (centred.clone() * centred.clone()).mean_dim(1);
    centred / (variance + eps).sqrt()
}

/// Layer norm over the last axis of `x [M, C]`; `affine` is f32 `(weight [C], bias [C])`.
pub fn layer_norm(x: Tensor<2>, affine: Option<(&Tensor<1>, &Tensor<1>)>, eps: f64) -> Tensor<2> {
    if let Some(y) = wgsl::layer_norm(&x, affine, eps) {
        return y;
    }
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
    if let Some(y) = wgsl::layer_norm_modulate(&x, scale, shift, groups, eps) {
        return y;
    }
    in_f32(x, |x| {
        let (scale, shift) = (scale.clone().cast(FloatDType::F32), shift.clone().cast(FloatDType::F32));
        normalised(x, eps) * per_row(scale + 1.0, groups) + per_row(shift, groups)
    })
}

/// RMS norm of every head vector as TRELLIS does it: L2-normalise (floor 1e-12), times `gamma [H, D]` (f32), times √D.
/// `x [M, H, D]`.
pub fn rms_norm_heads(x: Tensor<3>, gamma: &Tensor<2>) -> Tensor<3> {
    if let Some(y) = wgsl::rms_norm_heads(&x, gamma) {
        return y;
    }
    let scale = (x.dims()[2] as f64).sqrt();
    in_f32(x, |x| {
        let length = (x.clone() * x.clone()).sum_dim(2).sqrt().clamp_min(1e-12);
        x / length * gamma.clone().unsqueeze::<3>() * scale
    })
}

/// Softmax over the last axis of `x [M, C]`.
pub fn softmax(x: Tensor<2>) -> Tensor<2> {
    if let Some(y) = wgsl::softmax(&x) {
        return y;
    }
    in_f32(x, |x| burn::tensor::activation::softmax(x, 1))
}

/// Group norm of voxel features `x [M, C]`: `groups` channel groups, statistics per batch item over (its rows × the group's
/// channels), biased variance, f32 `(weight [C], bias [C])`. `C` must be a multiple of `groups`.
pub fn group_norm(
    x: Tensor<2>,
    batches: &RowGroups,
    groups: usize,
    affine: (&Tensor<1>, &Tensor<1>),
    eps: f64,
) -> Tensor<2> {
    if let Some(y) = wgsl::group_norm(&x, batches, groups, affine, eps) {
        return y;
    }
    let channels = x.dims()[1];
    in_f32(x, |x| {
        let parts: Vec<_> = (0..batches.len())
            .map(|b| batches.range(b))
            .filter(|rows| !rows.is_empty())
            .map(|rows| {
                let item = x.clone().slice([rows.clone(), 0..channels]);
                // One row per group, so that this is the plain normalisation again.
                let item = item.reshape([rows.len(), groups, channels / groups]).swap_dims(0, 1);
                let item = normalised(item.reshape([groups, rows.len() * channels / groups]), eps);
                item.reshape([groups, rows.len(), channels / groups]).swap_dims(0, 1).reshape([rows.len(), channels])
            })
            .collect();
        let y = if parts.is_empty() { x } else { Tensor::cat(parts, 0) };
        y * affine.0.clone().unsqueeze::<2>() + affine.1.clone().unsqueeze::<2>()
    })
}
