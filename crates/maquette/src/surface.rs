//! From the extracted surface to one that people keep: reduced, closed, laid out in a texture, coloured.

use maquette_mesh::bake::{ProjectionView, TexelMap, back_project, dilate};
use maquette_mesh::camera::{OrbitCamera, multiply, transform};
use maquette_mesh::flexicubes::ExtractedMesh;
use maquette_mesh::glb::Texture;
use maquette_mesh::process::{
    DecimateOptions, HoleOptions, InnerFaceOptions, clean, decimate, fill_holes, remove_inner_faces, remove_small_parts,
};
use maquette_mesh::raster_gaussian::{GaussianView, render};
use maquette_mesh::raster_mesh::{FaceImage, rasterize, visible_faces};
use maquette_mesh::uv::{AtlasOptions, BoxUnwrapper, ChartUnwrapper, Unwrapper};
use maquette_mesh::{Gaussians, MeshError, TriangleMesh};

use crate::{Control, Error, Result, Stage};

/// Near and far planes of the views, around an object in the unit cube seen from distance 2.
const NEAR: f64 = 0.1;
const FAR: f64 = 10.0;
/// Views from which a texture is coloured, and the longest side of their pictures.
const BAKE_VIEWS: u32 = 32;
const BAKE_SIDE: u32 = 512;
/// Side of the pictures in which hidden faces are looked for.
const VISIBILITY_SIDE: u32 = 512;
/// Variance added to splats, in pixel², as the decoder was trained with.
const SPLAT_KERNEL: f32 = 0.1;
/// Parts smaller than this share of all faces are dirt.
const SMALLEST_PART: f64 = 1e-4;

/// How texture coordinates are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unwrap {
    /// Charts flattened with little distortion.
    #[default]
    Charts,
    /// Projection along the six axis directions: fast, for previews.
    Boxes,
}

/// How the surface is finished.
#[derive(Clone, Debug, PartialEq)]
pub struct SurfaceOptions {
    /// Faces wanted; `None` keeps all.
    pub faces: Option<usize>,
    /// Side of the texture in texels, a power of two; `None` keeps colours on the vertices.
    pub texture_size: Option<u32>,
    /// Close holes.
    pub fill_holes: bool,
    /// Views in which faces that no view sees are looked for and removed; 0 leaves them.
    pub visibility_views: u32,
    /// How texture coordinates are made.
    pub unwrap: Unwrap,
}

impl Default for SurfaceOptions {
    fn default() -> Self {
        Self {
            faces: Some(20_000),
            texture_size: Some(1024),
            fill_holes: true,
            visibility_views: 64,
            unwrap: Unwrap::Charts,
        }
    }
}

/// A finished object.
#[derive(Clone, Debug)]
pub struct Asset {
    /// The surface, world coordinates, z up; with uvs where there is a texture, else with vertex colours.
    pub mesh: TriangleMesh,
    /// Its colours.
    pub texture: Option<Texture>,
}

/// Finishes a surface. The texture is coloured from pictures of the Gaussians. All of it is work on the processor; it is
/// asynchronous so that it can rest between its steps (see [`Control::with_pauses`]).
///
/// # Errors
/// [`Error::Option`] for impossible settings, [`Error::Mesh`], [`Error::Cancelled`].
pub async fn build_asset(
    mesh: ExtractedMesh,
    gaussians: Option<&Gaussians>,
    options: &SurfaceOptions,
    control: &Control,
) -> Result<Asset> {
    let mut mesh = finish_surface(mesh.into_triangle_mesh(), options, control).await?;
    let (Some(size), Some(gaussians)) = (options.texture_size, gaussians) else {
        mesh.compute_normals();
        return Ok(Asset { mesh, texture: None });
    };
    if !size.is_power_of_two() || !(16..=8192).contains(&size) {
        return Err(Error::option("texture size", "a power of two from 16 to 8192, or 0 for vertex colours", size));
    }
    let mut mesh = unwrap(&mesh, size, options.unwrap, control)?;
    control.rest().await?;
    let texture = bake(&mesh, gaussians, size, control).await?;
    mesh.colors.clear();
    mesh.compute_normals();
    Ok(Asset { mesh, texture: Some(texture) })
}

