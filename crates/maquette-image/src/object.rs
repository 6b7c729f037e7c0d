//! Cropping to the object and putting it on black: what the model sees.

use crate::error::{ImageError, reserve};
use crate::raster::{Rgb, Rgba};
use crate::resample::{Canvas, resize_on_canvas};

/// The side of the model's picture unless its `pipeline.json` says otherwise.
pub const DEFAULT_MODEL_SIDE: u32 = 518;
/// Alpha above which a pixel belongs to the object: 0.8 · 255.
pub const OBJECT_ALPHA: u8 = 204;
/// How much larger than the object the crop is.
const MARGIN: f64 = 1.2;

/// A rectangle in a picture's pixels; it may reach beyond the picture. Right and bottom are the first column and row outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CropBox {
    /// First column.
    pub left: i64,
    /// First row.
    pub top: i64,
    /// Column behind the last.
    pub right: i64,
    /// Row behind the last.
    pub bottom: i64,
}

/// The picture that goes into the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// The object on black, square.
    pub rgb: Rgb,
    /// Which part of the cut-out it shows.
    pub crop: CropBox,
}

/// The square around the object: its bounding box (alpha above [`OBJECT_ALPHA`]), centred, 1.2 times its longer side.
///
/// # Errors
/// [`ImageError::NoObject`], [`ImageError::ObjectTooSmall`].
pub fn object_box(cutout: &Rgba) -> Result<CropBox, ImageError> {
    let mut bounds: Option<(i64, i64, i64, i64)> = None;
    let mut max_alpha = 0;
    for (y, row) in (0i64..).zip(cutout.data().chunks_exact(cutout.width() as usize * 4)) {
        let inside = |p: &[u8; 4]| p[3] > OBJECT_ALPHA;
        let pixels = row.as_chunks::<4>().0;
        max_alpha = pixels.iter().fold(max_alpha, |m, p| p[3].max(m));
        let (Some(first), Some(last)) = (pixels.iter().position(inside), pixels.iter().rposition(inside)) else {
            continue;
        };
        let (first, last) = (first as i64, last as i64);
        bounds = Some(bounds.map_or((first, last, y, y), |(x0, x1, y0, _)| (x0.min(first), x1.max(last), y0, y)));
    }
    let (x0, x1, y0, y1) = bounds.ok_or(ImageError::NoObject { max_alpha })?;
    // the longer side is counted without its last pixel, as in the original
    let size = ((x1 - x0).max(y1 - y0) as f64 * MARGIN) as i64;
    let half = size / 2;
    if half == 0 {
        return Err(ImageError::ObjectTooSmall { width: (x1 - x0 + 1) as u32, height: (y1 - y0 + 1) as u32 });
    }
    let edge = |a: i64, b: i64, offset: i64| ((a + b) as f64 / 2.0 + offset as f64).round_ties_even() as i64;
    Ok(CropBox {
        left: edge(x0, x1, -half),
        top: edge(y0, y1, -half),
        right: edge(x0, x1, half),
        bottom: edge(y0, y1, half),
    })
}

/// Cuts out the square around the object (transparent black outside the picture) and resizes it to `side` x `side`.
///
/// # Errors
/// [`ImageError::NoObject`], [`ImageError::ObjectTooSmall`], [`ImageError::BadSize`] if `side` is 0, [`ImageError::OutOfMemory`].
pub fn crop_to_object(cutout: &Rgba, side: u32) -> Result<(Rgba, CropBox), ImageError> {
    let crop = object_box(cutout)?;
    let too_large = |_| ImageError::BadSize { width: cutout.width(), height: cutout.height() };
    // only the part of the picture that the crop shows goes through the resampler
    let part = CropBox {
        left: crop.left.max(0),
        top: crop.top.max(0),
        right: crop.right.min(i64::from(cutout.width())),
        bottom: crop.bottom.min(i64::from(cutout.height())),
    };
    let seen = copy_part(cutout, part)?;
    let canvas = Canvas {
        width: u32::try_from(crop.right - crop.left).map_err(too_large)?,
        height: u32::try_from(crop.bottom - crop.top).map_err(too_large)?,
        left: part.left - crop.left,
        top: part.top - crop.top,
    };
    Ok((resize_on_canvas(&seen, canvas, side, side)?, crop))
}

