//! The encoders: key sets as published, shapes, and their own parts against Burn's convolution. The original's reference numbers lack
//! them; `reference.rs` compares them with the independent implementation.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use burn::tensor::{Device, Tensor, TensorData, module, ops::ConvOptions};
use common::{checkpoint, spread, volume};
use maquette_kernels::{Voxels, volume_to_rows};
use maquette_models::{
    Error, Precision,
    loading::Loading,
    trellis::{DownsampleBlock, LatentEncoder, StructureEncoder, StructureEncoderConfig},
};

#[test]
fn downsampling_is_a_convolution_of_stride_two() {
    let weights = checkpoint(&[("conv.weight", &[5, 3, 2, 2, 2]), ("conv.bias", &[5])]);
    let device = Device::flex();
    let loading = Loading::new("DownsampleBlock3d", &weights, &device, Precision::F32);
    let block = DownsampleBlock::load(&loading.root(), 3, 5).unwrap();
    let x = volume([2, 3, 4, 6, 2]);
    let (rows, grid) = volume_to_rows(x.clone());
    let (found, half) = block.forward(rows, grid);
    assert_eq!(half.size, [2, 3, 1]);

    let tensor = |name: &str| weights.tensor(name).unwrap().to_f32();
    let weight = Tensor::<5>::from_data(TensorData::new(tensor("conv.weight"), [5, 3, 2, 2, 2]), &device);
    let bias = Tensor::<1>::from_data(TensorData::new(tensor("conv.bias"), [5]), &device);
    let expected = module::conv3d(x, weight, Some(bias), ConvOptions::new([2; 3], [0; 3], [1; 3], 1));
    assert!(spread(found, volume_to_rows(expected).0) < 1e-5);
}

const STRUCTURE: &[(&str, &[usize])] = &[
    ("input_layer.weight", &[4, 1, 3, 3, 3]),
    ("input_layer.bias", &[4]),
    ("blocks.0.norm1.weight", &[4]),
    ("blocks.0.norm1.bias", &[4]),
    ("blocks.0.norm2.weight", &[4]),
    ("blocks.0.norm2.bias", &[4]),
    ("blocks.0.conv1.weight", &[4, 4, 3, 3, 3]),
    ("blocks.0.conv1.bias", &[4]),
    ("blocks.0.conv2.weight", &[4, 4, 3, 3, 3]),
    ("blocks.0.conv2.bias", &[4]),
    ("blocks.1.conv.weight", &[6, 4, 2, 2, 2]),
    ("blocks.1.conv.bias", &[6]),
    ("blocks.2.norm1.weight", &[6]),
    ("blocks.2.norm1.bias", &[6]),
    ("blocks.2.norm2.weight", &[6]),
    ("blocks.2.norm2.bias", &[6]),
    ("blocks.2.conv1.weight", &[6, 6, 3, 3, 3]),
    ("blocks.2.conv1.bias", &[6]),
    ("blocks.2.conv2.weight", &[6, 6, 3, 3, 3]),
    ("blocks.2.conv2.bias", &[6]),
    ("middle_block.0.norm1.weight", &[6]),
    ("middle_block.0.norm1.bias", &[6]),
    ("middle_block.0.norm2.weight", &[6]),
    ("middle_block.0.norm2.bias", &[6]),
    ("middle_block.0.conv1.weight", &[6, 6, 3, 3, 3]),
    ("middle_block.0.conv1.bias", &[6]),
    ("middle_block.0.conv2.weight", &[6, 6, 3, 3, 3]),
    ("middle_block.0.conv2.bias", &[6]),
    ("out_layer.0.weight", &[6]),
    ("out_layer.0.bias", &[6]),
    ("out_layer.2.weight", &[16, 6, 3, 3, 3]),
    ("out_layer.2.bias", &[16]),
];

fn structure_config() -> StructureEncoderConfig {
    StructureEncoderConfig::from_args(&serde_json::json!({
        "in_channels": 1, "latent_channels": 8, "num_res_blocks": 1, "num_res_blocks_middle": 1, "channels": [4, 6]
    }))
    .unwrap()
}

