//! Cases of surface extraction.

use maquette_kernels::flexicubes::extract;
use maquette_mesh::flexicubes::{DenseField, ExtractedMesh, SparseExtractor, extract_dense};
use maquette_models::trellis::MeshFeatures;

use super::{
    Result, VerifyError,
    checks::{Bound, Checks, read_back},
    golden::Golden,
};

/// Names of a surface's tensors in a file.
pub(super) struct SurfaceNames {
    pub(super) v_pos: &'static str,
    pub(super) v_attrs: Option<&'static str>,
    pub(super) v_sdf: Option<&'static str>,
    pub(super) vertices: &'static str,
    pub(super) faces: &'static str,
    pub(super) vertex_attrs: &'static str,
}

/// In `cases/mesh_decoder`.
pub(super) const CASE_NAMES: SurfaceNames = SurfaceNames {
    v_pos: "out.v_pos",
    v_attrs: Some("out.v_attrs"),
    v_sdf: None,
    vertices: "out.vertices",
    faces: "out.faces",
    vertex_attrs: "out.vertex_attrs",
};

/// In `e2e/e2e`.
pub(super) const E2E_NAMES: SurfaceNames = SurfaceNames {
    v_pos: "mesh.v_pos",
    v_attrs: None,
    v_sdf: Some("mesh.v_sdf"),
    vertices: "mesh.vertices",
    faces: "mesh.faces",
    vertex_attrs: "mesh.vertex_attrs",
};

/// The mesh decoder's output on the host.
pub(super) struct HostField {
    resolution: usize,
    coords: Vec<[i32; 3]>,
    features: Vec<f32>,
    /// The surface as a GPU extracts it; none on the CPU tier.
    extracted: Option<ExtractedMesh>,
}

impl HostField {
    pub(super) async fn read(features: &MeshFeatures) -> Result<Self> {
        Ok(Self {
            resolution: features.resolution,
            coords: features.voxels.coords().iter().map(|c| [c[1], c[2], c[3]]).collect(),
            features: read_back(features.rows.whole()).await?,
            extracted: extract(&features.voxels, &features.rows, features.resolution)
                .await
                .map_err(maquette_models::Error::from)?,
        })
    }

    fn extractor(&self) -> Result<SparseExtractor> {
        let mut extractor = SparseExtractor::new(self.resolution)?;
        extractor.push(&self.coords, &self.features)?;
        Ok(extractor)
    }

    pub(super) fn corners(
        &self,
        file: &Golden,
        checks: &mut Checks<'_>,
        names: &SurfaceNames,
        bound: Bound,
    ) -> Result<()> {
        let corners = self.extractor()?.corner_means();
        let positions: Vec<i64> = corners.positions.iter().flatten().map(|v| i64::from(*v)).collect();
        checks.identical(names.v_pos, &positions, &file.integers(names.v_pos)?);
        if let Some(name) = names.v_attrs {
            checks.floats(name, corners.attrs.as_flattened(), &file.values(name)?, bound);
        }
        if let Some(name) = names.v_sdf {
            let sdf: Vec<f32> = corners.attrs.iter().map(|a| a[0]).collect();
            checks.floats(name, &sdf, &file.values(name)?, bound);
        }
        Ok(())
    }

    pub(super) fn surface(
        &self,
        file: &Golden,
        checks: &mut Checks<'_>,
        names: &SurfaceNames,
        bound: Bound,
    ) -> Result<()> {
        let defined = self.extractor()?.finish();
        let meshes = [("", Some(&defined)), (" (on the GPU)", self.extracted.as_ref())];
        for (by, mesh) in meshes.into_iter().filter_map(|(by, mesh)| Some((by, mesh?))) {
            let named = |name: &str| format!("{name}{by}");
            checks.floats(&named(names.vertices), mesh.vertices.as_flattened(), &file.values(names.vertices)?, bound);
            faces(file, checks, names.faces, &named(names.faces), mesh)?;
            let attrs = mesh.attrs.as_flattened();
            checks.floats(&named(names.vertex_attrs), attrs, &file.values(names.vertex_attrs)?, bound);
        }
        Ok(())
    }
}

/// Faces must be equal; but which diagonal cuts a quad hangs on products without a margin, so quads are compared instead when
/// single triangles differ.
fn faces(file: &Golden, checks: &mut Checks<'_>, tensor: &str, name: &str, mesh: &ExtractedMesh) -> Result<()> {
    let expected = file.integers(tensor)?;
    let found: Vec<i64> = mesh.faces.iter().flatten().map(|v| i64::from(*v)).collect();
    if found == expected || found.len() != expected.len() {
        checks.identical(name, &found, &expected);
    } else {
        checks.identical(&format!("{name} (quads)"), &quads(&found), &quads(&expected));
    }
    Ok(())
}

/// The four corners of every pair of triangles, sorted.
fn quads(faces: &[i64]) -> Vec<i64> {
    let pairs = faces.chunks(6).flat_map(|pair| {
        let mut corners = pair.to_vec();
        corners.sort_unstable();
        corners.dedup();
        corners
    });
    pairs.collect()
}

/// `cases/flexicubes_*`.
pub(super) fn dense_field(case: &Golden, checks: &mut Checks<'_>) -> Result<()> {
    let sdf = case.values("in.sdf")?;
    let side = (sdf.len() as f64).cbrt().round() as usize;
    if side < 2 || side.pow(3) != sdf.len() {
        let problem = format!("`in.sdf` has {} values, expected a cube of at least 8", sdf.len());
        return Err(VerifyError::Content { path: "surface case".into(), problem });
    }
    let (grid, colors) = (case.rows::<3>("in.grid")?, case.rows::<6>("in.colors")?);
    let (beta, alpha, gamma) = (case.rows::<12>("in.beta")?, case.rows::<8>("in.alpha")?, case.values("in.gamma")?);
    let res = side - 1;
    let field = DenseField { res, sdf: &sdf, grid: &grid, beta: &beta, alpha: &alpha, gamma: &gamma, colors: &colors };
    let mesh = extract_dense(&field)?;
    let bound = Bound::Relative(1e-5);
    checks.floats("vertices", mesh.vertices.as_flattened(), &case.values("out.vertices")?, bound);
    faces(case, checks, "out.faces", "out.faces", &mesh)?;
    checks.floats("colors", mesh.attrs.as_flattened(), &case.values("out.colors")?, bound);

    let unit = |v: usize| v as f32 / res as f32 - 0.5;
    let plain: Vec<[f32; 3]> =
        (0..side.pow(3)).map(|i| [unit(i / (side * side)), unit(i / side % side), unit(i % side)]).collect();
    let mesh = extract_dense(&DenseField { res, sdf: &sdf, grid: &plain, ..DenseField::default() })?;
    checks.floats("vertices_plain", mesh.vertices.as_flattened(), &case.values("out.vertices_plain")?, bound);
    faces(case, checks, "out.faces_plain", "out.faces_plain", &mesh)
}
