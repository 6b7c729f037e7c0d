//! A pack's checked index, and its stages over shards in memory.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::streamed::StreamedStage;
use super::{FORMAT_VERSION, PackIndex, PackRange, PackShard, PackStageIndex, PackTensor, SHARD_LIMIT};
use crate::quant::Layout;
use crate::safetensors::packed;
use crate::{
    DType, Error, Format, ModelConfig, PipelineConfig, Result, TensorInfo, TensorSource, TensorView, strict_json,
};

/// A pack's checked index.
#[derive(Clone, Debug)]
pub struct Pack {
    origin: String,
    index: PackIndex,
    pipeline: PipelineConfig,
}

impl Pack {
    /// Parses and checks the text of a `pack.json`; `origin` names it in errors.
    ///
    /// # Errors
    /// [`Error::Malformed`] or [`Error::Field`] for everything that does not hold together: unknown version or type, ranges outside
    /// their shards or of another size than the tensor, shard names that are paths.
    pub fn parse(origin: &str, text: &[u8]) -> Result<Self> {
        // A first reading refuses repeated keys at any depth.
        let value = strict_json::parse_value(origin, text)?;
        let version = value.get("version").and_then(serde_json::Value::as_u64);
        if version != Some(u64::from(FORMAT_VERSION)) {
            return Err(Error::Field {
                origin: origin.into(),
                field: "version".into(),
                expected: format!("the number {FORMAT_VERSION}"),
                found: version.map_or("nothing".into(), |v| format!("the number {v}")),
            });
        }
        let index: PackIndex = strict_json::parse(origin, Format::Json, 0, text)?;
        let bad = |problem: String| Error::malformed(origin, Format::Json, 0, problem);
        for shard in &index.shards {
            check_shard(shard).map_err(bad)?;
        }
        for (key, stage) in &index.stages {
            check_stage(&index, stage).map_err(|problem| bad(format!("stage `{key}`: {problem}")))?;
        }
        check_overlaps(&index).map_err(bad)?;
        let pipeline = PipelineConfig::parse(origin, index.pipeline.to_string().as_bytes())?;
        Ok(Self { origin: origin.to_owned(), index, pipeline })
    }

    /// Everything that `pack.json` says.
    pub fn index(&self) -> &PackIndex {
        &self.index
    }

    /// The pipeline's description.
    pub fn pipeline(&self) -> &PipelineConfig {
        &self.pipeline
    }

    /// Checks the bytes of shard `index` (of [`PackIndex::shards`]) as they came from the network or a cache.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if there is no such shard, [`Error::Checksum`] if length or SHA-256 differ.
    pub fn verify(&self, index: usize, bytes: &[u8]) -> Result<()> {
        let shard = self.shard(index)?;
        let found = hex(&Sha256::digest(bytes));
        if bytes.len() as u64 == shard.bytes && found == shard.sha256 {
            return Ok(());
        }
        Err(Error::Checksum {
            origin: shard.file.clone(),
            expected: shard.sha256.clone(),
            found,
            bytes: bytes.len() as u64,
        })
    }

    /// The stage of that model key, with no shard loaded yet.
    ///
    /// # Errors
    /// [`Error::Field`] if the pack has no such stage, or its description is damaged.
    pub fn stage(&self, key: &str) -> Result<PackStage> {
        Ok(PackStage { stage: self.stage_tensors(key)?, loaded: BTreeMap::new() })
    }

    /// The stage of that model key over shards that stay where they are; `read` fetches the bytes of one tensor when it is asked
    /// for (see [`StreamedStage`]). It must read shards that [`Pack::verify`] has passed.
    ///
    /// # Errors
    /// Those of [`Pack::stage`].
    pub fn streamed_stage<R>(&self, key: &str, read: R) -> Result<StreamedStage<R>>
    where
        R: Fn(usize, u64, &mut [u8]) -> std::io::Result<()>,
    {
        Ok(StreamedStage::new(self.stage_tensors(key)?, read))
    }

