//! The trained model that the repository ships: its numbers equal the training code's, and what it makes of pictures that it was
//! never trained on is the object in the picture.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::PathBuf;
use std::sync::Arc;

use maquette::maquette_mesh::{Gaussians, HealthContext, SH_C0, health};
use maquette::maquette_weights::{Checkpoint, TensorSource};
use maquette::pipeline::{Array, Structure};
use maquette::{
    Control, Cutout, FolderModel, GenerateOptions, Gpu, Noise, PipelineOptions, Sampling, SurfaceOptions,
    TrellisImageTo3d, Unwrap, build_asset,
};

const SIDE: usize = 32;
/// Largest mean error of a channel of the mean colour, of 1.
const COLOUR: f64 = 0.1;

fn place(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").join(name)
}

fn pipeline() -> TrellisImageTo3d {
    let model = FolderModel::open(place("models/mini"), Default::default()).unwrap();
    TrellisImageTo3d::new(Arc::new(model), Gpu::cpu(), PipelineOptions::default()).unwrap()
}

fn cutout(object: usize) -> Cutout {
    let picture = std::fs::read(place("tests/goldens/mini").join(format!("object_{object}.png"))).unwrap();
    Cutout::with_alpha(&picture, &Default::default()).unwrap()
}

fn array(numbers: &Checkpoint, name: &str) -> Array {
    let view = numbers.get(name).unwrap();
    Array { shape: view.shape().to_vec(), values: view.to_f32() }
}

/// Relative Frobenius error of `came` against `expected`.
fn relative(came: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(came.len(), expected.len());
    let squares = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    let difference = squares(&mut came.iter().zip(expected).map(|(a, b)| f64::from(a - b)));
    difference / squares(&mut expected.iter().map(|v| f64::from(*v)))
}

#[test]
fn every_stage_equals_the_training_code() {
    let numbers = Checkpoint::open(place("tests/goldens/mini/numbers.safetensors")).unwrap();
    let (pipeline, control) = (pipeline(), Control::default());
    let noise = Noise::Given { structure: array(&numbers, "ss_noise"), latent: array(&numbers, "slat_noise") };
    let options = GenerateOptions { noise, ..Default::default() };
    let check = |name: &str, came: &[f32]| {
        let error = relative(came, &array(&numbers, name).values);
        println!("{name}: {error:.2e}");
        assert!(error < 1e-4, "{name}: {error:.2e}");
    };
    let flat = |rows: &[[f32; 3]]| rows.iter().take(8192).flatten().copied().collect::<Vec<f32>>();
    pollster::block_on(async {
        let picture = cutout(3).prepared(pipeline.picture_side()).unwrap();
        let condition = pipeline.encode(&[picture], &control).await.unwrap();
        check("cond", &condition.tokens.values);

        let structure = pipeline.structure(&condition, &options, &control).await.unwrap();
        check("z_s", &structure.latent.values);
        check("ss_logits", &structure.logits.values);
        let coords: Vec<f32> = structure.coords.iter().flatten().map(|c| *c as f32).collect();
        assert_eq!(coords, array(&numbers, "coords").values, "occupied voxels");

        let latent = pipeline.latent(&condition, &structure, &options, &control).await.unwrap();
        check("slat", &latent.features.values);

        let gaussians = pipeline.gaussians(&latent, &control).await.unwrap();
        check("gs.xyz", &flat(&gaussians.means));
        check("gs.scaling", &flat(&gaussians.scales));
        check("gs.features_dc", &flat(&gaussians.f_dc));
        check("gs.opacity", &gaussians.opacities[..8192]);
    });
}

/// Voxels of a shelved object, as the training code's analytic field has them.
fn truth(object: usize) -> Vec<bool> {
    let objects = Checkpoint::open(place("tests/goldens/mini/objects.safetensors")).unwrap();
    let view = objects.get(&format!("occupied.{object}")).unwrap();
    view.bytes().iter().flat_map(|byte| (0..8).map(move |bit| byte >> bit & 1 == 1)).collect()
}

