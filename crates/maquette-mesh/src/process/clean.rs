//! Making a mesh manifold: no degenerate or doubled faces, at most two faces an edge, one fan of faces a vertex.

use super::topology::{DisjointSets, edges, sorted_by_vertex, sorted_sides};
use super::winding::orient;
use crate::portable::atan2;
use crate::vector::{D3, cross, dot, sub, unit, widen};
use crate::{MeshError, TriangleMesh};

/// What [`clean`] changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CleanReport {
    /// Faces with repeated corners, dropped.
    pub degenerate: usize,
    /// Faces with the same three corners as an earlier one, dropped.
    pub doubled: usize,
    /// Edges that had more than two faces and were cut apart.
    pub non_manifold_edges: usize,
    /// Vertices added because several sheets met in one.
    pub split_vertices: usize,
    /// Faces turned over for a consistent winding.
    pub turned: usize,
}

/// Cleans a mesh. Positions do not move; where sheets meet in an edge or vertex they are separated, so that solids that only
/// touch become solids of their own and closed meshes stay closed. Windings are made consistent and closed parts are turned
/// outwards.
///
/// # Errors
/// What [`TriangleMesh::validate`] reports.
pub fn clean(mesh: &TriangleMesh) -> Result<(TriangleMesh, CleanReport), MeshError> {
    mesh.validate()?;
    let mut report = CleanReport::default();
    let mut out = mesh.clone();
    drop_degenerate_and_doubled(&mut out.faces, &mut report);
    report.turned = orient(&mut out);
    separate_sheets(&mut out, &mut report);
    Ok((out.without_unused_vertices(), report))
}

/// Drops faces with repeated corners, and those with the corners of an earlier face.
fn drop_degenerate_and_doubled(faces: &mut Vec<[u32; 3]>, report: &mut CleanReport) {
    let before = faces.len();
    faces.retain(|&[a, b, c]| a != b && b != c && a != c);
    report.degenerate = before - faces.len();
    let keys: Vec<([u32; 3], u32)> = (0..)
        .zip(faces.iter())
        .map(|(f, face)| {
            let mut key = *face;
            key.sort_unstable();
            (key, f)
        })
        .collect();
    let mut doubled: Vec<u32> = sorted_by_vertex(&keys, |key| key.0[0])
        .chunk_by(|a, b| a.0 == b.0)
        .flat_map(|same| &same[1..])
        .map(|key| key.1)
        .collect();
    report.doubled = doubled.len();
    if !doubled.is_empty() {
        doubled.sort_unstable();
        let mut f = 0;
        faces.retain(|_| {
            f += 1;
            doubled.binary_search(&(f - 1)).is_err()
        });
    }
}

/// Gives every fan of faces its own copy of their common vertex.
fn separate_sheets(mesh: &mut TriangleMesh, report: &mut CleanReport) {
    let mut fans = DisjointSets::new(mesh.faces.len() * 3);
    let sides = sorted_sides(&mesh.faces);
    for group in edges(&sides) {
        match group {
            [a, b] => join_fans(mesh, &mut fans, *a, *b),
            [_] => {}
            many => {
                report.non_manifold_edges += 1;
                pair_by_angle(mesh, many).into_iter().for_each(|(a, b)| join_fans(mesh, &mut fans, a, b));
            }
        }
    }
    // The first fan of a vertex keeps it, the others get copies.
    let mut owner = vec![u32::MAX; mesh.positions.len()];
    let mut copy_of = vec![u32::MAX; mesh.faces.len() * 3];
    for corner in 0..mesh.faces.len() * 3 {
        let vertex = mesh.faces[corner / 3][corner % 3];
        let fan = fans.find(corner as u32);
        if copy_of[fan as usize] == u32::MAX {
            copy_of[fan as usize] = if owner[vertex as usize] == u32::MAX {
                owner[vertex as usize] = fan;
                vertex
            } else {
                report.split_vertices += 1;
                duplicate_vertex(mesh, vertex as usize)
            };
        }
        mesh.faces[corner / 3][corner % 3] = copy_of[fan as usize];
    }
}