    fn stage_tensors(&self, key: &str) -> Result<StageTensors> {
        let stage = self.index.stages.get(key).ok_or_else(|| Error::Field {
            origin: self.origin.clone(),
            field: format!("stages.{key}"),
            expected: "a model".into(),
            found: "nothing".into(),
        })?;
        let config = ModelConfig::parse(&format!("{}: {key}", self.origin), stage.config.to_string().as_bytes())?;
        let tensors: Vec<Placed> = stage.tensors.iter().filter_map(Placed::new).collect();
        let by_name = tensors.iter().enumerate().map(|(i, t)| (t.info.name.clone(), i)).collect();
        let mut shards: Vec<usize> =
            stage.tensors.iter().flat_map(|t| t.data.iter().chain(&t.scales)).map(|r| r.shard).collect();
        shards.sort_unstable();
        shards.dedup();
        Ok(StageTensors { origin: format!("{}: {key}", self.origin), config, tensors, by_name, shards })
    }

    fn shard(&self, index: usize) -> Result<&PackShard> {
        self.index.shards.get(index).ok_or_else(|| {
            Error::unsupported(
                &self.origin,
                format!("there is no shard {index}; the pack has {}", self.index.shards.len()),
            )
        })
    }
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn check_shard(shard: &PackShard) -> Result<(), String> {
    let plain = !shard.file.is_empty()
        && shard.file.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        && !shard.file.starts_with('.');
    if !plain {
        return Err(format!("shard file {:?} is not a plain file name", shard.file));
    }
    if shard.bytes > SHARD_LIMIT {
        return Err(format!("shard `{}` has {} bytes, more than the limit of {SHARD_LIMIT}", shard.file, shard.bytes));
    }
    if shard.sha256.len() != 64 || !shard.sha256.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return Err(format!("shard `{}`: its SHA-256 is not 64 lower-case hexadecimal digits", shard.file));
    }
    Ok(())
}

fn check_stage(index: &PackIndex, stage: &PackStageIndex) -> Result<(), String> {
    let mut names = std::collections::HashSet::new();
    for tensor in &stage.tensors {
        let fail = |problem: String| format!("tensor `{}`: {problem}", tensor.name);
        if !names.insert(&tensor.name) {
            return Err(fail("stands twice".into()));
        }
        let (data, scales) = sizes(tensor)
            .ok_or_else(|| fail(format!("{} of shape {:?} is not a tensor", tensor.dtype, tensor.shape)))?;
        for (ranges, expected) in [(&tensor.data, data), (&tensor.scales, scales)] {
            let mut total = 0u64;
            for range in ranges {
                let inside =
                    index.shards.get(range.shard).is_some_and(|s| range.start <= range.end && range.end <= s.bytes);
                if !inside {
                    return Err(fail(format!(
                        "bytes {}..{} do not lie in shard {}",
                        range.start, range.end, range.shard
                    )));
                }
                total = total.saturating_add(range.end - range.start);
            }
            if total != expected {
                return Err(fail(format!("needs {expected} bytes, its ranges span {total}")));
            }
        }
    }
    Ok(())
}

/// No byte belongs to two tensors, so that no tensor can be larger than the shards together.
fn check_overlaps(index: &PackIndex) -> Result<(), String> {
    let tensors = index.stages.values().flat_map(|s| &s.tensors);
    let mut ranges: Vec<(PackRange, &str)> =
        tensors.flat_map(|t| t.data.iter().chain(&t.scales).map(|r| (*r, t.name.as_str()))).collect();
    ranges.retain(|(r, _)| r.start < r.end);
    ranges.sort_unstable_by_key(|(r, _)| (r.shard, r.start));
    match ranges.windows(2).find(|w| w[0].0.shard == w[1].0.shard && w[1].0.start < w[0].0.end) {
        None => Ok(()),
        Some(w) => Err(format!(
            "tensors `{}` and `{}` overlap at byte {} of shard {}",
            w[0].1, w[1].1, w[1].0.start, w[1].0.shard
        )),
    }
}

fn dtype(tensor: &PackTensor) -> Option<DType> {
    DType::from_name(&tensor.dtype).or_else(|| packed::form(&tensor.dtype))
}

/// Bytes of data and of scales.
fn sizes(tensor: &PackTensor) -> Option<(u64, u64)> {
    let dtype = dtype(tensor)?;
    let elements = tensor.shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d))?;
    match dtype.size() {
        Some(size) => Some((elements.checked_mul(size)? as u64, 0)),
        None => Layout::of(dtype, &tensor.shape).map(|l| (l.data_bytes() as u64, l.scale_bytes() as u64)),
    }
}

