//! Base colour textures and their encodings.

use image::codecs::{jpeg::JpegEncoder, png::PngEncoder, webp::WebPEncoder};
use image::{ExtendedColorType, ImageEncoder};

use crate::MeshError;

/// An RGB picture, 8 bits a channel, sRGB, row 0 at the top (v = 1 in the mesh's uv, v' = 0 in glTF's).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Texture {
    /// Pixels per row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// `width * height * 3` bytes.
    pub rgb: Vec<u8>,
}

/// How a texture is stored in the GLB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TextureFormat {
    /// Lossless, read by everything.
    #[default]
    Png,
    /// Small and lossy; quality 1 to 100.
    Jpeg(u8),
    /// Lossless WebP through `EXT_texture_webp`; needs a viewer with that extension.
    WebP,
}

impl TextureFormat {
    pub(super) fn mime(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg(_) => "image/jpeg",
            Self::WebP => "image/webp",
        }
    }
}

impl Texture {
    /// Encodes the picture.
    ///
    /// # Errors
    /// [`MeshError::Shape`] for a wrong number of bytes, [`MeshError::Texture`] for what the encoder reports.
    pub fn encode(&self, format: TextureFormat) -> Result<Vec<u8>, MeshError> {
        let expected = u64::from(self.width) * u64::from(self.height) * 3;
        if self.rgb.len() as u64 != expected || expected == 0 {
            let expected = format!("{} x {} x 3 bytes, at least 1 x 1", self.width, self.height);
            return Err(MeshError::shape("texture", expected, self.rgb.len()));
        }
        let mut out = Vec::new();
        let (w, h, rgb) = (self.width, self.height, ExtendedColorType::Rgb8);
        let done = match format {
            TextureFormat::Png => PngEncoder::new(&mut out).write_image(&self.rgb, w, h, rgb),
            TextureFormat::Jpeg(q) => {
                JpegEncoder::new_with_quality(&mut out, q.clamp(1, 100)).write_image(&self.rgb, w, h, rgb)
            }
            TextureFormat::WebP => WebPEncoder::new_lossless(&mut out).write_image(&self.rgb, w, h, rgb),
        };
        done.map_err(|e| MeshError::Texture { detail: e.to_string() })?;
        Ok(out)
    }
}
