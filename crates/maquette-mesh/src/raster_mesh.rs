//! The definition of the mesh rasteriser (spec §8.8), in plain f32. The WGSL versions are compared with this.
//!
//! Pixel (px, py) of a W×H picture is sampled at NDC ((2px + 1)/W − 1, (2py + 1)/H − 1); row 0 is the bottom (y = −1).
//! Coverage is decided in whole numbers on vertices snapped to 1/16 pixel: left and bottom edges belong to a triangle, at
//! equal depth the later triangle wins, nothing is culled by direction.

use crate::camera::{OrbitCamera, multiply, transform};
use crate::raster_gaussian::MAX_SIDE;
use crate::{MeshError, TriangleMesh};

/// What covers each pixel. Row 0 = bottom.
#[derive(Debug, Clone, PartialEq)]
pub struct FaceImage {
    /// Width and height.
    pub size: [u32; 2],
    /// Face index + 1 per pixel; 0 = nothing.
    pub id: Vec<u32>,
    /// Perspective-correct weights of the face's first and second corner.
    pub bary: Vec<[f32; 2]>,
    /// z/w.
    pub depth: Vec<f32>,
}

/// Rasterises triangles given by clip-space positions `[V, 4]`.
///
/// # Errors
/// [`MeshError::FaceIndex`] for a face beyond the vertices, [`MeshError::OutOfRange`] for an impossible picture size.
pub fn rasterize(clip: &[[f32; 4]], faces: &[[u32; 3]], size: [u32; 2]) -> Result<FaceImage, MeshError> {
    if size.iter().any(|s| !(1..=MAX_SIDE).contains(s)) {
        let detail = format!("{} x {}, expected 1 to {MAX_SIDE} a side", size[0], size[1]);
        return Err(MeshError::range("picture size", detail));
    }
    let pixels = size[0] as usize * size[1] as usize;
    let (id, bary, depth) = (vec![0; pixels], vec![[0.0; 2]; pixels], vec![0.0; pixels]);
    let mut image = FaceImage { size, id, bary, depth };
    for (f, face) in faces.iter().enumerate() {
        if let Some(&vertex) = face.iter().find(|&&v| v as usize >= clip.len()) {
            return Err(MeshError::FaceIndex { face: f, vertex, vertices: clip.len() });
        }
        let corners = face.map(|v| clip[v as usize]);
        if corners.iter().flatten().any(|x| !x.is_finite()) {
            continue;
        }
        let mut polygon = corners.to_vec();
        if !corners.iter().all(inside_frustum) {
            clip_to_frustum(&mut polygon);
        }
        for k in 2..polygon.len() {
            let piece = [polygon[0], polygon[k - 1], polygon[k]].map(|v| snap(&v, size));
            cover(piece, size, |x, y| image.put(x, y, f as u32, &corners));
        }
    }
    Ok(image)
}

fn inside_frustum(v: &[f32; 4]) -> bool {
    v[3] > 0.0 && (0..3).all(|k| v[k].abs() <= v[3])
}

/// Cuts a polygon to |x|, |y|, |z| ≤ w.
fn clip_to_frustum(polygon: &mut Vec<[f32; 4]>) {
    for axis in [2, 0, 1] {
        for sign in [1.0f32, -1.0] {
            let distance = |v: &[f32; 4]| v[3] + sign * v[axis];
            let mut out = Vec::with_capacity(polygon.len() + 1);
            for (i, b) in polygon.iter().enumerate() {
                let a = &polygon[(i + polygon.len() - 1) % polygon.len()];
                let (da, db) = (distance(a), distance(b));
                if (da >= 0.0) != (db >= 0.0) {
                    let t = da / (da - db);
                    out.push(std::array::from_fn(|k| a[k] + (b[k] - a[k]) * t));
                }
                if db >= 0.0 {
                    out.push(*b);
                }
            }
            *polygon = out;
            if polygon.is_empty() {
                return;
            }
        }
    }
}

