//! Devices, random numbers and the f64 side of the comparisons.

use burn::tensor::{DType, Device, Tensor, TensorData};
use half::f16;
use maquette_gpu::{AdapterChoice, Gpu, OpenOptions, TierRequest};
use maquette_kernels::RowGroups;

/// Random shapes that every kernel is tried on, per element type and tier.
pub const SHAPES: usize = 200;

/// A device of every tier that can be opened here, with its name.
pub fn devices() -> Vec<(&'static str, Device, bool)> {
    let open = |tier: TierRequest| {
        let options = OpenOptions { tier, ..OpenOptions::default() };
        pollster::block_on(Gpu::open(&AdapterChoice::default(), options)).ok()
    };
    let mut found = Vec::new();
    for tier in [TierRequest::Web, TierRequest::Subgroup, TierRequest::Matrix] {
        if let Some(gpu) = open(tier) {
            found.push((tier.name(), gpu.device().clone(), gpu.capabilities().f16));
        }
    }
    if found.is_empty() {
        found.push(("cpu", Gpu::cpu().device().clone(), true));
    }
    found
}

/// The element types to test on a device, with the bound of the relative Frobenius error against f64.
pub fn dtypes(f16: bool) -> Vec<(DType, f64)> {
    let mut types = vec![(DType::F32, 2e-6)];
    if f16 {
        types.push((DType::F16, 3e-4));
    }
    types
}

/// SplitMix64.
pub struct Random(pub u64);

impl Random {
    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.word() % n as u64) as usize
    }

    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    pub fn normal(&mut self) -> f64 {
        let u = |w: u64| ((w >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
        let (a, b) = (u(self.word()), u(self.word()));
        (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos()
    }

    /// Normal values, already rounded to `dtype`.
    pub fn values(&mut self, n: usize, scale: f64, dtype: DType) -> Vec<f64> {
        (0..n).map(|_| round(self.normal() * scale, dtype)).collect()
    }

    /// Lengths of up to `groups` groups with `max` rows at most, some of them empty.
    pub fn lengths(&mut self, groups: usize, max: usize) -> Vec<usize> {
        let count = 1 + self.below(groups);
        (0..count).map(|_| if self.below(5) == 0 { 0 } else { 1 + self.below(max) }).collect()
    }
}

pub fn round(value: f64, dtype: DType) -> f64 {
    match dtype {
        DType::F16 => f16::from_f64(value).to_f64(),
        _ => f64::from(value as f32),
    }
}

pub fn upload<const D: usize>(values: &[f64], shape: [usize; D], dtype: DType, device: &Device) -> Tensor<D> {
    let data = TensorData::new(values.iter().map(|v| *v as f32).collect::<Vec<_>>(), shape);
    Tensor::<D>::from_data(data, device).cast(dtype)
}

pub fn download<const D: usize>(x: Tensor<D>) -> Vec<f64> {
    let data = x.cast(DType::F32).into_data();
    data.try_to_vec::<f32>().expect("f32").into_iter().map(f64::from).collect()
}

/// ‖a − b‖ / ‖b‖; infinite where a is NaN, 0 for two empty or two zero tensors.
pub fn relative_error(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    if a.iter().any(|v| v.is_nan()) {
        return f64::INFINITY;
    }
    let difference: f64 = a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum();
    let norm: f64 = b.iter().map(|b| b * b).sum();
    if difference == 0.0 { 0.0 } else { (difference / norm).sqrt() }
}

/// The largest error allowed: `bound`, or what rounding the exact result to `dtype` costs and a hundredth more. A result of a
/// few elements, or of subnormal ones, can lie beyond the bound by that alone.
pub fn allowed(expected: &[f64], dtype: DType, bound: f64) -> f64 {
    let rounded: Vec<f64> = expected.iter().map(|v| round(*v, dtype)).collect();
    bound.max(1.01 * relative_error(&rounded, expected))
}

/// Results of many shapes taken together: small ones can lie beyond a bound by the rounding of their few elements, all of them
/// together cannot.
#[derive(Default)]
pub struct Together {
    apart: f64,
    norm: f64,
}

impl Together {
    pub fn add(&mut self, y: &[f64], expected: &[f64]) {
        let norm: f64 = expected.iter().map(|b| b * b).sum();
        // As shares of their own norm, so that no shape outweighs the others by its values, but by its size.
        let scale = if norm > 0.0 { y.len() as f64 / norm } else { 0.0 };
        self.apart += scale * y.iter().zip(expected).map(|(a, b)| (a - b) * (a - b)).sum::<f64>();
        self.norm += scale * norm;
    }

    pub fn error(&self) -> f64 {
        (self.apart / self.norm).sqrt()
    }
}

/// Whether NaN, infinities (with sign) and finite values stand in the same places.
pub fn same_kinds(a: &[f64], b: &[f64]) -> bool {
    let kind = |v: &f64| {
        if v.is_nan() {
            2
        } else if v.is_infinite() {
            v.signum() as i32
        } else {
            0
        }
    };
    a.len() == b.len() && a.iter().map(kind).eq(b.iter().map(kind))
}

pub fn group_of(groups: &RowGroups) -> Vec<usize> {
    groups.group_of_rows().into_iter().map(|g| g as usize).collect()
}
