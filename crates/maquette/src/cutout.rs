//! From a picture's bytes to the subject alone.

use std::borrow::Cow;
use std::sync::Mutex;

use burn::tensor::{DType, Tensor};
use maquette_gpu::Gpu;
use maquette_image::{
    DecodeOptions, MATTING_SIDE, Mask, MaskFinding, Note, Picture, Rgb, Rgba, Severity, check_mask, composite_cutout,
    decode, mask_from_output, matting_input, prepare, resize_lanczos, to_model_input,
};
use maquette_models::u2net::{U2Net, matting_tensor};
use maquette_weights::Checkpoint;

use crate::{Control, Error, Result, Stage};

/// What to do with a cut-out that looks wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MaskPolicy {
    /// Stop.
    #[default]
    Refuse,
    /// Say it and go on, as long as there is anything at all.
    Force,
}

/// How pictures are read and judged.
#[derive(Clone, Debug, Default)]
pub struct CutoutOptions {
    /// Limits and tolerance of decoding.
    pub decode: DecodeOptions,
    /// What to do when the mask looks wrong.
    pub policy: MaskPolicy,
}

/// A subject on a transparent ground, with what is to be said about it.
#[derive(Clone, Debug)]
pub struct Cutout {
    /// The picture; alpha is the mask. `None` when the background is part of the object.
    picture: CutoutPicture,
    /// What was noticed, worst first.
    pub findings: Vec<MaskFinding>,
    /// What the file's reader noticed.
    pub notes: Vec<Note>,
}

#[derive(Clone, Debug)]
enum CutoutPicture {
    Masked(Rgba),
    Whole(Rgb),
}

/// A matting network: says which pixels are the subject. Loaded at first use.
#[derive(Debug)]
pub struct Matting {
    weights: Checkpoint,
    gpu: Gpu,
    network: Mutex<Option<U2Net>>,
}

impl Matting {
    /// U²-Net or U²-Netp, whichever the weights are.
    #[must_use]
    pub fn new(weights: Checkpoint, gpu: Gpu) -> Self {
        Self { weights, gpu, network: Mutex::default() }
    }

    /// The small form, trained by its authors, that comes with this crate.
    ///
    /// # Errors
    /// None in practice; the weights are read like any others.
    #[cfg(feature = "builtin-matting")]
    pub fn builtin(gpu: Gpu) -> Result<Self> {
        static WEIGHTS: &[u8] = include_bytes!("../../../models/u2netp.safetensors");
        Ok(Self::new(Checkpoint::from_bytes(WEIGHTS)?, gpu))
    }

    /// The mask of a picture, in its size.
    ///
    /// # Errors
    /// What the weights, the network and the device report.
    pub async fn mask(&self, picture: &Rgb, control: &Control) -> Result<Mask> {
        let running = control.start(Stage::Matting, 1)?;
        let side = MATTING_SIDE as usize;
        let planes = matting_input(picture)?;
        let output = self.gpu.guard(|| -> Result<Tensor<4>> {
            let mut network = self.network.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            let network = match &mut *network {
                Some(network) => network,
                empty => empty.insert(U2Net::load(&self.weights, self.gpu.device())?),
            };
            Ok(network.forward(matting_tensor(planes, side, self.gpu.device())?)?)
        })??;
        let values = read_back(&self.gpu, output).await?;
        let mask = mask_from_output(&values, picture.width(), picture.height())?;
        running.step(1)?;
        running.finish(gpu_bytes(&self.gpu));
        Ok(mask)
    }
}

/// A tensor's values on the host.
pub(crate) async fn read_back<const D: usize>(gpu: &Gpu, tensor: Tensor<D>) -> Result<Vec<f32>> {
    let failed = |message: String| Error::Network(maquette_models::Error::ReadBack(message));
    let data = gpu.guard_async(tensor.cast(DType::F32).into_data_async()).await?;
    data.map_err(|e| failed(e.to_string()))?.try_into_vec::<f32>().map_err(|e| failed(format!("{e:?}")))
}

/// Bytes in use on the device, 0 where nobody knows.
pub(crate) fn gpu_bytes(gpu: &Gpu) -> u64 {
    gpu.memory().map_or(0, |memory| memory.in_use)
}

