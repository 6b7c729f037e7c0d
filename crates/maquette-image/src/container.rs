//! What the bytes of a file tell before anything is decoded: which format it is, whether it is whole, whether it is an animation.
//!
//! Decoders disagree about files that stop early (some fill in grey and say nothing), so completeness is found here, by walking each
//! format's own outer structure.

use crate::error::ImageError;
use crate::picture::SourceFormat;

/// Tells the format from the first bytes.
pub(crate) fn sniff(bytes: &[u8]) -> Result<SourceFormat, ImageError> {
    let starts = |magic: &[u8]| bytes.starts_with(magic);
    if bytes.is_empty() {
        return Err(ImageError::Empty);
    }
    if starts(b"\x89PNG\r\n\x1a\n") {
        return Ok(SourceFormat::Png);
    }
    if starts(b"\xff\xd8\xff") {
        return Ok(SourceFormat::Jpeg);
    }
    if starts(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
        return Ok(SourceFormat::WebP);
    }
    if starts(b"II*\0") || starts(b"MM\0*") || starts(b"II+\0") || starts(b"MM\0+") {
        return Ok(SourceFormat::Tiff);
    }
    if starts(b"GIF87a") || starts(b"GIF89a") {
        return Ok(SourceFormat::Gif);
    }
    // "BM" alone begins many a text, so the length of the second header must be a known one
    if starts(b"BM") && bytes.get(14..18).is_none_or(|n| [12, 16, 40, 52, 56, 64, 108, 124].contains(&le32(n))) {
        return Ok(SourceFormat::Bmp);
    }
    // a file cut off inside the signature is not "something else"
    for (magic, format) in [
        (b"\x89PNG\r\n\x1a\n".as_slice(), SourceFormat::Png),
        (b"\xff\xd8\xff", SourceFormat::Jpeg),
        (b"GIF89a", SourceFormat::Gif),
    ] {
        if bytes.len() >= 2 && magic.starts_with(bytes) {
            return Err(truncated(format, format!("it has only {} bytes", bytes.len())));
        }
    }
    if let Some((name, advice)) = unsupported(bytes) {
        return Err(ImageError::UnsupportedFormat { name: name.to_owned(), advice: advice.to_owned() });
    }
    Err(ImageError::NotAnImage { looks_like: looks_like(bytes) })
}

/// Picture formats that are recognised but not read.
fn unsupported(bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    const EXPORT: &str = "open it in an image program and export it as PNG or JPEG";
    let starts = |magic: &[u8]| bytes.starts_with(magic);
    if bytes.get(4..8) == Some(b"ftyp") {
        return Some(match bytes.get(8..12)? {
            b"avif" | b"avis" => ("an AVIF picture", EXPORT),
            b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"mif1" | b"msf1" => {
                ("a HEIC picture (the iPhone's default)", "export it as JPEG, or set the camera to \"Most Compatible\"")
            }
            b"crx " => ("a Canon raw photograph", EXPORT),
            _ => ("a video or another ISO media file", "save one frame of it as PNG or JPEG"),
        });
    }
    if starts(b"\xff\x0a") || starts(b"\0\0\0\x0cJXL \r\n\x87\n") {
        return Some(("a JPEG XL picture", EXPORT));
    }
    if starts(b"\0\0\0\x0cjP  \r\n\x87\n") || starts(b"\xff\x4f\xff\x51") {
        return Some(("a JPEG 2000 picture", EXPORT));
    }
    let table: [(&[u8], &str); 10] = [
        (b"8BPS", "a Photoshop document"),
        (b"gimp xcf", "a GIMP document"),
        (b"\0\0\x01\0", "a Windows icon"),
        (b"#?RADIANCE", "a Radiance HDR picture"),
        (b"v/1\x01", "an OpenEXR picture"),
        (b"qoif", "a QOI picture"),
        (b"DDS ", "a DirectDraw texture"),
        (b"\xabKTX 2", "a KTX texture"),
        (b"%PDF-", "a PDF document"),
        (b"%!PS", "a PostScript document"),
    ];
    if let Some((_, name)) = table.iter().find(|(magic, _)| starts(magic)) {
        return Some((name, EXPORT));
    }
    if bytes.len() > 2 && bytes[0] == b'P' && (b'1'..=b'7').contains(&bytes[1]) && bytes[2].is_ascii_whitespace() {
        return Some(("a portable anymap (PBM, PGM, PPM, PAM)", EXPORT));
    }
    let head = &bytes[..bytes.len().min(1024)];
    if head.windows(4).any(|w| w == b"<svg") {
        return Some(("an SVG drawing", "render it to a PNG of about 1024 pixels"));
    }
    None
}

