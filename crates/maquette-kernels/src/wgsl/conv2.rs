//! Convolutions of pictures.

use burn::tensor::Tensor;
use maquette_gpu::{AdapterKind, Capabilities};

use super::{cube, cube_as, cube_f32, element, empty, gpu, launch, permutation, tensor};
use crate::conv2::block;

/// Invocations of a workgroup.
const INVOCATIONS: usize = 64;

/// Whether the kernel is what will read these weights, so that they are laid out for it.
pub(crate) fn conv2_packs(weight: &Tensor<4>, dilation: usize) -> bool {
    let [outputs, inputs, high, wide] = weight.dims();
    let known = high == wide && (high == 1 || high == 3) && outputs > 0 && inputs > 0 && dilation > 0;
    known && gpu(weight).is_some_and(|capabilities| element(weight.dtype(), &capabilities).is_some())
}

/// Rows that an invocation makes. More of them mean fewer loads for a product, which is what a software adapter pays for; a card
/// rather wants invocations.
fn rows_together(capabilities: &Capabilities, height: usize, dilation: usize) -> (&'static str, usize) {
    let plenty = height.div_ceil(dilation) > 4;
    if capabilities.kind == AdapterKind::Software && plenty { ("8", 8) } else { ("4", 4) }
}

/// `weight` as [`crate::Conv2`] lays it out, `size` outputs, inputs and edge of the kernel.
pub(crate) fn conv2(
    x: &Tensor<4>,
    weight: &Tensor<1>,
    bias: &Tensor<1>,
    size: [usize; 3],
    dilation: usize,
    relu: bool,
) -> Option<Tensor<4>> {
    let capabilities = gpu(x)?;
    let t = element(x.dtype(), &capabilities)?;
    let ([items, channels, height, width], [outputs, inputs, edge]) = (x.dims(), size);
    if x.dims().contains(&0) || channels != inputs || bias.dims() != [outputs] {
        return None;
    }
    let (rows, count) = rows_together(&capabilities, height, dilation);
    let outs = block(outputs);
    let values = [
        ("T", t),
        ("K", if edge == 1 { "1" } else { "3" }),
        ("OUTS", if outs == 8 { "8" } else { "4" }),
        ("ROWS", rows),
    ];
    let permutation = permutation("conv2", &values)?;
    let firsts = dilation.min(height);
    let bands = firsts * height.div_ceil(dilation).div_ceil(count);
    let (groups, blocks) = ((bands * width).div_ceil(INVOCATIONS), outputs.div_ceil(outs));
    let relu = usize::from(relu);
    let words = [inputs, outputs, height, width, dilation, firsts, bands, groups, blocks, items * blocks, relu];
    let (x, weight, bias) = (cube(x)?, cube_as(weight, x.dtype())?, cube_f32(bias)?);
    let y = empty(&x, [items, outputs, height, width], x.dtype);
    let info = words.iter().map(|word| *word as u32).collect();
    launch(permutation, &[&x, &weight, &bias, &y], info, groups * blocks * items);
    Some(tensor(y))
}