/// Position in 1/16 pixel from the picture's centre.
fn snap(v: &[f32; 4], size: [u32; 2]) -> [i64; 2] {
    std::array::from_fn(|k| {
        let reach = 8.0 * size[k] as f32;
        // A vertex at the eye (w = 0) survives clipping only as a degenerate corner; keep it inside the picture.
        (v[k] / v[3] * reach).round_ties_even().clamp(-reach, reach) as i64
    })
}

/// Calls `f` for every pixel whose centre the triangle covers.
fn cover(mut p: [[i64; 2]; 3], size: [u32; 2], mut f: impl FnMut(u32, u32)) {
    let doubled_area =
        |p: &[[i64; 2]; 3]| (p[1][0] - p[0][0]) * (p[2][1] - p[0][1]) - (p[1][1] - p[0][1]) * (p[2][0] - p[0][0]);
    match doubled_area(&p) {
        0 => return,
        a if a < 0 => p.swap(1, 2),
        _ => {}
    }
    // Pixel centre k lies at 16k + 8 − 8·size.
    let range = |axis: usize| {
        let centre = 8 * i64::from(size[axis]) - 8;
        let (low, high) = p.iter().fold((i64::MAX, i64::MIN), |(l, h), v| (l.min(v[axis]), h.max(v[axis])));
        let first = (low + centre).div_euclid(16) + i64::from((low + centre).rem_euclid(16) != 0);
        let last = (high + centre).div_euclid(16);
        (first.max(0), last.min(i64::from(size[axis]) - 1))
    };
    let ((x0, x1), (y0, y1)) = (range(0), range(1));
    let centre = size.map(|s| 8 - 8 * i64::from(s));
    for y in y0..=y1 {
        for x in x0..=x1 {
            let q = [16 * x + centre[0], 16 * y + centre[1]];
            let covered = (0..3).all(|k| {
                let (a, b) = (p[k], p[(k + 1) % 3]);
                let (dx, dy) = (b[0] - a[0], b[1] - a[1]);
                let side = dx * (q[1] - a[1]) - dy * (q[0] - a[0]);
                side > 0 || (side == 0 && (dy < 0 || (dy == 0 && dx > 0)))
            });
            if covered {
                f(x as u32, y as u32);
            }
        }
    }
}

/// A pixel's weights and depth inside a triangle, from the vertices before snapping.
struct Sample {
    bary: [f32; 2],
    depth: f32,
    /// Differences of corner and sample: x − fx·w, y − fy·w.
    p: [[f32; 2]; 3],
    /// 1 / (sum of the three areas).
    inverse_sum: f32,
}

fn sample(corners: &[[f32; 4]; 3], x: u32, y: u32, size: [u32; 2]) -> Sample {
    let ndc = |k: u32, n: u32| (2 * k + 1) as f32 / n as f32 - 1.0;
    let (fx, fy) = (ndc(x, size[0]), ndc(y, size[1]));
    let p = corners.map(|c| [c[0] - fx * c[3], c[1] - fy * c[3]]);
    let cross = |a: [f32; 2], b: [f32; 2]| a[0] * b[1] - a[1] * b[0];
    let area = [cross(p[1], p[2]), cross(p[2], p[0]), cross(p[0], p[1])];
    let inverse_sum = 1.0 / (area[0] + area[1] + area[2]);
    let weigh = |k: usize| corners[0][k] * area[0] + corners[1][k] * area[1] + corners[2][k] * area[2];
    let depth = (weigh(2) / weigh(3)).clamp(-1.0, 1.0);
    // A sliver's sample can come out beside it, or as 0/0.
    let unit = |x: f32| if x.is_nan() { 0.0 } else { x.clamp(0.0, 1.0) };
    let (b0, b1) = (unit(area[0] * inverse_sum), unit(area[1] * inverse_sum));
    let scale = 1.0 / (b0 + b1).max(1.0);
    Sample { bary: [b0 * scale, b1 * scale], depth: if depth.is_nan() { 1.0 } else { depth }, p, inverse_sum }
}

