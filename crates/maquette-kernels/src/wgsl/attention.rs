//! Attention over groups of rows.

use burn::tensor::Tensor;

use super::{
    cube, element, empty, gpu, launch, matrix_kernels, permutation, tensor,
    tuning::{self, Family},
};
use crate::RowGroups;

/// Largest head dim with a kernel.
const MAX_DIM: usize = 128;
/// Forms of the matrix body (`attention/flash_coop.wgsl`): parameter, queries of a workgroup, head dims.
pub(super) const MATRIX_FORMS: [(&str, usize, [usize; 2]); 9] = [
    ("keys64", 128, [32, 64]),
    ("single64", 64, [32, 64]),
    ("single64l", 64, [32, 64]),
    ("keys32", 128, [32, 128]),
    ("single32", 64, [32, 128]),
    ("single32l", 64, [32, 128]),
    ("eight", 128, [64, 128]),
    ("eightl", 128, [64, 128]),
    ("pair", 32, [32, 128]),
];

fn matrix_form(rows: usize, dim: usize) -> (&'static str, usize) {
    // Short groups (windows) would leave most of a big tile empty.
    let best = match (rows >= 96, dim > 32) {
        (true, true) => "eight",
        (true, false) => "keys64",
        (false, _) => "pair",
    };
    let name = tuning::forced(Family::MatrixAttention).unwrap_or(best);
    let form = MATRIX_FORMS.into_iter().find(|form| form.0 == name && (form.2[0]..=form.2[1]).contains(&dim));
    form.map_or(("pair", 32), |form| (form.0, form.1))
}

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
        let (form, queries) = matrix_form(rows / q_groups.len().max(1), dim);
        (permutation("attention_coop", &[("D", padded), ("CFG", form)])?, queries)
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
