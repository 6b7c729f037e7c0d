//! Linear layers.

use burn::tensor::{DType, Tensor};
use burn_cubecl::tensor::CubeTensor;
use maquette_gpu::Capabilities;

use super::{cube, cube_as, element, empty, gpu, group_words, launch, permutation, tensor};
use crate::{Activation, Linear, RowGroups};

/// What follows the sum, with its tensors.
enum Epilogue {
    Plain,
    Bias(CubeTensor),
    Residual(CubeTensor, CubeTensor),
    Gate { bias: CubeTensor, residual: CubeTensor, gate: CubeTensor },
}

impl Epilogue {
    fn name(&self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Bias(_) => "bias",
            Self::Residual(..) => "residual",
            Self::Gate { .. } => "gate",
        }
    }

    fn buffers(&self) -> Vec<&CubeTensor> {
        match self {
            Self::Plain => vec![],
            Self::Bias(bias) => vec![bias],
            Self::Residual(bias, residual) => vec![bias, residual],
            Self::Gate { bias, residual, gate } => vec![bias, residual, gate],
        }
    }
}

fn activation_code(act: Activation) -> u32 {
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
        Some(bias) => Epilogue::Bias(cube_as(bias, x.dtype())?),
        None => Epilogue::Plain,
    };
    multiply(&capabilities, x, layer, epilogue, act, &RowGroups::single(0))
}

pub(crate) fn linear_residual(
    x: &Tensor<2>,
    layer: &Linear,
    residual: &Tensor<2>,
    gate: Option<(&Tensor<2>, &RowGroups)>,
) -> Option<Tensor<2>> {
    let capabilities = gpu(x)?;
    if residual.dtype() != x.dtype() {
        return None;
    }
    let bias = match &layer.bias {
        Some(bias) => cube_as(bias, x.dtype())?,
        None => cube(&Tensor::<1>::zeros([layer.outputs()], (&x.device(), x.dtype())))?,
    };
    let residual = cube(residual)?;
    match gate {
        Some((gate, groups)) => {
            let gate = cube_as(gate, x.dtype())?;
            multiply(&capabilities, x, layer, Epilogue::Gate { bias, residual, gate }, Activation::None, groups)
        }
        None => {
            let epilogue = Epilogue::Residual(bias, residual);
            multiply(&capabilities, x, layer, epilogue, Activation::None, &RowGroups::single(0))
        }
    }
}

fn multiply(
    capabilities: &Capabilities,
    x: &Tensor<2>,
    layer: &Linear,
    epilogue: Epilogue,
    act: Activation,
    groups: &RowGroups,
) -> Option<Tensor<2>> {
    let (t, dtype) = (element(x.dtype(), capabilities)?, x.dtype());
    let ([m, k], n) = (x.dims(), layer.outputs());
    if m == 0 || n == 0 || k == 0 {
        return None;
    }
    // f16 activations with f32 weights would need a kernel that nothing asks for: the weights are rounded instead.
    let weight = match (dtype, layer.weight.dtype()) {
        (DType::F32, DType::F16) => cube(&layer.weight)?,
        _ => cube_as(&layer.weight, dtype)?,
    };
    let x = cube(x)?;
    let vec = if k.is_multiple_of(4) && n.is_multiple_of(4) { "4" } else { "1" };
    let (tile, edge) = tile(m, n, vec == "4");
    let w = if weight.dtype == DType::F16 { "f16" } else { "f32" };
    let permutation = permutation(
        "linear_simt",
        &[("T", t), ("W", w), ("VEC", vec), ("TILE", tile), ("EPI", epilogue.name()), ("GATHER", "0")],
    )?;
    let y = empty(&x, [m, n], dtype);
    let across = n.div_ceil(edge);
    let tiles = across * m.div_ceil(edge);
    let mut info = vec![m as u32, n as u32, k as u32, activation_code(act), across as u32, tiles as u32, 0, 0];
    group_words(groups, &mut info);
    let mut buffers = vec![&x, &weight];
    buffers.extend(epilogue.buffers());
    buffers.push(&y);
    launch(permutation, &buffers, info, tiles);
    Some(tensor(y))
}

/// Big tiles reuse more, small ones keep more of the device busy.
fn tile(m: usize, n: usize, vector: bool) -> (&'static str, usize) {
    const ENOUGH_TILES: usize = 64;
    if vector && m.div_ceil(128) * n.div_ceil(128) >= ENOUGH_TILES { ("128", 128) } else { ("32", 32) }
}
