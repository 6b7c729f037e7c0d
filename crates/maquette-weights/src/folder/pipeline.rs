//! `pipeline.json` as typed values.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::fields::{Fields, as_string};
use crate::{Error, Result, strict_json};

/// The key under which the image encoder's weights stand, beside the models' keys.
pub const IMAGE_ENCODER: &str = "image_cond_checkpoint";

/// What a folder's `pipeline.json` says.
#[derive(Clone, Debug, PartialEq)]
pub struct PipelineConfig {
    /// Pipeline class, for example `TrellisImageTo3DPipeline`.
    pub name: String,
    /// Model key (`slat_flow_model`, …) to checkpoint reference, as written.
    pub models: BTreeMap<String, String>,
    /// Every `*_sampler`.
    pub samplers: BTreeMap<String, SamplerConfig>,
    /// Every `*_normalization`: per-channel statistics of a latent.
    pub normalizations: BTreeMap<String, Normalization>,
    /// The image encoder.
    pub image_cond_model: Option<ImageCondModel>,
    /// Our own field: reference to the image encoder's weights, for folders that carry them. Absent in published folders.
    pub image_cond_checkpoint: Option<String>,
    /// Our own field: side of the square image that the encoder sees, in pixels; 518 where the file does not say.
    pub image_size: u32,
    /// Members of `args` that have no field here, kept as they are.
    pub extra: Map<String, Value>,
    /// Dotted paths of everything unknown in the file, for reports.
    pub unknown: Vec<String>,
    origin: String,
}

/// A sampler: class, constructor arguments, default call parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct SamplerConfig {
    /// Sampler class, for example `FlowEulerGuidanceIntervalSampler`.
    pub name: String,
    /// Smallest noise level of the flow; 1e-5 in every published file.
    pub sigma_min: f64,
    /// Default call parameters.
    pub params: SamplerParams,
    /// Unknown members of `args` and `params`, kept as they are.
    pub extra: Map<String, Value>,
}

/// Default call parameters of a sampler. Absent ones are the caller's to choose.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SamplerParams {
    /// Number of Euler steps.
    pub steps: Option<u32>,
    /// Strength of classifier-free guidance.
    pub cfg_strength: Option<f64>,
    /// Rescaled times between which guidance is on, both ends included.
    pub cfg_interval: Option<[f64; 2]>,
    /// Time rescaling factor.
    pub rescale_t: Option<f64>,
    /// TRELLIS.2: guidance strength under its own name.
    pub guidance_strength: Option<f64>,
    /// TRELLIS.2: guidance rescaling.
    pub guidance_rescale: Option<f64>,
    /// TRELLIS.2: guidance interval under its own name.
    pub guidance_interval: Option<[f64; 2]>,
}

/// Per-channel statistics of a latent: the sampled value is `z · std + mean`.
#[derive(Clone, Debug, PartialEq)]
pub struct Normalization {
    /// Mean of each channel.
    pub mean: Vec<f32>,
    /// Standard deviation of each channel; as many as means, all positive.
    pub std: Vec<f32>,
}

/// How the file names its image encoder.
#[derive(Clone, Debug, PartialEq)]
pub enum ImageCondModel {
    /// A bare name, such as `dinov2_vitl14_reg`.
    Name(String),
    /// Class and arguments (TRELLIS.2).
    Described {
        /// Class name.
        name: String,
        /// Constructor arguments.
        args: Map<String, Value>,
    },
}

impl ImageCondModel {
    /// The name in either form.
    pub fn name(&self) -> &str {
        match self {
            Self::Name(name) | Self::Described { name, .. } => name,
        }
    }
}

impl PipelineConfig {
    /// Parses the text of a `pipeline.json`; `origin` names it in errors.
    ///
    /// # Errors
    /// [`Error::Malformed`] where it is not JSON, [`Error::Field`] where a field is absent or of another type.
    pub fn parse(origin: &str, text: &[u8]) -> Result<Self> {
        let mut unknown = Vec::new();
        let mut root = Fields::new(origin, "", strict_json::parse_value(origin, text)?)?;
        let name = root.string("name")?;
        let mut args = root.inner("args")?;
        let mut models = BTreeMap::new();
        for (key, value) in args.object("models")? {
            let reference = as_string(origin, &format!("args.models.{key}"), value)?;
            models.insert(key, reference);
        }
        let mut samplers = BTreeMap::new();
        for key in args.keys_ending("_sampler") {
            samplers.insert(key.clone(), sampler(args.inner(&key)?, &mut unknown)?);
        }
        let mut normalizations = BTreeMap::new();
        for key in args.keys_ending("_normalization") {
            normalizations.insert(key.clone(), normalization(args.inner(&key)?, &mut unknown)?);
        }
        let image_cond_model = match args.optional("image_cond_model") {
            None => None,
            Some(Value::String(name)) => Some(ImageCondModel::Name(name)),
            Some(other) => {
                let mut described = Fields::new(origin, "args.image_cond_model", other)?;
                let model = ImageCondModel::Described {
                    name: described.string("name")?,
                    args: described.object_or_empty("args")?,
                };
                described.leftovers(&mut unknown);
                Some(model)
            }
        };
        let image_cond_checkpoint = match args.optional("image_cond_checkpoint") {
            None => None,
            Some(value) => Some(as_string(origin, "args.image_cond_checkpoint", value)?),
        };
        let image_size = args.u32("image_size")?.unwrap_or(518);
        if image_size == 0 {
            return Err(args.error("image_size", "a side of at least one pixel", "the number 0"));
        }
        let extra = args.leftovers(&mut unknown);
        root.leftovers(&mut unknown);
        Ok(Self {
            name,
            models,
            samplers,
            normalizations,
            image_cond_model,
            image_cond_checkpoint,
            image_size,
            extra,
            unknown,
            origin: origin.to_owned(),
        })
    }

