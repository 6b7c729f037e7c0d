//! Any bytes as each of our JSON descriptions: pipeline, model, pack.
#![no_main]

use libfuzzer_sys::fuzz_target;
use maquette_weights::{ModelConfig, PipelineConfig, TensorSource, pack::Pack};

fuzz_target!(|data: &[u8]| {
    let _ = PipelineConfig::parse("fuzz", data);
    let _ = ModelConfig::parse("fuzz", data);
    if let Ok(pack) = Pack::parse("fuzz", data) {
        for key in pack.index().stages.keys() {
            if let Ok(stage) = pack.stage(key) {
                for name in stage.names() {
                    let _ = stage.get(name);
                }
            }
        }
    }
});