/// `part` must lie inside the picture and not be empty: an object's box always meets the picture that it was found in.
fn copy_part(source: &Rgba, part: CropBox) -> Result<Rgba, ImageError> {
    let (width, height) = ((part.right - part.left) as u32, (part.bottom - part.top) as u32);
    let mut data = reserve(Rgba::byte_len(width, height)?)?;
    let stride = source.width() as usize * 4;
    for row in source.data().chunks_exact(stride).skip(part.top as usize).take(height as usize) {
        data.extend_from_slice(&row[part.left as usize * 4..part.right as usize * 4]);
    }
    Rgba::new(width, height, data)
}

/// Multiplies the colours by alpha in float32 and truncates, as the original does; alpha is gone afterwards.
///
/// # Errors
/// [`ImageError::OutOfMemory`].
pub fn premultiply_on_black(picture: &Rgba) -> Result<Rgb, ImageError> {
    let unit = |v: u8| f32::from(v) / 255.0;
    picture.map(|&[r, g, b, a]| [r, g, b].map(|c| (unit(c) * unit(a) * 255.0) as u8))
}

/// From a cut-out to the picture that the model sees: crop to the object, resize to `side` x `side` (usually [`DEFAULT_MODEL_SIDE`]), put on
/// black.
///
/// # Errors
/// As [`crop_to_object`].
pub fn prepare(cutout: &Rgba, side: u32) -> Result<Prepared, ImageError> {
    let (cropped, crop) = crop_to_object(cutout, side)?;
    Ok(Prepared { rgb: premultiply_on_black(&cropped)?, crop })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_object(width: u32, height: u32, x: std::ops::Range<u32>, y: std::ops::Range<u32>) -> Rgba {
        let data = (0..height)
            .flat_map(|row| (0..width).map(move |column| (column, row)))
            .flat_map(
                |(column, row)| {
                    if x.contains(&column) && y.contains(&row) { [200, 100, 50, 205] } else { [9, 9, 9, 204] }
                },
            )
            .collect();
        Rgba::new(width, height, data).unwrap()
    }

    #[test]
    fn the_box_is_centred_and_rounds_halves_to_even() {
        // columns 10..=20 (centre 15), rows 10..=13 (centre 11.5): size 10 · 1.2 = 12, half 6: 5.5 rounds to 6, 17.5 to 18
        let crop = object_box(&with_object(40, 40, 10..21, 10..14)).unwrap();
        assert_eq!(crop, CropBox { left: 9, top: 6, right: 21, bottom: 18 });
        // centre 12.5: 6.5 rounds to 6, 18.5 to 18
        let crop = object_box(&with_object(40, 40, 10..21, 11..15)).unwrap();
        assert_eq!((crop.top, crop.bottom), (6, 18));
    }

    #[test]
    fn what_is_no_object_is_refused_with_figures() {
        assert_eq!(object_box(&with_object(8, 8, 0..0, 0..0)), Err(ImageError::NoObject { max_alpha: 204 }));
        assert_eq!(object_box(&with_object(8, 8, 3..4, 3..4)), Err(ImageError::ObjectTooSmall { width: 1, height: 1 }));
        assert_eq!(object_box(&with_object(8, 8, 3..5, 3..5)), Err(ImageError::ObjectTooSmall { width: 2, height: 2 }));
        assert!(object_box(&with_object(8, 8, 3..6, 3..4)).is_ok());
    }

    #[test]
    fn a_crop_far_larger_than_the_picture_costs_no_memory() {
        // the crop would be 144000 x 144000
        let strip = Rgba::filled(120_000, 1, 255).unwrap();
        let prepared = prepare(&strip, 32).unwrap();
        assert_eq!(prepared.rgb.size(), (32, 32));
    }
}
