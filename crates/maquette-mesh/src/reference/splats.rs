//! Pictures of Gaussians.

use super::comparison::{Comparison, differences, largest, quantile};
use super::{Tensors, floats, hash_unit, integers, integers_of, places, rows, rows_of, size};
use crate::Gaussians;
use crate::camera::Matrix4;
use crate::raster_gaussian::{GaussianView, Splat};

/// A scene with its views and what the reference drew.
#[derive(Debug, Clone)]
pub struct SplatReference {
    /// The scene.
    pub gaussians: Gaussians,
    /// The cameras, one picture each.
    pub views: Vec<GaussianView>,
    pictures: Vec<Picture>,
    tile_entries: Vec<(i64, f64)>,
    radii: Option<Radii>,
    /// Projection of every Gaussian in the first view, with the limits of its parts.
    projection: Option<(Vec<[f32; 7]>, ProjectionLimits)>,
}

#[derive(Debug, Clone)]
enum Picture {
    /// Every pixel alike: `rgb` `[3, K]` of the pixels named, or of all.
    Plain { rgb: Vec<f32>, pixels: Option<Vec<usize>>, limit: f64 },
    /// Pixels that differ from the background, by a bit mask.
    Masked { bits: Vec<u8>, values: Vec<[f32; 3]>, p999: f64 },
    /// A crop `[3, 128, 128]` at (448, 448) and 4 × 4 box means `[3, 256, 256]` of a picture of 1024².
    Large { crop: Vec<f32>, boxes: Vec<f32> },
}

#[derive(Debug, Clone)]
enum Radii {
    /// One a Gaussian; how much each may be off, and how many may.
    Each { radii: Vec<i32>, slack: i32, share: f64 },
    /// Their sum, off by at most 20.
    Sum(i64),
}

/// Ten times what the README measured.
#[derive(Debug, Clone, Copy)]
struct ProjectionLimits {
    conic: f64,
    opacity: f64,
}

/// Limits of the small scenes.
struct Small {
    picture: f64,
    radius: i32,
    projection: ProjectionLimits,
}

impl Small {
    /// The scene's own limits; those of `mixed`, the general case, for names not known.
    fn of(name: &str) -> Self {
        let projection = |conic, opacity| ProjectionLimits { conic, opacity };
        match name {
            "gauss_hand" => Self { picture: 1e-4, radius: 0, projection: projection(8e-5, 1.4e-5) },
            "gauss_needle" => Self { picture: 3e-3, radius: 1, projection: projection(1.9e-2, 1.2e-2) },
            _ => Self { picture: 3e-4, radius: 0, projection: projection(1.3e-3, 9e-4) },
        }
    }
}

impl SplatReference {
    /// Reads a scene; `name` is the file's without its ending.
    ///
    /// # Errors
    /// The file's, for missing tensors and sizes that do not fit.
    pub fn read<T: Tensors + ?Sized>(name: &str, file: &T) -> Result<Self, T::Error> {
        if file.has("seed") {
            return Self::read_formula(file);
        }
        let gaussians = gaussians(file)?;
        let n = gaussians.len();
        let size = size(file)?;
        let count = file.floats("bg")?.len();
        let views = views(file, size, count)?;
        let mut scene =
            Self { gaussians, views, pictures: Vec::new(), tile_entries: Vec::new(), radii: None, projection: None };
        if file.has("mask_bits") {
            scene.read_masked(file)?;
        } else {
            let limits = Small::of(name);
            scene.read_small(file, &limits)?;
            let radii = integers_of(file, "radii", n)?;
            scene.radii = Some(Radii::Each { radii, slack: limits.radius, share: 1.0 });
            scene.projection = Some((rows_of(file, "pre", n)?, limits.projection));
        }
        let entries = integers_of::<i64, T>(file, "tile_entries", count)?;
        let slack = if scene.projection.is_none() { 10.0 } else { 0.0 };
        // Only where the README demands it: the other small scenes are too ill-conditioned.
        if scene.projection.is_none() || file.has("image_black") {
            scene.tile_entries = entries.into_iter().map(|n| (n, slack)).collect();
        }
        if file.has("image_black") {
            scene.tile_entries.extend_from_within(..);
        }
        Ok(scene)
    }

