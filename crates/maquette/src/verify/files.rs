//! Where reference numbers come from.

use super::Result;
#[cfg(not(target_family = "wasm"))]
use super::VerifyError;

/// A folder of reference numbers, on disk or in memory. Paths are relative, with `/`.
pub trait GoldenFiles {
    /// What to call it in messages.
    fn origin(&self) -> String;

    /// Names of the files directly in `folder`, sorted; empty when there is no such folder.
    fn list(&self, folder: &str) -> Vec<String>;

    /// A file's bytes.
    ///
    /// # Errors
    /// [`VerifyError::File`](super::VerifyError::File).
    fn read(&self, path: &str) -> Result<Vec<u8>>;
}

/// A part of a set: a folder inside.
pub(super) struct Inside<'a> {
    pub(super) files: &'a dyn GoldenFiles,
    pub(super) folder: &'static str,
}

impl Inside<'_> {
    pub(super) fn path(&self, path: &str) -> String {
        if self.folder.is_empty() { path.to_owned() } else { format!("{}/{path}", self.folder) }
    }
}

impl GoldenFiles for Inside<'_> {
    fn origin(&self) -> String {
        self.files.origin()
    }

    fn list(&self, folder: &str) -> Vec<String> {
        self.files.list(&self.path(folder))
    }

    fn read(&self, path: &str) -> Result<Vec<u8>> {
        self.files.read(&self.path(path))
    }
}

/// A folder on disk.
#[cfg(not(target_family = "wasm"))]
#[derive(Clone, Debug)]
pub struct GoldenFolder {
    root: std::path::PathBuf,
}

#[cfg(not(target_family = "wasm"))]
impl GoldenFolder {
    /// The folder that holds `cases/`, `model/` and so on.
    pub fn new(root: impl Into<std::path::PathBuf>) -> Self {
        Self { root: root.into() }
    }
}

#[cfg(not(target_family = "wasm"))]
impl GoldenFiles for GoldenFolder {
    fn origin(&self) -> String {
        self.root.display().to_string()
    }

    fn list(&self, folder: &str) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.root.join(folder)) else { return Vec::new() };
        let mut names: Vec<String> = entries
            .flatten()
            .filter(|entry| entry.path().is_file())
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.sort_unstable();
        names
    }

    fn read(&self, path: &str) -> Result<Vec<u8>> {
        std::fs::read(self.root.join(path))
            .map_err(|error| VerifyError::File { path: path.to_owned(), problem: error.to_string() })
    }
}
