//! Pictures of Gaussians and meshes: by the kernels on the chosen device, and by their definition.

use burn::tensor::{Device, Tensor, TensorData};
use maquette_kernels::{
    bake::sample_texture,
    mesh_raster::{CoordinatePictures, Faces, rasterise},
    splat::{GaussianTensors, project_gaussians, render_gaussians},
};
use maquette_mesh::{
    raster_gaussian::render,
    raster_mesh::{FaceImage, UvImage, rasterize},
    reference::{MeshReference, SplatReference, TieReference},
};

use super::{
    GoldenFiles, Result,
    checks::{Checks, read_back},
    context::Context,
    golden::Golden,
};

/// What the definition's and the device's figures are called.
const DEFINITION: &str = "definition";
const KERNELS: &str = "kernels";

/// The scenes in a folder, by name.
pub(super) fn scenes(files: &dyn GoldenFiles, folder: &str) -> Vec<String> {
    let scene = |file: &String| {
        let name = file.strip_suffix(".safetensors")?;
        (name.starts_with("gauss_") || name.starts_with("mesh")).then(|| name.to_owned())
    };
    files.list(folder).iter().filter_map(scene).collect()
}

pub(super) async fn run(context: &Context<'_>, path: &str, checks: &mut Checks<'_>) -> Result<()> {
    let file = Golden::read(context.files, &format!("{path}.safetensors"))?;
    if file.has("rast") {
        ties(context, &TieReference::read(&file)?, checks).await
    } else if file.has("uv_da") {
        mesh(context, &MeshReference::read(&file)?, checks).await
    } else {
        let name = path.rsplit('/').next().unwrap_or(path);
        splats(context, &SplatReference::read(name, &file)?, checks).await
    }
}

async fn splats(context: &Context<'_>, scene: &SplatReference, checks: &mut Checks<'_>) -> Result<()> {
    for (view, camera) in scene.views.iter().enumerate() {
        let image = render(&scene.gaussians, camera)?;
        checks.figures(DEFINITION, &scene.compare_picture(view, &image.rgb, image.tile_entries as u64));
        if view == 0 {
            checks.figures(DEFINITION, &scene.compare_splats(&image.splats));
        }
    }
    let gaussians = GaussianTensors::upload(&scene.gaussians, context.device)?;
    let pictures = render_gaussians(&gaussians, &scene.views).await?;
    let rgb = read_back(pictures.rgb).await?;
    let length = (rgb.len() / scene.views.len().max(1)).max(1);
    for (view, (rgb, entries)) in rgb.chunks(length).zip(pictures.tile_entries).enumerate() {
        checks.figures(KERNELS, &scene.compare_picture(view, rgb, entries));
    }
    if let Some(camera) = scene.views.first() {
        checks.figures(KERNELS, &scene.compare_splats(&project_gaussians(&gaussians, camera).await?));
    }
    Ok(())
}

async fn mesh(context: &Context<'_>, scene: &MeshReference, checks: &mut Checks<'_>) -> Result<()> {
    checks.figures(DEFINITION, &scene.compare_definition()?);
    let device = context.device;
    let list = Faces::upload(&scene.faces, scene.clip.len(), device)?;
    let pictures = rasterise(&corners(&scene.clip, device), &list, scene.size).await?;
    let coordinates = pictures.texture_coordinates(&rows(&scene.uvs, device)).await?;
    let uv = UvImage {
        uv: read_back(coordinates.uv).await?.as_chunks::<2>().0.to_vec(),
        derivatives: read_back(coordinates.derivatives).await?.as_chunks::<4>().0.to_vec(),
    };
    if let Some(image) = pictures.download().await?.first() {
        checks.figures(KERNELS, &scene.compare_picture(image, Some(&uv)));
    }
    let (clip, faces, size) = scene.layout();
    if let Some(image) = drawn(&clip, faces, size, device).await? {
        checks.figures(KERNELS, &scene.compare_layout(&image.id));
    }
    let (uv, change): (Vec<[f32; 2]>, Vec<[f32; 4]>) = scene.places.iter().copied().unzip();
    let places = CoordinatePictures {
        uv: rows(&uv, device).reshape([1, 1, uv.len(), 2]),
        derivatives: rows(&change, device).reshape([1, 1, uv.len(), 4]),
    };
    let [height, width] = [scene.texture.height, scene.texture.width];
    let texture = rows(&scene.texture.texels, device).reshape([height, width, 3]);
    let samples = read_back(sample_texture(&texture, &places).await?).await?;
    checks.figures(KERNELS, &scene.compare_samples(samples.as_chunks::<3>().0));
    Ok(())
}

async fn ties(context: &Context<'_>, scene: &TieReference, checks: &mut Checks<'_>) -> Result<()> {
    checks.figures(DEFINITION, &scene.compare(&rasterize(&scene.clip, &scene.faces, scene.size)?.id));
    if let Some(image) = drawn(&scene.clip, &scene.faces, scene.size, context.device).await? {
        checks.figures(KERNELS, &scene.compare(&image.id));
    }
    Ok(())
}

async fn drawn(clip: &[[f32; 4]], faces: &[[u32; 3]], size: [u32; 2], device: &Device) -> Result<Option<FaceImage>> {
    let list = Faces::upload(faces, clip.len(), device)?;
    Ok(rasterise(&corners(clip, device), &list, size).await?.download().await?.pop())
}

fn rows<const K: usize>(rows: &[[f32; K]], device: &Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(rows.as_flattened().to_vec(), [rows.len(), K]), device)
}

/// One view's corners.
fn corners(clip: &[[f32; 4]], device: &Device) -> Tensor<3> {
    rows(clip, device).reshape([1, clip.len(), 4])
}
