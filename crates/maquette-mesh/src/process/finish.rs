//! From an extracted mesh to one worth texturing, in two halves: between them somebody has to look which faces are visible
//! (a GPU, or [`crate::raster_mesh::face_visibility`]).

use super::topology::face_components;
use super::{
    CleanReport, DecimateOptions, HoleOptions, InnerFaceOptions, clean, decimate, fill_holes, remove_inner_faces,
    remove_small_parts,
};
use crate::vector::length;
use crate::{MeshError, TriangleMesh};

/// What [`reduce`] and [`close`] do.
#[derive(Debug, Clone, PartialEq)]
pub struct FinishOptions {
    /// Faces wanted; `None` leaves their number.
    pub target_faces: Option<usize>,
    /// Fill holes.
    pub fill_holes: bool,
    /// A hidden part stays if removing it would open a larger hole (world units squared).
    pub max_hole_area: f64,
    /// Parts below this share of the largest part's area go.
    pub min_part_share: f64,
    /// Parts below this share of the largest part's area may go where the faces wanted are too few for all parts.
    pub expendable_share: f64,
    /// Threads to use; the result does not depend on it.
    pub threads: usize,
}

impl Default for FinishOptions {
    fn default() -> Self {
        Self {
            target_faces: Some(20_000),
            fill_holes: true,
            max_hole_area: 0.04,
            min_part_share: 1e-4,
            expendable_share: 0.05,
            threads: 1,
        }
    }
}

/// A mesh between the two halves.
#[derive(Debug, Clone, PartialEq)]
pub struct Reduced {
    /// The mesh.
    pub mesh: TriangleMesh,
    /// Result of cleaning the input.
    pub cleaned: CleanReport,
    /// Small parts removed.
    pub parts: usize,
    /// Share of the faces that decimation took.
    pub reduction: f64,
}

/// What [`close`] changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CloseReport {
    /// Hidden faces removed.
    pub hidden_faces: usize,
    /// Holes filled.
    pub holes: usize,
    /// Small parts removed, because the faces wanted are too few for all parts.
    pub parts: usize,
}

/// The first half: cleans, drops specks, decimates. Vertex colours are kept.
///
/// # Errors
/// [`MeshError::Empty`] without faces, and what the steps report.
pub fn reduce(mesh: &TriangleMesh, options: &FinishOptions) -> Result<Reduced, MeshError> {
    let (mesh, cleaned) = clean(mesh)?;
    if mesh.faces.is_empty() {
        return Err(MeshError::Empty { operation: "mesh processing" });
    }
    let (mut mesh, parts) = remove_small_parts(&mesh, options.min_part_share)?;
    let before = mesh.faces.len().max(1);
    if let Some(target) = options.target_faces {
        mesh = decimate(&mesh, &DecimateOptions { threads: options.threads, ..DecimateOptions::to_faces(target) })?;
    }
    let reduction = 1.0 - mesh.faces.len() as f64 / before as f64;
    Ok(Reduced { mesh, cleaned, parts, reduction })
}

/// The second half: removes hidden faces (`visibility`: for every face the share of views that see it; `None` leaves them),
/// fills holes, and keeps to the faces wanted, which patches may have exceeded. Vertex colours are kept.
///
/// Decimation never opens or closes a handle and leaves four faces of a closed part: where that is too much, small parts go,
/// the smallest first. A mesh of many handles can still have more faces than wanted.
///
/// # Errors
/// What the steps report.
pub fn close(
    reduced: Reduced,
    visibility: Option<&[f32]>,
    options: &FinishOptions,
) -> Result<(TriangleMesh, CloseReport), MeshError> {
    let (mut out, mut report) = (reduced.mesh, CloseReport::default());
    if let Some(seen) = visibility {
        let limits = InnerFaceOptions { max_hole_area: options.max_hole_area };
        let (kept, removed) = remove_inner_faces(&out, seen, &limits)?;
        // A mesh that no view sees at all (inside out, or far too small) is better whole than gone.
        if !kept.faces.is_empty() {
            (out, report.hidden_faces) = (kept, removed);
        }
    }
    if options.fill_holes {
        (out, _) = clean(&out)?;
        // The reference scales its limit with the reduction; without reduction the common one of 0.95 is kept to.
        let limits = HoleOptions::for_reduction(reduced.reduction.clamp(0.5, 0.95));
        (out, report.holes) = fill_holes(&out, &limits)?;
    }
    let target = options.target_faces.unwrap_or(usize::MAX);
    if out.faces.len() > target {
        out = decimate(&out, &DecimateOptions::to_faces(target))?;
    }
    if out.faces.len() > target {
        (out, report.parts) = drop_smallest_parts(&out, target, options.expendable_share)?;
    }
    Ok((out, report))
}

