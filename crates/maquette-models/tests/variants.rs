//! Configurations that no published checkpoint has but the descriptions allow.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::{collections::BTreeMap, fs, path::Path};

use burn::tensor::{Device, Tensor};
use common::{checkpoint, spread, volume};
use maquette_kernels::Voxels;
use maquette_models::{
    Error, Precision,
    dinov2::{DinoConfig, DinoV2},
    trellis::{LatentFlow, LatentFlowConfig, StructureFlow, StructureFlowConfig},
};
use maquette_weights::{Checkpoint, DType, SafetensorsWriter, TensorInfo, TensorSource};
use serde_json::{Value, json};

type Shapes = Vec<(String, Vec<usize>)>;

fn stored(shapes: &Shapes) -> Checkpoint {
    checkpoint(&shapes.iter().map(|(name, shape)| (name.as_str(), shape.as_slice())).collect::<Vec<_>>())
}

fn layer(shapes: &mut Shapes, name: &str, weight: &[usize]) {
    shapes.push((format!("{name}.weight"), weight.to_vec()));
    shapes.push((format!("{name}.bias"), vec![weight[0]]));
}

/// Keys of a flow's embedder and blocks, width 12, 2 heads.
fn flow(shared: bool, blocks: usize) -> Shapes {
    let mut shapes = Shapes::new();
    layer(&mut shapes, "t_embedder.mlp.0", &[12, 256]);
    layer(&mut shapes, "t_embedder.mlp.2", &[12, 12]);
    if shared {
        layer(&mut shapes, "adaLN_modulation.1", &[72, 12]);
    }
    for i in 0..blocks {
        let b = format!("blocks.{i}");
        if !shared {
            layer(&mut shapes, &format!("{b}.adaLN_modulation.1"), &[72, 12]);
        }
        layer(&mut shapes, &format!("{b}.self_attn.to_qkv"), &[36, 12]);
        layer(&mut shapes, &format!("{b}.self_attn.to_out"), &[12, 12]);
        layer(&mut shapes, &format!("{b}.norm2"), &[12]);
        layer(&mut shapes, &format!("{b}.cross_attn.to_q"), &[12, 12]);
        layer(&mut shapes, &format!("{b}.cross_attn.to_kv"), &[24, 5]);
        layer(&mut shapes, &format!("{b}.cross_attn.to_out"), &[12, 12]);
        shapes.push((format!("{b}.cross_attn.q_rms_norm.gamma"), vec![2, 6]));
        shapes.push((format!("{b}.cross_attn.k_rms_norm.gamma"), vec![2, 6]));
        layer(&mut shapes, &format!("{b}.mlp.mlp.0"), &[24, 12]);
        layer(&mut shapes, &format!("{b}.mlp.mlp.2"), &[12, 24]);
    }
    shapes
}

fn structure_args(shared: bool) -> Value {
    json!({
        "resolution": 4, "in_channels": 3, "out_channels": 3, "model_channels": 12, "cond_channels": 5, "num_blocks": 1,
        "num_heads": 2, "mlp_ratio": 2, "patch_size": 2, "qk_rms_norm_cross": true, "share_mod": shared
    })
}

fn structure(shared: bool) -> StructureFlow {
    let mut shapes = flow(shared, 1);
    layer(&mut shapes, "input_layer", &[12, 24]);
    layer(&mut shapes, "out_layer", &[24, 12]);
    shapes.push(("pos_emb".into(), vec![8, 12]));
    let config = StructureFlowConfig::from_args(&structure_args(shared)).unwrap();
    StructureFlow::load(config, &stored(&shapes), &Device::flex(), Precision::F32).unwrap()
}

#[test]
fn a_shared_modulation_reaches_every_block() {
    let flow = structure(true);
    let moment = flow.moment(&[700.0]);
    let x = volume([2, 3, 4, 4, 4]);
    let cond = flow.condition(volume([1, 7, 5])).unwrap();
    let y = flow.forward(x.clone(), &moment, &cond).unwrap();
    assert_eq!(y.dims(), [2, 3, 4, 4, 4]);
    // Another time changes the result, so the layer is in the path.
    let other = flow.forward(x, &flow.moment(&[100.0]), &cond).unwrap();
    assert!(spread(y, other) > 1e-3);
}

#[test]
fn the_zero_conditions_shortcut_equals_zero_tokens_with_normalised_queries_too() {
    let flow = structure(false);
    let (moment, x) = (flow.moment(&[300.0]), volume([1, 3, 4, 4, 4]));
    let long = flow.forward(x.clone(), &moment, &flow.condition(Tensor::zeros([1, 7, 5], &Device::flex())).unwrap());
    let short = flow.forward(x, &moment, &flow.zero_condition());
    assert!(spread(long.unwrap(), short.unwrap()) < 1e-6);
}

