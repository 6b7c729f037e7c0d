//! From the bytes of a file to a checked picture.

use std::borrow::Cow;
use std::io::Cursor;

use image::{ColorType, ExtendedColorType, ImageDecoder, ImageFormat, ImageReader, Limits};

use crate::container::{check_whole, is_animation, jpeg_channels, jpeg_usable_len, png_colour_type, sniff};
use crate::error::{ImageError, filled, reserve};
use crate::orientation::apply_orientation;
use crate::picture::{Facts, Note, Picture, PixelMode, SourceFormat, Transparency};
use crate::raster::Rgba;

/// The longest side that is decoded, whatever the number of pixels: the tables of the resampler grow with it.
const SIDE_LIMIT: u32 = 1 << 17;
/// What a cut-off picture without alpha is filled up with: middle grey, as JPEG decoders do.
const MISSING_OPAQUE: u8 = 128;
/// What a cut-off picture with alpha is filled up with: nothing.
const MISSING_TRANSPARENT: u8 = 0;

/// Limits and choices for [`decode`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodeOptions {
    /// The most pixels to accept, checked in the header before anything is decoded. Default 120 million.
    pub max_pixels: u64,
    /// The most bytes for the decoded pixels: as the decoder gives them and as RGBA. A decoder may hold tables beside them (a progressive
    /// JPEG about 6 bytes a pixel). Default 1 GiB.
    pub max_bytes: u64,
    /// Use what is there of a file that is cut off; the rest becomes grey (transparent where there is alpha). Default off: such a file is
    /// an error.
    pub accept_truncated: bool,
    /// Turn the picture upright by its EXIF orientation. Default on, as every viewer does it. The original turns only pictures without a
    /// cut-out; turn this off for RGBA files to get its exact result for those few that carry an orientation.
    pub apply_orientation: bool,
    /// Use transparency of every kind as a cut-out: palettes with transparent entries, a transparent colour, grey with alpha. Default off:
    /// the original uses only files that are exactly RGBA, and drops the rest.
    pub any_transparency: bool,
}

impl Default for DecodeOptions {
    fn default() -> Self {
        Self {
            max_pixels: 120_000_000,
            max_bytes: 1 << 30,
            accept_truncated: false,
            apply_orientation: true,
            any_transparency: false,
        }
    }
}

/// Decodes a PNG, JPEG, WebP, TIFF, BMP or GIF (its first frame or page) to upright 8-bit RGBA. The format is told from the content.
///
/// More than 8 bits a channel lose the lower ones (as in Pillow), CMYK is converted plainly, colour profiles are ignored; each leaves a
/// [`Note`].
///
/// # Errors
/// [`ImageError::Empty`], [`ImageError::NotAnImage`], [`ImageError::UnsupportedFormat`], [`ImageError::UnsupportedVariant`],
/// [`ImageError::TooManyPixels`] and [`ImageError::TooManyBytes`] (both before decoding), [`ImageError::Truncated`],
/// [`ImageError::Damaged`], [`ImageError::OutOfMemory`].
pub fn decode(bytes: &[u8], options: &DecodeOptions) -> Result<Picture, ImageError> {
    let format = sniff(bytes)?;
    let whole = check_whole(format, bytes);
    let stored = match read_stored(format, bytes, &whole, options) {
        Err(error @ ImageError::Truncated { .. }) if options.accept_truncated => {
            // some decoders give nothing unless the file has its full length
            let padded = pad(format, bytes, options)?;
            read_stored(format, &padded, &whole, options)
                .map(|stored| Stored { complete: false, ..stored })
                .map_err(|_| error)?
        }
        other => other?,
    };
    finish(format, bytes, stored, options)
}

/// What a decoder gives, before it is brought to RGBA.
struct Stored {
    width: u32,
    height: u32,
    colour: ColorType,
    original: ExtendedColorType,
    data: Vec<u8>,
    icc: bool,
    orientation: u8,
    complete: bool,
}

