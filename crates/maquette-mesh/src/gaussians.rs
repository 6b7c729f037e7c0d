//! 3D Gaussians: activated parameters, and the maths from the decoder's raw output to them (spec §7.2).

use crate::MeshError;
use crate::portable::{expf, expm1, log, log1pf, tanhf};

/// Zeroth spherical-harmonic basis value: `rgb = max(0, SH_C0 * f_dc + 0.5)`.
pub const SH_C0: f32 = 0.282_094_79;

/// A set of Gaussians with activated parameters, in world coordinates (z up, object in `[-0.5, 0.5]³`).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Gaussians {
    /// Centres `[N, 3]`.
    pub means: Vec<[f32; 3]>,
    /// Standard deviations along the local axes `[N, 3]`.
    pub scales: Vec<[f32; 3]>,
    /// Unit quaternions `[N, 4]`, order (w, x, y, z).
    pub quats: Vec<[f32; 4]>,
    /// Opacities `[N]` in `(0, 1)`.
    pub opacities: Vec<f32>,
    /// Degree-0 colour coefficients `[N, 3]`, without activation.
    pub f_dc: Vec<[f32; 3]>,
}

impl Gaussians {
    /// Number of Gaussians.
    pub fn len(&self) -> usize {
        self.means.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.means.is_empty()
    }

    /// Checks that all arrays have the same length.
    ///
    /// # Errors
    /// [`MeshError::Shape`] naming the array that differs.
    pub fn validate(&self) -> Result<(), MeshError> {
        let n = self.len();
        let rows = [
            ("scales", self.scales.len()),
            ("quats", self.quats.len()),
            ("opacities", self.opacities.len()),
            ("f_dc", self.f_dc.len()),
        ];
        match rows.iter().find(|(_, len)| *len != n) {
            Some((what, len)) => Err(MeshError::shape(what, format!("{n} rows, as the means"), len)),
            None => Ok(()),
        }
    }

    /// Colour of Gaussian `i` as the renderer sees it (not limited above).
    pub fn rgb(&self, i: usize) -> [f32; 3] {
        self.f_dc[i].map(|c| (SH_C0 * c + 0.5).max(0.0))
    }
}

/// The numbers of a Gaussian decoder's `representation_config` (spec §7.2); the default is the published decoder's.
#[derive(Debug, Clone, PartialEq)]
pub struct GaussianActivation {
    /// Voxels along one edge of the grid.
    pub resolution: u32,
    /// Gaussians per voxel.
    pub per_voxel: usize,
    /// Reach of the offset, in voxels.
    pub voxel_size: f32,
    /// Learning-rate multipliers of position, colour, scale, rotation, opacity.
    pub multipliers: [f32; 5],
    /// Scale at raw = 0.
    pub scaling_bias: f64,
    /// Opacity at raw = 0.
    pub opacity_bias: f64,
    /// Smallest standard deviation (3D filter).
    pub filter_3d: f32,
}

impl Default for GaussianActivation {
    fn default() -> Self {
        Self {
            resolution: 64,
            per_voxel: 32,
            voxel_size: 1.5,
            multipliers: [1.0, 1.0, 1.0, 0.1, 1.0],
            scaling_bias: 4e-3,
            opacity_bias: 0.1,
            filter_3d: 9e-4,
        }
    }
}

impl GaussianActivation {
    /// The Hammersley offsets `atanh((2q - 1) / voxel_size)` `[per_voxel, 3]` that checkpoints carry as `offset_perturbation`.
    pub fn perturbation(&self) -> Vec<[f32; 3]> {
        let n = self.per_voxel;
        (0..n)
            .map(|i| {
                let q = [i as f64 / n as f64, radical_inverse(2, i as u64), radical_inverse(3, i as u64)];
                q.map(|x| ((2.0 * x - 1.0) / f64::from(self.voxel_size)).atanh() as f32)
            })
            .collect()
    }

