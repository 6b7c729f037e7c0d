//! Repairing a model folder: bad references and hub ids become local ones. Checkpoints are chosen by class and shape, never by
//! guess: where two fit, the choice is asked for.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::model_folder::ModelFolder;
use super::pipeline::{IMAGE_ENCODER, PipelineConfig};
use super::resolve;
use crate::manifest::{Comparison, Manifest};
use crate::safetensors::write::write_whole;
use crate::{Checkpoint, Error, ImageCondModel, ModelConfig, Result};

/// One reference that changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The model's key.
    pub key: String,
    /// The reference as it was.
    pub old: String,
    /// The reference as it will be.
    pub new: String,
    /// Why this checkpoint.
    pub reason: String,
}

/// A reference that cannot be repaired without help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The model's key.
    pub key: String,
    /// The reference as it is.
    pub old: String,
    /// Checkpoints that fit equally well; empty if none does.
    pub fitting: Vec<String>,
}

/// What a repair would do.
#[derive(Clone, Debug)]
pub struct Plan {
    file: PathBuf,
    old_text: Option<String>,
    new_text: String,
    /// References that change.
    pub changes: Vec<Change>,
    /// References that need an answer, or a download.
    pub questions: Vec<Question>,
}

/// A checkpoint in or below the folder.
struct Found {
    reference: String,
    config: ModelConfig,
    weights: PathBuf,
}

/// Levels below the folder that are searched.
const SEARCH_DEPTH: usize = 4;

/// The fields of `args` that may refer to the image encoder's checkpoint.
const ENCODER_FIELDS: [&str; 2] = [IMAGE_ENCODER, "image_cond_model"];

/// The class that a pipeline key stands for.
fn class_of(key: &str) -> Option<&'static str> {
    Some(match key {
        "sparse_structure_decoder" => "SparseStructureDecoder",
        "sparse_structure_flow_model" => "SparseStructureFlowModel",
        "slat_decoder_gs" => "SLatGaussianDecoder",
        "slat_decoder_rf" => "SLatRadianceFieldDecoder",
        "slat_decoder_mesh" => "SLatMeshDecoder",
        "shape_slat_decoder" => "FlexiDualGridVaeDecoder",
        "tex_slat_decoder" => "SparseUnetVaeDecoder",
        _ if key.contains("slat_flow_model") => "SLatFlowModel",
        _ if ENCODER_FIELDS.contains(&key) => "DinoVisionTransformer",
        _ => return None,
    })
}

/// Works out how to repair the folder. `answers` maps a model key to the reference that the user chose for it.
///
/// # Errors
/// [`Error::NotAModelFolder`] if neither the folder nor exactly one folder inside it has a `pipeline.json`; [`Error::Unsupported`] for
/// an answer that names no checkpoint.
pub fn plan(root: &Path, answers: &BTreeMap<String, String>) -> Result<Plan> {
    let file = root.join("pipeline.json");
    let source = if file.is_file() { file.clone() } else { moved_down(root)? };
    let text = std::fs::read_to_string(&source).map_err(Error::io(&source))?;
    let pipeline = PipelineConfig::parse(&source.display().to_string(), text.as_bytes())?;
    let found = search(root);
    let (mut changes, mut questions, mut edits) = (Vec::new(), Vec::new(), Vec::new());
    let encoder = encoder(&pipeline);
    let models = pipeline.models.iter().map(|(key, old)| (key.as_str(), old.as_str()));
    for (key, old) in models.chain(encoder) {
        let choice = match answers.get(key) {
            Some(answer) if found.iter().any(|f| f.reference == *answer) => {
                Ok((answer.clone(), "as you chose".to_owned()))
            }
            Some(answer) => {
                let known: Vec<_> = found.iter().map(|f| f.reference.as_str()).collect();
                return Err(Error::unsupported(
                    &file.display().to_string(),
                    format!(
                        "`{answer}`, chosen for `{key}`, is no checkpoint in this folder; found are {}",
                        known.join(", ")
                    ),
                ));
            }
            None => choose(root, key, old, &pipeline, &found),
        };
        match choice {
            Ok((new, _)) if new == *old => {}
            Ok((new, reason)) => {
                let path = if ENCODER_FIELDS.contains(&key) { vec!["args", key] } else { vec!["args", "models", key] };
                edits.push((path, new.clone()));
                changes.push(Change { key: key.into(), old: old.into(), new, reason });
            }
            // The name of a model of some hub may well be no path.
            Err(fitting) if fitting.is_empty() && key == "image_cond_model" => {}
            Err(fitting) => questions.push(Question { key: key.into(), old: old.into(), fitting }),
        }
    }
    let new_text = edit(&source, &text, &edits)?;
    let old_text = (source == file).then_some(text);
    Ok(Plan { file, old_text, new_text, changes, questions })
}

