//! Writing a picture as PNG, for showing what the model sees.

use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};

use crate::error::ImageError;
use crate::raster::Raster;

/// Encodes a mask (grey), RGB or RGBA picture as an 8-bit PNG.
///
/// # Errors
/// [`ImageError::Encode`], also for a number of channels that PNG does not have.
pub fn encode_png<const C: usize>(picture: &Raster<C>) -> Result<Vec<u8>, ImageError> {
    let colour = match C {
        1 => ExtendedColorType::L8,
        2 => ExtendedColorType::La8,
        3 => ExtendedColorType::Rgb8,
        4 => ExtendedColorType::Rgba8,
        _ => return Err(ImageError::Encode { detail: format!("PNG has 1 to 4 channels, the picture has {C}") }),
    };
    let mut bytes = Vec::new();
    PngEncoder::new(&mut bytes)
        .write_image(picture.data(), picture.width(), picture.height(), colour)
        .map_err(|error| ImageError::Encode { detail: error.to_string() })?;
    Ok(bytes)
}
