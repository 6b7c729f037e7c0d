//! The glTF JSON: typed by gltf-json, with the extensions it has no types for patched in.

use gltf_json::accessor::GenericComponentType;
use gltf_json::buffer::{Buffer, Stride, Target, View};
use gltf_json::material::{Material, PbrMetallicRoughness, StrengthFactor};
use gltf_json::mesh::{Mesh, Mode, Primitive, Semantic};
use gltf_json::scene::{Node, Scene};
use gltf_json::texture::{Info, MagFilter, MinFilter, Sampler, Texture, WrappingMode};
use gltf_json::validation::{Checked, USize64};
use gltf_json::{Accessor, Asset, Image, Index, Root};
use serde_json::{Value, json};

use super::encode::Stream;
use super::write::GlbOptions;
use super::{MESHOPT, QUANTIZATION, WEBP, meshopt_attributes, meshopt_triangles};
use crate::MeshError;

/// A glTF document under construction, with its binary chunk.
pub(super) struct Document {
    root: Root,
    pub bin: Vec<u8>,
    /// Bytes that the compressed views stand for.
    uncompressed: usize,
    /// Per view, the value of its compression extension.
    compressed_views: Vec<(usize, Value)>,
    webp: Vec<usize>,
    meshopt: bool,
}

impl Document {
    pub fn new(options: &GlbOptions) -> Self {
        let asset = Asset { generator: Some(options.generator.clone()), version: "2.0".into(), ..Asset::default() };
        let root = Root { asset, ..Root::default() };
        let meshopt = options.meshopt;
        Self { root, bin: Vec::new(), uncompressed: 0, compressed_views: Vec::new(), webp: Vec::new(), meshopt }
    }

    /// Appends bytes to the binary chunk at a multiple of 4; returns their offset.
    fn append(&mut self, bytes: &[u8]) -> usize {
        self.bin.resize(self.bin.len().next_multiple_of(4), 0);
        let offset = self.bin.len();
        self.bin.extend_from_slice(bytes);
        offset
    }

    fn push_view(&mut self, buffer: u32, offset: usize, length: usize, stride: Option<usize>, target: Option<Target>) {
        self.root.buffer_views.push(View {
            buffer: Index::new(buffer),
            byte_length: USize64::from(length),
            byte_offset: Some(USize64::from(offset)),
            byte_stride: stride.map(Stride),
            name: None,
            target: target.map(Checked::Valid),
            extensions: None,
            extras: None,
        });
    }

    fn push_accessor(&mut self, s: &Stream) -> Index<Accessor> {
        let view = Index::new(self.root.buffer_views.len() as u32 - 1);
        let (min, max) = s.min_max.clone().unzip();
        self.root.push(Accessor {
            buffer_view: Some(view),
            byte_offset: None,
            count: USize64::from(s.count),
            component_type: Checked::Valid(GenericComponentType(s.component)),
            extensions: None,
            extras: None,
            type_: Checked::Valid(s.shape),
            min,
            max,
            name: None,
            normalized: s.normalized,
            sparse: None,
        })
    }

    /// Places a compressed stream: its bytes in the binary chunk, its view in the virtual buffer 1.
    fn push_compressed(&mut self, packed: &[u8], s: &Stream, mode: &str, stride: Option<usize>, target: Target) {
        let offset = self.append(packed);
        let place = self.uncompressed.next_multiple_of(4);
        self.uncompressed = place + s.bytes.len();
        self.push_view(1, place, s.bytes.len(), stride, Some(target));
        let value = json!({
            "buffer": 0, "byteOffset": offset, "byteLength": packed.len(),
            "byteStride": s.stride, "count": s.count, "mode": mode,
        });
        self.compressed_views.push((self.root.buffer_views.len() - 1, value));
    }

    /// Adds vertex data.
    pub fn attribute(&mut self, s: &Stream) -> Index<Accessor> {
        if self.meshopt {
            let packed = meshopt_attributes::encode(&s.bytes, s.stride);
            self.push_compressed(&packed, s, "ATTRIBUTES", Some(s.stride), Target::ArrayBuffer);
        } else {
            let offset = self.append(&s.bytes);
            self.push_view(0, offset, s.bytes.len(), Some(s.stride), Some(Target::ArrayBuffer));
        }
        self.push_accessor(s)
    }

    /// Adds indices.
    pub fn indices(&mut self, s: &Stream, faces: &[[u32; 3]]) -> Index<Accessor> {
        if self.meshopt {
            let packed = meshopt_triangles::encode(faces);
            self.push_compressed(&packed, s, "TRIANGLES", None, Target::ElementArrayBuffer);
        } else {
            let offset = self.append(&s.bytes);
            self.push_view(0, offset, s.bytes.len(), None, Some(Target::ElementArrayBuffer));
        }
        self.push_accessor(s)
    }

