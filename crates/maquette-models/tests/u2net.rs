//! The matting network against onnxruntime on real photographs, and its full form against torch.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use maquette_gpu::{AdapterChoice, Gpu, OpenOptions, TierRequest};
use maquette_image::{DecodeOptions, MATTING_SIDE, decode, matting_input};
use maquette_models::u2net::{U2Net, matting_tensor};
use maquette_weights::{Checkpoint, TensorSource};

#[test]
fn masks_equal_those_of_onnxruntime_on_photographs() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let goldens = root.join("tests/goldens/u2net");
    let device = Device::flex();
    let weights = Checkpoint::from_bytes(std::fs::read(root.join("models/u2netp.safetensors")).unwrap()).unwrap();
    let network = U2Net::load(&weights, &device).unwrap();
    let masks = Checkpoint::from_bytes(std::fs::read(goldens.join("masks.safetensors")).unwrap()).unwrap();
    let names = masks.names();
    assert!(names.len() >= 8);
    for name in names {
        let file = std::fs::read(goldens.join(format!("{name}.png"))).unwrap();
        let picture = decode(&file, &DecodeOptions::default()).unwrap().opaque().unwrap();
        let side = MATTING_SIDE as usize;
        let input = matting_tensor(matting_input(&picture).unwrap(), side, &device).unwrap();
        let output = network.forward(input).unwrap().into_data().try_into_vec::<f32>().unwrap();
        let expected = masks.get(name).unwrap().to_f32();
        let differences = expected.iter().enumerate().map(|(i, e)| {
            let (row, column) = (i / (side / 2), i % (side / 2));
            f64::from((output[2 * row * side + 2 * column] - e / 65535.0).abs())
        });
        let (sum, max) = differences.fold((0.0, 0.0f64), |(s, m), d| (s + d, m.max(d)));
        let mean = sum / expected.len() as f64;
        println!("{name}: mean {mean:.2e}, max {max:.2e}");
        assert!(mean < 1e-3, "{name}: mean absolute difference {mean}");
        assert!(max < 1e-2, "{name}: largest difference {max}");
    }
}

#[test]
fn a_graphics_device_cuts_out_what_the_processor_does() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let goldens = root.join("tests/goldens/u2net");
    let weights = Checkpoint::from_bytes(std::fs::read(root.join("models/u2netp.safetensors")).unwrap()).unwrap();
    let masks = Checkpoint::from_bytes(std::fs::read(goldens.join("masks.safetensors")).unwrap()).unwrap();
    let file = std::fs::read(goldens.join(format!("{}.png", masks.names()[0]))).unwrap();
    let picture = decode(&file, &DecodeOptions::default()).unwrap().opaque().unwrap();
    let planes = matting_input(&picture).unwrap();
    let mask = |device: &Device| {
        let network = U2Net::load(&weights, device).unwrap();
        let input = matting_tensor(planes.clone(), MATTING_SIDE as usize, device).unwrap();
        network.forward(input).unwrap().into_data().try_into_vec::<f32>().unwrap()
    };
    let expected = mask(&Device::flex());
    assert_eq!(expected.len(), (MATTING_SIDE * MATTING_SIDE) as usize);
    for tier in [TierRequest::Web, TierRequest::Subgroup, TierRequest::Matrix] {
        let options = OpenOptions { tier, ..OpenOptions::default() };
        // A machine without such a device has nothing to compare.
        let Ok(gpu) = pollster::block_on(Gpu::open(&AdapterChoice::default(), options)) else { continue };
        let found = mask(gpu.device());
        let max = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        println!("{}: largest difference {max:.2e}", tier.name());
        assert!(found.len() == expected.len() && max < 1e-4, "{}: largest difference {max}", tier.name());
    }
}

/// The full form's weights as `tests/reference/u2net.py` makes them: every value depends on its tensor's name and place only.
mod full_form {
    use std::collections::BTreeMap;

    use maquette_weights::{Checkpoint, DType, SafetensorsWriter, TensorInfo};

    use crate::common::numbers;

    /// Levels, inputs, inner width, outputs.
    const STAGES: [(&str, usize, usize, usize, usize); 11] = [
        ("stage1", 7, 3, 32, 64),
        ("stage2", 6, 64, 32, 128),
        ("stage3", 5, 128, 64, 256),
        ("stage4", 4, 256, 128, 512),
        ("stage5", 4, 512, 256, 512),
        ("stage6", 4, 512, 256, 512),
        ("stage5d", 4, 1024, 256, 512),
        ("stage4d", 4, 1024, 128, 256),
        ("stage3d", 5, 512, 64, 128),
        ("stage2d", 6, 256, 32, 64),
        ("stage1d", 7, 128, 16, 64),
    ];

