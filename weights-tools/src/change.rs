//! Commands that write: `repair`, `convert`, `pack`, `unpack`, `synthesize`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use maquette_weights::manifest::Manifest;
use maquette_weights::pack::{Pack as BrowserPack, PackOptions, SHARD_LIMIT, pack_folder, unpack_folder};
use maquette_weights::{
    Checkpoint, CheckpointRef, Error, ModelFolder, Precision, convert_file, repair as repairs, synthesize as synthetic,
    write_whole,
};

use crate::arguments::{Convert, Pack, Repair, Synthesize, Unpack};
use crate::terminal::{agree, bar, done, must_be_free};
use crate::{Failure, fetch};

/// Shows and makes the repair of a folder.
pub fn repair(arguments: &Repair) -> Result<bool, Failure> {
    let mut answers = BTreeMap::new();
    for choice in &arguments.choose {
        let (key, reference) =
            choice.split_once('=').ok_or_else(|| format!("--choose {choice}: expected KEY=REFERENCE"))?;
        answers.insert(key.to_owned(), reference.to_owned());
    }
    let plan = repairs::plan(&arguments.folder, &answers)?;
    for change in &plan.changes {
        println!("{}: `{}` becomes `{}`: {}", change.key, change.old, change.new, change.reason);
    }
    for question in &plan.questions {
        match question.fitting.as_slice() {
            [] => println!(
                "{}: `{}` is not here, and no checkpoint in the folder has its class and shape; fetch it",
                question.key, question.old
            ),
            several => {
                println!(
                    "{}: `{}` is not here, and {} checkpoints fit; say which:",
                    question.key,
                    question.old,
                    several.len()
                );
                several.iter().for_each(|s| println!("  --choose {}={s}", question.key));
            }
        }
    }
    if plan.is_nothing() {
        println!("nothing to repair");
        return Ok(true);
    }
    let writes = !plan.changes.is_empty() || !plan.file().exists();
    if writes {
        println!("--- {}\n{}", plan.file().display(), plan.diff());
        if arguments.dry_run {
            println!("dry run: nothing is written");
        } else if arguments.yes || agree("write this?")? {
            match plan.apply()? {
                Some(backup) => println!("written; the old file is {}", backup.display()),
                None => println!("written"),
            }
        } else {
            return Err("nothing is written; give --yes to write without being asked".into());
        }
    }
    Ok(plan.questions.is_empty())
}

/// Converts a file or a folder.
pub fn convert(arguments: &Convert) -> Result<bool, Failure> {
    must_be_free(&arguments.output, arguments.force)?;
    if arguments.input.is_dir() {
        return convert_folder(arguments);
    }
    if arguments.output.extension().is_none_or(|e| e != "safetensors") {
        return Err(format!("{}: converted files are safetensors; end the name so", arguments.output.display()).into());
    }
    convert_one(&arguments.input, &arguments.output, arguments.dtype)?;
    Ok(true)
}

fn convert_one(input: &Path, output: &Path, precision: Precision) -> Result<(), Failure> {
    let source = Checkpoint::open(input)?;
    let total = bytes(&source);
    let bar = bar(total);
    let start = Instant::now();
    convert_file(&source, output, precision, &mut |at| bar.set_position(at))?;
    bar.finish_and_clear();
    done(&format!("{} as {}", output.display(), precision.name()), total, start.elapsed());
    Ok(())
}

/// Every model of the folder with its key and its reference, found or not.
fn models(folder: &ModelFolder) -> Vec<(String, String, Result<CheckpointRef, Error>)> {
    let pipeline = folder.pipeline();
    let listed = pipeline.models.iter().map(|(key, value)| (key.clone(), value.clone(), folder.checkpoint(key)));
    let encoder = folder.image_cond_reference().zip(folder.image_cond_checkpoint().transpose());
    listed.chain(encoder.map(|(value, found)| ("image_cond_checkpoint".to_owned(), value.to_owned(), found))).collect()
}

fn bytes(checkpoint: &Checkpoint) -> u64 {
    checkpoint.infos().map(|i| checkpoint.stored_bytes(&i.name)).sum()
}

