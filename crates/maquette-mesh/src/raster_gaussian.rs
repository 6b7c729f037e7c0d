//! The definition of the Gaussian rasteriser (spec §8.2), in plain f32. The WGSL versions are compared with this.
//!
//! Written from the published mathematics (EWA splatting with opacity compensation), stage by stage: projection, tile
//! entries in depth order, front-to-back blending.

use crate::camera::Matrix4;
use crate::formats::gaussian_ply::rotation_matrix;
use crate::portable::expf;
use crate::{Gaussians, MeshError};

/// Side of a tile in pixels.
pub const TILE: u32 = 16;

/// The camera and picture of one rendering.
#[derive(Debug, Clone, PartialEq)]
pub struct GaussianView {
    /// World → camera, OpenCV axes.
    pub view: Matrix4,
    /// Projection times view.
    pub proj_view: Matrix4,
    /// Tangents of half the fields of view (x, y).
    pub tan_half_fov: [f32; 2],
    /// Width and height in pixels.
    pub size: [u32; 2],
    /// Background grey.
    pub background: f32,
    /// Variance added to the splats, in pixel² (0.1 for TRELLIS).
    pub kernel_size: f32,
}

/// A Gaussian projected to the picture.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Splat {
    /// View-space depth.
    pub depth: f32,
    /// Centre in pixels; pixel (i, j) is sampled at integer coordinates.
    pub mean: [f32; 2],
    /// Inverse 2-D covariance (A, B, C): power = −½(A dx² + C dy²) − B dx dy.
    pub conic: [f32; 3],
    /// Opacity times compensation.
    pub opacity: f32,
    /// Radius in pixels; 0 = not drawn.
    pub radius: i32,
    /// Half-open tile range [x0, y0, x1, y1].
    pub tiles: [u32; 4],
}

/// What a rendering returns.
#[derive(Debug, Clone, PartialEq)]
pub struct GaussianImage {
    /// `[3, H, W]`, row 0 = top, not clamped.
    pub rgb: Vec<f32>,
    /// Transmittance left per pixel `[H, W]`.
    pub transmittance: Vec<f32>,
    /// Projected Gaussians.
    pub splats: Vec<Splat>,
    /// Number of (tile, Gaussian) pairs.
    pub tile_entries: usize,
}

/// Largest picture side.
pub const MAX_SIDE: u32 = 16384;

/// Renders Gaussians.
///
/// # Errors
/// [`MeshError::Shape`] for arrays of different length, [`MeshError::OutOfRange`] for an impossible picture size.
pub fn render(gaussians: &Gaussians, view: &GaussianView) -> Result<GaussianImage, MeshError> {
    gaussians.validate()?;
    let [width, height] = view.size;
    if !(1..=MAX_SIDE).contains(&width) || !(1..=MAX_SIDE).contains(&height) {
        return Err(MeshError::range("picture size", format!("{width} x {height}, expected 1 to {MAX_SIDE} a side")));
    }
    let splats: Vec<Splat> = (0..gaussians.len()).map(|i| project(gaussians, i, view)).collect();
    let entries = tile_entries(&splats, view);
    let tiles_x = width.div_ceil(TILE);
    let pixels = width as usize * height as usize;
    let mut out = GaussianImage {
        rgb: vec![view.background; 3 * pixels],
        transmittance: vec![1.0; pixels],
        tile_entries: entries.len(),
        splats,
    };
    let colors: Vec<[f32; 3]> = (0..gaussians.len()).map(|i| gaussians.rgb(i)).collect();
    for list in entries.chunk_by(|a, b| a.0 >> 32 == b.0 >> 32) {
        let tile = (list[0].0 >> 32) as u32;
        let (x0, y0) = (tile % tiles_x * TILE, tile / tiles_x * TILE);
        for y in y0..(y0 + TILE).min(height) {
            for x in x0..(x0 + TILE).min(width) {
                let (rgb, t) = blend(&out.splats, &colors, list, [x as f32, y as f32]);
                let at = (y * width + x) as usize;
                out.transmittance[at] = t;
                (0..3).for_each(|c| out.rgb[c * pixels + at] = rgb[c] + t * view.background);
            }
        }
    }
    Ok(out)
}

