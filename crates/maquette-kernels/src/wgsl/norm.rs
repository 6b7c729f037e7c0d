//! Normalisations.

use burn::tensor::{DType, Tensor};
use burn_cubecl::tensor::CubeTensor;
use maquette_gpu::Capabilities;

use super::{cube, cube_f32, element, empty, gpu, group_words, launch, permutation, subgroup_size, tensor};
use crate::RowGroups;

/// Rows that a workgroup of the softmax takes side by side without subgroups.
const ROWS: usize = 4;
/// Invocations of a row of the layer norm without subgroups.
const LANES: usize = 32;
/// With more rows, lanes of the layer norm take two of them: with fewer, a card would not have enough on their way.
const PAIRED: usize = 2048;
/// Invocations of a workgroup of the layer norm, and of the head norm in units of 16 bytes.
const THREADS: usize = 128;
/// Rows of each lane of the latter.
const WIDE_ROWS: usize = 2;
/// Elements that a lane of the layer norm loads at once.
const UNIT: usize = 4;

pub(crate) fn layer_norm(x: &Tensor<2>, affine: Option<(&Tensor<1>, &Tensor<1>)>, eps: f64) -> Option<Tensor<2>> {
    let capabilities = gpu(x)?;
    match affine {
        Some((weight, bias)) if weight.dims() != [x.dims()[1]] || bias.dims() != weight.dims() => None,
        Some((weight, bias)) => {
            normalise(&capabilities, x, "affine", "f32", &[cube_f32(weight)?, cube_f32(bias)?], eps, None)
        }
        None => normalise(&capabilities, x, "plain", "f32", &[], eps, None),
    }
}

pub(crate) fn layer_norm_modulate(
    x: &Tensor<2>,
    scale: &Tensor<2>,
    shift: &Tensor<2>,
    groups: &RowGroups,
    eps: f64,
) -> Option<Tensor<2>> {
    let capabilities = gpu(x)?;
    if scale.dims() != [groups.len(), x.dims()[1]] || shift.dims() != scale.dims() || groups.rows() != x.dims()[0] {
        return None;
    }
    if scale.dtype() == x.dtype() && shift.dtype() == x.dtype() {
        let s = element(x.dtype(), &capabilities)?;
        return normalise(&capabilities, x, "modulate", s, &[cube(scale)?, cube(shift)?], eps, Some(groups));
    }
    normalise(&capabilities, x, "modulate", "f32", &[cube_f32(scale)?, cube_f32(shift)?], eps, Some(groups))
}

fn normalise(
    capabilities: &Capabilities,
    x: &Tensor<2>,
    mode: &str,
    s: &str,
    factors: &[CubeTensor],
    eps: f64,
    groups: Option<&RowGroups>,
) -> Option<Tensor<2>> {
    let t = element(x.dtype(), capabilities)?;
    let [rows, width] = x.dims();
    if rows == 0 || width == 0 {
        return None;
    }
    let wide = width.is_multiple_of(UNIT);
    let subgroup = subgroup_size(capabilities).filter(|_| wide);
    let lanes = subgroup.unwrap_or(LANES);
    let held = match width / UNIT {
        _ if !wide => "0",
        units if units == 8 * lanes => "8",
        units if units == 6 * lanes => "6",
        units if units <= 8 * lanes => "1",
        _ => "0",
    };
    let (kernel, sub) = if subgroup.is_some() { ("layer_norm_subgroup", "1") } else { ("layer_norm", "0") };
    let wide = if wide { "1" } else { "0" };
    // Factors of 16 bits serve both rows of a pair.
    let paired = rows > PAIRED && s == "f16" && matches!(held, "8" | "6");
    let (pair, together) = if paired { ("2", 2) } else { ("1", 1) };
    let many = if groups.is_some_and(|groups| groups.len() > 1) { "1" } else { "0" };
    let values = [
        ("T", t),
        ("S", s),
        ("WIDE", wide),
        ("HELD", held),
        ("ROWS", pair),
        ("MODE", mode),
        ("MANY", many),
        ("SUB", sub),
    ];
    let permutation = permutation(kernel, &values)?;
    let x = cube(x)?;
    let y = empty(&x, [rows, width], x.dtype);
    let mut info = vec![rows as u32, width as u32, (eps as f32).to_bits()];
    if let Some(groups) = groups {
        group_words(groups, &mut info);
    }
    let mut buffers = vec![&x];
    buffers.extend(factors);
    buffers.push(&y);
    launch(permutation, &buffers, info, rows.div_ceil(THREADS / lanes * together));
    Some(tensor(y))
}