/// Removes the parts of least area, all below a share of the largest's, until no more than `target` faces are left or no such
/// part is.
fn drop_smallest_parts(mesh: &TriangleMesh, target: usize, share: f64) -> Result<(TriangleMesh, usize), MeshError> {
    let (labels, count) = face_components(&mesh.faces);
    let mut parts = vec![(0.0, 0usize, 0usize); count];
    for (f, &label) in labels.iter().enumerate() {
        let (area, part, faces) = &mut parts[label as usize];
        *area += length(mesh.area_normal(f));
        *part = label as usize;
        *faces += 1;
    }
    parts.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let limit = share * parts.last().map_or(0.0, |p| p.0);
    let (mut left, mut gone) = (mesh.faces.len(), vec![false; count]);
    for (area, part, faces) in parts {
        if left <= target || area >= limit {
            break;
        }
        (left, gone[part]) = (left - faces, true);
    }
    let keep: Vec<bool> = labels.iter().map(|&label| !gone[label as usize]).collect();
    Ok((mesh.filter_faces(&keep)?, gone.iter().filter(|g| **g).count()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shapes;

    fn beside(m: &mut TriangleMesh, other: &TriangleMesh, at: f32) {
        let shift = m.positions.len() as u32;
        m.positions.extend(other.positions.iter().map(|p| [p[0] + at, p[1], p[2]]));
        m.faces.extend(other.faces.iter().map(|f| f.map(|v| v + shift)));
    }

    /// Spheres in a row, each `scale` times as large as the one before.
    fn row(count: usize, scale: f32) -> TriangleMesh {
        let mut m = TriangleMesh::default();
        (0..count).for_each(|n| beside(&mut m, &shapes::sphere(12, 16, 0.4 * scale.powi(n as i32)), n as f32));
        m
    }

    #[test]
    fn patches_do_not_exceed_the_faces_wanted() {
        let mut m = shapes::sphere(40, 60, 0.4);
        // Every so-many-th face is missing.
        m.faces = m.faces.iter().enumerate().filter(|(f, _)| f % 97 != 5).map(|(_, f)| *f).collect();
        let options = FinishOptions { target_faces: Some(300), ..FinishOptions::default() };
        let reduced = reduce(&m, &options).expect("valid");
        let (done, report) = close(reduced, None, &options).expect("valid");
        assert!(report.holes > 0 && done.faces.len() <= 300, "{report:?}, {} faces", done.faces.len());
    }

    #[test]
    fn where_faces_are_too_few_for_all_parts_small_ones_go_and_large_ones_stay() {
        let options = FinishOptions { target_faces: Some(12), min_part_share: 0.0, ..FinishOptions::default() };
        // Areas fall to a quarter from part to part: the third is the last above a twentieth.
        let (done, report) = close(reduce(&row(7, 0.5), &options).expect("valid"), None, &options).expect("valid");
        assert_eq!((done.faces.len(), report.parts), (12, 4));
        let (done, report) = close(reduce(&row(7, 1.0), &options).expect("valid"), None, &options).expect("valid");
        assert_eq!((done.faces.len(), report.parts), (28, 0));
    }
}
