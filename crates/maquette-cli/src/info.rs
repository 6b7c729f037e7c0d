//! `maquette info`: what a GLB holds and whether it is sound.

use maquette::files;
use maquette::maquette_image::{DecodeOptions, decode};
use maquette::maquette_mesh::glb::{self, GlbContents};
use maquette::maquette_mesh::{HealthContext, health};
use serde_json::json;

use crate::args::Info;
use crate::report::{self, Failure};

/// Reads a GLB; a file that is none is the file's fault, not the mesh's.
pub fn read_glb(path: &std::path::Path) -> Result<(GlbContents, u64), Failure> {
    let bytes = files::read(path)?;
    let contents =
        glb::read(&bytes).map_err(|e| Failure::with_code(maquette::Error::Mesh(e), "maquette::picture::damaged"))?;
    Ok((contents, bytes.len() as u64))
}

pub fn run(args: &Info) -> Result<(), Failure> {
    let (contents, file_bytes) = read_glb(&args.file)?;
    let texture = contents.texture.as_ref().and_then(|t| decode(&t.bytes, &DecodeOptions::default()).ok());
    let texture_size = texture.as_ref().map(|t| t.pixels.width());
    let context = HealthContext { texture_size, file_bytes: Some(file_bytes), ..HealthContext::default() };
    let health = health(&contents.mesh, &context)?;
    if args.json {
        let value = json!({
            "file_bytes": file_bytes, "generator": contents.generator, "extensions": contents.extensions,
            "images": contents.images, "primitives": contents.primitives, "texture_size": texture_size,
            "vertices": health.vertices, "triangles": health.triangles, "degenerate": health.degenerate,
            "components": health.components, "boundary_edges": health.boundary_edges,
            "non_manifold_edges": health.non_manifold_edges, "winding_conflicts": health.winding_conflicts,
            "area": health.area, "volume": health.volume, "texel_density": health.texel_density,
            "atlas_coverage": health.atlas_coverage, "warnings": health.warnings, "extras": contents.extras,
        });
        return report::print(&format!("{value}\n"));
    }
    let mut text = format!("{}\n{health}\n", args.file.display());
    if let Some(generator) = &contents.generator {
        text.push_str(&format!("made by: {generator}\n"));
    }
    if !contents.extensions.is_empty() {
        text.push_str(&format!("extensions: {}\n", contents.extensions.join(", ")));
    }
    if !contents.extras.is_null() {
        text.push_str(&format!("made with: {}\n", contents.extras));
    }
    report::print(&text)
}
