//! Rows picked by index.

use burn::tensor::{DType, Int, Tensor};
use burn_cubecl::{CubeBackend, kernel::into_contiguous, tensor::CubeTensor};

use super::{cube, empty, gpu, launch, permutation, tensor};

fn indices(index: &Tensor<1, Int>) -> Option<CubeTensor> {
    let index =
        if matches!(index.dtype(), DType::I32 | DType::U32) { index.clone() } else { index.clone().cast(DType::I32) };
    index.try_into_primitive::<CubeBackend>().ok().map(into_contiguous)
}

/// Words of a row and the unit they are moved in; `None` for rows that are no whole words.
fn units(x: &Tensor<2>) -> Option<(&'static str, usize)> {
    let bytes = x.dims()[1] * x.dtype().size();
    match bytes {
        0 => None,
        _ if bytes.is_multiple_of(16) => Some(("4", bytes / 16)),
        _ if bytes.is_multiple_of(4) => Some(("1", bytes / 4)),
        _ => None,
    }
}

/// `y[i] = x[index[i]]`; every index is inside.
pub(crate) fn gather(x: &Tensor<2>, index: &Tensor<1, Int>) -> Option<Tensor<2>> {
    gpu(x)?;
    let (unit, units) = units(x)?;
    let ([rows, width], [count]) = (x.dims(), index.dims());
    if rows == 0 || count == 0 {
        return None;
    }
    let (x, index) = (cube(x)?, indices(index)?);
    let y = empty(&x, [count, width], x.dtype);
    let permutation = permutation("move_rows", &[("DIRECTION", "gather"), ("UNIT", unit)])?;
    let info = vec![count as u32, rows as u32, units as u32];
    launch(permutation, &[&x, &index, &y], info, (count * units).div_ceil(256));
    Some(tensor(y))
}

/// `y[index[i]] = x[i]` into zeros of `rows` rows; indices are distinct.
pub(crate) fn scatter(x: &Tensor<2>, index: &Tensor<1, Int>, rows: usize) -> Option<Tensor<2>> {
    gpu(x)?;
    let (unit, units) = units(x)?;
    let [count, width] = x.dims();
    if rows == 0 || count == 0 {
        return None;
    }
    let zeros = Tensor::<2>::zeros([rows, width], (&x.device(), x.dtype()));
    let (x, index, y) = (cube(x)?, indices(index)?, cube(&zeros)?);
    let permutation = permutation("move_rows", &[("DIRECTION", "scatter"), ("UNIT", unit)])?;
    let info = vec![count as u32, rows as u32, units as u32];
    launch(permutation, &[&x, &index, &y], info, (count * units).div_ceil(256));
    Some(tensor(y))
}