    /// Adds an encoded picture with its texture and sampler.
    pub fn texture(&mut self, bytes: &[u8], mime: &str) -> Index<Texture> {
        let offset = self.append(bytes);
        self.push_view(0, offset, bytes.len(), None, None);
        let view = Index::new(self.root.buffer_views.len() as u32 - 1);
        let source = self.root.push(Image {
            buffer_view: Some(view),
            mime_type: Some(gltf_json::image::MimeType(mime.into())),
            name: None,
            uri: None,
            extensions: None,
            extras: None,
        });
        // Charts must not bleed over the atlas border: clamp.
        let sampler = self.root.push(Sampler {
            mag_filter: Some(Checked::Valid(MagFilter::Linear)),
            min_filter: Some(Checked::Valid(MinFilter::LinearMipmapLinear)),
            wrap_s: Checked::Valid(WrappingMode::ClampToEdge),
            wrap_t: Checked::Valid(WrappingMode::ClampToEdge),
            ..Sampler::default()
        });
        if mime == "image/webp" {
            self.webp.push(self.root.textures.len());
        }
        self.root.push(Texture { name: None, sampler: Some(sampler), source, extensions: None, extras: None })
    }

    /// Adds the material, mesh, node and scene, and returns the finished JSON.
    pub fn finish(
        mut self,
        attributes: Vec<(Semantic, Index<Accessor>)>,
        indices: Index<Accessor>,
        texture: Option<Index<Texture>>,
        placement: Option<(f32, [f32; 3])>,
        options: &GlbOptions,
    ) -> Result<(Value, Vec<u8>), MeshError> {
        let info = texture.map(|index| Info { index, tex_coord: 0, extensions: None, extras: None });
        let material = self.root.push(Material {
            pbr_metallic_roughness: PbrMetallicRoughness {
                base_color_texture: info,
                metallic_factor: StrengthFactor(0.0),
                roughness_factor: StrengthFactor(1.0),
                ..PbrMetallicRoughness::default()
            },
            ..Material::default()
        });
        let primitive = Primitive {
            attributes: attributes.into_iter().map(|(s, a)| (Checked::Valid(s), a)).collect(),
            extensions: None,
            extras: None,
            indices: Some(indices),
            material: Some(material),
            mode: Checked::Valid(Mode::Triangles),
            targets: None,
        };
        let mesh = Mesh { extensions: None, extras: None, name: None, primitives: vec![primitive], weights: None };
        let mesh = self.root.push(mesh);
        let node = self.root.push(Node {
            mesh: Some(mesh),
            name: Some(options.name.clone()),
            scale: placement.map(|(s, _)| [s; 3]),
            translation: placement.map(|(_, t)| t),
            ..Node::default()
        });
        let scene = Scene { extensions: None, extras: None, name: None, nodes: vec![node] };
        self.root.scene = Some(self.root.push(scene));
        let lengths = [self.bin.len(), self.uncompressed];
        for length in lengths.iter().take(1 + usize::from(self.meshopt)) {
            let byte_length = USize64::from(*length);
            self.root.buffers.push(Buffer { byte_length, name: None, uri: None, extensions: None, extras: None });
        }
        let used = [(QUANTIZATION, placement.is_some()), (MESHOPT, self.meshopt), (WEBP, !self.webp.is_empty())];
        let used: Vec<String> = used.iter().filter(|u| u.1).map(|u| u.0.to_string()).collect();
        self.root.extensions_used.clone_from(&used);
        self.root.extensions_required = used;
        let json = self.root.to_value().map_err(|e| MeshError::format("GLB", e.to_string()))?;
        Ok((self.patch(json, options), self.bin))
    }

    /// What gltf-json has no types for.
    fn patch(&self, mut json: Value, options: &GlbOptions) -> Value {
        for (view, value) in &self.compressed_views {
            json["bufferViews"][*view]["extensions"] = json!({ MESHOPT: value });
        }
        if self.meshopt {
            json["buffers"][1]["extensions"] = json!({ MESHOPT: { "fallback": true } });
        }
        for &t in &self.webp {
            let texture = &mut json["textures"][t];
            texture["extensions"] = json!({ WEBP: { "source": texture["source"].clone() } });
            if let Some(t) = texture.as_object_mut() {
                t.remove("source");
            }
        }
        if options.reference_material
            && let Some(pbr) = json["materials"][0]["pbrMetallicRoughness"].as_object_mut()
        {
            pbr.remove("metallicFactor");
        }
        if !options.extras.is_empty() {
            json["asset"]["extras"] = Value::Object(options.extras.clone());
        }
        json
    }
}