    fn read_small<T: Tensors + ?Sized>(&mut self, file: &T, limits: &Small) -> Result<(), T::Error> {
        let all = self.views.first().map_or(0, |v| v.size[0] as usize * v.size[1] as usize);
        let pixels = file.has("pixels").then(|| places(file, "pixels", all)).transpose()?;
        let count = pixels.as_ref().map_or(all, Vec::len);
        let limit = limits.picture;
        if !file.has("image_black") {
            let rgb = floats(file, "image", 3 * count)?;
            self.pictures.push(Picture::Plain { rgb, pixels, limit });
            return Ok(());
        }
        // One camera, twice: on black, and on white, which is black plus what shines through.
        let black = floats(file, "image_black", 3 * count)?;
        let through: Vec<u16> = integers_of(file, "transmittance_u16", count)?;
        let white = black.iter().enumerate().map(|(i, x)| x + f32::from(through[i % count]) / 65535.0).collect();
        let camera = self.views.swap_remove(0);
        self.views = [0.0, 1.0].map(|background| GaussianView { background, ..camera.clone() }).to_vec();
        self.pictures =
            [black, white].map(|rgb| Picture::Plain { rgb, pixels: pixels.clone(), limit }).into_iter().collect();
        Ok(())
    }

    fn read_masked<T: Tensors + ?Sized>(&mut self, file: &T) -> Result<(), T::Error> {
        let counts: Vec<usize> = integers_of(file, "mask_count", self.views.len())?;
        let pixels = self.views.first().map_or(0, |v| v.size[0] as usize * v.size[1] as usize);
        let stride = pixels.div_ceil(8);
        let bits: Vec<u8> = integers_of(file, "mask_bits", stride * self.views.len())?;
        let fixed: Vec<u16> = integers(file, "values_u16")?;
        let fixed: Vec<[f32; 3]> = fixed.as_chunks::<3>().0.iter().map(|v| v.map(|x| f32::from(x) / 32768.0)).collect();
        let exact = file.has("values_view0");
        let mut at = 0usize;
        for (n, &count) in counts.iter().enumerate() {
            let (values, p999) = if exact && n == 0 {
                (rows(file, "values_view0")?, 2e-5)
            } else {
                let end = at.saturating_add(count);
                let values = fixed.get(at..end).ok_or_else(|| file.wrong("`values_u16` is too short".into()))?;
                at = end;
                (values.to_vec(), 5e-5)
            };
            let bits = bits[n * stride..(n + 1) * stride].to_vec();
            let set: usize = bits.iter().map(|b| b.count_ones() as usize).sum();
            if values.len() != count || set != count {
                return Err(file.wrong(format!("view {n} has {} values and {set} bits for {count}", values.len())));
            }
            self.pictures.push(Picture::Masked { bits, values, p999 });
        }
        let radii = integers_of(file, "radii", self.gaussians.len())?;
        self.radii = Some(Radii::Each { radii, slack: 1, share: 1e-4 });
        Ok(())
    }

    /// The 400,000 Gaussians that come from a formula.
    fn read_formula<T: Tensors + ?Sized>(file: &T) -> Result<Self, T::Error> {
        let seed = integers_of::<i64, T>(file, "seed", 1)?[0] as u64;
        let stats: Vec<i64> = integers_of(file, "stats", 4)?;
        let views = views(file, [1024; 2], 1)?;
        let gaussians = formula_scene(seed, 400_000);
        for (i, want) in rows::<14, T>(file, "first16")?.iter().enumerate() {
            let row = [
                &gaussians.means[i][..],
                &gaussians.scales[i],
                &gaussians.quats[i],
                &[gaussians.opacities[i]],
                &gaussians.f_dc[i],
            ]
            .concat();
            if largest(differences(&row, want)) > 1e-7 {
                return Err(file.wrong(format!("`first16` row {i} is not what the formula gives")));
            }
        }
        let crop = floats(file, "crop_128", 3 * 128 * 128)?;
        let boxes = floats(file, "image_box4", 3 * 256 * 256)?;
        Ok(Self {
            gaussians,
            views,
            pictures: vec![Picture::Large { crop, boxes }],
            tile_entries: vec![(stats[0], (1e-5 * stats[0] as f64).abs())],
            radii: Some(Radii::Sum(stats[2])),
            projection: None,
        })
    }

