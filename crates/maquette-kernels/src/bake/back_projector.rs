//! Direct back-projection on a GPU: every texel takes the weighted mean of the pixels that see it.
//!
//! The definition, which also serves the CPU tier, is [`maquette_mesh::bake::back_project`]. Here colours are bytes
//! ([`PictureColors`]) and everything is f32.

use burn::tensor::{DType, Device, Tensor};
use burn_cubecl::tensor::CubeTensor;
use maquette_mesh::TriangleMesh;
use maquette_mesh::bake::{BackProjection, FloatTexture};
use maquette_mesh::camera::Matrix4;
use maquette_mesh::raster_mesh::layout_positions;

use super::{PictureColors, SIDES};
use crate::{
    Error,
    buffers::{Buffers, LANES, read_floats, run, upload_floats, words_of},
    mesh_raster::{Faces, rasterise, transform_corners},
    wgsl::{cube_f32, tensor},
};

/// A camera: the matrix from world to clip space (OpenGL axes), and where it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ProjectionCamera {
    /// World → clip space.
    pub clip_from_world: Matrix4,
    /// Position of the camera.
    pub eye: [f32; 3],
}

/// The texels of a mesh's atlas on a device, and what views have said of them so far.
pub struct BackProjector {
    size: usize,
    faces: Faces,
    /// Positions `[C, 3]`, and with a 1 behind them `[C, 4]`.
    positions: Tensor<2>,
    corners: Tensor<2>,
    /// Surface point of every texel `[1, S, S, 4]`, and face index + 1.
    points: CubeTensor,
    ids: CubeTensor,
    /// Colour · weight and weight of every texel.
    sums: CubeTensor,
}

impl BackProjector {
    /// Lays a mesh with uvs out in its atlas of `size`² texels.
    ///
    /// `None` on the CPU tier, and where the device's largest buffer is too small: project on the host then.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for a size outside [`SIDES`]; [`Error::Lengths`] for a mesh without uvs; [`Error::Scene`] for faces
    /// beyond its vertices; [`Error::Read`].
    pub async fn new(mesh: &TriangleMesh, size: usize, device: &Device) -> Result<Option<Self>, Error> {
        if !SIDES.contains(&size) {
            let detail = format!("{size}, expected {} to {}", SIDES.start(), SIDES.end());
            return Err(Error::OutOfRange { what: "texture size", detail });
        }
        mesh.validate()?;
        let vertices = mesh.positions.len();
        if mesh.uvs.len() != vertices {
            return Err(Error::Lengths { what: "uvs", expected: vertices, got: mesh.uvs.len() });
        }
        let Some(buffers) = Buffers::on(device).filter(|buffers| buffers.fits("texels", &[size, size, 4]).is_ok())
        else {
            return Ok(None);
        };
        let faces = Faces::upload(&mesh.faces, vertices, device)?;
        let positions = upload_floats(mesh.positions.as_flattened().to_vec(), [vertices, 3], device);
        let with_one = mesh.positions.iter().flat_map(|[x, y, z]| [*x, *y, *z, 1.0]).collect();
        let corners = upload_floats(with_one, [vertices, 4], device);
        let layout = layout_positions(&mesh.uvs).as_flattened().to_vec();
        let layout = rasterise(&upload_floats(layout, [1, vertices, 4], device), &faces, [size as u32; 2]).await?;
        let points = cube_f32(&layout.interpolate(&corners).await?).ok_or_else(elsewhere)?;
        let ids = words_of(&layout.ids).ok_or_else(elsewhere)?;
        let sums = buffers.ramp(4 * size * size, 0, 0);
        Ok(Some(Self { size, faces, positions, corners, points, ids, sums }))
    }

    /// Adds a batch of views: what pictures `colors` of the object show from them.
    ///
    /// # Errors
    /// [`Error::Lengths`] for another number of views than pictures; [`Error::OutOfRange`] if one buffer cannot hold what the
    /// batch shows (add fewer views at once); [`Error::Read`].
    pub async fn add(&mut self, colors: &PictureColors, views: &[ProjectionCamera]) -> Result<(), Error> {
        let [pictures, height, width] = colors.words.dims();
        if pictures != views.len() {
            return Err(Error::Lengths { what: "views of the pictures", expected: pictures, got: views.len() });
        }
        if views.is_empty() || self.faces.is_empty() {
            return Ok(());
        }
        let matrices: Vec<Matrix4> = views.iter().map(|view| view.clip_from_world).collect();
        let clip = transform_corners(&self.positions, &matrices).await?;
        let shown = rasterise(&clip, &self.faces, [width as u32, height as u32]).await?;
        let hits = cube_f32(&shown.interpolate(&self.corners).await?).ok_or_else(elsewhere)?;
        let corners = cube_f32(&self.corners).ok_or_else(elsewhere)?;
        let faces = words_of(self.faces.indices()).ok_or_else(elsewhere)?;
        let colors = words_of(&colors.words).ok_or_else(elsewhere)?;
        let texels = self.size * self.size;
        let mut info: Vec<u32> = [texels, views.len(), width, height].map(|n| n as u32).to_vec();
        info.reserve_exact(16 * views.len());
        for ProjectionCamera { clip_from_world: m, eye } in views {
            let focal = m[0][..3].iter().map(|x| x * x).sum::<f32>().sqrt();
            let rows = m[0].iter().chain(&m[1]).chain(&m[3]).chain(eye).chain([&focal]);
            info.extend(rows.map(|x| x.to_bits()));
        }
        let bound = [&self.points, &self.ids, &corners, &faces, &hits, &colors, &self.sums];
        run("bake_back_project", &[], &bound, info, texels.div_ceil(LANES));
        Ok(())
    }

    /// The texture, read back: the means of what the views said; texels that no view saw are 0.
    ///
    /// # Errors
    /// [`Error::Read`].
    pub async fn finish(self) -> Result<BackProjection, Error> {
        let mut sums = self.sums;
        sums.dtype = DType::F32;
        let sums = read_floats::<1>(tensor(sums)).await?;
        let sums = sums.as_chunks::<4>().0;
        let seen = sums.iter().map(|sum| sum[3] > 0.0).collect();
        let mean = |[r, g, b, w]: &[f32; 4]| if *w > 0.0 { [r / w, g / w, b / w] } else { [0.0; 3] };
        let texture = FloatTexture { width: self.size, height: self.size, texels: sums.iter().map(mean).collect() };
        Ok(BackProjection { texture, seen })
    }
}

fn elsewhere() -> Error {
    Error::Read { message: "the pictures are not on the GPU that projects them".into() }
}
