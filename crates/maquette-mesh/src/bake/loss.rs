//! The loss of the texture optimisation (spec §8.7.2, mode `opt`) and its gradient: what every solver is measured by.

use super::{FloatTexture, MipTexture};
use crate::MeshError;
use crate::raster_mesh::UvImage;

/// One observed picture with the mesh's texture coordinates in it. Rows from the bottom, as rasterised.
#[derive(Debug, Clone, Copy)]
pub struct Observation<'a> {
    /// Observed colours `[H * W]` in [0, 1].
    pub image: &'a [[f32; 3]],
    /// Pixels that count `[H * W]`. The reference counts those covered by the Gaussians, also where the mesh is not: they
    /// sample texel (0, 0).
    pub mask: &'a [bool],
    /// Coordinates and their derivatives `[H * W]`.
    pub uv: &'a UvImage,
}

impl Observation<'_> {
    fn check(&self) -> Result<(), MeshError> {
        let n = self.image.len();
        let rows = [("mask", self.mask.len()), ("uv", self.uv.uv.len()), ("uv derivatives", self.uv.derivatives.len())];
        match rows.iter().find(|r| r.1 != n) {
            Some((what, len)) => Err(MeshError::shape(what, format!("{n} pixels, as the picture"), len)),
            None => Ok(()),
        }
    }
}

/// Mean absolute difference between the textured mesh and the observation, over masked pixels and channels (0 without any).
///
/// # Errors
/// [`MeshError::Shape`] if the observation's parts have different sizes.
pub fn photometric_loss(texture: &MipTexture, view: &Observation<'_>) -> Result<f64, MeshError> {
    view.check()?;
    let (mut sum, mut count) = (0.0f64, 0usize);
    for p in (0..view.image.len()).filter(|&p| view.mask[p]) {
        let c = texture.sample(view.uv.uv[p], &view.uv.derivatives[p]);
        sum += (0..3).map(|k| f64::from((c[k] - view.image[p][k]).abs())).sum::<f64>();
        count += 3;
    }
    Ok(sum / count.max(1) as f64)
}

/// The same loss with its gradient with respect to the finest level (sign of the difference, taken as 0 at 0).
///
/// # Errors
/// As [`photometric_loss`].
pub fn photometric_gradient(texture: &MipTexture, view: &Observation<'_>) -> Result<(f64, FloatTexture), MeshError> {
    view.check()?;
    let count = (3 * view.mask.iter().filter(|m| **m).count()).max(1) as f32;
    let mut gradients = texture.zero_gradients();
    let mut sum = 0.0f64;
    for p in (0..view.image.len()).filter(|&p| view.mask[p]) {
        let (uv, d) = (view.uv.uv[p], &view.uv.derivatives[p]);
        let c = texture.sample(uv, d);
        let difference: [f32; 3] = std::array::from_fn(|k| c[k] - view.image[p][k]);
        sum += difference.iter().map(|x| f64::from(x.abs())).sum::<f64>();
        let push = difference.map(|x| if x == 0.0 { 0.0 } else { x.signum() / count });
        texture.taps(uv, d, |t| {
            (0..3).for_each(|k| gradients[t.level].texels[t.texel][k] += t.weight * push[k]);
        });
    }
    let folded = MipTexture::fold_gradients(gradients).expect("a chain has at least one level");
    Ok((sum / f64::from(count), folded))
}

/// Total variation: mean absolute difference of vertical neighbours plus that of horizontal ones (each over its own number
/// of differences and channels). The loss of the optimisation is photometric + 0.01 · this.
pub fn total_variation(texture: &FloatTexture) -> f64 {
    let (w, h) = (texture.width, texture.height);
    let difference = |a: usize, b: usize| -> f64 {
        (0..3).map(|k| f64::from((texture.texels[a][k] - texture.texels[b][k]).abs())).sum()
    };
    let vertical: f64 = (0..w * (h - 1)).map(|i| difference(i, i + w)).sum();
    let horizontal: f64 = (0..w * h).filter(|i| i % w + 1 < w).map(|i| difference(i, i + 1)).sum();
    vertical / (3 * w * (h - 1)).max(1) as f64 + horizontal / (3 * (w - 1) * h).max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texture() -> FloatTexture {
        let texels = (0..256).map(|i| [i as f32 / 256.0, (i % 16) as f32 / 16.0, (i * 7 % 11) as f32 / 11.0]);
        FloatTexture { width: 16, height: 16, texels: texels.collect() }
    }

    fn scene() -> (Vec<[f32; 3]>, Vec<bool>, UvImage) {
        let n = 100;
        let uv = (0..n).map(|i| [(i as f32 * 0.137).fract(), (i as f32 * 0.311).fract()]).collect();
        let derivatives = (0..n).map(|i| [0.01 * (i % 7) as f32, 0.002, 0.001, 0.02 * (i % 5) as f32]).collect();
        let image = (0..n).map(|i| [(i % 3) as f32 / 3.0, 0.4, (i % 10) as f32 / 10.0]).collect();
        (image, (0..n).map(|i| i % 4 != 0).collect(), UvImage { uv, derivatives })
    }

    #[test]
    fn the_gradient_is_that_of_the_loss() {
        let (image, mask, uv) = scene();
        let view = Observation { image: &image, mask: &mask, uv: &uv };
        let base = texture();
        let mip = MipTexture::new(base.clone()).expect("a power of two");
        let (loss, gradient) = photometric_gradient(&mip, &view).expect("sizes fit");
        assert!((loss - photometric_loss(&mip, &view).expect("sizes fit")).abs() < 1e-9);
        for texel in (0..256).step_by(13) {
            let mut moved = base.clone();
            let step = 1e-3f32;
            moved.texels[texel][1] += step;
            let up = photometric_loss(&MipTexture::new(moved.clone()).expect("valid"), &view).expect("sizes fit");
            moved.texels[texel][1] -= 2.0 * step;
            let down = photometric_loss(&MipTexture::new(moved).expect("valid"), &view).expect("sizes fit");
            let numeric = (up - down) / f64::from(2.0 * step);
            // The kink of |x| may lie between the two probes of single pixels.
            assert!((numeric - f64::from(gradient.texels[texel][1])).abs() < 1.5e-3, "texel {texel}");
        }
    }

    #[test]
    fn a_flat_texture_has_no_variation_and_stripes_have() {
        let flat = FloatTexture::filled(8, 8, [0.3; 3]).expect("valid");
        assert_eq!(total_variation(&flat), 0.0);
        let mut stripes = flat;
        stripes.texels.iter_mut().enumerate().filter(|(i, _)| i % 2 == 0).for_each(|(_, t)| *t = [1.3; 3]);
        assert!((total_variation(&stripes) - 1.0).abs() < 1e-6);
    }

    #[test]
    fn sizes_that_do_not_fit_are_refused() {
        let (image, mask, uv) = scene();
        let mip = MipTexture::new(texture()).expect("valid");
        let view = Observation { image: &image[1..], mask: &mask, uv: &uv };
        assert!(photometric_loss(&mip, &view).is_err());
    }
}
