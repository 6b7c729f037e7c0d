//! Binary STL: loose triangles for slicers and CAD.

use super::UpAxis;
use crate::process::weld;
use crate::triangle_mesh::unit_or_up;
use crate::{MeshError, TriangleMesh};

const HEADER: usize = 84;
const TRIANGLE: usize = 50;

/// Writes a mesh, scaled by `scale` (STL has no unit; printers read millimetres).
///
/// # Errors
/// What [`TriangleMesh::validate`] reports.
pub fn write(mesh: &TriangleMesh, up: UpAxis, scale: f32) -> Result<Vec<u8>, MeshError> {
    mesh.validate()?;
    let mut out = Vec::with_capacity(HEADER + mesh.faces.len() * TRIANGLE);
    let mut header = [b' '; 80];
    header[..8].copy_from_slice(b"maquette");
    out.extend_from_slice(&header);
    out.extend_from_slice(&(mesh.faces.len() as u32).to_le_bytes());
    for (f, face) in mesh.faces.iter().enumerate() {
        let normal = up.to_file(unit_or_up(mesh.area_normal(f)));
        let corners = face.map(|i| up.to_file(mesh.positions[i as usize]).map(|x| x * scale));
        for v in [normal, corners[0], corners[1], corners[2]] {
            v.iter().for_each(|x| out.extend_from_slice(&x.to_le_bytes()));
        }
        out.extend_from_slice(&[0, 0]);
    }
    Ok(out)
}

/// Reads a binary STL and welds equal corners.
///
/// # Errors
/// [`MeshError::Format`] if the length does not match the triangle count (an ASCII STL, for instance).
pub fn read(bytes: &[u8], up: UpAxis) -> Result<TriangleMesh, MeshError> {
    let Some((head, body)) = bytes.split_at_checked(HEADER) else {
        return Err(MeshError::format("STL", format!("{} bytes; even an empty file has {HEADER}", bytes.len())));
    };
    let count = u32::from_le_bytes([head[80], head[81], head[82], head[83]]) as usize;
    if count.checked_mul(TRIANGLE) != Some(body.len()) {
        let detail = format!("{count} triangles declared, {} bytes follow; only binary STL is read", body.len());
        return Err(MeshError::format("STL", detail));
    }
    let mut mesh = TriangleMesh::default();
    for triangle in body.chunks_exact(TRIANGLE) {
        let first = mesh.positions.len() as u32;
        for corner in triangle[12..48].as_chunks::<12>().0 {
            let x = |k: usize| f32::from_le_bytes(std::array::from_fn(|b| corner[4 * k + b]));
            mesh.positions.push(up.from_file([x(0), x(1), x(2)]));
        }
        mesh.faces.push([first, first + 1, first + 2]);
    }
    mesh.validate()?;
    weld(&mesh, 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shapes;

    #[test]
    fn a_closed_mesh_comes_back_welded() {
        let m = shapes::sphere(8, 12, 0.5);
        let back = read(&write(&m, UpAxis::Z, 1.0).expect("valid"), UpAxis::Z).expect("own file");
        assert_eq!((back.positions.len(), back.faces.len()), (m.positions.len(), m.faces.len()));
        assert!((back.volume() - m.volume()).abs() < 1e-6);
    }

    #[test]
    fn a_wrong_length_is_refused() {
        let mut bytes = write(&shapes::cuboid([1.0; 3]), UpAxis::Z, 1.0).expect("valid");
        bytes.pop();
        assert!(read(&bytes, UpAxis::Z).is_err());
        assert!(read(b"solid x", UpAxis::Z).is_err());
    }
}
