//! The texture that pictures of the Gaussians fit best, on the device (spec trellis.md §8.7).

use std::ops::ControlFlow;

use burn::tensor::{Device, Tensor, TensorData};
use maquette_gpu::Gpu;
use maquette_kernels::bake::{BakePlan, BakeProgress, BakedTexture, Observations};
use maquette_kernels::mesh_raster::{Faces, count_visible, rasterise, transform_corners};
use maquette_mesh::camera::{Matrix4, OrbitCamera, multiply};
use maquette_mesh::glb::Texture;
use maquette_mesh::{Gaussians, TriangleMesh};

use super::drawn::{Drawn, batches};
use super::{BakeViews, clip_from_world, gpu_bytes};
use crate::control::Running;
use crate::cutout::read_back;
use crate::{Control, Error, Result, Stage};

/// Side of the pictures in which hidden faces are looked for, how many there are unless asked otherwise, and how many are drawn
/// between two looks at the wish to stop.
const VISIBILITY_SIDE: u32 = 1024;
pub(super) const VISIBILITY: u32 = 256;
const VISIBILITY_BATCH: usize = 64;
/// Draws the Gaussians and the mesh from all views, then solves for the texture. Every pass over the views is told with the
/// mean difference that it met. Nothing is random: views are a low-discrepancy sequence, and sums do not depend on their
/// order.
pub(super) async fn solve(
    mesh: &TriangleMesh,
    gaussians: &Gaussians,
    size: u32,
    views: BakeViews,
    drawn: Drawn,
    gpu: &Gpu,
    control: &Control,
) -> Result<Texture> {
    let plan = BakePlan::for_views(views.count as usize);
    let passes = plan.passes.len() + 1;
    let running = control.start(Stage::Bake, views.count as usize + passes)?;
    let observed = gpu.guard_async(observe(mesh, gaussians, size, views, drawn, gpu, control, &running)).await??;
    let first = views.count as usize + 1;
    let mut cancelled = None;
    let mut on_pass = |progress: &BakeProgress| {
        control.note(format!(
            "texture, pass {} of {}: mean difference {:.5}",
            progress.pass + 1,
            progress.passes,
            progress.photometric
        ));
        match running.step(first + progress.pass) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                cancelled = Some(error);
                ControlFlow::Break(())
            }
        }
    };
    let baked: BakedTexture = gpu.guard_async(observed.solve(&plan, &mut on_pass)).await?.map_err(device)?;
    if let Some(error) = cancelled {
        return Err(error);
    }
    control.note(format!(
        "texture: mean difference {:.5}, total variation {:.5}, loss {:.5}",
        baked.photometric, baked.variation, baked.loss
    ));
    // Charts have gutters of a few texels; what is left is filled from coarser means.
    let texture = gpu.guard_async(baked.into_texture(size as usize)).await?.map_err(device)?;
    running.finish(gpu_bytes(gpu));
    Ok(texture.to_bytes())
}

/// Share of the views in which each face is seen, by the device: as many views as asked for, in pictures of 1024².
pub(super) async fn visibility(mesh: &TriangleMesh, views: u32, gpu: &Gpu, control: &Control) -> Result<Vec<f32>> {
    let place = gpu.device();
    let faces = Faces::upload(&mesh.faces, mesh.positions.len(), place).map_err(device)?;
    let positions = rows(&mesh.positions, place);
    let matrix = |n| {
        let camera = OrbitCamera::hammersley(n, views);
        multiply(&camera.projection_gl(1.0, 3.0), &camera.view_gl())
    };
    let matrices: Vec<Matrix4> = (0..views).map(matrix).collect();
    let mut counts = vec![0.0; mesh.faces.len()];
    for batch in matrices.chunks(VISIBILITY_BATCH) {
        control.rest().await?;
        let seen = gpu.guard_async(count_visible(&positions, &faces, batch, [VISIBILITY_SIDE; 2])).await?;
        let seen = read_back(gpu, seen.map_err(device)?.float()).await?;
        counts.iter_mut().zip(seen).for_each(|(count, seen)| *count += seen);
    }
    Ok(counts.into_iter().map(|count| count / views as f32).collect())
}

fn rows<const K: usize>(rows: &[[f32; K]], place: &Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(rows.as_flattened().to_vec(), [rows.len(), K]), place)
}

pub(super) fn device(error: maquette_kernels::Error) -> Error {
    Error::Network(error.into())
}

/// The mesh in all views, a few at a time, and what the Gaussians look like there.
#[expect(clippy::too_many_arguments, reason = "all that a view is made of")]
async fn observe(
    mesh: &TriangleMesh,
    gaussians: &Gaussians,
    size: u32,
    views: BakeViews,
    mut drawn: Drawn,
    gpu: &Gpu,
    control: &Control,
    running: &Running<'_>,
) -> Result<Observations> {
    let place = gpu.device();
    let faces = Faces::upload(&mesh.faces, mesh.positions.len(), place).map_err(device)?;
    let (positions, uvs) = (rows(&mesh.positions, place), rows(&mesh.uvs, place));
    let mut observed = Observations::new(size as usize, place).map_err(device)?;
    let mut done = 0;
    for batch in batches(views) {
        control.rest().await?;
        let colors = drawn.next(gaussians, &batch, views.side, gpu).await?;
        let matrices: Vec<Matrix4> = batch.iter().map(clip_from_world).collect();
        let clip = transform_corners(&positions, &matrices).await.map_err(device)?;
        let shown = rasterise(&clip, &faces, [views.side; 2]).await.map_err(device)?;
        let coordinates = shown.texture_coordinates(&uvs).await.map_err(device)?;
        observed.add(&colors, &shown, &coordinates).await.map_err(device)?;
        done += batch.len();
        running.step(done)?;
    }
    Ok(observed)
}
