//! A pipeline's networks: loaded when a stage needs them, kept or dropped when it ends.

use std::sync::{Arc, Mutex, MutexGuard};

use maquette_gpu::Gpu;
use maquette_models::dinov2::DinoV2;
use maquette_models::trellis::{
    GaussianDecoder, GaussianDecoderConfig, LatentFlow, LatentFlowConfig, MeshDecoder, MeshDecoderConfig,
    StructureDecoder, StructureDecoderConfig, StructureFlow, StructureFlowConfig,
};
use maquette_weights::{IMAGE_ENCODER, ModelConfig, TensorSource};
use serde_json::Value;

use super::{PipelineOptions, Residency, Shared};
use crate::model::Weights;
use crate::{Error, ModelSource, Result};

/// One network's place.
#[derive(Debug)]
pub(super) struct Slot<T>(Mutex<Option<Shared<T>>>);

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T> Slot<T> {
    fn lock(&self) -> MutexGuard<'_, Option<Shared<T>>> {
        // A panic while loading leaves the place empty, which is a valid state.
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn loaded(&self) -> Option<Shared<T>> {
        self.lock().clone()
    }

    fn get(&self, residency: Residency, load: impl FnOnce() -> Result<T>) -> Result<Shared<T>> {
        let mut place = self.lock();
        if let Some(network) = &*place {
            return Ok(network.clone());
        }
        let network = Arc::new(load()?);
        if residency == Residency::Resident {
            *place = Some(network.clone());
        }
        Ok(network)
    }
}

/// The networks of one model on one device.
#[derive(Debug)]
pub(super) struct Networks {
    model: Arc<dyn ModelSource>,
    gpu: Gpu,
    options: PipelineOptions,
    encoder: Slot<DinoV2>,
    structure_flow: Slot<StructureFlow>,
    structure_decoder: Slot<StructureDecoder>,
    latent_flow: Slot<LatentFlow>,
    gaussian_decoder: Slot<GaussianDecoder>,
    mesh_decoder: Slot<MeshDecoder>,
}

/// Room for a network's weights on the device, at the precision they will have there.
fn weight_bytes(weights: &dyn TensorSource, options: PipelineOptions) -> u64 {
    let names = weights.names().into_iter();
    names.filter_map(|name| weights.info(name)).map(|info| options.precision.bytes_of(info)).sum()
}

macro_rules! network {
    ($name:ident, $kind:ident, $config:ident, $key:literal, $class:literal) => {
        pub(super) async fn $name(&self) -> Result<Shared<$kind>> {
            if let Some(network) = self.$name.loaded() {
                return Ok(network);
            }
            self.model.prepare($key).await?;
            self.$name.get(self.options.residency, || {
                let (config, weights) = self.open($key, $class)?;
                let config = $config::from_args(&Value::Object(config.args))?;
                let load = || $kind::load(config, &*weights, self.gpu.device(), self.options.precision);
                Ok(self.gpu.guard(load)??)
            })
        }
    };
}

impl Networks {
    pub(super) fn new(model: Arc<dyn ModelSource>, gpu: Gpu, options: PipelineOptions) -> Self {
        Self {
            model,
            gpu,
            options,
            encoder: Slot::default(),
            structure_flow: Slot::default(),
            structure_decoder: Slot::default(),
            latent_flow: Slot::default(),
            gaussian_decoder: Slot::default(),
            mesh_decoder: Slot::default(),
        }
    }

    fn open(&self, key: &'static str, class: &str) -> Result<(ModelConfig, Weights)> {
        let (config, weights) = self.model.network(key)?;
        if config.class() != class {
            let found = format!("{:?} as {key}", config.class());
            return Err(Error::WrongPipeline { model: self.model.name(), found });
        }
        self.gpu.ensure_room(weight_bytes(&*weights, self.options))?;
        Ok((config, weights))
    }

    /// The encoder always runs in f32: its tokens steer everything after it.
    pub(super) async fn encoder(&self) -> Result<Shared<DinoV2>> {
        if let Some(network) = self.encoder.loaded() {
            return Ok(network);
        }
        self.model.prepare(IMAGE_ENCODER).await?;
        self.encoder.get(self.options.residency, || {
            let (config, weights) = self.model.encoder()?;
            self.gpu.ensure_room(weight_bytes(&*weights, PipelineOptions::default()))?;
            let precision = maquette_models::Precision::F32;
            Ok(self.gpu.guard(|| DinoV2::load(config, &*weights, self.gpu.device(), precision))??)
        })
    }

    network!(
        structure_flow,
        StructureFlow,
        StructureFlowConfig,
        "sparse_structure_flow_model",
        "SparseStructureFlowModel"
    );
    network!(
        structure_decoder,
        StructureDecoder,
        StructureDecoderConfig,
        "sparse_structure_decoder",
        "SparseStructureDecoder"
    );
    network!(latent_flow, LatentFlow, LatentFlowConfig, "slat_flow_model", "SLatFlowModel");
    network!(gaussian_decoder, GaussianDecoder, GaussianDecoderConfig, "slat_decoder_gs", "SLatGaussianDecoder");
    network!(mesh_decoder, MeshDecoder, MeshDecoderConfig, "slat_decoder_mesh", "SLatMeshDecoder");

    /// Gives back what a finished stage no longer needs.
    pub(super) fn settle(&self) -> Result<()> {
        if self.options.residency == Residency::Staged {
            self.gpu.release_memory()?;
        }
        Ok(())
    }
}
