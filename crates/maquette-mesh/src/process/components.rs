//! Connected parts of a mesh.

use super::topology::face_components;
use crate::vector::length;
use crate::{MeshError, TriangleMesh};

/// Removes parts (faces connected through edges) whose area is below `min_share` of the largest part's.
///
/// Returns the mesh and the number of parts removed. `min_share` 0 keeps all, 1 keeps the largest.
///
/// # Errors
/// What [`TriangleMesh::validate`] reports, and [`MeshError::OutOfRange`] for a share outside `[0, 1]`.
pub fn remove_small_parts(mesh: &TriangleMesh, min_share: f64) -> Result<(TriangleMesh, usize), MeshError> {
    mesh.validate()?;
    if !(0.0..=1.0).contains(&min_share) {
        return Err(MeshError::range("smallest share of area", format!("expected 0 to 1, got {min_share}")));
    }
    let (labels, count) = face_components(&mesh.faces);
    let mut areas = vec![0.0; count];
    for (f, &label) in labels.iter().enumerate() {
        areas[label as usize] += length(mesh.area_normal(f));
    }
    let largest = areas.iter().copied().fold(0.0, f64::max);
    let keep: Vec<bool> = labels.iter().map(|&l| areas[l as usize] >= min_share * largest).collect();
    let removed = areas.iter().filter(|a| **a < min_share * largest).count();
    Ok((mesh.filter_faces(&keep)?, removed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shapes;

    #[test]
    fn a_speck_beside_a_sphere_goes() {
        let mut m = shapes::sphere(20, 30, 0.4);
        let speck = shapes::cuboid([0.01; 3]);
        let shift = m.positions.len() as u32;
        m.positions.extend(&speck.positions);
        m.faces.extend(speck.faces.iter().map(|f| f.map(|v| v + shift)));
        let (kept, removed) = remove_small_parts(&m, 0.001).expect("valid");
        assert_eq!((removed, kept.faces.len()), (1, m.faces.len() - 12));
        assert_eq!(remove_small_parts(&m, 0.0).expect("valid").1, 0);
        assert!(remove_small_parts(&m, f64::NAN).is_err());
    }
}
