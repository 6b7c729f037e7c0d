//! Linear layers.

use burn::tensor::{DType, Int, Tensor};
use burn_cubecl::{CubeBackend, kernel::into_contiguous, tensor::CubeTensor};
use maquette_gpu::Capabilities;
use maquette_shaders::Permutation;

use super::{cube, cube_as, element, empty, gpu, group_words, launch, matrix_kernels, permutation, tensor};
use crate::{Activation, Linear, PackedLinear, Packing, RowGroups};

/// What follows the sum: the `EPI` parameter and its tensors in binding order.
struct Epilogue {
    name: &'static str,
    tensors: Vec<CubeTensor>,
}

/// The number that shaders know an activation by (`shared/activation.wgsl`).
pub(super) fn activation_code(act: Activation) -> u32 {
    match act {
        Activation::None => 0,
        Activation::GeluTanh => 1,
        Activation::GeluErf => 2,
        Activation::Silu => 3,
    }
}

pub(crate) fn linear(x: &Tensor<2>, layer: &Linear, act: Activation) -> Option<Tensor<2>> {
    let capabilities = gpu(x)?;
    let epilogue = match &layer.bias {
        Some(bias) => Epilogue { name: "bias", tensors: vec![cube_as(bias, x.dtype())?] },
        None => Epilogue { name: "plain", tensors: vec![] },
    };
    multiply(&capabilities, x, layer, epilogue, act, &RowGroups::single(0))?.pop().map(tensor)
}

pub(crate) fn linear_residual(
    x: &Tensor<2>,
    layer: &Linear,
    residual: &Tensor<2>,
    gate: Option<(&Tensor<2>, &RowGroups)>,
) -> Option<Tensor<2>> {
    let capabilities = gpu(x)?;
    let size = [x.dims()[0], layer.outputs()];
    let gate_fits =
        gate.is_none_or(|(gate, groups)| gate.dims() == [groups.len(), size[1]] && groups.rows() == size[0]);
    if residual.dtype() != x.dtype() || residual.dims() != size || !gate_fits {
        return None;
    }
    let bias = bias_or_zeros(layer.bias.as_ref(), layer.outputs(), x)?;
    let residual = cube(residual)?;
    match gate {
        Some((gate, groups)) => {
            let gate = cube_as(gate, x.dtype())?;
            let epilogue = Epilogue { name: "gate", tensors: vec![bias, residual, gate] };
            multiply(&capabilities, x, layer, epilogue, Activation::None, groups)?.pop().map(tensor)
        }
        None => {
            let epilogue = Epilogue { name: "residual", tensors: vec![bias, residual] };
            multiply(&capabilities, x, layer, epilogue, Activation::None, &RowGroups::single(0))?.pop().map(tensor)
        }
    }
}

fn bias_or_zeros(bias: Option<&Tensor<1>>, outputs: usize, x: &Tensor<2>) -> Option<CubeTensor> {
    match bias {
        Some(bias) => cube_as(bias, x.dtype()),
        None => cube(&Tensor::<1>::zeros([outputs], (&x.device(), x.dtype()))),
    }
}

pub(crate) fn linear_qkv(x: &Tensor<2>, layer: &Linear, heads: usize) -> Option<[Tensor<3>; 3]> {
    let capabilities = gpu(x)?;
    let third = layer.outputs() / 3;
    if !layer.outputs().is_multiple_of(3) || heads == 0 || !third.is_multiple_of(4) || !third.is_multiple_of(heads) {
        return None;
    }
    if !x.dims()[1].is_multiple_of(4) {
        return None;
    }
    let bias = bias_or_zeros(layer.bias.as_ref(), layer.outputs(), x)?;
    let epilogue = Epilogue { name: "split", tensors: vec![bias] };
    let parts = multiply(&capabilities, x, layer, epilogue, Activation::None, &RowGroups::single(0))?;
    let rows = x.dims()[0];
    let parts: [CubeTensor; 3] = parts.try_into().ok()?;
    Some(parts.map(|part| tensor::<2>(part).reshape([rows, heads, third / heads])))
}

