//! TRELLIS, image to 3D.

use std::sync::Arc;

use burn::tensor::{DType, Tensor, TensorData};
use maquette_gpu::Gpu;
use maquette_image::{IMAGENET_MEAN, IMAGENET_STD, Rgb, normalise_chw};
use maquette_kernels::{Voxels, flexicubes::extract};
use maquette_mesh::Gaussians;
use maquette_mesh::flexicubes::{ExtractedMesh, ROW, SparseExtractor};
use maquette_models::sampler::{Conditions, EulerSampler, MultiImage, TorchGenerator};
use maquette_models::trellis::{LatentField, MeshFeatures};

use super::networks::Networks;
use super::sampling::integrate;
use super::{Array, Condition, GenerateOptions, Generated, Latent, Noise, PipelineOptions, Sampling, Structure};
use crate::cutout::{gpu_bytes, read_back};
use crate::{Control, Cutout, Error, ModelSource, Result, Stage};

/// The pipeline of TRELLIS-image models. Each stage takes and gives plain host values, so it can be run, saved and compared
/// alone; [`TrellisImageTo3d::generate`] runs them all.
#[derive(Debug)]
pub struct TrellisImageTo3d {
    model: Arc<dyn ModelSource>,
    gpu: Gpu,
    networks: Networks,
}

impl TrellisImageTo3d {
    /// A pipeline of a model on a device. No weights are read yet.
    ///
    /// # Errors
    /// [`Error::WrongPipeline`].
    pub fn new(model: Arc<dyn ModelSource>, gpu: Gpu, options: PipelineOptions) -> Result<Self> {
        let name = &model.pipeline().name;
        if name != "TrellisImageTo3DPipeline" {
            return Err(Error::WrongPipeline { model: model.name(), found: name.clone() });
        }
        let networks = Networks::new(model.clone(), gpu.clone(), options);
        Ok(Self { model, gpu, networks })
    }

    /// The model.
    #[must_use]
    pub fn model(&self) -> &Arc<dyn ModelSource> {
        &self.model
    }

    /// The device.
    #[must_use]
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// Side of the picture that the encoder sees, in pixels.
    #[must_use]
    pub fn picture_side(&self) -> u32 {
        self.model.pipeline().image_size
    }

    /// All stages, from cut-outs of one object to what was decoded.
    ///
    /// # Errors
    /// What the stages report; [`Error::Cancelled`].
    pub async fn generate(
        &self,
        cutouts: &[Cutout],
        options: &GenerateOptions,
        control: &Control,
    ) -> Result<Generated> {
        let pictures = cutouts.iter().map(|c| c.prepared(self.picture_side())).collect::<Result<Vec<_>>>()?;
        let condition = self.encode(&pictures, control).await?;
        let structure = self.structure(&condition, options, control).await?;
        let latent = self.latent(&condition, &structure, options, control).await?;
        let gaussians = self.gaussians(&latent, control).await?;
        let mesh = self.mesh(&latent, control).await?;
        Ok(Generated { gaussians, mesh })
    }

    /// The encoder's tokens of prepared pictures.
    ///
    /// # Errors
    /// [`Error::Option`] without a picture, what the network and the device report.
    pub async fn encode(&self, pictures: &[Rgb], control: &Control) -> Result<Condition> {
        if pictures.is_empty() {
            return Err(Error::option("pictures", "at least one", "none"));
        }
        let running = control.start(Stage::Encode, pictures.len())?;
        let network = self.networks.encoder().await?;
        let mut tokens = Array { shape: vec![pictures.len(), 0, 0], values: Vec::new() };
        for (i, picture) in pictures.iter().enumerate() {
            let planes = normalise_chw(picture, IMAGENET_MEAN, IMAGENET_STD)?;
            let shape = [1, 3, picture.height() as usize, picture.width() as usize];
            let output = self.gpu.guard(|| -> Result<Tensor<3>> {
                let input = Tensor::<4>::from_data(TensorData::new(planes, shape), (self.gpu.device(), DType::F32));
                Ok(network.forward(input)?.condition())
            })??;
            let [_, count, channels] = output.dims();
            tokens.shape = vec![pictures.len(), count, channels];
            tokens.values.extend(read_back(&self.gpu, output).await?);
            running.step(i + 1)?;
        }
        drop(network);
        self.networks.settle()?;
        running.finish(gpu_bytes(&self.gpu));
        Ok(Condition { tokens })
    }

