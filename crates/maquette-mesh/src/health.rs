//! What is right or wrong with a mesh, in numbers and in words.

use std::fmt;

use crate::process::topology::{edges, face_components, sorted_sides};
use crate::vector::length;
use crate::{MeshError, TriangleMesh};

/// What else is known about a result; all optional.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct HealthContext {
    /// Side of the texture in texels.
    pub texture_size: Option<u32>,
    /// Bytes of the written file.
    pub file_bytes: Option<u64>,
    /// Occupied voxels of the structure stage.
    pub voxels: Option<usize>,
    /// Share of the picture that the cut-out covers, 0 to 1.
    pub mask_share: Option<f64>,
}

/// Facts about a mesh.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct HealthReport {
    /// Vertices.
    pub vertices: usize,
    /// Triangles.
    pub triangles: usize,
    /// Triangles without area or with repeated corners.
    pub degenerate: usize,
    /// Parts connected through edges (vertices at equal places counted as one).
    pub components: usize,
    /// Edges with one face.
    pub boundary_edges: usize,
    /// Edges with more than two faces.
    pub non_manifold_edges: usize,
    /// Edges whose two faces run in the same direction.
    pub winding_conflicts: usize,
    /// Surface area in world units.
    pub area: f64,
    /// Enclosed volume, for closed meshes.
    pub volume: Option<f64>,
    /// Texels per world unit of length, area-weighted mean; with uvs and a texture size.
    pub texel_density: Option<f64>,
    /// Share of the atlas that charts cover; with uvs.
    pub atlas_coverage: Option<f64>,
    /// Bytes of the file.
    pub file_bytes: Option<u64>,
    /// What is off, in words; empty if all is well.
    pub warnings: Vec<String>,
}

/// Examines a mesh. Topology is judged on welded positions, since uv seams double vertices without opening the surface.
///
/// # Errors
/// What [`TriangleMesh::validate`] reports.
pub fn health(mesh: &TriangleMesh, context: &HealthContext) -> Result<HealthReport, MeshError> {
    let bare = TriangleMesh::new(mesh.positions.clone(), mesh.faces.clone());
    let welded = crate::process::weld(&bare, 0.0)?;
    let flat = (0..mesh.faces.len()).filter(|&f| length(mesh.area_normal(f)) <= 0.0).count();
    let mut report = HealthReport {
        vertices: mesh.positions.len(),
        triangles: mesh.faces.len(),
        degenerate: flat,
        components: face_components(&welded.faces).1,
        area: mesh.area(),
        file_bytes: context.file_bytes,
        ..HealthReport::default()
    };
    for group in edges(&sorted_sides(&welded.faces)) {
        match group {
            [_] => report.boundary_edges += 1,
            [a, b] => {
                let start = |s: &(u64, u32, u8)| welded.faces[s.1 as usize][s.2 as usize];
                report.winding_conflicts += usize::from(start(a) == start(b));
            }
            _ => report.non_manifold_edges += 1,
        }
    }
    let sound = report.boundary_edges + report.non_manifold_edges + report.winding_conflicts == 0;
    report.volume = (sound && !welded.faces.is_empty()).then(|| welded.volume());
    if !mesh.uvs.is_empty() {
        let uv_area = uv_area(mesh);
        report.atlas_coverage = Some(uv_area);
        let side = context.texture_size.map(f64::from);
        report.texel_density = side.filter(|_| report.area > 0.0).map(|s| s * (uv_area / report.area).sqrt());
    }
    report.warnings = warnings(&report, context);
    Ok(report)
}

fn uv_area(mesh: &TriangleMesh) -> f64 {
    let area = |f: &[u32; 3]| {
        let [a, b, c] = f.map(|v| mesh.uvs[v as usize].map(f64::from));
        0.5 * ((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])).abs()
    };
    mesh.faces.iter().map(area).sum()
}

/// Fewer occupied voxels than this mean that the structure stage found next to nothing.
const FEW_VOXELS: usize = 300;
/// Cut-outs below this share of the picture are as good as empty.
const SMALL_MASK: f64 = 0.005;
/// Bytes below which a textured GLB is suspicious.
const SMALL_FILE: u64 = 20_000;

fn warnings(r: &HealthReport, context: &HealthContext) -> Vec<String> {
    let mut out = Vec::new();
    let mut warn = |condition: bool, text: String| {
        if condition {
            out.push(text);
        }
    };
    if let Some(share) = context.mask_share {
        let percent = 100.0 * share;
        warn(
            share < SMALL_MASK,
            format!(
                "The cut-out covers {percent:.2} % of the picture: the background removal found no object. Pass a picture with a transparent background."
            ),
        );
    }
    if let Some(n) = context.voxels {
        warn(
            n < FEW_VOXELS,
            format!(
                "Only {n} voxels are occupied (usually thousands). Try another seed or a picture that shows the whole object."
            ),
        );
    }
    warn(r.triangles == 0, "The mesh has no triangles.".into());
    warn(r.degenerate > 0, format!("{} triangles have no area; some programs complain about them.", r.degenerate));
    warn(
        r.boundary_edges > 0,
        format!("The surface is open: {} edges have one face only. Fill holes before 3D printing.", r.boundary_edges),
    );
    warn(
        r.non_manifold_edges > 0,
        format!("{} edges have more than two faces; cleaning the mesh separates them.", r.non_manifold_edges),
    );
    warn(
        r.winding_conflicts > 0,
        format!("{} neighbouring faces look in opposite directions and may look black.", r.winding_conflicts),
    );
    warn(r.components > 20, format!("The mesh falls into {} parts; small ones can be removed.", r.components));
    warn(r.volume.is_some_and(|v| v < 0.0), "The surface is inside out: its volume is negative.".into());
    warn(
        r.atlas_coverage.is_some_and(|c| c > 0.0 && c < 0.25),
        format!("Charts use only {:.0} % of the texture.", 100.0 * r.atlas_coverage.unwrap_or(0.0)),
    );
    warn(r.atlas_coverage.is_some_and(|c| c > 1.001), "Charts overlap: their area is larger than the texture.".into());
    if let (Some(bytes), Some(_)) = (r.file_bytes, context.texture_size) {
        warn(
            bytes < SMALL_FILE,
            format!("The file has only {bytes} bytes, far fewer than usual; look at it before keeping it."),
        );
    }
    out
}