/// Two sides of an edge belong to one sheet: so do their corners at both ends.
fn join_fans(mesh: &TriangleMesh, fans: &mut DisjointSets, (_, f, k): Side, (_, g, l): Side) {
    for corner in [k as usize, (k as usize + 1) % 3] {
        let vertex = mesh.faces[f as usize][corner];
        let other = [l as usize, (l as usize + 1) % 3];
        if let Some(o) = other.into_iter().find(|&o| mesh.faces[g as usize][o] == vertex) {
            fans.join(3 * f + corner as u32, 3 * g + o as u32);
        }
    }
}

fn duplicate_vertex(mesh: &mut TriangleMesh, v: usize) -> u32 {
    mesh.positions.push(mesh.positions[v]);
    if let Some(n) = mesh.normals.get(v).copied() {
        mesh.normals.push(n);
    }
    if let Some(uv) = mesh.uvs.get(v).copied() {
        mesh.uvs.push(uv);
    }
    if let Some(c) = mesh.colors.get(v).copied() {
        mesh.colors.push(c);
    }
    mesh.positions.len() as u32 - 1
}

type Side = (u64, u32, u8);

/// Around an edge of several faces, a wedge of matter begins at a face running against the edge and ends at the next one
/// running along it: those two are sides of one solid. Faces without such a partner stay open.
fn pair_by_angle(mesh: &TriangleMesh, group: &[Side]) -> Vec<(Side, Side)> {
    let (a, b) = ((group[0].0 >> 32) as usize, group[0].0 as u32 as usize);
    let origin = widen(mesh.positions[a]);
    let Some(axis) = unit(sub(widen(mesh.positions[b]), origin)) else { return Vec::new() };
    let seed = if axis[0].abs() < 0.9 { [1.0, 0.0, 0.0] } else { [0.0, 1.0, 0.0] };
    let Some(x) = unit(cross(seed, axis)) else { return Vec::new() };
    let y: D3 = cross(axis, x);
    let mut around: Vec<(f64, bool, Side)> = group
        .iter()
        .map(|&s| {
            let face = mesh.faces[s.1 as usize];
            let along = face[s.2 as usize] as usize == a;
            let apex = sub(widen(mesh.positions[face[(s.2 as usize + 2) % 3] as usize]), origin);
            (atan2(dot(apex, y), dot(apex, x)), along, s)
        })
        .collect();
    around.sort_by(|p, q| p.0.total_cmp(&q.0).then(p.1.cmp(&q.1)).then(p.2.cmp(&q.2)));
    (0..around.len())
        .filter_map(|i| {
            let (begin, end) = (around[i], around[(i + 1) % around.len()]);
            (!begin.1 && end.1).then_some((begin.2, end.2))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::topology::face_components;
    use crate::shapes;

    fn open_or_crowded_edges(m: &TriangleMesh) -> usize {
        edges(&sorted_sides(&m.faces)).filter(|g| g.len() != 2).count()
    }

    /// Two boxes that touch in one edge.
    fn touching_boxes() -> TriangleMesh {
        let a = shapes::cuboid([1.0; 3]);
        let mut b = a.clone();
        b.positions.iter_mut().for_each(|p| {
            p[0] += 1.0;
            p[1] += 1.0;
        });
        let shift = a.positions.len() as u32;
        let mut m = a;
        m.positions.extend(b.positions);
        m.faces.extend(b.faces.iter().map(|f| f.map(|v| v + shift)));
        crate::process::weld(&m, 1e-4).expect("valid")
    }

    #[test]
    fn solids_that_touch_in_an_edge_become_two_closed_solids() {
        let m = touching_boxes();
        assert!(open_or_crowded_edges(&m) > 0);
        let (c, report) = clean(&m).expect("valid");
        assert_eq!(report.non_manifold_edges, 1);
        assert_eq!(open_or_crowded_edges(&c), 0);
        assert_eq!(face_components(&c.faces).1, 2);
        assert!((c.volume() - 2.0).abs() < 1e-6);
    }

    #[test]
    fn doubled_and_degenerate_faces_go() {
        let mut m = shapes::cuboid([1.0; 3]);
        m.faces.push(m.faces[0]);
        m.faces.push([1, 1, 2]);
        let (c, report) = clean(&m).expect("valid");
        assert_eq!((c.faces.len(), report.doubled, report.degenerate), (12, 1, 1));
    }

    #[test]
    fn a_clean_mesh_is_left_alone() {
        let m = shapes::torus(16, 8, 0.3, 0.1);
        let (c, report) = clean(&m).expect("valid");
        assert_eq!((c, report), (m, CleanReport::default()));
    }
}