pub(crate) fn linear_packed(x: &Tensor<2>, layer: &PackedLinear, act: Activation) -> Option<Tensor<2>> {
    let capabilities = gpu(x)?;
    let capabilities = &*capabilities;
    element(x.dtype(), capabilities)?;
    let ([m, k], n) = (x.dims(), layer.outputs);
    if m == 0 || n == 0 || k == 0 || !k.is_multiple_of(4) || !n.is_multiple_of(4) || k != layer.inputs {
        return None;
    }
    let words = |x: &Tensor<1, Int>| Some(into_contiguous(x.clone().try_into_primitive::<CubeBackend>().ok()?));
    let (weight, scales) = (words(&layer.words)?, words(&layer.scales)?);
    let epilogue = match &layer.bias {
        Some(bias) => Epilogue { name: "bias", tensors: vec![cube_as(bias, x.dtype())?] },
        None => Epilogue { name: "plain", tensors: vec![] },
    };
    let storage = match layer.packing {
        Packing::Int8 => Storage::Packed { form: "i8", scales: &scales, share: 0 },
        Packing::Int4 { group } if group.is_multiple_of(4) => {
            Storage::Packed { form: "i4", scales: &scales, share: group }
        }
        Packing::Int4 { .. } => return None,
    };
    let (x, weight, groups) = (&cube(x)?, &weight, &RowGroups::single(0));
    let problem =
        Problem { capabilities, x, weight, storage, epilogue, act, groups, size: [m, n, k], taps: Taps::None };
    problem.run()?.pop().map(tensor)
}

/// How the weights lie in memory.
#[derive(Clone, Copy)]
enum Storage<'a> {
    /// As floats of their tensor's type.
    Plain,
    /// As integers with scales that `share` columns have in common.
    Packed { form: &'static str, scales: &'a CubeTensor, share: usize },
}

/// A problem as the kernels see it.
struct Problem<'a> {
    capabilities: &'a Capabilities,
    x: &'a CubeTensor,
    weight: &'a CubeTensor,
    storage: Storage<'a>,
    epilogue: Epilogue,
    act: Activation,
    groups: &'a RowGroups,
    /// Rows, outputs, length of the sums.
    size: [usize; 3],
    taps: Taps<'a>,
}

/// Where the rows of `x` come from.
#[derive(Clone, Copy)]
enum Taps<'a> {
    /// Row by row.
    None,
    /// A 3×3×3 neighbour table `[27, M]`.
    Table(&'a CubeTensor),
    /// The neighbours in a dense volume.
    Grid([usize; 3]),
}

fn multiply(
    capabilities: &Capabilities,
    x: &Tensor<2>,
    layer: &Linear,
    epilogue: Epilogue,
    act: Activation,
    groups: &RowGroups,
) -> Option<Vec<CubeTensor>> {
    let dtype = x.dtype();
    element(dtype, capabilities)?;
    let ([m, k], n) = (x.dims(), layer.outputs());
    // Shapes that do not fit are for the default body to refuse.
    if m == 0 || n == 0 || k == 0 || k != layer.inputs() || layer.bias.as_ref().is_some_and(|bias| bias.dims() != [n]) {
        return None;
    }
    // f16 activations with f32 weights would need a kernel that nothing asks for: the weights are rounded instead.
    let weight = match (dtype, layer.weight.dtype()) {
        (DType::F32, DType::F16) => cube(&layer.weight)?,
        _ => cube_as(&layer.weight, dtype)?,
    };
    let (x, weight) = (&cube(x)?, &weight);
    let storage = Storage::Plain;
    let problem =
        Problem { capabilities, x, weight, storage, epilogue, act, groups, size: [m, n, k], taps: Taps::None };
    problem.run()
}

