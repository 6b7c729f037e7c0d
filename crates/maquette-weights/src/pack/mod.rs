//! Browser packs: a model cut into shards that a page can fetch, resume, verify and upload one by one.
//!
//! A pack is a folder with `pack.json` and `shard-NNNNN.bin` files of at most [`SHARD_LIMIT`] bytes. A stage's shards are its
//! own, so a stage can be dropped before the next is fetched. A tensor lies in one shard unless it is larger than one.
//!
//! Reading needs no file system: [`Pack::parse`] takes the text of `pack.json`, [`Pack::verify`] the bytes of a shard as they
//! arrive. Two [`crate::TensorSource`]s then hand out tensors: [`PackStage`] over whichever shards are in memory, and
//! [`StreamedStage`] over shards that stay elsewhere, of which only one tensor at a time is in memory.

mod read;
#[cfg(feature = "fetch")]
pub(crate) use read::hex;
mod streamed;
#[cfg(feature = "native")]
mod write;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use read::{Pack, PackStage};
pub use streamed::StreamedStage;
#[cfg(feature = "native")]
pub use write::{PackOptions, pack_folder, unpack_folder};

/// Most bytes of one shard.
pub const SHARD_LIMIT: u64 = 64 << 20;

/// The version of `pack.json` that is written.
pub const FORMAT_VERSION: u32 = 1;

/// Byte range in one shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackRange {
    /// Index into [`PackIndex::shards`].
    pub shard: usize,
    /// First byte.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
}

/// One shard file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackShard {
    /// File name beside `pack.json`.
    pub file: String,
    /// Length in bytes.
    pub bytes: u64,
    /// Lower-case hexadecimal SHA-256 of the file.
    pub sha256: String,
}

/// One tensor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackTensor {
    /// The checkpoint's key.
    pub name: String,
    /// Element type or packed form.
    pub dtype: String,
    /// Shape, row-major.
    pub shape: Vec<usize>,
    /// Where its bytes are, in order; more than one range only for a tensor larger than a shard.
    pub data: Vec<PackRange>,
    /// Where the scales of a packed form are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scales: Vec<PackRange>,
}

/// One model of the pipeline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackStageIndex {
    /// The description beside the checkpoint: class and arguments.
    pub config: Value,
    /// Bytes of the stage's tensors.
    pub bytes: u64,
    /// Its tensors.
    pub tensors: Vec<PackTensor>,
}

/// The content of `pack.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackIndex {
    /// [`FORMAT_VERSION`].
    pub version: u32,
    /// Name of the model.
    pub model: String,
    /// Precision that was asked for: `f32`, `f16`, `bf16`, `q8` or `q4`.
    pub precision: String,
    /// Licence text of the weights.
    pub license: String,
    /// The whole `pipeline.json`.
    pub pipeline: Value,
    /// Bytes of all tensors, by element type or packed form.
    pub bytes_by_dtype: BTreeMap<String, u64>,
    /// Bytes of all shards.
    pub bytes: u64,
    /// The shards in the order in which the stages run.
    pub shards: Vec<PackShard>,
    /// Model key to its tensors.
    pub stages: BTreeMap<String, PackStageIndex>,
}
