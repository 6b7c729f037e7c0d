//! The quality unwrapper: charts flattened with little distortion and packed by shape, by the crate `uvunwrap`.

use uvunwrap::{Density, Error, MeshInput, Options, Packing, Stage, generate_with_progress};

use super::{AtlasOptions, CANCELLED, Progress, Unwrapped, Unwrapper, check_input, with_vertices};
use crate::{MeshError, TriangleMesh};

/// Flattens charts by least squares conformal maps (crate `uvunwrap`, without its optional solver). The result is the same on
/// every machine and in the browser, also where a program turns the crate's feature `parallel` on.
#[derive(Debug, Clone, Copy, Default)]
pub struct ChartUnwrapper {
    /// Pack by the charts' shapes instead of their outlines: a fuller atlas for several times the packing time.
    pub dense: bool,
}

/// Faces of average size that fill the largest chart.
const LARGEST_CHART: f32 = 640.0;

impl Unwrapper for ChartUnwrapper {
    fn unwrap(
        &self,
        mesh: &TriangleMesh,
        options: &AtlasOptions,
        progress: Progress<'_>,
    ) -> Result<Unwrapped, MeshError> {
        check_input(mesh, options)?;
        let input = MeshInput::new(&mesh.positions, mesh.faces.as_flattened());
        let settings = Options {
            density: Density::Auto { page_size: options.size },
            padding: options.padding,
            // Wider than the crate's 70: half the charts on bumpy objects, and less of the atlas lost to gaps. Distortion
            // stays within the same limit.
            max_chart_angle: 85.0,
            // Flattening takes more than linear time in a chart's faces, and is tried anew after every split.
            max_chart_area: mesh.area() as f32 * (LARGEST_CHART / mesh.faces.len() as f32),
            packing: if self.dense { Packing::Shape } else { Packing::Fast },
            ..Options::default()
        };
        let report = |p: uvunwrap::Progress| {
            let (start, width) = match p.stage {
                Stage::Segmenting => (0.0, 0.3),
                Stage::Parameterizing => (0.3, 0.5),
                Stage::Packing => (0.8, 0.15),
                _ => (0.95, 0.05),
            };
            let part = p.total.filter(|t| *t > 0).map_or(0.5, |t| p.done as f32 / t as f32);
            progress((start + width * part).min(1.0))
        };
        let atlas = match generate_with_progress(&[input], &settings, report) {
            Ok(atlas) => atlas,
            Err(Error::Cancelled) => return Err(CANCELLED),
            Err(e) => return Err(MeshError::Unwrap { detail: e.to_string() }),
        };
        if atlas.page_count > 1 {
            let detail = format!(
                "{} charts do not fit a {} texture with {} texels of padding; use a larger texture or less padding",
                atlas.chart_count, options.size, options.padding
            );
            return Err(MeshError::Unwrap { detail });
        }
        let Some(out) = atlas.meshes.into_iter().next() else {
            return Err(MeshError::Unwrap { detail: "the unwrapper returned no mesh".into() });
        };
        // The page may be cropped to its used rows; our texture is square.
        let scale = [atlas.width as f32 / options.size as f32, atlas.height as f32 / options.size as f32];
        let uvs = out.vertices.iter().map(|v| [v.uv[0] * scale[0], v.uv[1] * scale[1]]).collect();
        let source = out.vertices.iter().map(|v| v.xref).collect();
        let faces = out.indices.as_chunks::<3>().0.to_vec();
        let (mesh, source_vertex) = with_vertices(mesh, source, faces, uvs);
        Ok(Unwrapped { mesh, source_vertex, charts: atlas.chart_count as usize })
    }
}