/// Convolution as a matrix product whose rows are picked by neighbour: `weight [out, 27·in]`.
fn convolve(x: &Tensor<2>, weight: &Tensor<2>, bias: &Tensor<1>, taps: Taps) -> Option<Tensor<2>> {
    let capabilities = gpu(x)?;
    let capabilities = &*capabilities;
    element(x.dtype(), capabilities)?;
    let ([m, inputs], [n, k]) = (x.dims(), weight.dims());
    let rows_fit = match taps {
        Taps::None => true,
        Taps::Table(table) => table.meta.num_elements() == m * crate::neighbours::TAPS,
        Taps::Grid(size) => m.is_multiple_of(size.iter().product::<usize>().max(1)),
    };
    if m == 0 || n == 0 || inputs == 0 || k != inputs * crate::neighbours::TAPS || bias.dims() != [n] || !rows_fit {
        return None;
    }
    let epilogue = Epilogue { name: "bias", tensors: vec![cube_as(bias, x.dtype())?] };
    let (x, weight) = (&cube(x)?, &cube_as(weight, x.dtype())?);
    let groups = &RowGroups::single(0);
    let (act, storage) = (Activation::None, Storage::Plain);
    let problem = Problem { capabilities, x, weight, storage, epilogue, act, groups, size: [m, n, k], taps };
    problem.run()?.pop().map(tensor)
}

pub(crate) fn conv3_sparse(
    x: &Tensor<2>,
    weight: &Tensor<2>,
    bias: &Tensor<1>,
    table: impl FnOnce() -> Tensor<2, Int>,
) -> Option<Tensor<2>> {
    gpu(x)?;
    let table = into_contiguous(table().try_into_primitive::<CubeBackend>().ok()?);
    convolve(x, weight, bias, Taps::Table(&table))
}

pub(crate) fn conv3_dense(x: &Tensor<2>, weight: &Tensor<2>, bias: &Tensor<1>, size: [usize; 3]) -> Option<Tensor<2>> {
    convolve(x, weight, bias, Taps::Grid(size))
}

