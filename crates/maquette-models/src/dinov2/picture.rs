//! From 8-bit pictures to the network's input.

use burn::tensor::{DType, Device, Tensor, TensorData};

use crate::{Error, Result};

/// ImageNet's channel means and standard deviations.
const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const STD: [f32; 3] = [0.229, 0.224, 0.225];

/// `[1, 3, height, width]`, f32, from `height·width` RGB pixels, rows first: `(c/255 − mean)/std`.
///
/// # Errors
/// [`Error::Input`] when the pixel count does not match.
pub fn normalised_picture(rgb: &[u8], width: usize, height: usize, device: &Device) -> Result<Tensor<4>> {
    if width == 0 || height == 0 || Some(rgb.len()) != width.checked_mul(height).and_then(|n| n.checked_mul(3)) {
        return Err(Error::Input {
            model: "DINOv2",
            input: "picture",
            found: vec![rgb.len()],
            expected: format!("3·{width}·{height} bytes"),
        });
    }
    let plane = |c: usize| rgb[c..].iter().step_by(3).map(move |v| (f32::from(*v) / 255.0 - MEAN[c]) / STD[c]);
    let values: Vec<f32> = (0..3).flat_map(plane).collect();
    Ok(Tensor::from_data(TensorData::new(values, [1, 3, height, width]), (device, DType::F32)))
}
