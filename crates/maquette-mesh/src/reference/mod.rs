//! Reference pictures of the rasterisers: what the reference programs drew, and how far another implementation may be off.
//!
//! The files are safetensors with the names and conventions of `goldens/raster/README.md` (`gauss_*`, `mesh*`). They are read
//! through [`Tensors`], so that tests, `maquette verify` and browsers use one reader. A file may hold a part of its pixels only:
//! `pixels` (splats), `listed` and `colored` (meshes) then name them (`scripts/thin-goldens`). The tolerances come from the differences measured between
//! independent implementations; the few pixels far off are threshold flips that no two programs share.

mod comparison;
mod meshes;
mod splats;

pub use comparison::Comparison;
pub use meshes::{MeshReference, TieReference};
pub use splats::SplatReference;

/// A file of named tensors.
pub trait Tensors {
    /// What goes wrong with such a file.
    type Error;

    /// Whether there is a tensor of this name.
    fn has(&self, name: &str) -> bool;

    /// Values of a floating-point tensor (f32 or f16).
    ///
    /// # Errors
    /// When it is missing or of another kind.
    fn floats(&self, name: &str) -> Result<Vec<f32>, Self::Error>;

    /// Values of an integer tensor (u8, u16, i32 or i64).
    ///
    /// # Errors
    /// When it is missing or of another kind.
    fn integers(&self, name: &str) -> Result<Vec<i64>, Self::Error>;

    /// The error for contents that do not fit together.
    fn wrong(&self, problem: String) -> Self::Error;
}

/// Exactly `count` floats.
fn floats<T: Tensors + ?Sized>(file: &T, name: &str, count: usize) -> Result<Vec<f32>, T::Error> {
    let values = file.floats(name)?;
    if values.len() == count {
        return Ok(values);
    }
    Err(file.wrong(format!("`{name}` has {} values, expected {count}", values.len())))
}

/// Rows of `N` floats.
fn rows<const N: usize, T: Tensors + ?Sized>(file: &T, name: &str) -> Result<Vec<[f32; N]>, T::Error> {
    let values = file.floats(name)?;
    let (rows, rest) = values.as_chunks::<N>();
    if rest.is_empty() {
        return Ok(rows.to_vec());
    }
    Err(file.wrong(format!("`{name}` has {} values, expected rows of {N}", values.len())))
}

/// Exactly `count` rows of `N` floats.
fn rows_of<const N: usize, T: Tensors + ?Sized>(file: &T, name: &str, count: usize) -> Result<Vec<[f32; N]>, T::Error> {
    Ok(floats(file, name, N * count)?.as_chunks::<N>().0.to_vec())
}

/// Whole numbers of a type that holds them all.
fn integers<I: TryFrom<i64>, T: Tensors + ?Sized>(file: &T, name: &str) -> Result<Vec<I>, T::Error> {
    let converted: Option<Vec<I>> = file.integers(name)?.into_iter().map(|v| I::try_from(v).ok()).collect();
    converted.ok_or_else(|| file.wrong(format!("`{name}` has values out of range")))
}

/// Exactly `count` whole numbers.
fn integers_of<I: TryFrom<i64>, T: Tensors + ?Sized>(file: &T, name: &str, count: usize) -> Result<Vec<I>, T::Error> {
    let values: Vec<I> = integers(file, name)?;
    if values.len() == count {
        return Ok(values);
    }
    Err(file.wrong(format!("`{name}` has {} values, expected {count}", values.len())))
}

/// Width and height of the pictures.
fn size<T: Tensors + ?Sized>(file: &T) -> Result<[u32; 2], T::Error> {
    match integers::<u32, T>(file, "size_hw")?[..] {
        [h, w] if (1..=4096).contains(&h) && (1..=4096).contains(&w) => Ok([w, h]),
        ref other => Err(file.wrong(format!("`size_hw` is {other:?}, expected height and width up to 4096"))),
    }
}

/// Places from a list inside `0..end`.
fn places<T: Tensors + ?Sized>(file: &T, name: &str, end: usize) -> Result<Vec<usize>, T::Error> {
    let places: Vec<usize> = integers(file, name)?;
    match places.iter().find(|p| **p >= end) {
        None => Ok(places),
        Some(p) => Err(file.wrong(format!("`{name}` names {p}, expected places below {end}"))),
    }
}

/// The hash by which the scenes of the README are made, in 0..1.
fn hash_unit(seed: u64, i: u64, k: u64) -> f64 {
    let step = i.wrapping_mul(16).wrapping_add(k + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut x = seed.wrapping_add(step);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((x ^ (x >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}
