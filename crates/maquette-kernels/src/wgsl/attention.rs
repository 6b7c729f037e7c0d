//! Attention over groups of rows.

use burn::tensor::Tensor;

use super::{cube, element, empty, gpu, launch, matrix_kernels, permutation, subgroup_size, tensor};
use crate::RowGroups;

/// Largest head dim with a kernel.
const MAX_DIM: usize = 128;
/// Keys below which eight subgroups that share a key tile are slower than four with two blocks of queries each.
const MANY_KEYS: usize = 2048;

/// The form of the matrix body (`attention/flash_coop.wgsl`) and the queries of a workgroup, for groups of so many queries and
/// keys: what was fastest on the card (`docs/performance.md`).
fn matrix_form(queries: usize, keys: usize, dim: usize) -> (&'static str, usize) {
    // Short groups (windows) would leave most of a big tile empty.
    match dim {
        _ if queries < 96 => ("pair", 32),
        32 => ("keys64", 128),
        64 if keys < MANY_KEYS => ("keys32", 128),
        _ => ("eight", 128),
    }
}

/// Queries that a workgroup takes without matrix units.
const QUERIES: usize = 64;
/// Neighbouring lanes that share a query there, at most.
const LANES_OF_A_ROW: usize = 8;

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
        let groups = q_groups.len().max(1);
        let (form, queries) = matrix_form(rows / groups, k_groups.rows() / groups, dim);
        (permutation("attention_coop", &[("D", padded), ("CFG", form)])?, queries)
    } else {
        let subgroups = subgroup_size(&capabilities).is_some_and(|size| size >= LANES_OF_A_ROW);
        let (kernel, sub) = if subgroups { ("attention_subgroup", "1") } else { ("attention_simt", "0") };
        (permutation(kernel, &[("T", t), ("D", padded), ("VEC", vec), ("SUB", sub)])?, QUERIES)
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
