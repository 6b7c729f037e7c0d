//! Changes of resolution.

use burn::tensor::{Int, Tensor};
use burn_cubecl::{CubeBackend, kernel::into_contiguous};

use super::{cube, element, empty, gpu, launch, permutation, tensor, units_of_four};

/// `children` is `[8, coarse rows]`, padded with the number of fine rows.
pub(crate) fn downsample(x: &Tensor<2>, children: impl FnOnce() -> Tensor<2, Int>) -> Option<Tensor<2>> {
    let capabilities = gpu(x)?;
    let t = element(x.dtype(), &capabilities)?;
    let [fine, width] = x.dims();
    if fine == 0 || width == 0 {
        return None;
    }
    let (unit, units) = units_of_four(width);
    let permutation = permutation("downsample", &[("T", t), ("UNIT", unit)])?;
    let children = children();
    let [_, coarse] = children.dims();
    let (x, children) = (cube(x)?, into_contiguous(children.try_into_primitive::<CubeBackend>().ok()?));
    let y = empty(&x, [coarse, width], x.dtype);
    let info = vec![coarse as u32, fine as u32, units as u32];
    launch(permutation, &[&x, &children, &y], info, (coarse * units).div_ceil(256));
    Some(tensor(y))
}
