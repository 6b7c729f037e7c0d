//! Silhouette antialiasing of rasterised pictures (spec §8.8, last paragraph; Laine et al. 2020, "Modular primitives for
//! high-performance differentiable rendering", section on antialiasing). Used by previews only.
//!
//! Between two neighbouring pixels that show different faces, the nearer face ends somewhere. Where one of its silhouette
//! edges crosses the line between the two pixel centres, the colour of the pixel that the edge cuts is mixed with the
//! other's, by the share of the distance that the edge is away from the middle.

use std::collections::HashMap;

use crate::MeshError;
use crate::process::topology::edge_key;
use crate::raster_mesh::FaceImage;

/// Blends silhouettes. `colors` `[H * W, 3]` belongs to `image`, the rasterisation of `faces` at `clip`. Returns the new
/// colours.
///
/// # Errors
/// [`MeshError::Shape`] if the colours or faces do not belong to the picture.
pub fn antialias(
    image: &FaceImage,
    clip: &[[f32; 4]],
    faces: &[[u32; 3]],
    colors: &[[f32; 3]],
) -> Result<Vec<[f32; 3]>, MeshError> {
    if colors.len() != image.id.len() {
        return Err(MeshError::shape("colours", image.id.len(), colors.len()));
    }
    if image.id.iter().any(|&id| id as usize > faces.len()) {
        return Err(MeshError::shape("faces", "those of the picture", faces.len()));
    }
    let apexes = Apexes::new(faces);
    let (width, height) = (image.size[0] as usize, image.size[1] as usize);
    let mut out = colors.to_vec();
    for at in 0..image.id.len() {
        for (axis, inside, step) in [(0, at % width + 1 < width, 1), (1, at / width + 1 < height, width)] {
            let next = at + step;
            if !inside || image.id[at] == image.id[next] {
                continue;
            }
            // `own` shows the nearer face.
            let nearer = image.id[next] == 0 || (image.id[at] != 0 && image.depth[at] < image.depth[next]);
            let (own, other) = if nearer { (at, next) } else { (next, at) };
            let Some(face) = image.face(own) else { continue };
            let sign = if nearer { 1.0 } else { -1.0 };
            let pixel = [own % width, own / width].map(|x| x as f32);
            let Some(d) = crossing(&apexes, clip, faces, face, pixel, image.size, axis, sign) else { continue };
            let share = 0.5 - d;
            let (target, source) = if share > 0.0 { (own, other) } else { (other, own) };
            for k in 0..3 {
                out[target][k] += share.abs() * (colors[source][k] - colors[target][k]);
            }
        }
    }
    Ok(out)
}

/// For every edge, the vertices opposite to it.
struct Apexes(HashMap<u64, Vec<u32>>);

impl Apexes {
    fn new(faces: &[[u32; 3]]) -> Self {
        let mut map: HashMap<u64, Vec<u32>> = HashMap::with_capacity(faces.len() * 2);
        for f in faces {
            for k in 0..3 {
                map.entry(edge_key(f[k], f[(k + 1) % 3])).or_default().push(f[(k + 2) % 3]);
            }
        }
        Self(map)
    }
}

/// Coverage is decided on vertices snapped to 1/16 pixel, so an edge may lie this little beyond the pixels it separates.
const SNAP: f32 = 1.0 / 16.0;

/// Where a silhouette edge of `face` crosses the line from `pixel` to its neighbour, as a share of the way.
fn crossing(
    apexes: &Apexes,
    clip: &[[f32; 4]],
    faces: &[[u32; 3]],
    face: usize,
    pixel: [f32; 2],
    size: [u32; 2],
    axis: usize,
    sign: f32,
) -> Option<f32> {
    // Pixels from the centre of `pixel`.
    let place = |v: u32| -> [f32; 2] {
        let c = clip[v as usize];
        std::array::from_fn(|k| (c[k] / c[3] + 1.0) * 0.5 * size[k] as f32 - 0.5 - pixel[k])
    };
    let cross = |a: [f32; 2], b: [f32; 2], c: [f32; 2]| (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]);
    let corners = faces[face];
    // A face that reaches behind the camera has no outline on the picture plane; the reference leaves it as it is.
    if corners.iter().any(|v| clip[*v as usize][3] <= 0.0) {
        return None;
    }
    let mut best: Option<f32> = None;
    for k in 0..3 {
        let (a, b, apex) = (corners[k], corners[(k + 1) % 3], corners[(k + 2) % 3]);
        let (pa, pb) = (place(a), place(b));
        let across = 1 - axis;
        // The edge has to cross the line, and to run rather across it than along it.
        if (pa[across] < 0.0) == (pb[across] < 0.0) || (pb[across] - pa[across]).abs() < (pb[axis] - pa[axis]).abs() {
            continue;
        }
        let side = cross(pa, pb, place(apex));
        let around = apexes.0.get(&edge_key(a, b)).map_or(&[][..], Vec::as_slice);
        let others = || around.iter().filter(|v| **v != apex);
        let silhouette = others().count() == 0 || others().any(|&v| cross(pa, pb, place(v)) * side > 0.0);
        if !silhouette {
            continue;
        }
        let t = pa[across] / (pa[across] - pb[across]);
        let d = sign * (pa[axis] + t * (pb[axis] - pa[axis]));
        if (-SNAP..=1.0 + SNAP).contains(&d) && best.is_none_or(|b| d < b) {
            best = Some(d.clamp(0.0, 1.0));
        }
    }
    best
}
