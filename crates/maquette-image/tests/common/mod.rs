//! Where the tests' files lie.

use std::path::{Path, PathBuf};

use maquette_image::{DecodeOptions, Picture, decode};

/// A file of the reference numbers: in `MAQUETTE_GOLDENS`, in `../shared/goldens` beside the workspace, or in its `tests/goldens`.
#[allow(dead_code, reason = "each test program uses its part of this module")]
pub fn golden(path: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut places: Vec<PathBuf> = std::env::var_os("MAQUETTE_GOLDENS").map(PathBuf::from).into_iter().collect();
    places.extend([root.join("../shared/goldens"), root.join("tests/goldens")]);
    places
        .iter()
        .map(|place| place.join(path))
        .find(|p| p.exists())
        .unwrap_or_else(|| panic!("{path} is in none of {places:?}: set MAQUETTE_GOLDENS"))
}

/// A small picture made by `fixtures/make.py`.
#[allow(dead_code, reason = "each test program uses its part of this module")]
pub fn fixture(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Decodes with default options.
#[allow(dead_code, reason = "each test program uses its part of this module")]
pub fn read(bytes: &[u8]) -> Picture {
    decode(bytes, &DecodeOptions::default()).unwrap_or_else(|e| panic!("{e}"))
}
