//! Activations by themselves.

use burn::tensor::Tensor;

use super::{cube, dense::activation_code, element, empty, gpu, launch, permutation, tensor, units_of_four};
use crate::Activation;

pub(crate) fn activate(x: &Tensor<2>, act: Activation) -> Option<Tensor<2>> {
    let capabilities = gpu(x)?;
    let t = element(x.dtype(), &capabilities)?;
    let [rows, width] = x.dims();
    if rows == 0 || width == 0 {
        return None;
    }
    let (unit, units) = units_of_four(rows * width);
    let permutation = permutation("activate", &[("T", t), ("UNIT", unit)])?;
    let x = cube(x)?;
    let y = empty(&x, [rows, width], x.dtype);
    launch(permutation, &[&x, &y], vec![units as u32, activation_code(act)], units.div_ceil(256));
    Some(tensor(y))
}
