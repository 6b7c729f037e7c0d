//! Files that are broken, cut off, oversized or something else: each must give its own error, never a panic or a flood of memory.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{fixture, read};
use maquette_image::{
    DecodeOptions, ImageError, MaskProblem, Rgba, SourceFormat, check_mask, decode, encode_png, prepare,
};

const WHOLE_FILES: [&str; 18] = [
    "colour.jpg",
    "progressive.jpg",
    "grey.jpg",
    "cmyk.jpg",
    "lossy.webp",
    "lossless_alpha.webp",
    "frames.webp",
    "colour.bmp",
    "palette.bmp",
    "lzw.tif",
    "alpha.tif",
    "palette.png",
    "one_bit.png",
    "grey_alpha.png",
    "rgba16.png",
    "frames.gif",
    "turned.png",
    "profile.png",
];

fn strict(bytes: &[u8]) -> Result<maquette_image::Picture, ImageError> {
    decode(bytes, &DecodeOptions::default())
}

fn tolerant(bytes: &[u8]) -> Result<maquette_image::Picture, ImageError> {
    decode(bytes, &DecodeOptions { accept_truncated: true, ..DecodeOptions::default() })
}

#[test]
fn a_file_cut_anywhere_is_refused_as_truncated() {
    for name in WHOLE_FILES {
        let bytes = fixture(name);
        // where the first frame of the animations ends; the frames behind it do not matter
        let needed = match name {
            "frames.gif" => bytes.len() / 3,
            _ => bytes.len(),
        };
        for part in 1..32 {
            let cut = (needed * part / 32).max(2);
            match strict(&bytes[..cut]) {
                Err(ImageError::Truncated { .. }) => {}
                // two bytes are too few to know a format by
                Err(ImageError::NotAnImage { .. }) if cut < 18 => {}
                other => panic!("{name} cut to {cut} of {}: {other:?}", bytes.len()),
            }
        }
        let last = strict(&bytes[..bytes.len() - 1]);
        assert!(
            matches!(last, Err(ImageError::Truncated { .. })) || name == "frames.gif",
            "{name} without its last byte: {last:?}"
        );
    }
}

#[test]
fn a_file_cut_in_its_pixels_is_filled_up_on_request() {
    for name in WHOLE_FILES {
        // pillow writes these two with their directory behind the pixels, so nothing tells a reader what is there
        let headless = name.ends_with(".tif");
        let bytes = fixture(name);
        let picture = match tolerant(&bytes[..bytes.len() * 7 / 8]) {
            Ok(picture) => picture,
            Err(ImageError::Truncated { .. }) if headless => continue,
            Err(error) => panic!("{name}: {error}"),
        };
        let whole = read(&bytes);
        assert_eq!(picture.pixels.size(), whole.pixels.size(), "{name}");
        if name == "frames.gif" || name == "frames.webp" {
            continue;
        }
        assert!(picture.facts.truncated, "{name}");
        let same = picture.pixels.pixels().zip(whole.pixels.pixels()).filter(|(a, b)| a == b).count();
        println!("{name}: {same} of {} pixels", whole.pixels.pixels().len());
    }
    // row by row formats keep what came before the cut
    for name in ["colour.bmp", "rgba16.png", "grey_alpha.png"] {
        let bytes = fixture(name);
        let whole = read(&bytes).pixels;
        let picture = tolerant(&bytes[..bytes.len() * 7 / 8]).unwrap().pixels;
        let same = picture.pixels().zip(whole.pixels()).filter(|(a, b)| a == b).count();
        assert!(same * 2 > whole.pixels().len(), "{name}: {same} of {}", whole.pixels().len());
        assert!(same < whole.pixels().len(), "{name}: nothing is missing");
    }
}

#[test]
fn cut_files_never_panic_however_they_are_read() {
    for name in WHOLE_FILES {
        let bytes = fixture(name);
        for cut in (0..bytes.len()).step_by(7) {
            let _ = strict(&bytes[..cut]);
            let _ = tolerant(&bytes[..cut]);
        }
    }
}

#[test]
fn flipped_bytes_never_panic() {
    let mut state = 0x1234_5678_9ABC_DEFFu64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    // a flip can also turn a small file into one that claims gigabytes, so the limits are small
    let options =
        DecodeOptions { max_pixels: 1 << 20, max_bytes: 1 << 24, accept_truncated: true, ..DecodeOptions::default() };
    for name in WHOLE_FILES {
        let bytes = fixture(name);
        for _ in 0..150 {
            let mut broken = bytes.clone();
            for _ in 0..1 + next() % 4 {
                let at = next() as usize % broken.len();
                broken[at] = next() as u8;
            }
            let _ = decode(&broken, &options);
        }
    }
}

