//! Turning a picture upright.

use crate::error::{ImageError, reserve};
use crate::raster::Raster;

/// Applies an EXIF orientation, 1 to 8; any other value leaves the picture as it is.
///
/// 2 mirrors left and right, 3 turns by 180°, 4 mirrors top and bottom, 5 transposes, 6 turns clockwise, 7 transposes over the other
/// diagonal, 8 turns counter-clockwise.
///
/// # Errors
/// [`ImageError::OutOfMemory`].
pub fn apply_orientation<const C: usize>(source: Raster<C>, orientation: u8) -> Result<Raster<C>, ImageError> {
    if !(2..=8).contains(&orientation) {
        return Ok(source);
    }
    let (w, h) = (source.width() as usize, source.height() as usize);
    let transposed = orientation >= 5;
    let (out_w, out_h) = if transposed { (h, w) } else { (w, h) };
    let pixels = source.data().as_chunks::<C>().0;
    let mut data = reserve(source.data().len())?;
    for y in 0..out_h {
        for x in 0..out_w {
            // where the pixel of the upright picture lies in the stored one
            let (from_x, from_y) = match orientation {
                2 => (w - 1 - x, y),
                3 => (w - 1 - x, h - 1 - y),
                4 => (x, h - 1 - y),
                5 => (y, x),
                6 => (y, h - 1 - x),
                7 => (w - 1 - y, h - 1 - x),
                _ => (w - 1 - y, x),
            };
            data.extend_from_slice(&pixels[from_y * w + from_x]);
        }
    }
    Raster::new(out_w as u32, out_h as u32, data)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raster::Mask;

    #[test]
    fn every_orientation_puts_each_corner_where_exif_says() {
        // stored as   1 2 3
        //             4 5 6
        let stored = Mask::new(3, 2, vec![1, 2, 3, 4, 5, 6]).unwrap();
        let expected: [(u8, u32, &[u8]); 10] = [
            (0, 3, &[1, 2, 3, 4, 5, 6]),
            (1, 3, &[1, 2, 3, 4, 5, 6]),
            (2, 3, &[3, 2, 1, 6, 5, 4]),
            (3, 3, &[6, 5, 4, 3, 2, 1]),
            (4, 3, &[4, 5, 6, 1, 2, 3]),
            (5, 2, &[1, 4, 2, 5, 3, 6]),
            (6, 2, &[4, 1, 5, 2, 6, 3]),
            (7, 2, &[6, 3, 5, 2, 4, 1]),
            (8, 2, &[3, 6, 2, 5, 1, 4]),
            (9, 3, &[1, 2, 3, 4, 5, 6]),
        ];
        for (orientation, width, data) in expected {
            let upright = apply_orientation(stored.clone(), orientation).unwrap();
            assert_eq!((upright.width(), upright.data()), (width, data), "orientation {orientation}");
        }
    }
}
