//! Where a pipeline's networks come from.

use std::collections::BTreeMap;
use std::fmt;
#[cfg(not(target_family = "wasm"))]
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

use maquette_models::dinov2::DinoConfig;
#[cfg(not(target_family = "wasm"))]
use maquette_weights::ModelFolder;
#[cfg(not(target_family = "wasm"))]
pub use maquette_weights::SearchPlaces;
use maquette_weights::{Checkpoint, IMAGE_ENCODER, ModelConfig, PipelineConfig, TensorSource};

use crate::{Error, Result};

/// A network's weights, wherever they are: a mapped file, memory, or a pack that is read tensor by tensor.
pub type Weights = Box<dyn TensorSource>;

/// What [`ModelSource::prepare`] answers.
pub type Prepared<'a> = Pin<Box<dyn Future<Output = Result<()>> + Send + 'a>>;

/// A model: its description now, its networks one by one when they are asked for.
pub trait ModelSource: Send + Sync + fmt::Debug {
    /// A name for messages and for what is written into files.
    fn name(&self) -> String;

    /// What `pipeline.json` says.
    fn pipeline(&self) -> &PipelineConfig;

    /// Description and weights of the network of that key (`slat_flow_model`, …).
    ///
    /// # Errors
    /// [`Error::Weights`].
    fn network(&self, key: &str) -> Result<(ModelConfig, Weights)>;

    /// The image encoder.
    ///
    /// # Errors
    /// [`Error::EncoderMissing`], [`Error::Weights`].
    fn encoder(&self) -> Result<(DinoConfig, Weights)>;

    /// Waits until the weights of that key (`image_cond_checkpoint` is the encoder) can be read: a page may still be fetching
    /// them. A pipeline awaits it before it asks for a network.
    fn prepare<'a>(&'a self, _key: &'a str) -> Prepared<'a> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// A model folder on disk, in the published layout.
#[cfg(not(target_family = "wasm"))]
#[derive(Debug)]
pub struct FolderModel {
    folder: ModelFolder,
    siblings: Vec<PathBuf>,
}

#[cfg(not(target_family = "wasm"))]
impl FolderModel {
    /// Reads the folder's `pipeline.json`.
    ///
    /// # Errors
    /// [`Error::Weights`].
    pub fn open(path: impl AsRef<Path>, places: SearchPlaces) -> Result<Self> {
        let siblings = places.siblings.clone();
        Ok(Self { folder: ModelFolder::open_with(path, places)?, siblings })
    }

    /// The folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.folder.root()
    }

    /// Folders in which the encoder may be: the model's own, `dinov2` inside and beside it, and the sibling models.
    fn encoder_places(&self) -> Vec<PathBuf> {
        let root = self.folder.root();
        let beside = root.canonicalize().ok().and_then(|root| Some(root.parent()?.join("dinov2")));
        [root.to_owned(), root.join("dinov2")]
            .into_iter()
            .chain(beside)
            .chain(self.siblings.iter().flat_map(|s| [s.clone(), s.join("dinov2")]))
            .collect()
    }
}

/// The one checkpoint of a folder that is the encoder's own.
#[cfg(not(target_family = "wasm"))]
fn encoder_file(place: &Path, name: &str) -> Option<PathBuf> {
    for ending in ["_pretrain.safetensors", ".safetensors", "_pretrain.pth", ".pth"] {
        let file = place.join(format!("{name}{ending}"));
        if file.is_file() {
            return Some(file);
        }
    }
    // A folder of its own may call it anything.
    if place.file_name()? != "dinov2" {
        return None;
    }
    let mut files: Vec<_> = std::fs::read_dir(place).ok()?.filter_map(|e| e.ok().map(|e| e.path())).collect();
    files.sort();
    let with = |ending: &str| files.iter().find(|f| f.extension().is_some_and(|e| e == ending)).cloned();
    with("safetensors").or_else(|| with("pth"))
}

pub(crate) fn encoder_name(pipeline: &PipelineConfig) -> String {
    pipeline.image_cond_model.as_ref().map_or_else(|| "dinov2_vitl14_reg".to_owned(), |m| m.name().to_owned())
}

