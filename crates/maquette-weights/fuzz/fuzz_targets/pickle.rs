//! Any bytes as a torch pickle, zip or legacy: an error or readable tensors, never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use maquette_weights::Checkpoint;

fuzz_target!(|data: &[u8]| {
    if let Ok(checkpoint) = Checkpoint::from_bytes(data) {
        for name in checkpoint.names() {
            let view = checkpoint.tensor(name).expect("a listed tensor");
            assert_eq!(view.to_f32().len(), view.elements());
        }
    }
});