    /// Samples and decodes which voxels are occupied.
    ///
    /// # Errors
    /// [`maquette_models::Error::EmptyStructure`], [`Error::Option`] for noise of another shape, what the network and the
    /// device report.
    pub async fn structure(
        &self,
        condition: &Condition,
        options: &GenerateOptions,
        control: &Control,
    ) -> Result<Structure> {
        let sampler = self.sampler("sparse_structure_sampler", options.structure)?;
        let steps = sampler.times().len() - 1;
        let running = control.start(Stage::Structure, steps + 1)?;
        let flow = self.networks.structure_flow().await?;
        let (channels, edge) = (flow.config().flow.in_channels, flow.config().flow.resolution);
        let shape = [1, channels, edge, edge, edge];
        let noise = match &options.noise {
            Noise::Seed(seed) => {
                let values = TorchGenerator::new(*seed).normal(shape.iter().product());
                Array { shape: shape.to_vec(), values }
            }
            Noise::Given { structure, .. } => fitting("structure noise", structure, &shape)?.clone(),
        };
        let (start, prepared, negative) = self.gpu.guard(|| -> Result<_> {
            let prepared =
                self.pictures(condition)?.into_iter().map(|c| flow.condition(c)).collect::<Result<Vec<_>, _>>()?;
            Ok((self.upload::<5>(&noise, shape), prepared, flow.zero_condition()))
        })??;
        note_more_pictures(control, options.multi, prepared.len(), steps);
        let conditions = Conditions { pictures: &prepared, negative: &negative, mode: options.multi };
        let z = integrate(&self.gpu, &sampler, &*flow, start, &conditions, &running).await?;
        drop((flow, prepared, negative));
        self.networks.settle()?;

        let decoder = self.networks.structure_decoder().await?;
        let latent = Array { shape: shape.to_vec(), values: read_back(&self.gpu, z.clone()).await? };
        let logits = self.gpu.guard(|| decoder.forward(z))??;
        let dims = logits.dims();
        let logits = Array { shape: dims.to_vec(), values: read_back(&self.gpu, logits).await? };
        drop(decoder);
        self.networks.settle()?;
        let occupied: Vec<bool> = logits.values.iter().map(|v| *v > 0.0).collect();
        let voxels = Voxels::from_occupancy(&occupied, [dims[0], dims[2], dims[3], dims[4]]);
        let coords = voxels.map_err(maquette_models::Error::from)?.coords().to_vec();
        if coords.is_empty() {
            return Err(maquette_models::Error::EmptyStructure.into());
        }
        if coords.len() < 300 {
            control.note(format!(
                "only {} voxels are occupied; the object will be coarse. Another seed or a larger subject may help",
                coords.len()
            ));
        }
        running.step(steps + 1)?;
        running.finish(gpu_bytes(&self.gpu));
        Ok(Structure { noise, latent, logits, coords })
    }