    /// Compares the picture of a view: `rgb` `[3, H, W]`, row 0 = top.
    pub fn compare_picture(&self, view: usize, rgb: &[f32], tile_entries: u64) -> Vec<Comparison> {
        let (Some(camera), Some(picture)) = (self.views.get(view), self.pictures.get(view)) else {
            return vec![Comparison::new(format!("view {view}"), 0, f64::NAN, 0.0)];
        };
        let pixels = camera.size[0] as usize * camera.size[1] as usize;
        if rgb.len() != 3 * pixels {
            return vec![Comparison::new(format!("view {view}, number of values"), 3 * pixels, f64::NAN, 0.0)];
        }
        let figure = |what: &str, values, found, allowed| {
            Comparison::new(format!("view {view}, {what}"), values, found, allowed)
        };
        let mut out = match picture {
            Picture::Plain { rgb: want, pixels: listed, limit } => {
                let found: Vec<f32> = match listed {
                    Some(listed) => (0..3).flat_map(|c| listed.iter().map(move |p| rgb[c * pixels + p])).collect(),
                    None => rgb.to_vec(),
                };
                vec![figure("largest difference", want.len(), largest(differences(&found, want)), *limit)]
            }
            Picture::Masked { bits, values, p999 } => {
                let mut errors = masked_errors(rgb, bits, values, camera.background);
                let count = errors.len();
                let above = errors.chunks(3).filter(|e| e.iter().any(|x| *x > 1e-4)).count() as f64 / pixels as f64;
                let mean = errors.iter().map(|x| f64::from(*x)).sum::<f64>() / count as f64;
                let most = largest(errors.iter().copied());
                vec![
                    figure("mean difference", count, mean, 5e-6),
                    figure("difference of 99.9 %", count, quantile(&mut errors, 999), *p999),
                    figure("share of pixels above 1e-4", pixels, above, 1e-3),
                    figure("largest difference", count, most, 1e-2),
                ]
            }
            Picture::Large { crop, boxes } => {
                let inside = |i: usize| {
                    let (c, y, x) = (i / 16384, i / 128 % 128, i % 128);
                    (rgb[c * pixels + (448 + y) * 1024 + 448 + x] - crop[i]).abs()
                };
                let mut errors: Vec<f32> = (0..crop.len()).map(inside).collect();
                let mean_of = |i: usize| {
                    let (c, y, x) = (i / 65536, i / 256 % 256, i % 256);
                    let at = |k: usize| rgb[(c * 1024 + 4 * y + k / 4) * 1024 + 4 * x + k % 4];
                    ((0..16).map(at).sum::<f32>() / 16.0 - boxes[i]).abs()
                };
                let coarse: Vec<f32> = (0..boxes.len()).map(mean_of).collect();
                let mean = coarse.iter().map(|x| f64::from(*x)).sum::<f64>() / coarse.len() as f64;
                vec![
                    figure("crop, largest difference", crop.len(), largest(errors.iter().copied()), 1e-2),
                    figure("crop, difference of 99 %", crop.len(), quantile(&mut errors, 990), 2e-5),
                    figure("box means, largest difference", boxes.len(), largest(coarse.iter().copied()), 5e-3),
                    figure("box means, mean difference", boxes.len(), mean, 1e-4),
                ]
            }
        };
        if let Some((want, slack)) = self.tile_entries.get(view) {
            out.push(figure("tile entries", 1, (tile_entries as i64).abs_diff(*want) as f64, *slack));
        }
        out
    }

    /// Compares the projected Gaussians of the first view.
    pub fn compare_splats(&self, splats: &[Splat]) -> Vec<Comparison> {
        let n = self.gaussians.len();
        if splats.len() != n {
            return vec![Comparison::new("number of splats", n, f64::NAN, 0.0)];
        }
        let mut out = Vec::new();
        match &self.radii {
            Some(Radii::Each { radii, slack, share }) => {
                let off: Vec<u32> = splats.iter().zip(radii).map(|(s, want)| s.radius.abs_diff(*want)).collect();
                let most = off.iter().max().copied().unwrap_or(0);
                let differing = off.iter().filter(|d| **d > 0).count();
                out.push(Comparison::new("radii, largest difference", n, f64::from(most), f64::from(*slack)));
                if *share < 1.0 {
                    out.push(Comparison::new("radii, share that differs", n, differing as f64 / n as f64, *share));
                }
            }
            Some(Radii::Sum(want)) => {
                let sum: i64 = splats.iter().map(|s| i64::from(s.radius)).sum();
                out.push(Comparison::new("radii, sum", n, sum.abs_diff(*want) as f64, 20.0));
            }
            None => {}
        }
        if let Some((projection, limits)) = &self.projection {
            out.extend(compare_projection(splats, projection, limits));
        }
        out
    }
}

/// Differences of all channels pixel by pixel; `values` are those of the set bits.
fn masked_errors(rgb: &[f32], bits: &[u8], values: &[[f32; 3]], background: f32) -> Vec<f32> {
    let pixels = rgb.len() / 3;
    let (mut errors, mut next) = (Vec::with_capacity(rgb.len()), values.iter());
    for p in 0..pixels {
        let set = bits[p / 8] >> (p % 8) & 1 == 1;
        let want = if set { next.next().copied().unwrap_or([f32::NAN; 3]) } else { [background; 3] };
        errors.extend((0..3).map(|c| (rgb[c * pixels + p] - want[c]).abs()));
    }
    errors
}