fn read_stored(
    format: SourceFormat,
    bytes: &[u8],
    whole: &Result<(), ImageError>,
    options: &DecodeOptions,
) -> Result<Stored, ImageError> {
    // an error in a file that is known to be cut off comes from the cut
    let explain = |error: image::ImageError| match whole {
        Err(truncated) if !matches!(error, image::ImageError::Limits(_)) => truncated.clone(),
        _ => from_decoder(format, &error, options),
    };
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(options.max_bytes);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), decoder_format(format));
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(explain)?;
    let (width, height) = decoder.dimensions();
    check_limits(width, height, decoder.total_bytes(), options)?;
    if !options.accept_truncated {
        whole.clone()?;
    }
    let colour = decoder.color_type();
    let original = decoder.original_color_type();
    let icc = decoder.icc_profile().ok().flatten().is_some_and(|profile| !profile.is_empty());
    let orientation = decoder.orientation().map_or(1, image::metadata::Orientation::to_exif);
    let len = usize::try_from(decoder.total_bytes()).map_err(|_| ImageError::BadSize { width, height })?;
    let fill = if colour.has_alpha() { MISSING_TRANSPARENT } else { MISSING_OPAQUE };
    let mut data = filled(len, fill)?;
    let complete = match decoder.read_image(&mut data) {
        Ok(()) => whole.is_ok(),
        Err(error) => {
            let error = explain(error);
            let something = data.iter().any(|&b| b != fill);
            if !(options.accept_truncated && something && matches!(error, ImageError::Truncated { .. })) {
                return Err(error);
            }
            big_endian_rest(format, colour, &mut data);
            false
        }
    };
    Ok(Stored { width, height, colour, original, data, icc, orientation, complete })
}

/// The PNG decoder swaps 16-bit values to the machine's order after the last row, so a cut-off picture still has them as in the file.
fn big_endian_rest(format: SourceFormat, colour: ColorType, data: &mut [u8]) {
    if format == SourceFormat::Png
        && matches!(colour, ColorType::L16 | ColorType::La16 | ColorType::Rgb16 | ColorType::Rgba16)
    {
        for pair in data.as_chunks_mut::<2>().0 {
            *pair = u16::from_be_bytes(*pair).to_ne_bytes();
        }
    }
}

fn check_limits(width: u32, height: u32, decoder_bytes: u64, options: &DecodeOptions) -> Result<(), ImageError> {
    if width == 0 || height == 0 {
        return Err(ImageError::BadSize { width, height });
    }
    let pixels = u64::from(width) * u64::from(height);
    if pixels > options.max_pixels || width.max(height) > SIDE_LIMIT {
        return Err(ImageError::TooManyPixels { width, height, limit: options.max_pixels, side_limit: SIDE_LIMIT });
    }
    let needed = decoder_bytes.saturating_add(pixels.saturating_mul(4));
    if needed > options.max_bytes {
        return Err(ImageError::TooManyBytes { needed, limit: options.max_bytes });
    }
    Ok(())
}

/// The file made formally complete: with an end marker (JPEG) or zeros behind it, as many as it can lack.
fn pad<'a>(format: SourceFormat, bytes: &'a [u8], options: &DecodeOptions) -> Result<Cow<'a, [u8]>, ImageError> {
    let mut padded = reserve(bytes.len() + 2)?;
    if format == SourceFormat::Jpeg {
        padded.extend_from_slice(&bytes[..jpeg_usable_len(bytes)]);
        padded.extend_from_slice(&[0xff, 0xd9]);
        return Ok(Cow::Owned(padded));
    }
    let declared = match format {
        // RIFF says how long it is
        SourceFormat::WebP => {
            bytes.get(4..8).map_or(0, |n| 8 + u64::from(u32::from_le_bytes([n[0], n[1], n[2], n[3]])))
        }
        // at most as long as the pixels it holds, uncompressed
        SourceFormat::Tiff | SourceFormat::Bmp => {
            uncompressed_len(format, bytes).unwrap_or(0).saturating_add(bytes.len() as u64)
        }
        _ => 0,
    };
    let missing = usize::try_from(declared.min(options.max_bytes)).unwrap_or(0).saturating_sub(bytes.len());
    if missing == 0 {
        return Ok(Cow::Borrowed(bytes));
    }
    padded.extend_from_slice(bytes);
    padded.try_reserve_exact(missing).map_err(|_| ImageError::OutOfMemory { bytes: missing as u64 })?;
    padded.resize(bytes.len() + missing, 0);
    Ok(Cow::Owned(padded))
}

