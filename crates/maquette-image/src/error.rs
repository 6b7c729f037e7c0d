//! The one error type of this crate: what was expected, what came, and what to do.

use crate::picture::SourceFormat;

/// Why a picture could not be read, resized, cut out or written.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// There are no bytes at all.
    #[error("expected a picture, but the file is empty (0 bytes); export or download it again")]
    Empty,
    /// The first bytes belong to no picture format that is known here.
    #[error(
        "expected a picture (PNG, JPEG, WebP, TIFF, BMP or GIF), but the content {looks_like}; the name's ending does not matter, \
         so give another file or export it as PNG or JPEG"
    )]
    NotAnImage {
        /// What the content looks like, as the end of a sentence ("is text, …").
        looks_like: String,
    },
    /// A picture, but in a format that is not read here.
    #[error("expected PNG, JPEG, WebP, TIFF, BMP or GIF, but this is {name}; {advice}")]
    UnsupportedFormat {
        /// The format's name with its article.
        name: String,
        /// How to convert it.
        advice: String,
    },
    /// A known format using a variant of it that the decoder cannot read.
    #[error(
        "this {format} file uses something that is not supported ({detail}); save it again as an ordinary 8-bit PNG or JPEG"
    )]
    UnsupportedVariant {
        /// The file's format.
        format: SourceFormat,
        /// The decoder's words.
        detail: String,
    },
    /// The file stops before its end.
    #[error(
        "this {format} file is cut off: {detail}; copy or download it again, or accept truncated files (`--accept-truncated`) to use \
         what is there"
    )]
    Truncated {
        /// The file's format.
        format: SourceFormat,
        /// Where it stops.
        detail: String,
    },
    /// The file has its full length but its content contradicts itself.
    #[error(
        "this {format} file is damaged: {detail}; open it in an image program and save it again, or fetch it again"
    )]
    Damaged {
        /// The file's format.
        format: SourceFormat,
        /// The decoder's words.
        detail: String,
    },
    /// More pixels than allowed; found in the header, before anything was decoded.
    #[error(
        "the picture says it is {width}x{height} = {pixels} pixels, the limit is {limit} pixels and {side_limit} a side; scale it \
         down (1024 pixels are enough) or raise the limit",
        pixels = u64::from(*width) * u64::from(*height)
    )]
    TooManyPixels {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// The limit in pixels.
        limit: u64,
        /// The limit of a side in pixels.
        side_limit: u32,
    },
    /// Decoding would need more memory than allowed.
    #[error(
        "decoding this picture needs {needed} bytes of memory, the limit is {limit}; scale the picture down or raise the limit"
    )]
    TooManyBytes {
        /// Bytes that decoding needs.
        needed: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The system did not give the memory.
    #[error("{bytes} bytes of memory were asked for and not given; use a smaller picture or free memory")]
    OutOfMemory {
        /// Bytes asked for.
        bytes: u64,
    },
    /// A width or height of zero, or sizes whose product overflows.
    #[error("expected a width and height of at least 1, got {width}x{height}; choose a size with pixels in it")]
    BadSize {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
    },
    /// A pixel buffer whose length does not fit its size.
    #[error(
        "expected {expected} bytes for {width}x{height} pixels of {channels} channels, got {got}; pass rows without padding"
    )]
    BufferLength {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// Bytes a pixel.
        channels: usize,
        /// Bytes expected.
        expected: u64,
        /// Bytes that came.
        got: u64,
    },
    /// A mask of another size than its picture.
    #[error(
        "expected a mask of the picture's size {}x{}, got {}x{}; resize the mask or give one made from this picture", picture.0, picture.1, mask.0, mask.1
    )]
    MaskSize {
        /// Width and height of the picture.
        picture: (u32, u32),
        /// Width and height of the mask.
        mask: (u32, u32),
    },
    /// No pixel is opaque enough to count as the object.
    #[error(
        "no object found: expected pixels with alpha of at least 205 of 255, the highest alpha is {max_alpha}; check the cut-out \
         (`--save-cutout`), give a mask (`--mask`) or keep the background (`--keep-background`)"
    )]
    NoObject {
        /// The highest alpha in the picture.
        max_alpha: u8,
    },
    /// The object is a single pixel or so: nothing to crop to.
    #[error(
        "the object is {width}x{height} pixels, too small to crop to; use a picture where it is larger (some hundred pixels) or a \
         better mask"
    )]
    ObjectTooSmall {
        /// Columns with object pixels, from the first to the last.
        width: u32,
        /// Rows with object pixels, from the first to the last.
        height: u32,
    },
    /// The matting network gave values that are no numbers.
    #[error(
        "the matting network's output has {count} values that are not finite; run it in full precision or give a mask (`--mask`)"
    )]
    MaskNotFinite {
        /// How many values are NaN or infinite.
        count: usize,
    },
    /// The matting network gave another number of values than asked for.
    #[error(
        "expected {expected} values of the matting network ({side}x{side}), got {got}; pass its first output whole"
    )]
    MaskLength {
        /// Values expected.
        expected: usize,
        /// The side of the square.
        side: u32,
        /// Values that came.
        got: usize,
    },
    /// The PNG encoder failed.
    #[error("the PNG could not be encoded ({detail}); try a smaller picture")]
    Encode {
        /// The encoder's words.
        detail: String,
    },
}

impl ImageError {
    /// A short name of the kind of error that stays the same when the words change: for tables, exit codes and tests.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Empty => "image::empty",
            Self::NotAnImage { .. } => "image::not_an_image",
            Self::UnsupportedFormat { .. } => "image::unsupported_format",
            Self::UnsupportedVariant { .. } => "image::unsupported_variant",
            Self::Truncated { .. } => "image::truncated",
            Self::Damaged { .. } => "image::damaged",
            Self::TooManyPixels { .. } => "image::too_many_pixels",
            Self::TooManyBytes { .. } => "image::too_many_bytes",
            Self::OutOfMemory { .. } => "image::out_of_memory",
            Self::BadSize { .. } => "image::bad_size",
            Self::BufferLength { .. } => "image::buffer_length",
            Self::MaskSize { .. } => "image::mask_size",
            Self::NoObject { .. } => "image::no_object",
            Self::ObjectTooSmall { .. } => "image::object_too_small",
            Self::MaskNotFinite { .. } => "image::mask_not_finite",
            Self::MaskLength { .. } => "image::mask_length",
            Self::Encode { .. } => "image::encode",
        }
    }
}

/// A vector of `len` equal bytes, or an error instead of an abort when the memory is not there.
pub(crate) fn filled(len: usize, value: u8) -> Result<Vec<u8>, ImageError> {
    let mut data = reserve(len)?;
    data.resize(len, value);
    Ok(data)
}

/// An empty vector with room for `len` values.
pub(crate) fn reserve<T>(len: usize) -> Result<Vec<T>, ImageError> {
    let mut data = Vec::new();
    data.try_reserve_exact(len)
        .map_err(|_| ImageError::OutOfMemory { bytes: (len as u64).saturating_mul(size_of::<T>() as u64) })?;
    Ok(data)
}
