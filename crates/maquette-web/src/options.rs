//! The JSON options of every method: unknown names and wrong types are refused.

use maquette::maquette_mesh::glb::{GlbOptions, TextureFormat};
use maquette::{
    CutoutOptions, DecodeOptions, GenerateOptions, MaskPolicy, MultiImage, Noise, Precision, Sampling, SurfaceOptions,
    TierRequest, Unwrap, preview,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::failure::Failure;

/// Most pixels that a picture may have here: decoded it takes four bytes a pixel of the module's heap, several times over.
const MAX_PIXELS: u64 = 16 << 20;
/// Most pixels that the frames of a turntable may have together.
const MAX_TURN_PIXELS: u64 = 64 << 20;

/// Reads options; an empty text means the defaults.
pub(crate) fn parse<T: DeserializeOwned>(text: &str) -> Result<T, Failure> {
    let text = if text.trim().is_empty() { "{}" } else { text };
    serde_json::from_str(text).map_err(|e| Failure::Options(e.to_string()))
}

/// Of `Engine.open`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Open {
    tier: Option<String>,
    precision: PrecisionChoice,
    limits: Limits,
    pub(crate) features: Option<Vec<String>>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum PrecisionChoice {
    #[default]
    Auto,
    F32,
    F16,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Limits {
    #[default]
    Adapter,
    Minimum,
}

impl Open {
    pub(crate) fn tier(&self) -> Result<TierRequest, Failure> {
        Ok(self.tier.as_deref().map_or(Ok(TierRequest::Auto), str::parse)?)
    }

    pub(crate) fn minimum_limits(&self) -> bool {
        self.limits == Limits::Minimum
    }

    /// The torsos' element type on an adapter with or without 16-bit floats.
    pub(crate) fn precision(&self, f16: bool) -> Result<Precision, Failure> {
        match (self.precision, f16) {
            (PrecisionChoice::F32, _) | (PrecisionChoice::Auto, false) => Ok(Precision::F32),
            (PrecisionChoice::F16 | PrecisionChoice::Auto, true) => Ok(Precision::F16),
            (PrecisionChoice::F16, false) => Err(Failure::Options(
                "precision: this adapter has no 16-bit floats; use \"auto\" or \"f32\"".to_owned(),
            )),
        }
    }
}

/// Of `Engine.cutout`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct CutOut {
    pub(crate) keep_background: bool,
    force: bool,
    max_pixels: Option<u64>,
}

impl CutOut {
    pub(crate) fn options(&self) -> CutoutOptions {
        let decode = DecodeOptions { max_pixels: self.max_pixels.unwrap_or(MAX_PIXELS), ..DecodeOptions::default() };
        let policy = if self.force { MaskPolicy::Force } else { MaskPolicy::Refuse };
        CutoutOptions { decode, policy }
    }
}

/// Of `Engine.generate`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Generate {
    seed: Option<u64>,
    steps: Option<u32>,
    structure_steps: Option<u32>,
    latent_steps: Option<u32>,
    guidance: Option<f64>,
    structure_guidance: Option<f64>,
    latent_guidance: Option<f64>,
    multi: Multi,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Multi {
    #[default]
    Stochastic,
    MultiDiffusion,
}

impl Generate {
    /// The pipeline's options; `noise` takes the place of the seed.
    pub(crate) fn options(&self, noise: Option<Noise>) -> GenerateOptions {
        let sampling = |steps: Option<u32>, guidance: Option<f64>| Sampling {
            steps: steps.or(self.steps),
            guidance: guidance.or(self.guidance),
            ..Sampling::default()
        };
        GenerateOptions {
            noise: noise.or(self.seed.map(Noise::Seed)).unwrap_or_default(),
            structure: sampling(self.structure_steps, self.structure_guidance),
            latent: sampling(self.latent_steps, self.latent_guidance),
            multi: match self.multi {
                Multi::Stochastic => MultiImage::Stochastic,
                Multi::MultiDiffusion => MultiImage::MultiDiffusion,
            },
        }
    }
}

/// Of `Generated.asset`. What is not set is as in the command line.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Surface {
    faces: Option<usize>,
    texture_size: Option<u32>,
    fill_holes: Option<bool>,
    remove_hidden: Option<bool>,
    unwrap: UnwrapChoice,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum UnwrapChoice {
    #[default]
    Charts,
    Boxes,
}

impl Surface {
    pub(crate) fn options(&self) -> SurfaceOptions {
        let own = SurfaceOptions::default();
        SurfaceOptions {
            faces: self.faces.map_or(own.faces, |faces| (faces > 0).then_some(faces)),
            texture_size: self.texture_size.map_or(own.texture_size, |side| (side > 0).then_some(side)),
            fill_holes: self.fill_holes.unwrap_or(own.fill_holes),
            visibility_views: if self.remove_hidden == Some(false) { Some(0) } else { own.visibility_views },
            unwrap: match self.unwrap {
                UnwrapChoice::Charts => Unwrap::Charts,
                UnwrapChoice::Boxes => Unwrap::Boxes,
            },
            ..own
        }
    }
}

/// Of `Asset.file`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Export {
    /// Name of the file without its ending.
    pub(crate) name: Option<String>,
    texture_format: TextureChoice,
    quantize: bool,
    meshopt: bool,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum TextureChoice {
    #[default]
    Png,
    Jpeg,
    Webp,
}

impl Export {
    pub(crate) fn glb(&self, extras: serde_json::Map<String, serde_json::Value>) -> GlbOptions {
        GlbOptions {
            texture_format: match self.texture_format {
                TextureChoice::Png => TextureFormat::Png,
                TextureChoice::Jpeg => TextureFormat::Jpeg(90),
                TextureChoice::Webp => TextureFormat::WebP,
            },
            quantize: self.quantize,
            meshopt: self.meshopt,
            extras,
            ..GlbOptions::default()
        }
    }
}

/// Of `Asset.picture` and `Generated.picture`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Picture {
    pub(crate) kind: PictureKind,
    /// Of a mesh only.
    #[serde(default)]
    pub(crate) show: Option<Show>,
    side: Option<u32>,
    frames: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum PictureKind {
    FourViews,
    Turntable,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Show {
    Texture,
    Normals,
}

impl Picture {
    /// Side of a view and frames of a turn. A turn is bounded as a whole: its file lies in the module's heap.
    pub(crate) fn measures(&self) -> Result<(u32, u32), Failure> {
        let (side, frames) = (self.side.unwrap_or(preview::SIDE), self.frames.unwrap_or(preview::FRAMES));
        if !(16..=2048).contains(&side) || !(1..=240).contains(&frames) {
            return Err(Failure::Options(format!(
                "expected side 16 to 2048 and frames 1 to 240, came {side} and {frames}"
            )));
        }
        let pixels = u64::from(side) * u64::from(side) * u64::from(frames);
        if self.kind == PictureKind::Turntable && pixels > MAX_TURN_PIXELS {
            let most = format!("expected at most {} megapixels in all frames", MAX_TURN_PIXELS >> 20);
            return Err(Failure::Options(format!("{most}, came {frames} of {side} a side")));
        }
        Ok((side, frames))
    }
}
