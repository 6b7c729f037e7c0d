//! The texture that the pictures' colours are thrown back on: one pass, on the processor or on a device.

use maquette_gpu::Gpu;
use maquette_kernels::bake::{BackProjector, ProjectionCamera};
use maquette_mesh::bake::{BackProjection, ProjectionView, TexelMap, back_project, dilate};
use maquette_mesh::camera::{Matrix4, OrbitCamera, transform};
use maquette_mesh::glb::Texture;
use maquette_mesh::raster_gaussian::render;
use maquette_mesh::raster_mesh::{FaceImage, rasterize};
use maquette_mesh::{Gaussians, TriangleMesh};

use super::drawn::{Drawn, batches};
use super::{BakeViews, LEAST_COVER, clip_from_world, gpu_bytes, solve::device, splat_view};
use crate::{Control, Result, Stage};

/// The Gaussians on black and where they are, rows from the bottom as the mesh's.
fn picture(gaussians: &Gaussians, camera: &OrbitCamera, side: u32) -> Result<(Vec<[f32; 3]>, Vec<bool>)> {
    let drawn = render(gaussians, &splat_view(camera, side))?;
    let (side, plane) = (side as usize, (side * side) as usize);
    let from_bottom = (0..side).rev().flat_map(|y| y * side..(y + 1) * side);
    let (mut image, mut mask) = (Vec::with_capacity(plane), Vec::with_capacity(plane));
    for i in from_bottom {
        // Half covered pixels hold background; dividing by the coverage gives the surface's own colour.
        let cover = 1.0 - drawn.transmittance[i];
        let scale = if cover > LEAST_COVER { 1.0 / cover } else { 0.0 };
        image.push([0, 1, 2].map(|c| (drawn.rgb[c * plane + i] * scale).clamp(0.0, 1.0)));
        mask.push(cover > LEAST_COVER);
    }
    Ok((image, mask))
}

/// Fills what no view saw.
fn filled(mut baked: BackProjection) -> Texture {
    let rings = baked.texture.width;
    dilate(&mut baked.texture, &baked.seen, rings);
    baked.texture.to_bytes()
}

/// Colours a texture on a device; `None` if the device's largest buffer is too small for it.
pub(super) async fn projected_on(
    gpu: &Gpu,
    mesh: &TriangleMesh,
    gaussians: &Gaussians,
    size: u32,
    views: BakeViews,
    mut drawn: Drawn,
    control: &Control,
) -> Result<Option<Texture>> {
    let atlas = gpu.guard_async(BackProjector::new(mesh, size as usize, gpu.device())).await?.map_err(device)?;
    let Some(mut atlas) = atlas else { return Ok(None) };
    let running = control.start(Stage::Bake, views.count as usize + 1)?;
    let camera = |camera: &OrbitCamera| ProjectionCamera {
        clip_from_world: clip_from_world(camera),
        eye: camera.eye().map(|c| c as f32),
    };
    let project = async {
        let mut done = 0;
        for batch in batches(views) {
            control.rest().await?;
            let colors = drawn.next(gaussians, &batch, views.side, gpu).await?;
            let cameras: Vec<ProjectionCamera> = batch.iter().map(camera).collect();
            atlas.add(&colors, &cameras).await.map_err(device)?;
            done += batch.len();
            running.step(done)?;
        }
        atlas.finish().await.map_err(device)
    };
    let baked: BackProjection = gpu.guard_async(project).await??;
    let texture = filled(baked);
    running.step(views.count as usize + 1)?;
    running.finish(gpu_bytes(gpu));
    Ok(Some(texture))
}

/// Colours a texture on the processor.
pub(super) async fn back_projected(
    mesh: &TriangleMesh,
    gaussians: &Gaussians,
    size: u32,
    views: BakeViews,
    control: &Control,
) -> Result<Texture> {
    struct Seen {
        image: Vec<[f32; 3]>,
        mask: Vec<bool>,
        faces: FaceImage,
        matrix: Matrix4,
        eye: [f32; 3],
    }
    let running = control.start(Stage::Bake, views.count as usize + 1)?;
    let mut pictures = Vec::with_capacity(views.count as usize);
    for n in 0..views.count {
        let camera = OrbitCamera::hammersley(n, views.count);
        let matrix = clip_from_world(&camera);
        let clip: Vec<[f32; 4]> = mesh.positions.iter().map(|p| transform(&matrix, *p)).collect();
        let faces = rasterize(&clip, &mesh.faces, [views.side; 2])?;
        let (image, mask) = picture(gaussians, &camera, views.side)?;
        pictures.push(Seen { image, mask, faces, matrix, eye: camera.eye().map(|c| c as f32) });
        running.step_and_rest(n as usize + 1).await?;
    }
    let projected: Vec<ProjectionView<'_>> = pictures
        .iter()
        .map(|p| ProjectionView {
            clip_from_world: p.matrix,
            eye: p.eye,
            image: &p.image,
            mask: &p.mask,
            faces: &p.faces,
        })
        .collect();
    let map = TexelMap::new(mesh, size as usize)?;
    let texture = filled(back_project(mesh, &map, &projected)?);
    running.step(views.count as usize + 1)?;
    running.finish(0);
    Ok(texture)
}
