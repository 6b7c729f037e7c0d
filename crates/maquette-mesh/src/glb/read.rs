//! Reading GLB files: ours with all their options, and the common kinds of others.

use serde_json::Value;

use super::{CHUNK_BIN, CHUNK_JSON, MAGIC, MESHOPT, meshopt_attributes, meshopt_triangles};
use crate::formats::UpAxis;
use crate::portable::powf;
use crate::{MeshError, TriangleMesh};

/// A picture as stored in the file; decoding it is the image crate's work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedImage {
    /// For example "image/png".
    pub mime: String,
    /// The file's bytes.
    pub bytes: Vec<u8>,
}

/// What a GLB holds.
#[derive(Debug, Clone, PartialEq)]
pub struct GlbContents {
    /// All triangle primitives of all nodes as one mesh, in the decoder's frame. Attributes that only a part of them has
    /// are left out.
    pub mesh: TriangleMesh,
    /// Base colour texture of the first material that has one.
    pub texture: Option<EncodedImage>,
    /// Number of images in the file.
    pub images: usize,
    /// Number of triangle primitives.
    pub primitives: usize,
    /// `asset.generator`.
    pub generator: Option<String>,
    /// `asset.extras`, or null.
    pub extras: Value,
    /// Names of the extensions the file uses.
    pub extensions: Vec<String>,
}

fn fail(detail: impl Into<String>) -> MeshError {
    MeshError::format("GLB", detail)
}

/// Reads a GLB.
///
/// # Errors
/// [`MeshError::Format`] for damaged files and for features that are not read (sparse accessors, outside buffers).
pub fn read(bytes: &[u8]) -> Result<GlbContents, MeshError> {
    let (json, bin) = chunks(bytes)?;
    let json: Value = serde_json::from_slice(json).map_err(|e| fail(format!("its JSON is damaged: {e}")))?;
    let file = File { json: &json, bin };
    let mut parts = Vec::new();
    // A node tree visits every node once; a damaged one could visit some for ever.
    let mut unvisited = json["nodes"].as_array().map_or(0, Vec::len);
    for node in file.roots() {
        file.walk(node, IDENTITY, &mut unvisited, &mut parts)?;
    }
    let mesh = merge(&parts);
    mesh.validate()?;
    let list = |key: &str| json[key].as_array().map_or(&[][..], Vec::as_slice);
    let strings = |v: &[Value]| v.iter().filter_map(Value::as_str).map(String::from).collect();
    Ok(GlbContents {
        mesh,
        texture: file.base_texture()?,
        images: list("images").len(),
        primitives: parts.len(),
        generator: json["asset"]["generator"].as_str().map(String::from),
        extras: json["asset"]["extras"].clone(),
        extensions: strings(list("extensionsUsed")),
    })
}

fn chunks(bytes: &[u8]) -> Result<(&[u8], &[u8]), MeshError> {
    let word = |at: usize| bytes.get(at..at + 4).map(|b| u32::from_le_bytes(std::array::from_fn(|k| b[k])));
    if word(0) != Some(MAGIC) {
        return Err(fail("does not begin with \"glTF\"; only binary glTF is read"));
    }
    if word(4) != Some(2) {
        return Err(fail(format!("version {:?}, expected 2", word(4))));
    }
    let (mut at, mut json, mut bin) = (12usize, None, &[][..]);
    while let (Some(length), Some(kind)) = (word(at), word(at + 4)) {
        let end = (at + 8).checked_add(length as usize);
        let body = end.and_then(|e| bytes.get(at + 8..e)).ok_or_else(|| fail("a chunk is cut off"))?;
        match kind {
            CHUNK_JSON => json = Some(body),
            CHUNK_BIN => bin = body,
            _ => {}
        }
        at += 8 + length as usize;
    }
    Ok((json.ok_or_else(|| fail("no JSON chunk"))?, bin))
}

/// Column-major 4×4 matrix.
type Matrix = [f64; 16];
const IDENTITY: Matrix = [1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0];

