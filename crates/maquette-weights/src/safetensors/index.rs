//! `*.safetensors.index.json`: which shard holds which tensor.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::strict_json::{self, UniqueMap};
use crate::{Error, Format, Result};

/// A checked shard index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardIndex {
    /// Tensor name to shard file name.
    pub weight_map: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Raw {
    weight_map: UniqueMap<String>,
}

impl ShardIndex {
    /// Parses an index; shard names are plain file names, so that an index cannot reach out of its folder.
    ///
    /// # Errors
    /// [`Error::Malformed`] with the byte position, or with the offending shard name.
    pub fn parse(origin: &str, text: &[u8]) -> Result<Self> {
        let raw: Raw = strict_json::parse(origin, Format::SafetensorsIndex, 0, text)?;
        for (tensor, shard) in &raw.weight_map.0 {
            let plain = !shard.is_empty() && shard != "." && shard != ".." && !shard.contains(['/', '\\', '\0', ':']);
            if !plain {
                let problem =
                    format!("tensor `{tensor}` is in shard {shard:?}; expected the name of a file in the same folder");
                return Err(Error::malformed(origin, Format::SafetensorsIndex, 0, problem));
            }
        }
        Ok(Self { weight_map: raw.weight_map.0 })
    }

    /// Every shard once, in name order.
    pub fn shards(&self) -> Vec<&str> {
        let mut shards: Vec<&str> = self.weight_map.values().map(String::as_str).collect();
        shards.sort_unstable();
        shards.dedup();
        shards
    }
}
