//! `fetch`, and the places that the Python tools' environment names.

use std::path::PathBuf;
use std::time::Instant;

use maquette_weights::SearchPlaces;
use maquette_weights::hub::{Hub, HubConfig, cache_folder};

use crate::Failure;
use crate::arguments::Fetch;
use crate::terminal::{bar, done};

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Where references may be met besides their own folder.
pub fn places(siblings: &[PathBuf]) -> SearchPlaces {
    SearchPlaces { siblings: siblings.to_vec(), hub_cache: cache_folder(&variable) }
}

fn config() -> Result<HubConfig, Failure> {
    Ok(HubConfig::from_variables(&variable).ok_or("no cache folder is known; set HF_HOME")?)
}

/// Files of a repository that a model needs: descriptions, weights, licence.
fn wanted(name: &str) -> bool {
    let endings = [".json", ".safetensors", ".pth", ".pt", ".ckpt", ".bin", ".txt"];
    endings.iter().any(|e| name.ends_with(e)) || name.rsplit('/').next().is_some_and(|n| n.starts_with("LICENSE"))
}

/// Downloads a model.
pub fn fetch(arguments: &Fetch) -> Result<bool, Failure> {
    let hub = Hub::new(config()?);
    let (start, bar, mut total) = (Instant::now(), bar(0), 0);
    let mut progress = |p: maquette_weights::hub::HubProgress<'_>| {
        bar.set_message(p.file.to_owned());
        bar.set_length(p.total);
        bar.set_position(p.done);
        if p.done == p.total {
            total += p.total;
        }
    };
    if arguments.file.is_empty() {
        let folder = hub.folder(&arguments.model, &arguments.revision, &wanted, &mut progress)?;
        bar.finish_and_clear();
        println!("{}", folder.display());
    } else {
        for file in &arguments.file {
            let path = hub.file(&arguments.model, &arguments.revision, file, &mut progress)?;
            println!("{}", path.display());
        }
        bar.finish_and_clear();
    }
    if total > 0 {
        done("fetched", total, start.elapsed());
    }
    Ok(true)
}