fn multiply(a: &Matrix, b: &Matrix) -> Matrix {
    std::array::from_fn(|i| (0..4).map(|k| a[k * 4 + i % 4] * b[i / 4 * 4 + k]).sum())
}

fn numbers<const N: usize>(v: &Value) -> Option<[f64; N]> {
    let list: Vec<f64> = v.as_array()?.iter().filter_map(Value::as_f64).collect();
    list.try_into().ok()
}

fn local_matrix(node: &Value) -> Matrix {
    if let Some(m) = numbers::<16>(&node["matrix"]) {
        return m;
    }
    let t = numbers::<3>(&node["translation"]).unwrap_or([0.0; 3]);
    let s = numbers::<3>(&node["scale"]).unwrap_or([1.0; 3]);
    let [x, y, z, w] = numbers::<4>(&node["rotation"]).unwrap_or([0.0, 0.0, 0.0, 1.0]);
    let r = crate::formats::gaussian_ply::rotation_matrix([w, x, y, z]);
    let mut m = IDENTITY;
    for c in 0..3 {
        (0..3).for_each(|k| m[c * 4 + k] = r[k][c] * s[c]);
        m[12 + c] = t[c];
    }
    m
}

struct File<'a> {
    json: &'a Value,
    bin: &'a [u8],
}

/// Vertices read at most: many nodes may show one mesh, and a small file could ask for any amount of memory.
const MAX_VERTICES: usize = 100_000_000;

