//! From an extracted mesh to one worth texturing: all processing steps in order.

use super::{
    CleanReport, DecimateOptions, HoleOptions, InnerFaceOptions, clean, decimate, fill_holes, remove_inner_faces,
    remove_small_parts,
};
use crate::{MeshError, TriangleMesh};

/// What [`finish`] does.
#[derive(Debug, Clone, PartialEq)]
pub struct FinishOptions {
    /// Faces wanted; `None` leaves their number.
    pub target_faces: Option<usize>,
    /// Remove hidden faces and fill holes.
    pub fill_holes: bool,
    /// A hidden part stays if removing it would open a larger hole (world units squared).
    pub max_hole_area: f64,
    /// Parts below this share of the largest part's area go.
    pub min_part_share: f64,
}

impl Default for FinishOptions {
    fn default() -> Self {
        Self { target_faces: Some(20_000), fill_holes: true, max_hole_area: 0.04, min_part_share: 1e-4 }
    }
}

/// What [`finish`] changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FinishReport {
    /// Result of cleaning the input.
    pub cleaned: CleanReport,
    /// Small parts removed.
    pub parts: usize,
    /// Hidden faces removed.
    pub hidden_faces: usize,
    /// Holes filled.
    pub holes: usize,
}

/// Cleans, drops specks, decimates, removes hidden faces, fills holes. Vertex colours are kept.
///
/// `visibility` gets the decimated mesh and returns, for every face, the share of views that see it (a GPU rasteriser, or
/// [`crate::raster_mesh::face_visibility`]); it is called only with `fill_holes`.
///
/// # Errors
/// [`MeshError::Empty`] without faces, what `visibility` returns, and what the steps report.
pub fn finish(
    mesh: &TriangleMesh,
    options: &FinishOptions,
    visibility: &mut dyn FnMut(&TriangleMesh) -> Result<Vec<f32>, MeshError>,
) -> Result<(TriangleMesh, FinishReport), MeshError> {
    let mut report = FinishReport::default();
    let (mut out, cleaned) = clean(mesh)?;
    report.cleaned = cleaned;
    if out.faces.is_empty() {
        return Err(MeshError::Empty { operation: "mesh processing" });
    }
    (out, report.parts) = remove_small_parts(&out, options.min_part_share)?;
    let before = out.faces.len();
    if let Some(target_faces) = options.target_faces {
        out = decimate(&out, &DecimateOptions::to_faces(target_faces))?;
    }
    if options.fill_holes {
        let seen = visibility(&out)?;
        let limits = InnerFaceOptions { max_hole_area: options.max_hole_area };
        let (kept, removed) = remove_inner_faces(&out, &seen, &limits)?;
        // A mesh that no view sees at all (inside out, or far too small) is better whole than gone.
        if !kept.faces.is_empty() {
            (out, report.hidden_faces) = (kept, removed);
        }
        let reduction = 1.0 - out.faces.len() as f64 / before as f64;
        (out, _) = clean(&out)?;
        (out, report.holes) = fill_holes(&out, &HoleOptions::for_reduction(reduction))?;
    }
    Ok((out, report))
}
