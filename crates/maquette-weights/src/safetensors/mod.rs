//! The safetensors format: `u64` header length, JSON header, data without gaps.

pub(crate) mod header;
pub(crate) mod index;
pub(crate) mod packed;
#[cfg(feature = "native")]
pub(crate) mod write;