fn iou(structure: &Structure, truth: &[bool]) -> f64 {
    let mut came = vec![false; SIDE * SIDE * SIDE];
    for [_, x, y, z] in &structure.coords {
        came[(*x as usize * SIDE + *y as usize) * SIDE + *z as usize] = true;
    }
    let count = |f: &dyn Fn(bool, bool) -> bool| came.iter().zip(truth).filter(|(a, b)| f(**a, **b)).count();
    count(&|a, b| a && b) as f64 / count(&|a, b| a || b) as f64
}

/// The mean colour of a shelved object's surface, as the training code's analytic field has it.
fn true_mean_colour(object: usize) -> [f64; 3] {
    let text = std::fs::read(place("tests/goldens/mini/objects.json")).unwrap();
    let described: serde_json::Value = serde_json::from_slice(&text).unwrap();
    [0, 1, 2].map(|c| described[object]["mean_colour"][c].as_f64().unwrap())
}

/// Mean colour of the Gaussians, weighted by opacity.
fn mean_colour(gaussians: &Gaussians) -> [f64; 3] {
    let weight: f64 = gaussians.opacities.iter().map(|o| f64::from(*o)).sum();
    [0, 1, 2].map(|c| {
        let colours = gaussians.f_dc.iter().zip(&gaussians.opacities);
        colours.map(|(f, o)| (0.5 + f64::from(SH_C0 * f[c])).clamp(0.0, 1.0) * f64::from(*o)).sum::<f64>() / weight
    })
}

/// One object from its picture: its shape, its colour and a GLB without a complaint.
fn object_is_that_of_its_picture(object: usize) {
    let (pipeline, control) = (pipeline(), Control::default());
    let steps = |steps| Sampling { steps: Some(steps), ..Default::default() };
    let options =
        GenerateOptions { noise: Noise::Seed(1), structure: steps(6), latent: steps(3), ..Default::default() };
    let picture = cutout(object).prepared(pipeline.picture_side()).unwrap();
    let (structure, gaussians, mesh) = pollster::block_on(async {
        let condition = pipeline.encode(&[picture], &control).await.unwrap();
        let structure = pipeline.structure(&condition, &options, &control).await.unwrap();
        let latent = pipeline.latent(&condition, &structure, &options, &control).await.unwrap();
        let gaussians = pipeline.gaussians(&latent, &control).await.unwrap();
        (structure, gaussians, pipeline.mesh(&latent, &control).await.unwrap())
    });

    let shape = iou(&structure, &truth(object));
    let (colour, mean) = (mean_colour(&gaussians), true_mean_colour(object));
    let wrong = (0..3).map(|c| (colour[c] - mean[c]).abs()).sum::<f64>() / 3.0;
    println!("object {object}: IoU {shape:.3}, mean colour {colour:.2?} for {mean:.2?}, error {wrong:.3}");
    assert!(shape > 0.85, "IoU {shape:.3}");
    assert!(wrong < COLOUR, "error of the mean colour {wrong:.3}");

    let surface = SurfaceOptions {
        faces: Some(4000),
        texture_size: Some(256),
        visibility_views: Some(16),
        unwrap: Unwrap::Boxes,
        ..Default::default()
    };
    let asset = pollster::block_on(build_asset(mesh, Some(&gaussians), &surface, &control)).unwrap();
    let glb = maquette::export::glb(&asset, &Default::default()).unwrap();
    let context = HealthContext { texture_size: Some(256), file_bytes: Some(glb.len() as u64), ..Default::default() };
    let report = health(&asset.mesh, &context).unwrap();
    assert!((1000..=4000).contains(&report.triangles), "{report:?}");
    assert_eq!((report.boundary_edges, report.non_manifold_edges, report.winding_conflicts), (0, 0, 0), "{report:?}");
    assert!(report.warnings.is_empty(), "{:?}", report.warnings);
}

#[test]
fn a_mushroom() {
    object_is_that_of_its_picture(4);
}

#[test]
fn a_car() {
    object_is_that_of_its_picture(5);
}

#[test]
fn a_snowman() {
    object_is_that_of_its_picture(6);
}