impl File<'_> {
    fn roots(&self) -> Vec<&Value> {
        let scene = self.json["scene"].as_u64().unwrap_or(0) as usize;
        let nodes = self.json["scenes"][scene]["nodes"].as_array();
        nodes.into_iter().flatten().filter_map(Value::as_u64).map(|n| &self.json["nodes"][n as usize]).collect()
    }

    fn walk(
        &self,
        node: &Value,
        parent: Matrix,
        unvisited: &mut usize,
        out: &mut Vec<TriangleMesh>,
    ) -> Result<(), MeshError> {
        let Some(left) = unvisited.checked_sub(1) else {
            return Err(fail("its nodes do not form a tree (one is reached twice)"));
        };
        *unvisited = left;
        let matrix = multiply(&parent, &local_matrix(node));
        if let Some(mesh) = node["mesh"].as_u64() {
            let primitives = self.json["meshes"][mesh as usize]["primitives"].as_array();
            for p in primitives.into_iter().flatten().filter(|p| p["mode"].as_u64().unwrap_or(4) == 4) {
                let part = self.primitive(p, &matrix)?;
                let total = part.positions.len() + out.iter().map(|p| p.positions.len()).sum::<usize>();
                if total > MAX_VERTICES {
                    return Err(fail(format!("more than {MAX_VERTICES} vertices")));
                }
                out.push(part);
            }
        }
        for child in node["children"].as_array().into_iter().flatten().filter_map(Value::as_u64) {
            self.walk(&self.json["nodes"][child as usize], matrix, unvisited, out)?;
        }
        Ok(())
    }

    fn primitive(&self, p: &Value, m: &Matrix) -> Result<TriangleMesh, MeshError> {
        let attribute = |name: &str, width: usize| -> Result<Vec<f32>, MeshError> {
            match p["attributes"][name].as_u64() {
                Some(a) => self.floats(a as usize, width),
                None => Ok(Vec::new()),
            }
        };
        let place = |v: &[f32; 3], w: f64| {
            let v = v.map(f64::from);
            let at = |k: usize| (m[k] * v[0] + m[4 + k] * v[1] + m[8 + k] * v[2] + m[12 + k] * w) as f32;
            UpAxis::Y.from_file([at(0), at(1), at(2)])
        };
        let positions = attribute("POSITION", 3)?;
        let positions: Vec<[f32; 3]> = positions.as_chunks::<3>().0.iter().map(|v| place(v, 1.0)).collect();
        let normals = attribute("NORMAL", 3)?;
        let normals = normals.as_chunks::<3>().0.iter().map(|v| {
            let n = place(v, 0.0);
            let l = n.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-12);
            n.map(|x| x / l)
        });
        let uvs = attribute("TEXCOORD_0", 2)?;
        let colors = attribute("COLOR_0", 3)?;
        let indices = match p["indices"].as_u64() {
            Some(a) => self.indices(a as usize)?,
            None => (0..positions.len() as u32).collect(),
        };
        Ok(TriangleMesh {
            positions,
            faces: indices.as_chunks::<3>().0.to_vec(),
            normals: normals.collect(),
            uvs: uvs.as_chunks::<2>().0.iter().map(|[u, v]| [*u, 1.0 - v]).collect(),
            colors: colors.as_chunks::<3>().0.iter().map(|c| c.map(to_srgb)).collect(),
        })
    }

    /// Bytes of a buffer view, decompressed if need be.
    fn view(&self, index: u64) -> Result<std::borrow::Cow<'_, [u8]>, MeshError> {
        let view = &self.json["bufferViews"][index as usize];
        let number = |v: &Value| v.as_u64().unwrap_or(0) as usize;
        let range = |v: &Value| {
            let (start, length) = (number(&v["byteOffset"]), number(&v["byteLength"]));
            let end = start.checked_add(length);
            let inside = v["buffer"].as_u64() == Some(0);
            end.and_then(|e| self.bin.get(start..e)).filter(|_| inside).ok_or_else(|| {
                fail(format!("buffer view {index} lies outside the file; only self-contained files are read"))
            })
        };
        let packed = &view["extensions"][MESHOPT];
        if packed.is_null() {
            return Ok(range(view)?.into());
        }
        let (data, count, stride) = (range(packed)?, number(&packed["count"]), number(&packed["byteStride"]));
        match packed["mode"].as_str() {
            Some("ATTRIBUTES") if packed["filter"].as_str().unwrap_or("NONE") == "NONE" => {
                Ok(meshopt_attributes::decode(data, count, stride)?.into())
            }
            Some("TRIANGLES") => {
                let faces = meshopt_triangles::decode(data, count / 3)?;
                let flat = faces.iter().flatten();
                Ok(if stride == 2 {
                    flat.flat_map(|&i| (i as u16).to_le_bytes()).collect::<Vec<u8>>().into()
                } else {
                    flat.flat_map(|i| i.to_le_bytes()).collect::<Vec<u8>>().into()
                })
            }
            _ => Err(fail(format!("compression {packed} is not read"))),
        }
    }

    /// Calls `f` with the bytes of every component, element by element.
    fn components(&self, accessor: usize, width: usize, mut f: impl FnMut(&[u8])) -> Result<(), MeshError> {
        let a = &self.json["accessors"][accessor];
        let Some(view) = a["bufferView"].as_u64().filter(|_| a["sparse"].is_null()) else {
            return Err(fail(format!("accessor {accessor} is sparse or empty; that is not read")));
        };
        let (size, parts) = (component_size(a)?, shape_width(a)?);
        if parts < width {
            return Err(fail(format!("accessor {accessor} has {parts} components, expected {width}")));
        }
        let bytes = self.view(view)?;
        let offset = a["byteOffset"].as_u64().unwrap_or(0) as usize;
        let stride = self.json["bufferViews"][view as usize]["byteStride"].as_u64();
        let stride = stride.map_or(size * parts, |s| s as usize).max(1);
        let count = a["count"].as_u64().unwrap_or(0) as usize;
        for i in 0..count {
            let start = i.checked_mul(stride).and_then(|s| s.checked_add(offset));
            let row = start.and_then(|s| bytes.get(s..s.checked_add(size * parts)?));
            let Some(row) = row else { return Err(fail(format!("accessor {accessor} reaches beyond its view"))) };
            row.chunks_exact(size).take(width).for_each(&mut f);
        }
        Ok(())
    }

    fn floats(&self, accessor: usize, width: usize) -> Result<Vec<f32>, MeshError> {
        let a = &self.json["accessors"][accessor];
        let (kind, normalized) = (a["componentType"].as_u64(), a["normalized"].as_bool().unwrap_or(false));
        let full = |max: f32| if normalized { max } else { 1.0 };
        let mut out = Vec::new();
        self.components(accessor, width, |b| {
            out.push(match kind {
                Some(5120) => (f32::from(b[0] as i8) / full(127.0)).max(-full(f32::INFINITY)),
                Some(5121) => f32::from(b[0]) / full(255.0),
                Some(5122) => f32::from(i16::from_le_bytes([b[0], b[1]])) / full(32767.0),
                Some(5123) => f32::from(u16::from_le_bytes([b[0], b[1]])) / full(65535.0),
                Some(5125) => u32::from_le_bytes([b[0], b[1], b[2], b[3]]) as f32,
                _ => f32::from_le_bytes([b[0], b[1], b[2], b[3]]),
            });
        })?;
        Ok(out)
    }

    fn indices(&self, accessor: usize) -> Result<Vec<u32>, MeshError> {
        let mut out = Vec::new();
        self.components(accessor, 1, |b| {
            out.push(b.iter().rev().fold(0u32, |v, &x| v << 8 | u32::from(x)));
        })?;
        Ok(out)
    }

    fn base_texture(&self) -> Result<Option<EncodedImage>, MeshError> {
        let materials = self.json["materials"].as_array();
        let texture = materials
            .into_iter()
            .flatten()
            .find_map(|m| m["pbrMetallicRoughness"]["baseColorTexture"]["index"].as_u64());
        let Some(texture) = texture else { return Ok(None) };
        let texture = &self.json["textures"][texture as usize];
        let source = texture["extensions"][super::WEBP]["source"].as_u64().or(texture["source"].as_u64());
        let Some(source) = source else { return Ok(None) };
        let image = &self.json["images"][source as usize];
        let (Some(view), Some(mime)) = (image["bufferView"].as_u64(), image["mimeType"].as_str()) else {
            return Err(fail("the texture is not inside the file"));
        };
        Ok(Some(EncodedImage { mime: mime.into(), bytes: self.view(view)?.into_owned() }))
    }
}