/// Every model under its reference, descriptions and pipeline.json copied. A model that is not there is left out.
fn convert_folder(arguments: &Convert) -> Result<bool, Failure> {
    let folder = ModelFolder::open_with(&arguments.input, fetch::places(&[]))?;
    let mut whole = true;
    for (_, reference, found) in models(&folder) {
        let found = match found {
            Ok(found) => found,
            Err(error @ Error::Unresolved { .. }) => {
                eprintln!("left out: {error}");
                whole = false;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let stem = arguments.output.join(&reference);
        if let Some(parent) = stem.parent() {
            std::fs::create_dir_all(parent)?;
        }
        let with = |ending: &str| PathBuf::from(format!("{}{ending}", stem.display()));
        convert_one(&found.weights, &with(".safetensors"), arguments.dtype)?;
        write_whole(&with(".json"), &std::fs::read(&found.description)?)?;
    }
    // Last, so that a folder with a pipeline.json is whole.
    write_whole(&arguments.output.join("pipeline.json"), &std::fs::read(folder.root().join("pipeline.json"))?)?;
    Ok(whole)
}

/// Cuts a folder into shards.
pub fn pack(arguments: &Pack) -> Result<bool, Failure> {
    must_be_free(&arguments.output, arguments.force)?;
    let folder = ModelFolder::open_with(&arguments.folder, fetch::places(&[]))?;
    let beside =
        ["LICENSE", "LICENSE.md", "LICENSE.txt"].map(|n| folder.root().join(n)).into_iter().find(|p| p.is_file());
    let Some(license) = arguments.license.clone().or(beside) else {
        return Err("a pack carries the licence of its weights: give its file with --license".into());
    };
    let name = arguments.name.clone().or_else(|| folder.root().file_name().map(|n| n.to_string_lossy().into_owned()));
    let options = PackOptions {
        precision: arguments.precision,
        model: name.unwrap_or_default(),
        license: std::fs::read_to_string(&license).map_err(|e| format!("{}: {e}", license.display()))?,
        shard_limit: SHARD_LIMIT,
        without: arguments.without.clone(),
    };
    // Models that are not there are told of by the packing itself.
    let wanted = models(&folder).into_iter().filter(|(key, _, _)| !arguments.without.contains(key));
    let total = wanted.filter_map(|(_, _, found)| found.and_then(|f| f.open()).ok()).map(|c| bytes(&c)).sum();
    let (bar, start) = (bar(total), Instant::now());
    let index = pack_folder(&folder, &arguments.output, &options, &mut |at| bar.set_position(at))?;
    bar.finish_and_clear();
    for (key, stage) in &index.stages {
        println!("{key:30}  {:>5} tensors  {:>10}", stage.tensors.len(), crate::terminal::size(stage.bytes));
    }
    println!("{} shards, {}", index.shards.len(), crate::terminal::size(index.bytes));
    done("packed", total, start.elapsed());
    Ok(true)
}

/// Turns a pack into a folder.
pub fn unpack(arguments: &Unpack) -> Result<bool, Failure> {
    must_be_free(&arguments.output, arguments.force)?;
    let file = arguments.pack.join("pack.json");
    let text = std::fs::read(&file).map_err(|e| format!("{}: {e}", file.display()))?;
    let total = BrowserPack::parse(&file.display().to_string(), &text)?.index().bytes;
    let (bar, start) = (bar(total), Instant::now());
    unpack_folder(&arguments.pack, &arguments.output, &mut |at| bar.set_position(at))?;
    bar.finish_and_clear();
    done("unpacked", total, start.elapsed());
    Ok(true)
}

/// Writes random checkpoints.
pub fn synthesize(arguments: &Synthesize) -> Result<bool, Failure> {
    let Some((output, names)) = arguments.manifests_and_output.split_last() else {
        return Err("name a manifest and the folder to write".into());
    };
    must_be_free(output, arguments.force)?;
    let mut manifests = Vec::new();
    for name in names {
        if name.is_file() {
            manifests.push(Manifest::parse(&name.with_extension("").display().to_string(), &std::fs::read(name)?)?);
        } else if name.as_os_str() == "trellis" {
            let models = synthetic::TRELLIS.iter().map(|(_, n)| *n).chain(["dinov2_vitl14_reg"]);
            for model in models {
                manifests.push(Manifest::named(&format!("trellis/{model}"))?);
            }
        } else {
            manifests.push(Manifest::named(&name.to_string_lossy())?);
        }
    }
    for manifest in &manifests {
        let stem = manifest.id.rsplit(['/', '\\']).next().unwrap_or(&manifest.id);
        let total = manifest.tensors.values().map(|t| (t.elements() * t.dtype.size().unwrap_or(1)) as u64).sum();
        let bar = bar(total);
        let start = Instant::now();
        synthetic::checkpoint(manifest, &output.join("ckpts").join(stem), arguments.seed, &mut |at| {
            bar.set_position(at)
        })?;
        bar.finish_and_clear();
        done(stem, total, start.elapsed());
    }
    let whole = synthetic::TRELLIS.iter().all(|(_, name)| manifests.iter().any(|m| m.id == format!("trellis/{name}")));
    if whole {
        synthetic::trellis_pipeline(output)?;
    }
    Ok(true)
}