async fn finish_surface(mesh: TriangleMesh, options: &SurfaceOptions, control: &Control) -> Result<TriangleMesh> {
    let running = control.start(Stage::Surface, 4)?;
    let (mesh, _) = clean(&mesh)?;
    let (mesh, _) = remove_small_parts(&mesh, SMALLEST_PART)?;
    running.step_and_rest(1).await?;
    let before = mesh.faces.len().max(1);
    let mut mesh = match options.faces {
        Some(0) => return Err(Error::option("faces", "at least 1", 0)),
        Some(target) => decimate(&mesh, &DecimateOptions::to_faces(target))?,
        None => mesh,
    };
    running.step_and_rest(2).await?;
    let reduction = 1.0 - mesh.faces.len() as f64 / before as f64;
    if options.visibility_views > 0 && !mesh.faces.is_empty() {
        let visibility = visibility(&mesh, options.visibility_views, control).await?;
        (mesh, _) = remove_inner_faces(&mesh, &visibility, &InnerFaceOptions::default())?;
    }
    running.step_and_rest(3).await?;
    if options.fill_holes {
        (mesh, _) = clean(&mesh)?;
        // The reference scales its limit with the reduction; without reduction the common one of 0.95 is kept to.
        (mesh, _) = fill_holes(&mesh, &HoleOptions::for_reduction(reduction.clamp(0.5, 0.95)))?;
    }
    if mesh.faces.is_empty() {
        return Err(Error::NoSurface);
    }
    running.step_and_rest(4).await?;
    running.finish(0);
    Ok(mesh)
}

/// The mesh as a camera sees it, rows from the bottom, and the matrix used.
fn view(mesh: &TriangleMesh, camera: &OrbitCamera, side: u32) -> Result<(FaceImage, maquette_mesh::camera::Matrix4)> {
    let clip_from_world = multiply(&camera.projection_gl(NEAR, FAR), &camera.view_gl());
    let clip: Vec<[f32; 4]> = mesh.positions.iter().map(|p| transform(&clip_from_world, *p)).collect();
    Ok((rasterize(&clip, &mesh.faces, [side; 2])?, clip_from_world))
}

/// Share of the views in which each face is seen.
async fn visibility(mesh: &TriangleMesh, views: u32, control: &Control) -> Result<Vec<f32>> {
    let mut seen = vec![0u32; mesh.faces.len()];
    for n in 0..views {
        control.rest().await?;
        let (image, _) = view(mesh, &OrbitCamera::hammersley(n, views), VISIBILITY_SIDE)?;
        for (count, visible) in seen.iter_mut().zip(visible_faces(&image, mesh.faces.len())) {
            *count += u32::from(visible);
        }
    }
    Ok(seen.into_iter().map(|count| count as f32 / views as f32).collect())
}

fn unwrap(mesh: &TriangleMesh, size: u32, how: Unwrap, control: &Control) -> Result<TriangleMesh> {
    let running = control.start(Stage::Unwrap, 100)?;
    let atlas = AtlasOptions::for_size(size);
    let progress = |share: f32| running.step((share.clamp(0.0, 1.0) * 100.0) as usize).is_ok();
    let unwrapped = match how {
        Unwrap::Charts => match ChartUnwrapper::default().unwrap(mesh, &atlas, &progress) {
            Err(MeshError::Unwrap { detail }) => {
                control.note(format!("charts could not be laid out ({detail}); box projection is used instead"));
                BoxUnwrapper.unwrap(mesh, &atlas, &progress)
            }
            other => other,
        },
        Unwrap::Boxes => BoxUnwrapper.unwrap(mesh, &atlas, &progress),
    }?;
    running.finish(0);
    Ok(unwrapped.mesh)
}

/// Colours a texture from pictures of the Gaussians.
async fn bake(mesh: &TriangleMesh, gaussians: &Gaussians, size: u32, control: &Control) -> Result<Texture> {
    struct Seen {
        image: Vec<[f32; 3]>,
        mask: Vec<bool>,
        faces: FaceImage,
        matrix: maquette_mesh::camera::Matrix4,
        eye: [f32; 3],
    }
    let running = control.start(Stage::Bake, BAKE_VIEWS as usize + 1)?;
    let side = size.clamp(64, BAKE_SIDE);
    let mut pictures = Vec::with_capacity(BAKE_VIEWS as usize);
    for n in 0..BAKE_VIEWS {
        let camera = OrbitCamera::hammersley(n, BAKE_VIEWS);
        let (faces, matrix) = view(mesh, &camera, side)?;
        let (image, mask) = splat_picture(gaussians, &camera, side)?;
        pictures.push(Seen { image, mask, faces, matrix, eye: camera.eye().map(|c| c as f32) });
        running.step_and_rest(n as usize + 1).await?;
    }
    let views: Vec<ProjectionView<'_>> = pictures
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
    let mut baked = back_project(mesh, &map, &views)?;
    dilate(&mut baked.texture, &baked.seen, size as usize);
    running.step(BAKE_VIEWS as usize + 1)?;
    running.finish(0);
    Ok(baked.texture.to_bytes())
}

