//! What each known network's checkpoint must hold: every key with its shape and type.

mod check;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::strict_json::{self, UniqueMap};
use crate::{DType, Error, Format, Result, TensorInfo};

pub use check::{Comparison, FolderReport, ModelReport, Verdict, check, check_synchuman};

/// The tensors of one network.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// Family and checkpoint name, such as `trellis/slat_flow_img_dit_L_64l8p2_fp16`.
    pub id: String,
    /// Class as the checkpoint's description names it.
    pub class: String,
    /// Constructor arguments.
    pub args: Map<String, Value>,
    /// Every tensor by name.
    pub tensors: BTreeMap<String, TensorInfo>,
}

#[derive(Deserialize)]
struct Raw {
    name: String,
    args: Map<String, Value>,
    tensors: UniqueMap<RawTensor>,
}

#[derive(Deserialize)]
struct RawTensor {
    shape: Vec<usize>,
    dtype: String,
}

macro_rules! entry {
    ($family:literal, $name:literal) => {
        (concat!($family, "/", $name), include_str!(concat!("../../manifests/", $family, "/", $name, ".json")))
    };
}

/// The manifests that the crate carries.
const KNOWN: [(&str, &str); COUNT] = [
    entry!("synchuman", "dinov2_vitl14_reg"),
    entry!("synchuman", "onestage_SyncHuman_2D3DCrossSpaceDiffusion"),
    entry!("synchuman", "onestage_image_encoder"),
    entry!("synchuman", "onestage_sparse_structure_decoder"),
    entry!("synchuman", "onestage_text_encoder"),
    entry!("synchuman", "onestage_vae"),
    entry!("synchuman", "secondstage_decoder_GS"),
    entry!("synchuman", "secondstage_decoder_Mesh"),
    entry!("synchuman", "secondstage_slat_flow"),
    entry!("trellis", "dinov2_vitl14_reg"),
    entry!("trellis", "slat_dec_gs_swin8_B_64l8gs32_fp16"),
    entry!("trellis", "slat_dec_mesh_swin8_B_64l8m256c_fp16"),
    entry!("trellis", "slat_dec_rf_swin8_B_64l8r16_fp16"),
    entry!("trellis", "slat_enc_swin8_B_64l8_fp16"),
    entry!("trellis", "slat_flow_img_dit_L_64l8p2_fp16"),
    entry!("trellis", "ss_dec_conv3d_16l8_fp16"),
    entry!("trellis", "ss_enc_conv3d_16l8_fp16"),
    entry!("trellis", "ss_flow_img_dit_L_16l8_fp16"),
    entry!("trellis", "u2net"),
    entry!("trellis2", "birefnet_swin_v1_l"),
    entry!("trellis2", "dinov3_vitl16_lvd1689m"),
    entry!("trellis2", "shape_dec_next_dc_f16c32_fp16"),
    entry!("trellis2", "shape_enc_next_dc_f16c32_fp16"),
    entry!("trellis2", "slat_flow_img2shape_dit_1_3B_1024_bf16"),
    entry!("trellis2", "slat_flow_img2shape_dit_1_3B_512_bf16"),
    entry!("trellis2", "slat_flow_imgshape2tex_dit_1_3B_1024_bf16"),
    entry!("trellis2", "slat_flow_imgshape2tex_dit_1_3B_512_bf16"),
    entry!("trellis2", "ss_dec_conv3d_16l8_fp16"),
    entry!("trellis2", "ss_flow_img_dit_1_3B_64_bf16"),
    entry!("trellis2", "tex_dec_next_dc_f16c32_fp16"),
    entry!("trellis2", "tex_enc_next_dc_f16c32_fp16"),
];

const COUNT: usize = 31;

impl Manifest {
    /// Parses a manifest.
    ///
    /// # Errors
    /// [`Error::Malformed`] where it is not one.
    pub fn parse(id: &str, text: &[u8]) -> Result<Self> {
        let raw: Raw = strict_json::parse(id, Format::Json, 0, text)?;
        let mut tensors = BTreeMap::new();
        for (name, tensor) in raw.tensors.0 {
            let sized = tensor.shape.iter().try_fold(8usize, |n, d| n.checked_mul(*d)).is_some();
            let dtype = DType::from_name(&tensor.dtype).filter(|_| sized);
            let dtype = dtype.ok_or_else(|| {
                Error::malformed(
                    id,
                    Format::Json,
                    0,
                    format!("tensor `{name}` has an unknown type or an impossible shape"),
                )
            })?;
            tensors.insert(name.clone(), TensorInfo { name, dtype, shape: tensor.shape });
        }
        // SyncHuman's own descriptions stand inside `args`.
        let inner = (raw.args.get("name").and_then(Value::as_str), raw.args.get("args").and_then(Value::as_object));
        let (class, args) = match inner {
            (Some(class), Some(args)) => (class.to_owned(), args.clone()),
            _ => (raw.args.get("_class_name").and_then(Value::as_str).unwrap_or(&raw.name).to_owned(), raw.args),
        };
        Ok(Self { id: id.to_owned(), class, args, tensors })
    }

    /// The names of the manifests that the crate carries.
    pub fn known() -> impl Iterator<Item = &'static str> {
        KNOWN.iter().map(|(id, _)| *id)
    }

    /// The manifest of that name (`family/checkpoint`, or the checkpoint's name alone where one family has it; TRELLIS first).
    ///
    /// # Errors
    /// [`Error::Unsupported`] with a list of what is known.
    pub fn named(name: &str) -> Result<Self> {
        let found = KNOWN.iter().find(|(id, _)| *id == name);
        let alone = || {
            ["trellis/", "synchuman/", "trellis2/"]
                .iter()
                .find_map(|f| KNOWN.iter().find(|(id, _)| id.strip_prefix(f) == Some(name)))
        };
        let (id, text) = found.or_else(alone).ok_or_else(|| {
            let known: Vec<_> = Self::known().collect();
            Error::unsupported(name, format!("no manifest of that name; known are {}", known.join(", ")))
        })?;
        Self::parse(id, text.as_bytes())
    }

    /// The class without the `Elastic` prefix.
    pub fn plain_class(&self) -> &str {
        self.class.strip_prefix("Elastic").unwrap_or(&self.class)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_carried_manifest_parses_and_counts_as_its_specification_says() {
        for id in Manifest::known() {
            assert!(!Manifest::named(id).unwrap().tensors.is_empty(), "{id}");
        }
        let counts = [
            ("ss_flow_img_dit_L_16l8_fp16", 489, 1_130_721_312),
            ("ss_dec_conv3d_16l8_fp16", 74, 147_585_412),
            ("slat_flow_img_dit_L_64l8p2_fp16", 526, 1_203_701_792),
            ("slat_dec_gs_swin8_B_64l8gs32_fp16", 101, 171_441_280),
            ("slat_dec_rf_swin8_B_64l8r16_fp16", 100, 171_440_896),
            ("slat_dec_mesh_swin8_B_64l8m256c_fp16", 120, 181_891_796),
        ];
        for (name, tensors, bytes) in counts {
            let manifest = Manifest::named(name).unwrap();
            let total: usize = manifest.tensors.values().map(|t| t.elements() * t.dtype.size().unwrap()).sum();
            assert_eq!((manifest.tensors.len(), total), (tensors, bytes), "{name}");
        }
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        assert!(Manifest::named("nonsense").unwrap_err().to_string().contains("trellis/u2net"));
    }
}
