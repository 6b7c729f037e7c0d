//! FlexiCubes extraction proper (spec §7.6): from surface cubes to dual vertices, quads and triangles.

use super::bricks::{Bricks, CELLS};
use super::tables::{EDGES, cases};
use super::{Corner, ExtractedMesh, Field};

/// A cube with both inside and outside corners.
#[derive(Debug, Clone, Copy)]
pub(super) struct SurfaceCube {
    /// Coordinates of the cube's lowest corner.
    pub at: [u16; 3],
    /// Σ inside(corner m) · 2^m.
    pub case: u8,
}

impl SurfaceCube {
    /// Sorting key: x slowest, z fastest.
    pub fn key(&self) -> u64 {
        u64::from(self.at[0]) << 32 | u64::from(self.at[1]) << 16 | u64::from(self.at[2])
    }

    fn position(&self) -> [usize; 3] {
        self.at.map(usize::from)
    }
}

/// Offset of corner `m` from a cube's lowest corner.
pub(super) fn corner_offset(m: usize) -> [usize; 3] {
    [m & 1, m >> 1 & 1, m >> 2 & 1]
}

/// Extracts the mesh from the surface cubes of `field`, which lie in `[0, extent)³`.
pub(super) fn extract_surface(extent: usize, mut cubes: Vec<SurfaceCube>, field: &mut impl Field) -> ExtractedMesh {
    cubes.sort_unstable_by_key(SurfaceCube::key);
    let index = CubeIndex::new(extent, &cubes);
    resolve_ambiguities(extent, &mut cubes, &index);
    let first_vertex = number_vertices(&cubes);
    let mut out = ExtractedMesh::default();
    let gammas = dual_vertices(&cubes, &first_vertex, field, &mut out);
    let quads = collect_quads(extent, &cubes, &index, &first_vertex, field);
    triangulate(quads.iter().map(|quad| quad.corners), &gammas, &mut out.faces);
    out
}

/// From cube coordinates to the cube's place in the sorted list.
struct CubeIndex {
    bricks: Bricks,
    entries: Vec<u32>,
}

impl CubeIndex {
    fn new(extent: usize, cubes: &[SurfaceCube]) -> Self {
        let mut bricks = Bricks::new(extent);
        let mut entries = Vec::new();
        for (i, c) in cubes.iter().enumerate() {
            let slot = bricks.slot_or_insert(c.position());
            entries.resize(bricks.len() * CELLS, u32::MAX);
            entries[slot] = i as u32;
        }
        Self { bricks, entries }
    }

    fn get(&self, p: [usize; 3]) -> Option<usize> {
        let entry = self.entries[self.bricks.slot(p)?];
        (entry != u32::MAX).then_some(entry as usize)
    }
}

/// Two problem cubes that meet at their ambiguous face take the complementary case, both by the original cases.
fn resolve_ambiguities(extent: usize, cubes: &mut [SurfaceCube], index: &CubeIndex) {
    let table = cases();
    let flipped: Vec<usize> = (0..cubes.len())
        .filter(|&i| {
            let Some(direction) = table[cubes[i].case as usize].problem else {
                return false;
            };
            let p = cubes[i].position();
            let neighbour: [Option<usize>; 3] =
                std::array::from_fn(|k| p[k].checked_add_signed(direction[k] as isize).filter(|&x| x < extent));
            let [Some(x), Some(y), Some(z)] = neighbour else {
                return false;
            };
            index.get([x, y, z]).is_some_and(|j| table[cubes[j].case as usize].problem.is_some())
        })
        .collect();
    for i in flipped {
        cubes[i].case = 255 - cubes[i].case;
    }
}

/// First dual vertex of each cube: cubes with one patch come first, then those with two, three and four.
fn number_vertices(cubes: &[SurfaceCube]) -> Vec<u32> {
    let table = cases();
    let mut next = [0u32; 5];
    for c in cubes {
        let n = table[c.case as usize].patches;
        next[n as usize] += u32::from(n);
    }
    let mut base = 0;
    for n in &mut next {
        (*n, base) = (base, base + *n);
    }
    cubes
        .iter()
        .map(|c| {
            let n = table[c.case as usize].patches;
            let first = next[n as usize];
            next[n as usize] += u32::from(n);
            first
        })
        .collect()
}

