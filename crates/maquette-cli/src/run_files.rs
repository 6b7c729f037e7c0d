//! `--dump` and `--resume`: a folder with one file a stage.

use std::path::{Path, PathBuf};

use maquette::{Error, files, stage_files};

use crate::report::Failure;

/// Where stages are saved and taken from.
#[derive(Debug, Default)]
pub struct RunFiles {
    dump: Option<PathBuf>,
    resume: Option<PathBuf>,
}

impl RunFiles {
    /// Checks and makes the folders.
    pub fn open(dump: Option<&Path>, resume: Option<&Path>) -> Result<Self, Failure> {
        if let Some(folder) = resume.filter(|f| !f.is_dir()) {
            let problem = "there is no such folder of saved stages".to_owned();
            return Err(Error::StageFile { path: folder.to_owned(), problem }.into());
        }
        if let Some(folder) = dump {
            std::fs::create_dir_all(folder).map_err(|e| Error::io("write", folder, e))?;
        }
        Ok(Self { dump: dump.map(Path::to_owned), resume: resume.map(Path::to_owned) })
    }

    /// The files of one of several jobs: a folder of its own below these. The same files where there is one job only.
    pub fn of_job(&self, tag: &str) -> Result<Self, Failure> {
        let below = |folder: &PathBuf| if tag.is_empty() { folder.clone() } else { folder.join(tag) };
        let dump = self.dump.as_ref().map(below);
        if let Some(folder) = &dump {
            std::fs::create_dir_all(folder).map_err(|e| Error::io("write", folder, e))?;
        }
        Ok(Self { dump, resume: self.resume.as_ref().map(below) })
    }

    /// Saves a file of the run, if stages are saved.
    pub fn save(&self, name: &str, bytes: impl FnOnce() -> Vec<u8>) -> Result<(), Failure> {
        match &self.dump {
            Some(folder) => Ok(files::write(&folder.join(name), &bytes())?),
            None => Ok(()),
        }
    }

    /// A saved stage, where there is one.
    pub fn load<T>(
        &self,
        name: &str,
        read: impl FnOnce(&str, Vec<u8>) -> maquette::Result<T>,
    ) -> Result<Option<T>, Failure> {
        let Some(path) = self.resume.as_ref().map(|folder| folder.join(name)).filter(|path| path.is_file()) else {
            return Ok(None);
        };
        let value = read(&path.display().to_string(), files::read(&path)?);
        value.map(Some).map_err(|error| match error {
            // A damaged stage file is no damaged model.
            Error::Weights(e) => Error::StageFile { path, problem: e.to_string() }.into(),
            other => other.into(),
        })
    }
}

/// Noise from a file.
pub fn noise(path: &Path) -> Result<maquette::Noise, Failure> {
    let bytes = files::read(path)?;
    stage_files::read_noise(&path.display().to_string(), bytes).map_err(|error| match error {
        Error::Weights(e) => Error::StageFile { path: path.to_owned(), problem: e.to_string() }.into(),
        other => other.into(),
    })
}
