//! The texture that the pictures' colours are thrown back on: one pass, on the processor.

use maquette_gpu::Gpu;
use maquette_kernels::splat::{GaussianTensors, render_gaussians};
use maquette_mesh::bake::{ProjectionView, TexelMap, back_project, dilate};
use maquette_mesh::camera::{Matrix4, OrbitCamera, transform};
use maquette_mesh::glb::Texture;
use maquette_mesh::raster_gaussian::render;
use maquette_mesh::raster_mesh::{FaceImage, rasterize};
use maquette_mesh::{Gaussians, TriangleMesh};

use super::{BakeViews, LEAST_COVER, clip_from_world, solve::device, splat_view};
use crate::cutout::read_back;
use crate::{Control, Result, Stage};

/// Who draws the Gaussians.
pub(super) enum Painter<'a> {
    Processor(&'a Gaussians),
    Device(Box<GaussianTensors>, &'a Gpu),
}

impl<'a> Painter<'a> {
    /// The device, where there is one.
    pub(super) fn new(gaussians: &'a Gaussians, gpu: Option<&'a Gpu>) -> Result<Self> {
        let Some(gpu) = gpu else { return Ok(Self::Processor(gaussians)) };
        let scene = gpu.guard(|| GaussianTensors::upload(gaussians, gpu.device()))?.map_err(device)?;
        Ok(Self::Device(Box::new(scene), gpu))
    }

    /// The Gaussians on black and where they are, rows from the bottom as the mesh's.
    async fn picture(&self, camera: &OrbitCamera, side: u32) -> Result<(Vec<[f32; 3]>, Vec<bool>)> {
        let view = splat_view(camera, side);
        let (rgb, transmittance) = match self {
            Self::Processor(gaussians) => {
                let picture = render(gaussians, &view)?;
                (picture.rgb, picture.transmittance)
            }
            Self::Device(scene, gpu) => {
                let picture = gpu.guard_async(render_gaussians(scene, &[view])).await?.map_err(device)?;
                (read_back(gpu, picture.rgb).await?, read_back(gpu, picture.transmittance).await?)
            }
        };
        let (side, plane) = (side as usize, (side * side) as usize);
        let from_bottom = (0..side).rev().flat_map(|y| y * side..(y + 1) * side);
        let (mut image, mut mask) = (Vec::with_capacity(plane), Vec::with_capacity(plane));
        for i in from_bottom {
            // Half covered pixels hold background; dividing by the coverage gives the surface's own colour.
            let cover = 1.0 - transmittance[i];
            let scale = if cover > LEAST_COVER { 1.0 / cover } else { 0.0 };
            image.push([0, 1, 2].map(|c| (rgb[c * plane + i] * scale).clamp(0.0, 1.0)));
            mask.push(cover > LEAST_COVER);
        }
        Ok((image, mask))
    }
}

/// Colours a texture by back-projection.
pub(super) async fn back_projected(
    mesh: &TriangleMesh,
    painter: &Painter<'_>,
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
    let side = size.max(64).min(views.side);
    let mut pictures = Vec::with_capacity(views.count as usize);
    for n in 0..views.count {
        let camera = OrbitCamera::hammersley(n, views.count);
        let matrix = clip_from_world(&camera);
        let clip: Vec<[f32; 4]> = mesh.positions.iter().map(|p| transform(&matrix, *p)).collect();
        let faces = rasterize(&clip, &mesh.faces, [side; 2])?;
        let (image, mask) = painter.picture(&camera, side).await?;
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
    let mut baked = back_project(mesh, &map, &projected)?;
    dilate(&mut baked.texture, &baked.seen, size as usize);
    running.step(views.count as usize + 1)?;
    running.finish(0);
    Ok(baked.texture.to_bytes())
}

#[cfg(test)]
mod tests {
    use maquette_gpu::{AdapterChoice, OpenOptions};

    use super::*;

    #[test]
    fn the_device_draws_what_the_processor_draws() {
        let opened = pollster::block_on(Gpu::open(&AdapterChoice::default(), OpenOptions::default()));
        let gpu = opened.unwrap_or_else(|_| Gpu::cpu());
        let means = maquette_mesh::shapes::torus(90, 40, 0.3, 0.12).positions;
        let n = means.len();
        let gaussians = Gaussians {
            f_dc: means.iter().map(|p| p.map(|x| 4.0 * (20.0 * x).sin())).collect(),
            scales: (0..n).map(|i| [0.01 + 0.00001 * (i % 700) as f32, 0.02, 0.006]).collect(),
            quats: (0..n).map(|i| [0.8, 0.1 * (i % 7) as f32, 0.0, 0.3]).collect(),
            opacities: (0..n).map(|i| 0.5 + 0.4 * (i % 3) as f32 / 2.0).collect(),
            means,
        };
        let painters = [Painter::Processor(&gaussians), Painter::new(&gaussians, Some(&gpu)).unwrap()];
        for n in 0..3 {
            let camera = OrbitCamera::hammersley(n, 3);
            let [(defined, mask), (drawn, drawn_mask)] =
                painters.each_ref().map(|painter| pollster::block_on(painter.picture(&camera, 96)).unwrap());
            // Where the cover is a half, either may be right.
            let differing = mask.iter().zip(&drawn_mask).filter(|(a, b)| a != b).count();
            let covered = mask.iter().filter(|covered| **covered).count();
            assert!(covered > 500 && differing <= 2, "{covered} pixels covered, {differing} of them by one only");
            let both = (0..mask.len()).filter(|i| mask[*i] && drawn_mask[*i]);
            let farthest = both
                .flat_map(|i| (0..3).map(move |c| (i, c)))
                .map(|(i, c)| f64::from((defined[i][c] - drawn[i][c]).abs()))
                .fold(0.0, f64::max);
            assert!(farthest < 2e-3, "view {n}: {farthest:e}");
        }
    }
}
