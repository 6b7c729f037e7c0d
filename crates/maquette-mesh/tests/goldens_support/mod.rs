//! Finds and reads golden files.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::path::PathBuf;

use safetensors::SafeTensors;

/// Path of a golden file: under `MAQUETTE_GOLDENS`, else beside the workspace, else inside it.
pub fn path(relative: &str) -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let places = [
        std::env::var_os("MAQUETTE_GOLDENS").map(PathBuf::from),
        Some(root.join("../shared/goldens")),
        Some(root.join("tests/goldens")),
    ];
    let candidates: Vec<PathBuf> = places.into_iter().flatten().map(|p| p.join(relative)).collect();
    let found = candidates.iter().find(|p| p.exists()).cloned();
    found.unwrap_or_else(|| panic!("golden file {relative} is in none of {candidates:?}; set MAQUETTE_GOLDENS"))
}

/// A golden file in memory.
pub struct Golden(Vec<u8>);

impl Golden {
    pub fn open(relative: &str) -> Self {
        Self(std::fs::read(path(relative)).expect("golden file is readable"))
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        let file = SafeTensors::deserialize(&self.0).expect("golden file is a safetensors file");
        file.tensor(name).unwrap_or_else(|e| panic!("{name}: {e}")).data().to_vec()
    }

    pub fn shape(&self, name: &str) -> Vec<usize> {
        let file = SafeTensors::deserialize(&self.0).expect("golden file is a safetensors file");
        file.tensor(name).unwrap_or_else(|e| panic!("{name}: {e}")).shape().to_vec()
    }

    pub fn f32(&self, name: &str) -> Vec<f32> {
        self.bytes(name).as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
    }

    pub fn i32(&self, name: &str) -> Vec<i32> {
        self.bytes(name).as_chunks::<4>().0.iter().map(|b| i32::from_le_bytes(*b)).collect()
    }

    pub fn i64(&self, name: &str) -> Vec<i64> {
        self.bytes(name).as_chunks::<8>().0.iter().map(|b| i64::from_le_bytes(*b)).collect()
    }

    pub fn u16(&self, name: &str) -> Vec<u16> {
        self.bytes(name).as_chunks::<2>().0.iter().map(|b| u16::from_le_bytes(*b)).collect()
    }

    pub fn u8(&self, name: &str) -> Vec<u8> {
        self.bytes(name)
    }

    pub fn rows<const N: usize>(&self, name: &str) -> Vec<[f32; N]> {
        self.f32(name).as_chunks::<N>().0.to_vec()
    }

    pub fn rows_i32<const N: usize>(&self, name: &str) -> Vec<[i32; N]> {
        self.i32(name).as_chunks::<N>().0.to_vec()
    }
}

/// Largest absolute difference; panics on unequal lengths or NaN.
pub fn max_diff(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len(), "lengths differ");
    a.iter().zip(b).fold(0.0, |m: f32, (x, y)| {
        let d = (x - y).abs();
        assert!(!d.is_nan(), "NaN against {y} / {x}");
        m.max(d)
    })
}
