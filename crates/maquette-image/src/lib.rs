//! From the bytes of a picture to what the model sees: decoding, cutting out, cropping, resizing.
//!
//! Bytes in, bytes out: nothing here opens files, spawns threads or knows a GPU, so it works the same in a browser.
//!
//! The way of a picture:
//!
//! 1. [`decode`] makes upright 8-bit RGBA of a PNG, JPEG, WebP, TIFF, BMP or GIF, after checking its size against limits, and tells what it
//!    found ([`Facts`]).
//! 2. If [`Picture::has_alpha`], its pixels are the cut-out. Otherwise [`Picture::opaque`] gives the reduced RGB picture, [`matting_input`]
//!    the matting network's input, [`mask_from_output`] the mask from what the network says (or [`Picture::to_mask`] one from a file), and
//!    [`composite_cutout`] the cut-out.
//! 3. [`check_mask`] looks at the cut-out's alpha and says what will go wrong.
//! 4. [`prepare`] crops to the object and puts it on black; [`normalise_chw`] makes the network's numbers of it. [`encode_png`] shows it.
//!
//! ```
//! use maquette_image::{DecodeOptions, IMAGENET_MEAN, IMAGENET_STD, Rgba, check_mask, decode, encode_png, normalise_chw, prepare};
//!
//! # fn main() -> Result<(), maquette_image::ImageError> {
//! # let mut drawing = Rgba::filled(120, 120, 0)?;
//! # for (i, p) in drawing.data_mut().as_chunks_mut::<4>().0.iter_mut().enumerate() {
//! #     if (20..100).contains(&(i % 120)) && (20..100).contains(&(i / 120)) { *p = [200, 80, 20, 255]; }
//! # }
//! # let file = encode_png(&drawing)?;
//! let picture = decode(&file, &DecodeOptions::default())?;
//! assert!(picture.has_alpha());
//! for finding in check_mask(&picture.pixels.alpha()?)? {
//!     println!("{finding}");
//! }
//! let prepared = prepare(&picture.pixels, 518)?;
//! let tensor = normalise_chw(&prepared.rgb, IMAGENET_MEAN, IMAGENET_STD)?;
//! assert_eq!(tensor.len(), 3 * 518 * 518);
//! # Ok(())
//! # }
//! ```
//!
//! # Exactness
//!
//! [`resize_lanczos`] gives Pillow's bytes (8 bits between both passes, 22-bit weights, RGBA in premultiplied form), and so does everything
//! built on it; the reference pictures are met bit for bit. The decoders are not Pillow's: what is stored without loss is equal, JPEG and
//! lossy WebP values may differ by a few (4 of 255 at most in the pictures that were compared).
//!
//! # Where this differs from the original on purpose
//!
//! - A picture is turned upright by its EXIF orientation whether it has alpha or not
//!   ([`apply_orientation`](DecodeOptions::apply_orientation) turns that off). The original turns only what goes through matting.
//! - Files that are cut off are refused unless [`accept_truncated`](DecodeOptions::accept_truncated) is set.
//! - A picture so thin that the reduction to 1024 would leave no pixel keeps one; the original fails.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test fails by panicking"))]

mod container;
mod cutout;
mod decode;
mod encode;
mod error;
mod lanczos;
mod mask_check;
mod matting;
mod normalise;
mod object;
mod orientation;
mod picture;
mod raster;
mod resample;

pub use cutout::{MATTING_SIDE_LIMIT, composite_cutout, limit_longer_side};
pub use decode::{DecodeOptions, decode};
pub use encode::encode_png;
pub use error::ImageError;
pub use mask_check::{MaskFinding, MaskProblem, Severity, check_mask};
pub use matting::{MATTING_SIDE, mask_from_output, matting_input};
pub use normalise::{IMAGENET_MEAN, IMAGENET_STD, normalise_chw, to_model_input};
pub use object::{
    CropBox, DEFAULT_MODEL_SIDE, OBJECT_ALPHA, Prepared, crop_to_object, object_box, premultiply_on_black, prepare,
};
pub use orientation::apply_orientation;
pub use picture::{Facts, Note, Picture, PixelMode, SourceFormat, Transparency};
pub use raster::{Mask, Raster, Rgb, Rgba};
pub use resample::resize_lanczos;
