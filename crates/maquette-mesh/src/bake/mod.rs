//! Texture baking on the CPU: the definitions of sampling and loss, and the direct back-projection that is a fast start.
//!
//! Textures here are float RGB, texel row 0 at v = 0 (the bottom); [`FloatTexture::to_bytes`] turns them over for files.

mod back_project;
mod dilate;
mod loss;
mod sampler;
mod texture;

pub use back_project::{BackProjection, ProjectionView, TexelMap, back_project};
pub use dilate::dilate;
pub use loss::{Observation, photometric_gradient, photometric_loss, total_variation};
pub use sampler::{MipTexture, Tap, mip_level};
pub use texture::{FloatTexture, MAX_TEXTURE};
