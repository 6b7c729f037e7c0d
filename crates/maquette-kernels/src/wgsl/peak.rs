//! Kernels that do nothing but reach for a device's limits.

use burn::tensor::{DType, Tensor};

use super::{cube, empty, gpu, launch, matrix_kernels, permutation};

/// Workgroups that keep any device busy.
const WORKGROUPS: usize = 2048;
const INVOCATIONS: usize = 256;

/// Does nothing that takes time; `None` without a GPU.
pub(crate) fn nothing(like: &Tensor<1>) -> Option<()> {
    gpu(like)?;
    let y = empty(&cube(like)?, [1], DType::U32);
    launch(permutation("peak_empty", &[])?, &[&y], vec![7], 1);
    Some(())
}

/// Copies `x` once; the bytes moved (read and written), or `None` without a GPU.
pub(crate) fn copy(x: &Tensor<1>) -> Option<f64> {
    gpu(x)?;
    let x = cube(x)?;
    let bytes = x.meta.num_elements() * x.dtype.size();
    let vectors = bytes / 16;
    let y = empty(&x, [x.meta.num_elements()], x.dtype);
    launch(permutation("peak_copy", &[])?, &[&x, &y], vec![vectors as u32], vectors.div_ceil(INVOCATIONS));
    Some(2.0 * bytes as f64)
}

/// Multiply-adds in registers beside `like`; the floating-point operations.
pub(crate) fn multiply_add(like: &Tensor<1>) -> Option<f64> {
    const ROUNDS: usize = 256;
    gpu(like)?;
    let y = empty(&cube(like)?, [WORKGROUPS * INVOCATIONS * 4], DType::F32);
    launch(permutation("peak_multiply_add", &[])?, &[&y], vec![ROUNDS as u32], WORKGROUPS);
    Some(WORKGROUPS as f64 * INVOCATIONS as f64 * ROUNDS as f64 * 128.0)
}

/// Matrix multiply-adds in registers on `x` (f16, at least 2,048 elements); the floating-point operations, or `None` where
/// there are no matrix units.
pub(crate) fn matrix(x: &Tensor<1>) -> Option<f64> {
    const ROUNDS: usize = 512;
    if !matrix_kernels(&*gpu(x)?) || x.dtype() != DType::F16 || x.dims()[0] < 2048 {
        return None;
    }
    let x = cube(x)?;
    let subgroups = WORKGROUPS * INVOCATIONS / 32;
    let y = empty(&x, [subgroups * 8 * 256], DType::F32);
    launch(permutation("peak_matrix", &[])?, &[&x, &y], vec![ROUNDS as u32], WORKGROUPS);
    Some((subgroups * ROUNDS * 8 * 2 * 16 * 16 * 16) as f64)
}
