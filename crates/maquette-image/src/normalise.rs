//! From bytes to the network's numbers.

use crate::error::{ImageError, reserve};
use crate::raster::{Raster, Rgb};
use crate::resample::resize_lanczos;

/// Channel means of ImageNet, for values in 0..=1.
pub const IMAGENET_MEAN: [f32; 3] = [0.485, 0.456, 0.406];
/// Channel deviations of ImageNet, for values in 0..=1.
pub const IMAGENET_STD: [f32; 3] = [0.229, 0.224, 0.225];

/// Brings a picture of any size to `side` x `side` as the model's encoder does when preprocessing is left out: Lanczos without regard to
/// the aspect; a picture of that size is unchanged.
///
/// # Errors
/// [`ImageError::BadSize`] if `side` is 0, [`ImageError::OutOfMemory`].
pub fn to_model_input<const C: usize>(picture: &Raster<C>, side: u32) -> Result<Raster<C>, ImageError> {
    resize_lanczos(picture, side, side)
}

/// Normalised planes `[3, height, width]` (red, green, blue; rows from the top): `(v/255 − mean) / std` in float32, in this order of
/// operations.
///
/// # Errors
/// [`ImageError::OutOfMemory`].
pub fn normalise_chw(picture: &Rgb, mean: [f32; 3], std: [f32; 3]) -> Result<Vec<f32>, ImageError> {
    let mut out = reserve(picture.data().len())?;
    for channel in 0..3 {
        // only 256 values can come
        let table: [f32; 256] = std::array::from_fn(|v| (v as f32 / 255.0 - mean[channel]) / std[channel]);
        out.extend(picture.pixels().map(|p| table[usize::from(p[channel])]));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_come_one_after_the_other() {
        let picture = Rgb::new(2, 1, vec![0, 51, 102, 153, 204, 255]).unwrap();
        let planes = normalise_chw(&picture, [0.0; 3], [1.0; 3]).unwrap();
        assert_eq!(planes, [0.0, 0.6, 0.2, 0.8, 0.4, 1.0]);
    }

    #[test]
    fn a_picture_of_the_right_size_is_unchanged() {
        let picture = Raster::<4>::filled(8, 8, 77).unwrap();
        assert_eq!(to_model_input(&picture, 8).unwrap(), picture);
        assert_eq!(to_model_input(&picture, 5).unwrap().size(), (5, 5));
    }
}
