//! Bringing a picture and its mask together.

use crate::error::{ImageError, reserve};
use crate::raster::{Mask, Raster, Rgb, Rgba};
use crate::resample::{div255, resize_lanczos};

/// The longer side that a picture without a cut-out is reduced to before matting (the original's limit).
pub const MATTING_SIDE_LIMIT: u32 = 1024;

/// Reduces a picture so that its longer side is at most `limit`: both sides are multiplied by `limit / longer` and truncated (to at least
/// 1, where the original fails). A smaller picture is returned as it is.
///
/// # Errors
/// [`ImageError::OutOfMemory`]; [`ImageError::BadSize`] if `limit` is 0.
pub fn limit_longer_side<const C: usize>(picture: Raster<C>, limit: u32) -> Result<Raster<C>, ImageError> {
    let (width, height) = picture.size();
    if limit == 0 {
        return Err(ImageError::BadSize { width: 0, height: 0 });
    }
    let longer = width.max(height);
    if longer <= limit {
        return Ok(picture);
    }
    let scale = f64::from(limit) / f64::from(longer);
    let side = |n: u32| ((f64::from(n) * scale) as u32).max(1);
    resize_lanczos(&picture, side(width), side(height))
}

/// Lays the picture over nothing through a mask: alpha becomes the mask, and the colours are multiplied by it (so that a later multiplication
/// by alpha is the second one; the trained weights have seen it so).
///
/// # Errors
/// [`ImageError::MaskSize`], [`ImageError::OutOfMemory`].
pub fn composite_cutout(picture: &Rgb, mask: &Mask) -> Result<Rgba, ImageError> {
    if picture.size() != mask.size() {
        return Err(ImageError::MaskSize { picture: picture.size(), mask: mask.size() });
    }
    let mut data = reserve(Rgba::byte_len(picture.width(), picture.height())?)?;
    for (pixel, &[m]) in picture.pixels().zip(mask.pixels()) {
        let [r, g, b] = pixel.map(|c| div255(u16::from(c) * u16::from(m)));
        data.extend_from_slice(&[r, g, b, m]);
    }
    Rgba::new(picture.width(), picture.height(), data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longer_side_is_limited_and_both_are_truncated() {
        let size = |w, h| limit_longer_side(Mask::filled(w, h, 7).unwrap(), 1024).unwrap().size();
        assert_eq!(size(1024, 1000), (1024, 1000));
        assert_eq!(size(1025, 1000), (1024, 999));
        assert_eq!(size(700, 2047), (350, 1024));
        assert_eq!(size(5000, 1), (1024, 1));
        assert!(limit_longer_side(Mask::filled(2, 2, 0).unwrap(), 0).is_err());
    }

    #[test]
    fn compositing_multiplies_colour_by_the_mask_and_keeps_the_mask_as_alpha() {
        let picture = Rgb::new(3, 1, vec![255, 100, 1, 255, 100, 1, 255, 100, 1]).unwrap();
        let mask = Mask::new(3, 1, vec![0, 128, 255]).unwrap();
        let cutout = composite_cutout(&picture, &mask).unwrap();
        assert_eq!(cutout.data(), [0, 0, 0, 0, 128, 50, 1, 128, 255, 100, 1, 255]);
        let small = Mask::new(1, 1, vec![0]).unwrap();
        assert_eq!(composite_cutout(&picture, &small), Err(ImageError::MaskSize { picture: (3, 1), mask: (1, 1) }));
    }
}
