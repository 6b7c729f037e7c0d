//! From decoded voxel rows to the sparse field of corner means (spec §7.4), taken in row by row.
//!
//! Memory for 1.28 M voxels: 11 floats a cell of the vertex bricks, 21 weights a voxel; no dense grid, and the rows
//! themselves can be handed over in pieces and dropped.

use super::bricks::{Bricks, CELLS};
use super::surface::{SurfaceCube, corner_offset, extract_surface};
use super::{Corner, CubeWeights, ExtractedMesh, Field, RawWeights, check_resolution};
use crate::MeshError;
use crate::gaussians::sigmoid;
use crate::portable::tanhf;

/// Floats in one decoded voxel row.
pub const ROW: usize = 101;
/// Sums kept per grid vertex: sdf, deformation, colour.
const SUMS: usize = 10;

/// The decoder's output for one mesh.
#[derive(Debug, Clone, Copy)]
pub struct SparseField<'a> {
    /// Fine voxels along one edge (256 for the published decoder).
    pub res: usize,
    /// Voxel coordinates `[N, 3]`.
    pub coords: &'a [[i32; 3]],
    /// Decoder rows `[N, 101]`: sdf 8, deformation 8×3, weights 21, colour 8×6.
    pub features: &'a [f32],
}

/// Extracts the mesh of a whole sparse field; see [`SparseExtractor`] to hand it over in pieces.
///
/// # Errors
/// As [`SparseExtractor::push`].
pub fn extract(field: &SparseField<'_>) -> Result<ExtractedMesh, MeshError> {
    let mut extractor = SparseExtractor::new(field.res)?;
    extractor.push(field.coords, field.features)?;
    Ok(extractor.finish())
}

/// Corner means of a sparse field: unique corner positions in lexicographic order and their
/// attributes (sdf with its bias, deformation 3, raw colour 6).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CornerMeans {
    /// Grid vertices `[V, 3]`.
    pub positions: Vec<[u16; 3]>,
    /// Means `[V, 10]`.
    pub attrs: Vec<[f32; 10]>,
}

/// Takes decoded rows in any number of pieces, then extracts the surface.
#[derive(Debug)]
pub struct SparseExtractor {
    res: usize,
    vertices: Bricks,
    sums: Vec<[f32; SUMS]>,
    /// Active-cube corners met at each vertex; 0 marks a cell of the brick that no voxel touches.
    counts: Vec<u8>,
    cubes: Bricks,
    /// Row of `weights` per cube cell.
    weight_rows: Vec<u32>,
    weights: Vec<RawWeights>,
}

impl SparseExtractor {
    /// An extractor for a grid of `res` voxels an edge.
    ///
    /// # Errors
    /// [`MeshError::OutOfRange`] for a resolution of 0 or above 1024.
    pub fn new(res: usize) -> Result<Self, MeshError> {
        check_resolution(res)?;
        Ok(Self {
            res,
            vertices: Bricks::new(res + 1),
            sums: Vec::new(),
            counts: Vec::new(),
            cubes: Bricks::new(res),
            weight_rows: Vec::new(),
            weights: Vec::new(),
        })
    }

    /// Adds voxels: `coords` `[n, 3]`, `features` `[n, 101]`.
    ///
    /// # Errors
    /// [`MeshError::Shape`] for unequal lengths; [`MeshError::OutOfRange`] for a voxel outside the grid or given twice.
    pub fn push(&mut self, coords: &[[i32; 3]], features: &[f32]) -> Result<(), MeshError> {
        if features.len() != coords.len() * ROW {
            return Err(MeshError::shape("voxel features", format!("{} x {ROW}", coords.len()), features.len()));
        }
        self.weights.reserve(coords.len());
        for (c, row) in coords.iter().zip(features.chunks_exact(ROW)) {
            let [Some(x), Some(y), Some(z)] = c.map(|v| usize::try_from(v).ok().filter(|&v| v < self.res)) else {
                return Err(MeshError::range("voxel", format!("{c:?} is not in 0..{} per axis", self.res)));
            };
            self.push_voxel([x, y, z], row)?;
        }
        Ok(())
    }

    fn push_voxel(&mut self, p: [usize; 3], row: &[f32]) -> Result<(), MeshError> {
        let cell = self.cubes.slot_or_insert(p);
        self.weight_rows.resize(self.cubes.len() * CELLS, u32::MAX);
        if self.weight_rows[cell] != u32::MAX {
            return Err(MeshError::range("voxel", format!("{p:?} is given twice; voxels must be unique")));
        }
        self.weight_rows[cell] = self.weights.len() as u32;
        let mut w: RawWeights = [0.0; 21];
        w.copy_from_slice(&row[32..53]);
        self.weights.push(w);
        for m in 0..8 {
            let o = corner_offset(m);
            let v = self.vertices.slot_or_insert([p[0] + o[0], p[1] + o[1], p[2] + o[2]]);
            if v >= self.counts.len() {
                self.sums.resize(self.vertices.len() * CELLS, [0.0; SUMS]);
                self.counts.resize(self.vertices.len() * CELLS, 0);
            }
            let sum = &mut self.sums[v];
            sum[0] += row[m];
            (0..3).for_each(|k| sum[1 + k] += row[8 + 3 * m + k]);
            (0..6).for_each(|k| sum[4 + k] += row[53 + 6 * m + k]);
            self.counts[v] += 1;
        }
        Ok(())
    }

