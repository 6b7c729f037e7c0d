//! A known texture, solved for from pictures of it with noise.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use burn::tensor::{Device, Tensor, TensorData};
use maquette::Gpu;
use maquette::maquette_mesh::bake::mip_level;
use maquette::maquette_mesh::camera::{Matrix4, OrbitCamera, multiply};
use maquette::maquette_mesh::shapes::pattern;
use maquette_kernels::bake::{BakePlan, BakeProgress, Observations, PassPlan, PictureColors, sample_texture};
use maquette_kernels::mesh_raster::{CoordinatePictures, FacePictures, Faces, rasterise, transform_corners};
use pollster::block_on;

use crate::{Arguments, Failure, scene::Random};

/// Views of which pictures are compared that were not solved from.
const HELD_OUT: u32 = 4;

/// A torus with its atlas, on a device.
struct Scene {
    positions: Tensor<2>,
    uvs: Tensor<2>,
    faces: Faces,
    truth: Tensor<3>,
}

/// Observed pixels: where, how coarse, and what colour.
#[derive(Default)]
struct Pixels {
    uv: Vec<[f32; 2]>,
    level: Vec<f32>,
    color: Vec<[f32; 3]>,
    /// First pixel of every view, and the number of all.
    starts: Vec<usize>,
}

fn floats<const D: usize>(x: &Tensor<D>) -> Result<Vec<f32>, Failure> {
    let data = x.clone().try_into_data().map_err(|e| format!("{e:?}"))?;
    Ok(data.try_to_vec_as::<f32>().map_err(|e| format!("{e:?}"))?)
}

fn upload<const D: usize>(values: Vec<f32>, shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, shape), device)
}

impl Scene {
    fn new(size: usize, device: &Device) -> Result<Self, Failure> {
        let (nu, nv) = (96u32, 48u32);
        let (mut positions, mut uvs, mut faces) = (Vec::new(), Vec::new(), Vec::new());
        for i in 0..=nu {
            for j in 0..=nv {
                let (u, v) = (i as f32 / nu as f32, j as f32 / nv as f32);
                let (a, b) = (std::f32::consts::TAU * u, std::f32::consts::TAU * v);
                let r = 0.33 + 0.13 * b.cos();
                positions.extend([r * a.cos(), r * a.sin(), 0.13 * b.sin()]);
                uvs.extend([0.03 + 0.94 * u, 0.03 + 0.94 * v]);
            }
        }
        for i in 0..nu {
            for j in 0..nv {
                let q = i * (nv + 1) + j;
                faces.extend([[q, q + nv + 1, q + nv + 2], [q, q + nv + 2, q + 1]]);
            }
        }
        let corners = positions.len() / 3;
        Ok(Self {
            positions: upload(positions, [corners, 3], device),
            uvs: upload(uvs, [corners, 2], device),
            faces: Faces::upload(&faces, corners, device)?,
            truth: upload(pattern(size).texels.into_flattened(), [size, size, 3], device),
        })
    }

    fn draw(&self, cameras: &[Matrix4], side: usize) -> Result<(FacePictures, CoordinatePictures), Failure> {
        let clip = block_on(transform_corners(&self.positions, cameras))?;
        let pictures = block_on(rasterise(&clip, &self.faces, [side as u32; 2]))?;
        let coordinates = block_on(pictures.texture_coordinates(&self.uvs))?;
        Ok((pictures, coordinates))
    }
}

fn cameras(range: std::ops::Range<u32>, count: u32) -> Vec<Matrix4> {
    let camera = |n| OrbitCamera::hammersley(n, count);
    range.map(|n| multiply(&camera(n).projection_gl(0.1, 10.0), &camera(n).view_gl())).collect()
}

impl Pixels {
    /// Adds the pixels of views where the mesh is and `color` is not black.
    fn add(
        &mut self,
        colors: &[[f32; 3]],
        coordinates: &CoordinatePictures,
        size: usize,
        side: usize,
    ) -> Result<(), Failure> {
        let (uv, change) = (floats(&coordinates.uv)?, floats(&coordinates.derivatives)?);
        let levels = size.trailing_zeros() as usize + 1;
        for (at, color) in colors.iter().enumerate() {
            if at % (side * side) == 0 {
                self.starts.push(self.uv.len());
            }
            if *color != [0.0; 3] {
                self.uv.push(uv.as_chunks::<2>().0[at]);
                self.level.push(mip_level(&change.as_chunks::<4>().0[at], [size; 2], levels));
                self.color.push(*color);
            }
        }
        Ok(())
    }

    fn write(&self, folder: &Path, name: &str) -> Result<(), Failure> {
        let file = |part: &str| File::create(folder.join(format!("{name}_{part}.bin"))).map(BufWriter::new);
        let put = |part: &str, values: &mut dyn Iterator<Item = [u8; 4]>| -> Result<(), Failure> {
            let mut file = file(part)?;
            for value in values {
                file.write_all(&value)?;
            }
            Ok(file.flush()?)
        };
        put("uv", &mut self.uv.as_flattened().iter().map(|x| x.to_le_bytes()))?;
        put("level", &mut self.level.iter().map(|x| x.to_le_bytes()))?;
        put("color", &mut self.color.as_flattened().iter().map(|x| x.to_le_bytes()))?;
        let ends = self.starts.iter().copied().chain([self.uv.len()]);
        put("starts", &mut ends.map(|x| (x as u32).to_le_bytes()))
    }
}

