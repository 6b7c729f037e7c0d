//! Trilinear texture sampling and its transpose (spec §8.7.4): the definition the GPU samplers are compared with.

use super::FloatTexture;
use crate::MeshError;
use crate::portable::log2f;

/// A texture with its full chain of 2×2 box averages, down to 1×1.
#[derive(Debug, Clone, PartialEq)]
pub struct MipTexture {
    levels: Vec<FloatTexture>,
}

/// One texel of one level with its weight in a sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tap {
    /// Level, 0 = full size.
    pub level: usize,
    /// Texel index in its level.
    pub texel: usize,
    /// Weight; the taps of a sample add up to 1.
    pub weight: f32,
}

/// Level of detail: half the binary logarithm of the longer axis of the footprint ellipse, squared, in texels.
pub fn mip_level(d: &[f32; 4], size: [usize; 2], levels: usize) -> f32 {
    let (w, h) = (size[0] as f32, size[1] as f32);
    let [ux, uy, vx, vy] = [d[0] * w, d[1] * w, d[2] * h, d[3] * h];
    let (a, b, c) = (ux * ux + vx * vx, uy * uy + vy * vy, ux * uy + vx * vy);
    let half = 0.5 * (a - b);
    let major = 0.5 * (a + b) + (half * half + c * c).sqrt();
    let top = levels.saturating_sub(1) as f32;
    // log2(0) = −∞ clamps to the finest level; NaN would not.
    let level = 0.5 * log2f(major);
    if level.is_nan() { 0.0 } else { level.clamp(0.0, top) }
}

impl MipTexture {
    /// Builds the chain.
    ///
    /// # Errors
    /// [`MeshError::OutOfRange`] unless both sides are powers of two: other sizes reach an odd side before 1.
    pub fn new(base: FloatTexture) -> Result<Self, MeshError> {
        if !base.width.is_power_of_two() || !base.height.is_power_of_two() {
            let detail = format!("{} x {} has no full mip chain; use a power of two", base.width, base.height);
            return Err(MeshError::range("texture size", detail));
        }
        let mut levels = vec![base];
        while let Some(last) = levels.last().filter(|l| l.width > 1 || l.height > 1) {
            levels.push(halve(last));
        }
        Ok(Self { levels })
    }

    /// The levels, finest first.
    pub fn levels(&self) -> &[FloatTexture] {
        &self.levels
    }

    /// The texels that make up the sample at `uv` with screen derivatives `d` (∂u/∂X, ∂u/∂Y, ∂v/∂X, ∂v/∂Y): up to eight.
    pub fn taps(&self, uv: [f32; 2], d: &[f32; 4], mut f: impl FnMut(Tap)) {
        let base = &self.levels[0];
        let level = mip_level(d, [base.width, base.height], self.levels.len());
        let (low, fraction) = (level.floor() as usize, level.fract());
        for (level, weight) in [(low, 1.0 - fraction), (low + 1, fraction)] {
            if weight > 0.0 && level < self.levels.len() {
                let l = &self.levels[level];
                bilinear(uv, l.width, l.height, |texel, w| f(Tap { level, texel, weight: weight * w }));
            }
        }
    }

    /// The sample at `uv`.
    pub fn sample(&self, uv: [f32; 2], d: &[f32; 4]) -> [f32; 3] {
        let mut out = [0.0f32; 3];
        self.taps(uv, d, |t| {
            let c = self.levels[t.level].texels[t.texel];
            (0..3).for_each(|k| out[k] += t.weight * c[k]);
        });
        out
    }

    /// The transpose of the chain's construction: folds gradients of all levels into the finest, ¼ to each of four texels.
    /// `gradients` has the layout of [`MipTexture::levels`].
    pub fn fold_gradients(mut gradients: Vec<FloatTexture>) -> Option<FloatTexture> {
        while gradients.len() > 1 {
            let coarse = gradients.pop()?;
            let fine = gradients.last_mut()?;
            let (sx, sy) = (fine.width / coarse.width, fine.height / coarse.height);
            let share = 1.0 / (sx * sy) as f32;
            for (i, t) in fine.texels.iter_mut().enumerate() {
                let g = coarse.texels[i / fine.width / sy * coarse.width + i % fine.width / sx];
                (0..3).for_each(|k| t[k] += share * g[k]);
            }
        }
        gradients.pop()
    }

    /// Zeros in the layout of this chain.
    pub fn zero_gradients(&self) -> Vec<FloatTexture> {
        self.levels.iter().map(|l| FloatTexture { texels: vec![[0.0; 3]; l.texels.len()], ..l.clone() }).collect()
    }
}

fn halve(fine: &FloatTexture) -> FloatTexture {
    let (width, height) = ((fine.width / 2).max(1), (fine.height / 2).max(1));
    let (sx, sy) = (fine.width / width, fine.height / height);
    let texel = |i: usize| {
        let (x, y) = (i % width * sx, i / width * sy);
        let mut sum = [0.0f32; 3];
        for row in y..y + sy {
            for column in x..x + sx {
                let c = fine.texels[row * fine.width + column];
                (0..3).for_each(|k| sum[k] += c[k]);
            }
        }
        sum.map(|s| s / (sx * sy) as f32)
    };
    FloatTexture { width, height, texels: (0..width * height).map(texel).collect() }
}

/// Bilinear weights with wrap-around, texel centres at half numbers.
fn bilinear(uv: [f32; 2], width: usize, height: usize, mut f: impl FnMut(usize, f32)) {
    let axis = |x: f32, n: usize| {
        let x = if x.is_finite() { (x - x.floor()) * n as f32 - 0.5 } else { 0.0 };
        let low = x.floor();
        let i = (low as i64).rem_euclid(n as i64) as usize;
        ([i, (i + 1) % n], x - low)
    };
    let ((xs, fx), (ys, fy)) = (axis(uv[0], width), axis(uv[1], height));
    for (y, wy) in [(ys[0], 1.0 - fy), (ys[1], fy)] {
        for (x, wx) in [(xs[0], 1.0 - fx), (xs[1], fx)] {
            f(y * width + x, wx * wy);
        }
    }
}
