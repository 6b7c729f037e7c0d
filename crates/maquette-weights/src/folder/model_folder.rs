//! A model folder: its pipeline description now, its models when they are asked for.

use std::path::{Path, PathBuf};

use super::model_config::ModelConfig;
use super::pipeline::{IMAGE_ENCODER, PipelineConfig};
use super::resolve::{self, SearchPlaces};
use crate::{Checkpoint, Error, Result};

/// Where one model's files are. Nothing of the weights has been read yet.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckpointRef {
    /// The model's key in the pipeline.
    pub key: String,
    /// Class and arguments.
    pub config: ModelConfig,
    /// The description file.
    pub description: PathBuf,
    /// The weights file (or shard index).
    pub weights: PathBuf,
}

impl CheckpointRef {
    /// Opens the weights.
    ///
    /// # Errors
    /// As [`Checkpoint::open`].
    pub fn open(&self) -> Result<Checkpoint> {
        Checkpoint::open(&self.weights)
    }
}

/// A folder with a `pipeline.json` (TRELLIS layout, SyncHuman second stage).
#[derive(Clone, Debug)]
pub struct ModelFolder {
    root: PathBuf,
    pipeline: PipelineConfig,
    places: SearchPlaces,
}

impl ModelFolder {
    /// Reads the folder's `pipeline.json`; models are looked for later, one by one, so that a missing one hinders only whoever
    /// needs it. `path` may be the folder or the file.
    ///
    /// # Errors
    /// [`Error::NotAModelFolder`] without a `pipeline.json`, else as [`PipelineConfig::parse`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path, SearchPlaces::default())
    }

    /// As [`ModelFolder::open`], with other places for references that the folder cannot meet.
    ///
    /// # Errors
    /// As [`ModelFolder::open`].
    pub fn open_with(path: impl AsRef<Path>, places: SearchPlaces) -> Result<Self> {
        let path = path.as_ref();
        let (root, file) = if path.is_file() {
            (path.parent().unwrap_or(Path::new("")).to_owned(), path.to_owned())
        } else {
            (path.to_owned(), path.join("pipeline.json"))
        };
        if !file.is_file() {
            return Err(not_a_folder(&root));
        }
        let text = std::fs::read(&file).map_err(Error::io(&file))?;
        let pipeline = PipelineConfig::parse(&file.display().to_string(), &text)?;
        Ok(Self { root, pipeline, places })
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What `pipeline.json` says.
    pub fn pipeline(&self) -> &PipelineConfig {
        &self.pipeline
    }

    /// Finds the model of that key and reads its description, not its weights.
    ///
    /// # Errors
    /// [`Error::Field`] if the pipeline has no such key, [`Error::Unresolved`] with every place tried, or the description's own
    /// errors: a file that is there but bad is never masked by looking elsewhere.
    pub fn checkpoint(&self, key: &str) -> Result<CheckpointRef> {
        self.reference(key, self.pipeline.model(key)?)
    }

    /// Finds the image encoder's weights, where [`ModelFolder::image_cond_reference`] has a reference to them.
    ///
    /// # Errors
    /// As [`ModelFolder::checkpoint`].
    pub fn image_cond_checkpoint(&self) -> Result<Option<CheckpointRef>> {
        self.image_cond_reference().map(|value| self.reference(IMAGE_ENCODER, value)).transpose()
    }

    /// [`PipelineConfig::image_cond_reference`] in this folder. `None` where it does not carry the encoder's weights.
    pub fn image_cond_reference(&self) -> Option<&str> {
        self.pipeline.image_cond_reference(|name| {
            resolve::is_plain_relative(name) && resolve::pair_at(&self.root.join(name)).is_ok()
        })
    }

    fn reference(&self, key: &str, value: &str) -> Result<CheckpointRef> {
        let origin = self.root.join("pipeline.json").display().to_string();
        let pair = resolve::resolve(&self.root, &origin, key, value, &self.places)?;
        let text = std::fs::read(&pair.description).map_err(Error::io(&pair.description))?;
        let config = ModelConfig::parse(&pair.description.display().to_string(), &text)?;
        Ok(CheckpointRef { key: key.to_owned(), config, description: pair.description, weights: pair.weights })
    }
}

fn not_a_folder(root: &Path) -> Error {
    let inner = std::fs::read_dir(root).ok().and_then(|entries| {
        entries.filter_map(|e| e.ok().map(|e| e.path())).find(|p| p.join("pipeline.json").is_file())
    });
    let problem = match (root.is_dir(), inner) {
        (false, _) => "there is no such folder".to_owned(),
        (true, Some(inner)) => format!("it has no pipeline.json, but {} has one: use that folder", inner.display()),
        (true, None) => "it has no pipeline.json; download the model with `maquette-weights fetch`, or name the folder that holds it".to_owned(),
    };
    Error::NotAModelFolder { path: root.to_owned(), problem }
}

#[cfg(test)]
#[path = "model_folder_tests.rs"]
mod tests;