    /// Samples what the voxels look like.
    ///
    /// # Errors
    /// [`Error::Option`] for noise of another shape, what the network and the device report.
    pub async fn latent(
        &self,
        condition: &Condition,
        structure: &Structure,
        options: &GenerateOptions,
        control: &Control,
    ) -> Result<Latent> {
        let sampler = self.sampler("slat_sampler", options.latent)?;
        let steps = sampler.times().len() - 1;
        let running = control.start(Stage::Latent, steps)?;
        let flow = self.networks.latent_flow().await?;
        let voxels = Voxels::new(structure.coords.clone()).map_err(maquette_models::Error::from)?;
        let shape = [voxels.len(), flow.config().flow.in_channels];
        let noise = match &options.noise {
            Noise::Seed(seed) => {
                // The reference draws both noises from one stream.
                let mut generator = TorchGenerator::new(*seed);
                generator.normal(structure.noise.values.len());
                Array { shape: shape.to_vec(), values: generator.normal(shape[0] * shape[1]) }
            }
            Noise::Given { latent, .. } => fitting("latent noise", latent, &shape)?.clone(),
        };
        let statistics = self.model.pipeline().normalization("slat_normalization")?;
        if statistics.mean.len() != shape[1] {
            let expected = format!("{} channels, as the latent", shape[1]);
            return Err(Error::option("the model's slat_normalization", expected, statistics.mean.len()));
        }
        let (start, prepared, negative, sites) = self.gpu.guard(|| -> Result<_> {
            let prepared =
                self.pictures(condition)?.into_iter().map(|c| flow.condition(c)).collect::<Result<Vec<_>, _>>()?;
            Ok((self.upload::<2>(&noise, shape), prepared, flow.zero_condition(), flow.sites(&voxels)))
        })??;
        let conditions = Conditions { pictures: &prepared, negative: &negative, mode: options.multi };
        let field = LatentField { flow: &flow, sites: &sites };
        let x = integrate(&self.gpu, &sampler, &field, start, &conditions, &running).await?;
        let mut values = read_back(&self.gpu, x).await?;
        for row in values.chunks_exact_mut(shape[1]) {
            for (value, (mean, std)) in row.iter_mut().zip(statistics.mean.iter().zip(&statistics.std)) {
                *value = *value * std + mean;
            }
        }
        drop((prepared, negative, sites, flow));
        self.networks.settle()?;
        running.finish(gpu_bytes(&self.gpu));
        Ok(Latent { noise, features: Array { shape: shape.to_vec(), values }, coords: structure.coords.clone() })
    }

    /// Decodes Gaussians.
    ///
    /// # Errors
    /// What the network and the device report.
    pub async fn gaussians(&self, latent: &Latent, control: &Control) -> Result<Gaussians> {
        let running = control.start(Stage::Gaussians, 1)?;
        let decoder = self.networks.gaussian_decoder().await?;
        let (features, voxels) = self.decoder_input(latent)?;
        let decoded = self.gpu.guard(|| -> Result<_> {
            let raw = decoder.forward(features, &voxels)?;
            let g = decoder.represent(raw, &voxels);
            Ok([g.positions(), g.extents(), g.rotations(), g.opacities(), g.features_dc])
        })??;
        let [means, scales, quats, opacities, f_dc] = decoded;
        let gaussians = Gaussians {
            means: read_back(&self.gpu, means).await?.as_chunks::<3>().0.to_vec(),
            scales: read_back(&self.gpu, scales).await?.as_chunks::<3>().0.to_vec(),
            quats: read_back(&self.gpu, quats).await?.as_chunks::<4>().0.to_vec(),
            opacities: read_back(&self.gpu, opacities).await?,
            f_dc: read_back(&self.gpu, f_dc).await?.as_chunks::<3>().0.to_vec(),
        };
        gaussians.validate()?;
        drop(decoder);
        self.networks.settle()?;
        running.step(1)?;
        running.finish(gpu_bytes(&self.gpu));
        Ok(gaussians)
    }

    /// Decodes the mesh's field and extracts its surface.
    ///
    /// # Errors
    /// [`Error::NoSurface`], what the network, the extraction and the device report.
    pub async fn mesh(&self, latent: &Latent, control: &Control) -> Result<ExtractedMesh> {
        let running = control.start(Stage::Mesh, 2)?;
        let decoder = self.networks.mesh_decoder().await?;
        let (features, voxels) = self.decoder_input(latent)?;
        let decoded = self.gpu.guard(|| decoder.forward(features, &voxels))??;
        drop(decoder);
        running.step(1)?;
        let mesh = self.extract(&decoded, control).await?;
        drop(decoded);
        self.networks.settle()?;
        if !mesh.is_success() {
            return Err(Error::NoSurface);
        }
        running.step(2)?;
        running.finish(gpu_bytes(&self.gpu));
        Ok(mesh)
    }