/// Rows are depth, centre (2), conic (3), effective opacity (0 where the reference draws nothing).
fn compare_projection(splats: &[Splat], want: &[[f32; 7]], limits: &ProjectionLimits) -> Vec<Comparison> {
    let (mut depth, mut mean, mut conic, mut opacity) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut hidden = 0.0;
    for (s, want) in splats.iter().zip(want) {
        if s.radius == 0 {
            hidden += f64::from(u8::from(want[6] != 0.0));
            continue;
        }
        depth.push((s.depth - want[0]).abs());
        mean.extend((0..2).map(|k| (s.mean[k] - want[1 + k]).abs()));
        let largest = want[3..6].iter().fold(f32::MIN_POSITIVE, |m, x| m.max(x.abs()));
        conic.extend((0..3).map(|k| (s.conic[k] - want[3 + k]).abs() / largest));
        opacity.push((s.opacity - want[6]).abs());
    }
    let n = want.len();
    vec![
        Comparison::new("drawn by the reference only", n, hidden, 0.0),
        Comparison::new("depth", n, largest(depth), 2.4e-6),
        Comparison::new("centre in pixels", n, largest(mean), 2.7e-4),
        Comparison::new("conic, of its largest entry", n, largest(conic), limits.conic),
        Comparison::new("opacity", n, largest(opacity), limits.opacity),
    ]
}

fn gaussians<T: Tensors + ?Sized>(file: &T) -> Result<Gaussians, T::Error> {
    let opacities = file.floats("opacities")?;
    let n = opacities.len();
    Ok(Gaussians {
        means: rows_of(file, "means", n)?,
        scales: rows_of(file, "scales", n)?,
        quats: rows_of(file, "quats", n)?,
        f_dc: rows_of(file, "f_dc", n)?,
        opacities,
    })
}

fn views<T: Tensors + ?Sized>(file: &T, size: [u32; 2], count: usize) -> Result<Vec<GaussianView>, T::Error> {
    let matrices = |name: &str| -> Result<Vec<Matrix4>, T::Error> {
        let rows: Vec<[f32; 4]> = rows_of(file, name, 4 * count)?;
        Ok(rows.as_chunks::<4>().0.to_vec())
    };
    let (view, proj_view) = (matrices("view")?, matrices("proj_view")?);
    let tan: Vec<[f32; 2]> = rows_of(file, "tan_half_fov", count)?;
    let backgrounds = if file.has("bg") { floats(file, "bg", count)? } else { vec![0.0; count] };
    let one = |n: usize| GaussianView {
        view: view[n],
        proj_view: proj_view[n],
        tan_half_fov: tan[n],
        size,
        background: backgrounds[n],
        kernel_size: 0.1,
    };
    match count {
        0 => Err(file.wrong("no view: `bg` is empty".into())),
        _ => Ok((0..count).map(one).collect()),
    }
}

/// The formula scene of the README.
fn formula_scene(seed: u64, n: u64) -> Gaussians {
    let mut g = Gaussians::default();
    for i in 0..n {
        let u = |k: u64| hash_unit(seed, i, k);
        let d: [f64; 3] = std::array::from_fn(|k| 2.0 * u(k as u64) - 1.0);
        let norm = (d[0] * d[0] + d[1] * d[1] + d[2] * d[2]).sqrt();
        g.means.push(std::array::from_fn(|k| {
            let c = ((0.42 * (d[k] / norm) + 0.5) * 64.0).floor();
            (((c + 0.5) / 64.0 - 0.5) + (u(3 + k as u64) - 0.5) * (1.5 / 64.0)) as f32
        }));
        g.scales.push(std::array::from_fn(|k| {
            let r = u(6 + k as u64);
            (0.0009 + 0.012 * (r * r)) as f32
        }));
        let q = [1.0, 0.6 * (u(9) - 0.5), 0.6 * (u(10) - 0.5), 0.6 * (u(11) - 0.5)];
        let norm = q.iter().map(|x| x * x).sum::<f64>().sqrt();
        g.quats.push(q.map(|x| (x / norm) as f32));
        g.opacities.push((0.02 + 0.97 * u(12)) as f32);
        g.f_dc.push(std::array::from_fn(|k| (4.0 * (u(13 + k as u64) - 0.5)) as f32));
    }
    g
}