/// Projects Gaussian `i` (steps 1 to 8 of §8.2).
pub fn project(g: &Gaussians, i: usize, view: &GaussianView) -> Splat {
    let p = g.means[i];
    let row = |m: &Matrix4, r: usize| m[r][0] * p[0] + m[r][1] * p[1] + m[r][2] * p[2] + m[r][3];
    let t = [row(&view.view, 0), row(&view.view, 1), row(&view.view, 2)];
    let hidden = Splat::default();
    if t[2].is_nan() || t[2] <= 0.2 {
        return hidden;
    }
    let [width, height] = view.size;
    let w = 1.0 / (row(&view.proj_view, 3) + 1e-7);
    let pixel = |ndc: f32, size: u32| (((f64::from(ndc) + 1.0) * f64::from(size) - 1.0) * 0.5) as f32;
    let mean = [pixel(row(&view.proj_view, 0) * w, width), pixel(row(&view.proj_view, 1) * w, height)];
    let [a, b, c] = covariance(g, i, t, view);
    let det = a * c - b * b;
    let k = view.kernel_size;
    let (d0, d1) = (det.max(1e-6), ((a + k) * (c + k) - b * b).max(1e-6));
    let compensation = if d0 <= 1e-6 || d1 <= 1e-6 { 0.0 } else { (d0 / (d1 + 1e-6) + 1e-6).sqrt() };
    let (a, c) = (a + k, c + k);
    let det = a * c - b * b;
    if det == 0.0 || det.is_nan() {
        return hidden;
    }
    let conic = [c / det, -b / det, a / det];
    let middle = 0.5 * (a + c);
    let largest = middle + (middle * middle - det).max(0.1).sqrt();
    let radius = (3.0 * largest.sqrt()).ceil();
    let tiles = tile_range(mean, radius, view.size);
    if tiles[0] >= tiles[2] || tiles[1] >= tiles[3] {
        return hidden;
    }
    let opacity = g.opacities[i] * compensation;
    Splat { depth: t[2], mean, conic, opacity, radius: radius as i32, tiles }
}

/// Screen-space covariance (a, b, c) before the kernel is added (steps 3 and 4).
fn covariance(g: &Gaussians, i: usize, t: [f32; 3], view: &GaussianView) -> [f32; 3] {
    let [tx, ty] = view.tan_half_fov;
    let focal = [view.size[0] as f32 / (2.0 * tx), view.size[1] as f32 / (2.0 * ty)];
    // Only the Jacobian uses the clamped direction; far outside the picture it would explode.
    let x = (t[0] / t[2]).clamp(-1.3 * tx, 1.3 * tx) * t[2];
    let y = (t[1] / t[2]).clamp(-1.3 * ty, 1.3 * ty) * t[2];
    let z = t[2];
    let jacobian = [[focal[0] / z, 0.0, -focal[0] * x / (z * z)], [0.0, focal[1] / z, -focal[1] * y / (z * z)]];
    // T = J·V, and the rows of T·R·S: their products are the covariance.
    let v = &view.view;
    let rotation = rotation_matrix(g.quats[i].map(f64::from)).map(|r| r.map(|x| x as f32));
    let s = g.scales[i];
    let rows = jacobian.map(|j| {
        let world: [f32; 3] = std::array::from_fn(|c| j[0] * v[0][c] + j[1] * v[1][c] + j[2] * v[2][c]);
        let local: [f32; 3] = std::array::from_fn(|c| {
            (world[0] * rotation[0][c] + world[1] * rotation[1][c] + world[2] * rotation[2][c]) * s[c]
        });
        local
    });
    let product = |p: &[f32; 3], q: &[f32; 3]| p[0] * q[0] + p[1] * q[1] + p[2] * q[2];
    [product(&rows[0], &rows[0]), product(&rows[0], &rows[1]), product(&rows[1], &rows[1])]
}

fn tile_range(mean: [f32; 2], radius: f32, size: [u32; 2]) -> [u32; 4] {
    let tile = TILE as f32;
    let clamp = |x: f32, axis: usize| (x.trunc().max(0.0) as u32).min(size[axis].div_ceil(TILE));
    let low = |axis: usize| clamp((mean[axis] - radius) / tile, axis);
    let high = |axis: usize| clamp((mean[axis] + radius + tile - 1.0) / tile, axis);
    [low(0), low(1), high(0), high(1)]
}

/// One entry per (tile, Gaussian), sorted by tile, then depth, then Gaussian: key = tile << 32 | depth bits.
fn tile_entries(splats: &[Splat], view: &GaussianView) -> Vec<(u64, u32)> {
    let tiles_x = u64::from(view.size[0].div_ceil(TILE));
    let mut entries = Vec::new();
    for (i, s) in splats.iter().enumerate().filter(|(_, s)| s.radius > 0) {
        for y in s.tiles[1]..s.tiles[3] {
            for x in s.tiles[0]..s.tiles[2] {
                let tile = u64::from(y) * tiles_x + u64::from(x);
                entries.push((tile << 32 | u64::from(s.depth.to_bits()), i as u32));
            }
        }
    }
    entries.sort_unstable();
    entries
}

/// Blends a tile's list at one pixel; returns the colour without background and the transmittance left.
fn blend(splats: &[Splat], colors: &[[f32; 3]], list: &[(u64, u32)], at: [f32; 2]) -> ([f32; 3], f32) {
    let (mut rgb, mut t) = ([0.0f32; 3], 1.0f32);
    for &(_, i) in list {
        let s = &splats[i as usize];
        let (dx, dy) = (s.mean[0] - at[0], s.mean[1] - at[1]);
        let power = -0.5 * (s.conic[0] * dx * dx + s.conic[2] * dy * dy) - s.conic[1] * dx * dy;
        if power > 0.0 {
            continue;
        }
        let alpha = (s.opacity * expf(power)).min(0.99);
        if alpha.is_nan() || alpha < 1.0 / 255.0 {
            continue;
        }
        let next = t * (1.0 - alpha);
        if next < 1e-4 {
            break;
        }
        (0..3).for_each(|c| rgb[c] += colors[i as usize][c] * alpha * t);
        t = next;
    }
    (rgb, t)
}
