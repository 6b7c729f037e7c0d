//! `maquette models fetch`: from the hub into the cache that the Python tools share.

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use maquette::Error;
use maquette::maquette_weights::hub::{Hub, HubConfig, HubProgress};
use maquette::maquette_weights::{Error as WeightsError, PipelineConfig};
use maquette_gpu::Bytes;
use serde_json::json;

use crate::interrupt;
use crate::places::{self, KNOWN};
use crate::report::{self, Failure};

/// The model of the pipeline that this program does not run; it need not be fetched.
const UNUSED: &str = "slat_decoder_rf";

/// Between two lines of progress for programs.
const PAUSE: Duration = Duration::from_millis(200);

/// Fetches a model and, where its repository lacks it, its image encoder.
pub fn run(name: &str, json: bool) -> Result<(), Failure> {
    let known = places::known(name);
    let in_place = places::roots().into_iter().map(|root| root.join(name)).find(|f| f.join("pipeline.json").is_file());
    if in_place.is_some() || (name == places::EMBEDDED && places::has_embedded()) {
        let place = in_place.map_or_else(|| "inside this program".to_owned(), |p| p.display().to_string());
        return tell(json, name, &place, &format!("{name} is installed already ({place})\n"));
    }
    let repository = known.map_or_else(|| Some(name).filter(|n| n.contains('/')), |known| known.repository);
    let (Some(repository), Some(config)) = (repository, HubConfig::from_variables(&places::variable)) else {
        let tried = KNOWN.iter().filter_map(|known| known.repository).map(PathBuf::from).collect();
        return Err(Error::ModelNotFound { name: name.to_owned(), tried }.into());
    };
    stop_when_asked(json)?;
    let hub = Hub::new(config);
    let mut progress = Progress::new(json);
    let folder = model(&hub, repository, &mut progress)?;
    if let Some((repository, file)) = known.and_then(|known| known.encoder) {
        let found = hub.file(repository, "main", file, &mut |p| progress.show(repository, p)).map_err(failure)?;
        put_encoder(&found)?;
    }
    progress.clear();
    tell(json, name, &folder.display().to_string(), &format!("{name}: {}\n", folder.display()))
}

/// The files of a model that its description names, into the cache; gives the snapshot's folder.
fn model(hub: &Hub, repository: &str, progress: &mut Progress) -> Result<PathBuf, Failure> {
    const DESCRIPTION: &str = "pipeline.json";
    let mut show = |p: HubProgress<'_>| progress.show(repository, p);
    let description = hub.file(repository, "main", DESCRIPTION, &mut show).map_err(failure)?;
    let text = std::fs::read(&description).map_err(|e| Error::io("read", &description, e))?;
    let pipeline = PipelineConfig::parse(&format!("{repository}/{DESCRIPTION}"), &text)?;
    let stems: Vec<&str> = pipeline
        .models
        .iter()
        .filter(|(key, _)| key.as_str() != UNUSED)
        .map(|(_, stem)| stem.as_str())
        .chain(pipeline.image_cond_checkpoint.as_deref())
        .collect();
    let wanted = |name: &str| {
        let of_a_model = stems.iter().any(|stem| name.strip_prefix(stem).is_some_and(|rest| rest.starts_with('.')));
        of_a_model || name == DESCRIPTION || name.starts_with("LICENSE")
    };
    hub.folder(repository, "main", &wanted, &mut show).map_err(failure)
}

/// Puts the encoder where every model finds it: in the folder `dinov2` beside the models.
fn put_encoder(file: &Path) -> Result<(), Failure> {
    let Some(folder) = places::own_root().map(|root| root.join("dinov2")) else { return Ok(()) };
    let target = folder.join("model.safetensors");
    if target.is_file() {
        return Ok(());
    }
    std::fs::create_dir_all(&folder).map_err(|e| Error::io("write", &folder, e))?;
    // Left over from a cache that was removed.
    if target.symlink_metadata().is_ok() {
        std::fs::remove_file(&target).map_err(|e| Error::io("write", &target, e))?;
    }
    let file = file.canonicalize().map_err(|e| Error::io("read", file, e))?;
    #[cfg(unix)]
    if std::os::unix::fs::symlink(&file, &target).is_ok() {
        return Ok(());
    }
    Ok(std::fs::hard_link(&file, &target)
        .or_else(|_| std::fs::copy(&file, &target).map(drop))
        .map_err(|e| Error::io("write", &target, e))?)
}

/// What arrived is kept in any case and taken up the next time, so stopping needs no more than ending.
fn stop_when_asked(json: bool) -> Result<(), Failure> {
    let stop = move || {
        Failure::from(Error::Cancelled).print(json);
        std::process::exit(130);
    };
    Ok(interrupt::on_interrupt(stop).map_err(|e| Error::io("watch", "the interrupt signal", e))?)
}

/// A file that cannot be put into the cache is a problem of writing, not of a model.
fn failure(error: WeightsError) -> Failure {
    match error {
        WeightsError::Io { path, source } => Error::io("write", path, source).into(),
        other => other.into(),
    }
}

fn tell(json: bool, name: &str, place: &str, text: &str) -> Result<(), Failure> {
    if json {
        return report::print(&format!("{}\n", json!({"event": "done", "model": name, "folder": place})));
    }
    report::print(text)
}

/// A bar where a person looks, a line a file where nobody does, JSON lines for programs.
struct Progress {
    json: bool,
    bar: Option<ProgressBar>,
    told: Instant,
}

impl Progress {
    fn new(json: bool) -> Self {
        let bar = (!json && std::io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::new(0);
            let template = "{msg:<32!} {bar:16} {bytes:>10}/{total_bytes:<10} {bytes_per_sec:>12} {eta}";
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar
        });
        Self { json, bar, told: Instant::now() }
    }

    fn show(&mut self, repository: &str, now: HubProgress<'_>) {
        let ended = now.done == now.total;
        if let Some(bar) = &self.bar {
            bar.set_message(now.file.to_owned());
            bar.set_length(now.total);
            bar.set_position(now.done);
        } else if self.json && (ended || self.told.elapsed() >= PAUSE) {
            self.told = Instant::now();
            let line = json!({
                "event": "fetch", "repository": repository, "file": now.file, "done": now.done, "total": now.total,
            });
            // A reader that went away is no reason to stop.
            let _ = report::print(&format!("{line}\n"));
        } else if !self.json && ended {
            let _ = writeln!(std::io::stderr().lock(), "{repository}/{}: {}", now.file, Bytes(now.total));
        }
    }

    fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
