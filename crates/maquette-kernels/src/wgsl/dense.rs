//! Linear layers.

use burn::tensor::{DType, Int, Tensor};
use burn_cubecl::{CubeBackend, kernel::into_contiguous, tensor::CubeTensor};
use maquette_gpu::Capabilities;
use maquette_shaders::Permutation;

use super::{cube, cube_as, cube_f32, element, empty, gpu, group_words, launch, matrix_kernels, permutation, tensor};
use crate::{Activation, Linear, PackedLinear, Packing, RowGroups};

/// What follows the sum.
enum Epilogue<'a> {
    /// An activation.
    Activation(Activation),
    /// An addition, of products with a gate by group if there is one.
    Residual(&'a CubeTensor, Option<(&'a CubeTensor, &'a RowGroups)>),
    /// Parts of so many heads, of which the first ones have norms.
    Heads { parts: usize, heads: usize, gammas: Option<&'a CubeTensor> },
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

/// Weights of a layer, of any form.
pub(crate) trait Weights {
    /// The layer for activations like `x`, where kernels can read it.
    fn layer(&self, x: &Tensor<2>) -> Option<Layer>;
}

/// A layer as the kernels read it.
pub(crate) struct Layer {
    weight: CubeTensor,
    /// How the weights lie in memory, the `W` parameter.
    form: &'static str,
    /// Of packed weights.
    scales: Option<CubeTensor>,
    /// Columns that share a scale, 0 for whole rows.
    share: usize,
    bias: Option<CubeTensor>,
    inputs: usize,
    outputs: usize,
}

impl Weights for Linear {
    fn layer(&self, x: &Tensor<2>) -> Option<Layer> {
        element(x.dtype(), &*gpu(x)?)?;
        // f16 activations with f32 weights would need a kernel that nothing asks for: the weights are rounded instead.
        let weight = match (x.dtype(), self.weight.dtype()) {
            (DType::F32, DType::F16) => cube(&self.weight)?,
            _ => cube_as(&self.weight, x.dtype())?,
        };
        Some(Layer {
            form: if weight.dtype == DType::F16 { "f16" } else { "f32" },
            weight,
            scales: None,
            share: 0,
            bias: bias_like(x, self.bias.as_ref(), self.outputs())?,
            inputs: self.inputs(),
            outputs: self.outputs(),
        })
    }
}

impl Weights for PackedLinear {
    fn layer(&self, x: &Tensor<2>) -> Option<Layer> {
        element(x.dtype(), &*gpu(x)?)?;
        let (form, share) = match self.packing {
            Packing::Int8 => ("i8", 0),
            Packing::Int4 { group } if group.is_multiple_of(4) => ("i4", group),
            Packing::Int4 { .. } => return None,
        };
        if !self.inputs.is_multiple_of(4) || !self.outputs.is_multiple_of(4) {
            return None;
        }
        let words = |x: &Tensor<1, Int>| Some(into_contiguous(x.clone().try_into_primitive::<CubeBackend>().ok()?));
        Some(Layer {
            weight: words(&self.words)?,
            form,
            scales: Some(words(&self.scales)?),
            share,
            bias: bias_like(x, self.bias.as_ref(), self.outputs)?,
            inputs: self.inputs,
            outputs: self.outputs,
        })
    }
}

/// The bias in the type of `x`, if there is one; `None` where its shape does not fit.
#[allow(clippy::option_option, reason = "no bias is as good as one that fits")]
fn bias_like(x: &Tensor<2>, bias: Option<&Tensor<1>>, outputs: usize) -> Option<Option<CubeTensor>> {
    match bias {
        Some(bias) if bias.dims() != [outputs] => None,
        Some(bias) => Some(Some(cube_as(bias, x.dtype())?)),
        None => Some(None),
    }
}

pub(crate) fn linear(x: &Tensor<2>, layer: &impl Weights, act: Activation) -> Option<Tensor<2>> {
    multiply(x, &layer.layer(x)?, Epilogue::Activation(act), Taps::None).map(tensor)
}

pub(crate) fn linear_residual(
    x: &Tensor<2>,
    layer: &impl Weights,
    residual: &Tensor<2>,
    gate: Option<(&Tensor<2>, &RowGroups)>,
) -> Option<Tensor<2>> {
    let layer = layer.layer(x)?;
    let size = [x.dims()[0], layer.outputs];
    let gate_fits =
        gate.is_none_or(|(gate, groups)| gate.dims() == [groups.len(), size[1]] && groups.rows() == size[0]);
    if residual.dtype() != x.dtype() || residual.dims() != size || !gate_fits {
        return None;
    }
    let gate = match gate {
        Some((gate, groups)) => Some((cube_as(gate, x.dtype())?, groups)),
        None => None,
    };
    let gate = gate.as_ref().map(|(gate, groups)| (gate, *groups));
    multiply(x, &layer, Epilogue::Residual(&cube(residual)?, gate), Taps::None).map(tensor)
}

/// `None` also where heads with norms lie across tiles.
pub(crate) fn linear_heads<const P: usize>(
    x: &Tensor<2>,
    layer: &impl Weights,
    heads: usize,
    gammas: Option<&Tensor<3>>,
) -> Option<[Tensor<3>; P]> {
    let layer = layer.layer(x)?;
    let rows = x.dims()[0];
    if !(1..=3).contains(&P) || heads == 0 || !layer.outputs.is_multiple_of(P * heads) {
        return None;
    }
    let (width, dim) = (layer.outputs / P, layer.outputs / P / heads);
    let gammas_fit = gammas.is_none_or(|g| g.dims()[0] <= P && g.dims()[1..] == [heads, dim]);
    if !width.is_multiple_of(4) || !layer.inputs.is_multiple_of(4) || !gammas_fit {
        return None;
    }
    let gammas = match gammas {
        Some(gammas) => Some(cube_f32(gammas)?),
        None => None,
    };
    let whole = multiply(x, &layer, Epilogue::Heads { parts: P, heads, gammas: gammas.as_ref() }, Taps::None)?;
    // The parts lie one after the other in one page.
    let bytes = part_stride(&whole, rows * width) * whole.dtype.size();
    Some(std::array::from_fn(|part| {
        let handle = whole.handle.clone().offset_start((part * bytes) as u64);
        let handle = handle.offset_end(((P - 1 - part) * bytes) as u64);
        let (client, device) = (whole.client.clone(), whole.device.clone());
        tensor(CubeTensor::new_contiguous(client, device, [rows, heads, dim].into(), handle, whole.dtype))
    }))
}

/// Elements from the start of one part of a page to that of the next, where parts have `length` elements and have to be bound
/// by themselves.
fn part_stride(like: &CubeTensor, length: usize) -> usize {
    length.next_multiple_of(like.client.properties().memory.alignment as usize)
}

/// A problem as the kernels see it.
struct Problem<'a> {
    capabilities: &'a Capabilities,
    x: &'a CubeTensor,
    layer: &'a Layer,
    bias: Option<&'a CubeTensor>,
    epilogue: &'a Epilogue<'a>,
    taps: Taps<'a>,
    /// Rows, outputs, length of the sums.
    size: [usize; 3],
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

/// The product with its epilogue; parts lie one after the other ([`part_stride`]).
fn multiply(x: &Tensor<2>, layer: &Layer, epilogue: Epilogue<'_>, taps: Taps<'_>) -> Option<CubeTensor> {
    let capabilities = gpu(x)?;
    let ([m, inputs], n) = (x.dims(), layer.outputs);
    let k = inputs * if matches!(taps, Taps::None) { 1 } else { crate::neighbours::TAPS };
    if m == 0 || n == 0 || k == 0 || k != layer.inputs {
        return None;
    }
    let zeros;
    let bias = match (&layer.bias, &epilogue) {
        (None, Epilogue::Activation(_)) => None,
        (None, _) => {
            zeros = cube(&Tensor::<1>::zeros([n], (&x.device(), x.dtype())))?;
            Some(&zeros)
        }
        (bias, _) => bias.as_ref(),
    };
    let (capabilities, x, epilogue) = (&*capabilities, &cube(x)?, &epilogue);
    Problem { capabilities, x, layer, bias, epilogue, taps, size: [m, n, k] }.run()
}

/// Convolution as a matrix product whose rows are picked by neighbour: `weight [out, 27·in]`.
fn convolve(x: &Tensor<2>, weight: &Tensor<2>, bias: &Tensor<1>, taps: Taps<'_>) -> Option<Tensor<2>> {
    gpu(x)?;
    // Convolutions have no body with weights of another type than the activations'.
    let weight = if weight.dtype() == x.dtype() { weight.clone() } else { weight.clone().cast(x.dtype()) };
    let layer = Linear { weight, bias: Some(bias.clone()) }.layer(x)?;
    let m = x.dims()[0];
    let rows_fit = match taps {
        Taps::None => true,
        Taps::Table(table) => table.meta.num_elements() == m * crate::neighbours::TAPS,
        Taps::Grid(size) => m.is_multiple_of(size.iter().product::<usize>().max(1)),
    };
    if !rows_fit {
        return None;
    }
    multiply(x, &layer, Epilogue::Activation(Activation::None), taps).map(tensor)
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

/// A body: its permutation, and rows and columns of its tiles.
type Body = (&'static Permutation, [usize; 2]);

impl Problem<'_> {
    /// The result; parts lie one after the other.
    fn run(&self) -> Option<CubeTensor> {
        let [m, n, k] = self.size;
        let inputs = self.x.meta.shape()[1];
        let (permutation, [high, wide]) = match self.few() {
            Some(body) => body,
            None if self.on_matrix_units() => self.matrix(inputs)?,
            None => self.simt(inputs)?,
        };
        let across = n.div_ceil(wide);
        let tiles = across * m.div_ceil(high);
        let act = if let Epilogue::Activation(act) = self.epilogue { *act } else { Activation::None };
        let words = [m, n, k, activation_code(act) as usize, across, tiles, inputs, self.layer.share];
        let mut info: Vec<u32> = words.iter().map(|word| *word as u32).collect();
        let mut buffers = vec![self.x, &self.layer.weight];
        buffers.extend(&self.layer.scales);
        buffers.extend(self.bias);
        let mut y = None;
        match self.epilogue {
            Epilogue::Activation(_) => {}
            Epilogue::Residual(residual, None) => buffers.push(residual),
            Epilogue::Residual(residual, Some((gate, groups))) => {
                buffers.extend([residual, gate]);
                group_words(groups, &mut info);
            }
            Epilogue::Heads { parts, heads, gammas } => {
                let (width, stride) = (n / parts, part_stride(self.x, m * n / parts));
                let normed = gammas.map_or(0, |gammas| gammas.meta.num_elements());
                info.extend([width, stride, width / heads, normed].map(|word| word as u32));
                buffers.extend(gammas);
                y = Some(empty(self.x, [parts * stride], self.x.dtype));
            }
        }
        match self.taps {
            Taps::None => {}
            Taps::Table(table) => buffers.push(table),
            Taps::Grid(size) => info.extend(size.map(|s| s as u32)),
        }
        let y = y.unwrap_or_else(|| empty(self.x, [m, n], self.x.dtype));
        buffers.push(&y);
        launch(permutation, &buffers, info, tiles);
        Some(y)
    }

    /// The `EPI` parameter.
    fn epilogue_name(&self) -> &'static str {
        match self.epilogue {
            Epilogue::Activation(_) if self.bias.is_none() => "plain",
            Epilogue::Activation(_) => "bias",
            Epilogue::Residual(_, None) => "residual",
            Epilogue::Residual(_, Some(_)) => "gate",
            Epilogue::Heads { gammas: None, .. } => "split",
            Epilogue::Heads { gammas: Some(_), .. } => "heads",
        }
    }

    /// Whether tiles of so many columns hold whole heads, where heads have norms; a body takes heads by `unit` columns.
    fn holds_heads(&self, columns: usize, unit: usize) -> bool {
        match self.epilogue {
            Epilogue::Heads { parts, heads, gammas: Some(_) } => {
                let dim = self.size[1] / parts / heads;
                dim.is_multiple_of(unit) && columns.is_multiple_of(dim)
            }
            _ => true,
        }
    }

    fn gather(&self) -> &'static str {
        match self.taps {
            Taps::None => "no",
            Taps::Table(_) => "table",
            Taps::Grid(_) => "grid",
        }
    }

    /// The body for a few rows.
    fn few(&self) -> Option<Body> {
        let ([m, _, k], w, epilogue) = (self.size, self.layer.form, self.epilogue_name());
        let fits = m <= FEW_ROWS && k.is_multiple_of(8) && (self.x.dtype == DType::F32 || w == "f16");
        let known = ["f32", "f16"].contains(&w) && ["plain", "bias"].contains(&epilogue);
        if !fits || !known || !matches!(self.taps, Taps::None) {
            return None;
        }
        let (name, rows) = if m == 1 { ("1", 1) } else { ("4", FEW_ROWS) };
        let t = if self.x.dtype == DType::F16 { "f16" } else { "f32" };
        Some((permutation("linear_few", &[("T", t), ("W", w), ("ROWS", name), ("EPI", epilogue)])?, [rows, 16]))
    }

    fn on_matrix_units(&self) -> bool {
        let [m, n, k] = self.size;
        let eights = k.is_multiple_of(8) && n.is_multiple_of(8);
        matrix_kernels(self.capabilities) && self.x.dtype == DType::F16 && eights && m >= MIN_MATRIX_ROWS
    }

    fn matrix(&self, inputs: usize) -> Option<Body> {
        let [m, n, _] = self.size;
        let (tile, edge) = if n > 64 && enough_tiles(m, n) { ("128", 128) } else { ("64", 64) };
        if !self.holds_heads(edge, MATRIX_HEADS) {
            return None;
        }
        let gather = self.gather();
        let tail = if inputs.is_multiple_of(MATRIX_DEPTH) { "0" } else { "1" };
        let kernel = if gather != "no" { "conv3_coop" } else { "linear_coop" };
        let values =
            [("TILE", tile), ("W", self.layer.form), ("EPI", self.epilogue_name()), ("TAIL", tail), ("GATHER", gather)];
        Some((permutation(kernel, &values)?, [edge, edge]))
    }

    fn simt(&self, inputs: usize) -> Option<Body> {
        let [m, n, k] = self.size;
        let vec = inputs.is_multiple_of(4) && n.is_multiple_of(4);
        let (tile, edge) = if vec && enough_tiles(m, n) { ("128", 128) } else { ("32", 32) };
        if !self.holds_heads(edge, 4) {
            return None;
        }
        let tail = if edge == 128 && k.is_multiple_of(PLAIN_DEPTH) { "0" } else { "1" };
        let values = [
            ("T", if self.x.dtype == DType::F16 { "f16" } else { "f32" }),
            ("W", self.layer.form),
            ("VEC", if vec { "4" } else { "1" }),
            ("TILE", tile),
            ("TAIL", tail),
            ("LONG", if edge == 128 && self.x.dtype == DType::F32 && k > LONGEST_PLAIN_SUM { "1" } else { "0" }),
            ("EPI", self.epilogue_name()),
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
/// Columns that a subgroup makes there: heads with norms are a multiple of them.
const MATRIX_HEADS: usize = 32;
/// Products that large tiles without matrix units add up one after the other in f32: their rounding reaches 1.6e-6 of the result
/// here (√(K/2) · 2⁻²⁴/√3), and 4e-6 for the 27 · 1024 of the widest convolution.
const LONGEST_PLAIN_SUM: usize = 4096;

/// Whether 128×128 tiles are enough to keep a device busy: they reuse more than smaller ones.
fn enough_tiles(m: usize, n: usize) -> bool {
    m.div_ceil(128) * n.div_ceil(128) >= 64
}
