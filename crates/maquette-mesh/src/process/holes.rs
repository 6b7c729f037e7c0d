//! Hole filling: ears by smallest angle, then refinement to the density around the hole (spec §8.5, step 6; Liepa 2003).

use std::collections::HashSet;

use super::patch::Patch;
use super::topology::{edge_key, edges, sorted_sides};
use crate::portable::acos;
use crate::vector::{D3, dot, length, sub, widen};
use crate::{MeshError, TriangleMesh};

/// Limits of [`fill_holes`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoleOptions {
    /// Holes with more border edges stay open.
    pub max_edges: usize,
    /// Bring the density of the patches to that of their surroundings.
    pub refine: bool,
}

impl HoleOptions {
    /// The reference's limit for a share of removed faces: `trunc(250 sqrt(1 − simplify))`, 55 at 0.95.
    pub fn for_reduction(simplify: f64) -> Self {
        Self { max_edges: (250.0 * (1.0 - simplify.clamp(0.0, 1.0)).sqrt()) as usize, refine: true }
    }
}

/// Fills holes of a manifold mesh (run [`super::clean`] before). New vertices come last and take the mean colour of their
/// patch's corners; normals and uvs are dropped if anything is filled. Returns the mesh and the number of holes filled.
///
/// # Errors
/// What [`TriangleMesh::validate`] reports.
pub fn fill_holes(mesh: &TriangleMesh, options: &HoleOptions) -> Result<(TriangleMesh, usize), MeshError> {
    mesh.validate()?;
    let loops = border_loops(mesh);
    let mut out = mesh.clone();
    let mut known: HashSet<u64> = sorted_sides(&mesh.faces).iter().map(|s| s.0).collect();
    let scales = edge_scales(mesh);
    let mut filled = 0;
    for border in loops.iter().filter(|l| l.len() >= 3 && l.len() <= options.max_edges) {
        let Some(faces) = triangulate(mesh, border, &known) else { continue };
        let mut patch = Patch::new(mesh, faces, &scales);
        if options.refine {
            patch.refine(&known);
        }
        let first = out.positions.len() as u32;
        let patch_faces = patch.faces_with_new_vertices_from(first);
        out.positions.extend(patch.new_positions());
        if !mesh.colors.is_empty() {
            out.colors.extend(patch.new_colors(&mesh.colors));
        }
        known.extend(patch_faces.iter().flat_map(|f| (0..3).map(|k| edge_key(f[k], f[(k + 1) % 3]))));
        out.faces.extend(patch_faces);
        filled += 1;
    }
    if filled > 0 {
        out.normals.clear();
        out.uvs.clear();
    }
    Ok((out, filled))
}

/// Border loops, each in the direction in which a filling face runs along it. Where several holes meet in a vertex, the
/// loop that begins there is left out.
pub(crate) fn border_loops(mesh: &TriangleMesh) -> Vec<Vec<u32>> {
    let mut next = vec![u32::MAX; mesh.positions.len()];
    let mut crowded = vec![false; mesh.positions.len()];
    for group in edges(&sorted_sides(&mesh.faces)).filter(|g| g.len() == 1) {
        let (_, f, k) = group[0];
        let face = mesh.faces[f as usize];
        // The filling face runs against the border face.
        let (from, to) = (face[(k as usize + 1) % 3] as usize, face[k as usize]);
        crowded[from] |= next[from] != u32::MAX;
        next[from] = to;
    }
    let mut loops = Vec::new();
    let mut seen = vec![false; next.len()];
    for start in 0..next.len() {
        if next[start] == u32::MAX || seen[start] {
            continue;
        }
        let mut border = Vec::new();
        let mut v = start;
        while !seen[v] && next[v] != u32::MAX {
            seen[v] = true;
            border.push(v as u32);
            v = next[v] as usize;
        }
        if v == start && border.iter().all(|&v| !crowded[v as usize]) {
            loops.push(border);
        }
    }
    loops
}

/// Mean length of the edges at each vertex.
fn edge_scales(mesh: &TriangleMesh) -> Vec<f64> {
    let mut sums = vec![(0.0, 0u32); mesh.positions.len()];
    for group in edges(&sorted_sides(&mesh.faces)) {
        let ends = [(group[0].0 >> 32) as usize, group[0].0 as u32 as usize];
        let l = length(sub(widen(mesh.positions[ends[0]]), widen(mesh.positions[ends[1]])));
        ends.iter().for_each(|&v| sums[v] = (sums[v].0 + l, sums[v].1 + 1));
    }
    sums.iter().map(|(s, n)| s / f64::from((*n).max(1))).collect()
}

