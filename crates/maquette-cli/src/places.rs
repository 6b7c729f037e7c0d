//! Where models are looked for: the one place that reads the environment for it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use maquette::maquette_weights::{Checkpoint, hub::cache_folder};
use maquette::{Error, FolderModel, MemoryModel, ModelSource, SearchPlaces};

use crate::report::Failure;

include!(concat!(env!("OUT_DIR"), "/embedded_model.rs"));

/// The model that is inside the program.
pub const EMBEDDED: &str = "mini";

/// A model that has a name of its own.
#[derive(Debug)]
pub struct Known {
    /// The name, and that of its folder where it lies in one.
    pub name: &'static str,
    /// What it is.
    pub what: &'static str,
    /// Its licence.
    pub licence: &'static str,
    /// The hub's repository that has it.
    pub repository: Option<&'static str>,
    /// Repository and file of its image encoder, where the model's own repository has none.
    pub encoder: Option<(&'static str, &'static str)>,
}

/// The models, best first.
pub const KNOWN: [Known; 2] = [
    Known {
        name: "trellis-image-large",
        what: "Microsoft's TRELLIS-image-large, 1.2 billion parameters",
        licence: "MIT",
        repository: Some("microsoft/TRELLIS-image-large"),
        // The authors' own file is not on the hub; timm's has the same weights under slightly other names.
        encoder: Some(("timm/vit_large_patch14_reg4_dinov2.lvd142m", "model.safetensors")),
    },
    Known {
        name: EMBEDDED,
        what: "small model of this project, trained on procedural objects",
        licence: "MIT OR Apache-2.0",
        repository: None,
        encoder: None,
    },
];

/// What is known of a model by its name, or by its repository on the hub.
pub fn known(name: &str) -> Option<&'static Known> {
    KNOWN.iter().find(|known| known.name == name || known.repository == Some(name))
}

/// An environment variable, as far as it is text.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The newest snapshot of a repository in the hub cache.
fn snapshot(repository: &str) -> Option<PathBuf> {
    let folder = cache_folder(&variable)?.join(format!("models--{}", repository.replace('/', "--")));
    let commit = std::fs::read_to_string(folder.join("refs/main")).ok()?;
    Some(folder.join("snapshots").join(commit.trim()))
}

/// A folder for what the program keeps for this user: what the variable names, else that of Windows, else one in the home folder. As the
/// XDG specification has it, a variable that is empty says nothing.
pub fn user_folder(variable: &str, in_home: &str) -> Option<PathBuf> {
    let named = |name| std::env::var_os(name).filter(|folder| !folder.is_empty()).map(PathBuf::from);
    named(variable).or_else(|| named("LOCALAPPDATA")).or_else(|| Some(named("HOME")?.join(in_home)))
}

/// Folders that hold model folders, in the order in which they are searched.
pub fn roots() -> Vec<PathBuf> {
    let listed = std::env::var_os("MAQUETTE_MODELS");
    let mut roots: Vec<PathBuf> = listed.map(|l| std::env::split_paths(&l).collect()).unwrap_or_default();
    roots.push("models".into());
    if let Some(beside) = std::env::current_exe().ok().and_then(|p| Some(p.parent()?.join("models"))) {
        roots.push(beside);
    }
    let data = user_folder("XDG_DATA_HOME", ".local/share");
    roots.extend(data.map(|d| d.join("maquette/models")));
    roots
}

/// Weights of the full U²-Net, where they are: beside the models, or where the Python tool `rembg` keeps them.
pub fn matting() -> Option<PathBuf> {
    let own =
        roots().into_iter().flat_map(|root| ["safetensors", "pth", "onnx"].map(|e| root.join(format!("u2net.{e}"))));
    let rembg = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".u2net/u2net.onnx"));
    own.chain(rembg).find(|path| path.is_file())
}

/// Where a model of that name would be used from.
pub fn find(name: &str) -> Option<PathBuf> {
    let repository = known(name).map_or(Some(name).filter(|n| n.contains('/')), |known| known.repository);
    let fetched = repository.and_then(snapshot);
    let folders = roots().into_iter().map(|root| root.join(name)).chain(fetched);
    folders.into_iter().find(|folder| folder.join("pipeline.json").is_file())
}

/// The folder in which files of models are put that the program itself gets.
pub fn own_root() -> Option<PathBuf> {
    roots().pop()
}

/// Whether the program was built with a model inside.
pub fn has_embedded() -> bool {
    !EMBEDDED_FILES.is_empty()
}

/// Bytes of the model inside the program.
pub fn embedded_bytes() -> u64 {
    EMBEDDED_FILES.iter().map(|(_, bytes)| bytes.len() as u64).sum()
}

/// The networks inside the program: file name and weights.
pub fn embedded_networks() -> impl Iterator<Item = (&'static str, Checkpoint)> {
    let weights = EMBEDDED_FILES.iter().filter(|(name, _)| name.ends_with(".safetensors"));
    weights.filter_map(|(name, bytes)| Some((*name, Checkpoint::from_bytes(*bytes).ok()?)))
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
    Ok(Arc::new(FolderModel::open(folder, SearchPlaces { siblings, hub_cache: cache_folder(&variable) })?))
}

/// The model that is asked for, or the best one there is. Also says which, where nobody asked.
pub fn model(asked: Option<&str>) -> Result<(Arc<dyn ModelSource>, Option<String>), Failure> {
    let Some(name) = asked else {
        for Known { name, what, .. } in &KNOWN {
            if let Some(folder) = find(name) {
                return Ok((open(&folder)?, Some(format!("model {name}: {what} ({})", folder.display()))));
            }
            if *name == EMBEDDED && has_embedded() {
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