    /// The sampler of that key (`sparse_structure_sampler`, `slat_sampler`, …).
    ///
    /// # Errors
    /// [`Error::Field`] naming the absent field.
    pub fn sampler(&self, key: &str) -> Result<&SamplerConfig> {
        self.samplers.get(key).ok_or_else(|| self.absent(key, "an object {name, args, params}"))
    }

    /// The statistics of that key (`slat_normalization`, …).
    ///
    /// # Errors
    /// [`Error::Field`] naming the absent field.
    pub fn normalization(&self, key: &str) -> Result<&Normalization> {
        self.normalizations.get(key).ok_or_else(|| self.absent(key, "an object {mean, std}"))
    }

    /// The reference of that model key.
    ///
    /// # Errors
    /// [`Error::Field`] naming the absent field.
    pub fn model(&self, key: &str) -> Result<&str> {
        self.models
            .get(key)
            .map(String::as_str)
            .ok_or_else(|| self.absent(&format!("models.{key}"), "a checkpoint reference (a string)"))
    }

    /// The reference to the image encoder's weights: `image_cond_checkpoint`, or an `image_cond_model` that names a checkpoint of
    /// the model's own (`is_here` knows) instead of one of torch's hub. `None` where the model does not carry them.
    pub fn image_cond_reference(&self, is_here: impl Fn(&str) -> bool) -> Option<&str> {
        let named = || self.image_cond_model.as_ref().map(ImageCondModel::name).filter(|name| is_here(name));
        self.image_cond_checkpoint.as_deref().or_else(named)
    }

    fn absent(&self, key: &str, expected: &str) -> Error {
        Error::Field {
            origin: self.origin.clone(),
            field: format!("args.{key}"),
            expected: expected.into(),
            found: "nothing".into(),
        }
    }
}

fn interval(fields: &mut Fields<'_>, key: &str) -> Result<Option<[f64; 2]>> {
    let Some(numbers) = fields.numbers(key)? else { return Ok(None) };
    <[f64; 2]>::try_from(numbers)
        .map(Some)
        .map_err(|n| fields.error(key, "two numbers", format!("a list of {}", n.len())))
}

fn sampler(mut fields: Fields<'_>, unknown: &mut Vec<String>) -> Result<SamplerConfig> {
    let name = fields.string("name")?;
    let mut args = fields.inner("args")?;
    let sigma_min = args.f64("sigma_min")?.ok_or_else(|| args.error("sigma_min", "a number", "nothing"))?;
    let mut extra = args.leftovers(unknown);
    let mut given = fields.inner("params")?;
    let params = SamplerParams {
        steps: given.u32("steps")?,
        cfg_strength: given.f64("cfg_strength")?,
        cfg_interval: interval(&mut given, "cfg_interval")?,
        rescale_t: given.f64("rescale_t")?,
        guidance_strength: given.f64("guidance_strength")?,
        guidance_rescale: given.f64("guidance_rescale")?,
        guidance_interval: interval(&mut given, "guidance_interval")?,
    };
    if params.steps == Some(0) {
        return Err(given.error("steps", "at least one step", "the number 0"));
    }
    extra.extend(given.leftovers(unknown));
    fields.leftovers(unknown);
    Ok(SamplerConfig { name, sigma_min, params, extra })
}

fn normalization(mut fields: Fields<'_>, unknown: &mut Vec<String>) -> Result<Normalization> {
    let mut list = |key: &str| -> Result<Vec<f32>> {
        let numbers = fields.numbers(key)?.ok_or_else(|| fields.error(key, "a list of numbers", "nothing"))?;
        Ok(numbers.into_iter().map(|v| v as f32).collect())
    };
    let (mean, std) = (list("mean")?, list("std")?);
    if mean.len() != std.len() {
        return Err(fields.error(
            "std",
            &format!("a list of {}, as many as `mean` has", mean.len()),
            format!("a list of {}", std.len()),
        ));
    }
    if let Some(bad) = std.iter().find(|s| !(s.is_finite() && **s > 0.0)) {
        return Err(fields.error("std", "positive finite numbers", format!("the number {bad}")));
    }
    fields.leftovers(unknown);
    Ok(Normalization { mean, std })
}
