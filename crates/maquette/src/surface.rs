//! From the extracted surface to one that people keep: reduced, closed, laid out in a texture, coloured.

mod drawn;
mod project;
mod solve;

use maquette_gpu::{AdapterKind, Gpu, Tier};
use maquette_mesh::camera::{Matrix4, OrbitCamera, multiply};
use maquette_mesh::flexicubes::ExtractedMesh;
use maquette_mesh::glb::Texture;
use maquette_mesh::process::{FinishOptions, Reduced, close, reduce};
use maquette_mesh::raster_gaussian::GaussianView;
use maquette_mesh::raster_mesh::faces_seen;
use maquette_mesh::uv::{AtlasOptions, BoxUnwrapper, ChartUnwrapper, Unwrapper};
use maquette_mesh::{Gaussians, MeshError, TriangleMesh};

use self::drawn::Drawn;
use crate::control::Running;
use crate::cutout::gpu_bytes;
use crate::{Control, Error, Result, Stage};

/// Near and far planes of the views, around an object in the unit cube seen from distance 2.
const NEAR: f64 = 0.1;
const FAR: f64 = 10.0;
/// Views from which a texture is coloured, and the longest side of their pictures: back-projected on the processor, and
/// solved for (as many and as large as the original's).
const FAST_VIEWS: BakeViews = BakeViews { count: 32, side: 512 };
const SOLVED_VIEWS: BakeViews = BakeViews { count: 100, side: 1024 };
/// Side of the pictures in which hidden faces are looked for.
const VISIBILITY_SIDE: u32 = 512;
/// How many of them the processor and software adapters draw.
const FAST_VISIBILITY: u32 = 64;
/// Pixels that the Gaussians cover less say nothing about the surface.
const LEAST_COVER: f32 = 0.5;
/// Variance added to splats, in pixel², as the decoder was trained with.
const SPLAT_KERNEL: f32 = 0.1;

/// How texture coordinates are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unwrap {
    /// Charts flattened with little distortion.
    #[default]
    Charts,
    /// Projection along the six axis directions: fast, for previews.
    Boxes,
}

/// How a texture gets its colours from pictures of the Gaussians.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Bake {
    /// [`Bake::Solve`] on graphics cards, [`Bake::Fast`] on the processor, on software adapters and in browsers.
    #[default]
    Auto,
    /// Back-projection, on the device where one is given. [`Bake::Auto`] has it done on the processor: the same file from the same
    /// numbers wherever it runs.
    Fast,
    /// The texture that the pictures fit best (least absolute differences and total variation), solved for on the device.
    Solve,
}

/// Whether an adapter is a graphics card, and no program that stands in for one.
fn is_card(gpu: &Gpu) -> bool {
    matches!(gpu.capabilities().kind, AdapterKind::Discrete | AdapterKind::Integrated | AdapterKind::Virtual)
}

impl Bake {
    /// What it means on an adapter.
    fn on(self, gpu: &Gpu) -> Self {
        match self {
            Self::Auto if is_card(gpu) => Self::Solve,
            Self::Auto => Self::Fast,
            other => other,
        }
    }
}

/// The pictures from which a texture is coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BakeViews {
    /// How many.
    pub count: u32,
    /// Their side in pixels; no longer than the texture's where it is back-projected.
    pub side: u32,
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
    /// Views in which faces that no view sees are looked for and removed; 0 leaves them, `None` takes 64, and 256
    /// where a graphics card draws them.
    pub visibility_views: Option<u32>,
    /// How texture coordinates are made.
    pub unwrap: Unwrap,
    /// How the texture is coloured.
    pub bake: Bake,
    /// The pictures that it is coloured from; `None` takes 32 at 512² for [`Bake::Fast`], 100 at 1024² for [`Bake::Solve`].
    pub bake_views: Option<BakeViews>,
}

impl Default for SurfaceOptions {
    fn default() -> Self {
        Self {
            faces: Some(20_000),
            texture_size: Some(1024),
            fill_holes: true,
            visibility_views: None,
            unwrap: Unwrap::Charts,
            bake: Bake::Auto,
            bake_views: None,
        }
    }
}

