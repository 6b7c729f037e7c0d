//! How long a model's networks and their parts take on a device, without loading.
//!
//! Inputs are random, and so may the weights be ([`PublishedSizes`]): times do not depend on values. The voxels are a sphere's
//! surface, as dense as an object's. Calls are enqueued one behind the other without waiting, as a sampler does, and the
//! device's own time is taken of them and that of both together. The host's is that of a single call on an idle device: the tensor
//! runtime lets the host run some hundred dispatches ahead and then makes it wait, which is no work.

use std::time::{Duration, Instant};

use burn::tensor::{DType, Distribution, Tensor};
use maquette_gpu::Gpu;
use maquette_kernels::{RowGroups, Voxels};
use maquette_models::dinov2::{DinoConfig, DinoV2};
use maquette_models::nn::{BlockModulation, ModulatedCrossBlock};
use maquette_models::trellis::{
    GaussianDecoder, GaussianDecoderConfig, LatentFlow, LatentFlowConfig, MeshDecoder, MeshDecoderConfig,
    StructureDecoder, StructureDecoderConfig, StructureFlow, StructureFlowConfig,
};
use maquette_weights::synthesize::{self, Synthetic};
use maquette_weights::{ModelConfig, PipelineConfig, manifest::Manifest};
use serde_json::Value;

use crate::{ModelSource, Precision, Result, Weights};

/// What to measure.
#[derive(Clone, Debug)]
pub struct NetworkOptions {
    /// Numbers in weights and activations; the picture encoder is f32 always, as in the pipeline.
    pub precision: Precision,
    /// Tokens of the sparse transformer block.
    pub tokens: usize,
    /// Voxels of the latent flow and the decoders.
    pub voxels: usize,
    /// Only lines whose label contains one of these; all where there are none.
    pub only: Vec<String>,
}

/// One line: the middle of three rounds, for one call.
#[derive(Clone, Debug)]
pub struct NetworkTime {
    /// What was called, with its sizes.
    pub name: String,
    /// From the first call's first command to the last call's last one on the device's clock, where it has one.
    pub device: Duration,
    /// How long enqueueing keeps the host where nothing makes it wait.
    pub host: Duration,
    /// From the first call until the device was done.
    pub whole: Duration,
}

/// Condition tokens of a picture: 37² patches, the class token and four registers.
const CONDITION: usize = 1374;
/// What a round of calls may take.
const ROUND: Duration = Duration::from_millis(300);
const MOST_CALLS: u32 = 20;
/// How long calls run before any is measured: a card that idled while the host made weights begins at a sixth of its clock.
const WARM: Duration = Duration::from_millis(200);

/// TRELLIS image-large's networks as published, with seeded random values made as they are asked for.
#[derive(Debug)]
pub struct PublishedSizes {
    pipeline: PipelineConfig,
}

impl PublishedSizes {
    /// The model; it costs nothing until a network is asked for.
    ///
    /// # Errors
    /// None but those of reading our own description.
    pub fn new() -> Result<Self> {
        let text = synthesize::trellis_description().to_string();
        Ok(Self { pipeline: PipelineConfig::parse("published sizes", text.as_bytes())? })
    }

    fn made(stem: &str) -> Result<(ModelConfig, Weights)> {
        let manifest = Manifest::named(&stem.replace("ckpts/", "trellis/"))?;
        let config =
            ModelConfig { name: manifest.class.clone(), args: manifest.args.clone(), origin: manifest.id.clone() };
        Ok((config, Box::new(Synthetic::new(manifest, 0))))
    }
}

impl ModelSource for PublishedSizes {
    fn name(&self) -> String {
        "published sizes, random weights".to_owned()
    }

    fn pipeline(&self) -> &PipelineConfig {
        &self.pipeline
    }

    fn network(&self, key: &str) -> Result<(ModelConfig, Weights)> {
        Self::made(self.pipeline.model(key)?)
    }

