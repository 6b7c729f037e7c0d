//! Direct back-projection: every texel takes the weighted mean of the pixels that see it. No iteration; the fast mode, and
//! the start of the optimisation.

use super::FloatTexture;
use super::texture::MAX_TEXTURE;
use crate::camera::{Matrix4, transform};
use crate::raster_mesh::{FaceImage, layout_positions, rasterize};
use crate::vector::{D3, add, dot, length, scale, sub, unit, widen};
use crate::{MeshError, TriangleMesh};

/// A picture of the object with its camera. Rows from the bottom.
#[derive(Debug, Clone, Copy)]
pub struct ProjectionView<'a> {
    /// World → clip space (OpenGL axes), the matrix `faces` was rasterised with.
    pub clip_from_world: Matrix4,
    /// Position of the camera.
    pub eye: [f32; 3],
    /// Observed colours `[H * W]`.
    pub image: &'a [[f32; 3]],
    /// Pixels that hold the object `[H * W]`.
    pub mask: &'a [bool],
    /// The mesh rasterised from this camera.
    pub faces: &'a FaceImage,
}

/// The surface point of every texel of an atlas.
#[derive(Debug, Clone, PartialEq)]
pub struct TexelMap {
    size: usize,
    /// Texel, face, position and normal of the covered texels.
    points: Vec<(u32, u32, D3, D3)>,
}

impl TexelMap {
    /// Lays the mesh out in its atlas of `size`² texels. Texels whose centre no triangle covers are left out.
    ///
    /// # Errors
    /// [`MeshError::Shape`] without uvs, [`MeshError::OutOfRange`] for an impossible size, and what
    /// [`TriangleMesh::validate`] reports.
    pub fn new(mesh: &TriangleMesh, size: usize) -> Result<Self, MeshError> {
        mesh.validate()?;
        if mesh.uvs.is_empty() && !mesh.positions.is_empty() {
            return Err(MeshError::shape("uvs", mesh.positions.len(), 0));
        }
        if !(1..=MAX_TEXTURE).contains(&size) {
            return Err(MeshError::range("texture size", format!("{size}, expected 1 to {MAX_TEXTURE}")));
        }
        let image = rasterize(&layout_positions(&mesh.uvs), &mesh.faces, [size as u32; 2])?;
        let points = (0..size * size).filter_map(|texel| {
            let face = image.face(texel)?;
            let normal = unit(mesh.area_normal(face))?;
            Some((texel as u32, face as u32, surface_point(mesh, face, image.bary[texel]), normal))
        });
        Ok(Self { size, points: points.collect() })
    }

    /// Which texels are covered.
    pub fn covered(&self) -> Vec<bool> {
        let mut out = vec![false; self.size * self.size];
        self.points.iter().for_each(|p| out[p.0 as usize] = true);
        out
    }
}

fn surface_point(mesh: &TriangleMesh, face: usize, [b0, b1]: [f32; 2]) -> D3 {
    let [a, b, c] = mesh.corners(face);
    let (b0, b1) = (f64::from(b0), f64::from(b1));
    add(add(scale(a, b0), scale(b, b1)), scale(c, 1.0 - b0 - b1))
}

/// What back-projection returns.
#[derive(Debug, Clone, PartialEq)]
pub struct BackProjection {
    /// The texture; texels that no view saw are 0.
    pub texture: FloatTexture,
    /// Texels seen by at least one view: the mask for [`super::dilate`].
    pub seen: Vec<bool>,
}

/// Views nearly parallel to the surface say little: smallest cosine used.
const MIN_COSINE: f64 = 0.1;

/// Projects the views' colours onto the atlas. A view counts for a texel with the fourth power of the cosine between its
/// direction and the surface normal; hidden texels and pixels beside the silhouette (where background shines through) do
/// not count.
///
/// # Errors
/// [`MeshError::Shape`] for pictures whose parts differ in size; as [`TexelMap::new`].
pub fn back_project(
    mesh: &TriangleMesh,
    map: &TexelMap,
    views: &[ProjectionView<'_>],
) -> Result<BackProjection, MeshError> {
    let mut texture = FloatTexture::filled(map.size, map.size, [0.0; 3])?;
    let mut weights = vec![0.0f64; map.size * map.size];
    for view in views {
        let pixels = view.faces.id.len();
        for (what, n) in [("observed picture", view.image.len()), ("mask", view.mask.len())] {
            if n != pixels {
                return Err(MeshError::shape(what, format!("{pixels} pixels"), n));
            }
        }
        if view.faces.id.iter().any(|&id| id as usize > mesh.faces.len()) {
            return Err(MeshError::shape("faces of the view", mesh.faces.len(), "ids of another mesh"));
        }
        for &(texel, _, point, normal) in &map.points {
            let Some((color, weight)) = look_up(mesh, view, point, normal) else { continue };
            let t = &mut texture.texels[texel as usize];
            (0..3).for_each(|k| t[k] += (f64::from(color[k]) * weight) as f32);
            weights[texel as usize] += weight;
        }
    }
    for (t, &w) in texture.texels.iter_mut().zip(&weights).filter(|(_, w)| **w > 0.0) {
        t.iter_mut().for_each(|x| *x = (f64::from(*x) / w) as f32);
    }
    Ok(BackProjection { texture, seen: weights.iter().map(|w| *w > 0.0).collect() })
}

/// Colour and weight that a view gives a surface point; `None` if it does not see it.
fn look_up(mesh: &TriangleMesh, view: &ProjectionView<'_>, point: D3, normal: D3) -> Option<([f32; 3], f64)> {
    let to_eye = sub(widen(view.eye), point);
    let distance = length(to_eye);
    let direction = unit(to_eye)?;
    let cosine = dot(direction, normal);
    if cosine < MIN_COSINE {
        return None;
    }
    let clip = transform(&view.clip_from_world, point.map(|x| x as f32));
    if clip[3] <= 0.0 {
        return None;
    }
    let [w, h] = view.faces.size.map(|s| s as usize);
    let at = |k: usize, n: usize| (clip[k] / clip[3] + 1.0) * 0.5 * n as f32 - 0.5;
    let (x, y) = (at(0, w), at(1, h));
    // All four pixels of the bilinear footprint must lie inside and hold the object.
    if !(x >= 0.0 && y >= 0.0 && x < (w - 1) as f32 && y < (h - 1) as f32) {
        return None;
    }
    let (x0, y0) = (x as usize, y as usize);
    let (fx, fy) = (x - x0 as f32, y - y0 as f32);
    // Width of a pixel at this distance, for the depth comparison: surfaces seen at a slant vary by its tangent.
    let row = &view.clip_from_world[0];
    let focal = f64::from((row[0] * row[0] + row[1] * row[1] + row[2] * row[2]).sqrt());
    let footprint = 2.0 * distance / (focal.max(1e-6) * w as f64);
    let tolerance = 2.0 * footprint / cosine;
    let mut color = [0.0f32; 3];
    for (px, wx) in [(x0, 1.0 - fx), (x0 + 1, fx)] {
        for (py, wy) in [(y0, 1.0 - fy), (y0 + 1, fy)] {
            let pixel = py * w + px;
            let face = view.faces.face(pixel).filter(|_| view.mask[pixel])?;
            let hit = surface_point(mesh, face, view.faces.bary[pixel]);
            if distance - dot(sub(widen(view.eye), hit), direction) > tolerance {
                return None;
            }
            (0..3).for_each(|k| color[k] += wx * wy * view.image[pixel][k]);
        }
    }
    Some((color, cosine.powi(4)))
}