impl fmt::Display for HealthReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "triangles           {}", self.triangles)?;
        writeln!(f, "vertices            {}", self.vertices)?;
        writeln!(f, "parts               {}", self.components)?;
        writeln!(f, "open edges          {}", self.boundary_edges)?;
        writeln!(f, "non-manifold edges  {}", self.non_manifold_edges)?;
        writeln!(f, "winding conflicts   {}", self.winding_conflicts)?;
        writeln!(f, "degenerate faces    {}", self.degenerate)?;
        writeln!(f, "area                {:.4}", self.area)?;
        if let Some(v) = self.volume {
            writeln!(f, "volume              {v:.5}")?;
        }
        if let Some(d) = self.texel_density {
            writeln!(f, "texels per unit     {d:.0}")?;
        }
        if let Some(c) = self.atlas_coverage {
            writeln!(f, "atlas coverage      {:.0} %", 100.0 * c)?;
        }
        if let Some(b) = self.file_bytes {
            writeln!(f, "file                {:.2} MB", b as f64 / 1e6)?;
        }
        self.warnings.iter().try_for_each(|w| writeln!(f, "warning: {w}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shapes;
    use crate::uv::{AtlasOptions, BoxUnwrapper, Unwrapper};

    #[test]
    fn a_sound_textured_solid_has_no_warnings() {
        let m = shapes::torus(40, 20, 0.3, 0.12);
        let u = BoxUnwrapper.unwrap(&m, &AtlasOptions::for_size(512), &|_| true).expect("unwraps");
        let context = HealthContext {
            texture_size: Some(512),
            file_bytes: Some(900_000),
            voxels: Some(9000),
            mask_share: Some(0.3),
        };
        let r = health(&u.mesh, &context).expect("valid");
        assert_eq!(r.warnings, Vec::<String>::new());
        assert_eq!((r.components, r.boundary_edges), (1, 0));
        assert!((r.volume.expect("closed") - m.volume()).abs() < 1e-9);
        assert!(r.texel_density.expect("textured") > 100.0);
        assert!(r.to_string().contains("triangles           1600"));
    }

    #[test]
    fn every_defect_is_counted_and_named() {
        let mut m = shapes::cuboid([1.0; 3]);
        m.faces.swap_remove(0);
        m.faces[3].swap(1, 2);
        m.faces.push([0, 0, 1]);
        let context = HealthContext { voxels: Some(12), mask_share: Some(0.0), ..HealthContext::default() };
        let r = health(&m, &context).expect("valid");
        assert_eq!((r.boundary_edges, r.degenerate), (3, 1));
        assert!(r.winding_conflicts > 0);
        assert_eq!(r.volume, None);
        for word in ["open", "no area", "opposite", "12 voxels", "cut-out"] {
            assert!(r.warnings.iter().any(|w| w.contains(word)), "{word}: {:?}", r.warnings);
        }
    }

    #[test]
    fn small_files_bad_atlases_crowded_edges_and_many_parts_are_named() {
        let named = |mesh: &TriangleMesh, word: &str| {
            let context = HealthContext { texture_size: Some(512), file_bytes: Some(4000), ..HealthContext::default() };
            let r = health(mesh, &context).expect("valid");
            assert!(r.warnings.iter().any(|w| w.contains(word)), "{word}: {:?}", r.warnings);
        };
        let solid = shapes::cuboid([1.0; 3]);
        named(&solid, "only 4000 bytes");
        let laid = |scale: f32| {
            let uvs = solid.positions.iter().map(|p| [scale * p[0], scale * p[1]]).collect();
            TriangleMesh { uvs, ..solid.clone() }
        };
        named(&laid(0.01), "of the texture");
        named(&laid(10.0), "overlap");
        let mut turned = solid.clone();
        turned.faces.iter_mut().for_each(|f| f.swap(1, 2));
        named(&turned, "inside out");
        let corners = vec![[0.0; 3], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, 1.0]];
        named(&TriangleMesh::new(corners, vec![[0, 1, 2], [1, 0, 3], [0, 1, 4]]), "more than two faces");
        let apart = (0..63u8).map(|i| [f32::from(i), f32::from(i % 3), f32::from(i % 2)]).collect();
        named(&TriangleMesh::new(apart, (0..21).map(|i| [3 * i, 3 * i + 1, 3 * i + 2]).collect()), "21 parts");
    }

    #[test]
    fn an_empty_mesh_is_reported_not_refused() {
        let r = health(&TriangleMesh::default(), &HealthContext::default()).expect("valid");
        assert!(r.warnings.iter().any(|w| w.contains("no triangles")));
    }
}