    fn encoder(&self) -> Result<(DinoConfig, Weights)> {
        let (config, weights) = Self::made("ckpts/dinov2_vitl14_reg")?;
        Ok((DinoConfig::from_args(&Value::Object(config.args))?, weights))
    }
}

/// Measures a model's networks on `gpu`, one in memory at a time, and hands each line to `each` as soon as it is there.
///
/// # Errors
/// Those of loading the networks, and faults of the device.
pub async fn networks(
    gpu: &Gpu,
    model: &dyn ModelSource,
    options: &NetworkOptions,
    each: &mut dyn FnMut(NetworkTime),
) -> Result<()> {
    let mut bench = Bench { gpu, model, options, each };
    bench.encoder().await?;
    bench.structure_flow().await?;
    bench.structure_decoder().await?;
    bench.voxel_set().await?;
    bench.latent_flow().await?;
    bench.gaussian_decoder().await?;
    bench.mesh_decoder().await
}

struct Bench<'a> {
    gpu: &'a Gpu,
    model: &'a dyn ModelSource,
    options: &'a NetworkOptions,
    each: &'a mut dyn FnMut(NetworkTime),
}

impl Bench<'_> {
    fn wanted(&self, label: &str) -> bool {
        self.options.only.is_empty() || self.options.only.iter().any(|only| label.contains(only.as_str()))
    }

    fn any(&self, labels: &[&str]) -> bool {
        labels.iter().any(|label| self.wanted(label))
    }

    fn random<const D: usize>(&self, shape: [usize; D], dtype: DType) -> Tensor<D> {
        let normal = Distribution::Normal(0.0, 1.0);
        Tensor::<D>::random(shape, normal, (self.gpu.device(), DType::F32)).cast(dtype)
    }

    /// A tensor in the torso's type.
    fn torso<const D: usize>(&self, shape: [usize; D]) -> Tensor<D> {
        self.random(shape, self.options.precision.dtype().into())
    }

    fn open(&self, key: &str) -> Result<(Value, Weights)> {
        let (config, weights) = self.model.network(key)?;
        Ok((Value::Object(config.args), weights))
    }

    /// Loads one network, and afterwards [`Gpu::release_memory`] is due.
    fn load<T>(&self, load: impl FnOnce(Precision) -> maquette_models::Result<T>) -> Result<T> {
        Ok(self.gpu.guard(|| load(self.options.precision))??)
    }

    async fn time<T>(&mut self, label: &str, sizes: &str, call: impl Fn() -> Result<T>) -> Result<()> {
        if !self.wanted(label) {
            return Ok(());
        }
        let gpu = self.gpu;
        let run = |calls: u32| -> Result<()> { gpu.guard(|| (0..calls).try_for_each(|_| call().map(drop)))? };
        // The first call compiles, the last one before the rounds tells how many fit.
        run(1)?;
        gpu.finish().await?;
        let start = Instant::now();
        let one = loop {
            let begin = Instant::now();
            run(1)?;
            gpu.finish().await?;
            if start.elapsed() >= WARM {
                break begin.elapsed().max(Duration::from_micros(1));
            }
        };
        let calls = ((ROUND.as_secs_f64() / one.as_secs_f64()) as u32).clamp(1, MOST_CALLS);
        let mut rounds = Vec::with_capacity(3);
        for _ in 0..3 {
            let begin = Instant::now();
            run(1)?;
            let host = begin.elapsed();
            gpu.finish().await?;
            gpu.start_profile();
            let region = gpu.region(label);
            let begin = Instant::now();
            run(calls)?;
            drop(region);
            gpu.finish().await?;
            let whole = begin.elapsed();
            let profile = gpu.finish_profile().await?;
            let device = profile.regions.first().map_or(whole, |region| region.duration);
            rounds.push([device / calls, host, whole / calls]);
        }
        rounds.sort_unstable();
        let [device, host, whole] = rounds[1];
        let name = if sizes.is_empty() { label.to_owned() } else { format!("{label}, {sizes}") };
        (self.each)(NetworkTime { name, device, host, whole });
        Ok(())
    }

    /// One block over `[tokens, width]`, with the condition's rows in the torso's type.
    async fn block(
        &mut self,
        label: &str,
        block: &ModulatedCrossBlock,
        modulation: &BlockModulation,
        condition: Tensor<2>,
        size: [usize; 2],
    ) -> Result<()> {
        let (x, batches) = (self.torso(size), RowGroups::single(size[0]));
        let context = self.gpu.guard(|| block.cross_attn.context(condition, &RowGroups::single(CONDITION)))?;
        let sizes = format!("{}×{}, {CONDITION} condition tokens", size[0], size[1]);
        self.time(label, &sizes, || Ok(block.forward(x.clone(), modulation, &context, &batches))).await
    }

    async fn encoder(&mut self) -> Result<()> {
        const LABEL: &str = "picture encoder";
        if !self.wanted(LABEL) {
            return Ok(());
        }
        let (config, weights) = self.model.encoder()?;
        let gpu = self.gpu;
        let network = gpu.guard(|| DinoV2::load(config, &*weights, gpu.device(), Precision::F32))??;
        let side = network.picture_size();
        let picture = self.random([1, 3, side, side], DType::F32);
        self.time(LABEL, &format!("{side}×{side}, f32"), || Ok(network.forward(picture.clone())?)).await?;
        drop(network);
        Ok(gpu.release_memory()?)
    }

    async fn structure_flow(&mut self) -> Result<()> {
        const LABELS: [&str; 3] = ["dense block", "structure modulation", "structure flow"];
        if !self.any(&LABELS) {
            return Ok(());
        }
        let (args, weights) = self.open("sparse_structure_flow_model")?;
        let config = StructureFlowConfig::from_args(&args)?;
        let (width, edge) = (config.flow.model_channels, config.flow.resolution);
        let (count, blocks) = ((edge / config.patch_size).pow(3), config.flow.num_blocks);
        let volume = self.random([1, config.flow.in_channels, edge, edge, edge], DType::F32);
        let condition = self.random([1, CONDITION, config.flow.cond_channels], DType::F32);
        let gpu = self.gpu;
        let flow = self.load(|precision| StructureFlow::load(config, &*weights, gpu.device(), precision))?;
        let (prepared, moment) =
            gpu.guard(|| -> Result<_> { Ok((flow.condition(condition.clone())?, flow.moment(&[500.0]))) })??;
        let first = gpu.guard(|| flow.modulations().forward(&flow.t_embedder().forward(&[500.0])))?;
        if let (Some(block), Some(modulation)) = (flow.blocks().first(), first.first()) {
            let rows = condition.reshape([CONDITION, flow.config().flow.cond_channels]).cast(flow.torso());
            self.block(LABELS[0], block, modulation, rows, [count, width]).await?;
        }
        self.time(LABELS[1], "one step", || Ok(flow.moment(&[500.0]))).await?;
        let sizes = format!("{blocks} blocks");
        self.time(LABELS[2], &sizes, || Ok(flow.forward(volume.clone(), &moment, &prepared)?)).await?;
        drop((flow, prepared, moment, first));
        Ok(gpu.release_memory()?)
    }

    async fn structure_decoder(&mut self) -> Result<()> {
        const LABEL: &str = "structure decoder";
        if !self.wanted(LABEL) {
            return Ok(());
        }
        let edge = StructureFlowConfig::from_args(&self.open("sparse_structure_flow_model")?.0)?.flow.resolution;
        let (args, weights) = self.open("sparse_structure_decoder")?;
        let config = StructureDecoderConfig::from_args(&args)?;
        let z = self.random([1, config.latent_channels, edge, edge, edge], DType::F32);
        let gpu = self.gpu;
        let decoder = self.load(|precision| StructureDecoder::load(config, &*weights, gpu.device(), precision))?;
        self.time(LABEL, &format!("{edge}³"), || Ok(decoder.forward(z.clone())?)).await?;
        drop(decoder);
        Ok(gpu.release_memory()?)
    }

    /// What a new coordinate set costs once: the tables and orders that the networks ask it for.
    async fn voxel_set(&mut self) -> Result<()> {
        let config = LatentFlowConfig::from_args(&self.open("slat_flow_model")?.0)?;
        let coords = shell(config.flow.resolution, self.options.voxels);
        let device = self.gpu.device().clone();
        let sizes = format!("{} voxels", coords.len());
        let new = || voxels(coords.clone());
        self.time("a new voxel set", &sizes, || Ok(new())).await?;
        self.time("with neighbours", &sizes, || Ok(new().neighbours().table(&device))).await?;
        let windows = |set: Voxels| [0, 4].map(|shift| set.windows(8, shift).order(&device));
        self.time("with windows", &sizes, || Ok(windows(new()))).await?;
        self.time("with its coarser set", &sizes, || Ok(new().coarsened().device_children(&device))).await
    }

    async fn latent_flow(&mut self) -> Result<()> {
        const LABELS: [&str; 5] =
            ["sparse block", "latent modulation", "latent input blocks", "latent output blocks", "latent flow"];
        if !self.any(&LABELS) {
            return Ok(());
        }
        let (args, weights) = self.open("slat_flow_model")?;
        let config = LatentFlowConfig::from_args(&args)?;
        let (width, blocks, resolution) = (config.flow.model_channels, config.flow.num_blocks, config.flow.resolution);
        let condition = self.random([1, CONDITION, config.flow.cond_channels], DType::F32);
        let voxels = voxels(shell(resolution, self.options.voxels));
        let x = self.random([voxels.len(), config.flow.in_channels], DType::F32);
        let gpu = self.gpu;
        let flow = self.load(|precision| LatentFlow::load(config, &*weights, gpu.device(), precision))?;
        let (prepared, moment) =
            gpu.guard(|| -> Result<_> { Ok((flow.condition(condition.clone())?, flow.moment(&[500.0]))) })??;
        let sites = gpu.guard(|| flow.sites(&voxels))?;
        let embedding = self.random([1, width], DType::F32);
        let first = gpu.guard(|| flow.modulations().forward(&embedding))?;
        if let (Some(block), Some(modulation)) = (flow.blocks().first(), first.first()) {
            let rows = condition.reshape([CONDITION, flow.config().flow.cond_channels]).cast(flow.torso());
            self.block(LABELS[0], block, modulation, rows, [self.options.tokens, width]).await?;
        }
        self.time(LABELS[1], "one step", || Ok(flow.moment(&[500.0]))).await?;
        let residuals = gpu.guard(|| flow.residual_modulation(&embedding))?;
        let (inputs, outputs) = residuals.split_at(flow.input_blocks());
        let levels = flow.config().levels();
        let fine = self.torso([voxels.len(), levels.first().copied().unwrap_or(width)]);
        let side = || flow.input_side(fine.clone(), &sites, inputs, &mut |_, _| {});
        let sizes = format!("{} voxels", voxels.len());
        self.time(LABELS[2], &sizes, || Ok(side())).await?;
        let (tokens, skips) = gpu.guard(side)?;
        let back = || Ok(flow.output_side(tokens.clone(), skips.clone(), &sites, outputs, &mut |_, _| {}));
        self.time(LABELS[3], &sizes, back).await?;
        let sizes = format!("{} voxels, {} tokens, {blocks} blocks", voxels.len(), sites.tokens().len());
        self.time(LABELS[4], &sizes, || Ok(flow.forward(x.clone(), &sites, &moment, &prepared)?)).await?;
        drop((flow, prepared, moment, first));
        Ok(gpu.release_memory()?)
    }

    async fn gaussian_decoder(&mut self) -> Result<()> {
        const LABELS: [&str; 2] = ["windowed block", "Gaussian decoder"];
        if !self.any(&LABELS) {
            return Ok(());
        }
        let (args, weights) = self.open("slat_decoder_gs")?;
        let config = GaussianDecoderConfig::from_args(&args)?;
        let (width, voxels) =
            (config.trunk.model_channels, voxels(shell(config.trunk.resolution, self.options.voxels)));
        let latent = self.random([voxels.len(), config.latent_channels], DType::F32);
        let gpu = self.gpu;
        let decoder = self.load(|precision| GaussianDecoder::load(config, &*weights, gpu.device(), precision))?;
        if let Some(block) = decoder.trunk().blocks().first() {
            let x = self.torso([voxels.len(), width]);
            let sizes = format!("{}×{width}", voxels.len());
            self.time(LABELS[0], &sizes, || Ok(block.forward(x.clone(), &voxels))).await?;
        }
        let sizes = format!("{} voxels", voxels.len());
        self.time(LABELS[1], &sizes, || Ok(decoder.forward(latent.clone(), &voxels)?)).await?;
        drop(decoder);
        Ok(gpu.release_memory()?)
    }

    async fn mesh_decoder(&mut self) -> Result<()> {
        const LABEL: &str = "mesh decoder";
        if !self.wanted(LABEL) {
            return Ok(());
        }
        let (args, weights) = self.open("slat_decoder_mesh")?;
        let config = MeshDecoderConfig::from_args(&args)?;
        let voxels = voxels(shell(config.trunk.resolution, self.options.voxels));
        let latent = self.random([voxels.len(), config.latent_channels], DType::F32);
        let gpu = self.gpu;
        let decoder = self.load(|precision| MeshDecoder::load(config, &*weights, gpu.device(), precision))?;
        let sizes = format!("{} voxels", voxels.len());
        let decode = || {
            let decoded = decoder.forward(latent.clone(), &voxels)?;
            // The last layer works where its rows are used.
            decoded.rows.runs().for_each(|run| drop(decoded.rows.make(run)));
            Ok(decoded)
        };
        self.time(LABEL, &sizes, decode).await?;
        drop(decoder);
        Ok(gpu.release_memory()?)
    }
}

