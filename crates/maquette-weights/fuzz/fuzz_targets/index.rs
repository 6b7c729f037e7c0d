//! Any bytes as a shard index: an error, or shard names that stay in their folder.
#![no_main]

use libfuzzer_sys::fuzz_target;
use maquette_weights::ShardIndex;

fuzz_target!(|data: &[u8]| {
    if let Ok(index) = ShardIndex::parse("fuzz", data) {
        for shard in index.shards() {
            assert!(!shard.contains('/') && shard != "..");
        }
    }
});
