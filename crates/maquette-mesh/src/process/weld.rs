//! Merging of vertices at the same place.

use std::collections::HashMap;

use crate::{MeshError, TriangleMesh};

/// Merges vertices closer than about `tolerance` and drops faces that collapse; attributes of the first vertex win.
///
/// Tolerance 0 merges equal positions only. Vertices that differ in uv are merged too: weld before unwrapping, not after.
/// With a tolerance, positions are compared after rounding to that grid, so two points that near a cell border may stay
/// apart; this keeps the result independent of vertex order and the cost linear.
///
/// # Errors
/// What [`TriangleMesh::validate`] reports, and [`MeshError::OutOfRange`] for a tolerance that is negative or not finite.
pub fn weld(mesh: &TriangleMesh, tolerance: f32) -> Result<TriangleMesh, MeshError> {
    mesh.validate()?;
    if !(tolerance >= 0.0 && tolerance.is_finite()) {
        return Err(MeshError::range("weld tolerance", format!("expected a number of at least 0, got {tolerance}")));
    }
    let key = |p: &[f32; 3]| -> [i64; 3] {
        p.map(|x| {
            if tolerance > 0.0 {
                (f64::from(x) / f64::from(tolerance)).round() as i64
            } else {
                // -0 and 0 are one place.
                i64::from((x + 0.0).to_bits())
            }
        })
    };
    let mut first: HashMap<[i64; 3], u32> = HashMap::with_capacity(mesh.positions.len());
    let map: Vec<u32> =
        mesh.positions.iter().enumerate().map(|(i, p)| *first.entry(key(p)).or_insert(i as u32)).collect();
    let faces = mesh.faces.iter().map(|f| f.map(|i| map[i as usize]));
    let faces = faces.filter(|[a, b, c]| a != b && b != c && a != c).collect();
    Ok(TriangleMesh { faces, ..mesh.clone() }.without_unused_vertices())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shapes;

    #[test]
    fn a_triangle_soup_becomes_the_solid_it_was() {
        let m = shapes::cuboid([1.0; 3]);
        let positions = m.faces.iter().flatten().map(|&i| m.positions[i as usize]).collect();
        let faces = (0..12).map(|f| [3 * f, 3 * f + 1, 3 * f + 2]).collect();
        let w = weld(&TriangleMesh::new(positions, faces), 0.0).expect("valid");
        assert_eq!((w.positions.len(), w.faces.len()), (8, 12));
        assert!((w.volume() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn collapsed_faces_go() {
        let m = TriangleMesh::new(vec![[0.0; 3], [1e-4, 0.0, 0.0], [0.0, 1.0, 0.0]], vec![[0, 1, 2]]);
        assert_eq!(weld(&m, 1e-2).expect("valid").faces.len(), 0);
        assert_eq!(weld(&m, 0.0).expect("valid").faces.len(), 1);
        assert!(weld(&m, f32::NAN).is_err());
    }
}
