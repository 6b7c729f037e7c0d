//! UV atlases: unwrappers behind one trait, with progress and cancellation.

mod box_projection;
mod charts;
mod shelf;

pub use box_projection::BoxUnwrapper;
pub use charts::ChartUnwrapper;

use crate::{MeshError, TriangleMesh};

/// Size and spacing of an atlas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AtlasOptions {
    /// Side of the square texture in texels.
    pub size: u32,
    /// Texels kept free around each chart; charts are at least twice as far apart.
    pub padding: u32,
}

impl AtlasOptions {
    /// Two texels around each chart at sizes up to 1024, more above: charts stay apart, and their filled rims within reach
    /// of bilinear filtering, down to a quarter of the size. (No padding survives all mip levels; below, the gaps hold
    /// colours of the nearest chart.)
    pub fn for_size(size: u32) -> Self {
        Self { size, padding: (size / 512).max(2) }
    }
}

/// An unwrapped mesh.
#[derive(Debug, Clone, PartialEq)]
pub struct Unwrapped {
    /// The mesh with uvs in [0, 1]², v = 0 at texel row 0 (the bottom); vertices on seams are doubled, faces keep their
    /// order, other attributes are carried along.
    pub mesh: TriangleMesh,
    /// For each vertex the one it comes from.
    pub source_vertex: Vec<u32>,
    /// Number of charts.
    pub charts: usize,
}

/// Called with the share of work done; returns false to stop.
pub type Progress<'a> = &'a (dyn Fn(f32) -> bool + Sync);

/// Something that gives every face of a mesh its own place in a texture.
pub trait Unwrapper {
    /// Unwraps `mesh`.
    ///
    /// # Errors
    /// [`MeshError::Empty`] without faces, [`MeshError::Cancelled`] if `progress` returned false, [`MeshError::Unwrap`] if
    /// the charts do not fit, and what [`TriangleMesh::validate`] reports.
    fn unwrap(
        &self,
        mesh: &TriangleMesh,
        options: &AtlasOptions,
        progress: Progress<'_>,
    ) -> Result<Unwrapped, MeshError>;
}

const CANCELLED: MeshError = MeshError::Cancelled { operation: "UV unwrapping" };

fn check_input(mesh: &TriangleMesh, options: &AtlasOptions) -> Result<(), MeshError> {
    mesh.validate()?;
    if mesh.faces.is_empty() {
        return Err(MeshError::Empty { operation: "UV unwrapping" });
    }
    if !(16..=8192).contains(&options.size) || options.padding > options.size / 8 {
        let detail = format!(
            "size {} (expected 16 to 8192) with padding {} (expected at most an eighth of it)",
            options.size, options.padding
        );
        return Err(MeshError::range("atlas", detail));
    }
    Ok(())
}

