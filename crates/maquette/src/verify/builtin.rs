//! The set that needs no files.

use super::{GoldenFiles, Result, VerifyError};

/// A small folder compiled into the program: single operators and a whole tiny flow network.
#[derive(Clone, Copy, Debug, Default)]
pub struct BuiltinGoldens;

macro_rules! embedded {
    ($($path:literal),* $(,)?) => {
        &[$(($path, include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/goldens/trellis/", $path)))),*]
    };
}

const FILES: &[(&str, &[u8])] = embedded![
    "cases/abs_pos_embedding.safetensors",
    "cases/flexicubes_torus.safetensors",
    "cases/spatial_ops.safetensors",
    "cases/sparse_updown.safetensors",
    "cases/ss_flow_alt_patch.model.json",
    "cases/ss_flow_alt_patch.model.safetensors",
    "cases/ss_flow_alt_patch.safetensors",
    "cases/submanifold_conv.safetensors",
    "cases/windowed_attention.safetensors",
];

impl GoldenFiles for BuiltinGoldens {
    fn origin(&self) -> String {
        "the built-in set".into()
    }

    fn list(&self, folder: &str) -> Vec<String> {
        let inside =
            |path: &'static str| path.strip_prefix(folder)?.strip_prefix('/').filter(|rest| !rest.contains('/'));
        FILES.iter().filter_map(|(path, _)| inside(path)).map(str::to_owned).collect()
    }

    fn read(&self, path: &str) -> Result<Vec<u8>> {
        let found = FILES.iter().find(|(known, _)| *known == path);
        found
            .map(|(_, bytes)| bytes.to_vec())
            .ok_or_else(|| VerifyError::File { path: path.to_owned(), problem: "not in the built-in set".into() })
    }
}
