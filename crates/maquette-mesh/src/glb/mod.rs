//! Binary glTF 2.0: writing with compression options, reading back for `info` and previews.
//!
//! Axes: the decoder's (x, y, z), z up, becomes glTF's (x, z, −y), y up; v' = 1 − v.

mod document;
mod encode;
mod meshopt_attributes;
mod meshopt_triangles;
mod order;
mod read;
mod texture;
mod write;

pub use read::{EncodedImage, GlbContents, read};
pub use texture::{Texture, TextureFormat};
pub use write::{GlbOptions, write};

/// "glTF" in little-endian order.
const MAGIC: u32 = 0x4654_6C67;
const CHUNK_JSON: u32 = 0x4E4F_534A;
const CHUNK_BIN: u32 = 0x004E_4942;
const MESHOPT: &str = "EXT_meshopt_compression";
const QUANTIZATION: &str = "KHR_mesh_quantization";
const WEBP: &str = "EXT_texture_webp";
