//! Checkpoints and tensors made up for tests.

use burn::tensor::{Device, Tensor, TensorData};
use maquette_weights::Checkpoint;

/// A checkpoint in memory with small repeatable values.
pub fn checkpoint(shapes: &[(&str, &[usize])]) -> Checkpoint {
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for (name, shape) in shapes {
        let start = data.len();
        let count: usize = shape.iter().product();
        // By name, so that the same tensor is the same in another checkpoint.
        let phase = name.bytes().fold(0u32, |h, b| h.wrapping_mul(31).wrapping_add(u32::from(b))) % 1000;
        data.extend((0..count).flat_map(|i| ((phase as f32 + i as f32) * 0.7).sin().mul_add(0.2, 0.01).to_le_bytes()));
        let entry = serde_json::json!({"dtype": "F32", "shape": shape, "data_offsets": [start, data.len()]});
        header.insert((*name).to_owned(), entry);
    }
    let header = serde_json::to_vec(&header).unwrap();
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header);
    bytes.extend(data);
    Checkpoint::from_bytes(bytes).unwrap()
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