pub(crate) fn rms_norm_heads(x: &Tensor<3>, gamma: &Tensor<2>) -> Option<Tensor<3>> {
    let capabilities = gpu(x)?;
    let t = element(x.dtype(), &capabilities)?;
    let [rows, heads, dim] = x.dims();
    let vectors = rows * heads;
    if vectors == 0 || dim == 0 || gamma.dims() != [heads, dim] {
        return None;
    }
    // Units of 16 bytes, a lane each, where their number is a power of two with a body.
    let bytes = dim * x.dtype().size();
    let wide = [("4", 4), ("8", 8), ("16", 16), ("32", 32)].into_iter().find(|form| form.1 * 16 == bytes);
    let (permutation, count, groups) = match wide {
        Some((lanes, units)) => {
            let places = rows.div_ceil(WIDE_ROWS) * heads;
            (permutation("rms_heads_wide", &[("T", t), ("LANES", lanes)])?, rows, places.div_ceil(THREADS / units))
        }
        None => {
            let vec = if dim.is_multiple_of(4) { "4" } else { "1" };
            (permutation("rms_heads", &[("T", t), ("VEC", vec)])?, vectors, vectors.div_ceil(16))
        }
    };
    let (x, gamma) = (cube(x)?, cube_f32(gamma)?);
    let y = empty(&x, [rows, heads, dim], x.dtype);
    launch(permutation, &[&x, &gamma, &y], vec![count as u32, heads as u32, dim as u32], groups);
    Some(tensor(y))
}

/// Softmax over the last axis.
pub(crate) fn softmax(x: &Tensor<2>) -> Option<Tensor<2>> {
    /// Invocations of a workgroup.
    const INVOCATIONS: usize = 256;
    let capabilities = gpu(x)?;
    let t = element(x.dtype(), &capabilities)?;
    let [rows, width] = x.dims();
    if rows == 0 || width == 0 {
        return None;
    }
    let (kernel, sub, together) = match subgroup_size(&capabilities) {
        Some(lanes) => ("softmax_subgroup", "1", INVOCATIONS / lanes),
        None => ("softmax", "0", ROWS),
    };
    let permutation = permutation(kernel, &[("T", t), ("SUB", sub)])?;
    let x = cube(x)?;
    let y = empty(&x, [rows, width], x.dtype);
    launch(permutation, &[&x, &y], vec![rows as u32, width as u32], rows.div_ceil(together));
    Some(tensor(y))
}

pub(crate) fn group_norm(
    x: &Tensor<2>,
    batches: &RowGroups,
    groups: usize,
    affine: (&Tensor<1>, &Tensor<1>),
    eps: f64,
) -> Option<Tensor<2>> {
    /// Rows whose statistics one workgroup takes.
    const CHUNK: usize = 128;
    /// Channels that it takes side by side.
    const GROUP_CHANNELS: usize = 256;
    let t = element(x.dtype(), &*gpu(x)?)?;
    let [rows, channels] = x.dims();
    let fits = affine.0.dims() == [channels] && affine.1.dims() == [channels] && batches.rows() == rows;
    if rows == 0 || groups == 0 || channels == 0 || !channels.is_multiple_of(groups) || !fits {
        return None;
    }
    let mut first_chunks = Vec::with_capacity(batches.len() + 1);
    let mut chunks: Vec<u32> = Vec::new();
    for item in 0..batches.len() {
        first_chunks.push(chunks.len() as u32 / 2);
        let range = batches.range(item);
        for start in range.clone().step_by(CHUNK) {
            chunks.extend([start as u32, (range.end - start).min(CHUNK) as u32]);
        }
    }
    let count = chunks.len() / 2;
    first_chunks.push(count as u32);
    let (x, weight, bias) = (cube(x)?, cube_f32(affine.0)?, cube_f32(affine.1)?);

    let parts = empty(&x, [count * groups * 4], DType::F32);
    let together = (GROUP_CHANNELS / (channels / groups)).clamp(1, groups);
    let mut info = vec![channels as u32, groups as u32, count as u32, together as u32];
    info.extend(chunks);
    launch(permutation("group_stats", &[("T", t)])?, &[&x, &parts], info, count * groups.div_ceil(together));

    let stats = empty(&x, [batches.len() * groups * 2], DType::F32);
    let mut info = vec![groups as u32, batches.len() as u32, (eps as f32).to_bits(), 0];
    info.extend(first_chunks);
    launch(permutation("group_merge", &[])?, &[&parts, &stats], info, batches.len() * groups);

    let y = empty(&x, [rows, channels], x.dtype);
    let mut info = vec![(rows * channels) as u32, channels as u32, groups as u32, 0];
    group_words(batches, &mut info);
    let apply = permutation("group_apply", &[("T", t)])?;
    launch(apply, &[&x, &stats, &weight, &bias, &y], info, (rows * channels).div_ceil(256));
    Some(tensor(y))
}