/// The field that refers to the image encoder's checkpoint, and its reference. A bare name is one of torch's hub and no path.
fn encoder(pipeline: &PipelineConfig) -> Option<(&'static str, &str)> {
    match (&pipeline.image_cond_checkpoint, &pipeline.image_cond_model) {
        (Some(value), _) => Some((ENCODER_FIELDS[0], value)),
        (None, Some(ImageCondModel::Name(name))) if name.contains('/') => Some((ENCODER_FIELDS[1], name)),
        _ => None,
    }
}

/// The `pipeline.json` of a folder that was moved one level down.
fn moved_down(root: &Path) -> Result<PathBuf> {
    let entries = std::fs::read_dir(root).map_err(Error::io(root))?;
    let mut inner: Vec<PathBuf> =
        entries.filter_map(|e| e.ok().map(|e| e.path().join("pipeline.json"))).filter(|p| p.is_file()).collect();
    inner.sort();
    match inner.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(Error::NotAModelFolder {
            path: root.into(),
            problem: "neither it nor a folder inside it has a pipeline.json".into(),
        }),
        several => Err(Error::NotAModelFolder {
            path: root.into(),
            problem: format!("{} folders inside it have a pipeline.json; repair the one you mean", several.len()),
        }),
    }
}

/// Every checkpoint with a description, by its reference from the folder.
fn search(root: &Path) -> Vec<Found> {
    let (mut found, mut stems) = (Vec::new(), std::collections::BTreeSet::new());
    collect_stems(root, SEARCH_DEPTH, &mut stems);
    for stem in stems {
        let Ok(pair) = resolve::pair_at(&stem) else { continue };
        let Ok(relative) = stem.strip_prefix(root) else { continue };
        let reference = relative.components().map(|c| c.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/");
        let text = std::fs::read(&pair.description).unwrap_or_default();
        if let Ok(config) = ModelConfig::parse(&pair.description.display().to_string(), &text) {
            found.push(Found { reference, config, weights: pair.weights });
        }
    }
    found
}

fn collect_stems(folder: &Path, depth: usize, stems: &mut std::collections::BTreeSet<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.filter_map(|e| e.ok().map(|e| e.path())) {
        if path.is_dir() {
            if path.join("config.json").is_file() {
                stems.insert(path.clone());
            }
            if depth > 0 {
                collect_stems(&path, depth - 1, stems);
            }
        } else if path.extension().is_some_and(|e| e == "json")
            && path.file_name().is_some_and(|n| n != "pipeline.json" && n != "config.json")
        {
            stems.insert(path.with_extension(""));
        }
    }
}

/// The reference for a key and why, or the references between which only the user can choose.
fn choose(
    root: &Path,
    key: &str,
    old: &str,
    pipeline: &PipelineConfig,
    found: &[Found],
) -> Result<(String, String), Vec<String>> {
    if resolve::is_plain_relative(old) && resolve::pair_at(&root.join(old)).is_ok() {
        return Ok((old.to_owned(), String::new()));
    }
    let fitting: Vec<&Found> = found.iter().filter(|f| fits(key, f, pipeline)).collect();
    let base = old.rsplit('/').next().unwrap_or(old);
    let named: Vec<&&Found> = fitting.iter().filter(|f| f.reference.rsplit('/').next() == Some(base)).collect();
    match (named.as_slice(), fitting.as_slice()) {
        ([one], _) => {
            Ok((one.reference.clone(), "the checkpoint of that name, of the right class and shape, is here".into()))
        }
        ([], [one]) => {
            Ok((one.reference.clone(), format!("the only checkpoint of class {} whose shapes fit", one.config.class())))
        }
        ([], several) => Err(several.iter().map(|f| f.reference.clone()).collect()),
        (several, _) => Err(several.iter().map(|f| f.reference.clone()).collect()),
    }
}

/// Whether a checkpoint can stand for a key: right class, tensors as its description and the pipeline say.
fn fits(key: &str, found: &Found, pipeline: &PipelineConfig) -> bool {
    // Descriptions of the encoder may say its size after the class.
    let class = found.config.class();
    let plain = class.split_once('(').map_or(class, |(plain, _)| plain);
    if class_of(key) != Some(plain) {
        return false;
    }
    let Ok(checkpoint) = Checkpoint::open(&found.weights) else { return false };
    let known = Manifest::known().filter_map(|id| Manifest::named(id).ok());
    let mut same = known.filter(|m| m.plain_class() == found.config.class() && m.args == found.config.args);
    if let Some(manifest) = same.next()
        && !Comparison::of(checkpoint.infos(), &manifest).is_match()
    {
        return false;
    }
    let number = |name: &str| found.config.args.get(name).and_then(serde_json::Value::as_u64);
    let channels = number("in_channels").or_else(|| number("latent_channels"));
    // The latent's statistics say how many channels the networks around it have.
    let latent = match key {
        _ if key.starts_with("shape_slat") => pipeline.normalizations.get("shape_slat_normalization"),
        _ if key.starts_with("slat_") => pipeline.normalizations.get("slat_normalization"),
        _ => None,
    };
    if let (Some(latent), Some(channels)) = (latent, channels)
        && latent.mean.len() as u64 != channels
    {
        return false;
    }
    let patch = if key == "sparse_structure_flow_model" { number("patch_size").unwrap_or(1) } else { 1 };
    let expected = channels.map(|c| c * patch.saturating_pow(3));
    let Some(input) = checkpoint.infos().find(|i| i.name == "input_layer.weight" || i.name == "from_latent.weight")
    else {
        return true;
    };
    expected.is_none_or(|c| input.shape.get(1).is_some_and(|s| *s as u64 == c))
}

/// The text with the references replaced and nothing else touched.
fn edit(file: &Path, text: &str, edits: &[(Vec<&str>, String)]) -> Result<String> {
    let mut spans: Vec<(Range<usize>, String)> = Vec::new();
    for (path, new) in edits {
        let span = value_span(text, path).ok_or_else(|| {
            Error::unsupported(
                &file.display().to_string(),
                format!("the place of `{}` was not found in the text", path.join(".")),
            )
        })?;
        spans.push((span, serde_json::Value::from(new.as_str()).to_string()));
    }
    spans.sort_by_key(|(span, _)| std::cmp::Reverse(span.start));
    let mut out = text.to_owned();
    for (span, new) in spans {
        out.replace_range(span, &new);
    }
    Ok(out)
}

/// Where the value of a nested key stands in a JSON text that is known to be valid.
fn value_span(text: &str, path: &[&str]) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let (mut at, mut depth, mut matched) = (0, 0usize, 0usize);
    while at < bytes.len() {
        match bytes[at] {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth = depth.checked_sub(1)?;
                matched = matched.min(depth);
            }
            b'"' => {
                let end = string_end(bytes, at)?;
                let after = end + bytes[end..].iter().position(|b| !b.is_ascii_whitespace())?;
                let is_key = bytes[after] == b':' && depth == matched + 1;
                let name: Option<String> = is_key.then(|| serde_json::from_str(&text[at..end]).ok()).flatten();
                if matched < path.len() && name.as_deref() == Some(path[matched]) {
                    matched += 1;
                    let start = after + 1 + bytes[after + 1..].iter().position(|b| !b.is_ascii_whitespace())?;
                    if matched == path.len() {
                        return Some(start..string_end(bytes, start)?);
                    }
                    at = start;
                    continue;
                }
                at = end;
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// One past the closing quote of the string that starts at `at`.
fn string_end(bytes: &[u8], at: usize) -> Option<usize> {
    if *bytes.get(at)? != b'"' {
        return None;
    }
    let mut i = at + 1;
    loop {
        match bytes.get(i)? {
            b'"' => return Some(i + 1),
            b'\\' => i += 2,
            _ => i += 1,
        }
    }
}

impl Plan {
    /// Whether nothing needs to change and nothing is asked.
    pub fn is_nothing(&self) -> bool {
        self.changes.is_empty() && self.questions.is_empty() && self.old_text.is_some()
    }

    /// The file that would be written.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The change as a line diff.
    pub fn diff(&self) -> String {
        let old: Vec<&str> = self.old_text.as_deref().unwrap_or("").lines().collect();
        let new: Vec<&str> = self.new_text.lines().collect();
        let mut out = String::new();
        if self.old_text.is_none() {
            return new.iter().map(|l| format!("+{l}\n")).collect();
        }
        // References are replaced in place, so the lines pair up.
        for (number, (a, b)) in old.iter().zip(&new).enumerate().filter(|(_, (a, b))| a != b) {
            out += &format!("@@ line {} @@\n-{a}\n+{b}\n", number + 1);
        }
        out
    }

    /// Writes the repaired file; the old one is kept beside it as `pipeline.json.bak` (`.bak2`, … where that is taken). Returns
    /// the backup's path.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn apply(&self) -> Result<Option<PathBuf>> {
        let backup = match &self.old_text {
            None => None,
            Some(old) => {
                let name = |n: usize| {
                    self.file.with_file_name(if n == 1 {
                        "pipeline.json.bak".into()
                    } else {
                        format!("pipeline.json.bak{n}")
                    })
                };
                let path = (1..).map(name).find(|p| !p.exists()).unwrap_or_else(|| name(1));
                write_whole(&path, old.as_bytes())?;
                Some(path)
            }
        };
        write_whole(&self.file, self.new_text.as_bytes())?;
        ModelFolder::open(self.file.parent().unwrap_or(Path::new("")))?;
        Ok(backup)
    }
}

#[cfg(test)]
#[path = "repair_tests.rs"]
mod tests;