#[test]
fn one_condition_serves_a_batch_as_its_copies_do() {
    let flow = structure(false);
    let (moment, x) = (flow.moment(&[300.0]), volume([2, 3, 4, 4, 4]));
    let cond: Tensor<3> = volume([1, 7, 5]);
    let one = flow.forward(x.clone(), &moment, &flow.condition(cond.clone()).unwrap()).unwrap();
    let both = flow.condition(Tensor::cat(vec![cond.clone(), cond], 0)).unwrap();
    assert!(spread(one, flow.forward(x, &moment, &both).unwrap()) < 1e-6);
}

#[test]
fn wrong_inputs_are_errors() {
    let flow = structure(false);
    assert!(matches!(flow.condition(volume([1, 7, 6])), Err(Error::Input { input: "cond", .. })));
    let moment = flow.moment(&[1.0]);
    let wrong = flow.forward(volume([1, 3, 4, 4, 5]), &moment, &flow.zero_condition());
    assert!(matches!(wrong, Err(Error::Input { input: "x", .. })));
    let mut rope = structure_args(false);
    rope["pe_mode"] = "rope".into();
    assert!(matches!(StructureFlowConfig::from_args(&rope), Err(Error::Config { field: "pe_mode", .. })));
    rope["pe_mode"] = "ape".into();
    rope["patch_size"] = 3.into();
    assert!(matches!(StructureFlowConfig::from_args(&rope), Err(Error::Config { field: "patch_size", .. })));
}

/// Two levels of residual blocks, with and without the connection across.
fn latent(skip: bool, per_level: usize, precision: Precision) -> LatentFlow {
    let mut shapes = flow(false, 1);
    layer(&mut shapes, "input_layer", &[4, 3]);
    layer(&mut shapes, "out_layer", &[3, 4]);
    let mut block = |side: &str, i: usize, inputs: usize, outputs: usize| {
        let b = format!("{side}.{i}");
        layer(&mut shapes, &format!("{b}.norm1"), &[inputs]);
        layer(&mut shapes, &format!("{b}.conv1.conv"), &[outputs, 3, 3, 3, inputs]);
        layer(&mut shapes, &format!("{b}.conv2.conv"), &[outputs, 3, 3, 3, outputs]);
        layer(&mut shapes, &format!("{b}.emb_layers.1"), &[2 * outputs, 12]);
        if inputs != outputs {
            layer(&mut shapes, &format!("{b}.skip_connection"), &[outputs, inputs]);
        }
    };
    let factor = if skip { 2 } else { 1 };
    let (mut i, mut o) = (0, 0);
    for (width, next) in [(4, 6), (6, 12)] {
        for _ in 1..per_level {
            block("input_blocks", i, width, width);
            i += 1;
        }
        block("input_blocks", i, width, next);
        i += 1;
    }
    for (below, width) in [(12, 6), (6, 4)] {
        block("out_blocks", o, factor * below, width);
        o += 1;
        for _ in 1..per_level {
            block("out_blocks", o, factor * width, width);
            o += 1;
        }
    }
    let config = LatentFlowConfig::from_args(&json!({
        "resolution": 16, "in_channels": 3, "out_channels": 3, "model_channels": 12, "cond_channels": 5, "num_blocks": 1,
        "num_heads": 2, "mlp_ratio": 2, "patch_size": 4, "num_io_res_blocks": per_level, "io_block_channels": [4, 6],
        "use_skip_connection": skip, "qk_rms_norm_cross": true
    }));
    LatentFlow::load(config.unwrap(), &stored(&shapes), &Device::flex(), precision).unwrap()
}

fn voxels() -> Voxels {
    let coords = (0..2).flat_map(|b| (0..40).map(move |i| [b, i % 7, (i * 5) % 11, (i * 3) % 13]));
    let distinct: std::collections::BTreeSet<_> = coords.collect();
    Voxels::new(distinct.into_iter().collect()).unwrap()
}

#[test]
fn several_levels_of_residual_blocks_fit_together() {
    for (skip, per_level) in [(true, 1), (true, 3), (false, 2)] {
        let flow = latent(skip, per_level, Precision::F32);
        let voxels = voxels();
        let sites = flow.sites(&voxels);
        assert!(sites.tokens().len() < voxels.len());
        let cond = flow.condition(volume([2, 7, 5])).unwrap();
        let y = flow.forward(volume([voxels.len(), 3]), &sites, &flow.moment(&[900.0, 10.0]), &cond).unwrap();
        assert_eq!(y.dims(), [voxels.len(), 3]);
        let half = latent(skip, per_level, Precision::F16);
        let cond = half.condition(volume([2, 7, 5])).unwrap();
        let near = half.forward(volume([voxels.len(), 3]), &half.sites(&voxels), &half.moment(&[900.0, 10.0]), &cond);
        assert!(spread(y, near.unwrap()) < 2e-2);
    }
}

