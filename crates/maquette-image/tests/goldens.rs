//! Equality with the reference's pictures, bit for bit.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{golden, read};
use maquette_image::{
    IMAGENET_MEAN, IMAGENET_STD, MATTING_SIDE_LIMIT, Raster, Rgba, limit_longer_side, normalise_chw, prepare,
    to_model_input,
};

fn picture(path: &str) -> maquette_image::Picture {
    read(&std::fs::read(golden(path)).unwrap())
}

fn differing<const C: usize>(a: &Raster<C>, b: &Raster<C>) -> usize {
    assert_eq!(a.size(), b.size());
    a.data().iter().zip(b.data()).filter(|(a, b)| a != b).count()
}

#[test]
fn every_picture_with_alpha_is_prepared_bit_for_bit() {
    let folder = golden("trellis/preprocess");
    let mut cases = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let Some(case) = name.strip_suffix(".in.png") else { continue };
        let input = picture(&format!("trellis/preprocess/{name}"));
        assert!(input.has_alpha(), "{case}");
        let expected = picture(&format!("trellis/preprocess/{case}.out.png")).pixels.to_rgb().unwrap();
        let prepared = prepare(&input.pixels, 518).unwrap();
        assert_eq!(differing(&prepared.rgb, &expected), 0, "{case}");
        cases += 1;
    }
    assert!(cases >= 9, "only {cases} cases found");
}

#[test]
fn the_end_to_end_picture_is_prepared_and_normalised_bit_for_bit() {
    let prepared = prepare(&picture("trellis/e2e/input.png").pixels, 518).unwrap().rgb;
    let expected = picture("trellis/e2e/preprocessed.png").pixels.to_rgb().unwrap();
    assert_eq!(differing(&prepared, &expected), 0);

    let planes = normalise_chw(&to_model_input(&prepared, 518).unwrap(), IMAGENET_MEAN, IMAGENET_STD).unwrap();
    let bytes = std::fs::read(golden("trellis/e2e/image_norm_crop.safetensors")).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let crop = file.tensor("rows_100_127_cols_200_241").unwrap();
    assert_eq!(crop.shape(), [3, 28, 42]);
    let mut values = crop.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b));
    for channel in 0..3 {
        for row in 100..128 {
            for column in 200..242 {
                let got = planes[(channel * 518 + row) * 518 + column];
                let expected = values.next().unwrap();
                assert_eq!(
                    got.to_bits(),
                    expected.to_bits(),
                    "channel {channel}, row {row}, column {column}: {got} against {expected}"
                );
            }
        }
    }
}

#[test]
fn an_opaque_jpeg_takes_the_way_through_the_mask() {
    let decoded = picture("trellis/preprocess/j1.decoded.png").pixels.to_rgb().unwrap();
    let jpeg = picture("trellis/preprocess/j1.in.jpg");
    assert!(!jpeg.has_alpha());
    // two JPEG decoders never agree on every value
    let distance: Vec<u8> =
        jpeg.pixels.to_rgb().unwrap().data().iter().zip(decoded.data()).map(|(a, b)| a.abs_diff(*b)).collect();
    let far = distance.iter().copied().max().unwrap();
    let mean = distance.iter().map(|&d| f64::from(d)).sum::<f64>() / distance.len() as f64;
    assert!(far <= 4 && mean < 0.25, "largest difference {far}, mean {mean}");

    let resized = picture("trellis/preprocess/j1.resized.png").pixels.to_rgb().unwrap();
    let limited = limit_longer_side(decoded, MATTING_SIDE_LIMIT).unwrap();
    assert_eq!(differing(&limited, &resized), 0);

    let mask = picture("trellis/preprocess/j1.mask.png").to_mask().unwrap();
    let mut cutout: Rgba = resized.to_rgba().unwrap();
    for (pixel, mask) in cutout.data_mut().as_chunks_mut::<4>().0.iter_mut().zip(mask.pixels()) {
        pixel[3] = mask[0];
    }
    let expected = picture("trellis/preprocess/j1.out.png").pixels.to_rgb().unwrap();
    assert_eq!(differing(&prepare(&cutout, 518).unwrap().rgb, &expected), 0);
}
