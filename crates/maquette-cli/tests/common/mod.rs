//! What all tests of the command share.

#![allow(dead_code, clippy::unwrap_used, reason = "a test fails by panicking; not every test file uses every helper")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use maquette::maquette_image::{Rgb, Rgba, encode_png};

/// The program, in a folder of its own, with nothing installed.
pub fn maquette(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_maquette"));
    command.current_dir(folder).env_remove("MAQUETTE_MODELS").env("HOME", folder).env("NO_COLOR", "1");
    // A test that wants compiled pipelines to be kept says where.
    command.env("MAQUETTE_PIPELINES", "");
    for name in ["XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR", "HF_HOME", "HF_HUB_CACHE"] {
        command.env_remove(name);
    }
    command
}

pub fn run(command: &mut Command) -> Output {
    command.output().unwrap()
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The tiny model with its picture.
pub fn goldens() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/goldens/trellis")
}

/// `generate` with the tiny model on the processor, with the least work after it.
pub fn generate(folder: &Path) -> Command {
    let mut command = maquette(folder);
    command.args([
        "generate",
        "--tier",
        "cpu",
        "--steps",
        "2",
        "--faces",
        "400",
        "--texture-size",
        "0",
        "--keep-hidden",
    ]);
    command.arg("--model").arg(goldens().join("model"));
    command
}

/// A ball on a transparent ground.
pub fn ball(path: &Path) {
    const SIDE: u32 = 96;
    let mut picture = Rgba::filled(SIDE, SIDE, 0).unwrap();
    for (i, pixel) in picture.data_mut().chunks_exact_mut(4).enumerate() {
        let (x, y) = (i as i32 % 96 - 48, i as i32 / 96 - 48);
        if x * x + y * y < 34 * 34 {
            pixel.copy_from_slice(&[200, 120, (y + 60) as u8, 255]);
        }
    }
    std::fs::write(path, encode_png(&picture).unwrap()).unwrap();
}

/// An opaque picture of one colour.
pub fn plain(path: &Path, width: u32, height: u32) {
    std::fs::write(path, encode_png(&Rgb::filled(width, height, 90).unwrap()).unwrap()).unwrap();
}

/// The files in a folder, by name, with those whose names start with a dot.
pub fn listing(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// A copy of the tiny model with its encoder beside it, to be damaged.
pub fn model_copy(folder: &Path) -> PathBuf {
    let from = goldens();
    for part in ["model", "model/ckpts", "dinov2"] {
        std::fs::create_dir_all(folder.join(part)).unwrap();
        for entry in std::fs::read_dir(from.join(part)).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_file()) {
            std::fs::copy(&entry, folder.join(part).join(entry.file_name().unwrap())).unwrap();
        }
    }
    folder.join("model")
}

/// The number of graphics adapters that answer here, software ones included.
pub fn adapters(folder: &Path) -> usize {
    let doctor = run(maquette(folder).args(["doctor", "--tier", "cpu", "--json"]));
    let report: serde_json::Value = serde_json::from_slice(&doctor.stdout).unwrap();
    report["adapters"].as_array().unwrap().len()
}

/// ‖found − expected‖ / ‖expected‖.
pub fn deviation(found: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let square = |x: f32| f64::from(x) * f64::from(x);
    let difference: f64 = found.iter().zip(expected).map(|(a, b)| square(a - b)).sum();
    let size: f64 = expected.iter().map(|b| square(*b)).sum();
    (difference / size.max(1e-30)).sqrt()
}