impl SurfaceOptions {
    /// The pictures that a way of colouring takes. Longer ones than the texture's side say no more where they are thrown back.
    fn views(&self, how: Bake) -> BakeViews {
        if how == Bake::Solve {
            return self.bake_views.unwrap_or(SOLVED_VIEWS);
        }
        let views = self.bake_views.unwrap_or(FAST_VIEWS);
        let side = self.texture_size.map_or(views.side, |size| views.side.min(size.max(64)));
        BakeViews { side, ..views }
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

/// Finishes a surface on the processor. The texture is coloured from pictures of the Gaussians. It is asynchronous so that it
/// can rest between its steps (see [`Control::with_pauses`]).
///
/// # Errors
/// [`Error::Option`] for impossible settings, among them [`Bake::Solve`], which needs [`build_asset_on`]; [`Error::Mesh`],
/// [`Error::Cancelled`].
pub async fn build_asset(
    mesh: ExtractedMesh,
    gaussians: Option<&Gaussians>,
    options: &SurfaceOptions,
    control: &Control,
) -> Result<Asset> {
    if options.bake == Bake::Solve {
        return Err(Error::option("bake", "fast where no device is given", "solve"));
    }
    let begun = Begun::reduce(mesh, options, control, std::future::ready(Ok(()))).await?;
    let seen = match options.visibility_views.unwrap_or(FAST_VISIBILITY) {
        0 => None,
        views => Some(visibility(&begun.reduced.mesh, views, control).await?),
    };
    let surface = begun.unwrap(seen, gaussians, options, control).await?;
    match surface.texture {
        Some((gaussians, size)) => {
            let views = options.views(Bake::Fast);
            let texture = project::back_projected(&surface.mesh, gaussians, size, views, control).await?;
            Ok(surface.with(texture))
        }
        None => Ok(surface.without_texture()),
    }
}

/// As [`build_asset`], with a device that colours the texture (and draws what that takes, and looks for hidden faces), unless
/// [`Bake::Auto`] means the processor's projection there.
///
/// # Errors
/// As [`build_asset`]; [`Error::Network`] and [`Error::Gpu`] from the device.
pub async fn build_asset_on(
    gpu: &Gpu,
    mesh: ExtractedMesh,
    gaussians: Option<&Gaussians>,
    options: &SurfaceOptions,
    control: &Control,
) -> Result<Asset> {
    let how = options.bake.on(gpu);
    if how == Bake::Fast && (options.bake == Bake::Auto || gpu.capabilities().tier == Tier::Cpu) {
        return build_asset(mesh, gaussians, options, control).await;
    }
    let views = options.views(how);
    // The pictures of the Gaussians do not depend on the mesh: the device draws them while the processor reduces it.
    let mut drawn = Drawn::default();
    let beside = async |drawn: &mut Drawn| match (gaussians, options.texture_size) {
        (Some(gaussians), Some(_)) => drawn.draw(gaussians, views, gpu, control).await,
        _ => Ok(()),
    };
    let begun = Begun::reduce(mesh, options, control, beside(&mut drawn)).await?;
    let usual = if is_card(gpu) { solve::VISIBILITY } else { FAST_VISIBILITY };
    let seen = match options.visibility_views.unwrap_or(usual) {
        0 => None,
        // A program that stands in for a card takes many times longer for them than the processor it runs on.
        views if how == Bake::Fast && !is_card(gpu) => Some(visibility(&begun.reduced.mesh, views, control).await?),
        views => Some(solve::visibility(&begun.reduced.mesh, views, gpu, control).await?),
    };
    let surface = begun.unwrap(seen, gaussians, options, control).await?;
    let Some((gaussians, size)) = surface.texture else { return Ok(surface.without_texture()) };
    if how == Bake::Solve {
        let texture = solve::solve(&surface.mesh, gaussians, size, views, drawn, gpu, control).await?;
        return Ok(surface.with(texture));
    }
    let texture = match project::projected_on(gpu, &surface.mesh, gaussians, size, views, drawn, control).await? {
        Some(texture) => texture,
        None => project::back_projected(&surface.mesh, gaussians, size, views, control).await?,
    };
    Ok(surface.with(texture))
}

/// A finished surface before it is coloured.
struct Unwrapped<'a> {
    mesh: TriangleMesh,
    /// What the texture is made from and its side, if there shall be one.
    texture: Option<(&'a Gaussians, u32)>,
}

impl Unwrapped<'_> {
    fn with(mut self, texture: Texture) -> Asset {
        self.mesh.colors.clear();
        self.mesh.compute_normals();
        Asset { mesh: self.mesh, texture: Some(texture) }
    }

    fn without_texture(mut self) -> Asset {
        self.mesh.compute_normals();
        Asset { mesh: self.mesh, texture: None }
    }
}

/// A surface on its way, before somebody looked which faces are seen.
struct Begun<'a> {
    reduced: Reduced,
    finish: FinishOptions,
    running: Running<'a>,
}

impl<'a> Begun<'a> {
    /// Checks the options, cleans and reduces; where there are threads, on one of its own, while `beside` goes on here.
    async fn reduce(
        mesh: ExtractedMesh,
        options: &SurfaceOptions,
        control: &'a Control,
        beside: impl Future<Output = Result<()>>,
    ) -> Result<Self> {
        if let Some(size) = options.texture_size.filter(|size| !size.is_power_of_two() || !(16..=8192).contains(size)) {
            let expected = "a power of two from 16 to 8192, or 0 for vertex colours";
            return Err(Error::option("texture size", expected, size));
        }
        let possible = |v: &BakeViews| (1..=1000).contains(&v.count) && (16..=4096).contains(&v.side);
        if let Some(views) = options.bake_views.filter(|views| !possible(views)) {
            let found = format!("{} of {}", views.count, views.side);
            return Err(Error::option("bake views", "1 to 1000 views of 16 to 4096 pixels a side", found));
        }
        if options.faces == Some(0) {
            return Err(Error::option("faces", "at least 1", 0));
        }
        let running = control.start(Stage::Surface, 3)?;
        let finish = FinishOptions {
            target_faces: options.faces,
            fill_holes: options.fill_holes,
            threads: threads(),
            ..FinishOptions::default()
        };
        let reduced = match reduce_beside(mesh, &finish, beside).await? {
            Err(MeshError::Empty { .. }) => return Err(Error::NoSurface),
            other => other?,
        };
        running.step_and_rest(1).await?;
        Ok(Self { reduced, finish, running })
    }

