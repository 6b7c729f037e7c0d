//! Finds and reads golden files.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::path::PathBuf;

use maquette_mesh::reference::{Comparison, Tensors};
use safetensors::{Dtype, SafeTensors};

/// A golden file or folder in every place that may have it: `MAQUETTE_GOLDENS`, beside the workspace, inside it.
fn candidates(relative: &str) -> Vec<PathBuf> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let places = [
        std::env::var_os("MAQUETTE_GOLDENS").map(PathBuf::from),
        Some(root.join("../shared/goldens")),
        Some(root.join("tests/goldens")),
    ];
    places.into_iter().flatten().map(|place| place.join(relative)).collect()
}

/// The first of the paths that is there; the repository itself carries a part of the whole set only.
pub fn path(relative: &[&str]) -> PathBuf {
    let places: Vec<PathBuf> = relative.iter().flat_map(|r| candidates(r)).collect();
    let found = places.iter().find(|p| p.exists()).cloned();
    found.unwrap_or_else(|| panic!("golden file is in none of {places:?}; set MAQUETTE_GOLDENS"))
}

/// Names, without endings, of the files of a folder that begin with `start`, and the files; never none.
pub fn all(folder: &str, start: &str) -> Vec<(String, Golden)> {
    let folder = path(&[folder]);
    let entries = std::fs::read_dir(&folder).expect("golden folder is readable");
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok()?.strip_suffix(".safetensors").map(str::to_owned))
        .filter(|name| name.starts_with(start))
        .collect();
    names.sort_unstable();
    assert!(!names.is_empty(), "no {start}*.safetensors in {}", folder.display());
    let open = |name: String| {
        let bytes = std::fs::read(folder.join(format!("{name}.safetensors"))).expect("golden file is readable");
        (name, Golden(bytes))
    };
    names.into_iter().map(open).collect()
}

/// Prints all figures; panics with those beyond their limits, or if there are none.
pub fn assert_passed(scene: &str, comparisons: &[Comparison]) {
    let line =
        |c: &Comparison| format!("{scene}: {} {:.2e} of {:.2e} ({} values)", c.what, c.found, c.allowed, c.values);
    comparisons.iter().for_each(|c| println!("{}", line(c)));
    let wrong: Vec<String> = comparisons.iter().filter(|c| !c.passed()).map(line).collect();
    assert!(wrong.is_empty() && !comparisons.is_empty(), "{wrong:#?}");
}

/// A golden file in memory.
pub struct Golden(Vec<u8>);

impl Golden {
    pub fn open(relative: &str) -> Self {
        Self::open_first(&[relative])
    }

    /// The first of several files that is there.
    pub fn open_first(relative: &[&str]) -> Self {
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

impl Tensors for Golden {
    type Error = String;

    fn has(&self, name: &str) -> bool {
        SafeTensors::deserialize(&self.0).is_ok_and(|file| file.tensor(name).is_ok())
    }

    fn floats(&self, name: &str) -> Result<Vec<f32>, String> {
        let file = SafeTensors::deserialize(&self.0).map_err(|e| e.to_string())?;
        let tensor = file.tensor(name).map_err(|e| format!("{name}: {e}"))?;
        match tensor.dtype() {
            Dtype::F32 => Ok(self.f32(name)),
            Dtype::F16 => Ok(self.u16(name).into_iter().map(half_to_f32).collect()),
            other => Err(format!("{name} is {other:?}")),
        }
    }

    fn integers(&self, name: &str) -> Result<Vec<i64>, String> {
        let file = SafeTensors::deserialize(&self.0).map_err(|e| e.to_string())?;
        let tensor = file.tensor(name).map_err(|e| format!("{name}: {e}"))?;
        Ok(match tensor.dtype() {
            Dtype::U8 => self.u8(name).into_iter().map(i64::from).collect(),
            Dtype::U16 => self.u16(name).into_iter().map(i64::from).collect(),
            Dtype::I32 => self.i32(name).into_iter().map(i64::from).collect(),
            Dtype::I64 => self.i64(name),
            other => return Err(format!("{name} is {other:?}")),
        })
    }

    fn wrong(&self, problem: String) -> String {
        problem
    }
}

fn half_to_f32(h: u16) -> f32 {
    let (exponent, fraction) = (i32::from(h >> 10 & 31), f32::from(h & 1023) / 1024.0);
    let sign = if h >> 15 == 1 { -1.0 } else { 1.0 };
    // No infinities occur in the files.
    sign * if exponent == 0 { fraction * 2f32.powi(-14) } else { (1.0 + fraction) * 2f32.powi(exponent - 15) }
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
