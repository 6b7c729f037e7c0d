//! Commands that only look: `inspect`, `verify`, `diff`.

use std::collections::BTreeMap;
use std::path::Path;

use maquette_weights::manifest::{Verdict, check, check_synchuman};
use maquette_weights::{Checkpoint, CheckpointRef, Error, ModelFolder, SearchPlaces, SyncHumanFolder, difference};
use serde_json::{Value, json};

use crate::arguments::{Diff, Inspect, Verify};
use crate::terminal::size;
use crate::{Failure, fetch};

/// Types of a checkpoint with the bytes of each.
fn types(checkpoint: &Checkpoint) -> BTreeMap<&'static str, u64> {
    let mut types = BTreeMap::new();
    for info in checkpoint.infos() {
        *types.entry(info.dtype.name()).or_default() += checkpoint.stored_bytes(&info.name);
    }
    types
}

fn total(checkpoint: &Checkpoint) -> u64 {
    checkpoint.infos().map(|i| checkpoint.stored_bytes(&i.name)).sum()
}

/// Lists a file's tensors or a folder's models.
pub fn inspect(arguments: &Inspect) -> Result<bool, Failure> {
    if arguments.path.is_dir() {
        folder(&arguments.path, arguments.json)
    } else {
        file(&arguments.path, arguments.json)
    }
}

fn file(path: &Path, as_json: bool) -> Result<bool, Failure> {
    let checkpoint = Checkpoint::open(path)?;
    if as_json {
        let tensors: Vec<Value> = checkpoint
            .infos()
            .map(|i| json!({"name": i.name, "dtype": i.dtype.name(), "shape": i.shape, "bytes": checkpoint.stored_bytes(&i.name)}))
            .collect();
        let whole = json!({"file": path, "format": checkpoint.format().to_string(), "metadata": checkpoint.metadata(), "bytes": total(&checkpoint), "tensors": tensors});
        println!("{whole:#}");
        return Ok(true);
    }
    println!("{} ({})", path.display(), checkpoint.format());
    let width = checkpoint.infos().map(|i| i.name.len()).max().unwrap_or(4).min(90);
    for info in checkpoint.infos() {
        println!(
            "{:width$}  {:5}  {:>10}  {:?}",
            info.name,
            info.dtype.name(),
            size(checkpoint.stored_bytes(&info.name)),
            info.shape
        );
    }
    println!("{} tensors, {}", checkpoint.names().len(), size(total(&checkpoint)));
    for (name, bytes) in types(&checkpoint) {
        println!("  {name:5}  {}", size(bytes));
    }
    for (key, value) in checkpoint.metadata() {
        let short: String = value.chars().take(120).collect();
        println!("metadata {key}: {short}{}", if short.len() < value.len() { "…" } else { "" });
    }
    Ok(true)
}

/// Whether a folder is SyncHuman's, with a stage in each of two folders.
fn is_synchuman(folder: &Path) -> bool {
    ["OneStage", "ckpts/OneStage"].iter().any(|p| folder.join(p).is_dir())
}

/// The models of a folder with a pipeline.json.
fn models(folder: &ModelFolder) -> Vec<(String, Result<CheckpointRef, Error>)> {
    let encoder = folder.image_cond_checkpoint().transpose().map(|r| ("image_cond_checkpoint".to_owned(), r));
    let listed = folder.pipeline().models.keys().map(|k| (k.clone(), folder.checkpoint(k)));
    listed.chain(encoder).collect()
}