fn uncompressed_len(format: SourceFormat, bytes: &[u8]) -> Option<u64> {
    let decoder = ImageReader::with_format(Cursor::new(bytes), decoder_format(format)).into_decoder().ok()?;
    Some(decoder.total_bytes())
}

fn decoder_format(format: SourceFormat) -> ImageFormat {
    match format {
        SourceFormat::Png => ImageFormat::Png,
        SourceFormat::Jpeg => ImageFormat::Jpeg,
        SourceFormat::WebP => ImageFormat::WebP,
        SourceFormat::Tiff => ImageFormat::Tiff,
        SourceFormat::Bmp => ImageFormat::Bmp,
        SourceFormat::Gif => ImageFormat::Gif,
    }
}

fn from_decoder(format: SourceFormat, error: &image::ImageError, options: &DecodeOptions) -> ImageError {
    let detail = error.to_string();
    match error {
        image::ImageError::Unsupported(_) => ImageError::UnsupportedVariant { format, detail },
        image::ImageError::Limits(_) => {
            ImageError::TooManyBytes { needed: options.max_bytes.saturating_add(1), limit: options.max_bytes }
        }
        _ if ends_early(error) => ImageError::Truncated { format, detail },
        _ => ImageError::Damaged { format, detail },
    }
}

/// Whether an "unexpected end" stands anywhere in the chain of causes.
fn ends_early(error: &image::ImageError) -> bool {
    let io_end = |e: &std::io::Error| e.kind() == std::io::ErrorKind::UnexpectedEof;
    if let image::ImageError::IoError(e) = error {
        return io_end(e);
    }
    let mut cause: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(error);
    while let Some(e) = cause {
        if e.downcast_ref::<std::io::Error>().is_some_and(io_end) {
            return true;
        }
        cause = e.source();
    }
    false
}

fn finish(format: SourceFormat, bytes: &[u8], stored: Stored, options: &DecodeOptions) -> Result<Picture, ImageError> {
    let mode = pixel_mode(format, bytes, &stored);
    let bits = match stored.colour {
        ColorType::L16 | ColorType::La16 | ColorType::Rgb16 | ColorType::Rgba16 => 16,
        ColorType::Rgb32F | ColorType::Rgba32F => 32,
        _ => 8,
    };
    let has_channel = stored.colour.has_alpha();
    let (icc, orientation, complete) = (stored.icc, stored.orientation, stored.complete);
    let pixels = to_rgba(format, stored)?;
    let mut notes = Vec::new();
    if !complete {
        notes.push(Note::TruncatedFilled);
    }
    if is_animation(format, bytes) {
        notes.push(Note::FirstFrameOnly);
    }
    if bits > 8 {
        notes.push(Note::DepthReduced);
    }
    if mode == PixelMode::Cmyk {
        notes.push(Note::CmykConverted);
    }
    if icc {
        notes.push(Note::IccIgnored);
    }
    let see_through = has_channel && pixels.pixels().any(|p| p[3] != 255);
    let transparency = match (see_through, mode) {
        (true, PixelMode::Rgba) => Transparency::Cutout,
        (true, _) if options.any_transparency => Transparency::Cutout,
        (true, _) => {
            notes.push(Note::TransparencyIgnored(mode));
            Transparency::Ignored
        }
        (false, PixelMode::Rgba) => {
            notes.push(Note::AlphaAllOpaque);
            Transparency::Opaque
        }
        (false, _) => Transparency::Opaque,
    };
    let turned = (2..=8).contains(&orientation);
    let orientation_applied = turned && options.apply_orientation;
    if turned {
        notes.push(if orientation_applied {
            Note::OrientationApplied(orientation)
        } else {
            Note::OrientationIgnored(orientation)
        });
    }
    let pixels = if orientation_applied { apply_orientation(pixels, orientation)? } else { pixels };
    let facts =
        Facts { format, mode, bits, transparency, orientation, orientation_applied, truncated: !complete, notes };
    Ok(Picture { pixels, facts })
}

