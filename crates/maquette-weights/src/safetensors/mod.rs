//! The safetensors format: `u64` header length, JSON header, data without gaps.

pub(crate) mod header;
