//! Exclusive prefix sums.

use burn::tensor::{Int, Tensor};
use burn_cubecl::tensor::CubeTensor;

use crate::{
    Error,
    buffers::{Buffers, int_tensor, upload_words, words_of},
};

/// Words a workgroup takes.
pub(crate) const BLOCK: usize = 2048;

/// Running sums of words, before each: `y[i] = x[0] + … + x[i − 1]`, one entry more than `x` has, so that the last is the
/// sum of all. Sums wrap around at 2³².
///
/// `x` is `[N]`, any N; the result `[N + 1]` of type U32. Reduce, then scan: no workgroup waits for another.
///
/// # Errors
/// [`Error::Read`] if a tensor of the CPU tier cannot be read.
pub fn exclusive_sum(x: &Tensor<1, Int>) -> Result<Tensor<1, Int>, Error> {
    let length = x.dims()[0];
    if let (Some(buffers), Some(words)) = (Buffers::on(&x.device()), words_of(x)) {
        return Ok(int_tensor(scan(&buffers, &words, length)));
    }
    let data = x.try_to_data().map_err(|error| Error::Read { message: format!("{error:?}") })?;
    let words = data.try_to_vec_as::<i64>().map_err(|error| Error::Read { message: format!("{error:?}") })?;
    let mut sums = Vec::with_capacity(length + 1);
    let mut sum = 0u32;
    sums.push(sum);
    for word in words {
        sum = sum.wrapping_add(word as u32);
        sums.push(sum);
    }
    Ok(upload_words(sums, [length + 1], &x.device()))
}

/// The same on buffers: the sums before each of the first `length` words of `x`, and of all.
pub(crate) fn scan(buffers: &Buffers, x: &CubeTensor, length: usize) -> CubeTensor {
    if length == 0 {
        return buffers.ramp(1, 0, 0);
    }
    let y = buffers.words(length + 1);
    let blocks = length.div_ceil(BLOCK);
    let info = vec![length as u32];
    if blocks == 1 {
        buffers.run_either("block_scan", &[("SUMS", "0")], &[x, &y], info, 1);
        return y;
    }
    let sums = buffers.words(blocks);
    buffers.run_either("block_sums", &[], &[x, &sums], info.clone(), blocks);
    let sums = scan(buffers, &sums, blocks);
    buffers.run_either("block_scan", &[("SUMS", "1")], &[x, &y, &sums], info, blocks);
    y
}
