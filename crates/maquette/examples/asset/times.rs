//! The program's own path, by parts.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use maquette::maquette_mesh::glb::GlbOptions;
use maquette::{Bake, BakeViews, CancelToken, Control, Event, Gpu, Stage, SurfaceOptions, build_asset_on, export};

use crate::{Arguments, Failure, scene};

/// What is told, and when.
type Told = Arc<Mutex<Vec<(f64, Event)>>>;

/// Runs the path several times and prints every run's parts; the first one compiles kernels.
pub fn run(gpu: &Gpu, arguments: &Arguments) -> Result<(), Failure> {
    let count = arguments.count("gaussians", 300_000)?;
    let (faces, size) = (arguments.count("faces", 400_000)?, arguments.count("size", 1024)?);
    let views = BakeViews { count: arguments.count("views", 100)? as u32, side: arguments.count("side", 1024)? as u32 };
    let (mesh, gaussians) = (scene::surface(faces), scene::splats(count));
    println!(
        "{} Gaussians, {} faces, texture {size}², {} views at {}²",
        gaussians.len(),
        mesh.faces.len(),
        views.count,
        views.side
    );
    let bake = match arguments.text("bake").unwrap_or("solve") {
        "solve" => Bake::Solve,
        "fast" => Bake::Fast,
        "auto" => Bake::Auto,
        other => return Err(format!("bake={other}: expected solve, fast or auto").into()),
    };
    for run in 0..arguments.count("runs", 3)? {
        let (mesh, told) = (mesh.clone(), Told::default());
        let (heard, begun) = (told.clone(), Instant::now());
        let control = Control::new(CancelToken::default(), move |event| {
            let at = begun.elapsed().as_secs_f64();
            heard.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push((at, event.clone()));
        });
        let options = SurfaceOptions {
            texture_size: Some(size as u32),
            bake,
            bake_views: (bake == Bake::Solve).then_some(views),
            ..SurfaceOptions::default()
        };
        let asset = pollster::block_on(build_asset_on(gpu, mesh, Some(&gaussians), &options, &control))?;
        let built = begun.elapsed().as_secs_f64();
        let bytes = export::glb(&asset, &GlbOptions::default())?;
        let all = begun.elapsed().as_secs_f64();
        let told = told.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        println!("run {run}: {} faces, {} bytes of GLB, in all {all:.3} s", asset.mesh.faces.len(), bytes.len());
        print_parts(&told, views.count as usize);
        println!("  {:<44} {:8.3} s", "GLB with PNG", all - built);
    }
    Ok(())
}

/// What every span between two events was spent on.
fn print_parts(told: &[(f64, Event)], views: usize) {
    let mut parts: Vec<(&str, f64)> = Vec::new();
    let mut before = 0.0;
    for (at, event) in told {
        let part = match event {
            Event::Step { stage: Stage::Surface, step: 1, .. } => "clean, reduce | pictures of the Gaussians",
            Event::Step { stage: Stage::Surface, step: 2, .. } => "hidden faces: 256 views at 1024²",
            Event::Step { stage: Stage::Surface, .. } => "minimum cut, holes",
            Event::Finished { stage: Stage::Unwrap, .. } => "charts",
            Event::Step { stage: Stage::Bake, step, .. } if *step <= views => "the mesh in the same views, samples",
            Event::Step { stage: Stage::Bake, .. } => "texture, passes",
            Event::Finished { stage: Stage::Bake, .. } => "last loss, read back, dilation",
            Event::Note { text } => {
                println!("    {at:7.3} s: {text}");
                continue;
            }
            _ => continue,
        };
        match parts.iter_mut().find(|(name, _)| *name == part) {
            Some((_, sum)) => *sum += at - before,
            None => parts.push((part, at - before)),
        }
        before = *at;
    }
    for (part, seconds) in parts {
        println!("  {part:<44} {seconds:8.3} s");
    }
}
