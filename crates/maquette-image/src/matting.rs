//! What surrounds the matting network U²-Net: its input tensor, and the mask made from its output.

use crate::error::{ImageError, reserve};
use crate::raster::{Mask, Rgb};
use crate::resample::resize_lanczos;

/// Side of the network's square input and output.
pub const MATTING_SIDE: u32 = 320;
const MEAN: [f64; 3] = [0.485, 0.456, 0.406];
const STD: [f64; 3] = [0.229, 0.224, 0.225];

/// The network's input `[3, 320, 320]`: Lanczos to 320 x 320, divided by the picture's own highest value (not by 255), normalised in
/// float64 and then rounded to float32.
///
/// # Errors
/// [`ImageError::OutOfMemory`].
pub fn matting_input(picture: &Rgb) -> Result<Vec<f32>, ImageError> {
    let small = resize_lanczos(picture, MATTING_SIDE, MATTING_SIDE)?;
    let highest = small.data().iter().copied().max().map_or(0.0, f64::from).max(1e-6);
    let mut out = reserve(small.data().len())?;
    for channel in 0..3 {
        let table: [f32; 256] = std::array::from_fn(|v| ((v as f64 / highest - MEAN[channel]) / STD[channel]) as f32);
        out.extend(small.pixels().map(|p| table[usize::from(p[channel])]));
    }
    Ok(out)
}

/// The mask for a picture of `width` x `height` from the network's first output (`[320, 320]`, after its sigmoid): stretched so that the
/// lowest value becomes 0 and the highest 1, truncated to bytes, resized with Lanczos. An output without any contrast gives an empty mask.
///
/// # Errors
/// [`ImageError::MaskLength`], [`ImageError::MaskNotFinite`], [`ImageError::BadSize`], [`ImageError::OutOfMemory`].
pub fn mask_from_output(output: &[f32], width: u32, height: u32) -> Result<Mask, ImageError> {
    let expected = (MATTING_SIDE * MATTING_SIDE) as usize;
    if output.len() != expected {
        return Err(ImageError::MaskLength { expected, side: MATTING_SIDE, got: output.len() });
    }
    let count = output.iter().filter(|v| !v.is_finite()).count();
    if count > 0 {
        return Err(ImageError::MaskNotFinite { count });
    }
    let low = output.iter().copied().fold(f32::INFINITY, f32::min);
    let range = output.iter().copied().fold(f32::NEG_INFINITY, f32::max) - low;
    let byte = |v: f32| if range > 0.0 { (((v - low) / range).clamp(0.0, 1.0) * 255.0) as u8 } else { 0 };
    let mut data = reserve(expected)?;
    data.extend(output.iter().map(|&v| byte(v)));
    resize_lanczos(&Mask::new(MATTING_SIDE, MATTING_SIDE, data)?, width, height)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_input_is_scaled_by_its_own_highest_value() {
        let mut picture = Rgb::filled(MATTING_SIDE, MATTING_SIDE, 0).unwrap();
        picture.data_mut()[..3].copy_from_slice(&[100, 50, 25]);
        let input = matting_input(&picture).unwrap();
        let plane = (MATTING_SIDE * MATTING_SIDE) as usize;
        assert_eq!(input.len(), 3 * plane);
        assert_eq!(input[0], ((1.0 - 0.485) / 0.229f64) as f32);
        assert_eq!(input[plane], ((0.5 - 0.456) / 0.224f64) as f32);
        assert_eq!(input[2 * plane], ((0.25 - 0.406) / 0.225f64) as f32);
        assert_eq!(input[1], (-0.485 / 0.229f64) as f32);
        // an all-black picture must not divide by zero
        let black = Rgb::filled(5, 5, 0).unwrap();
        assert!(matting_input(&black).unwrap().iter().all(|v| v.is_finite()));
    }

    #[test]
    fn the_mask_is_stretched_and_truncated() {
        let n = (MATTING_SIDE * MATTING_SIDE) as usize;
        let mut output = vec![0.2f32; n];
        output[0] = 0.6;
        output[1] = 0.4;
        let mask = mask_from_output(&output, MATTING_SIDE, MATTING_SIDE).unwrap();
        assert_eq!(&mask.data()[..3], [255, (((0.4f32 - 0.2) / (0.6f32 - 0.2)) * 255.0) as u8, 0]);
        assert_eq!(mask_from_output(&output, 50, 70).unwrap().size(), (50, 70));
    }

    #[test]
    fn outputs_that_cannot_be_a_mask_are_refused() {
        let n = (MATTING_SIDE * MATTING_SIDE) as usize;
        assert!(matches!(mask_from_output(&[0.0; 7], 5, 5), Err(ImageError::MaskLength { got: 7, .. })));
        let mut output = vec![0.5f32; n];
        assert!(mask_from_output(&output, 5, 5).unwrap().data().iter().all(|&v| v == 0));
        output[3] = f32::NAN;
        output[4] = f32::INFINITY;
        assert_eq!(mask_from_output(&output, 5, 5), Err(ImageError::MaskNotFinite { count: 2 }));
    }
}
