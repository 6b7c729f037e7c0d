//! Where models are looked for: the one place that reads the environment for it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use maquette::{Error, FolderModel, MemoryModel, ModelSource, SearchPlaces};

use crate::report::Failure;

include!(concat!(env!("OUT_DIR"), "/embedded_model.rs"));

/// The model that is inside the program.
pub const EMBEDDED: &str = "mini";

/// Models that may be installed, best first: folder name, what it is, licence.
pub const KNOWN: [(&str, &str, &str); 2] = [
    ("trellis-image-large", "Microsoft's TRELLIS-image-large, 1.2 billion parameters", "MIT"),
    ("mini", "small model of this project, trained on procedural objects", "MIT OR Apache-2.0"),
];

/// Folders that hold model folders, in the order in which they are searched.
pub fn roots() -> Vec<PathBuf> {
    let listed = std::env::var_os("MAQUETTE_MODELS");
    let mut roots: Vec<PathBuf> = listed.map(|l| std::env::split_paths(&l).collect()).unwrap_or_default();
    roots.push("models".into());
    if let Some(beside) = std::env::current_exe().ok().and_then(|p| Some(p.parent()?.join("models"))) {
        roots.push(beside);
    }
    let data = std::env::var_os("XDG_DATA_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("LOCALAPPDATA").map(PathBuf::from))
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".local/share")));
    roots.extend(data.map(|d| d.join("maquette/models")));
    roots
}

/// Where a model of that name would be used from.
pub fn find(name: &str) -> Option<PathBuf> {
    roots().into_iter().map(|root| root.join(name)).find(|folder| folder.join("pipeline.json").is_file())
}

/// Whether the program was built with a model inside.
pub fn has_embedded() -> bool {
    !EMBEDDED_FILES.is_empty()
}

/// Bytes of the model inside the program.
pub fn embedded_bytes() -> u64 {
    EMBEDDED_FILES.iter().map(|(_, bytes)| bytes.len() as u64).sum()
}

fn embedded() -> Result<Arc<dyn ModelSource>, Failure> {
    let files = EMBEDDED_FILES.iter().map(|(name, bytes)| ((*name).to_owned(), Arc::from(*bytes)));
    Ok(Arc::new(MemoryModel::new(EMBEDDED, files)?))
}

fn open(folder: &Path) -> Result<Arc<dyn ModelSource>, Failure> {
    let siblings = roots()
        .iter()
        .filter_map(|root| std::fs::read_dir(root).ok())
        .flat_map(|entries| entries.filter_map(|e| e.ok().map(|e| e.path())))
        .filter(|path| path.is_dir())
        .collect();
    let hub_cache = std::env::var_os("HF_HOME")
        .map(|home| PathBuf::from(home).join("hub"))
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache/huggingface/hub")));
    Ok(Arc::new(FolderModel::open(folder, SearchPlaces { siblings, hub_cache })?))
}

/// The model that is asked for, or the best one there is. Also says which, where nobody asked.
pub fn model(asked: Option<&str>) -> Result<(Arc<dyn ModelSource>, Option<String>), Failure> {
    let Some(name) = asked else {
        for (name, what, _) in KNOWN {
            if let Some(folder) = find(name) {
                return Ok((open(&folder)?, Some(format!("model {name}: {what} ({})", folder.display()))));
            }
            if name == EMBEDDED && has_embedded() {
                let note = format!("model {name}: {what}; no larger one is installed (see `maquette models`)");
                return Ok((embedded()?, Some(note)));
            }
        }
        return Err(not_found("mini"));
    };
    let path = Path::new(name);
    if path.exists() {
        return Ok((open(path)?, None));
    }
    match find(name) {
        Some(folder) => Ok((open(&folder)?, None)),
        None if name == EMBEDDED && has_embedded() => Ok((embedded()?, None)),
        None => Err(not_found(name)),
    }
}

fn not_found(name: &str) -> Failure {
    let tried = std::iter::once(PathBuf::from(name)).chain(roots().into_iter().map(|r| r.join(name))).collect();
    Error::ModelNotFound { name: name.to_owned(), tried }.into()
}