/// Cuts the ear with the smallest angle until three corners are left. An ear whose closing edge exists already would make
/// an edge of three faces and is passed over; `None` if no other is left.
fn triangulate(mesh: &TriangleMesh, border: &[u32], known: &HashSet<u64>) -> Option<Vec<[u32; 3]>> {
    let point = |v: u32| widen(mesh.positions[v as usize]);
    let angle = |a: u32, b: u32, c: u32| {
        let (p, q): (D3, D3) = (sub(point(a), point(b)), sub(point(c), point(b)));
        let d = (dot(p, p) * dot(q, q)).sqrt();
        if d > 0.0 { acos((dot(p, q) / d).clamp(-1.0, 1.0)) } else { 0.0 }
    };
    let mut ring = border.to_vec();
    let mut faces = Vec::with_capacity(border.len() - 2);
    while ring.len() > 3 {
        let n = ring.len();
        let ear = |i: usize| (ring[(i + n - 1) % n], ring[i], ring[(i + 1) % n]);
        let best = (0..n)
            .filter(|&i| !known.contains(&edge_key(ear(i).0, ear(i).2)))
            .map(|i| (angle(ear(i).0, ear(i).1, ear(i).2), i))
            .min_by(|a, b| a.0.total_cmp(&b.0))?;
        let (a, b, c) = ear(best.1);
        faces.push([a, b, c]);
        ring.remove(best.1);
    }
    faces.push([ring[0], ring[1], ring[2]]);
    Some(faces)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shapes;

    fn open_edges(m: &TriangleMesh) -> usize {
        edges(&sorted_sides(&m.faces)).filter(|g| g.len() != 2).count()
    }

    fn sphere_with_hole(cut: f32) -> TriangleMesh {
        let m = shapes::sphere(40, 60, 0.5);
        let keep: Vec<bool> = m.faces.iter().map(|f| f.iter().any(|&v| m.positions[v as usize][2] < cut)).collect();
        m.filter_faces(&keep).expect("valid")
    }

    #[test]
    fn a_filled_sphere_is_closed_and_evenly_dense() {
        let m = sphere_with_hole(0.4);
        let (f, filled) = fill_holes(&m, &HoleOptions { max_edges: 100, refine: true }).expect("valid");
        assert_eq!((filled, open_edges(&f)), (1, 0));
        f.validate().expect("finite");
        assert!(f.positions.len() > m.positions.len(), "refinement adds vertices");
        assert!(f.volume() > 0.9 * shapes::sphere(40, 60, 0.5).volume());
        let new_area: f64 = (m.faces.len()..f.faces.len()).map(|i| 0.5 * length(f.area_normal(i))).sum();
        let mean_new = new_area / (f.faces.len() - m.faces.len()) as f64;
        let mean_old = m.area() / m.faces.len() as f64;
        assert!(mean_new < 6.0 * mean_old, "{mean_new} against {mean_old}");
    }

    #[test]
    fn larger_holes_than_allowed_stay_open() {
        let m = sphere_with_hole(0.4);
        let (f, filled) = fill_holes(&m, &HoleOptions { max_edges: 55, refine: true }).expect("valid");
        assert_eq!((f, filled), (m, 0));
    }

    #[test]
    fn a_missing_face_of_a_box_comes_back() {
        let mut m = shapes::cuboid([1.0; 3]);
        m.faces.truncate(11);
        let (f, filled) = fill_holes(&m, &HoleOptions { max_edges: 3, refine: false }).expect("valid");
        assert_eq!((filled, open_edges(&f)), (1, 0));
        assert!((f.volume() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_lone_triangle_is_not_doubled_into_nonsense() {
        let m = TriangleMesh::new(vec![[0.0; 3], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], vec![[0, 1, 2]]);
        let (f, _) = fill_holes(&m, &HoleOptions { max_edges: 50, refine: true }).expect("valid");
        f.validate().expect("finite");
    }

    #[test]
    fn the_references_limit() {
        assert_eq!(HoleOptions::for_reduction(0.95).max_edges, 55);
    }
}