fn folder(path: &Path, as_json: bool) -> Result<bool, Failure> {
    let (mut found, mut unknown) = (Vec::new(), Vec::new());
    let folder = if is_synchuman(path) {
        let both = SyncHumanFolder::open(path, fetch::places(&[]))?;
        found.extend(both.one_stage.with_weights().map(|c| (c.to_owned(), both.one_stage.component(c))));
        unknown.extend(both.one_stage.unknown);
        both.second_stage
    } else {
        ModelFolder::open_with(path, fetch::places(&[]))?
    };
    found.extend(models(&folder));
    unknown.extend(folder.pipeline().unknown.iter().cloned());
    let mut rows = Vec::new();
    for (key, reference) in found {
        rows.push(match reference.and_then(|r| Ok((r.open()?, r))) {
            Ok((checkpoint, reference)) => json!({
                "stage": key, "class": reference.config.name, "weights": reference.weights, "tensors": checkpoint.names().len(),
                "bytes": total(&checkpoint), "types": types(&checkpoint),
            }),
            Err(error) => json!({"stage": key, "error": error.to_string()}),
        });
    }
    let bytes: u64 = rows.iter().filter_map(|r| r["bytes"].as_u64()).sum();
    let good = rows.iter().all(|r| r.get("error").is_none());
    if as_json {
        println!(
            "{:#}",
            json!({"folder": path, "pipeline": folder.pipeline().name, "bytes": bytes, "stages": rows, "unknown_fields": unknown})
        );
        return Ok(good);
    }
    println!("{} ({})", path.display(), folder.pipeline().name);
    for row in &rows {
        let stage = row["stage"].as_str().unwrap_or_default();
        match row["error"].as_str() {
            Some(error) => println!("{stage:30}  missing: {error}"),
            None => println!(
                "{stage:30}  {:32}  {:>5} tensors  {:>10}  {}",
                row["class"].as_str().unwrap_or_default(),
                row["tensors"],
                size(row["bytes"].as_u64().unwrap_or(0)),
                row["types"].as_object().map(|t| t.keys().cloned().collect::<Vec<_>>().join(" ")).unwrap_or_default()
            ),
        }
    }
    println!("{:30}  {:>61}", "total", size(bytes));
    for field in &unknown {
        println!("unknown field: {field}");
    }
    Ok(good)
}

/// Compares every model with its manifest.
pub fn verify(arguments: &Verify) -> Result<bool, Failure> {
    let places: SearchPlaces = fetch::places(&arguments.sibling);
    let report = if is_synchuman(&arguments.folder) {
        check_synchuman(&SyncHumanFolder::open(&arguments.folder, places)?)
    } else {
        check(&ModelFolder::open_with(&arguments.folder, places)?)
    };
    for model in &report.models {
        match &model.verdict {
            Verdict::Compared(id, comparison) if comparison.is_match() => {
                println!("ok       {}: {} tensors as in {id}", model.key, comparison.matching);
            }
            Verdict::Compared(id, comparison) => print!("differs  {}: from {id}\n{comparison}", model.key),
            Verdict::Unknown { tensors } => {
                println!(
                    "opens    {}: {tensors} tensors; no manifest has its class and arguments, so keys and shapes were not compared",
                    model.key
                );
            }
            Verdict::Failed(error) => println!("FAILED   {}: {error}", model.key),
        }
    }
    for field in &report.unknown_fields {
        println!("note     unknown field in pipeline.json: {field}");
    }
    Ok(report.is_good())
}

/// Compares two checkpoints.
pub fn diff(arguments: &Diff) -> Result<bool, Failure> {
    let (a, b) = (Checkpoint::open(&arguments.a)?, Checkpoint::open(&arguments.b)?);
    let result = difference(&a, &b)?;
    let mut good = result.only_first.is_empty() && result.only_second.is_empty() && result.misshapen.is_empty();
    for t in &result.common {
        if t.relative > arguments.tolerance || t.relative.is_nan() {
            println!("{}: max {:.3e}, relative {:.3e}", t.name, t.max, t.relative);
            good = false;
        }
    }
    for (name, a, b) in &result.misshapen {
        println!("{name}: shapes {a:?} and {b:?}");
    }
    for (side, names) in [(&arguments.a, &result.only_first), (&arguments.b, &result.only_second)] {
        for name in names {
            println!("{name}: only in {}", side.display());
        }
    }
    let worst = result.common.iter().map(|t| t.relative).fold(0.0, f64::max);
    println!("{} tensors in both, largest relative error {worst:.3e}", result.common.len());
    Ok(good)
}
