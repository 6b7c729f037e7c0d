//! A rectangle of 8-bit pixels.

use crate::error::{ImageError, filled, reserve};

/// `width` x `height` pixels of `C` bytes each: rows from top to bottom, no padding, channels interleaved, values not premultiplied unless
/// a function says so.
#[derive(Clone, PartialEq, Eq)]
pub struct Raster<const C: usize> {
    width: u32,
    height: u32,
    data: Vec<u8>,
}

/// Red, green, blue, alpha (straight, 255 = opaque).
pub type Rgba = Raster<4>;
/// Red, green, blue.
pub type Rgb = Raster<3>;
/// One channel: a mask (255 = the object) or grey values.
pub type Mask = Raster<1>;

impl<const C: usize> std::fmt::Debug for Raster<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Raster<{C}>({}x{})", self.width, self.height)
    }
}

impl<const C: usize> Raster<C> {
    /// Bytes of a raster of this size.
    ///
    /// # Errors
    /// [`ImageError::BadSize`] if a side is zero or the product does not fit in memory at all.
    pub fn byte_len(width: u32, height: u32) -> Result<usize, ImageError> {
        const { assert!(C >= 1 && C <= 32, "1 to 32 bytes a pixel") };
        let len = u64::from(width)
            .checked_mul(u64::from(height))
            .and_then(|n| n.checked_mul(C as u64))
            .and_then(|n| usize::try_from(n).ok())
            .filter(|&n| n > 0 && n <= isize::MAX as usize);
        len.ok_or(ImageError::BadSize { width, height })
    }

    /// Takes a buffer of `width · height · C` bytes.
    ///
    /// # Errors
    /// [`ImageError::BadSize`] and [`ImageError::BufferLength`].
    pub fn new(width: u32, height: u32, data: Vec<u8>) -> Result<Self, ImageError> {
        let expected = Self::byte_len(width, height)?;
        if data.len() != expected {
            return Err(ImageError::BufferLength {
                width,
                height,
                channels: C,
                expected: expected as u64,
                got: data.len() as u64,
            });
        }
        Ok(Self { width, height, data })
    }

    /// A raster with every byte equal to `value`.
    ///
    /// # Errors
    /// [`ImageError::BadSize`] and [`ImageError::OutOfMemory`].
    pub fn filled(width: u32, height: u32, value: u8) -> Result<Self, ImageError> {
        Ok(Self { width, height, data: filled(Self::byte_len(width, height)?, value)? })
    }

    /// Width in pixels, at least 1.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels, at least 1.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// Width and height in pixels.
    pub fn size(&self) -> (u32, u32) {
        (self.width, self.height)
    }

    /// All bytes, row after row.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// All bytes, to be changed in place.
    pub fn data_mut(&mut self) -> &mut [u8] {
        &mut self.data
    }

    /// Gives the buffer away.
    pub fn into_data(self) -> Vec<u8> {
        self.data
    }

    /// The pixels in row order.
    pub fn pixels(&self) -> impl ExactSizeIterator<Item = &[u8; C]> {
        self.data.as_chunks::<C>().0.iter()
    }

    /// The pixel in column `x` of row `y`, or `None` outside.
    pub fn pixel(&self, x: u32, y: u32) -> Option<&[u8; C]> {
        if x >= self.width || y >= self.height {
            return None;
        }
        self.data.as_chunks::<C>().0.get(y as usize * self.width as usize + x as usize)
    }

    /// A copy, with an error instead of an abort when memory is short.
    pub(crate) fn try_clone(&self) -> Result<Self, ImageError> {
        let mut data = reserve(self.data.len())?;
        data.extend_from_slice(&self.data);
        Ok(Self { width: self.width, height: self.height, data })
    }

    /// A raster of the same size with each pixel mapped.
    pub(crate) fn map<const D: usize>(&self, mut f: impl FnMut(&[u8; C]) -> [u8; D]) -> Result<Raster<D>, ImageError> {
        let mut data = filled(Raster::<D>::byte_len(self.width, self.height)?, 0)?;
        for (to, pixel) in data.as_chunks_mut::<D>().0.iter_mut().zip(self.pixels()) {
            *to = f(pixel);
        }
        Ok(Raster { width: self.width, height: self.height, data })
    }
}

impl Rgba {
    /// Red, green and blue as they stand; alpha is dropped without being multiplied in.
    ///
    /// # Errors
    /// [`ImageError::OutOfMemory`].
    pub fn to_rgb(&self) -> Result<Rgb, ImageError> {
        self.map(|&[r, g, b, _]| [r, g, b])
    }

    /// The alpha channel alone.
    ///
    /// # Errors
    /// [`ImageError::OutOfMemory`].
    pub fn alpha(&self) -> Result<Mask, ImageError> {
        self.map(|&[_, _, _, a]| [a])
    }
}

impl Rgb {
    /// The same picture with alpha 255 everywhere.
    ///
    /// # Errors
    /// [`ImageError::OutOfMemory`].
    pub fn to_rgba(&self) -> Result<Rgba, ImageError> {
        self.map(|&[r, g, b]| [r, g, b, 255])
    }

    /// Brightness with the ITU-R 601 weights in 16-bit fixed point, as Pillow's `convert("L")`.
    ///
    /// # Errors
    /// [`ImageError::OutOfMemory`].
    pub fn to_luma(&self) -> Result<Mask, ImageError> {
        self.map(|&[r, g, b]| {
            [((u32::from(r) * 19595 + u32::from(g) * 38470 + u32::from(b) * 7471 + 0x8000) >> 16) as u8]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_lengths_and_sizes_are_refused() {
        assert_eq!(Rgb::new(0, 3, vec![]), Err(ImageError::BadSize { width: 0, height: 3 }));
        assert!(matches!(Rgb::new(2, 2, vec![0; 11]), Err(ImageError::BufferLength { expected: 12, got: 11, .. })));
        assert_eq!(Rgba::byte_len(u32::MAX, u32::MAX), Err(ImageError::BadSize { width: u32::MAX, height: u32::MAX }));
    }

    #[test]
    fn luma_follows_the_601_weights() {
        let rgb = Rgb::new(4, 1, vec![255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 255]).unwrap();
        assert_eq!(rgb.to_luma().unwrap().data(), [76, 150, 29, 255]);
    }
}