/// Passes as `3x10@0.8,1x5@0.9`: subsets × passes @ momentum.
fn plan(text: Option<&str>, views: usize) -> Result<BakePlan, Failure> {
    let mut plan = BakePlan::for_views(views);
    let Some(text) = text else { return Ok(plan) };
    plan.passes.clear();
    for part in text.split(',') {
        let (shape, momentum) = part.split_once('@').ok_or("expected SUBSETSxPASSES@MOMENTUM")?;
        let (subsets, passes) = shape.split_once('x').ok_or("expected SUBSETSxPASSES@MOMENTUM")?;
        let pass = PassPlan { subsets: subsets.parse()?, momentum: momentum.parse()? };
        plan.passes.extend(vec![pass; passes.parse()?]);
    }
    Ok(plan)
}

/// Makes the observations, solves, and compares with pictures that were not used.
pub fn run(gpu: &Gpu, arguments: &Arguments) -> Result<(), Failure> {
    let (views, side) = (arguments.count("views", 100)? as u32, arguments.count("side", 1024)?);
    let (size, noise) = (arguments.count("size", 1024)?, arguments.number("noise", 0.01)? as f32);
    let device = gpu.device();
    let scene = Scene::new(size, device)?;
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let mut observations = Observations::new(size, device)?;
    let mut pixels = Pixels::default();
    let keep = arguments.text("out").map(Path::new);
    for batch in cameras(0..views, views).chunks(4) {
        let (pictures, coordinates) = scene.draw(batch, side)?;
        let clean = floats(&block_on(sample_texture(&scene.truth, &coordinates))?)?;
        let covered = floats(&pictures.ids.clone().float())?;
        let plane = side * side;
        let mut colors = vec![[0.0; 3]; covered.len()];
        let mut rgb = vec![0.0; 3 * covered.len()];
        for (at, (clean, id)) in clean.as_chunks::<3>().0.iter().zip(&covered).enumerate() {
            if *id == 0.0 {
                continue;
            }
            let wrong = noise > 0.0 && random.unit() < 0.05;
            let bytes = clean.map(|x| {
                let x = if wrong { random.unit() } else { x + noise * (random.unit() + random.unit() - 1.0) };
                (x * 255.0 + 0.5) as u8
            });
            colors[at] = bytes.map(|b| f32::from(b) / 255.0);
            let (view, pixel) = (at / plane, at % plane);
            let from_top = (side - 1 - pixel / side) * side + pixel % side;
            // Half a step up, so that cutting to bytes gives the byte again.
            (0..3).for_each(|k| {
                rgb[(3 * view + k) * plane + from_top] = colors[at][k] + if bytes[k] > 0 { 1e-3 } else { 0.0 };
            });
        }
        let rgb = upload(rgb, [batch.len(), 3, side, side], device);
        let seen = block_on(PictureColors::of_pictures(&rgb))?;
        block_on(observations.add(&seen, &pictures, &coordinates))?;
        if keep.is_some() {
            pixels.add(&colors, &coordinates, size, side)?;
        }
    }
    let mut plan = plan(arguments.text("plan"), views as usize)?;
    plan.rounding = [
        arguments.number("first", plan.rounding[0].into())? as f32,
        arguments.number("last", plan.rounding[1].into())? as f32,
    ];
    let mut told = Vec::new();
    let mut hear = |progress: &BakeProgress| {
        told.push(format!("{:.5}", progress.photometric));
        ControlFlow::Continue(())
    };
    let mut seconds = f64::INFINITY;
    let mut baked = None;
    for _ in 0..arguments.count("runs", 2)? {
        block_on(gpu.finish())?;
        let begun = Instant::now();
        let done = block_on(observations.solve(&plan, &mut hear))?;
        block_on(gpu.finish())?;
        seconds = seconds.min(begun.elapsed().as_secs_f64());
        baked = Some(done);
    }
    let baked = baked.ok_or("no run was asked for")?;
    // The first view of the comparison is none of those solved from: their number is a prime.
    let (held, places) = scene.draw(&cameras(3..3 + HELD_OUT, 37), side)?;
    let inside = floats(&held.ids.float())?;
    let [ours, exact] = [&baked.texels, &scene.truth].map(|t| block_on(sample_texture(t, &places)));
    let (ours, exact) = (floats(&ours?)?, floats(&exact?)?);
    let pairs = ours.iter().zip(&exact).enumerate().filter(|(i, _)| inside[i / 3] > 0.0);
    let squares: f64 = pairs.clone().map(|(_, (a, b))| f64::from(a.clamp(0.0, 1.0) - b).powi(2)).sum();
    let psnr = -10.0 * (squares / pairs.count().max(1) as f64).log10();
    println!(
        "ours: texture {size}², {views} views at {side}², noise {noise}, {} pixels: loss {:.5} ({:.5} + 0.01 x {:.5}), PSNR {psnr:.2} dB, {seconds:.3} s",
        observations.len(),
        baked.loss,
        baked.photometric,
        baked.variation
    );
    println!("  passes {}", told[told.len().saturating_sub(plan.passes.len() + 1)..].join(" "));
    if let Some(folder) = keep {
        std::fs::create_dir_all(folder)?;
        pixels.write(folder, "seen")?;
        let mut apart = Pixels::default();
        let black = |(at, c): (usize, &[f32; 3])| if inside[at] > 0.0 { *c } else { [0.0; 3] };
        let exact: Vec<[f32; 3]> = exact.as_chunks::<3>().0.iter().enumerate().map(black).collect();
        apart.add(&exact, &places, size, side)?;
        apart.write(folder, "apart")?;
        let texels = floats(&baked.texels)?;
        std::fs::write(folder.join("ours.bin"), texels.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>())?;
    }
    Ok(())
}
