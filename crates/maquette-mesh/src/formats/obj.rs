//! Wavefront OBJ with its material file.

use std::fmt::Write as _;

use super::UpAxis;
use crate::{MeshError, TriangleMesh};

/// An OBJ file and the MTL file it refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjFiles {
    /// Text of the `.obj`.
    pub obj: String,
    /// Text of the `.mtl`; `None` without a texture.
    pub mtl: Option<String>,
}

/// Writes a mesh. `stem` is the file name without ending (the OBJ refers to `stem.mtl`), `texture` the picture's file name.
///
/// Without a texture, vertex colours are appended to the `v` lines, as most programs read them.
///
/// # Errors
/// What [`TriangleMesh::validate`] reports, and [`MeshError::Format`] for names with line breaks.
pub fn write(mesh: &TriangleMesh, up: UpAxis, stem: &str, texture: Option<&str>) -> Result<ObjFiles, MeshError> {
    mesh.validate()?;
    if [stem, texture.unwrap_or("")].iter().any(|n| n.contains(['\n', '\r'])) {
        return Err(MeshError::format("OBJ", "file names must not hold line breaks"));
    }
    let mut obj = String::from("# maquette\n");
    // Writing to a String cannot fail.
    let mut line = |text: std::fmt::Arguments<'_>| {
        let _ = obj.write_fmt(text);
        obj.push('\n');
    };
    if texture.is_some() {
        line(format_args!("mtllib {stem}.mtl"));
    }
    for (i, p) in mesh.positions.iter().enumerate() {
        let [x, y, z] = up.to_file(*p);
        match mesh.colors.get(i).filter(|_| texture.is_none()) {
            Some([r, g, b]) => line(format_args!("v {x} {y} {z} {r} {g} {b}")),
            None => line(format_args!("v {x} {y} {z}")),
        }
    }
    mesh.uvs.iter().for_each(|[u, v]| line(format_args!("vt {u} {v}")));
    for n in &mesh.normals {
        let [x, y, z] = up.to_file(*n);
        line(format_args!("vn {x} {y} {z}"));
    }
    if texture.is_some() {
        line(format_args!("usemtl textured"));
    }
    let (uv, normal) = (!mesh.uvs.is_empty(), !mesh.normals.is_empty());
    for f in &mesh.faces {
        let [a, b, c] = f.map(|i| u64::from(i) + 1);
        match (uv, normal) {
            (true, true) => line(format_args!("f {a}/{a}/{a} {b}/{b}/{b} {c}/{c}/{c}")),
            (true, false) => line(format_args!("f {a}/{a} {b}/{b} {c}/{c}")),
            (false, true) => line(format_args!("f {a}//{a} {b}//{b} {c}//{c}")),
            (false, false) => line(format_args!("f {a} {b} {c}")),
        }
    }
    let mtl = texture.map(|t| format!("newmtl textured\nKa 0 0 0\nKd 1 1 1\nKs 0 0 0\nd 1\nillum 1\nmap_Kd {t}\n"));
    Ok(ObjFiles { obj, mtl })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shapes;

    #[test]
    fn a_textured_mesh_names_its_material_and_counts_from_one() {
        let mut m = shapes::cuboid([1.0; 3]);
        m.uvs = vec![[0.25, 0.75]; 8];
        m.compute_normals();
        let files = write(&m, UpAxis::Y, "chair", Some("chair.png")).expect("valid");
        assert!(files.obj.contains("mtllib chair.mtl"));
        assert_eq!(files.obj.lines().filter(|l| l.starts_with("f ")).count(), 12);
        assert!(files.obj.contains("f 1/1/1 5/5/5 7/7/7"));
        assert!(files.mtl.expect("has a texture").contains("map_Kd chair.png"));
    }

    #[test]
    fn colours_go_to_the_vertex_lines_when_there_is_no_texture() {
        let mut m = shapes::cuboid([1.0; 3]);
        m.colors = vec![[1.0, 0.5, 0.0]; 8];
        let files = write(&m, UpAxis::Z, "box", None).expect("valid");
        assert!(files.obj.contains("v -0.5 -0.5 -0.5 1 0.5 0"));
        assert!(files.mtl.is_none());
    }
}
