//! A folder against the manifests: missing, extra and misshapen keys, with the nearest match.

use std::collections::BTreeSet;
use std::fmt;

use super::Manifest;
use crate::{
    Checkpoint, CheckpointRef, DType, IMAGE_ENCODER, ModelConfig, ModelFolder, Result, SyncHumanFolder, TensorInfo,
    nearest,
};

/// How a checkpoint's tensors differ from what its network needs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comparison {
    /// Needed but not there, with the most similar of the extra keys.
    pub missing: Vec<(TensorInfo, Option<String>)>,
    /// There but not needed, with the most similar of the missing keys.
    pub extra: Vec<(TensorInfo, Option<String>)>,
    /// There with another shape: needed, found.
    pub misshapen: Vec<(TensorInfo, TensorInfo)>,
    /// There with a type that cannot stand for the needed one: needed, found. Floats stand for each other, because loading
    /// converts them.
    pub mistyped: Vec<(TensorInfo, TensorInfo)>,
    /// Tensors that are as needed.
    pub matching: usize,
}

impl Comparison {
    /// Compares what is there with what is needed.
    pub fn of<'a>(found: impl IntoIterator<Item = &'a TensorInfo>, manifest: &Manifest) -> Self {
        let mut comparison = Self::default();
        let mut absent: BTreeSet<&str> = manifest.tensors.keys().map(String::as_str).collect();
        let mut strangers = Vec::new();
        for info in found {
            let Some(needed) = manifest.tensors.get(&info.name) else {
                strangers.push(info);
                continue;
            };
            absent.remove(info.name.as_str());
            if needed.shape != info.shape {
                comparison.misshapen.push((needed.clone(), info.clone()));
            } else if !stands_for(info.dtype, needed.dtype) {
                comparison.mistyped.push((needed.clone(), info.clone()));
            } else {
                comparison.matching += 1;
            }
        }
        let like = |name: &str, among: &mut dyn Iterator<Item = &str>| nearest::nearest(name, among).map(str::to_owned);
        comparison.missing = absent
            .iter()
            .map(|n| (manifest.tensors[*n].clone(), like(n, &mut strangers.iter().map(|s| s.name.as_str()))))
            .collect();
        // Slips first: a list that is cut must not hide them.
        comparison.missing.sort_by_key(|(_, nearest)| nearest.is_none());
        comparison.extra =
            strangers.iter().map(|s| ((*s).clone(), like(&s.name, &mut absent.iter().copied()))).collect();
        comparison
    }

    /// Whether every needed tensor is there as needed, and nothing else is.
    pub fn is_match(&self) -> bool {
        self.missing.is_empty() && self.extra.is_empty() && self.misshapen.is_empty() && self.mistyped.is_empty()
    }
}

fn stands_for(found: DType, needed: DType) -> bool {
    found == needed || (needed.is_float() && (found.is_float() || found.is_packed()))
}

/// Lines of a list that are printed before the rest is counted.
const SHOWN: usize = 20;

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let near = |n: &Option<String>| n.as_ref().map_or_else(String::new, |n| format!("   nearest: {n}"));
        let one = |label: &str, list: &[(TensorInfo, Option<String>)]| {
            list.iter()
                .map(|(t, n)| format!("{label} {} {} {:?}{}", t.name, t.dtype, t.shape, near(n)))
                .collect::<Vec<_>>()
        };
        let two = |label: &str, list: &[(TensorInfo, TensorInfo)]| {
            let line = |(needed, found): &(TensorInfo, TensorInfo)| {
                format!(
                    "{label} {}: expected {} {:?}, found {} {:?}",
                    needed.name, needed.dtype, needed.shape, found.dtype, found.shape
                )
            };
            list.iter().map(line).collect::<Vec<_>>()
        };
        let lists = [
            one("missing", &self.missing),
            one("extra", &self.extra),
            two("misshapen", &self.misshapen),
            two("mistyped", &self.mistyped),
        ];
        for list in lists {
            for line in list.iter().take(SHOWN) {
                writeln!(f, "  {line}")?;
            }
            if list.len() > SHOWN {
                writeln!(f, "  … and {} more", list.len() - SHOWN)?;
            }
        }
        Ok(())
    }
}

