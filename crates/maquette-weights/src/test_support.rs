//! What this crate's tests share.

use std::path::PathBuf;

/// The reference numbers: `MAQUETTE_GOLDENS`, else beside the checkout, else inside it.
pub(crate) fn goldens() -> PathBuf {
    let workspace = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let places = std::env::var_os("MAQUETTE_GOLDENS").map(PathBuf::from).into_iter();
    let places = places.chain([workspace.join("../shared/goldens"), workspace.join("tests/goldens")]);
    places.into_iter().find(|p| p.is_dir()).expect("reference numbers: set MAQUETTE_GOLDENS")
}

/// A safetensors file without tensors.
pub(crate) fn empty_safetensors() -> Vec<u8> {
    safetensors("{}", &[])
}

/// A file of that header and data, right or wrong.
pub(crate) fn safetensors(header: &str, data: &[u8]) -> Vec<u8> {
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    file.extend(data);
    file
}