/// A tensor and where its bytes are.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub(super) info: TensorInfo,
    pub(super) data: Vec<PackRange>,
    pub(super) scales: Vec<PackRange>,
}

impl Placed {
    fn new(tensor: &PackTensor) -> Option<Self> {
        let info = TensorInfo { name: tensor.name.clone(), dtype: dtype(tensor)?, shape: tensor.shape.clone() };
        Some(Self { info, data: tensor.data.clone(), scales: tensor.scales.clone() })
    }
}

/// What is known of a stage without its bytes.
#[derive(Clone, Debug)]
pub(super) struct StageTensors {
    pub(super) origin: String,
    pub(super) config: ModelConfig,
    pub(super) tensors: Vec<Placed>,
    by_name: HashMap<String, usize>,
    pub(super) shards: Vec<usize>,
}

impl StageTensors {
    pub(super) fn names(&self) -> Vec<&str> {
        self.tensors.iter().map(|t| t.info.name.as_str()).collect()
    }

    pub(super) fn info(&self, name: &str) -> Option<&TensorInfo> {
        self.by_name.get(name).map(|i| &self.tensors[*i].info)
    }

    pub(super) fn placed(&self, name: &str) -> Result<&Placed> {
        self.by_name.get(name).map(|i| &self.tensors[*i]).ok_or_else(|| Error::MissingTensor {
            origin: self.origin.clone(),
            name: name.to_owned(),
            nearest: crate::nearest::nearest(name, self.names()).map(str::to_owned),
        })
    }
}

/// One model of a pack, over the shards that are in memory.
#[derive(Clone, Debug)]
pub struct PackStage {
    stage: StageTensors,
    loaded: BTreeMap<usize, Arc<[u8]>>,
}

impl PackStage {
    /// Class and arguments of the model.
    pub fn config(&self) -> &ModelConfig {
        &self.stage.config
    }

    /// The shards that hold this stage, in order.
    pub fn shards(&self) -> &[usize] {
        &self.stage.shards
    }

    /// Adds a shard's bytes, which [`Pack::verify`] has passed.
    pub fn insert(&mut self, shard: usize, bytes: impl Into<Arc<[u8]>>) {
        self.loaded.insert(shard, bytes.into());
    }

    /// Drops a shard's bytes, for example after its tensors were uploaded.
    pub fn remove(&mut self, shard: usize) {
        self.loaded.remove(&shard);
    }

    /// Names of the tensors that can be had from the loaded shards.
    pub fn ready(&self) -> Vec<&str> {
        let here = |t: &&Placed| t.data.iter().chain(&t.scales).all(|r| self.loaded.contains_key(&r.shard));
        self.stage.tensors.iter().filter(here).map(|t| t.info.name.as_str()).collect()
    }

    fn bytes(&self, name: &str, ranges: &[PackRange]) -> Result<Cow<'_, [u8]>> {
        let part = |range: &PackRange| {
            let shard = self.loaded.get(&range.shard);
            shard.and_then(|s| s.get(range.start as usize..range.end as usize)).ok_or_else(|| {
                Error::unsupported(
                    &self.stage.origin,
                    format!("tensor `{name}` is in shard {}, which is not loaded", range.shard),
                )
            })
        };
        match ranges {
            [] => Ok(Cow::Borrowed(&[])),
            [range] => part(range).map(Cow::Borrowed),
            several => Ok(Cow::Owned(several.iter().map(part).collect::<Result<Vec<_>>>()?.concat())),
        }
    }
}

impl TensorSource for PackStage {
    fn names(&self) -> Vec<&str> {
        self.stage.names()
    }

    fn info(&self, name: &str) -> Option<&TensorInfo> {
        self.stage.info(name)
    }

    fn get(&self, name: &str) -> Result<TensorView<'_>> {
        let placed = self.stage.placed(name)?;
        Ok(TensorView::packed(&placed.info, self.bytes(name, &placed.data)?, self.bytes(name, &placed.scales)?))
    }
}
