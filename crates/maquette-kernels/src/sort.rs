//! Stable radix sort.

use burn::tensor::{Device, Int, Tensor};
use burn_cubecl::tensor::CubeTensor;

use crate::{
    Error,
    buffers::{Buffers, int_tensor, upload_words, words_of},
    scan::{BLOCK, scan},
};

/// Bits a pass sorts by.
const DIGIT: u32 = 4;

/// Sorts `keys` `[N]` (unsigned words) and moves `payload` `[N]` along; equal keys keep their order. Any N.
///
/// Returns keys and payload in order, both `[N]` of type U32.
///
/// # Errors
/// [`Error::Lengths`] if there is not one payload a key; [`Error::Read`] if a tensor of the CPU tier cannot be read.
pub fn sort_pairs(keys: &Tensor<1, Int>, payload: &Tensor<1, Int>) -> Result<(Tensor<1, Int>, Tensor<1, Int>), Error> {
    let length = same_length("payload", payload, keys)?;
    let device = keys.device();
    if length == 0 {
        return Ok((upload_words(vec![], [0], &device), upload_words(vec![], [0], &device)));
    }
    if let (Some(buffers), Some(keys), Some(payload)) = (Buffers::on(&device), words_of(keys), words_of(payload)) {
        let (keys, payload) = radix_sort(&buffers, keys, payload, length, 32);
        return Ok((int_tensor(keys), int_tensor(payload)));
    }
    let mut pairs: Vec<(u32, u32)> = read(keys)?.into_iter().zip(read(payload)?).collect();
    pairs.sort_by_key(|pair| pair.0);
    let (keys, payload): (Vec<u32>, Vec<u32>) = pairs.into_iter().unzip();
    Ok((upload(keys, &device), upload(payload, &device)))
}

/// Sorts 64-bit keys, given as `high` and `low` words `[N]` each, and moves `payload` `[N]` along; equal keys keep their
/// order. Any N.
///
/// Returns high words, low words and payload in order, each `[N]` of type U32.
///
/// # Errors
/// As [`sort_pairs`].
pub fn sort_wide_pairs(
    high: &Tensor<1, Int>,
    low: &Tensor<1, Int>,
    payload: &Tensor<1, Int>,
) -> Result<[Tensor<1, Int>; 3], Error> {
    let length = same_length("low words", low, high)?;
    same_length("payload", payload, high)?;
    let device = high.device();
    if length == 0 {
        return Ok(std::array::from_fn(|_| upload_words(vec![], [0], &device)));
    }
    let words = (words_of(high), words_of(low), words_of(payload));
    if let (Some(buffers), (Some(high), Some(low), Some(payload))) = (Buffers::on(&device), words) {
        let (_, order) = radix_sort(&buffers, low.clone(), buffers.ramp(length, 0, 1), length, 32);
        let upper = buffers.gather(&high, &order, length);
        let (high, order) = radix_sort(&buffers, upper, order, length, 32);
        let (low, payload) = (buffers.gather(&low, &order, length), buffers.gather(&payload, &order, length));
        return Ok([high, low, payload].map(int_tensor));
    }
    let mut rows: Vec<[u32; 3]> =
        read(high)?.into_iter().zip(read(low)?).zip(read(payload)?).map(|((h, l), p)| [h, l, p]).collect();
    rows.sort_by_key(|row| [row[0], row[1]]);
    Ok(std::array::from_fn(|k| upload(rows.iter().map(|row| row[k]).collect(), &device)))
}

/// Sorts the first `length` (at least one) keys by their lowest `bits` bits. The buffers that come in are left as they are.
pub(crate) fn radix_sort(
    buffers: &Buffers,
    mut keys: CubeTensor,
    mut payload: CubeTensor,
    length: usize,
    bits: u32,
) -> (CubeTensor, CubeTensor) {
    let blocks = length.div_ceil(BLOCK);
    let counts = buffers.words(16 * blocks);
    for shift in (0..bits).step_by(DIGIT as usize) {
        let info = vec![length as u32, shift];
        buffers.run_either("radix_count", &[], &[&keys, &counts], info.clone(), blocks);
        let offsets = scan(buffers, &counts, 16 * blocks);
        let (sorted_keys, sorted_payload) = (buffers.words(length), buffers.words(length));
        let moved = [&keys, &payload, &offsets, &sorted_keys, &sorted_payload];
        buffers.run_either("radix_scatter", &[], &moved, info, blocks);
        (keys, payload) = (sorted_keys, sorted_payload);
    }
    (keys, payload)
}

fn same_length(what: &'static str, x: &Tensor<1, Int>, keys: &Tensor<1, Int>) -> Result<usize, Error> {
    let (expected, got) = (keys.dims()[0], x.dims()[0]);
    if expected == got { Ok(got) } else { Err(Error::Lengths { what, expected, got }) }
}

fn read(x: &Tensor<1, Int>) -> Result<Vec<u32>, Error> {
    let data = x.try_to_data().map_err(|error| Error::Read { message: format!("{error:?}") })?;
    let words = data.try_to_vec_as::<i64>().map_err(|error| Error::Read { message: format!("{error:?}") })?;
    Ok(words.into_iter().map(|word| word as u32).collect())
}

fn upload(words: Vec<u32>, device: &Device) -> Tensor<1, Int> {
    let length = words.len();
    upload_words(words, [length], device)
}