/// The Gaussians on black and where they are, rows from the bottom as the mesh's.
fn splat_picture(gaussians: &Gaussians, camera: &OrbitCamera, side: u32) -> Result<(Vec<[f32; 3]>, Vec<bool>)> {
    let tan = camera.tan_half_fov();
    let view = GaussianView {
        view: camera.view(),
        proj_view: multiply(&camera.projection(0.8, 1.6), &camera.view()),
        tan_half_fov: [tan, tan],
        size: [side; 2],
        background: 0.0,
        kernel_size: SPLAT_KERNEL,
    };
    let picture = render(gaussians, &view)?;
    let (side, plane) = (side as usize, (side * side) as usize);
    let from_bottom = (0..side).rev().flat_map(|y| y * side..(y + 1) * side);
    let (mut image, mut mask) = (Vec::with_capacity(plane), Vec::with_capacity(plane));
    for i in from_bottom {
        // Half covered pixels hold background; dividing by the coverage gives the surface's own colour.
        let cover = 1.0 - picture.transmittance[i];
        let scale = if cover > 0.5 { 1.0 / cover } else { 0.0 };
        image.push([0, 1, 2].map(|c| (picture.rgb[c * plane + i] * scale).clamp(0.0, 1.0)));
        mask.push(cover > 0.5);
    }
    Ok((image, mask))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sphere() -> ExtractedMesh {
        let mesh = maquette_mesh::shapes::sphere(24, 32, 0.4);
        let attrs = mesh.positions.iter().map(|p| [p[0] + 0.5, 0.5, 0.5, 0.0, 0.0, 1.0]).collect();
        ExtractedMesh { vertices: mesh.positions, faces: mesh.faces, attrs }
    }

    /// Red splats where x > 0, green where x < 0, on the sphere's surface.
    fn splats() -> Gaussians {
        let means = maquette_mesh::shapes::sphere(60, 80, 0.4).positions;
        let n = means.len();
        let colour = |p: &[f32; 3]| if p[0] > 0.0 { [1.7, -1.7, -1.7] } else { [-1.7, 1.7, -1.7] };
        Gaussians {
            f_dc: means.iter().map(colour).collect(),
            scales: vec![[0.02; 3]; n],
            quats: vec![[1.0, 0.0, 0.0, 0.0]; n],
            opacities: vec![0.95; n],
            means,
        }
    }

    #[test]
    fn a_texture_takes_the_colours_of_the_gaussians_on_the_right_sides() {
        let options =
            SurfaceOptions { faces: Some(600), texture_size: Some(64), visibility_views: 8, ..Default::default() };
        let asset = pollster::block_on(build_asset(sphere(), Some(&splats()), &options, &Control::default())).unwrap();
        let texture = asset.texture.unwrap();
        let mut right = (0, 0);
        for f in &asset.mesh.faces {
            let corner = f.map(|v| asset.mesh.positions[v as usize]);
            let x = corner.iter().map(|p| p[0]).sum::<f32>() / 3.0;
            if x.abs() < 0.1 {
                continue;
            }
            let uv = f.map(|v| asset.mesh.uvs[v as usize]);
            let [u, v] = [0, 1].map(|k| uv.iter().map(|c| c[k]).sum::<f32>() / 3.0);
            let (column, row) = ((u * 64.0) as usize, ((1.0 - v) * 64.0) as usize);
            let at = (row.min(63) * 64 + column.min(63)) * 3;
            let red = texture.rgb[at] > texture.rgb[at + 1];
            right = (right.0 + usize::from(red == (x > 0.0)), right.1 + 1);
        }
        assert!(right.0 * 100 > right.1 * 97, "{right:?}");
    }

    #[test]
    fn vertex_colours_stay_without_a_texture_and_bad_sizes_are_refused() {
        let options = SurfaceOptions { texture_size: None, visibility_views: 0, ..Default::default() };
        let asset = pollster::block_on(build_asset(sphere(), None, &options, &Control::default())).unwrap();
        assert_eq!(asset.mesh.colors.len(), asset.mesh.positions.len());
        let odd = SurfaceOptions { texture_size: Some(100), visibility_views: 0, ..Default::default() };
        assert!(pollster::block_on(build_asset(sphere(), Some(&splats()), &odd, &Control::default())).is_err());
    }

    #[test]
    fn cancelling_stops_before_the_work() {
        let control = Control::default();
        control.cancel_token().cancel();
        let error = pollster::block_on(build_asset(sphere(), None, &SurfaceOptions::default(), &control)).unwrap_err();
        assert!(matches!(error, Error::Cancelled));
    }
}