impl Cutout {
    /// A picture whose own alpha is the cut-out.
    ///
    /// # Errors
    /// [`Error::Image`]; [`Error::NoMatting`] for an opaque picture; [`Error::Mask`] for a mask that looks wrong.
    pub fn with_alpha(file: &[u8], options: &CutoutOptions) -> Result<Self> {
        let picture = decode(file, &options.decode)?;
        if !picture.has_alpha() {
            return Err(Error::NoMatting);
        }
        Self::judge(picture.pixels, picture.facts.notes, options.policy)
    }

    /// A picture with its own alpha where it has one, else cut out by `matting`.
    ///
    /// # Errors
    /// As [`Cutout::with_alpha`], and what the network reports.
    pub async fn matted(file: &[u8], matting: &Matting, options: &CutoutOptions, control: &Control) -> Result<Self> {
        let picture = decode(file, &options.decode)?;
        if picture.has_alpha() {
            return Self::judge(picture.pixels, picture.facts.notes, options.policy);
        }
        let rgb = picture.opaque()?;
        let mask = matting.mask(&rgb, control).await?;
        Self::judge(composite_cutout(&rgb, &mask)?, picture.facts.notes, options.policy)
    }

    /// A picture cut out with a mask that the user gives: white (or opaque) is the subject. It is brought to the picture's size.
    ///
    /// # Errors
    /// As [`Cutout::with_alpha`].
    pub fn with_mask(file: &[u8], mask: &[u8], options: &CutoutOptions) -> Result<Self> {
        let picture = decode(file, &options.decode)?;
        let rgb = picture.opaque()?;
        let mask = decode(mask, &options.decode)?.to_mask()?;
        let mask = resize_lanczos(&mask, rgb.width(), rgb.height())?;
        Self::judge(composite_cutout(&rgb, &mask)?, picture.facts.notes, options.policy)
    }

    /// The whole picture, background included, as the model's input.
    ///
    /// # Errors
    /// [`Error::Image`].
    pub fn with_background(file: &[u8], options: &CutoutOptions) -> Result<Self> {
        let Picture { pixels, facts } = decode(file, &options.decode)?;
        Ok(Self { picture: CutoutPicture::Whole(pixels.to_rgb()?), findings: Vec::new(), notes: facts.notes })
    }

    /// Pixels that somebody else cut out (a brush, an editor): alpha is the mask, colours are multiplied by it as
    /// [`composite_cutout`] does.
    ///
    /// # Errors
    /// [`Error::Image`]; [`Error::Mask`] for a mask that looks wrong.
    pub fn of_pixels(pixels: Rgba, policy: MaskPolicy) -> Result<Self> {
        Self::judge(pixels, Vec::new(), policy)
    }

    fn judge(pixels: Rgba, notes: Vec<Note>, policy: MaskPolicy) -> Result<Self> {
        let findings = check_mask(&pixels.alpha()?)?;
        let worst = findings.first().map(|f| f.severity);
        match (worst, policy) {
            (Some(Severity::Fatal), _) => {
                // The crop's own words are the clearest where there is nothing to crop to.
                prepare(&pixels, 8)?;
                Err(Error::Mask { findings })
            }
            (Some(Severity::Warning), MaskPolicy::Refuse) => Err(Error::Mask { findings }),
            _ => Ok(Self { picture: CutoutPicture::Masked(pixels), findings, notes }),
        }
    }

    /// What the model sees: the subject cropped, on black, `side` × `side`.
    ///
    /// # Errors
    /// [`Error::Image`].
    pub fn prepared(&self, side: u32) -> Result<Rgb> {
        Ok(match &self.picture {
            CutoutPicture::Masked(pixels) => prepare(pixels, side)?.rgb,
            CutoutPicture::Whole(pixels) => to_model_input(pixels, side)?,
        })
    }

    /// The cut-out; opaque where the background belongs to it.
    ///
    /// # Errors
    /// [`Error::Image`].
    pub fn pixels(&self) -> Result<Cow<'_, Rgba>> {
        Ok(match &self.picture {
            CutoutPicture::Masked(pixels) => Cow::Borrowed(pixels),
            CutoutPicture::Whole(pixels) => Cow::Owned(pixels.to_rgba()?),
        })
    }

    /// The cut-out as a PNG file.
    ///
    /// # Errors
    /// [`Error::Image`].
    pub fn to_png(&self) -> Result<Vec<u8>> {
        Ok(match &self.picture {
            CutoutPicture::Masked(pixels) => maquette_image::encode_png(pixels)?,
            CutoutPicture::Whole(pixels) => maquette_image::encode_png(pixels)?,
        })
    }
}