fn looks_like(bytes: &[u8]) -> String {
    let starts = |magic: &[u8]| bytes.starts_with(magic);
    if starts(b"PK\x03\x04") {
        return "is a ZIP archive".to_owned();
    }
    if starts(b"\x1f\x8b") {
        return "is gzip-compressed".to_owned();
    }
    if starts(b"glTF") {
        return "is already a GLB model".to_owned();
    }
    if starts(b"ply\n") || starts(b"ply\r") {
        return "is a PLY model".to_owned();
    }
    let head = &bytes[..bytes.len().min(512)];
    // the cut at 512 bytes may split a character: an error at the very end is none
    let text = match std::str::from_utf8(head) {
        Ok(text) => Some(text),
        Err(error) if error.error_len().is_none() => std::str::from_utf8(&head[..error.valid_up_to()]).ok(),
        Err(_) => None,
    };
    if let Some(text) = text.filter(|t| !t.is_empty() && t.chars().all(|c| !c.is_control() || c.is_whitespace())) {
        let lower = text.trim_start().to_ascii_lowercase();
        if lower.starts_with("<!doctype html") || lower.starts_with("<html") {
            return "is a web page (a download that gave a page instead of the picture?)".to_owned();
        }
        let shown: String = text.chars().take(24).flat_map(char::escape_default).collect();
        return format!("is text (\"{shown}…\")");
    }
    if bytes.iter().all(|&b| b == 0) {
        return format!("is {} zero bytes", bytes.len());
    }
    let shown: Vec<String> = bytes.iter().take(8).map(|b| format!("{b:02x}")).collect();
    format!("begins with the bytes {}", shown.join(" "))
}

/// Refuses a file that stops before its own structure says it ends. Formats without such a structure (TIFF, BMP) are left to their
/// decoders, which notice by themselves.
pub(crate) fn check_whole(format: SourceFormat, bytes: &[u8]) -> Result<(), ImageError> {
    let missing = match format {
        SourceFormat::Png => png_missing(bytes),
        SourceFormat::Jpeg => jpeg_missing(bytes),
        SourceFormat::WebP => webp_missing(bytes),
        SourceFormat::Gif => gif_first_frame(bytes).err(),
        SourceFormat::Tiff | SourceFormat::Bmp => None,
    };
    missing.map_or(Ok(()), |detail| Err(truncated(format, detail)))
}

/// Whether the file holds more than one frame.
pub(crate) fn is_animation(format: SourceFormat, bytes: &[u8]) -> bool {
    match format {
        SourceFormat::Png => PngChunks(&bytes[8.min(bytes.len())..])
            .take_while(|(kind, _)| kind != b"IDAT")
            .any(|(kind, _)| kind == *b"acTL"),
        SourceFormat::WebP => bytes.get(12..16) == Some(b"VP8X") && bytes.get(20).is_some_and(|flags| flags & 2 != 0),
        SourceFormat::Gif => gif_first_frame(bytes).is_ok_and(|end| gif_next_frame(bytes, end)),
        _ => false,
    }
}

/// Colour type of a PNG's header: 0 grey, 2 RGB, 3 palette, 4 grey with alpha, 6 RGBA.
pub(crate) fn png_colour_type(bytes: &[u8]) -> Option<u8> {
    bytes.get(25).copied()
}

