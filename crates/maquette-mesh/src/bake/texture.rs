//! Float textures.

use crate::MeshError;
use crate::glb::Texture;

/// A square or oblong RGB texture of floats in [0, 1], texel row 0 at v = 0.
#[derive(Debug, Clone, PartialEq)]
pub struct FloatTexture {
    /// Texels per row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `width * height` texels.
    pub texels: Vec<[f32; 3]>,
}

/// Largest texture side.
pub const MAX_TEXTURE: usize = 8192;

impl FloatTexture {
    /// A texture of one colour.
    ///
    /// # Errors
    /// [`MeshError::OutOfRange`] for a side of 0 or above [`MAX_TEXTURE`].
    pub fn filled(width: usize, height: usize, color: [f32; 3]) -> Result<Self, MeshError> {
        if !(1..=MAX_TEXTURE).contains(&width) || !(1..=MAX_TEXTURE).contains(&height) {
            let detail = format!("{width} x {height}, expected 1 to {MAX_TEXTURE} a side");
            return Err(MeshError::range("texture size", detail));
        }
        Ok(Self { width, height, texels: vec![color; width * height] })
    }

    /// Bytes for a file, row 0 at the top; values are cut as the reference does: `trunc(clip(255 x))`.
    pub fn to_bytes(&self) -> Texture {
        let rows = self.texels.chunks_exact(self.width).rev();
        let rgb = rows.flatten().flatten().map(|x| (x * 255.0).clamp(0.0, 255.0) as u8).collect();
        Texture { width: self.width as u32, height: self.height as u32, rgb }
    }
}