fn pixel_mode(format: SourceFormat, bytes: &[u8], stored: &Stored) -> PixelMode {
    let decoded = match stored.colour {
        ColorType::L8 | ColorType::L16 => PixelMode::Grey,
        ColorType::La8 | ColorType::La16 => PixelMode::GreyAlpha,
        ColorType::Rgba8 | ColorType::Rgba16 | ColorType::Rgba32F => PixelMode::Rgba,
        _ => PixelMode::Rgb,
    };
    match format {
        // a transparent colour makes the decoder give alpha where the file has none
        SourceFormat::Png => match png_colour_type(bytes) {
            Some(0) => PixelMode::Grey,
            Some(2) => PixelMode::Rgb,
            Some(3) => PixelMode::Palette,
            _ => decoded,
        },
        SourceFormat::Jpeg if jpeg_channels(bytes) == Some(4) => PixelMode::Cmyk,
        SourceFormat::Gif => PixelMode::Palette,
        SourceFormat::Tiff if matches!(stored.original, ExtendedColorType::Cmyk8 | ExtendedColorType::Cmyk16) => {
            PixelMode::Cmyk
        }
        _ => decoded,
    }
}

fn to_rgba(format: SourceFormat, stored: Stored) -> Result<Rgba, ImageError> {
    let Stored { width, height, colour, data, .. } = stored;
    if colour == ColorType::Rgba8 {
        return Rgba::new(width, height, data);
    }
    let mut out = reserve(Rgba::byte_len(width, height)?)?;
    match colour {
        ColorType::L8 => expand(&data, &mut out, |&[v]| [v, v, v, 255]),
        ColorType::La8 => expand(&data, &mut out, |&[v, a]| [v, v, v, a]),
        ColorType::Rgb8 => expand(&data, &mut out, |&[r, g, b]| [r, g, b, 255]),
        ColorType::L16 => expand(&data, &mut out, |&[a, b]| {
            let v = high(a, b);
            [v, v, v, 255]
        }),
        ColorType::La16 => expand(&data, &mut out, |&[a, b, c, d]| {
            let v = high(a, b);
            [v, v, v, high(c, d)]
        }),
        ColorType::Rgb16 => expand(&data, &mut out, |&[a, b, c, d, e, f]| [high(a, b), high(c, d), high(e, f), 255]),
        ColorType::Rgba16 => {
            expand(&data, &mut out, |&[a, b, c, d, e, f, g, h]| [high(a, b), high(c, d), high(e, f), high(g, h)]);
        }
        ColorType::Rgb32F => expand(&data, &mut out, |p: &[u8; 12]| [unit(p, 0), unit(p, 1), unit(p, 2), 255]),
        ColorType::Rgba32F => expand(&data, &mut out, |p: &[u8; 16]| [unit(p, 0), unit(p, 1), unit(p, 2), unit(p, 3)]),
        other => return Err(ImageError::UnsupportedVariant { format, detail: format!("its pixels are {other:?}") }),
    }
    Rgba::new(width, height, out)
}

fn expand<const N: usize>(data: &[u8], out: &mut Vec<u8>, pixel: impl Fn(&[u8; N]) -> [u8; 4]) {
    for p in data.as_chunks::<N>().0 {
        out.extend_from_slice(&pixel(p));
    }
}

/// The upper byte of a 16-bit value in the machine's order: Pillow's way from 16 to 8 bits.
fn high(a: u8, b: u8) -> u8 {
    (u16::from_ne_bytes([a, b]) >> 8) as u8
}

/// A float in 0..=1 as a byte; the conversion saturates and takes NaN as 0.
fn unit(pixel: &[u8], channel: usize) -> u8 {
    let bytes = [pixel[4 * channel], pixel[4 * channel + 1], pixel[4 * channel + 2], pixel[4 * channel + 3]];
    (f32::from_ne_bytes(bytes) * 255.0 + 0.5) as u8
}
