//! `maquette models`: what is installed, where, how large, under which licence.

use std::path::{Path, PathBuf};

use maquette_gpu::Bytes;
use serde_json::{Value, json};

use crate::args::{Models, ModelsAction};
use crate::places::{self, KNOWN};
use crate::report::{self, Failure};

/// A model folder that is there.
#[derive(Debug)]
pub struct Installed {
    pub name: String,
    pub folder: PathBuf,
    /// Bytes of all its weights.
    pub bytes: u64,
    /// Bytes of its largest weights file.
    pub largest: u64,
}

impl Installed {
    pub fn to_json(&self) -> Value {
        json!({
            "name": self.name, "folder": self.folder.display().to_string(), "bytes": self.bytes,
            "licence": licence(&self.name), "largest_network_bytes": self.largest,
        })
    }
}

fn licence(name: &str) -> Option<&'static str> {
    KNOWN.iter().find(|(known, ..)| *known == name).map(|(.., licence)| *licence)
}

/// Sizes of the weights below a folder.
fn sizes(folder: &Path, depth: u32, found: &mut Vec<u64>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.filter_map(|e| e.ok().map(|e| e.path())) {
        if path.is_dir() && depth > 0 {
            sizes(&path, depth - 1, found);
        } else if path.extension().is_some_and(|e| e == "safetensors" || e == "pth") {
            found.extend(path.metadata().map(|m| m.len()));
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
            if found.iter().any(|m| m.name == name) {
                continue;
            }
            let mut all = Vec::new();
            sizes(&folder, 3, &mut all);
            let (bytes, largest) = (all.iter().sum(), all.iter().copied().max().unwrap_or(0));
            found.push(Installed { name, folder, bytes, largest });
        }
    }
    found
}

pub fn run(args: &Models) -> Result<(), Failure> {
    if let Some(ModelsAction::Fetch { name }) = &args.action {
        return fetch(name);
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
    for (name, what, licence) in KNOWN {
        let there = installed.iter().any(|m| m.name == name) || (name == places::EMBEDDED && places::has_embedded());
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

fn fetch(name: &str) -> Result<(), Failure> {
    if places::find(name).is_some() || (name == places::EMBEDDED && places::has_embedded()) {
        return report::print(&format!("{name} is installed already\n"));
    }
    let Some(target) = places::roots().pop().filter(|_| KNOWN.iter().any(|(known, ..)| *known == name)) else {
        let tried = KNOWN.iter().map(|(known, ..)| PathBuf::from(known)).collect();
        return Err(maquette::Error::ModelNotFound { name: name.to_owned(), tried }.into());
    };
    report::print(&format!(
        "Downloading is the work of the weights tool, which resumes and checks what it gets:\n\n    maquette-weights fetch {name} {}\n",
        target.join(name).display()
    ))
}