    /// The surface of a decoded field: on a GPU where the rows are, else from rows that are read run by run.
    async fn extract(&self, decoded: &MeshFeatures, control: &Control) -> Result<ExtractedMesh> {
        let extracted = extract(&decoded.voxels, &decoded.rows, decoded.resolution);
        if let Some(mesh) = self.gpu.guard_async(extracted).await?.map_err(maquette_models::Error::from)? {
            return Ok(mesh);
        }
        let mut extractor = SparseExtractor::new(decoded.resolution)?;
        for run in decoded.rows.runs() {
            let rows = self.gpu.guard(|| decoded.rows.make(run.clone()))?;
            let values = widened(read_back(&self.gpu, rows).await?, decoded.rows.width());
            let coords: Vec<[i32; 3]> = decoded.voxels.coords()[run].iter().map(|c| [c[1], c[2], c[3]]).collect();
            extractor.push(&coords, &values)?;
            control.rest().await?;
        }
        Ok(extractor.finish())
    }

    fn sampler(&self, key: &str, settings: Sampling) -> Result<EulerSampler> {
        Ok(EulerSampler::new(settings.over(self.model.pipeline().sampler(key)?)?)?)
    }

    /// One condition a picture, `[1, tokens, channels]` each.
    fn pictures(&self, condition: &Condition) -> Result<Vec<Tensor<3>>> {
        let [pictures, tokens, channels] = condition.tokens.shape[..] else {
            return Err(Error::option(
                "condition",
                "[pictures, tokens, channels]",
                format!("{:?}", condition.tokens.shape),
            ));
        };
        let size = tokens * channels;
        if pictures * size != condition.tokens.values.len() || pictures * size == 0 {
            return Err(Error::option("condition", pictures * size, condition.tokens.values.len()));
        }
        let parts = condition.tokens.values.chunks_exact(size).map(|values| {
            let data = TensorData::new(values.to_vec(), [1, tokens, channels]);
            Tensor::from_data(data, (self.gpu.device(), DType::F32))
        });
        Ok(parts.collect())
    }

    fn upload<const D: usize>(&self, array: &Array, shape: [usize; D]) -> Tensor<D> {
        Tensor::from_data(TensorData::new(array.values.clone(), shape), (self.gpu.device(), DType::F32))
    }

    fn decoder_input(&self, latent: &Latent) -> Result<(Tensor<2>, Voxels)> {
        let voxels = Voxels::new(latent.coords.clone()).map_err(maquette_models::Error::from)?;
        let [rows, channels] = latent.features.shape[..] else {
            return Err(Error::option("latent", "[voxels, channels]", format!("{:?}", latent.features.shape)));
        };
        if rows != voxels.len() || latent.features.values.len() != rows * channels {
            return Err(Error::option("latent", format!("{} rows", voxels.len()), rows));
        }
        let features = self.gpu.guard(|| self.upload::<2>(&latent.features, [rows, channels]))?;
        Ok((features, voxels))
    }
}

/// Rows of the extraction's width: decoders without colour leave the last 48 values away.
fn widened(values: Vec<f32>, width: usize) -> Vec<f32> {
    if width == ROW {
        return values;
    }
    let mut out = Vec::with_capacity(values.len() / width.max(1) * ROW);
    for row in values.chunks_exact(width.max(1)) {
        out.extend_from_slice(&row[..width.min(ROW)]);
        out.resize(out.len().next_multiple_of(ROW), 0.0);
    }
    out
}

fn fitting<'a>(what: &'static str, array: &'a Array, shape: &[usize]) -> Result<&'a Array> {
    if array.shape == shape && array.values.len() == shape.iter().product::<usize>() {
        return Ok(array);
    }
    Err(Error::option(what, format!("{shape:?}"), format!("{:?}", array.shape)))
}

fn note_more_pictures(control: &Control, mode: MultiImage, pictures: usize, steps: usize) {
    if mode == MultiImage::Stochastic && pictures > steps {
        control.note(format!("{pictures} pictures but only {steps} steps: the last pictures are never looked at"));
    }
}