/// Number of channels in a JPEG's frame header.
pub(crate) fn jpeg_channels(bytes: &[u8]) -> Option<u8> {
    let mut at = 2;
    loop {
        let (marker, body) = jpeg_segment(bytes, &mut at)?;
        if is_frame_header(marker) {
            return body.get(5).copied();
        }
        if marker == 0xda || marker == 0xd9 {
            return None;
        }
    }
}

fn truncated(format: SourceFormat, detail: String) -> ImageError {
    ImageError::Truncated { format, detail }
}

fn le32(bytes: &[u8]) -> u32 {
    bytes.iter().take(4).rev().fold(0, |n, &b| n << 8 | u32::from(b))
}

fn be32(bytes: &[u8]) -> u32 {
    bytes.iter().take(4).fold(0, |n, &b| n << 8 | u32::from(b))
}

/// Kind and whole content of each chunk; ends at the first that is not all there.
struct PngChunks<'a>(&'a [u8]);

impl<'a> Iterator for PngChunks<'a> {
    type Item = ([u8; 4], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (head, rest) = self.0.split_first_chunk::<8>()?;
        let length = be32(head) as usize;
        let content = rest.get(..length)?;
        self.0 = rest.get(length.checked_add(4)?..)?;
        Some(([head[4], head[5], head[6], head[7]], content))
    }
}

fn png_missing(bytes: &[u8]) -> Option<String> {
    let chunks = PngChunks(bytes.get(8..)?);
    if chunks.into_iter().any(|(kind, _)| kind == *b"IEND") {
        return None;
    }
    Some(format!("it stops after {} bytes without the closing IEND chunk", bytes.len()))
}

fn is_frame_header(marker: u8) -> bool {
    (0xc0..=0xcf).contains(&marker) && ![0xc4, 0xc8, 0xcc].contains(&marker)
}

/// The next marker at or behind `at` and its content; moves `at` behind it. `None` where the file ends.
fn jpeg_segment<'a>(bytes: &'a [u8], at: &mut usize) -> Option<(u8, &'a [u8])> {
    loop {
        // inside compressed data FF is followed by 00 or a restart marker; FF FF is padding
        while *bytes.get(*at)? != 0xff {
            *at += 1;
        }
        let marker = *bytes.get(*at + 1)?;
        match marker {
            0xff => *at += 1,
            0x00 | 0x01 | 0xd0..=0xd8 => *at += 2,
            0xd9 => {
                *at += 2;
                return Some((marker, &[]));
            }
            _ => {
                let length = usize::from(u16::from_be_bytes([*bytes.get(*at + 2)?, *bytes.get(*at + 3)?]));
                let body = bytes.get(*at + 4..(*at + 2).checked_add(length.max(2))?)?;
                *at += 2 + length.max(2);
                return Some((marker, body));
            }
        }
    }
}

/// Length of the part of a JPEG that holds whole segments; behind it a marker's content is cut off, or nothing is left.
pub(crate) fn jpeg_usable_len(bytes: &[u8]) -> usize {
    let mut at = 2;
    while let Some((marker, _)) = jpeg_segment(bytes, &mut at) {
        if marker == 0xd9 {
            break;
        }
    }
    at.min(bytes.len())
}

fn jpeg_missing(bytes: &[u8]) -> Option<String> {
    let mut at = 2;
    let mut scans = 0;
    while let Some((marker, _)) = jpeg_segment(bytes, &mut at) {
        match marker {
            0xda => scans += 1,
            0xd9 if scans > 0 => return None,
            _ => {}
        }
    }
    Some(format!("it stops after {} bytes without the end-of-image marker", bytes.len()))
}

fn webp_missing(bytes: &[u8]) -> Option<String> {
    let declared = 8 + u64::from(le32(bytes.get(4..8)?));
    (declared > bytes.len() as u64).then(|| format!("it should have {declared} bytes and has {}", bytes.len()))
}

