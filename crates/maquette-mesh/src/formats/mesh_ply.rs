//! Triangle meshes as binary PLY: positions, normals, texture coordinates and colours where present.

use super::ply_header::{self, Scalar};
use super::{UpAxis, to_byte};
use crate::{MeshError, TriangleMesh};

/// Writes a mesh; colours as bytes, uv as `s`, `t`.
///
/// # Errors
/// What [`TriangleMesh::validate`] reports.
pub fn write(mesh: &TriangleMesh, up: UpAxis) -> Result<Vec<u8>, MeshError> {
    mesh.validate()?;
    let mut names = vec!["float x", "float y", "float z"];
    if !mesh.normals.is_empty() {
        names.extend(["float nx", "float ny", "float nz"]);
    }
    if !mesh.uvs.is_empty() {
        names.extend(["float s", "float t"]);
    }
    if !mesh.colors.is_empty() {
        names.extend(["uchar red", "uchar green", "uchar blue"]);
    }
    let mut header = format!("ply\nformat binary_little_endian 1.0\nelement vertex {}\n", mesh.positions.len());
    names.iter().for_each(|n| header += &format!("property {n}\n"));
    header += &format!("element face {}\nproperty list uchar int vertex_indices\nend_header\n", mesh.faces.len());
    let mut out = header.into_bytes();
    let put = |out: &mut Vec<u8>, v: &[f32]| v.iter().for_each(|x| out.extend_from_slice(&x.to_le_bytes()));
    for i in 0..mesh.positions.len() {
        put(&mut out, &up.to_file(mesh.positions[i]));
        if let Some(n) = mesh.normals.get(i) {
            put(&mut out, &up.to_file(*n));
        }
        if let Some(uv) = mesh.uvs.get(i) {
            put(&mut out, uv);
        }
        if let Some(c) = mesh.colors.get(i) {
            out.extend(c.map(to_byte));
        }
    }
    for f in &mesh.faces {
        out.push(3);
        f.iter().for_each(|i| out.extend_from_slice(&i.to_le_bytes()));
    }
    Ok(out)
}

/// Reads a binary little-endian PLY mesh; polygons become fans of triangles.
///
/// # Errors
/// [`MeshError::Format`] for a damaged or different file, and what [`TriangleMesh::validate`] reports.
pub fn read(bytes: &[u8], up: UpAxis) -> Result<TriangleMesh, MeshError> {
    let (elements, body) = ply_header::parse(bytes)?;
    let [vertex, face, ..] = elements.as_slice() else {
        return Err(MeshError::format("PLY", "expected the elements vertex and face"));
    };
    if vertex.name != "vertex" || face.name != "face" {
        let detail = format!("expected the elements vertex, face; got {}, {}", vertex.name, face.name);
        return Err(MeshError::format("PLY", detail));
    }
    let (rows, size, rest) = ply_header::rows(vertex, body)?;
    let group = |names: &[&str]| -> Option<Vec<(usize, Scalar)>> { names.iter().map(|n| vertex.field(n)).collect() };
    let Some(xyz) = group(&["x", "y", "z"]) else {
        return Err(MeshError::format("PLY", "no x, y, z properties"));
    };
    let normal = group(&["nx", "ny", "nz"]);
    let uv = group(&["s", "t"]).or_else(|| group(&["u", "v"]));
    let color = group(&["red", "green", "blue"]);
    let mut mesh = TriangleMesh::default();
    for row in rows.chunks_exact(size) {
        let read = |f: &[(usize, Scalar)], k: usize| f[k].1.read(&row[f[k].0..]) as f32;
        let read3 = |f: &[(usize, Scalar)]| [read(f, 0), read(f, 1), read(f, 2)];
        mesh.positions.push(up.from_file(read3(&xyz)));
        mesh.normals.extend(normal.as_deref().map(|f| up.from_file(read3(f))));
        mesh.uvs.extend(uv.as_deref().map(|f| [read(f, 0), read(f, 1)]));
        mesh.colors.extend(color.as_deref().map(|f| {
            let full = if f[0].1 == Scalar::U8 { 255.0 } else { 1.0 };
            read3(f).map(|x| x / full)
        }));
    }
    mesh.faces = read_faces(face, rest)?;
    mesh.validate()?;
    Ok(mesh)
}

fn read_faces(face: &ply_header::Element, mut body: &[u8]) -> Result<Vec<[u32; 3]>, MeshError> {
    let cut = || MeshError::format("PLY", "the face list is cut off");
    if face.properties.is_empty() {
        return Err(MeshError::format("PLY", "the element face has no properties"));
    }
    let mut faces = Vec::new();
    let mut take = |n: usize| -> Result<&[u8], MeshError> {
        let (head, tail) = body.split_at_checked(n).ok_or_else(cut)?;
        body = tail;
        Ok(head)
    };
    for _ in 0..face.count {
        for p in &face.properties {
            let Some(count) = p.list else {
                take(p.scalar.size())?;
                continue;
            };
            let n = count.read(take(count.size())?) as usize;
            let indices = take(n.checked_mul(p.scalar.size()).ok_or_else(cut)?)?;
            if !p.name.starts_with("vertex_ind") {
                continue;
            }
            let at = |k: usize| p.scalar.read(&indices[k * p.scalar.size()..]) as u32;
            faces.extend((2..n).map(|k| [at(0), at(k - 1), at(k)]));
        }
    }
    Ok(faces)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shapes;

    #[test]
    fn a_mesh_with_all_attributes_survives_a_round_trip() {
        let mut m = shapes::torus(12, 8, 0.3, 0.1);
        m.compute_normals();
        m.uvs = m.positions.iter().map(|p| [p[0], p[1]]).collect();
        m.colors = (0..m.positions.len()).map(|i| [(i % 256) as f32 / 255.0, 0.0, 1.0]).collect();
        for up in [UpAxis::Y, UpAxis::Z] {
            assert_eq!(read(&write(&m, up).expect("valid"), up).expect("own file"), m);
        }
    }

    #[test]
    fn a_cut_off_file_is_refused() {
        let whole = write(&shapes::cuboid([1.0; 3]), UpAxis::Z).expect("valid");
        for cut in [10, 150, whole.len() / 2, whole.len() - 1] {
            assert!(read(&whole[..cut], UpAxis::Z).is_err());
        }
    }
}
