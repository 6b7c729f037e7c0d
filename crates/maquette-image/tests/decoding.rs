//! Every format and pixel mode against what Pillow makes of the same file (`fixtures/make.py`).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{fixture, read};
use maquette_image::{
    DecodeOptions, Note, PixelMode, Rgba, SourceFormat, Transparency, apply_orientation, decode, encode_png,
};

/// The picture as stored, not turned.
fn as_stored(name: &str) -> maquette_image::Picture {
    let options = DecodeOptions { apply_orientation: false, ..DecodeOptions::default() };
    decode(&fixture(name), &options).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn expected(name: &str) -> Rgba {
    read(&fixture(&format!("{name}.png"))).pixels
}

/// Largest difference in any visible value.
fn distance(a: &Rgba, b: &Rgba) -> u8 {
    assert_eq!(a.size(), b.size());
    let visible = a.pixels().zip(b.pixels()).filter(|(a, b)| a[3] != 0 || b[3] != 0);
    visible.flat_map(|(a, b)| a.iter().zip(b).map(|(a, b)| a.abs_diff(*b)).collect::<Vec<_>>()).max().unwrap_or(0)
}

#[test]
fn every_lossless_file_decodes_as_pillow_does() {
    for name in [
        "lossless_alpha.webp",
        "colour.bmp",
        "palette.bmp",
        "lzw.tif",
        "alpha.tif",
        "palette.png",
        "palette_transparent.png",
        "one_bit.png",
        "grey.png",
        "grey_alpha.png",
        "colour_key.png",
        "frames.gif",
        "frames.webp",
        "profile.png",
        "turned.png",
        "turned.webp",
        "rgba16.png",
        "rgb16.png",
        "grey16.png",
    ] {
        assert_eq!(distance(&as_stored(name).pixels, &expected(name)), 0, "{name}");
    }
}

#[test]
fn every_lossy_file_decodes_as_pillow_does_but_for_the_decoders_rounding() {
    for (name, allowed) in [
        ("colour.jpg", 3),
        ("turned.jpg", 3),
        ("progressive.jpg", 6),
        ("grey.jpg", 2),
        ("cmyk.jpg", 4),
        ("cmyk.tif", 1),
        ("lossy.webp", 4),
    ] {
        let far = distance(&as_stored(name).pixels, &expected(name));
        assert!(far <= allowed, "{name}: {far}");
    }
}

#[test]
fn the_facts_of_each_file_are_told() {
    use PixelMode::*;
    use SourceFormat::*;
    use Transparency::*;
    let opaque = Opaque;
    for (name, format, mode, transparency, notes) in [
        ("colour.jpg", Jpeg, Rgb, opaque, vec![]),
        ("grey.jpg", Jpeg, Grey, opaque, vec![]),
        ("cmyk.jpg", Jpeg, Cmyk, opaque, vec![Note::CmykConverted]),
        ("cmyk.tif", Tiff, Cmyk, opaque, vec![Note::CmykConverted]),
        ("lossy.webp", WebP, Rgb, opaque, vec![]),
        ("lossless_alpha.webp", WebP, Rgba, Cutout, vec![]),
        ("frames.webp", WebP, Rgba, opaque, vec![Note::FirstFrameOnly, Note::AlphaAllOpaque]),
        ("frames.gif", Gif, Palette, opaque, vec![Note::FirstFrameOnly]),
        ("colour.bmp", Bmp, Rgb, opaque, vec![]),
        ("alpha.tif", Tiff, Rgba, Cutout, vec![]),
        ("palette.png", Png, Palette, opaque, vec![]),
        ("palette_transparent.png", Png, Palette, Ignored, vec![Note::TransparencyIgnored(Palette)]),
        ("grey_alpha.png", Png, GreyAlpha, Ignored, vec![Note::TransparencyIgnored(GreyAlpha)]),
        ("colour_key.png", Png, Rgb, Ignored, vec![Note::TransparencyIgnored(Rgb)]),
        ("one_bit.png", Png, Grey, opaque, vec![]),
        ("rgba16.png", Png, Rgba, Cutout, vec![Note::DepthReduced]),
        ("grey16.png", Png, Grey, opaque, vec![Note::DepthReduced]),
        ("profile.png", Png, Rgb, opaque, vec![Note::IccIgnored]),
        ("turned.png", Png, Rgba, Cutout, vec![Note::OrientationApplied(6)]),
        ("turned.webp", WebP, Rgba, Cutout, vec![Note::OrientationApplied(6)]),
        ("turned.jpg", Jpeg, Rgb, opaque, vec![Note::OrientationApplied(6)]),
    ] {
        let facts = read(&fixture(name)).facts;
        assert_eq!((facts.format, facts.mode, facts.transparency), (format, mode, transparency), "{name}");
        assert_eq!(facts.notes, notes, "{name}");
        assert!(!facts.truncated, "{name}");
        assert!(facts.notes.iter().all(|n| n.to_string().len() > 20));
    }
}

#[test]
fn orientation_is_applied_unless_turned_off() {
    for name in ["turned.jpg", "turned.png", "turned.webp"] {
        let stored = as_stored(name);
        assert_eq!((stored.facts.orientation, stored.facts.orientation_applied), (6, false));
        assert_eq!(stored.facts.notes, [Note::OrientationIgnored(6)]);
        let upright = read(&fixture(name));
        assert!(upright.facts.orientation_applied);
        assert_eq!(upright.pixels.size(), (23, 37), "{name}");
        assert_eq!(upright.pixels, apply_orientation(stored.pixels, 6).unwrap(), "{name}");
    }
}

#[test]
fn other_transparency_becomes_a_cutout_on_request() {
    let options = DecodeOptions { any_transparency: true, ..DecodeOptions::default() };
    for name in ["palette_transparent.png", "grey_alpha.png", "colour_key.png"] {
        assert!(decode(&fixture(name), &options).unwrap().has_alpha(), "{name}");
    }
    assert!(!decode(&fixture("palette.png"), &options).unwrap().has_alpha());
}

#[test]
fn an_rgba_file_without_transparency_is_opaque() {
    let file = encode_png(&Rgba::filled(4, 4, 255).unwrap()).unwrap();
    let picture = read(&file);
    assert!(!picture.has_alpha());
    assert_eq!(picture.facts.mode, PixelMode::Rgba);
    assert_eq!(picture.facts.notes, [Note::AlphaAllOpaque]);
}

#[test]
fn what_is_encoded_decodes_to_the_same() {
    let picture = read(&fixture("alpha.tif")).pixels;
    assert_eq!(read(&encode_png(&picture).unwrap()).pixels, picture);
    let rgb = picture.to_rgb().unwrap();
    assert_eq!(read(&encode_png(&rgb).unwrap()).pixels.to_rgb().unwrap(), rgb);
    let mask = picture.alpha().unwrap();
    assert_eq!(read(&encode_png(&mask).unwrap()).to_mask().unwrap(), mask);
}

#[test]
fn a_mask_is_read_from_alpha_or_brightness() {
    let cutout = read(&fixture("alpha.tif"));
    assert_eq!(cutout.to_mask().unwrap(), cutout.pixels.alpha().unwrap());
    let grey = read(&fixture("grey.png"));
    assert_eq!(grey.to_mask().unwrap().data()[0], grey.pixels.data()[0]);
}