    /// Turns the decoder's raw rows into Gaussians.
    ///
    /// `coords` `[N, 3]` voxel coordinates of one batch item, `raw` `[N, 14 * per_voxel]` in the order positions, colours,
    /// scales, rotations, opacities; `perturbation` `[per_voxel, 3]`. Output is voxel-major, Gaussian index fastest.
    ///
    /// # Errors
    /// [`MeshError::Shape`] when the lengths do not fit together.
    pub fn activate(
        &self,
        coords: &[[i32; 3]],
        raw: &[f32],
        perturbation: &[[f32; 3]],
    ) -> Result<Gaussians, MeshError> {
        let (n, g) = (coords.len(), self.per_voxel);
        let width = g * 14;
        if raw.len() != n * width {
            return Err(MeshError::shape("raw Gaussian rows", format!("{n} x {width} values"), raw.len()));
        }
        if perturbation.len() != g {
            return Err(MeshError::shape("offset perturbation", g, perturbation.len()));
        }
        let mut out = Gaussians::default();
        if width == 0 {
            return Ok(out);
        }
        let [lr_pos, lr_col, lr_scale, lr_rot, lr_op] = self.multipliers;
        let res = self.resolution as f32;
        let scale_bias = (self.scaling_bias + log(-expm1(-self.scaling_bias))) as f32;
        let opacity_bias = log(self.opacity_bias / (1.0 - self.opacity_bias)) as f32;
        for (c, row) in coords.iter().zip(raw.chunks_exact(width)) {
            for k in 0..g {
                let at3 = |base: usize| -> [f32; 3] { std::array::from_fn(|a| row[base * g + 3 * k + a]) };
                let offset = at3(0);
                out.means.push(std::array::from_fn(|a| {
                    let reach = tanhf(offset[a] * lr_pos + perturbation[k][a]) / res * 0.5 * self.voxel_size;
                    (c[a] as f32 + 0.5) / res + reach - 0.5
                }));
                out.f_dc.push(at3(3).map(|x| x * lr_col));
                out.scales.push(at3(6).map(|x| {
                    let s = softplus(x * lr_scale + scale_bias);
                    (s * s + self.filter_3d * self.filter_3d).sqrt()
                }));
                let mut q: [f32; 4] = std::array::from_fn(|a| row[9 * g + 4 * k + a] * lr_rot);
                q[0] += 1.0;
                out.quats.push(normalise_quat(q));
                out.opacities.push(sigmoid(row[13 * g + k] * lr_op + opacity_bias));
            }
        }
        Ok(out)
    }
}

/// Digits of `n` in base `base` mirrored at the radix point.
pub(crate) fn radical_inverse(base: u64, mut n: u64) -> f64 {
    let (mut value, mut step) = (0.0, 1.0 / base as f64);
    while n > 0 {
        value += (n % base) as f64 * step;
        n /= base;
        step /= base as f64;
    }
    value
}

pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + expf(-x))
}

/// `ln(1 + eˣ)`, the identity above 20 as in PyTorch.
fn softplus(x: f32) -> f32 {
    if x > 20.0 { x } else { log1pf(expf(x)) }
}

fn normalise_quat(q: [f32; 4]) -> [f32; 4] {
    let n = q.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-12);
    q.map(|x| x / n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn perturbation_starts_as_the_specification_lists_it() {
        let p = GaussianActivation::default().perturbation();
        let expected = [[-0.8047, -0.8047, -0.8047], [-0.7332, 0.0, -0.2260], [-0.6675, -0.3466, 0.2260]];
        for (row, want) in p.iter().zip(expected) {
            for k in 0..3 {
                assert!((row[k] - want[k]).abs() < 1e-4, "{row:?} {want:?}");
            }
        }
    }

    #[test]
    fn wrong_row_count_is_refused() {
        let a = GaussianActivation::default();
        let p = a.perturbation();
        assert!(matches!(a.activate(&[[0; 3]], &[0.0; 10], &p), Err(MeshError::Shape { .. })));
    }
}
