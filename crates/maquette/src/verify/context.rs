//! The folder's networks.

use burn::tensor::{Device, Tensor};
use maquette_models::{
    Precision,
    dinov2::{DinoConfig, DinoV2},
    sampler::{Guidance, SamplerParams},
    trellis::{
        GaussianDecoder, GaussianDecoderConfig, LatentFlow, LatentFlowConfig, MeshDecoder, MeshDecoderConfig,
        RadianceDecoder, RadianceDecoderConfig, StructureDecoder, StructureDecoderConfig, StructureFlow,
        StructureFlowConfig,
    },
};
use maquette_weights::Checkpoint;
use serde_json::Value;

use super::{GoldenFiles, Result, VerifyError, VerifyOptions, golden::Golden};

/// What every case is given.
pub(super) struct Context<'a> {
    pub(super) files: &'a dyn GoldenFiles,
    pub(super) device: &'a Device,
    pub(super) precision: Precision,
}

/// A network's description and weights.
pub(super) struct Stored {
    pub(super) args: Value,
    pub(super) weights: Checkpoint,
}

impl<'a> Context<'a> {
    pub(super) fn new(files: &'a dyn GoldenFiles, options: &'a VerifyOptions) -> Self {
        Self { files, device: &options.device, precision: options.precision }
    }

    pub(super) fn case(&self, name: &str) -> Result<Golden> {
        Golden::read(self.files, &format!("cases/{name}.safetensors"))
    }

    /// A float tensor in the torso's type.
    pub(super) fn torso<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        x.cast(self.precision.dtype())
    }

    fn json(&self, path: &str) -> Result<Value> {
        serde_json::from_slice(&self.files.read(path)?)
            .map_err(|error| VerifyError::Content { path: path.to_owned(), problem: error.to_string() })
    }

    /// A member of `pipeline.json`'s `args`.
    pub(super) fn pipeline(&self, member: &str) -> Result<Value> {
        const PATH: &str = "model/pipeline.json";
        let mut pipeline = self.json(PATH)?;
        match pipeline.pointer_mut(&format!("/args/{member}")) {
            Some(value) => Ok(value.take()),
            None => Err(VerifyError::Content { path: PATH.into(), problem: format!("no `args.{member}`") }),
        }
    }

    /// A pair `<stem>.json`, `<stem>.safetensors`.
    pub(super) fn stored(&self, stem: &str) -> Result<Stored> {
        let path = format!("{stem}.json");
        let args = self.json(&path)?.get_mut("args").map(Value::take);
        let args = args.ok_or_else(|| VerifyError::Content { path, problem: "no `args`".into() })?;
        let bytes = self.files.read(&format!("{stem}.safetensors"))?;
        Ok(Stored { args, weights: Checkpoint::from_bytes(bytes)? })
    }

    /// One of the pipeline's networks.
    pub(super) fn network(&self, key: &str) -> Result<Stored> {
        let models = self.pipeline("models")?;
        let Some(name) = models.get(key).and_then(Value::as_str) else {
            let problem = format!("no `args.models.{key}`");
            return Err(VerifyError::Content { path: "model/pipeline.json".into(), problem });
        };
        self.stored(&format!("model/{name}"))
    }

    pub(super) fn structure_flow(&self) -> Result<StructureFlow> {
        self.structure_flow_of(&self.network("sparse_structure_flow_model")?)
    }

    pub(super) fn structure_flow_of(&self, stored: &Stored) -> Result<StructureFlow> {
        let config = StructureFlowConfig::from_args(&stored.args)?;
        Ok(StructureFlow::load(config, &stored.weights, self.device, self.precision)?)
    }

    pub(super) fn structure_decoder(&self) -> Result<StructureDecoder> {
        let stored = self.network("sparse_structure_decoder")?;
        let config = StructureDecoderConfig::from_args(&stored.args)?;
        Ok(StructureDecoder::load(config, &stored.weights, self.device, self.precision)?)
    }

    pub(super) fn latent_flow(&self) -> Result<LatentFlow> {
        let stored = self.network("slat_flow_model")?;
        let config = LatentFlowConfig::from_args(&stored.args)?;
        Ok(LatentFlow::load(config, &stored.weights, self.device, self.precision)?)
    }

    pub(super) fn gaussian_decoder(&self) -> Result<GaussianDecoder> {
        let stored = self.network("slat_decoder_gs")?;
        let config = GaussianDecoderConfig::from_args(&stored.args)?;
        Ok(GaussianDecoder::load(config, &stored.weights, self.device, self.precision)?)
    }

    pub(super) fn mesh_decoder(&self) -> Result<MeshDecoder> {
        let stored = self.network("slat_decoder_mesh")?;
        let config = MeshDecoderConfig::from_args(&stored.args)?;
        Ok(MeshDecoder::load(config, &stored.weights, self.device, self.precision)?)
    }

    pub(super) fn radiance_decoder(&self) -> Result<RadianceDecoder> {
        let stored = self.network("slat_decoder_rf")?;
        let config = RadianceDecoderConfig::from_args(&stored.args)?;
        Ok(RadianceDecoder::load(config, &stored.weights, self.device, self.precision)?)
    }

    /// The picture encoder; f32 always, as in the pipeline.
    pub(super) fn dino(&self) -> Result<DinoV2> {
        let files = self.files.list("dinov2");
        let Some(weights) = files.iter().find(|name| name.ends_with(".safetensors")) else {
            return Err(VerifyError::File { path: "dinov2".into(), problem: "no .safetensors in it".into() });
        };
        let config = match files.iter().any(|name| name == "config.json") {
            true => DinoConfig::from_args(&self.json("dinov2/config.json")?)?,
            false => DinoConfig::default(),
        };
        let weights = Checkpoint::from_bytes(self.files.read(&format!("dinov2/{weights}"))?)?;
        Ok(DinoV2::load(config, &weights, self.device, Precision::F32)?)
    }

    /// Settings of one of the pipeline's samplers.
    pub(super) fn sampler(&self, key: &str) -> Result<SamplerParams> {
        let sampler = self.pipeline(key)?;
        let wrong = |member: &str| VerifyError::Content {
            path: "model/pipeline.json".into(),
            problem: format!("`args.{key}` has no usable `{member}`"),
        };
        let number = |at: &str| sampler.pointer(at).and_then(Value::as_f64);
        let strength = number("/params/cfg_strength").unwrap_or(3.0);
        let interval = || match sampler.pointer("/params/cfg_interval") {
            Some(value) => serde_json::from_value::<(f64, f64)>(value.clone()).map_err(|_| wrong("cfg_interval")),
            None => Ok((0.0, 1.0)),
        };
        let guidance = match sampler.get("name").and_then(Value::as_str) {
            Some("FlowEulerSampler") => None,
            Some("FlowEulerCfgSampler") => Some(Guidance { strength, interval: None }),
            Some("FlowEulerGuidanceIntervalSampler") => Some(Guidance { strength, interval: Some(interval()?) }),
            _ => return Err(wrong("name")),
        };
        let steps = sampler.pointer("/params/steps").and_then(Value::as_u64).unwrap_or(50);
        Ok(SamplerParams {
            steps: usize::try_from(steps).map_err(|_| wrong("steps"))?,
            rescale_t: number("/params/rescale_t").unwrap_or(1.0),
            guidance,
            sigma_min: number("/args/sigma_min").ok_or_else(|| wrong("sigma_min"))?,
        })
    }
}
