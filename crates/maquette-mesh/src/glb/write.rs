//! The GLB writer.

use gltf_json::mesh::Semantic;
use serde_json::{Map, Value};

use super::document::Document;
use super::order::compression_order;
use super::texture::{Texture, TextureFormat};
use super::{CHUNK_BIN, CHUNK_JSON, MAGIC, encode};
use crate::{MeshError, TriangleMesh};

/// Options of [`write()`].
#[derive(Debug, Clone, PartialEq)]
pub struct GlbOptions {
    /// Encoding of the texture.
    pub texture_format: TextureFormat,
    /// As the original: roughness 1 and no `metallicFactor`, which viewers take as 1. Default: metallic 0, roughness 1.
    pub reference_material: bool,
    /// Store positions, normals and texture coordinates in 8 and 16 bits (`KHR_mesh_quantization`).
    pub quantize: bool,
    /// Compress vertex and index data (`EXT_meshopt_compression`, without fallback). Faces and vertices are reordered.
    pub meshopt: bool,
    /// `asset.generator`.
    pub generator: String,
    /// Name of the node.
    pub name: String,
    /// `asset.extras`: seed, model, options; what is needed to make the file again.
    pub extras: Map<String, Value>,
}

impl Default for GlbOptions {
    fn default() -> Self {
        Self {
            texture_format: TextureFormat::default(),
            reference_material: false,
            quantize: false,
            meshopt: false,
            generator: concat!("maquette ", env!("CARGO_PKG_VERSION")).into(),
            name: "object".into(),
            extras: Map::new(),
        }
    }
}

/// Writes one mesh as GLB: POSITION, NORMAL if the mesh has normals, TEXCOORD_0 with a texture, COLOR_0 without.
///
/// # Errors
/// [`MeshError::Empty`] without faces, [`MeshError::Shape`] for a texture without uvs, what [`TriangleMesh::validate`] and
/// the texture encoder report.
pub fn write(mesh: &TriangleMesh, texture: Option<&Texture>, options: &GlbOptions) -> Result<Vec<u8>, MeshError> {
    mesh.validate()?;
    if mesh.faces.is_empty() {
        return Err(MeshError::Empty { operation: "GLB writing" });
    }
    if texture.is_some() && mesh.uvs.is_empty() {
        return Err(MeshError::shape("uvs of a textured mesh", mesh.positions.len(), 0));
    }
    let ordered = options.meshopt.then(|| compression_order(mesh));
    let mesh = ordered.as_ref().unwrap_or(mesh);
    let mut doc = Document::new(options);
    let (positions, placement) = encode::positions(mesh, options.quantize);
    let mut attributes = vec![(Semantic::Positions, doc.attribute(&positions))];
    if !mesh.normals.is_empty() {
        attributes.push((Semantic::Normals, doc.attribute(&encode::normals(mesh, options.quantize))));
    }
    let texture = match texture {
        Some(t) => {
            attributes.push((Semantic::TexCoords(0), doc.attribute(&encode::uvs(mesh, options.quantize))));
            Some(t.encode(options.texture_format)?)
        }
        None => {
            if !mesh.colors.is_empty() {
                attributes.push((Semantic::Colors(0), doc.attribute(&encode::colors(mesh))));
            }
            None
        }
    };
    let indices = doc.indices(&encode::indices(mesh), &mesh.faces);
    let texture = texture.map(|bytes| doc.texture(&bytes, options.texture_format.mime()));
    let (json, bin) = doc.finish(attributes, indices, texture, placement, options)?;
    assemble(&json, bin)
}

fn assemble(json: &Value, mut bin: Vec<u8>) -> Result<Vec<u8>, MeshError> {
    let mut text = serde_json::to_vec(json).map_err(|e| MeshError::format("GLB", e.to_string()))?;
    text.resize(text.len().next_multiple_of(4), b' ');
    bin.resize(bin.len().next_multiple_of(4), 0);
    let total = 12 + 8 + text.len() + 8 + bin.len();
    let size = |n: usize| {
        u32::try_from(n).map_err(|_| MeshError::range("GLB size", format!("{n} bytes; the format ends at 4 GiB")))
    };
    let mut out = Vec::with_capacity(total);
    let head = [MAGIC, 2, size(total)?, size(text.len())?, CHUNK_JSON];
    head.iter().for_each(|w| out.extend_from_slice(&w.to_le_bytes()));
    out.extend_from_slice(&text);
    [size(bin.len())?, CHUNK_BIN].iter().for_each(|w| out.extend_from_slice(&w.to_le_bytes()));
    out.extend_from_slice(&bin);
    Ok(out)
}