#[cfg(not(target_family = "wasm"))]
impl ModelSource for FolderModel {
    fn name(&self) -> String {
        let root = self.folder.root();
        let path = root.canonicalize().unwrap_or_else(|_| root.to_owned());
        path.file_name().map_or_else(|| path.display().to_string(), |n| n.to_string_lossy().into_owned())
    }

    fn pipeline(&self) -> &PipelineConfig {
        self.folder.pipeline()
    }

    fn network(&self, key: &str) -> Result<(ModelConfig, Weights)> {
        let found = self.folder.checkpoint(key)?;
        let weights = Box::new(found.open()?);
        Ok((found.config, weights))
    }

    fn encoder(&self) -> Result<(DinoConfig, Weights)> {
        if let Some(found) = self.folder.image_cond_checkpoint()? {
            let weights = Box::new(found.open()?);
            return Ok((DinoConfig::from_args(&serde_json::Value::Object(found.config.args))?, weights));
        }
        let name = encoder_name(self.folder.pipeline());
        let tried = self.encoder_places();
        let Some(file) = tried.iter().find_map(|place| encoder_file(place, &name)) else {
            return Err(Error::EncoderMissing { model: self.name(), encoder: name, tried });
        };
        let description = file.with_file_name("config.json");
        let config = if description.is_file() {
            let text = std::fs::read(&description).map_err(|e| Error::io("read", &description, e))?;
            let value = serde_json::from_slice(&text).map_err(|e| Error::StageFile {
                path: description.clone(),
                problem: format!("the encoder's description is not valid JSON: {e}"),
            })?;
            DinoConfig::from_args(&value)?
        } else {
            DinoConfig::default()
        };
        Ok((config, Box::new(Checkpoint::open(&file)?)))
    }
}

/// A model whose files are in memory: embedded in a program, or downloaded by a page.
#[derive(Clone, Debug)]
pub struct MemoryModel {
    name: String,
    pipeline: PipelineConfig,
    files: BTreeMap<String, Arc<[u8]>>,
}

impl MemoryModel {
    /// A model of files with their paths relative to the folder; `pipeline.json` must be among them.
    ///
    /// # Errors
    /// [`Error::ModelNotFound`] without a `pipeline.json`, [`Error::Weights`] if it cannot be read.
    pub fn new(name: impl Into<String>, files: impl IntoIterator<Item = (String, Arc<[u8]>)>) -> Result<Self> {
        let (name, files) = (name.into(), files.into_iter().collect::<BTreeMap<_, _>>());
        let Some(text) = files.get("pipeline.json") else {
            return Err(Error::ModelNotFound { tried: vec![format!("{name}/pipeline.json").into()], name });
        };
        let pipeline = PipelineConfig::parse(&format!("{name}/pipeline.json"), text)?;
        Ok(Self { name, pipeline, files })
    }

    fn pair(&self, key: &str, stem: &str) -> Result<(ModelConfig, Weights)> {
        let file = |ending: &str| {
            let path = format!("{stem}.{ending}");
            self.files.get(&path).cloned().ok_or_else(|| Error::ModelNotFound {
                name: format!("{} ({key})", self.name),
                tried: vec![format!("{}/{path}", self.name).into()],
            })
        };
        let config = ModelConfig::parse(&format!("{}/{stem}.json", self.name), &file("json")?)?;
        Ok((config, Box::new(Checkpoint::from_bytes(file("safetensors")?)?)))
    }
}

impl ModelSource for MemoryModel {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn pipeline(&self) -> &PipelineConfig {
        &self.pipeline
    }

    fn network(&self, key: &str) -> Result<(ModelConfig, Weights)> {
        self.pair(key, self.pipeline.model(key)?)
    }

    fn encoder(&self) -> Result<(DinoConfig, Weights)> {
        let here = |name: &str| self.files.contains_key(&format!("{name}.json"));
        let Some(stem) = self.pipeline.image_cond_reference(here) else {
            let encoder = encoder_name(&self.pipeline);
            return Err(Error::EncoderMissing { model: self.name(), encoder, tried: Vec::new() });
        };
        let (config, weights) = self.pair(IMAGE_ENCODER, stem)?;
        Ok((DinoConfig::from_args(&serde_json::Value::Object(config.args))?, weights))
    }
}