impl FaceImage {
    fn put(&mut self, x: u32, y: u32, face: u32, corners: &[[f32; 4]; 3]) {
        let at = y as usize * self.size[0] as usize + x as usize;
        let s = sample(corners, x, y, self.size);
        // Faces come in order, so "less or equal" lets the later of two equal depths win.
        if self.id[at] == 0 || s.depth <= self.depth[at] {
            (self.id[at], self.bary[at], self.depth[at]) = (face + 1, s.bary, s.depth);
        }
    }

    /// Face at a pixel index.
    pub fn face(&self, at: usize) -> Option<usize> {
        (self.id[at] as usize).checked_sub(1)
    }

    /// Interpolates uv and its screen derivatives (∂u/∂X, ∂u/∂Y, ∂v/∂X, ∂v/∂Y), X and Y in pixels; zeros where nothing is.
    ///
    /// `clip`, `faces` and `uvs` must be those of the rasterisation, one uv a vertex.
    ///
    /// # Errors
    /// [`MeshError::Shape`] if `uvs` is not one a vertex or the picture is of another mesh.
    pub fn interpolate_uv(
        &self,
        clip: &[[f32; 4]],
        faces: &[[u32; 3]],
        uvs: &[[f32; 2]],
    ) -> Result<UvImage, MeshError> {
        if uvs.len() != clip.len() {
            return Err(MeshError::shape("uvs", clip.len(), uvs.len()));
        }
        let highest = self.id.iter().copied().max().unwrap_or(0) as usize;
        if highest > faces.len() {
            return Err(MeshError::shape("faces", format!("at least {highest}"), faces.len()));
        }
        let mut out = UvImage { uv: vec![[0.0; 2]; self.id.len()], derivatives: vec![[0.0; 4]; self.id.len()] };
        for at in 0..self.id.len() {
            let Some(f) = self.face(at) else { continue };
            let face = faces[f].map(|v| v as usize);
            let corner_uv = face.map(|v| uvs[v]);
            let (x, y) = (at as u32 % self.size[0], at as u32 / self.size[0]);
            let corners = face.map(|v| clip[v]);
            let [b0, b1] = self.bary[at];
            let d = derivatives(&corners, [b0, b1], x, y, self.size);
            let [a, b, c] = corner_uv;
            out.uv[at] = std::array::from_fn(|k| b0 * a[k] + b1 * b[k] + (1.0 - b0 - b1) * c[k]);
            out.derivatives[at] = std::array::from_fn(|n| {
                let (k, axis) = (n / 2, n % 2);
                (a[k] - c[k]) * d[axis] + (b[k] - c[k]) * d[2 + axis]
            });
        }
        Ok(out)
    }
}

/// (∂b0/∂X, ∂b0/∂Y, ∂b1/∂X, ∂b1/∂Y) with X, Y in pixels, from the clamped weights.
fn derivatives(corners: &[[f32; 4]; 3], bary: [f32; 2], x: u32, y: u32, size: [u32; 2]) -> [f32; 4] {
    let s = sample(corners, x, y, size);
    let w = corners.map(|c| c[3]);
    // Areas are p_i × p_j; p moves by −w for a unit step in NDC.
    let step = |i: usize, j: usize| {
        let dx = s.p[i][1] * w[j] - s.p[j][1] * w[i];
        let dy = s.p[j][0] * w[i] - s.p[i][0] * w[j];
        [dx, dy]
    };
    let area = [step(1, 2), step(2, 0), step(0, 1)];
    std::array::from_fn(|n| {
        let (corner, axis) = (n / 2, n % 2);
        let total = area[0][axis] + area[1][axis] + area[2][axis];
        let value = (area[corner][axis] - bary[corner] * total) * s.inverse_sum * 2.0 / size[axis] as f32;
        if value.is_finite() { value } else { 0.0 }
    })
}

/// Interpolated texture coordinates. Row 0 = bottom.
#[derive(Debug, Clone, PartialEq)]
pub struct UvImage {
    /// (u, v) per pixel; zeros where nothing is.
    pub uv: Vec<[f32; 2]>,
    /// (∂u/∂X, ∂u/∂Y, ∂v/∂X, ∂v/∂Y) per pixel.
    pub derivatives: Vec<[f32; 4]>,
}

