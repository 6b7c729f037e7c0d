//! From a model reference to files: the folder itself, its `ckpts/`, sibling folders, the hub cache.

use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// Endings that a weights file may have, tried in this order.
pub(crate) const WEIGHT_ENDINGS: [&str; 6] =
    [".safetensors", ".safetensors.index.json", ".pth", ".pt", ".ckpt", ".bin"];

/// Names that a weights file may have inside a component folder, tried in this order (SyncHuman and diffusers layouts).
pub(crate) const COMPONENT_FILES: [&str; 7] = [
    "diffusion_pytorch_model.safetensors",
    "model.safetensors",
    "diffusion_pytorch_model.safetensors.index.json",
    "model.safetensors.index.json",
    "diffusion_pytorch_model.bin",
    "pytorch_model.bin",
    "pytorch_model.pth",
];

/// Where to look for references that the folder itself cannot meet. Nothing is ever downloaded from here.
#[derive(Clone, Debug, Default)]
pub struct SearchPlaces {
    /// Other model folders, tried for the file part of `owner/repo/file` references.
    pub siblings: Vec<PathBuf>,
    /// A hub cache (`…/huggingface/hub`), shared with the Python tools.
    pub hub_cache: Option<PathBuf>,
}

/// A description and its weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) description: PathBuf,
    pub(crate) weights: PathBuf,
}

/// Looks for `<stem>.json` + `<stem>.<weights>`, then for a component folder `<stem>/config.json` + weights.
/// `Err` says what is missing at this place.
pub(crate) fn pair_at(stem: &Path) -> Result<Pair, String> {
    let with = |ending: &str| {
        let mut name = stem.as_os_str().to_owned();
        name.push(ending);
        PathBuf::from(name)
    };
    let description = with(".json");
    let weights = WEIGHT_ENDINGS.iter().map(|e| with(e)).find(|p| p.is_file());
    match (description.is_file(), weights) {
        (true, Some(weights)) => return Ok(Pair { description, weights }),
        (true, None) => {
            return Err(format!("{}: there, but {} is missing", description.display(), with(".safetensors").display()));
        }
        (false, Some(weights)) => {
            return Err(format!("{}: there, but {} is missing", weights.display(), description.display()));
        }
        (false, None) => {}
    }
    if !stem.is_dir() {
        return Err(format!("{}: missing, and so is {}", description.display(), with(".safetensors").display()));
    }
    let description = stem.join("config.json");
    match (description.is_file(), component_weights(stem)) {
        (true, Some(weights)) => Ok(Pair { description, weights }),
        (false, Some(weights)) => {
            Err(format!("{}: there, but {} is missing", weights.display(), description.display()))
        }
        (true, None) => Err(format!("{}: there, but model.safetensors is missing beside it", description.display())),
        (false, None) => Err(format!("{}: a folder without config.json and model.safetensors", stem.display())),
    }
}

/// The weights file of a component folder: the known names first, else the only `*.safetensors` or the only index there.
pub(crate) fn component_weights(folder: &Path) -> Option<PathBuf> {
    if let Some(known) = COMPONENT_FILES.iter().map(|n| folder.join(n)).find(|p| p.is_file()) {
        return Some(known);
    }
    let files: Vec<PathBuf> =
        std::fs::read_dir(folder).ok()?.filter_map(|e| e.ok().map(|e| e.path())).filter(|p| p.is_file()).collect();
    let only = |ending: &str| {
        let mut found = files.iter().filter(|p| p.file_name().is_some_and(|n| n.to_string_lossy().ends_with(ending)));
        found.next().filter(|_| found.next().is_none()).cloned()
    };
    only(".safetensors.index.json").or_else(|| only(".safetensors"))
}

/// Whether a reference stays inside the folder that it is joined to.
pub(crate) fn is_plain_relative(value: &str) -> bool {
    !value.is_empty()
        && Path::new(value)
            .components()
            .all(|c| matches!(c, std::path::Component::Normal(_) | std::path::Component::CurDir))
}

