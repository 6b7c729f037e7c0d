//! Scaled dot-product attention over groups of rows.

use burn::tensor::{FloatDType, Tensor, activation};

use crate::RowGroups;

/// `softmax(q·kᵀ/√D)·v` per head and per group: `q [Mq, H, D]`, `k`, `v` `[Mk, H, D]` → `[Mq, H, D]`.
///
/// Rows of query group `g` attend to the rows of key group `g` and to nothing else, so full attention (one group), batches,
/// sequences of different lengths and windows are the same operator. No mask. A group without keys gives zeros.
pub fn attention(q: Tensor<3>, k: Tensor<3>, v: Tensor<3>, q_groups: &RowGroups, k_groups: &RowGroups) -> Tensor<3> {
    assert_eq!(q_groups.len(), k_groups.len(), "query and key groups come in pairs");
    let dtype: FloatDType = q.dtype().into();
    let [rows, heads, dim] = q.dims();
    let scale = 1.0 / (dim as f64).sqrt();
    let mut parts = Vec::with_capacity(q_groups.len());
    for g in 0..q_groups.len() {
        let (qr, kr) = (q_groups.range(g), k_groups.range(g));
        if qr.is_empty() {
            continue;
        }
        if kr.is_empty() {
            parts.push(Tensor::zeros([qr.len(), heads, dim], (&q.device(), dtype)));
            continue;
        }
        let pick = |x: &Tensor<3>, r: &std::ops::Range<usize>| {
            x.clone().slice([r.clone(), 0..heads, 0..dim]).cast(FloatDType::F32).swap_dims(0, 1)
        };
        let scores = pick(&q, &qr).matmul(pick(&k, &kr).swap_dims(1, 2)) * scale;
        let out = activation::softmax(scores, 2).matmul(pick(&v, &kr));
        parts.push(out.swap_dims(0, 1).cast(dtype));
    }
    if parts.is_empty() {
        return Tensor::zeros([rows, heads, dim], (&q.device(), dtype));
    }
    Tensor::cat(parts, 0)
}