/// The mesh with the vertices `source`, faces renumbered, and the given uvs.
fn with_vertices(
    mesh: &TriangleMesh,
    source: Vec<u32>,
    faces: Vec<[u32; 3]>,
    uvs: Vec<[f32; 2]>,
) -> (TriangleMesh, Vec<u32>) {
    let pick = |values: &[[f32; 3]]| -> Vec<[f32; 3]> {
        if values.is_empty() { Vec::new() } else { source.iter().map(|&v| values[v as usize]).collect() }
    };
    let out = TriangleMesh {
        positions: pick(&mesh.positions),
        faces,
        normals: pick(&mesh.normals),
        uvs,
        colors: pick(&mesh.colors),
    };
    (out, source)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raster_mesh::{layout_positions, rasterize};
    use crate::shapes;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn quiet(_: f32) -> bool {
        true
    }

    fn unwrappers() -> [(&'static str, Box<dyn Unwrapper>); 3] {
        let dense = ChartUnwrapper { dense: true };
        [("charts", Box::new(ChartUnwrapper::default())), ("dense", Box::new(dense)), ("box", Box::new(BoxUnwrapper))]
    }

    #[test]
    fn faces_keep_their_order_and_uvs_stay_in_the_square() {
        let mut m = shapes::torus(40, 20, 0.3, 0.12);
        m.compute_normals();
        m.colors = m.positions.clone();
        for (name, u) in unwrappers() {
            let options = AtlasOptions::for_size(512);
            let out = u.unwrap(&m, &options, &quiet).expect(name);
            out.mesh.validate().expect(name);
            assert_eq!(out.mesh.uvs.len(), out.mesh.positions.len());
            assert_eq!(out.mesh.faces.len(), m.faces.len());
            for (f, g) in out.mesh.faces.iter().zip(&m.faces) {
                assert_eq!(f.map(|v| out.source_vertex[v as usize]), *g, "{name}");
                let p = f.map(|v| out.mesh.positions[v as usize]);
                assert_eq!(p, g.map(|v| m.positions[v as usize]));
            }
            let pad = options.padding as f32 / options.size as f32;
            let inside = |x: &f32| (pad - 1e-4..=1.0 - pad + 1e-4).contains(x);
            assert!(out.mesh.uvs.iter().flatten().all(inside), "{name}");
        }
    }

    #[test]
    fn charts_do_not_overlap_and_keep_their_distance() {
        let m = shapes::torus(40, 20, 0.3, 0.12);
        for (name, u) in unwrappers() {
            let options = AtlasOptions { size: 512, padding: 4 };
            let out = u.unwrap(&m, &options, &quiet).expect(name);
            let layout = layout_positions(&out.mesh.uvs);
            // Painted in both orders, an overlap shows as a difference.
            let forwards = rasterize(&layout, &out.mesh.faces, [512; 2]).expect("valid");
            let reversed: Vec<[u32; 3]> = out.mesh.faces.iter().rev().copied().collect();
            let backwards = rasterize(&layout, &reversed, [512; 2]).expect("valid");
            let n = m.faces.len() as u32;
            let differing =
                (0..512 * 512).filter(|&p| forwards.id[p] > 0 && forwards.id[p] != n + 1 - backwards.id[p]).count();
            assert!(differing <= 8, "{name}: {differing} texels are used twice");
            let covered = forwards.id.iter().filter(|id| **id > 0).count() as f64 / (512.0 * 512.0);
            assert!(covered > 0.3, "{name} covers only {covered}");
        }
    }

    #[test]
    fn triangles_are_not_mirrored() {
        let m = shapes::sphere(20, 30, 0.4);
        for (name, u) in unwrappers() {
            let out = u.unwrap(&m, &AtlasOptions::for_size(512), &quiet).expect(name);
            for f in &out.mesh.faces {
                let [a, b, c] = f.map(|v| out.mesh.uvs[v as usize]);
                let area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]);
                assert!(area > -1e-9, "{name}: {area}");
            }
        }
    }

    #[test]
    fn unwrapping_can_be_cancelled_and_reports_progress() {
        let m = shapes::torus(60, 30, 0.3, 0.12);
        for (name, u) in unwrappers() {
            let calls = AtomicUsize::new(0);
            let stop = |share: f32| {
                assert!((0.0..=1.0).contains(&share));
                calls.fetch_add(1, Ordering::Relaxed) < 1
            };
            let out = u.unwrap(&m, &AtlasOptions::for_size(512), &stop);
            assert!(matches!(out, Err(MeshError::Cancelled { .. })), "{name}");
        }
    }

    #[test]
    fn degenerate_meshes_give_a_result_or_an_error() {
        let flat = TriangleMesh::new(vec![[0.0; 3]; 3], vec![[0, 1, 2]]);
        let triangle = TriangleMesh::new(vec![[0.0; 3], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], vec![[0, 1, 2]]);
        for (name, u) in unwrappers() {
            let options = AtlasOptions::for_size(64);
            assert!(matches!(u.unwrap(&TriangleMesh::default(), &options, &quiet), Err(MeshError::Empty { .. })));
            for m in [&flat, &triangle] {
                if let Ok(out) = u.unwrap(m, &options, &quiet) {
                    assert!(out.mesh.uvs.iter().flatten().all(|x| x.is_finite()), "{name}");
                }
            }
            assert!(u.unwrap(&triangle, &AtlasOptions { size: 0, padding: 0 }, &quiet).is_err());
        }
    }
}
