//! A hole's patch while it is refined: triangles over border vertices and new ones.

use std::collections::HashMap;
use std::collections::HashSet;

use super::topology::edge_key;
use crate::TriangleMesh;
use crate::vector::{D3, add, dot, length, narrow, scale, sub, widen};

/// Rounds of splitting and relaxing at most.
const ROUNDS: usize = 10;
/// Vertices a patch may have for each one of its border: a runaway guard, far above what even density needs.
const GROWTH: usize = 60;

/// A corner of the patch: its vertex in the mesh (if it is a border vertex), position and wanted edge length.
struct Corner {
    mesh_vertex: Option<u32>,
    position: D3,
    scale: f64,
}

pub(super) struct Patch {
    corners: Vec<Corner>,
    faces: Vec<[u32; 3]>,
    border: usize,
}

impl Patch {
    /// A patch of triangles over mesh vertices; `scales` holds the mean edge length at each.
    pub fn new(mesh: &TriangleMesh, faces: Vec<[u32; 3]>, scales: &[f64]) -> Self {
        let mut index: HashMap<u32, u32> = HashMap::new();
        let mut corners = Vec::new();
        let faces = faces
            .iter()
            .map(|f| {
                f.map(|v| {
                    *index.entry(v).or_insert_with(|| {
                        let position = widen(mesh.positions[v as usize]);
                        corners.push(Corner { mesh_vertex: Some(v), position, scale: scales[v as usize] });
                        corners.len() as u32 - 1
                    })
                })
            })
            .collect();
        Self { border: corners.len(), corners, faces }
    }

    /// Splits triangles that are large against their surroundings and swaps edges until both come to rest. `known` holds
    /// the edges of the mesh, which a swap must not make a second time.
    pub fn refine(&mut self, known: &HashSet<u64>) {
        for _ in 0..ROUNDS {
            let split = self.split();
            // Swapping ends by itself, each swap shortens an edge; the limit guards against rounding.
            let mut passes = 0;
            while self.relax(known) && passes < ROUNDS {
                passes += 1;
            }
            if !split || self.corners.len() > self.border * GROWTH {
                break;
            }
        }
    }

    fn split(&mut self) -> bool {
        let mut any = false;
        for i in 0..self.faces.len() {
            let face = self.faces[i];
            let corners = face.map(|v| &self.corners[v as usize]);
            let third = 1.0 / 3.0;
            let centre = corners.iter().fold([0.0; 3], |s, c| add(s, scale(c.position, third)));
            let wanted = corners.iter().map(|c| c.scale * third).sum::<f64>();
            let large = corners.iter().all(|c| {
                let reach = std::f64::consts::SQRT_2 * length(sub(centre, c.position));
                reach > wanted && reach > c.scale
            });
            if !large {
                continue;
            }
            any = true;
            let new = self.corners.len() as u32;
            self.corners.push(Corner { mesh_vertex: None, position: centre, scale: wanted });
            let [a, b, c] = face;
            self.faces[i] = [a, b, new];
            self.faces.push([b, c, new]);
            self.faces.push([c, a, new]);
        }
        any
    }

    /// One pass of swaps over the inner edges; true if anything changed.
    fn relax(&mut self, known: &HashSet<u64>) -> bool {
        let mut sides: HashMap<u64, [usize; 2]> = HashMap::new();
        let mut order = Vec::new();
        for (f, face) in self.faces.iter().enumerate() {
            for k in 0..3 {
                let key = edge_key(face[k], face[(k + 1) % 3]);
                sides.entry(key).and_modify(|s| s[1] = f).or_insert_with(|| {
                    order.push(key);
                    [f, usize::MAX]
                });
            }
        }
        let mut touched = vec![false; self.faces.len()];
        let mut changed = false;
        for key in order {
            let [f, g] = sides[&key];
            if g == usize::MAX || touched[f] || touched[g] {
                continue;
            }
            let (a, b) = ((key >> 32) as u32, key as u32);
            let Some((k, apex_f)) = opposite(&self.faces[f], a, b) else { continue };
            let Some((_, apex_g)) = opposite(&self.faces[g], a, b) else { continue };
            let square = |p: u32, q: u32| {
                let d = sub(self.corners[p as usize].position, self.corners[q as usize].position);
                dot(d, d)
            };
            let shorter = square(apex_f, apex_g) < square(a, b) * 0.999_999;
            let new_key = edge_key(apex_f, apex_g);
            if apex_f == apex_g || !shorter || sides.contains_key(&new_key) || self.is_known(apex_f, apex_g, known) {
                continue;
            }
            // Face f runs from → to along the edge.
            let (from, to) = (self.faces[f][k], self.faces[f][(k + 1) % 3]);
            self.faces[f] = [from, apex_g, apex_f];
            self.faces[g] = [apex_g, to, apex_f];
            (touched[f], touched[g]) = (true, true);
            sides.insert(new_key, [f, g]);
            changed = true;
        }
        changed
    }

    fn is_known(&self, a: u32, b: u32, known: &HashSet<u64>) -> bool {
        let vertex = |v: u32| self.corners[v as usize].mesh_vertex;
        matches!((vertex(a), vertex(b)), (Some(a), Some(b)) if known.contains(&edge_key(a, b)))
    }

    /// The faces in mesh numbering, new vertices counting from `first`.
    pub fn faces_with_new_vertices_from(&self, first: u32) -> Vec<[u32; 3]> {
        let number = |v: u32| self.corners[v as usize].mesh_vertex.unwrap_or(first + v - self.border as u32);
        self.faces.iter().map(|f| f.map(number)).collect()
    }

    /// Positions of the new vertices.
    pub fn new_positions(&self) -> impl Iterator<Item = [f32; 3]> + '_ {
        self.corners[self.border..].iter().map(|c| narrow(c.position))
    }

    /// The border's mean colour for each new vertex.
    pub fn new_colors(&self, colors: &[[f32; 3]]) -> Vec<[f32; 3]> {
        let border: Vec<[f32; 3]> =
            self.corners.iter().filter_map(|c| c.mesh_vertex).map(|v| colors[v as usize]).collect();
        let mean = std::array::from_fn(|k| border.iter().map(|c| c[k]).sum::<f32>() / border.len().max(1) as f32);
        vec![mean; self.corners.len() - self.border]
    }
}

/// The side of `face` that is the edge (a, b) in either direction, and the corner opposite.
fn opposite(face: &[u32; 3], a: u32, b: u32) -> Option<(usize, u32)> {
    (0..3).find_map(|k| {
        let ends = [face[k], face[(k + 1) % 3]];
        (ends == [a, b] || ends == [b, a]).then_some((k, face[(k + 2) % 3]))
    })
}
