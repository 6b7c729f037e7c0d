//! Any bytes as a safetensors file, packed tensors included: an error or readable tensors, never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use maquette_weights::{Checkpoint, Header};

fuzz_target!(|data: &[u8]| {
    let header = Header::parse("fuzz", data);
    // The page's way, which learns the header from a prefix, must agree.
    let half = &data[..data.len() / 2];
    if let (Ok(maquette_weights::HeaderProgress::Ready(early)), Ok(whole)) =
        (Header::parse_prefix("fuzz", half, data.len() as u64), &header)
    {
        assert_eq!(early.tensors(), whole.tensors());
    }
    if let Ok(checkpoint) = Checkpoint::from_bytes(data) {
        for name in checkpoint.names() {
            let view = checkpoint.tensor(name).expect("a listed tensor");
            assert_eq!(view.to_f32().len(), view.elements());
        }
    }
});
