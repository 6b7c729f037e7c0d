//! Structures against the truth; stages for the training code to judge.

use std::time::Instant;

use maquette::maquette_weights::{Checkpoint, TensorSource};
use maquette::pipeline::Structure;
use maquette::{Control, TrellisImageTo3d, files, stage_files};

use crate::{Arguments, Failure};

const SIDE: usize = 32;

/// Which voxels of a folder's object are occupied.
fn truth(objects: &Checkpoint, object: u32) -> Result<Vec<bool>, Failure> {
    let view = objects.get(&format!("occupied.{object}"))?;
    Ok(view.bytes().iter().flat_map(|byte| (0..8).map(move |bit| byte >> bit & 1 == 1)).collect())
}

fn iou(structure: &Structure, truth: &[bool]) -> f64 {
    let mut came = vec![false; SIDE * SIDE * SIDE];
    for [_, x, y, z] in &structure.coords {
        came[(*x as usize * SIDE + *y as usize) * SIDE + *z as usize] = true;
    }
    let count = |f: &dyn Fn(bool, bool) -> bool| came.iter().zip(truth).filter(|(a, b)| f(**a, **b)).count();
    count(&|a, b| a && b) as f64 / count(&|a, b| a || b).max(1) as f64
}

pub async fn run(pipeline: &TrellisImageTo3d, arguments: &Arguments) -> Result<(), Failure> {
    let (count, surfaces) = (arguments.count("count", 8)?, arguments.count("surfaces", 8)?);
    let truths = Checkpoint::open(arguments.object_file("objects.safetensors"))?;
    std::fs::create_dir_all(&arguments.out)?;
    let (control, begun) = (Control::default(), Instant::now());
    let (mut right, mut shuffled) = (Vec::new(), Vec::new());
    for object in 0..count {
        let options = arguments.generation(object)?;
        let picture = arguments.cutout(object)?.prepared(pipeline.picture_side())?;
        let condition = pipeline.encode(&[picture], &control).await?;
        let structure = pipeline.structure(&condition, &options, &control).await?;
        right.push(iou(&structure, &truth(&truths, object)?));
        shuffled.push(iou(&structure, &truth(&truths, (object + 1) % count)?));
        let out = |name: &str| arguments.out.join(format!("object_{object}.{name}.safetensors"));
        files::write(&out("structure"), &stage_files::structure(&structure))?;
        if object < surfaces && !structure.coords.is_empty() {
            let latent = pipeline.latent(&condition, &structure, &options, &control).await?;
            files::write(&out("mesh"), &stage_files::mesh(&pipeline.mesh(&latent, &control).await?))?;
        }
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        println!(
            "object {object}: IoU {:.3}; so far {:.4}, with the picture of the one before {:.4}, {:.1} s",
            right[right.len() - 1],
            mean(&right),
            mean(&shuffled),
            begun.elapsed().as_secs_f64()
        );
    }
    Ok(())
}