    /// Turns sums into means, the sdf with its bias of −1/res.
    fn take_means(&mut self) {
        let bias = 1.0 / self.res as f32;
        for (sum, &count) in self.sums.iter_mut().zip(&self.counts).filter(|(_, c)| **c > 0) {
            let n = f32::from(count);
            sum.iter_mut().for_each(|x| *x /= n);
            sum[0] -= bias;
        }
    }

    /// The means at all corners of active voxels; consumes the extractor.
    pub fn corner_means(mut self) -> CornerMeans {
        self.take_means();
        let mut rows: Vec<([u16; 3], usize)> = (0..self.counts.len())
            .filter(|&s| self.counts[s] > 0)
            .map(|s| (self.vertices.position(s).map(|x| x as u16), s))
            .collect();
        rows.sort_unstable();
        CornerMeans {
            positions: rows.iter().map(|r| r.0).collect(),
            attrs: rows.iter().map(|r| self.sums[r.1]).collect(),
        }
    }

    /// Extracts the surface of everything pushed so far. A field without surface gives an empty mesh.
    pub fn finish(mut self) -> ExtractedMesh {
        self.take_means();
        let surface = self.surface_cubes();
        let res = self.res;
        let transformed = vec![false; self.counts.len()];
        extract_surface(res, surface, &mut SparseView { field: self, transformed })
    }

    /// All cubes with a sign change. Only a touched vertex can be inside, so it is enough to look at the (up to eight)
    /// cubes around each inside vertex, active or not; each cube is reported by its first inside corner.
    fn surface_cubes(&self) -> Vec<SurfaceCube> {
        let mut inside = vec![0u64; self.vertices.len()];
        for (brick, bits) in inside.iter_mut().enumerate() {
            for cell in 0..CELLS {
                let s = brick * CELLS + cell;
                *bits |= u64::from(self.counts[s] > 0 && self.sums[s][0] < 0.0) << cell;
            }
        }
        let is_inside =
            |p: [usize; 3]| self.vertices.slot(p).is_some_and(|s| inside[s / CELLS] >> (s % CELLS) & 1 == 1);
        let mut out = Vec::new();
        for (brick, &bits) in inside.iter().enumerate() {
            let origin = self.vertices.origin(brick);
            for cell in (0..CELLS).filter(|c| bits >> c & 1 == 1) {
                let v = [origin[0] + cell / 16, origin[1] + cell / 4 % 4, origin[2] + cell % 4];
                for m in 0..8 {
                    let o = corner_offset(m);
                    if (0..3).any(|k| v[k] < o[k] || v[k] - o[k] >= self.res) {
                        continue;
                    }
                    let p = [v[0] - o[0], v[1] - o[1], v[2] - o[2]];
                    let mut case = 0u8;
                    for n in 0..8 {
                        let q = corner_offset(n);
                        let hit = n == m || is_inside([p[0] + q[0], p[1] + q[1], p[2] + q[2]]);
                        if hit && n < m {
                            case = 255;
                            break;
                        }
                        case |= u8::from(hit) << n;
                    }
                    if case != 255 {
                        out.push(SurfaceCube { at: p.map(|x| x as u16), case });
                    }
                }
            }
        }
        out
    }
}

/// The field after averaging: `sums` hold means; where `transformed`, deformation and colour are already activated.
struct SparseView {
    field: SparseExtractor,
    transformed: Vec<bool>,
}

impl SparseView {
    fn touched(&self, p: [usize; 3]) -> Option<usize> {
        self.field.vertices.slot(p).filter(|&s| self.field.counts[s] > 0)
    }
}

impl Field for SparseView {
    fn sdf(&self, p: [usize; 3]) -> f32 {
        self.touched(p).map_or(1.0, |s| self.field.sums[s][0])
    }

    fn corner(&mut self, p: [usize; 3]) -> Corner {
        let res = self.field.res as f32;
        let grid = p.map(|x| x as f32 / res - 0.5);
        let Some(s) = self.touched(p) else {
            return Corner { sdf: 1.0, position: grid, color: [0.5; 6] };
        };
        let row = &mut self.field.sums[s];
        if !self.transformed[s] {
            self.transformed[s] = true;
            let reach = ((1.0 - 1e-8) / (2.0 * f64::from(res))) as f32;
            row[1..4].iter_mut().for_each(|d| *d = reach * tanhf(*d));
            row[4..].iter_mut().for_each(|c| *c = sigmoid(*c));
        }
        Corner {
            sdf: row[0],
            position: [grid[0] + row[1], grid[1] + row[2], grid[2] + row[3]],
            color: std::array::from_fn(|k| row[4 + k]),
        }
    }

    fn weights(&self, p: [usize; 3]) -> CubeWeights {
        let row = self.field.cubes.slot(p).map(|s| self.field.weight_rows[s]).filter(|&r| r != u32::MAX);
        row.map_or(CubeWeights::DEFAULT, |r| CubeWeights::normalise(&self.field.weights[r as usize]))
    }
}
