//! Pictures of Gaussians by the device's clock.

use std::time::Instant;

use maquette::Gpu;
use maquette::maquette_mesh::camera::{OrbitCamera, multiply};
use maquette::maquette_mesh::raster_gaussian::GaussianView;
use maquette_kernels::splat::{GaussianTensors, render_gaussians};
use pollster::block_on;

use crate::{Arguments, Failure, scene};

/// Draws batches of views and prints the time of a view: by the device's clock and by the wall's.
pub fn run(gpu: &Gpu, arguments: &Arguments) -> Result<(), Failure> {
    let scene = scene::splats(arguments.count("gaussians", 400_000)?);
    let (most, side) = (arguments.count("views", 8)?, arguments.count("side", 1024)? as u32);
    let scene = GaussianTensors::upload(&scene, gpu.device())?;
    let view = |n: u32| {
        let camera = OrbitCamera::hammersley(n, 100);
        GaussianView {
            view: camera.view(),
            proj_view: multiply(&camera.projection(0.8, 1.6), &camera.view()),
            tan_half_fov: [camera.tan_half_fov(); 2],
            size: [side; 2],
            background: 0.0,
            kernel_size: 0.1,
        }
    };
    for batch in [1, most] {
        let (mut device, mut wall, mut entries) = (Vec::new(), Vec::new(), 0);
        for round in 0..arguments.count("rounds", 8)? as u32 {
            let views: Vec<GaussianView> = (0..batch as u32).map(|n| view((round * 13 + n * 7) % 100)).collect();
            gpu.start_profile();
            let begun = Instant::now();
            let pictures = {
                let _region = gpu.region("splats");
                block_on(render_gaussians(&scene, &views))?
            };
            block_on(gpu.finish())?;
            wall.push(begun.elapsed().as_secs_f64() * 1e3 / batch as f64);
            let profile = block_on(gpu.finish_profile())?;
            let spent = profile.regions.iter().map(|region| region.duration.as_secs_f64()).sum::<f64>();
            device.push(spent * 1e3 / batch as f64);
            entries = pictures.tile_entries.iter().sum::<u64>() / batch as u64;
            if round == 2 {
                println!("{}", profile.table());
            }
        }
        for times in [&mut device, &mut wall] {
            times.sort_by(f64::total_cmp);
        }
        let [device, wall] = [&device, &wall].map(|times| (times[0], times[times.len() / 2]));
        println!(
            "{} Gaussians at {side}², {batch} views at once, {entries} tile entries: device {:.3} (best {:.3}) ms a view, wall {:.3} (best {:.3})",
            scene.len(),
            device.1,
            device.0,
            wall.1,
            wall.0
        );
    }
    Ok(())
}