fn component_size(a: &Value) -> Result<usize, MeshError> {
    match a["componentType"].as_u64() {
        Some(5120 | 5121) => Ok(1),
        Some(5122 | 5123) => Ok(2),
        Some(5125 | 5126) => Ok(4),
        other => Err(fail(format!("unknown component type {other:?}"))),
    }
}

fn shape_width(a: &Value) -> Result<usize, MeshError> {
    match a["type"].as_str() {
        Some("SCALAR") => Ok(1),
        Some("VEC2") => Ok(2),
        Some("VEC3") => Ok(3),
        Some("VEC4") => Ok(4),
        other => Err(fail(format!("accessor type {other:?} is not read"))),
    }
}

fn to_srgb(c: f32) -> f32 {
    if c <= 0.003_130_8 { c * 12.92 } else { 1.055 * powf(c, 1.0 / 2.4) - 0.055 }
}

fn merge(parts: &[TriangleMesh]) -> TriangleMesh {
    let all = |has: fn(&TriangleMesh) -> bool| parts.iter().all(has);
    let (normals, uvs) = (all(|p| !p.normals.is_empty()), all(|p| !p.uvs.is_empty()));
    let colors = all(|p| !p.colors.is_empty());
    let mut out = TriangleMesh::default();
    for p in parts {
        let first = out.positions.len() as u32;
        out.positions.extend(&p.positions);
        // Wrapping keeps a damaged index damaged, for `validate` to find.
        out.faces.extend(p.faces.iter().map(|f| f.map(|i| i.wrapping_add(first))));
        if normals {
            out.normals.extend(&p.normals);
        }
        if uvs {
            out.uvs.extend(&p.uvs);
        }
        if colors {
            out.colors.extend(&p.colors);
        }
    }
    out
}