#[test]
fn a_batch_item_does_not_see_the_other() {
    let flow = latent(true, 2, Precision::F32);
    let all = voxels();
    let count = all.batches().range(0).len();
    let alone = Voxels::new(all.coords()[..count].to_vec()).unwrap();
    let x: Tensor<2> = volume([all.len(), 3]);
    let cond = flow.condition(volume([1, 7, 5])).unwrap();
    let moment = flow.moment(&[500.0]);
    let both = flow.forward(x.clone(), &flow.sites(&all), &moment, &cond).unwrap();
    let one = flow.forward(x.slice([0..count, 0..3]), &flow.sites(&alone), &moment, &cond).unwrap();
    assert!(spread(one, both.slice([0..count, 0..3])) < 1e-5);
}

/// A DINOv2 of width 8 on a 3×3 grid of 2×2 patches.
fn dino(registers: usize, gated: bool) -> DinoV2 {
    let mut shapes = Shapes::new();
    layer(&mut shapes, "patch_embed.proj", &[8, 3, 2, 2]);
    shapes.push(("cls_token".into(), vec![1, 1, 8]));
    shapes.push(("mask_token".into(), vec![1, 8]));
    shapes.push(("pos_embed".into(), vec![1, 10, 8]));
    if registers > 0 {
        shapes.push(("register_tokens".into(), vec![1, registers, 8]));
    }
    for name in ["blocks.0.norm1", "blocks.0.norm2", "norm"] {
        layer(&mut shapes, name, &[8]);
    }
    layer(&mut shapes, "blocks.0.attn.qkv", &[24, 8]);
    layer(&mut shapes, "blocks.0.attn.proj", &[8, 8]);
    if gated {
        layer(&mut shapes, "blocks.0.mlp.w12", &[20, 8]);
        layer(&mut shapes, "blocks.0.mlp.w3", &[8, 10]);
    } else {
        layer(&mut shapes, "blocks.0.mlp.fc1", &[16, 8]);
        layer(&mut shapes, "blocks.0.mlp.fc2", &[8, 16]);
    }
    let config = DinoConfig { num_heads: Some(2), ..DinoConfig::default() };
    DinoV2::load(config, &stored(&shapes), &Device::flex(), Precision::F32).unwrap()
}

#[test]
fn dinov2_without_registers_or_with_a_gated_perceptron_runs_on_any_grid() {
    for (registers, gated) in [(0, false), (4, true)] {
        let dino = dino(registers, gated);
        assert_eq!((dino.picture_size(), dino.depth()), (6, 1));
        for [height, width] in [[6, 6], [4, 10]] {
            let output = dino.forward(volume([2, 3, height, width])).unwrap();
            let patches = height * width / 4;
            assert_eq!(output.x_prenorm.dims(), [2, 1 + registers + patches, 8]);
            assert!(output.condition().is_finite().all().into_scalar::<bool>());
        }
        assert!(matches!(dino.forward(volume([1, 3, 5, 6])), Err(Error::Input { .. })));
        assert!(dino.intermediate_layers(volume([1, 3, 6, 6]), &[1], true).is_err());
    }
}

/// timm's file of the same weights: the class position lies in the class token, registers have another name, no mask token.
#[test]
fn dinov2_in_timms_naming_is_the_same_network() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/goldens/trellis/dinov2");
    let file = fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path());
    let file = file.into_iter().find(|p| p.extension().is_some_and(|e| e == "safetensors")).unwrap();
    let original = Checkpoint::open(&file).unwrap();
    let values = |name: &str| original.get(name).unwrap().to_f32();
    let mut tensors = BTreeMap::new();
    for info in original.infos().filter(|info| info.name != "mask_token") {
        let mut shape = info.shape.clone();
        let mut data = values(&info.name);
        let name = match info.name.as_str() {
            "register_tokens" => "reg_token",
            "pos_embed" => {
                data.drain(..shape[2]);
                shape[1] -= 1;
                "pos_embed"
            }
            "cls_token" => {
                data.iter_mut().zip(values("pos_embed")).for_each(|(token, position)| *token += position);
                "cls_token"
            }
            other => other,
        };
        tensors.insert(name.to_owned(), (shape, data));
    }
    let infos: Vec<TensorInfo> = tensors
        .iter()
        .map(|(name, (shape, _))| TensorInfo { name: name.clone(), dtype: DType::F32, shape: shape.clone() })
        .collect();
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("model.safetensors");
    let mut writer = SafetensorsWriter::create(&path, &infos, &Default::default()).unwrap();
    for (name, (_, data)) in &tensors {
        writer.write(name, &data.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>()).unwrap();
    }
    writer.finish().unwrap();
    let renamed = Checkpoint::open(&path).unwrap();
    let output = |weights: &Checkpoint| {
        let network = DinoV2::load(DinoConfig::default(), weights, &Device::flex(), Precision::F32).unwrap();
        let side = network.picture_size();
        network.forward(volume([1, 3, side, side])).unwrap().condition().into_data().try_into_vec::<f32>().unwrap()
    };
    assert_eq!(output(&original), output(&renamed));
}
