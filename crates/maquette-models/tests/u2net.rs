//! The matting network against onnxruntime on real photographs.

use std::path::Path;

use burn::tensor::Device;
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
fn weights_of_another_network_are_refused() {
    let header = br#"{"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#;
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header);
    bytes.push(0);
    let other = Checkpoint::from_bytes(bytes).unwrap();
    let error = U2Net::load(&other, &Device::flex()).unwrap_err();
    assert!(error.to_string().contains("rebnconvin"), "{error}");
}
