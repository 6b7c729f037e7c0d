//! DINOv2: the vision transformer whose tokens describe the picture.

mod model;
mod position;

pub use model::{DinoConfig, DinoOutput, DinoV2};
pub use position::PositionResize;