/// Position behind the first frame's data.
fn gif_first_frame(bytes: &[u8]) -> Result<usize, String> {
    let cut = || format!("it stops after {} bytes, inside its first frame", bytes.len());
    let flags = *bytes.get(10).ok_or_else(cut)?;
    let mut at = 13 + gif_palette_len(flags);
    loop {
        match bytes.get(at) {
            Some(0x21) => at = gif_skip_blocks(bytes, at + 2).ok_or_else(cut)?,
            Some(0x2c) => {
                let flags = *bytes.get(at + 9).ok_or_else(cut)?;
                return gif_skip_blocks(bytes, at + 11 + gif_palette_len(flags)).ok_or_else(cut);
            }
            // no frame at all, or a byte that belongs to nothing: the decoder says what is wrong
            Some(_) => return Ok(at),
            None => return Err(cut()),
        }
    }
}

fn gif_next_frame(bytes: &[u8], mut at: usize) -> bool {
    loop {
        match bytes.get(at) {
            Some(0x21) => match gif_skip_blocks(bytes, at + 2) {
                Some(next) => at = next,
                None => return false,
            },
            Some(0x2c) => return true,
            _ => return false,
        }
    }
}

fn gif_palette_len(flags: u8) -> usize {
    if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) }
}

/// Position behind a chain of length-prefixed blocks.
fn gif_skip_blocks(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let length = usize::from(*bytes.get(at)?);
        at += 1 + length;
        if length == 0 {
            return Some(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_picture_is_named() {
        let looks = |bytes: &[u8]| match sniff(bytes) {
            Err(ImageError::NotAnImage { looks_like }) => looks_like,
            other => panic!("{other:?}"),
        };
        assert!(looks(b"hello, this is a text file").contains("text (\"hello, this is a text fi…\")"));
        assert!(looks("ä".repeat(400).as_bytes()).contains("text"));
        assert!(looks(b"<!DOCTYPE html><html></html>").contains("web page"));
        assert!(looks(b"PK\x03\x04....").contains("ZIP"));
        assert!(looks(b"glTF\x02\0\0\0").contains("GLB"));
        assert!(looks(&[0; 64]).contains("64 zero bytes"));
        assert!(looks(&[0xde, 0xad, 0xbe, 0xef]).contains("de ad be ef"));
        assert!(looks(b"BMW is a car maker, not a bitmap").contains("text"));
        assert_eq!(sniff(&[]), Err(ImageError::Empty));
    }

    #[test]
    fn known_but_unread_formats_are_named_with_advice() {
        let name = |bytes: &[u8]| match sniff(bytes) {
            Err(ImageError::UnsupportedFormat { name, advice }) => {
                assert!(!advice.is_empty());
                name
            }
            other => panic!("{other:?}"),
        };
        assert!(name(b"\0\0\0\x18ftypheic\0\0\0\0").contains("HEIC"));
        assert!(name(b"\0\0\0\x18ftypavif\0\0\0\0").contains("AVIF"));
        assert!(name(b"\0\0\0\x18ftypisom\0\0\0\0").contains("video"));
        assert!(name(b"8BPS\0\x01").contains("Photoshop"));
        assert!(name(b"<?xml version=\"1.0\"?><svg xmlns=\"\"/>").contains("SVG"));
        assert!(name(b"P6\n2 2\n255\n").contains("anymap"));
        assert!(name(b"%PDF-1.7").contains("PDF"));
        assert!(name(b"\xff\x0a\0\0").contains("JPEG XL"));
    }

    #[test]
    fn signatures_cut_short_count_as_truncated() {
        for bytes in [b"\x89PNG".as_slice(), b"\xff\xd8", b"GIF8"] {
            assert!(matches!(sniff(bytes), Err(ImageError::Truncated { .. })), "{bytes:?}");
        }
    }
}
