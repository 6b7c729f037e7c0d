//! `fetch`, and the places that the Python tools' environment names.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use maquette_weights::SearchPlaces;
use maquette_weights::hub::{Hub, HubConfig};

use crate::Failure;
use crate::arguments::Fetch;
use crate::terminal::{bar, done};

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|v| !v.is_empty())
}

fn hf_home() -> Option<PathBuf> {
    let home = || variable("HOME").or_else(|| variable("USERPROFILE")).map(|h| PathBuf::from(h).join(".cache"));
    let cache = || variable("XDG_CACHE_HOME").map(PathBuf::from).or_else(home);
    variable("HF_HOME").map(PathBuf::from).or_else(|| cache().map(|c| c.join("huggingface")))
}

fn hub_cache() -> Option<PathBuf> {
    variable("HF_HUB_CACHE").map(PathBuf::from).or_else(|| hf_home().map(|h| h.join("hub")))
}

/// Where references may be met besides their own folder.
pub fn places(siblings: &[PathBuf]) -> SearchPlaces {
    SearchPlaces { siblings: siblings.to_vec(), hub_cache: hub_cache() }
}

fn config() -> Result<HubConfig, Failure> {
    let cache = hub_cache().ok_or("no cache folder is known; set HF_HOME")?;
    let stored = || {
        hf_home()
            .and_then(|h| std::fs::read_to_string(h.join("token")).ok())
            .map(|t| t.trim().to_owned())
            .filter(|t| !t.is_empty())
    };
    let endpoint = variable("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".into());
    let offline = variable("HF_HUB_OFFLINE")
        .is_some_and(|v| matches!(v.to_ascii_uppercase().as_str(), "1" | "ON" | "YES" | "TRUE"));
    Ok(HubConfig {
        endpoint: endpoint.trim_end_matches('/').to_owned(),
        token: variable("HF_TOKEN").or_else(stored),
        cache,
        offline,
        retries: 5,
        longest_wait: Duration::from_secs(120),
    })
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
