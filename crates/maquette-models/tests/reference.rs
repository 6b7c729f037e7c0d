//! Forms that the original's reference numbers lack, against the independent PyTorch implementation (`tests/reference/variants.py`):
//! both encoders, latent flows of several levels, shared modulation, normalised cross-attention, group norms, gated perceptrons.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::{fs, path::Path};

use burn::tensor::{Device, FloatDType, Tensor, TensorData};
use maquette_kernels::Voxels;
use maquette_models::{
    Precision,
    dinov2::{DinoConfig, DinoV2},
    trellis::{
        LatentEncoder, LatentFlow, LatentFlowConfig, StructureDecoder, StructureDecoderConfig, StructureEncoder,
        StructureEncoderConfig, StructureFlow, StructureFlowConfig,
    },
};
use maquette_weights::Checkpoint;
use serde_json::Value;

/// One case: its description, its weights and its numbers.
struct Case {
    name: &'static str,
    args: Value,
    weights: Checkpoint,
    numbers: Checkpoint,
}

impl Case {
    fn read(name: &'static str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/goldens/variants");
        let all: Value = serde_json::from_slice(&fs::read(folder.join("variants.json")).unwrap()).unwrap();
        let shapes = all[name]["weights"].as_object().unwrap();
        let weights = common::stored(shapes.iter().map(|(key, shape)| {
            let shape: Vec<usize> = shape.as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as usize).collect();
            (key.clone(), shape.clone(), weight_of(key, &shape))
        }));
        let numbers = Checkpoint::open(folder.join("variants.safetensors")).unwrap();
        Self { name, args: all[name]["args"].clone(), weights, numbers }
    }

    fn tensor<const D: usize>(&self, key: &str) -> Tensor<D> {
        let stored = self.numbers.tensor(&format!("{}.{key}", self.name)).unwrap();
        Tensor::from_data(TensorData::new(stored.to_f32().to_vec(), stored.shape().to_vec()), &Device::flex())
    }

    fn times(&self) -> Vec<f32> {
        self.tensor::<1>("in.t").into_data().try_into_vec().unwrap()
    }

    fn voxels(&self) -> Voxels {
        let rows = self.tensor::<2>("in.coords").into_data().try_into_vec::<f32>().unwrap();
        Voxels::new(rows.chunks_exact(4).map(|c| [0, 1, 2, 3].map(|i| c[i] as i32)).collect()).unwrap()
    }

    /// f32 as single modules must be, f16 as near to it as asked.
    fn check<const D: usize>(&self, key: &str, found: Tensor<D>, precision: Precision) {
        let expected = self.tensor::<D>(key);
        assert_eq!(found.dims(), expected.dims(), "{} {key}", self.name);
        let norm = |x: Tensor<D>| (x.clone() * x).sum().sqrt().into_scalar::<f32>();
        let error = norm(found.cast(FloatDType::F32) - expected.clone()) / norm(expected);
        println!("{} {key} {precision:?}: {error:.1e}", self.name);
        let bound = if precision == Precision::F32 { 1e-5 } else { 1e-2 };
        assert!(error <= bound, "{} {key} {precision:?}: {error:.1e}", self.name);
    }
}

/// As `weight_of` of the reference: scaled so that activations keep their size; norms' factors lie around one.
fn weight_of(name: &str, shape: &[usize]) -> Vec<f32> {
    let count: usize = shape.iter().product();
    let values = common::numbers(name, count).into_iter();
    if shape.len() > 1 && name.ends_with("weight") {
        let scale = (3.0 / (count / shape[0]) as f64).sqrt() as f32;
        return values.map(|v| v * scale).collect();
    }
    let around = if name.ends_with("weight") || name.ends_with("gamma") { 1.0 } else { 0.0 };
    values.map(|v| around + v * 0.25).collect()
}

const PRECISIONS: [Precision; 2] = [Precision::F32, Precision::F16];

#[test]
fn structure_encoders_with_either_norm_equal_the_reference() {
    for name in ["structure_encoder_layer", "structure_encoder_group"] {
        let case = Case::read(name);
        for precision in PRECISIONS {
            let config = StructureEncoderConfig::from_args(&case.args).unwrap();
            let encoder = StructureEncoder::load(config, &case.weights, &Device::flex(), precision).unwrap();
            let found = encoder.forward(case.tensor("in.x")).unwrap();
            case.check("out.mean", found.mean, precision);
            case.check("out.logvar", found.logvar, precision);
        }
    }
}

#[test]
fn a_structure_decoder_with_a_group_norm_equals_the_reference() {
    let case = Case::read("structure_decoder_group");
    for precision in PRECISIONS {
        let config = StructureDecoderConfig::from_args(&case.args).unwrap();
        let decoder = StructureDecoder::load(config, &case.weights, &Device::flex(), precision).unwrap();
        case.check("out.y", decoder.forward(case.tensor("in.x")).unwrap(), precision);
    }
}

#[test]
fn a_structure_flow_with_shared_modulation_and_normalised_cross_attention_equals_the_reference() {
    let case = Case::read("structure_flow_shared");
    for precision in PRECISIONS {
        let config = StructureFlowConfig::from_args(&case.args).unwrap();
        let flow = StructureFlow::load(config, &case.weights, &Device::flex(), precision).unwrap();
        let condition = flow.condition(case.tensor("in.cond")).unwrap();
        let found = flow.forward(case.tensor("in.x"), &flow.moment(&case.times()), &condition).unwrap();
        case.check("out.y", found, precision);
    }
}

#[test]
fn the_latent_encoder_equals_the_reference() {
    let case = Case::read("latent_encoder");
    for precision in PRECISIONS {
        let encoder = LatentEncoder::load(&case.args, &case.weights, &Device::flex(), precision).unwrap();
        let found = encoder.forward(case.tensor("in.x"), &case.voxels()).unwrap();
        case.check("out.mean", found.mean, precision);
        case.check("out.logvar", found.logvar, precision);
    }
}

#[test]
fn latent_flows_of_several_levels_equal_the_reference() {
    for name in ["latent_flow_levels", "latent_flow_plain"] {
        let case = Case::read(name);
        for precision in PRECISIONS {
            let config = LatentFlowConfig::from_args(&case.args).unwrap();
            let flow = LatentFlow::load(config, &case.weights, &Device::flex(), precision).unwrap();
            let condition = flow.condition(case.tensor("in.cond")).unwrap();
            let (sites, moment) = (flow.sites(&case.voxels()), flow.moment(&case.times()));
            let found = flow.forward(case.tensor("in.x"), &sites, &moment, &condition).unwrap();
            case.check("out.y", found, precision);
        }
    }
}

#[test]
fn dinov2_with_gated_perceptrons_equals_the_reference() {
    // Without registers on its own grid; with them on another one.
    for name in ["dinov2_gated", "dinov2_gated_registers"] {
        let case = Case::read(name);
        let config = DinoConfig::from_args(&case.args).unwrap();
        let dino = DinoV2::load(config, &case.weights, &Device::flex(), Precision::F32).unwrap();
        let found = dino.forward(case.tensor("in.x")).unwrap();
        case.check("out.cond", found.condition(), Precision::F32);
        case.check("out.x_prenorm", found.x_prenorm, Precision::F32);
        let layers = dino.intermediate_layers(case.tensor("in.x"), &[1, 2], true).unwrap();
        case.check("out.layers", Tensor::stack::<4>(layers, 0), Precision::F32);
    }
}