/// What became of one model.
#[derive(Debug)]
pub enum Verdict {
    /// Compared with the manifest of that name.
    Compared(String, Comparison),
    /// It opens, but no manifest has its class and arguments, so that only its header was checked.
    Unknown {
        /// Number of tensors.
        tensors: usize,
    },
    /// It is not there, or does not open.
    Failed(crate::Error),
}

/// One model of a checked folder.
#[derive(Debug)]
pub struct ModelReport {
    /// Its key in the pipeline.
    pub key: String,
    /// What became of it.
    pub verdict: Verdict,
}

/// A checked folder.
#[derive(Debug)]
pub struct FolderReport {
    /// Every model of the pipeline.
    pub models: Vec<ModelReport>,
    /// Fields of `pipeline.json` that nothing reads.
    pub unknown_fields: Vec<String>,
}

impl FolderReport {
    /// Whether every model opens and none differs from its manifest.
    pub fn is_good(&self) -> bool {
        self.models.iter().all(|m| match &m.verdict {
            Verdict::Compared(_, comparison) => comparison.is_match(),
            Verdict::Unknown { .. } => true,
            Verdict::Failed(_) => false,
        })
    }
}

/// Checks every model of a folder against the manifests.
pub fn check(folder: &ModelFolder) -> FolderReport {
    let mut models: Vec<ModelReport> =
        folder.pipeline().models.keys().map(|key| report(key, folder.checkpoint(key))).collect();
    if let Some(reference) = folder.image_cond_checkpoint().transpose() {
        models.push(report(IMAGE_ENCODER, reference));
    }
    FolderReport { models, unknown_fields: folder.pipeline().unknown.clone() }
}

/// Checks both stages of a SyncHuman folder against the manifests.
pub fn check_synchuman(folder: &SyncHumanFolder) -> FolderReport {
    let mut report = check(&folder.second_stage);
    for component in folder.one_stage.with_weights() {
        let verdict = folder.one_stage.component(component).and_then(|reference| {
            let checkpoint = reference.open()?;
            // The descriptions of these components are whole diffusers files; the component's role says what it must hold.
            Ok(match Manifest::named(&format!("synchuman/onestage_{component}")) {
                Ok(manifest) => Verdict::Compared(manifest.id.clone(), Comparison::of(checkpoint.infos(), &manifest)),
                Err(_) => Verdict::Unknown { tensors: checkpoint.names().len() },
            })
        });
        report.models.push(ModelReport { key: component.to_owned(), verdict: verdict.unwrap_or_else(Verdict::Failed) });
    }
    report.unknown_fields.extend(folder.one_stage.unknown.iter().cloned());
    report
}

fn report(key: &str, reference: Result<CheckpointRef>) -> ModelReport {
    let verdict = reference.and_then(|reference| {
        let checkpoint = reference.open()?;
        let stem = reference.description.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        Ok(compare(&reference.config, &stem, &checkpoint))
    });
    ModelReport { key: key.to_owned(), verdict: verdict.unwrap_or_else(Verdict::Failed) }
}

/// Compares with the manifest of the same class and arguments, or of the same file name.
fn compare(config: &ModelConfig, stem: &str, checkpoint: &Checkpoint) -> Verdict {
    let known: Vec<Manifest> = Manifest::known().filter_map(|id| Manifest::named(id).ok()).collect();
    let is_named = |m: &Manifest| m.id.rsplit('/').next() == Some(stem);
    // The same network stands in more than one family: the file's own name decides, then the name alone.
    let same: Vec<&Manifest> =
        known.iter().filter(|m| m.plain_class() == config.class() && m.args == config.args).collect();
    let best = same.iter().find(|m| is_named(m)).or(same.first()).copied();
    match best.or_else(|| known.iter().find(|m| is_named(m))) {
        Some(manifest) => Verdict::Compared(manifest.id.clone(), Comparison::of(checkpoint.infos(), manifest)),
        None => Verdict::Unknown { tensors: checkpoint.names().len() },
    }
}