/// Faces that own at least one pixel, as flags.
pub fn visible_faces(image: &FaceImage, faces: usize) -> Vec<bool> {
    let mut seen = vec![false; faces];
    for &id in image.id.iter().filter(|&&id| id > 0) {
        if let Some(s) = seen.get_mut(id as usize - 1) {
            *s = true;
        }
    }
    seen
}

/// Faces that cover at least one pixel of a camera's `size`² picture, as flags (near and far planes of spec §8.5).
///
/// # Errors
/// As [`rasterize`].
pub fn faces_seen(mesh: &TriangleMesh, camera: &OrbitCamera, size: u32) -> Result<Vec<bool>, MeshError> {
    let matrix = multiply(&camera.projection_gl(1.0, 3.0), &camera.view_gl());
    let clip: Vec<[f32; 4]> = mesh.positions.iter().map(|p| transform(&matrix, *p)).collect();
    Ok(visible_faces(&rasterize(&clip, &mesh.faces, [size; 2])?, mesh.faces.len()))
}

/// Share of `views` cameras around the object in which each face covers at least one pixel of a `size`² picture: what
/// [`crate::process::remove_inner_faces`] asks for (spec §8.5, step 1: 1000 views at 1024²). `progress` gets the share done
/// and returns false to stop.
///
/// # Errors
/// [`MeshError::Cancelled`] if asked to stop, and as [`rasterize`].
pub fn face_visibility(
    mesh: &TriangleMesh,
    views: u32,
    size: u32,
    progress: &dyn Fn(f32) -> bool,
) -> Result<Vec<f32>, MeshError> {
    mesh.validate()?;
    let mut counts = vec![0u32; mesh.faces.len()];
    for n in 0..views {
        if !progress(n as f32 / views as f32) {
            return Err(MeshError::Cancelled { operation: "the visibility test" });
        }
        let seen = faces_seen(mesh, &OrbitCamera::hammersley(n, views), size)?;
        counts.iter_mut().zip(seen).for_each(|(c, s)| *c += u32::from(s));
    }
    Ok(counts.iter().map(|&c| c as f32 / views.max(1) as f32).collect())
}

/// Clip-space corners that lay out a mesh in its own atlas: uv in [0, 1] becomes the whole picture.
pub fn layout_positions(uvs: &[[f32; 2]]) -> Vec<[f32; 4]> {
    uvs.iter().map(|[u, v]| [2.0 * u - 1.0, 2.0 * v - 1.0, 0.0, 1.0]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shapes;

    #[test]
    fn only_the_outer_of_two_nested_spheres_is_seen() {
        let mut m = shapes::sphere(10, 16, 0.4);
        let outer = m.faces.len();
        let inner = shapes::sphere(8, 12, 0.2);
        let shift = m.positions.len() as u32;
        m.positions.extend(inner.positions);
        m.faces.extend(inner.faces.iter().map(|f| f.map(|v| v + shift)));
        let visibility = face_visibility(&m, 30, 128, &|_| true).expect("valid");
        assert!(visibility[..outer].iter().all(|v| (0.2..0.7).contains(v)));
        assert!(visibility[outer..].iter().all(|v| *v == 0.0));
        let stopped = face_visibility(&m, 30, 128, &|_| false);
        assert!(matches!(stopped, Err(MeshError::Cancelled { .. })));
    }

    #[test]
    fn a_face_without_vertex_and_a_picture_without_pixels_are_errors() {
        assert!(matches!(rasterize(&[], &[[0, 1, 2]], [8, 8]), Err(MeshError::FaceIndex { .. })));
        assert!(rasterize(&[], &[], [0, 8]).is_err());
    }

    #[test]
    fn broken_positions_cover_nothing() {
        let clip = [[f32::NAN; 4], [0.0, 0.0, 0.0, 0.0], [1.0, 1.0, 0.0, 1.0]];
        let image = rasterize(&clip, &[[0, 1, 2], [1, 1, 1], [1, 2, 1]], [16, 16]).expect("valid");
        assert!(image.id.iter().all(|id| *id == 0));
    }
}
