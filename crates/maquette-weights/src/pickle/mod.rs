//! Torch pickles, read without executing anything.
//!
//! A pickle is a program for a small stack machine. [`machine`] runs only the opcodes that build plain data, and [`allowed`] maps
//! the few callables that torch writes for tensors; every other callable is refused by its name. So a hostile file can at worst
//! describe tensors that are not there, which [`torch`] checks against the bytes of the file.

mod allowed;
mod arena;
mod legacy;
mod machine;
mod state_dict;
mod torch;
mod zip;

pub(crate) use torch::{TensorRecord, read};

/// Longest pickle program that is run: the data of tensors lies outside it, so real ones stay below a few MiB.
const MAX_PROGRAM: usize = 16 << 20;

/// Whether the bytes start like a zip archive or like a pickle of protocol 2 and up (legacy torch files).
pub(crate) fn looks_like_pickle(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PK\x03\x04") || matches!(bytes, [0x80, 2..=5, ..])
}