impl Problem<'_> {
    /// The result, or its three parts.
    fn run(&self) -> Option<Vec<CubeTensor>> {
        let [m, n, k] = self.size;
        let inputs = k / if matches!(self.taps, Taps::None) { 1 } else { crate::neighbours::TAPS };
        let few = match self.taps {
            Taps::None => few(self.x.dtype, self.stored(), self.epilogue.name, self.size),
            _ => None,
        };
        let (permutation, [high, wide]) = match few.or_else(|| self.matrix(inputs)) {
            Some(chosen) => chosen,
            None => self.simt(inputs)?,
        };
        let parts = if self.epilogue.name == "split" { 3 } else { 1 };
        let y: Vec<_> = (0..parts).map(|_| empty(self.x, [m, n / parts], self.x.dtype)).collect();
        let across = n.div_ceil(wide);
        let tiles = across * m.div_ceil(high);
        let share = if let Storage::Packed { share, .. } = self.storage { share } else { 0 };
        let words = [m, n, k, activation_code(self.act) as usize, across, tiles, inputs, share];
        let mut info: Vec<u32> = words.iter().map(|word| *word as u32).collect();
        match self.taps {
            Taps::Grid(size) => info.extend(size.map(|s| s as u32)),
            _ => group_words(self.groups, &mut info),
        }
        let mut buffers = vec![self.x, self.weight];
        if let Storage::Packed { scales, .. } = self.storage {
            buffers.push(scales);
        }
        buffers.extend(&self.epilogue.tensors);
        if let Taps::Table(table) = self.taps {
            buffers.push(table);
        }
        buffers.extend(&y);
        launch(permutation, &buffers, info, tiles);
        Some(y)
    }

    /// The `W` parameter.
    fn stored(&self) -> &'static str {
        match self.storage {
            Storage::Packed { form, .. } => form,
            Storage::Plain if self.weight.dtype == DType::F16 => "f16",
            Storage::Plain => "f32",
        }
    }

    fn gather(&self) -> &'static str {
        match self.taps {
            Taps::None => "no",
            Taps::Table(_) => "table",
            Taps::Grid(_) => "grid",
        }
    }

    /// The body on matrix units, with its tile size, where device and problem allow one.
    fn matrix(&self, inputs: usize) -> Option<(&'static Permutation, [usize; 2])> {
        let [m, n, k] = self.size;
        let eights = k.is_multiple_of(8) && n.is_multiple_of(8);
        if !matrix_kernels(self.capabilities) || self.x.dtype != DType::F16 || !eights || m < MIN_MATRIX_ROWS {
            return None;
        }
        let gather = self.gather();
        let (tile, edge) = if n > 64 && enough_tiles(m, n) { ("128", 128) } else { ("64", 64) };
        let tail = if inputs.is_multiple_of(MATRIX_DEPTH) { "0" } else { "1" };
        let kernel = if gather != "no" { "conv3_coop" } else { "linear_coop" };
        let values =
            [("TILE", tile), ("W", self.stored()), ("EPI", self.epilogue.name), ("TAIL", tail), ("GATHER", gather)];
        Some((permutation(kernel, &values)?, [edge, edge]))
    }

    fn simt(&self, inputs: usize) -> Option<(&'static Permutation, [usize; 2])> {
        let [m, n, k] = self.size;
        let vec = inputs.is_multiple_of(4) && n.is_multiple_of(4);
        let (tile, edge) = if vec && enough_tiles(m, n) { ("128", 128) } else { ("32", 32) };
        let tail = if edge == 128 && k.is_multiple_of(PLAIN_DEPTH) { "0" } else { "1" };
        let values = [
            ("T", if self.x.dtype == DType::F16 { "f16" } else { "f32" }),
            ("W", self.stored()),
            ("VEC", if vec { "4" } else { "1" }),
            ("TILE", tile),
            ("TAIL", tail),
            ("LONG", if edge == 128 && self.x.dtype == DType::F32 && k > LONGEST_PLAIN_SUM { "1" } else { "0" }),
            ("EPI", self.epilogue.name),
            ("GATHER", self.gather()),
        ];
        let kernel = if matches!(self.taps, Taps::None) { "linear_simt" } else { "conv3_simt" };
        Some((permutation(kernel, &values)?, [edge, edge]))
    }
}

/// Rows below which matrix tiles would be mostly padding.
const MIN_MATRIX_ROWS: usize = 16;
/// Rows up to which reading the weights is the work.
const FEW_ROWS: usize = 4;
/// Elements of the sums that a tile takes at a time on matrix units, and without.
const MATRIX_DEPTH: usize = 64;
const PLAIN_DEPTH: usize = 16;
/// Products that large tiles without matrix units add up one after the other in f32: their rounding reaches 1.6e-6 of the result
/// here (√(K/2) · 2⁻²⁴/√3), and 4e-6 for the 27 · 1024 of the widest convolution.
const LONGEST_PLAIN_SUM: usize = 4096;

/// Whether 128×128 tiles are enough to keep a device busy: they reuse more than smaller ones.
fn enough_tiles(m: usize, n: usize) -> bool {
    m.div_ceil(128) * n.div_ceil(128) >= 64
}

/// The body for a few rows, its permutation and the rows and columns of a workgroup.
fn few(x: DType, w: &str, epilogue: &str, [m, _, k]: [usize; 3]) -> Option<(&'static Permutation, [usize; 2])> {
    let fits = m <= FEW_ROWS && k.is_multiple_of(8) && (x == DType::F32 || w == "f16");
    if !fits || !["f32", "f16"].contains(&w) || !["plain", "bias"].contains(&epilogue) {
        return None;
    }
    let (name, rows) = if m == 1 { ("1", 1) } else { ("4", FEW_ROWS) };
    let t = if x == DType::F16 { "f16" } else { "f32" };
    Some((permutation("linear_few", &[("T", t), ("W", w), ("ROWS", name), ("EPI", epilogue)])?, [rows, 16]))
}