/// Splits `owner/repo/file…`; `None` below three parts.
pub(crate) fn hub_reference(value: &str) -> Option<(&str, &str, &str)> {
    let mut parts = value.splitn(3, '/');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(owner), Some(repo), Some(rest)) if !owner.is_empty() && !repo.is_empty() && !rest.is_empty() => {
            Some((owner, repo, rest))
        }
        _ => None,
    }
}

/// Every snapshot of a repository in a hub cache, the one that `refs/main` names first.
pub(crate) fn hub_snapshots(cache: &Path, owner: &str, repo: &str) -> Vec<PathBuf> {
    let folder = cache.join(format!("models--{owner}--{repo}"));
    let main =
        std::fs::read_to_string(folder.join("refs").join("main")).ok().map(|c| folder.join("snapshots").join(c.trim()));
    let mut all: Vec<PathBuf> = std::fs::read_dir(folder.join("snapshots"))
        .map(|d| d.filter_map(|e| e.ok().map(|e| e.path())).collect())
        .unwrap_or_default();
    all.sort();
    all.retain(|p| Some(p) != main.as_ref());
    main.into_iter().filter(|p| p.is_dir()).chain(all).collect()
}

/// The places that a reference can mean, best first: the folder, its `ckpts/` by base name, sibling folders, the hub cache.
fn candidates(folder: &Path, key: &str, value: &str, places: &SearchPlaces) -> Vec<PathBuf> {
    let mut stems = vec![folder.join(value)];
    if let Some(base) = Path::new(value).file_name() {
        stems.push(folder.join("ckpts").join(base));
        // A folder whose checkpoints were moved one level up or down.
        stems.push(folder.join(base));
    }
    // SyncHuman's folders are known by role, whatever hub id a published pipeline.json gives them.
    let role = match key {
        "slat_decoder_gs" => Some("decoder_GS"),
        "slat_decoder_mesh" => Some("decoder_Mesh"),
        "slat_flow_model" => Some("slat_flow"),
        _ => None,
    };
    stems.extend(role.map(|r| folder.join("ckpts").join(r)).filter(|p| p.is_dir()));
    let rests = [Some(value), hub_reference(value).map(|(_, _, rest)| rest)];
    for sibling in &places.siblings {
        stems.extend(rests.iter().flatten().map(|rest| sibling.join(rest)));
    }
    if let (Some(cache), Some((owner, repo, rest))) = (&places.hub_cache, hub_reference(value)) {
        let snapshots = hub_snapshots(cache, owner, repo);
        if snapshots.is_empty() {
            stems.push(cache.join(format!("models--{owner}--{repo}")).join("snapshots").join("main").join(rest));
        }
        stems.extend(snapshots.into_iter().map(|s| s.join(rest)));
    }
    let mut seen = std::collections::HashSet::new();
    stems.retain(|s| seen.insert(s.clone()));
    stems
}

/// Finds the files that a reference means.
pub(crate) fn resolve(folder: &Path, origin: &str, key: &str, value: &str, places: &SearchPlaces) -> Result<Pair> {
    if !is_plain_relative(value) {
        return Err(Error::Unresolved {
            origin: origin.into(),
            key: key.into(),
            value: value.into(),
            tried: vec!["nothing: a reference must be a relative path inside a model folder, without `..`".into()],
            advice: "write a path relative to the model folder, such as `ckpts/<name>`, without an ending".into(),
        });
    }
    let mut tried = Vec::new();
    for stem in candidates(folder, key, value, places) {
        match pair_at(&stem) {
            Ok(pair) => return Ok(pair),
            Err(missing) => tried.push(missing),
        }
    }
    let base = Path::new(value).file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let source = match hub_reference(value) {
        Some((owner, repo, rest)) => {
            format!("`{rest}.json` and `{rest}.safetensors` of the hub repository `{owner}/{repo}`")
        }
        None => format!("`{base}.json` and `{base}.safetensors`"),
    };
    Err(Error::Unresolved {
        origin: origin.into(),
        key: key.into(),
        value: value.into(),
        tried,
        advice: format!(
            "put {source} into {}, or run `maquette-weights repair {}`",
            folder.join("ckpts").display(),
            folder.display()
        ),
    })
}
