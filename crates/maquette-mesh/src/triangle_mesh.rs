//! The triangle mesh that every stage after extraction works on.

use std::collections::HashMap;

use crate::MeshError;
use crate::vector::{D3, cross, dot, length, scale, sub, widen};

/// Indexed triangles with optional per-vertex attributes.
///
/// World units: the object lives in `[-0.5, 0.5]³`, z up, right-handed; faces are counter-clockwise seen from outside.
/// An attribute vector is either empty (absent) or as long as `positions`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TriangleMesh {
    /// Vertex positions `[V, 3]`.
    pub positions: Vec<[f32; 3]>,
    /// Vertex indices `[F, 3]`.
    pub faces: Vec<[u32; 3]>,
    /// Unit vertex normals `[V, 3]`, or empty.
    pub normals: Vec<[f32; 3]>,
    /// Texture coordinates `[V, 2]`, or empty. v grows upwards: v = 0 is the bottom row of the texture.
    pub uvs: Vec<[f32; 2]>,
    /// Vertex colours `[V, 3]`, sRGB-encoded in `[0, 1]`, or empty.
    pub colors: Vec<[f32; 3]>,
}

impl TriangleMesh {
    /// A mesh of positions and faces only.
    pub fn new(positions: Vec<[f32; 3]>, faces: Vec<[u32; 3]>) -> Self {
        Self { positions, faces, ..Self::default() }
    }

    /// Checks that every face points at a vertex, every attribute has one row a vertex, and every position is finite.
    ///
    /// # Errors
    /// [`MeshError::FaceIndex`], [`MeshError::Shape`] or [`MeshError::OutOfRange`].
    pub fn validate(&self) -> Result<(), MeshError> {
        let v = self.positions.len();
        if u32::try_from(v).is_err() {
            return Err(MeshError::range("vertex count", format!("at most 2^32 - 1 vertices, got {v}")));
        }
        for (face, f) in self.faces.iter().enumerate() {
            if let Some(&vertex) = f.iter().find(|&&i| i as usize >= v) {
                return Err(MeshError::FaceIndex { face, vertex, vertices: v });
            }
        }
        let lengths = [("normals", self.normals.len()), ("uvs", self.uvs.len()), ("colors", self.colors.len())];
        for (what, n) in lengths {
            if n != 0 && n != v {
                return Err(MeshError::shape(what, format!("0 or {v} rows"), n));
            }
        }
        if let Some(i) = self.positions.iter().position(|p| p.iter().any(|x| !x.is_finite())) {
            let detail = format!("vertex {i} is {:?}; every coordinate must be finite", self.positions[i]);
            return Err(MeshError::range("position", detail));
        }
        Ok(())
    }

    /// Smallest and largest coordinate per axis; `None` without vertices.
    pub fn bounds(&self) -> Option<([f32; 3], [f32; 3])> {
        let first = *self.positions.first()?;
        Some(self.positions.iter().fold((first, first), |(lo, hi), p| {
            (std::array::from_fn(|k| lo[k].min(p[k])), std::array::from_fn(|k| hi[k].max(p[k])))
        }))
    }

    /// Length of the bounding box's diagonal (0 without vertices).
    pub fn diagonal(&self) -> f64 {
        self.bounds().map_or(0.0, |(lo, hi)| length(sub(widen(hi), widen(lo))))
    }

    /// Corner positions of face `f`, in double precision. `f` must be below `faces.len()` of a valid mesh.
    pub(crate) fn corners(&self, f: usize) -> [D3; 3] {
        self.faces[f].map(|i| widen(self.positions[i as usize]))
    }

    /// Normal of face `f` times twice its area.
    pub(crate) fn area_normal(&self, f: usize) -> D3 {
        let [a, b, c] = self.corners(f);
        cross(sub(b, a), sub(c, a))
    }

    /// Sum of the triangle areas.
    pub fn area(&self) -> f64 {
        (0..self.faces.len()).map(|f| 0.5 * length(self.area_normal(f))).sum()
    }

    /// Signed volume by the divergence theorem; meaningful for closed, consistently wound meshes only.
    pub fn volume(&self) -> f64 {
        (0..self.faces.len())
            .map(|f| {
                let [a, b, c] = self.corners(f);
                dot(a, cross(b, c)) / 6.0
            })
            .sum()
    }

