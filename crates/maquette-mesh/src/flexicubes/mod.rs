//! FlexiCubes in inference mode over a sparse set of voxels (spec §7.4–7.6).
//!
//! Cubes and corners follow the reference: corner m of a cube sits at offset (m & 1, m >> 1 & 1, m >> 2 & 1), inside means
//! sdf < 0. Surface cubes may lie outside the active set (they share an inside corner with it); they use default weights,
//! and untouched corners count as sdf = +1.

mod bricks;
mod dense;
mod sparse;
mod surface;
mod tables;

pub use dense::{DenseField, extract_dense};
pub use sparse::{CornerMeans, ROW, SparseExtractor, SparseField, extract};
pub use tables::case_words;

use crate::gaussians::sigmoid;
use crate::portable::tanhf;
use crate::{MeshError, TriangleMesh};

/// What extraction returns: world coordinates (z up), in the reference's vertex and face order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ExtractedMesh {
    /// Dual vertices `[V, 3]`.
    pub vertices: Vec<[f32; 3]>,
    /// Triangles `[F, 3]`.
    pub faces: Vec<[u32; 3]>,
    /// Colour 3 and normal 3 per vertex, all through a sigmoid.
    pub attrs: Vec<[f32; 6]>,
}

impl ExtractedMesh {
    /// Whether there is anything to show.
    pub fn is_success(&self) -> bool {
        !self.vertices.is_empty() && !self.faces.is_empty()
    }

    /// The mesh with its decoded vertex colours.
    pub fn into_triangle_mesh(self) -> TriangleMesh {
        let colors = self.attrs.iter().map(|a| [a[0], a[1], a[2]]).collect();
        TriangleMesh { colors, ..TriangleMesh::new(self.vertices, self.faces) }
    }
}

fn activated_gamma(raw: f32) -> f32 {
    0.99 * sigmoid(raw) + 0.005
}

/// A surface of quads, before they are cut in two: what a device that extracts hands over.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DualSurface {
    /// Dual vertices `[V]`: position 3, colour 3 and normal 3 after their sigmoids, and γ of the cube before its activation.
    pub vertices: Vec<[f32; 10]>,
    /// Four dual vertices each, in the reference's order.
    pub quads: Vec<[u32; 4]>,
}

impl DualSurface {
    /// Cuts the quads, by the definition's own arithmetic: which diagonal is taken hangs on the last bit of products.
    ///
    /// # Errors
    /// [`MeshError::OutOfRange`] for a quad of a vertex that does not exist.
    pub fn into_mesh(self) -> Result<ExtractedMesh, MeshError> {
        let count = self.vertices.len();
        if let Some(quad) = self.quads.iter().find(|quad| quad.iter().any(|v| *v as usize >= count)) {
            return Err(MeshError::range("quad", format!("{quad:?} of {count} vertices")));
        }
        let gammas: Vec<f32> = self.vertices.iter().map(|v| activated_gamma(v[9])).collect();
        let mut mesh = ExtractedMesh {
            vertices: self.vertices.iter().map(|v| [v[0], v[1], v[2]]).collect(),
            attrs: self.vertices.iter().map(|v| std::array::from_fn(|k| v[3 + k])).collect(),
            faces: Vec::new(),
        };
        surface::triangulate(self.quads.iter().copied(), &gammas, &mut mesh.faces);
        Ok(mesh)
    }
}

/// Raw weights of one cube: β 12, α 8, γ 1.
pub(crate) type RawWeights = [f32; 21];

/// Weights of one cube after normalisation.
pub(crate) struct CubeWeights {
    beta: [f32; 12],
    alpha: [f32; 8],
    gamma: f32,
}

impl CubeWeights {
    /// What raw zeros become.
    const DEFAULT: Self = Self { beta: [1.0; 12], alpha: [1.0; 8], gamma: 0.99 * 0.5 + 0.005 };

    fn normalise(raw: &RawWeights) -> Self {
        Self {
            beta: std::array::from_fn(|k| 0.99 * tanhf(raw[k]) + 1.0),
            alpha: std::array::from_fn(|k| 0.99 * tanhf(raw[12 + k]) + 1.0),
            gamma: activated_gamma(raw[20]),
        }
    }
}

/// A grid vertex as extraction sees it.
#[derive(Clone, Copy)]
pub(crate) struct Corner {
    sdf: f32,
    position: [f32; 3],
    color: [f32; 6],
}

/// Where the surface code reads its numbers: a dense grid or the sparse bricks.
pub(crate) trait Field {
    /// Signed distance at a grid vertex.
    fn sdf(&self, vertex: [usize; 3]) -> f32;
    /// Everything at a grid vertex. May compute and keep activations, hence `&mut`.
    fn corner(&mut self, vertex: [usize; 3]) -> Corner;
    /// Weights of a cube.
    fn weights(&self, cube: [usize; 3]) -> CubeWeights;
}

fn check_resolution(res: usize) -> Result<(), MeshError> {
    if (1..=1024).contains(&res) {
        return Ok(());
    }
    Err(MeshError::range("FlexiCubes resolution", format!("expected 1 to 1024 voxels an edge, got {res}")))
}
