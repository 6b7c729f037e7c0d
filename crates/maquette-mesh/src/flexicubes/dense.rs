//! Extraction from a dense grid: the definition the sparse path is checked against, and an entry for other scalar fields.

use super::surface::{SurfaceCube, corner_offset, extract_surface};
use super::{Corner, CubeWeights, ExtractedMesh, Field, RawWeights, check_resolution};
use crate::MeshError;
use crate::gaussians::sigmoid;

/// A scalar field on the `(res + 1)³` vertices of a grid, x slowest, with optional FlexiCubes weights per cube.
#[derive(Debug, Clone, Copy, Default)]
pub struct DenseField<'a> {
    /// Cubes along one edge.
    pub res: usize,
    /// Signed distance per grid vertex, negative inside.
    pub sdf: &'a [f32],
    /// (Deformed) position per grid vertex.
    pub grid: &'a [[f32; 3]],
    /// Raw edge weights per cube, before normalisation; empty for all ones.
    pub beta: &'a [[f32; 12]],
    /// Raw corner weights per cube; empty for all ones.
    pub alpha: &'a [[f32; 8]],
    /// Raw quad-splitting weights per cube; empty for equal ones.
    pub gamma: &'a [f32],
    /// Raw colours per grid vertex, before the sigmoid; empty for 0.5.
    pub colors: &'a [[f32; 6]],
}

/// Extracts the surface of a dense field.
///
/// # Errors
/// [`MeshError::Shape`] for arrays that do not fit the resolution, [`MeshError::OutOfRange`] for an impossible resolution.
pub fn extract_dense(field: &DenseField<'_>) -> Result<ExtractedMesh, MeshError> {
    check_resolution(field.res)?;
    let (vertices, cubes) = ((field.res + 1).pow(3), field.res.pow(3));
    let lengths = [
        ("sdf", field.sdf.len(), vertices, false),
        ("grid", field.grid.len(), vertices, false),
        ("colors", field.colors.len(), vertices, true),
        ("beta", field.beta.len(), cubes, true),
        ("alpha", field.alpha.len(), cubes, true),
        ("gamma", field.gamma.len(), cubes, true),
    ];
    for (what, got, want, optional) in lengths {
        if got != want && !(optional && got == 0) {
            return Err(MeshError::shape(what, want, got));
        }
    }
    let mut view = DenseView(*field);
    let mut surface = Vec::new();
    for x in 0..field.res {
        for y in 0..field.res {
            for z in 0..field.res {
                let case = (0..8).fold(0u8, |id, m| {
                    let o = corner_offset(m);
                    id | u8::from(view.sdf([x + o[0], y + o[1], z + o[2]]) < 0.0) << m
                });
                if case != 0 && case != 255 {
                    surface.push(SurfaceCube { at: [x as u16, y as u16, z as u16], case });
                }
            }
        }
    }
    Ok(extract_surface(field.res, surface, &mut view))
}

struct DenseView<'a>(DenseField<'a>);

impl DenseView<'_> {
    fn vertex(&self, p: [usize; 3]) -> usize {
        let n = self.0.res + 1;
        (p[0] * n + p[1]) * n + p[2]
    }
}

impl Field for DenseView<'_> {
    fn sdf(&self, p: [usize; 3]) -> f32 {
        self.0.sdf[self.vertex(p)]
    }

    fn corner(&mut self, p: [usize; 3]) -> Corner {
        let i = self.vertex(p);
        Corner {
            sdf: self.0.sdf[i],
            position: self.0.grid[i],
            color: self.0.colors.get(i).map_or([0.5; 6], |c| c.map(sigmoid)),
        }
    }

    fn weights(&self, p: [usize; 3]) -> CubeWeights {
        let i = (p[0] * self.0.res + p[1]) * self.0.res + p[2];
        let mut raw: RawWeights = [0.0; 21];
        if let Some(beta) = self.0.beta.get(i) {
            raw[..12].copy_from_slice(beta);
        }
        if let Some(alpha) = self.0.alpha.get(i) {
            raw[12..20].copy_from_slice(alpha);
        }
        if let Some(gamma) = self.0.gamma.get(i) {
            raw[20] = *gamma;
        }
        CubeWeights::normalise(&raw)
    }
}