#[test]
fn headers_of_giants_are_refused_before_decoding() {
    let mut png = fixture("grey.png");
    png[16..24].copy_from_slice(&[0, 0, 0x4e, 0x20, 0, 0, 0x4e, 0x20]);
    let crc = crc32(&png[12..29]);
    png[29..33].copy_from_slice(&crc.to_be_bytes());
    let mut jpeg = fixture("colour.jpg");
    let frame = jpeg.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0x4e, 0x20, 0x4e, 0x20]);
    let mut bmp = fixture("colour.bmp");
    bmp[18..22].copy_from_slice(&20_000u32.to_le_bytes());
    bmp[22..26].copy_from_slice(&20_000u32.to_le_bytes());
    let mut gif = fixture("frames.gif");
    gif[6..10].copy_from_slice(&[0x20, 0x4e, 0x20, 0x4e]);
    for (name, bytes) in [("png", png), ("jpeg", jpeg), ("bmp", bmp), ("gif", gif)] {
        let error = strict(&bytes).unwrap_err();
        assert!(matches!(error, ImageError::TooManyPixels { width: 20_000, height: 20_000, .. }), "{name}: {error:?}");
        assert!(error.to_string().contains("20000x20000 = 400000000 pixels"), "{error}");
    }
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, &b| {
        (0..8).fold(crc ^ u32::from(b), |c, _| if c & 1 == 1 { c >> 1 ^ 0xEDB8_8320 } else { c >> 1 })
    })
}

#[test]
fn limits_are_what_the_caller_says() {
    let bytes = fixture("colour.jpg");
    let few = DecodeOptions { max_pixels: 37 * 23 - 1, ..DecodeOptions::default() };
    assert!(matches!(decode(&bytes, &few), Err(ImageError::TooManyPixels { limit: 850, .. })));
    let small = DecodeOptions { max_bytes: 37 * 23 * 7 - 1, ..DecodeOptions::default() };
    assert!(matches!(decode(&bytes, &small), Err(ImageError::TooManyBytes { .. })));
    let just = DecodeOptions { max_pixels: 37 * 23, max_bytes: 37 * 23 * 7, ..DecodeOptions::default() };
    assert!(decode(&bytes, &just).is_ok());
}

#[test]
fn what_is_no_picture_says_what_it_is() {
    assert_eq!(strict(b""), Err(ImageError::Empty));
    assert_eq!(ImageError::Empty.code(), "image::empty");
    for bytes in [
        b"just some text named photo.png\n".as_slice(),
        b"<html><body>404</body></html>",
        b"x",
        &[0u8; 4096],
        &[0x7f; 33],
        b"PK\x03\x04",
    ] {
        let error = strict(bytes).unwrap_err();
        assert!(matches!(error, ImageError::NotAnImage { .. }), "{error:?}");
        assert!(error.to_string().contains("expected a picture"), "{error}");
    }
    let error = strict(b"\0\0\0\x20ftypheic\0\0\0\0mif1heic").unwrap_err();
    assert!(error.to_string().contains("HEIC") && error.to_string().contains("JPEG"), "{error}");
}

#[test]
fn a_right_signature_before_rubbish_is_damaged_or_truncated() {
    for magic in [
        b"\x89PNG\r\n\x1a\n".as_slice(),
        b"\xff\xd8\xff\xe0",
        b"RIFF\x40\0\0\0WEBPVP8 ",
        b"II*\0\x08\0\0\0",
        b"GIF89a",
        b"BM",
    ] {
        let mut bytes = magic.to_vec();
        bytes.extend((0..60u8).map(|n| n.wrapping_mul(37) ^ 0x5a));
        match strict(&bytes) {
            Err(ImageError::Damaged { .. } | ImageError::Truncated { .. } | ImageError::UnsupportedVariant { .. }) => {}
            Err(ImageError::TooManyPixels { .. } | ImageError::NotAnImage { .. }) => {}
            other => panic!("{magic:?}: {other:?}"),
        }
    }
}

#[test]
fn a_damaged_checksum_is_damage_and_not_a_cut() {
    let mut bytes = fixture("grey.png");
    let data = bytes.windows(4).position(|w| w == b"IDAT").unwrap();
    bytes[data + 20] ^= 0x55;
    assert!(
        matches!(strict(&bytes), Err(ImageError::Damaged { format: SourceFormat::Png, .. })),
        "{:?}",
        strict(&bytes)
    );
}

#[test]
fn rubbish_behind_the_end_is_ignored() {
    for name in ["colour.jpg", "progressive.jpg", "grey.png", "lossy.webp", "frames.gif", "colour.bmp"] {
        let mut bytes = fixture(name);
        let whole = read(&bytes).pixels;
        bytes.extend_from_slice(b"\xff\xd8 a second picture, as some phones append it");
        assert_eq!(read(&bytes).pixels, whole, "{name}");
    }
}

#[test]
fn degenerate_pictures_decode_and_are_refused_where_it_matters() {
    let pixel = read(&encode_png(&Rgba::filled(1, 1, 255).unwrap()).unwrap());
    assert_eq!(pixel.pixels.size(), (1, 1));
    assert_eq!(prepare(&pixel.pixels, 518), Err(ImageError::ObjectTooSmall { width: 1, height: 1 }));

    let clear = read(&encode_png(&Rgba::filled(64, 64, 0).unwrap()).unwrap());
    assert!(clear.has_alpha());
    assert_eq!(prepare(&clear.pixels, 518), Err(ImageError::NoObject { max_alpha: 0 }));
    assert_eq!(check_mask(&clear.pixels.alpha().unwrap()).unwrap()[0].problem, MaskProblem::Empty);

    let strip = read(&encode_png(&Rgba::filled(5000, 1, 255).unwrap()).unwrap());
    assert_eq!(strip.opaque().unwrap().size(), (1024, 1));
}
