//! Texture baking on the CPU: the definitions of sampling and loss, and the direct back-projection that is a fast start.
//!
//! Textures here are float RGB, texel row 0 at v = 0 (the bottom); [`FloatTexture::to_bytes`] turns them over for files.

mod sampler;
mod texture;

pub use sampler::{MipTexture, Tap, mip_level};
pub use texture::FloatTexture;