    fn conv(into: &mut BTreeMap<String, (Vec<usize>, Vec<f32>)>, name: &str, shape: [usize; 4]) {
        let weak = if name == "outconv" { 0.25 } else { 1.0 };
        let scale = ((6.0 / (shape[1] * shape[2] * shape[3]) as f64).sqrt() * weak) as f32;
        let weight = numbers(&format!("{name}.weight"), shape.iter().product()).iter().map(|v| v * scale).collect();
        into.insert(format!("{name}.weight"), (shape.to_vec(), weight));
        vector(into, format!("{name}.bias"), shape[0], 0.0, 0.125);
    }

    fn vector(
        into: &mut BTreeMap<String, (Vec<usize>, Vec<f32>)>,
        name: String,
        count: usize,
        centre: f32,
        spread: f32,
    ) {
        let values = numbers(&name, count).iter().map(|v| centre + v * spread).collect();
        into.insert(name, (vec![count], values));
    }

    pub fn checkpoint(folder: &std::path::Path) -> Checkpoint {
        let mut tensors = BTreeMap::new();
        for (stage, levels, inputs, inner, outputs) in STAGES {
            let mut layers = vec![("rebnconvin".to_owned(), inputs, outputs)];
            layers.extend((1..=levels).map(|k| (format!("rebnconv{k}"), if k == 1 { outputs } else { inner }, inner)));
            layers.extend(
                (1..levels).map(|k| (format!("rebnconv{k}d"), 2 * inner, if k == 1 { outputs } else { inner })),
            );
            for (layer, inputs, outputs) in layers {
                conv(&mut tensors, &format!("{stage}.{layer}.conv_s1"), [outputs, inputs, 3, 3]);
                for (name, centre, spread) in
                    [("running_mean", 0.0, 0.25), ("running_var", 1.5, 0.5), ("weight", 1.0, 0.25), ("bias", 0.0, 0.25)]
                {
                    vector(&mut tensors, format!("{stage}.{layer}.bn_s1.{name}"), outputs, centre, spread);
                }
            }
        }
        for (k, inputs) in [64, 64, 128, 256, 512, 512].into_iter().enumerate() {
            conv(&mut tensors, &format!("side{}", k + 1), [1, inputs, 3, 3]);
        }
        conv(&mut tensors, "outconv", [1, 6, 1, 1]);
        let infos: Vec<TensorInfo> = tensors
            .iter()
            .map(|(name, (shape, _))| TensorInfo { name: name.clone(), dtype: DType::F32, shape: shape.clone() })
            .collect();
        let path = folder.join("u2net.safetensors");
        let mut writer = SafetensorsWriter::create(&path, &infos, &Default::default()).unwrap();
        for (name, (_, values)) in &tensors {
            writer.write(name, &values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>()).unwrap();
        }
        writer.finish().unwrap();
        Checkpoint::open(path).unwrap()
    }
}

#[test]
fn the_full_form_with_its_batch_norms_computes_what_torch_does() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let device = Device::flex();
    let folder = tempfile::tempdir().unwrap();
    let weights = full_form::checkpoint(folder.path());
    assert!(weights.infos().map(|info| info.elements()).sum::<usize>() > 44_000_000);
    let network = U2Net::load(&weights, &device).unwrap();
    let (height, width) = (70, 90);
    let pixels = common::numbers("pictures", 3 * height * width).iter().map(|v| v * 2.0).collect();
    let picture = Tensor::<4>::from_data(TensorData::new(pixels, [1, 3, height, width]), &device);
    let output = network.forward(picture).unwrap().into_data().try_into_vec::<f32>().unwrap();
    let expected = Checkpoint::open(root.join("tests/goldens/u2net/full_random.safetensors")).unwrap();
    let expected = expected.get("mask").unwrap().to_f32();
    assert_eq!(output.len(), expected.len());
    let max = output.iter().zip(&*expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    println!("largest difference {max:.2e}");
    assert!(max < 1e-5, "largest difference {max}");
}

#[test]
fn weights_of_another_network_are_refused() {
    let header = br#"{"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#;
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header);
    bytes.push(0);
    let other = Checkpoint::from_bytes(bytes).unwrap();
    let error = U2Net::load(&other, &Device::flex()).unwrap_err();
    assert!(error.to_string().contains("rebnconvin"), "{error}");
}