/// `count` voxels of a sphere's surface in a grid, in lexicographic order; fewer where the grid has no more.
fn shell(resolution: usize, count: usize) -> Vec<[i32; 4]> {
    let edge = resolution as i32;
    let (centre, radius) = (f64::from(edge - 1) / 2.0, 0.42 * f64::from(edge));
    let mut coords = Vec::with_capacity(resolution.pow(3));
    for x in 0..edge {
        for y in 0..edge {
            for z in 0..edge {
                let distance = [x, y, z].map(|c| (f64::from(c) - centre).powi(2)).iter().sum::<f64>().sqrt();
                coords.push(((distance - radius).abs(), [0, x, y, z]));
            }
        }
    }
    coords.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut coords: Vec<_> = coords.into_iter().take(count).map(|(_, coords)| coords).collect();
    coords.sort_unstable();
    coords
}

fn voxels(coords: Vec<[i32; 4]>) -> Voxels {
    Voxels::new(coords).expect("a grid's cells are distinct and at least 0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_is_a_set_of_so_many_voxels_around_the_middle() {
        let coords = shell(16, 300);
        assert_eq!(coords.len(), 300);
        assert!(coords.is_sorted() && coords.iter().all(|c| c[1..].iter().all(|v| (0..16).contains(v))));
        // Nothing in the middle.
        assert!(!coords.contains(&[0, 8, 8, 8]));
        assert_eq!(voxels(coords).len(), 300);
        assert_eq!(shell(4, 1000).len(), 64);
    }

    #[test]
    fn the_published_sizes_open_with_the_classes_that_the_pipeline_wants() {
        let model = PublishedSizes::new().unwrap();
        for (key, class) in
            [("slat_flow_model", "SLatFlowModel"), ("sparse_structure_decoder", "SparseStructureDecoder")]
        {
            let (config, weights) = model.network(key).unwrap();
            assert_eq!(config.class(), class);
            assert!(!weights.names().is_empty());
        }
        let (_, weights) = model.encoder().unwrap();
        assert_eq!(weights.info("norm.weight").unwrap().shape, [1024]);
    }
}
