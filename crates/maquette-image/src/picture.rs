//! A decoded picture and what is known about its file.

use std::fmt;

use crate::cutout::limit_longer_side;
use crate::error::ImageError;
use crate::raster::{Mask, Rgb, Rgba};

/// The file formats that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SourceFormat {
    /// Portable Network Graphics, the default image of an animated one.
    Png,
    /// JPEG: baseline and progressive; grey, colour and CMYK.
    Jpeg,
    /// WebP, lossy and lossless; the first frame of an animation.
    WebP,
    /// TIFF, the first page.
    Tiff,
    /// Windows bitmap.
    Bmp,
    /// GIF, the first frame.
    Gif,
}

impl fmt::Display for SourceFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Png => "PNG",
            Self::Jpeg => "JPEG",
            Self::WebP => "WebP",
            Self::Tiff => "TIFF",
            Self::Bmp => "BMP",
            Self::Gif => "GIF",
        })
    }
}

/// How the file stores its pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PixelMode {
    /// One channel.
    Grey,
    /// One channel and alpha.
    GreyAlpha,
    /// Indices into a list of colours.
    Palette,
    /// Three channels.
    Rgb,
    /// Three channels and alpha.
    Rgba,
    /// Printing colours.
    Cmyk,
}

impl fmt::Display for PixelMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Grey => "grey",
            Self::GreyAlpha => "grey with alpha",
            Self::Palette => "palette",
            Self::Rgb => "RGB",
            Self::Rgba => "RGBA",
            Self::Cmyk => "CMYK",
        })
    }
}

/// What the picture's transparency is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transparency {
    /// There is none: no alpha at all, or 255 everywhere. The subject has to be cut out.
    Opaque,
    /// The alpha channel is the cut-out: the file is RGBA and some alpha is not 255.
    Cutout,
    /// There is transparency, but in a form that the original ignores (a palette entry, a single transparent colour, grey with alpha); the
    /// subject has to be cut out as if the picture were opaque. [`crate::DecodeOptions::any_transparency`] makes it a cut-out.
    Ignored,
}

/// Something about the file that its user may want to know.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Note {
    /// The colour profile was not applied.
    IccIgnored,
    /// More than 8 bits a channel were reduced to 8.
    DepthReduced,
    /// The EXIF (or TIFF) orientation was applied: 2 to 8.
    OrientationApplied(u8),
    /// The EXIF (or TIFF) orientation was left alone on request: 2 to 8.
    OrientationIgnored(u8),
    /// An animation: only the first frame is used.
    FirstFrameOnly,
    /// Transparency in a form that is not used as a cut-out.
    TransparencyIgnored(PixelMode),
    /// An alpha channel that is 255 everywhere.
    AlphaAllOpaque,
    /// CMYK was converted without a colour profile.
    CmykConverted,
    /// The file is cut off; the rest was filled in.
    TruncatedFilled,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IccIgnored => f.write_str("its colour profile (ICC) is ignored, colours are taken as sRGB"),
            Self::DepthReduced => f.write_str("its channels were reduced to 8 bits"),
            Self::OrientationApplied(n) => write!(f, "turned upright by its EXIF orientation ({n})"),
            Self::OrientationIgnored(n) => write!(f, "its EXIF orientation ({n}) was ignored as asked for"),
            Self::FirstFrameOnly => f.write_str("it is an animation, only the first frame is used"),
            Self::TransparencyIgnored(mode) => {
                write!(f, "its transparency ({mode}) is not used as a cut-out; save it as RGBA to use it")
            }
            Self::AlphaAllOpaque => f.write_str("its alpha is 255 everywhere, so the subject has to be cut out"),
            Self::CmykConverted => f.write_str("its printing colours (CMYK) were converted without a profile"),
            Self::TruncatedFilled => {
                f.write_str("the file is cut off; what is missing was filled with grey or transparency")
            }
        }
    }
}

/// What is known about a decoded file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The format, told from the content, never from a name.
    pub format: SourceFormat,
    /// How the pixels are stored.
    pub mode: PixelMode,
    /// Bits a channel in the file as far as they matter: 8, 16 or 32 (fewer count as 8).
    pub bits: u8,
    /// What the alpha is good for.
    pub transparency: Transparency,
    /// The stored orientation, 1 (upright) to 8.
    pub orientation: u8,
    /// Whether pixels were turned or mirrored by it.
    pub orientation_applied: bool,
    /// Whether the file was cut off and the rest filled in.
    pub truncated: bool,
    /// The above and more, to be shown to the user.
    pub notes: Vec<Note>,
}

/// A decoded picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// The pixels, upright unless asked otherwise, with whatever alpha the file holds (also where [`Facts::transparency`] says ignored).
    pub pixels: Rgba,
    /// What is known about the file.
    pub facts: Facts,
}

impl Picture {
    /// Whether the alpha channel is the cut-out, so that no matting is needed.
    pub fn has_alpha(&self) -> bool {
        self.facts.transparency == Transparency::Cutout
    }

    /// What the matting network sees of a picture without a cut-out: RGB (alpha dropped, not multiplied in) with the longer side at most
    /// [`crate::MATTING_SIDE_LIMIT`].
    ///
    /// The original turns a picture upright after this step and we before it; where a turn by 90° and a reduction meet, single values can
    /// differ from the original's by one.
    ///
    /// # Errors
    /// [`ImageError::OutOfMemory`].
    pub fn opaque(&self) -> Result<Rgb, ImageError> {
        limit_longer_side(self.pixels.to_rgb()?, crate::MATTING_SIDE_LIMIT)
    }

    /// The picture read as a mask, for a mask that a user gives: its alpha if that is a cut-out, else its brightness.
    ///
    /// # Errors
    /// [`ImageError::OutOfMemory`].
    pub fn to_mask(&self) -> Result<Mask, ImageError> {
        if self.has_alpha() { self.pixels.alpha() } else { self.pixels.to_rgb()?.to_luma() }
    }
}
