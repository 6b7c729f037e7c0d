//! Scaled dot-product attention over groups of rows.

use std::ops::Range;

use burn::tensor::{DType, FloatDType, Tensor};

use crate::{RowGroups, wgsl};

/// Queries whose scores are held at once: bounds the memory of long sequences (4096 keys × 16 heads × 512 rows: 128 MiB).
const QUERY_ROWS: usize = 512;
/// Keys that are added up in one go. A sum of thousands of terms, one after the other, would lose two digits of f32.
const KEY_ROWS: usize = 256;

/// `softmax(q·kᵀ/√D)·v` per head and per group: `q [Mq, H, D]`, `k`, `v` `[Mk, H, D]` → `[Mq, H, D]`.
///
/// Rows of query group `g` attend to the rows of key group `g` and to nothing else, so full attention (one group), batches,
/// sequences of different lengths and windows are the same operator. No mask. A group without keys gives zeros.
pub fn attention(q: Tensor<3>, k: Tensor<3>, v: Tensor<3>, q_groups: &RowGroups, k_groups: &RowGroups) -> Tensor<3> {
    assert_eq!(q_groups.len(), k_groups.len(), "query and key groups come in pairs");
    if let Some(y) = wgsl::attention(&q, &k, &v, q_groups, k_groups) {
        return y;
    }
    let dtype: FloatDType = q.dtype().into();
    let (device, [rows, heads, dim]) = (q.device(), q.dims());
    let scale = 1.0 / (dim as f64).sqrt();
    // Heads first and f32 once, not once a group.
    let [q, k, v] = [q, k, v].map(|x| x.cast(FloatDType::F32).swap_dims(0, 1));
    let pick = |x: &Tensor<3>, rows: Range<usize>| x.clone().slice([0..heads, rows, 0..dim]);
    let mut parts = Vec::with_capacity(q_groups.len());
    for g in 0..q_groups.len() {
        let (q_rows, k_rows) = (q_groups.range(g), k_groups.range(g));
        if k_rows.is_empty() {
            parts.push(Tensor::zeros([heads, q_rows.len(), dim], (&device, DType::F32)));
            continue;
        }
        let keys = pick(&k, k_rows.clone()).swap_dims(1, 2);
        let values = pick(&v, k_rows);
        for start in q_rows.clone().step_by(QUERY_ROWS) {
            let queries = pick(&q, start..q_rows.end.min(start + QUERY_ROWS));
            parts.push(weigh((queries * scale).matmul(keys.clone()), &values));
        }
    }
    if parts.is_empty() {
        return Tensor::zeros([rows, heads, dim], (&device, dtype.into()));
    }
    Tensor::cat(parts, 1).swap_dims(0, 1).cast(dtype)
}

/// `softmax(scores)·values`: `scores [H, Mq, Mk]`, `values [H, Mk, D]`, `Mk > 0`.
fn weigh(scores: Tensor<3>, values: &Tensor<3>) -> Tensor<3> {
    let [heads, rows, keys] = scores.dims();
    let weights = (scores.clone() - scores.max_dim(2)).exp();
    let [_, _, dim] = values.dims();
    let of = |start: usize| {
        let end = keys.min(start + KEY_ROWS);
        let part = weights.clone().slice([0..heads, 0..rows, start..end]);
        (part.clone().matmul(values.clone().slice([0..heads, start..end, 0..dim])), part.sum_dim(2))
    };
    let (mut weighed, mut total) = of(0);
    for start in (KEY_ROWS..keys).step_by(KEY_ROWS) {
        let (more, sum) = of(start);
        (weighed, total) = (weighed + more, total + sum);
    }
    weighed / total
}