#[test]
fn the_structure_encoder_takes_the_published_keys_and_gives_a_distribution() {
    let weights = checkpoint(STRUCTURE);
    let encoder = StructureEncoder::load(structure_config(), &weights, &Device::flex(), Precision::F32).unwrap();
    let found = encoder.forward(volume([2, 1, 4, 4, 6])).unwrap();
    assert_eq!((found.mean.dims(), found.logvar.dims()), ([2, 8, 2, 2, 3], [2, 8, 2, 2, 3]));
    assert!(spread(found.sample(found.mean.zeros_like()), found.mean.clone()) == 0.0);
    // An edge that cannot be halved is refused, not rounded.
    assert!(matches!(encoder.forward(volume([1, 1, 4, 4, 3])), Err(Error::Input { .. })));

    let half = StructureEncoder::load(structure_config(), &weights, &Device::flex(), Precision::F16).unwrap();
    let near = half.forward(volume([2, 1, 4, 4, 6])).unwrap().mean;
    assert!(spread(near, found.mean) < 2e-2);
}

#[test]
fn a_checkpoint_with_other_keys_is_refused() {
    let mut more = STRUCTURE.to_vec();
    more.push(("blocks.9.conv.bias", &[6]));
    let error = StructureEncoder::load(structure_config(), &checkpoint(&more), &Device::flex(), Precision::F32);
    assert!(matches!(error, Err(Error::UnexpectedTensors { names, .. }) if names == ["blocks.9.conv.bias"]));
    let error = StructureEncoder::load(structure_config(), &checkpoint(&more[1..]), &Device::flex(), Precision::F32);
    assert!(matches!(error, Err(Error::Weights(maquette_weights::Error::MissingTensor { .. }))));
}

#[test]
fn the_latent_encoder_takes_the_published_keys_and_gives_a_distribution() {
    let weights = checkpoint(&[
        ("input_layer.weight", &[12, 7]),
        ("input_layer.bias", &[12]),
        ("blocks.0.attn.to_qkv.weight", &[36, 12]),
        ("blocks.0.attn.to_qkv.bias", &[36]),
        ("blocks.0.attn.to_out.weight", &[12, 12]),
        ("blocks.0.attn.to_out.bias", &[12]),
        ("blocks.0.mlp.mlp.0.weight", &[24, 12]),
        ("blocks.0.mlp.mlp.0.bias", &[24]),
        ("blocks.0.mlp.mlp.2.weight", &[12, 24]),
        ("blocks.0.mlp.mlp.2.bias", &[12]),
        ("out_layer.weight", &[16, 12]),
        ("out_layer.bias", &[16]),
    ]);
    let args = serde_json::json!({
        "resolution": 64, "in_channels": 7, "model_channels": 12, "latent_channels": 8, "num_blocks": 1, "num_heads": 3,
        "mlp_ratio": 2, "attn_mode": "swin", "window_size": 8, "use_fp16": true
    });
    let encoder = LatentEncoder::load(&args, &weights, &Device::flex(), Precision::F32).unwrap();
    let voxels = Voxels::new(vec![[0, 1, 2, 3], [0, 9, 2, 3], [1, 0, 0, 0]]).unwrap();
    let found = encoder.forward(volume([3, 7]), &voxels).unwrap();
    assert_eq!((found.mean.dims(), found.logvar.dims()), ([3, 8], [3, 8]));
    // Voxels of other windows and batch items must not be seen.
    let alone = Voxels::new(vec![[0, 1, 2, 3]]).unwrap();
    let single = encoder.forward(volume([3, 7]).slice([0..1, 0..7]), &alone).unwrap();
    assert!(spread(single.mean, found.mean.slice([0..1, 0..8])) < 1e-6);

    let mut rope = args.clone();
    rope["pe_mode"] = "rope".into();
    let refused = LatentEncoder::load(&rope, &weights, &Device::flex(), Precision::F32);
    assert!(matches!(refused, Err(Error::Config { field: "pe_mode", .. })));
}