    /// Area-weighted vertex normals (unit length; `[0, 0, 1]` for vertices of no or only flat faces). Vertices at the same
    /// place share a normal: uv seams double vertices, and must not become visible edges.
    pub fn compute_normals(&mut self) {
        let key = |p: [f32; 3]| p.map(|x| (x + 0.0).to_bits());
        let mut sums: HashMap<[u32; 3], D3> = HashMap::with_capacity(self.positions.len());
        for f in 0..self.faces.len() {
            let n = self.area_normal(f);
            for i in self.faces[f] {
                let s = sums.entry(key(self.positions[i as usize])).or_default();
                *s = [s[0] + n[0], s[1] + n[1], s[2] + n[2]];
            }
        }
        let sum = |p: &[f32; 3]| sums.get(&key(*p)).copied().unwrap_or_default();
        self.normals = self.positions.iter().map(|p| unit_or_up(sum(p))).collect();
    }

    /// The mesh restricted to the faces with `keep[f]`; vertices without a face go, their order stays.
    ///
    /// # Errors
    /// [`MeshError::Shape`] if `keep` is not one entry a face, and what [`TriangleMesh::validate`] reports.
    pub fn filter_faces(&self, keep: &[bool]) -> Result<Self, MeshError> {
        if keep.len() != self.faces.len() {
            return Err(MeshError::shape("keep", self.faces.len(), keep.len()));
        }
        self.validate()?;
        let faces = self.faces.iter().zip(keep).filter(|(_, k)| **k).map(|(f, _)| *f).collect();
        Ok(Self { faces, ..self.clone() }.without_unused_vertices())
    }

    /// Drops vertices that no face uses; the order of the rest stays.
    pub(crate) fn without_unused_vertices(mut self) -> Self {
        let mut used = vec![false; self.positions.len()];
        self.faces.iter().flatten().for_each(|&i| used[i as usize] = true);
        let mut map = vec![u32::MAX; used.len()];
        for (next, (m, _)) in map.iter_mut().zip(&used).filter(|(_, u)| **u).enumerate() {
            *m = next as u32;
        }
        retain_by(&mut self.positions, &used);
        retain_by(&mut self.normals, &used);
        retain_by(&mut self.uvs, &used);
        retain_by(&mut self.colors, &used);
        self.faces.iter_mut().flatten().for_each(|i| *i = map[*i as usize]);
        self
    }
}

fn retain_by<T>(values: &mut Vec<T>, used: &[bool]) {
    let mut flags = used.iter();
    values.retain(|_| flags.next().copied().unwrap_or(false));
}

pub(crate) fn unit_or_up(n: D3) -> [f32; 3] {
    let l = length(n);
    if l > 1e-30 && l.is_finite() { scale(n, 1.0 / l).map(|x| x as f32) } else { [0.0, 0.0, 1.0] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shapes;

    #[test]
    fn volume_and_area_of_a_box() {
        let m = shapes::cuboid([0.5, 1.0, 2.0]);
        assert!((m.volume() - 1.0).abs() < 1e-9);
        assert!((m.area() - 7.0).abs() < 1e-9);
    }

    #[test]
    fn a_face_beyond_the_vertices_is_named() {
        let m = TriangleMesh::new(vec![[0.0; 3]; 2], vec![[0, 1, 2]]);
        assert!(matches!(m.validate(), Err(MeshError::FaceIndex { face: 0, vertex: 2, vertices: 2 })));
    }

    #[test]
    fn normals_of_a_sphere_point_outwards() {
        let mut m = shapes::sphere(16, 24, 0.4);
        m.compute_normals();
        for (p, n) in m.positions.iter().zip(&m.normals) {
            let cos = (p[0] * n[0] + p[1] * n[1] + p[2] * n[2]) / 0.4;
            assert!(cos > 0.97, "{cos}");
        }
    }

    #[test]
    fn doubled_vertices_of_a_seam_share_their_normal() {
        let whole = shapes::sphere(12, 16, 0.4);
        let mut soup = TriangleMesh::default();
        for f in &whole.faces {
            let first = soup.positions.len() as u32;
            soup.positions.extend(f.map(|v| whole.positions[v as usize]));
            soup.faces.push([first, first + 1, first + 2]);
        }
        let mut smooth = whole.clone();
        smooth.compute_normals();
        soup.compute_normals();
        for (k, f) in whole.faces.iter().flatten().enumerate() {
            assert!((0..3).all(|c| (soup.normals[k][c] - smooth.normals[*f as usize][c]).abs() < 1e-6));
        }
    }

    #[test]
    fn filtering_faces_keeps_attributes_with_their_vertices() {
        let mut m = shapes::cuboid([1.0, 1.0, 1.0]);
        m.uvs = (0..m.positions.len()).map(|i| [i as f32, 0.0]).collect();
        let keep: Vec<bool> = (0..m.faces.len()).map(|f| f < 2).collect();
        let k = m.filter_faces(&keep).expect("valid");
        assert_eq!(k.faces.len(), 2);
        assert_eq!(k.positions.len(), 4);
        for (p, uv) in k.positions.iter().zip(&k.uvs) {
            assert_eq!(m.positions[uv[0] as usize], *p);
        }
    }
}
