//! Pictures of the Gaussians that a device draws, a few views at a time.

use std::collections::VecDeque;

use maquette_gpu::Gpu;
use maquette_kernels::bake::PictureColors;
use maquette_kernels::splat::{GaussianTensors, render_gaussians};
use maquette_mesh::Gaussians;
use maquette_mesh::camera::OrbitCamera;
use maquette_mesh::raster_gaussian::GaussianView;

use super::solve::device;
use super::{BakeViews, LEAST_COVER, splat_view};
use crate::{Control, Result};

/// Pixels of the pictures that are made at once: four views at 1024², about 240 MB with all that is drawn of them.
const PIXELS_AT_ONCE: usize = 4 << 20;
/// Memory for pictures that are drawn before the mesh is there: 100 views at 1024² take 400 MiB. What exceeds it is drawn with
/// the mesh, a few views at a time.
const AHEAD_BYTES: usize = 512 << 20;

/// The cameras of all views in batches that are drawn at once.
pub(super) fn batches(views: BakeViews) -> Vec<Vec<OrbitCamera>> {
    let at_once = (PIXELS_AT_ONCE / (views.side as usize).pow(2)).clamp(1, 64);
    let cameras: Vec<OrbitCamera> = (0..views.count).map(|n| OrbitCamera::hammersley(n, views.count)).collect();
    cameras.chunks(at_once).map(<[_]>::to_vec).collect()
}

/// What the Gaussians look like from a batch of cameras.
async fn picture(scene: &GaussianTensors, batch: &[OrbitCamera], side: u32) -> Result<PictureColors> {
    let shots: Vec<GaussianView> = batch.iter().map(|camera| splat_view(camera, side)).collect();
    let pictures = render_gaussians(scene, &shots).await.map_err(device)?;
    PictureColors::of_splats(&pictures, LEAST_COVER).await.map_err(device)
}

/// Pictures of the Gaussians that are there before the mesh is: of the first batches of views.
#[derive(Default)]
pub(super) struct Drawn {
    scene: Option<GaussianTensors>,
    colors: VecDeque<PictureColors>,
}

impl Drawn {
    /// Draws as many views as fit [`AHEAD_BYTES`].
    pub(super) async fn draw(
        &mut self,
        gaussians: &Gaussians,
        views: BakeViews,
        gpu: &Gpu,
        control: &Control,
    ) -> Result<()> {
        let ahead = async {
            let scene = GaussianTensors::upload(gaussians, gpu.device()).map_err(device)?;
            let view = 4 * (views.side as usize).pow(2);
            let mut left = AHEAD_BYTES / view;
            for batch in batches(views) {
                if batch.len() > left {
                    break;
                }
                left -= batch.len();
                control.rest().await?;
                self.colors.push_back(picture(&scene, &batch, views.side).await?);
            }
            self.scene = Some(scene);
            Ok(())
        };
        gpu.guard_async(ahead).await?
    }

    /// The pictures of the next batch of views, which [`Drawn::draw`] made or which are made now.
    pub(super) async fn next(
        &mut self,
        gaussians: &Gaussians,
        batch: &[OrbitCamera],
        side: u32,
        gpu: &Gpu,
    ) -> Result<PictureColors> {
        if let Some(colors) = self.colors.pop_front() {
            return Ok(colors);
        }
        let scene = match self.scene.take() {
            Some(scene) => scene,
            None => GaussianTensors::upload(gaussians, gpu.device()).map_err(device)?,
        };
        picture(self.scene.insert(scene), batch, side).await
    }
}
