//! Baking a known texture back from pictures of it.

use std::ops::ControlFlow;

use burn::tensor::{Device, Tensor, TensorData};
use maquette_kernels::bake::{
    BackProjector, BakePlan, BakeProgress, BakedTexture, LEAST_SEEN, Observations, PassPlan, PictureColors,
    ProjectionCamera, sample_texture,
};
use maquette_kernels::mesh_raster::{CoordinatePictures, FacePictures, Faces, rasterise, transform_corners};
use maquette_mesh::TriangleMesh;
use maquette_mesh::bake::{
    BackProjection, FloatTexture, MipTexture, Observation, ProjectionView, TexelMap, back_project, dilate,
    photometric_gradient, photometric_loss, total_variation,
};
use maquette_mesh::camera::{Matrix4, OrbitCamera, multiply};
use maquette_mesh::raster_mesh::UvImage;
use maquette_mesh::reference::MeshReference;
use maquette_mesh::shapes::pattern;
use pollster::block_on;

use crate::devices::{Random, all, best, cpu, floats, gpu};
use crate::goldens_support::{Golden, assert_passed, max_diff};

fn upload<const D: usize>(values: Vec<f32>, shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// A torus with its atlas.
struct Torus {
    positions: Vec<[f32; 3]>,
    uvs: Vec<[f32; 2]>,
    faces: Vec<[u32; 3]>,
}

fn torus() -> Torus {
    let (nu, nv) = (32u32, 16u32);
    let (mut positions, mut uvs, mut faces) = (Vec::new(), Vec::new(), Vec::new());
    for i in 0..=nu {
        for j in 0..=nv {
            let (a, b) = (std::f32::consts::TAU * i as f32 / nu as f32, std::f32::consts::TAU * j as f32 / nv as f32);
            let r = 0.33 + 0.13 * b.cos();
            positions.push([r * a.cos(), r * a.sin(), 0.13 * b.sin()]);
            uvs.push([0.03 + 0.94 * i as f32 / nu as f32, 0.03 + 0.94 * j as f32 / nv as f32]);
        }
    }
    for i in 0..nu {
        for j in 0..nv {
            let q = i * (nv + 1) + j;
            faces.extend([[q, q + nv + 1, q + nv + 2], [q, q + nv + 2, q + 1]]);
        }
    }
    Torus { positions, uvs, faces }
}

fn cameras(range: std::ops::Range<u32>, count: u32) -> Vec<Matrix4> {
    let camera = |n| OrbitCamera::hammersley(n, count);
    range.map(|n| multiply(&camera(n).projection_gl(0.1, 10.0), &camera(n).view_gl())).collect()
}

fn draw(views: &[Matrix4], side: u32, device: &Device) -> (FacePictures, CoordinatePictures) {
    let torus = torus();
    let positions = upload(torus.positions.as_flattened().to_vec(), [torus.positions.len(), 3], device);
    let uvs = upload(torus.uvs.as_flattened().to_vec(), [torus.uvs.len(), 2], device);
    let faces = Faces::upload(&torus.faces, torus.positions.len(), device).expect("valid");
    let clip = block_on(transform_corners(&positions, views)).expect("valid");
    let pictures = block_on(rasterise(&clip, &faces, [side, side])).expect("valid");
    let coordinates = block_on(pictures.texture_coordinates(&uvs)).expect("valid");
    (pictures, coordinates)
}

fn texture_tensor(texture: &FloatTexture, device: &Device) -> Tensor<3> {
    upload(texture.texels.as_flattened().to_vec(), [texture.height, texture.width, 3], device)
}

/// What was observed: pictures of the true texture with noise and wrong pixels, as bytes.
struct Observed {
    pictures: FacePictures,
    coordinates: CoordinatePictures,
    /// `[V, 3, H, W]`, row 0 at the top.
    rgb: Tensor<4>,
    /// `[V * H * W]`, row 0 at the bottom, with masks.
    colors: Vec<[f32; 3]>,
    mask: Vec<bool>,
    side: usize,
}

fn observe(size: usize, views: &[Matrix4], side: usize, noise: f32, device: &Device) -> Observed {
    let (pictures, coordinates) = draw(views, side as u32, device);
    let clean =
        floats(&block_on(sample_texture(&texture_tensor(&pattern(size), device), &coordinates)).expect("valid"));
    let covered: Vec<bool> = floats(&pictures.ids.clone().float()).into_iter().map(|id| id > 0.0).collect();
    let mut random = Random(5);
    let (mut colors, mut mask) = (Vec::new(), Vec::new());
    for (c, &covered) in clean.as_chunks::<3>().0.iter().zip(&covered) {
        let wrong = noise > 0.0 && random.below(20) == 0;
        let bytes = c.map(|x| {
            let x = if wrong { random.unit() } else { x + noise * (random.unit() + random.unit() - 1.0) };
            if covered { (x * 255.0 + 0.5) as u8 } else { 0 }
        });
        mask.push(covered && bytes != [0; 3]);
        colors.push(bytes.map(|b| f32::from(b) / 255.0));
    }
    let pixels = side * side;
    let mut rgb = vec![0.0; colors.len() * 3];
    for (at, color) in colors.iter().enumerate() {
        let (view, pixel) = (at / pixels, at % pixels);
        let from_top = (side - 1 - pixel / side) * side + pixel % side;
        // Half a step up, so that cutting to bytes gives the byte again.
        (0..3)
            .for_each(|k| rgb[(3 * view + k) * pixels + from_top] = color[k] + if color[k] > 0.0 { 1e-3 } else { 0.0 });
    }
    let rgb = upload(rgb, [views.len(), 3, side, side], device);
    Observed { pictures, coordinates, rgb, colors, mask, side }
}

fn colors(rgb: &Tensor<4>) -> PictureColors {
    block_on(PictureColors::of_pictures(rgb)).expect("three channels")
}

fn bake(observed: &Observed, size: usize, plan: &BakePlan, device: &Device) -> (BakedTexture, Vec<BakeProgress>) {
    let mut observations = Observations::new(size, device).expect("valid size");
    block_on(observations.add(&colors(&observed.rgb), &observed.pictures, &observed.coordinates)).expect("same shapes");
    assert_eq!(observations.len(), observed.mask.iter().filter(|m| **m).count());
    let mut told = Vec::new();
    let mut hear = |progress: &BakeProgress| {
        told.push(*progress);
        ControlFlow::Continue(())
    };
    let baked = block_on(observations.solve(plan, &mut hear)).expect("something was observed");
    (baked, told)
}

/// The views as the definition of the loss takes them.
struct Defined {
    uv: Vec<UvImage>,
}

impl Defined {
    fn new(observed: &Observed) -> Self {
        let (uv, change) = (floats(&observed.coordinates.uv), floats(&observed.coordinates.derivatives));
        let pixels = observed.side * observed.side;
        let uv = uv.as_chunks::<2>().0.chunks(pixels).zip(change.as_chunks::<4>().0.chunks(pixels));
        Self { uv: uv.map(|(uv, d)| UvImage { uv: uv.to_vec(), derivatives: d.to_vec() }).collect() }
    }

    fn views<'a>(&'a self, observed: &'a Observed) -> Vec<Observation<'a>> {
        let pixels = observed.side * observed.side;
        let view = |(n, uv): (usize, &'a UvImage)| Observation {
            image: &observed.colors[n * pixels..(n + 1) * pixels],
            mask: &observed.mask[n * pixels..(n + 1) * pixels],
            uv,
        };
        self.uv.iter().enumerate().map(view).collect()
    }
}

fn defined_loss(texture: &FloatTexture, views: &[Observation<'_>]) -> f64 {
    let chain = MipTexture::new(texture.clone()).expect("a power of two");
    let sum: f64 = views.iter().map(|view| photometric_loss(&chain, view).expect("sizes fit")).sum();
    sum / views.len() as f64 + 0.01 * total_variation(texture)
}

/// The reference's optimisation (spec §8.7.2): 2,500 steps of Adam, one random view a step.
fn adam(size: usize, views: &[Observation<'_>], steps: usize) -> FloatTexture {
    let mut x = FloatTexture::filled(size, size, [0.0; 3]).expect("valid size");
    let (mut m, mut v) = (vec![0.0f64; 3 * size * size], vec![0.0f64; 3 * size * size]);
    let (mut rate, mut random) = (1e-2, Random(9));
    let difference_share = 0.01 / (3 * size * (size - 1)) as f32;
    for step in 0..steps {
        let chain = MipTexture::new(x.clone()).expect("a power of two");
        let (_, mut gradient) = photometric_gradient(&chain, &views[random.below(views.len())]).expect("sizes fit");
        for i in 0..size * size {
            let others = [(i % size + 1 < size).then_some(i + 1), (i / size + 1 < size).then_some(i + size)];
            for j in others.into_iter().flatten() {
                for k in 0..3 {
                    let d = x.texels[i][k] - x.texels[j][k];
                    let push = if d == 0.0 { 0.0 } else { d.signum() * difference_share };
                    gradient.texels[i][k] += push;
                    gradient.texels[j][k] -= push;
                }
            }
        }
        let (c1, c2) = (1.0 - 0.5f64.powi(step as i32 + 1), 1.0 - 0.9f64.powi(step as i32 + 1));
        for (n, (x, g)) in x.texels.as_flattened_mut().iter_mut().zip(gradient.texels.as_flattened()).enumerate() {
            let g = f64::from(*g);
            m[n] = 0.5 * m[n] + 0.5 * g;
            v[n] = 0.9 * v[n] + 0.1 * g * g;
            *x -= (rate * (m[n] / c1) / ((v[n] / c2).sqrt() + 1e-8)) as f32;
        }
        rate = 1e-5 + 0.5 * (1e-2 - 1e-5) * (1.0 + (std::f64::consts::PI * step as f64 / steps as f64).cos());
    }
    x
}

fn to_texture(baked: &BakedTexture) -> FloatTexture {
    let [height, width, _] = baked.texels.dims();
    FloatTexture { width, height, texels: floats(&baked.texels).as_chunks::<3>().0.to_vec() }
}

/// PSNR over views that were not observed, where the mesh is.
fn held_out_psnr(texture: &FloatTexture, size: usize, device: &Device) -> f64 {
    let (pictures, coordinates) = draw(&cameras(3..6, 37), 96, device);
    let covered: Vec<bool> = floats(&pictures.ids.clone().float()).into_iter().map(|id| id > 0.0).collect();
    let image =
        |t: &FloatTexture| floats(&block_on(sample_texture(&texture_tensor(t, device), &coordinates)).expect("valid"));
    let (a, b) = (image(texture), image(&pattern(size)));
    let (mut sum, mut count) = (0.0, 0);
    for (i, (x, y)) in a.iter().zip(&b).enumerate().filter(|(i, _)| covered[i / 3]) {
        let d = f64::from(x.clamp(0.0, 1.0) - y);
        sum += d * d;
        count += usize::from(i % 3 == 0);
    }
    -10.0 * (sum / (3 * count) as f64).log10()
}

#[test]
fn the_solver_comes_closer_to_the_truth_than_the_references_2500_steps() {
    let (size, device) = (32, best());
    for noise in [0.0, 0.01, 0.06] {
        let observed = observe(size, &cameras(0..12, 12), 64, noise, &device);
        let defined = Defined::new(&observed);
        let views = defined.views(&observed);
        let (baked, told) = bake(&observed, size, &BakePlan::for_views(12), &device);
        let texture = to_texture(&baked);
        let (ours, theirs) = (defined_loss(&texture, &views), adam(size, &views, 2500));
        let reference = defined_loss(&theirs, &views);
        let psnr = [&texture, &theirs].map(|t| held_out_psnr(t, size, &device));
        println!("noise {noise}: loss {ours:.5}, reference {reference:.5}; PSNR {psnr:.2?} dB; passes {told:.4?}");
        assert!((baked.loss - ours).abs() <= 1e-5, "the reported loss {} is that of the definition {ours}", baked.loss);
        // The reference goes over these few pictures 208 times.
        assert!(ours <= reference * 1.003, "noise {noise}: {ours} against {reference}");
        assert!(psnr[0] >= psnr[1], "noise {noise}: PSNR {psnr:?}");
        assert_eq!(told.len(), 209);
    }
}

#[test]
fn six_views_are_enough_to_come_as_close_as_the_reference() {
    let (size, device) = (32, cpu());
    for noise in [0.0, 0.06] {
        let observed = observe(size, &cameras(0..6, 6), 64, noise, &device);
        let defined = Defined::new(&observed);
        let (baked, _) = bake(&observed, size, &BakePlan::for_views(6), &device);
        let theirs = adam(size, &defined.views(&observed), 2500);
        let psnr = [&to_texture(&baked), &theirs].map(|t| held_out_psnr(t, size, &device));
        println!("six views, noise {noise}: PSNR {psnr:.2?} dB");
        assert!(psnr[0] >= psnr[1], "noise {noise}: PSNR {psnr:?}");
    }
}

/// Texels that one view in four sees are in one subset only.
#[test]
fn texels_of_few_views_settle() {
    let (size, device) = (32, cpu());
    for (count, of) in [(3, 3), (4, 4), (5, 5), (8, 8), (12, 60)] {
        let observed = observe(size, &cameras(0..count, of), 48, 0.0, &device);
        let (baked, told) = bake(&observed, size, &BakePlan::default(), &device);
        println!("{count} of {of} views: {}", baked.loss);
        assert!(baked.loss < 0.01 && told[25].photometric < 0.2 * told[1].photometric, "{count}: {}", baked.loss);
    }
}

fn torus_mesh() -> TriangleMesh {
    let torus = torus();
    TriangleMesh { uvs: torus.uvs, ..TriangleMesh::new(torus.positions, torus.faces) }
}

fn eye(n: u32, count: u32) -> [f32; 3] {
    OrbitCamera::hammersley(n, count).eye().map(|x| x as f32)
}

/// The fast mode on the same pictures, by its definition.
fn back_projected(observed: &Observed, views: std::ops::Range<u32>, count: u32, size: usize) -> BackProjection {
    let mesh = torus_mesh();
    let drawn = block_on(observed.pictures.download()).expect("readable");
    let (matrices, pixels) = (cameras(views.clone(), count), observed.side * observed.side);
    let projected: Vec<ProjectionView<'_>> = views
        .zip(&drawn)
        .enumerate()
        .map(|(at, (n, faces))| ProjectionView {
            clip_from_world: matrices[at],
            eye: eye(n, count),
            image: &observed.colors[at * pixels..(at + 1) * pixels],
            mask: &observed.mask[at * pixels..(at + 1) * pixels],
            faces,
        })
        .collect();
    let map = TexelMap::new(&mesh, size).expect("has uvs");
    back_project(&mesh, &map, &projected).expect("sizes fit")
}

#[test]
fn the_gpu_projects_as_the_definition_does() {
    let Some(device) = gpu() else { return };
    let (size, count) = (64, 10);
    let matrices = cameras(0..count, count);
    let observed = observe(size, &matrices, 96, 0.0, &device);
    let defined = back_projected(&observed, 0..count, count, size);
    let mut projector = block_on(BackProjector::new(&torus_mesh(), size, &device)).expect("valid").expect("a GPU");
    let cameras: Vec<ProjectionCamera> = (0..count)
        .zip(&matrices)
        .map(|(n, matrix)| ProjectionCamera { clip_from_world: *matrix, eye: eye(n, count) })
        .collect();
    for part in [0..4, 4..count as usize] {
        let rgb = observed.rgb.clone().slice([part.clone(), 0..3, 0..96, 0..96]);
        block_on(projector.add(&colors(&rgb), &cameras[part])).expect("as many views as pictures");
    }
    let found = block_on(projector.finish()).expect("readable");
    let texels = found.seen.iter().zip(&defined.seen);
    let (differing, seen) = texels.fold((0, 0), |(d, s), (a, b)| (d + usize::from(a != b), s + usize::from(*b)));
    assert!(seen > size * size / 2 && differing <= seen / 500, "{seen} texels seen, {differing} by one only");
    // A view that just sees a texel to the one, and just does not to the other, moves its mean.
    let mut far: Vec<f32> = (0..size * size)
        .filter(|at| found.seen[*at] && defined.seen[*at])
        .map(|at| max_diff(&found.texture.texels[at], &defined.texture.texels[at]) as f32)
        .collect();
    far.sort_by(f32::total_cmp);
    println!("{seen} texels: farthest {:.1e}, 99 % {:.1e}", far[far.len() - 1], far[far.len() * 99 / 100]);
    assert!(far[far.len() * 99 / 100] < 1e-4 && far[far.len() - 1] < 0.1, "{:?}", &far[far.len() - 5..]);
}

#[test]
fn projecting_needs_an_atlas_and_as_many_cameras_as_pictures() {
    let mesh = torus_mesh();
    assert!(
        block_on(BackProjector::new(&mesh, 64, &cpu())).expect("valid").is_none(),
        "the CPU tier has the definition"
    );
    let Some(device) = gpu() else { return };
    let bare = TriangleMesh { uvs: Vec::new(), ..mesh.clone() };
    assert!(block_on(BackProjector::new(&bare, 64, &device)).is_err());
    assert!(block_on(BackProjector::new(&mesh, 8, &device)).is_err());
    let mut projector = block_on(BackProjector::new(&mesh, 16, &device)).expect("valid").expect("a GPU");
    let observed = observe(16, &cameras(0..2, 2), 20, 0.0, &device);
    let one = ProjectionCamera { clip_from_world: cameras(0..1, 2)[0], eye: eye(0, 2) };
    assert!(block_on(projector.add(&colors(&observed.rgb), &[one])).is_err());
    let unseen = block_on(projector.finish()).expect("readable");
    assert!(unseen.seen.iter().all(|seen| !seen) && unseen.texture.texels.iter().all(|texel| *texel == [0.0; 3]));
    let nothing = TriangleMesh::new(Vec::new(), Vec::new());
    let mut projector = block_on(BackProjector::new(&nothing, 16, &device)).expect("valid").expect("a GPU");
    let shown = colors(&observed.rgb.slice([0..1, 0..3, 0..20, 0..20]));
    block_on(projector.add(&shown, &[one])).expect("nothing to throw back on");
    assert!(block_on(projector.finish()).expect("readable").seen.iter().all(|seen| !seen));
}

#[test]
fn the_solved_texture_is_closer_to_the_truth_than_the_projected_one() {
    let (size, device) = (64, best());
    for noise in [0.0, 0.06] {
        let observed = observe(size, &cameras(0..24, 24), 96, noise, &device);
        let (baked, _) = bake(&observed, size, &BakePlan::default(), &device);
        let mut projected = back_projected(&observed, 0..24, 24, size);
        dilate(&mut projected.texture, &projected.seen, size);
        let textures = [projected.texture, to_texture(&baked)];
        let [fast, solved] = textures.map(|texture| held_out_psnr(&texture, size, &device));
        println!("noise {noise}: back-projected {fast:.2} dB, solved {solved:.2} dB");
        assert!(solved >= fast + 1.0, "noise {noise}: {fast:.2} {solved:.2}");
    }
}

#[test]
fn the_gpu_solves_as_the_definition_does() {
    let Some(device) = gpu() else { return };
    let size = 32;
    let views = cameras(0..5, 5);
    let (a, _) = bake(&observe(size, &views, 48, 0.05, &device), size, &BakePlan::default(), &device);
    let (b, _) = bake(&observe(size, &views, 48, 0.05, &cpu()), size, &BakePlan::default(), &cpu());
    assert!((a.loss - b.loss).abs() <= 2e-4 * b.loss, "{} {}", a.loss, b.loss);
    let (x, y) = (floats(&a.texels), floats(&b.texels));
    let mean = x.iter().zip(&y).map(|(x, y)| f64::from((x - y).abs())).sum::<f64>() / x.len() as f64;
    assert!(mean <= 1e-3, "mean difference {mean}");
    let seen = |t: &BakedTexture| floats(&t.seen).iter().filter(|s| **s >= LEAST_SEEN).count();
    assert!(seen(&a).abs_diff(seen(&b)) <= 8);
    // Whole-number sums do not depend on the order of work.
    let (again, _) = bake(&observe(size, &views, 48, 0.05, &device), size, &BakePlan::default(), &device);
    assert_eq!(floats(&again.texels), x);
}

#[test]
fn sampling_equals_the_reference() {
    let scene = MeshReference::read(&Golden::open("raster/mesh.safetensors")).expect("a scene");
    let (uv, change): (Vec<[f32; 2]>, Vec<[f32; 4]>) = scene.places.iter().copied().unzip();
    for device in all() {
        let coordinates = CoordinatePictures {
            uv: upload(uv.as_flattened().to_vec(), [1, 1, uv.len(), 2], &device),
            derivatives: upload(change.as_flattened().to_vec(), [1, 1, uv.len(), 4], &device),
        };
        let sampled = block_on(sample_texture(&texture_tensor(&scene.texture, &device), &coordinates)).expect("valid");
        assert_passed("mesh", &scene.compare_samples(floats(&sampled).as_chunks::<3>().0));
    }
}

#[test]
fn views_may_come_in_batches_and_unseen_texels_are_filled() {
    for device in all() {
        let size = 32;
        // From below only: the upper half stays unseen.
        let views = cameras(0..2, 16);
        let plan = BakePlan { passes: vec![PassPlan { subsets: 2, momentum: 0.5 }], ..BakePlan::default() };
        let (whole, _) = bake(&observe(size, &views, 64, 0.0, &device), size, &plan, &device);
        let mut observations = Observations::new(size, &device).expect("valid size");
        for part in views.chunks(1) {
            let observed = observe(size, part, 64, 0.0, &device);
            block_on(observations.add(&colors(&observed.rgb), &observed.pictures, &observed.coordinates))
                .expect("same shapes");
        }
        let baked = block_on(observations.solve(&plan, &mut |_| ControlFlow::Continue(()))).expect("observed");
        assert!(max_diff(&floats(&baked.texels), &floats(&whole.texels)) <= 1e-5);
        let unseen = floats(&baked.seen).iter().filter(|seen| **seen < LEAST_SEEN).count();
        assert!(unseen > size * size / 10, "the upper half is unseen: {unseen}");
        let filled = block_on(baked.into_texture(4)).expect("readable");
        assert!(filled.texels.iter().all(|t| t.iter().sum::<f32>() > 0.05), "no texel stays black");
    }
}

#[test]
fn a_listener_can_end_the_work_and_wrong_inputs_are_refused() {
    for device in all() {
        assert!(Observations::new(48, &device).is_err());
        assert!(Observations::new(8, &device).is_err());
        let mut observations = Observations::new(16, &device).expect("valid size");
        assert!(block_on(observations.solve(&BakePlan::default(), &mut |_| ControlFlow::Continue(()))).is_err());
        let observed = observe(16, &cameras(0..2, 2), 20, 0.0, &device);
        let cut = observed.rgb.clone().slice([0..1, 0..3, 0..20, 0..20]);
        assert!(block_on(observations.add(&colors(&cut), &observed.pictures, &observed.coordinates)).is_err());
        block_on(observations.add(&colors(&observed.rgb), &observed.pictures, &observed.coordinates))
            .expect("same shapes");
        let mut passes = 0;
        let mut stop = |_: &BakeProgress| {
            passes += 1;
            ControlFlow::Break(())
        };
        let baked = block_on(observations.solve(&BakePlan::default(), &mut stop)).expect("observed");
        assert_eq!(passes, 1);
        assert!(baked.loss.is_finite());
    }
}
