//! Attention over groups of rows.

use burn::tensor::Tensor;

use super::{cube, element, empty, gpu, launch, matrix_kernels, permutation, tensor};
use crate::RowGroups;

/// Largest head dim with a kernel.
const MAX_DIM: usize = 128;
/// Queries that a workgroup takes without matrix units.
const QUERIES: usize = 64;

pub(crate) fn attention(
    q: &Tensor<3>,
    k: &Tensor<3>,
    v: &Tensor<3>,
    q_groups: &RowGroups,
    k_groups: &RowGroups,
) -> Option<Tensor<3>> {
    let capabilities = gpu(q)?;
    let t = element(q.dtype(), &capabilities)?;
    let [rows, heads, dim] = q.dims();
    if rows == 0 || heads == 0 || k.dims()[0] == 0 || dim == 0 || dim > MAX_DIM {
        return None;
    }
    // Shapes that do not fit are for the default body to refuse.
    let keys = [k_groups.rows(), heads, dim];
    if k.dims() != keys || v.dims() != keys || q_groups.rows() != rows {
        return None;
    }
    if k.dtype() != q.dtype() || v.dtype() != q.dtype() {
        return None;
    }
    let (padded, whole) = match dim {
        32 => ("32", true),
        64 => ("64", true),
        128 => ("128", true),
        1..=31 => ("32", false),
        33..=63 => ("64", false),
        _ => ("128", false),
    };
    let vec = if whole { "4" } else { "1" };
    let (permutation, queries) = if whole && t == "f16" && matrix_kernels(&capabilities) {
        // Short groups (windows) would leave most of a big tile empty.
        let long = rows / q_groups.len().max(1) >= 96 && dim < 128;
        let (warps, blocks, queries) = if long { ("4", "2", 128) } else { ("2", "1", 32) };
        (permutation("attention_coop", &[("D", padded), ("WARPS", warps), ("BLOCKS", blocks)])?, queries)
    } else {
        (permutation("attention_simt", &[("T", t), ("D", padded), ("VEC", vec)])?, QUERIES)
    };
    let (q, k, v) = (cube(q)?, cube(k)?, cube(v)?);
    let y = empty(&q, [rows, heads, dim], q.dtype);
    let (info, tiles) = spans(heads, dim, q_groups, k_groups, queries);
    launch(permutation, &[&q, &k, &v, &y], info, tiles * heads);
    Some(tensor(y))
}

/// The words of `shared/attention_tiles.wgsl` and the number of query tiles a head.
fn spans(heads: usize, dim: usize, q_groups: &RowGroups, k_groups: &RowGroups, queries: usize) -> (Vec<u32>, usize) {
    let scale = std::f32::consts::LOG2_E / (dim as f32).sqrt();
    let mut info = vec![heads as u32, dim as u32, scale.to_bits(), 0, q_groups.len() as u32, 0, 0, 0];
    let tiles = match (q_groups.uniform_length(), k_groups.uniform_length()) {
        (Some(q), Some(k)) if q > 0 => {
            info[5] = q as u32;
            info[6] = k as u32;
            q_groups.len() * q.div_ceil(queries)
        }
        _ => {
            let mut tiles = 0;
            for pair in q_groups.offsets().windows(2) {
                info.push(tiles as u32);
                tiles += ((pair[1] - pair[0]) as usize).div_ceil(queries);
            }
            info.push(tiles as u32);
            info.extend_from_slice(q_groups.offsets());
            info.extend_from_slice(k_groups.offsets());
            tiles
        }
    };
    info[3] = tiles as u32;
    (info, tiles)
}
