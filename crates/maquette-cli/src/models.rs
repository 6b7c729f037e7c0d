//! `maquette models`: what is installed, where, how large, under which licence.

use std::path::{Path, PathBuf};

use maquette::Precision;
use maquette::maquette_weights::Checkpoint;
use maquette_gpu::Bytes;
use serde_json::{Value, json};

use crate::args::{Models, ModelsAction};
use crate::places::{self, KNOWN, known};
use crate::report::{self, Failure};
use crate::{fetch, places::Known};

/// A model folder that is there.
#[derive(Debug)]
pub struct Installed {
    pub name: String,
    pub folder: PathBuf,
    /// Bytes of all its weights.
    pub bytes: u64,
    files: Vec<PathBuf>,
}

/// Bytes that a network takes on a device. The encoder always runs in f32.
pub fn bytes_in_memory(name: &str, weights: &Checkpoint, half: bool) -> u64 {
    let precision = if half && !name.contains("dinov2") { Precision::F16 } else { Precision::F32 };
    weights.infos().map(|info| precision.bytes_of(info)).sum()
}

impl Installed {
    fn read(name: String, folder: PathBuf) -> Self {
        let mut files = Vec::new();
        weights(&folder, 3, &mut files);
        let bytes = files.iter().filter_map(|f| f.metadata().ok()).map(|m| m.len()).sum();
        Self { name, folder, bytes, files }
    }

    /// Bytes that its largest network takes on a device.
    pub fn largest_in_memory(&self, half: bool) -> u64 {
        let size = |path: &PathBuf| match Checkpoint::open(path) {
            Ok(weights) => bytes_in_memory(&path.to_string_lossy(), &weights, half),
            // A file that cannot be read says so when it is used.
            Err(_) => path.metadata().map_or(0, |m| m.len()),
        };
        self.files.iter().map(size).max().unwrap_or(0)
    }

    pub fn to_json(&self) -> Value {
        json!({
            "name": self.name, "folder": self.folder.display().to_string(), "bytes": self.bytes,
            "licence": licence(&self.name),
        })
    }
}

fn licence(name: &str) -> Option<&'static str> {
    known(name).map(|known| known.licence)
}

/// The weights files below a folder.
fn weights(folder: &Path, depth: u32, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.filter_map(|e| e.ok().map(|e| e.path())) {
        if path.is_dir() && depth > 0 {
            weights(&path, depth - 1, found);
        } else if path.extension().is_some_and(|e| e == "safetensors" || e == "pth") {
            found.push(path);
        }
    }
}

/// Every model folder in the places that are searched; the first of a name counts.
pub fn installed() -> Vec<Installed> {
    let mut found: Vec<Installed> = Vec::new();
    for root in places::roots() {
        let Ok(entries) = std::fs::read_dir(&root) else { continue };
        let mut folders: Vec<PathBuf> = entries.filter_map(|e| e.ok().map(|e| e.path())).collect();
        folders.sort();
        for folder in folders.into_iter().filter(|f| f.join("pipeline.json").is_file()) {
            let name = folder.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            if !found.iter().any(|m| m.name == name) {
                found.push(Installed::read(name, folder));
            }
        }
    }
    // Those in the hub cache, whoever fetched them.
    for Known { name, .. } in &KNOWN {
        if let Some(folder) = places::find(name).filter(|_| !found.iter().any(|m| m.name == *name)) {
            found.push(Installed::read((*name).to_owned(), folder));
        }
    }
    found
}

pub fn run(args: &Models) -> Result<(), Failure> {
    if let Some(ModelsAction::Fetch { name }) = &args.action {
        return fetch::run(name, args.json);
    }
    let installed = installed();
    if args.json {
        let value = json!({
            "installed": installed.iter().map(Installed::to_json).collect::<Vec<_>>(),
            "inside": places::has_embedded().then_some(places::EMBEDDED),
            "places": places::roots().iter().map(|p| p.display().to_string()).collect::<Vec<_>>(),
        });
        return report::print(&format!("{value}\n"));
    }
    let mut text = String::new();
    for m in &installed {
        let licence = licence(&m.name).unwrap_or("see its folder");
        text.push_str(&format!(
            "{:<22} {:>10}  {licence}\n    {}\n",
            m.name,
            Bytes(m.bytes).to_string(),
            m.folder.display()
        ));
    }
    if places::has_embedded() {
        let licence = licence(places::EMBEDDED).unwrap_or_default();
        let size = Bytes(places::embedded_bytes()).to_string();
        text.push_str(&format!("{:<22} {size:>10}  {licence}\n    inside this program\n", places::EMBEDDED));
    }
    for Known { name, what, licence, .. } in &KNOWN {
        let there = installed.iter().any(|m| m.name == *name) || (*name == places::EMBEDDED && places::has_embedded());
        if !there {
            text.push_str(&format!("{name:<22} {:>10}  {licence}\n    {what}; `maquette models fetch {name}`\n", "-"));
        }
    }
    text.push_str("\nsearched (MAQUETTE_MODELS adds places):\n");
    for root in places::roots() {
        text.push_str(&format!("    {}\n", root.display()));
    }
    report::print(&text)
}
