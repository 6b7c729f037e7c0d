//! The fast unwrapper for previews: faces are projected along the axis they face most, in connected groups.

use super::{AtlasOptions, CANCELLED, Progress, Unwrapped, Unwrapper, check_input, shelf, with_vertices};
use crate::process::topology::{DisjointSets, edges, sorted_sides};
use crate::vector::{D3, unit};
use crate::{MeshError, TriangleMesh};

/// Projects along the six axis directions. Some times faster than [`super::ChartUnwrapper`]; slanted faces get fewer
/// texels, and a surface that winds over itself like a spiral staircase can overlap.
#[derive(Debug, Clone, Copy, Default)]
pub struct BoxUnwrapper;

/// Rounds in which a face joins the direction of its neighbours.
const SMOOTHING: usize = 4;
/// A face may lean this far (cosine) from the axis it is projected along.
const MIN_COSINE: f64 = 0.35;

impl Unwrapper for BoxUnwrapper {
    fn unwrap(
        &self,
        mesh: &TriangleMesh,
        options: &AtlasOptions,
        progress: Progress<'_>,
    ) -> Result<Unwrapped, MeshError> {
        check_input(mesh, options)?;
        let step = |share: f32| if progress(share) { Ok(()) } else { Err(CANCELLED) };
        step(0.0)?;
        let sides = sorted_sides(&mesh.faces);
        let directions = directions(mesh, &sides);
        step(0.4)?;
        let (chart, charts) = group(mesh, &sides, &directions);
        step(0.6)?;
        // Per chart: projected bounds.
        let mut bounds = vec![([f64::INFINITY; 2], [f64::NEG_INFINITY; 2]); charts];
        for (f, face) in mesh.faces.iter().enumerate() {
            let (low, high) = &mut bounds[chart[f] as usize];
            for &v in face {
                let p = project(mesh.positions[v as usize], directions[f]);
                (0..2).for_each(|k| (low[k], high[k]) = (low[k].min(p[k]), high[k].max(p[k])));
            }
        }
        let sizes: Vec<[f64; 2]> = bounds.iter().map(|(l, h)| [h[0] - l[0], h[1] - l[1]]).collect();
        let side = f64::from(options.size);
        let Some((scale, corners)) = shelf::pack(&sizes, side, f64::from(options.padding)) else {
            let detail = format!("{charts} charts do not fit a {side} texture; use a larger texture or fewer faces");
            return Err(MeshError::Unwrap { detail });
        };
        step(0.9)?;
        let (mut source, mut uvs) = (Vec::new(), Vec::new());
        let mut faces = mesh.faces.clone();
        // The copy of a vertex in a chart; charts come one after another, so one stamp a vertex is enough.
        let mut order: Vec<u32> = (0..mesh.faces.len() as u32).collect();
        order.sort_by_key(|&f| chart[f as usize]);
        let mut copy = vec![(u32::MAX, 0u32); mesh.positions.len()];
        for f in order.into_iter().map(|f| f as usize) {
            let c = chart[f];
            for slot in &mut faces[f] {
                let v = *slot as usize;
                if copy[v].0 != c {
                    copy[v] = (c, source.len() as u32);
                    source.push(v as u32);
                    let p = project(mesh.positions[v], directions[f]);
                    let (low, at) = (bounds[c as usize].0, corners[c as usize]);
                    uvs.push(std::array::from_fn(|k| ((at[k] + (p[k] - low[k]) * scale) / side) as f32));
                }
                *slot = copy[v].1;
            }
        }
        step(1.0)?;
        let (mesh, source_vertex) = with_vertices(mesh, source, faces, uvs);
        Ok(Unwrapped { mesh, source_vertex, charts })
    }
}

/// Component of a vector along direction d: 0 = +x, 1 = −x, 2 = +y …
fn along(n: D3, d: u8) -> f64 {
    let x = n[d as usize / 2];
    if d.is_multiple_of(2) { x } else { -x }
}

/// Coordinates in the plane of a direction, oriented so that faces seen from outside are not mirrored.
fn project(p: [f32; 3], d: u8) -> [f64; 2] {
    let axis = d as usize / 2;
    let (u, v) = (f64::from(p[(axis + 1) % 3]), f64::from(p[(axis + 2) % 3]));
    if d.is_multiple_of(2) { [u, v] } else { [-u, v] }
}

/// The direction of every face: its strongest axis, then that of its neighbours where it can follow them.
fn directions(mesh: &TriangleMesh, sides: &[(u64, u32, u8)]) -> Vec<u8> {
    let normals: Vec<D3> =
        (0..mesh.faces.len()).map(|f| unit(mesh.area_normal(f)).unwrap_or([0.0, 0.0, 1.0])).collect();
    let strongest = |n: &D3| (0..6u8).fold(0, |best, d| if along(*n, d) > along(*n, best) { d } else { best });
    let mut out: Vec<u8> = normals.iter().map(strongest).collect();
    let mut neighbours = vec![[u32::MAX; 3]; mesh.faces.len()];
    for pair in edges(sides).filter(|g| g.len() == 2) {
        let ((_, f, k), (_, g, l)) = (pair[0], pair[1]);
        neighbours[f as usize][k as usize] = g;
        neighbours[g as usize][l as usize] = f;
    }
    for _ in 0..SMOOTHING {
        let before = out.clone();
        for (f, near) in neighbours.iter().enumerate() {
            let mut votes = [0u8; 6];
            near.iter().filter(|g| **g != u32::MAX).for_each(|&g| votes[before[g as usize] as usize] += 1);
            let wanted = (0..6u8).filter(|&d| votes[d as usize] >= 2).max_by_key(|&d| votes[d as usize]);
            if let Some(d) = wanted.filter(|&d| along(normals[f], d) >= MIN_COSINE) {
                out[f] = d;
            }
        }
    }
    out
}

/// Charts: faces of one direction connected through edges.
fn group(mesh: &TriangleMesh, sides: &[(u64, u32, u8)], directions: &[u8]) -> (Vec<u32>, usize) {
    let mut sets = DisjointSets::new(mesh.faces.len());
    for pair in edges(sides).filter(|g| g.len() == 2) {
        let (f, g) = (pair[0].1, pair[1].1);
        if directions[f as usize] == directions[g as usize] {
            sets.join(f, g);
        }
    }
    sets.labels()
}