/// Places every dual vertex and its attributes; returns each vertex's γ.
fn dual_vertices(
    cubes: &[SurfaceCube],
    first_vertex: &[u32],
    field: &mut impl Field,
    out: &mut ExtractedMesh,
) -> Vec<f32> {
    let table = cases();
    let total: usize = cubes.iter().map(|c| table[c.case as usize].patches as usize).sum();
    out.vertices = vec![[0.0; 3]; total];
    out.attrs = vec![[0.0; 6]; total];
    let mut gammas = vec![0.0; total];
    for (c, &first) in cubes.iter().zip(first_vertex) {
        let p = c.position();
        let corners: [Corner; 8] = std::array::from_fn(|m| {
            let o = corner_offset(m);
            field.corner([p[0] + o[0], p[1] + o[1], p[2] + o[2]])
        });
        let w = field.weights(p);
        let s: [f32; 8] = std::array::from_fn(|m| corners[m].sdf * w.alpha[m]);
        let case = &table[c.case as usize];
        for patch in 0..case.patches as usize {
            let (mut position, mut color, mut weight) = ([0.0f32; 3], [0.0f32; 6], 0.0f32);
            for (e, &[a, b]) in EDGES.iter().enumerate().filter(|(e, _)| case.patch_edges[patch] >> e & 1 == 1) {
                let beta = w.beta[e];
                let (sa, sb) = (s[a], s[b]);
                let span = sb - sa;
                let cross = |pa: f32, pb: f32| (pa * sb - pb * sa) / span * beta;
                (0..3).for_each(|k| position[k] += cross(corners[a].position[k], corners[b].position[k]));
                (0..6).for_each(|k| color[k] += cross(corners[a].color[k], corners[b].color[k]));
                weight += beta;
            }
            let v = first as usize + patch;
            out.vertices[v] = position.map(|x| x / weight);
            out.attrs[v] = color.map(|x| x / weight);
            gammas[v] = w.gamma;
        }
    }
    gammas
}

struct Quad {
    /// Group (0: the edge starts outside, 1: it starts inside or on the surface), then the edge's two grid vertices.
    key: u64,
    corners: [u32; 4],
}

/// One quad for every grid edge with a sign change and four cubes around it.
///
/// The edge is looked at from its lowest cube, where it is one of three edges.
fn collect_quads(
    extent: usize,
    cubes: &[SurfaceCube],
    index: &CubeIndex,
    first_vertex: &[u32],
    field: &mut impl Field,
) -> Vec<Quad> {
    // Per axis: this edge inside the four cubes in order of growing cube index, the cubes' offsets, and the rank of the
    // edge's second end among the three edges that start at one grid vertex (y edges fall, so theirs comes first).
    const AXES: [([usize; 4], [[usize; 3]; 4], u64); 3] = [
        ([6, 4, 2, 0], [[0, 0, 0], [0, 0, 1], [0, 1, 0], [0, 1, 1]], 2),
        ([10, 9, 11, 8], [[0, 0, 0], [0, 0, 1], [1, 0, 0], [1, 0, 1]], 0),
        ([5, 1, 7, 3], [[0, 0, 0], [0, 1, 0], [1, 0, 0], [1, 1, 0]], 1),
    ];
    let table = cases();
    let grid = extent as u64 + 1;
    let mut quads = Vec::new();
    for (i, c) in cubes.iter().enumerate() {
        let p = c.position();
        for (edges, offsets, rank) in &AXES {
            if table[c.case as usize].patch_of_edge[edges[0]] == 255 {
                continue;
            }
            let mut corners = [0u32; 4];
            let complete = (0..4).all(|q| {
                let o = offsets[q];
                let found = if q == 0 { Some(i) } else { index.get([p[0] + o[0], p[1] + o[1], p[2] + o[2]]) };
                let Some(j) = found else { return false };
                let patch = table[cubes[j].case as usize].patch_of_edge[edges[q]];
                corners[q] = first_vertex[j] + u32::from(patch);
                patch != 255
            });
            if !complete {
                continue;
            }
            let o = corner_offset(EDGES[edges[0]][0]);
            let a = [p[0] + o[0], p[1] + o[1], p[2] + o[2]];
            let id = (a[0] as u64 * grid + a[1] as u64) * grid + a[2] as u64;
            let starts_outside = field.sdf(a) > 0.0;
            let [q0, q1, q2, q3] = corners;
            let corners = if starts_outside { [q0, q1, q3, q2] } else { [q2, q3, q1, q0] };
            quads.push(Quad { key: u64::from(!starts_outside) << 63 | id << 2 | rank, corners });
        }
    }
    quads.sort_unstable_by_key(|q| q.key);
    quads
}

/// Cuts quads in two along the diagonal whose ends have the larger product of γ.
pub(super) fn triangulate(quads: impl ExactSizeIterator<Item = [u32; 4]>, gammas: &[f32], faces: &mut Vec<[u32; 3]>) {
    faces.reserve_exact(quads.len() * 2);
    for [r0, r1, r2, r3] in quads {
        let g = |r: u32| gammas[r as usize];
        if g(r0) * g(r2) > g(r1) * g(r3) {
            faces.extend([[r0, r1, r2], [r0, r2, r3]]);
        } else {
            faces.extend([[r0, r1, r3], [r3, r1, r2]]);
        }
    }
}
