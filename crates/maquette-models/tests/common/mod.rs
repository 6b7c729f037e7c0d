//! Checkpoints and tensors made up for tests.

#![allow(dead_code, reason = "every test program uses a part of it")]

use burn::tensor::{Device, Tensor, TensorData};
use maquette_weights::Checkpoint;

/// A checkpoint in memory with small repeatable values.
pub fn checkpoint(shapes: &[(&str, &[usize])]) -> Checkpoint {
    stored(shapes.iter().map(|(name, shape)| {
        let count: usize = shape.iter().product();
        // By name, so that the same tensor is the same in another checkpoint.
        let phase = name.bytes().fold(0u32, |h, b| h.wrapping_mul(31).wrapping_add(u32::from(b))) % 1000;
        let values = (0..count).map(|i| ((phase as f32 + i as f32) * 0.7).sin().mul_add(0.2, 0.01)).collect();
        ((*name).to_owned(), shape.to_vec(), values)
    }))
}

/// A checkpoint in memory of names, shapes and values.
pub fn stored(tensors: impl Iterator<Item = (String, Vec<usize>, Vec<f32>)>) -> Checkpoint {
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for (name, shape, values) in tensors {
        let start = data.len();
        data.extend(values.iter().flat_map(|v| v.to_le_bytes()));
        let entry = serde_json::json!({"dtype": "F32", "shape": shape, "data_offsets": [start, data.len()]});
        header.insert(name, entry);
    }
    let header = serde_json::to_vec(&header).unwrap();
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header);
    bytes.extend(data);
    Checkpoint::from_bytes(bytes).unwrap()
}

/// Values in [-1, 1) that depend on a name only, as `numbers` in `tests/reference/u2net.py` makes them: FNV-1a seeds a counter,
/// murmur's finaliser mixes it.
pub fn numbers(name: &str, count: usize) -> Vec<f32> {
    let seed = name.bytes().fold(2_166_136_261u32, |h, b| (h ^ u32::from(b)).wrapping_mul(16_777_619));
    let value = |i: usize| {
        let mut x = (i as u32).wrapping_mul(0x9e37_79b1).wrapping_add(seed);
        x = (x ^ (x >> 16)).wrapping_mul(0x85eb_ca6b);
        x = (x ^ (x >> 13)).wrapping_mul(0xc2b2_ae35);
        x ^= x >> 16;
        (x >> 8) as f32 / 8_388_608.0 - 1.0
    };
    (0..count).map(value).collect()
}

/// Smooth values of any shape.
pub fn volume<const D: usize>(shape: [usize; D]) -> Tensor<D> {
    let values: Vec<f32> = (0..shape.iter().product::<usize>()).map(|i| (i as f32 * 0.31).cos()).collect();
    Tensor::from_data(TensorData::new(values, shape), &Device::flex())
}

/// Largest difference.
pub fn spread<const D: usize>(a: Tensor<D>, b: Tensor<D>) -> f32 {
    (a - b).abs().max().into_scalar()
}
