//! DINOv2: the vision transformer whose tokens describe the picture.

mod model;
mod picture;
mod position;

pub use model::{DinoConfig, DinoOutput, DinoV2};
pub use picture::normalised_picture;
pub use position::PositionResize;