    /// Removes hidden faces, closes holes, and lays the surface out if there shall be a texture.
    async fn unwrap<'g>(
        self,
        seen: Option<Vec<f32>>,
        gaussians: Option<&'g Gaussians>,
        options: &SurfaceOptions,
        control: &Control,
    ) -> Result<Unwrapped<'g>> {
        let running = self.running;
        running.step_and_rest(2).await?;
        let (mesh, report) = close(self.reduced, seen.as_deref(), &self.finish)?;
        tell_of_faces(mesh.faces.len(), report.parts, options.faces, control);
        running.step_and_rest(3).await?;
        running.finish(0);
        let (Some(gaussians), Some(size)) = (gaussians, options.texture_size) else {
            return Ok(Unwrapped { mesh, texture: None });
        };
        let mesh = unwrap(&mesh, size, options.unwrap, control)?;
        control.rest().await?;
        Ok(Unwrapped { mesh, texture: Some((gaussians, size)) })
    }
}

/// Threads that work on one mesh: all of the processor's, none but the caller's in a browser.
fn threads() -> usize {
    if cfg!(target_family = "wasm") { 1 } else { std::thread::available_parallelism().map_or(1, usize::from) }
}

/// Reduces on another thread while `beside` goes on in this one; without another thread, one after the other.
#[cfg(not(target_family = "wasm"))]
async fn reduce_beside(
    mesh: ExtractedMesh,
    finish: &FinishOptions,
    beside: impl Future<Output = Result<()>>,
) -> Result<std::result::Result<Reduced, MeshError>> {
    let mesh = std::sync::Arc::new(mesh.into_triangle_mesh());
    let (shared, options) = (mesh.clone(), finish.clone());
    let worker = std::thread::Builder::new().name("maquette-reduce".into()).spawn(move || reduce(&shared, &options));
    beside.await?;
    Ok(match worker.map(std::thread::JoinHandle::join) {
        Ok(Ok(reduced)) => reduced,
        Ok(Err(panic)) => std::panic::resume_unwind(panic),
        // The system gives no thread.
        Err(_) => reduce(&mesh, finish),
    })
}

#[cfg(target_family = "wasm")]
async fn reduce_beside(
    mesh: ExtractedMesh,
    finish: &FinishOptions,
    beside: impl Future<Output = Result<()>>,
) -> Result<std::result::Result<Reduced, MeshError>> {
    beside.await?;
    Ok(reduce(&mesh.into_triangle_mesh(), finish))
}

/// Says what it took to keep to the faces wanted, or that it could not be done.
fn tell_of_faces(faces: usize, parts: usize, wanted: Option<usize>, control: &Control) {
    let Some(wanted) = wanted else { return };
    if parts > 0 {
        control.note(format!("{parts} small parts left out: {wanted} faces are too few for all of them"));
    }
    if faces > wanted {
        let why = "its parts and handles need as many";
        control.note(format!("the surface has {faces} faces where {wanted} were wanted: {why}"));
    }
}

/// From world to clip space.
fn clip_from_world(camera: &OrbitCamera) -> Matrix4 {
    multiply(&camera.projection_gl(NEAR, FAR), &camera.view_gl())
}

/// How the Gaussians are drawn for a camera: on black.
fn splat_view(camera: &OrbitCamera, side: u32) -> GaussianView {
    let tan = camera.tan_half_fov();
    GaussianView {
        view: camera.view(),
        proj_view: multiply(&camera.projection(0.8, 1.6), &camera.view()),
        tan_half_fov: [tan, tan],
        size: [side; 2],
        background: 0.0,
        kernel_size: SPLAT_KERNEL,
    }
}

/// Share of the views in which each face is seen.
async fn visibility(mesh: &TriangleMesh, views: u32, control: &Control) -> Result<Vec<f32>> {
    let mut counts = vec![0u32; mesh.faces.len()];
    for n in 0..views {
        control.rest().await?;
        let seen = faces_seen(mesh, &OrbitCamera::hammersley(n, views), VISIBILITY_SIDE)?;
        counts.iter_mut().zip(seen).for_each(|(count, seen)| *count += u32::from(seen));
    }
    Ok(counts.into_iter().map(|count| count as f32 / views as f32).collect())
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
        let options = SurfaceOptions {
            faces: Some(600),
            texture_size: Some(64),
            visibility_views: Some(8),
            ..Default::default()
        };
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
        let options = SurfaceOptions { texture_size: None, visibility_views: Some(0), ..Default::default() };
        let asset = pollster::block_on(build_asset(sphere(), None, &options, &Control::default())).unwrap();
        assert_eq!(asset.mesh.colors.len(), asset.mesh.positions.len());
        let odd = SurfaceOptions { texture_size: Some(100), visibility_views: Some(0), ..Default::default() };
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
