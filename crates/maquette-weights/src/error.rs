//! One error for the whole crate: what was expected, what came, and what to do.

use std::path::PathBuf;

use crate::{DType, Format};

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong while weights are found, read, checked or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused a file operation.
    #[error("{path}: {source}", path = .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// The reader of a pack's shards failed.
    #[error("{origin}: bytes {start}..{end} of shard {shard} could not be read: {source}")]
    Shard {
        /// The pack and its stage.
        origin: String,
        /// Index of the shard in the pack.
        shard: usize,
        /// First byte asked for.
        start: u64,
        /// One past the last byte asked for.
        end: u64,
        /// The reader's reason.
        #[source]
        source: std::io::Error,
    },
    /// The bytes are not a valid file of their format.
    #[error("{origin}: not a valid {format} file: {problem} (at byte {offset})")]
    Malformed {
        /// File name, or what stands for it when the bytes came from memory.
        origin: String,
        /// The format that was expected.
        format: Format,
        /// Byte position in the file at which the problem was seen.
        offset: u64,
        /// What was expected and what came.
        problem: String,
    },
    /// No known format starts like these bytes.
    #[error(
        "{origin}: not a checkpoint in a known format; expected safetensors, a safetensors index, a torch pickle (.pth, .pt, .ckpt, .bin) or ONNX; the file starts with {start:02x?}"
    )]
    UnknownFormat {
        /// File name, or what stands for it.
        origin: String,
        /// The first bytes.
        start: Vec<u8>,
    },
    /// The file is valid, but uses something that this reader does not take.
    #[error("{origin}: {problem}")]
    Unsupported {
        /// File name, or what stands for it.
        origin: String,
        /// What is not taken, and what to do.
        problem: String,
    },
    /// A tensor was asked for that the checkpoint does not hold.
    #[error("{origin}: no tensor named `{name}`{}", suggestion(.nearest))]
    MissingTensor {
        /// The checkpoint.
        origin: String,
        /// The name asked for.
        name: String,
        /// The most similar name that is there.
        nearest: Option<String>,
    },
    /// A tensor is there with another shape than the network needs.
    #[error("{origin}: tensor `{name}` has shape {found:?}, expected {expected:?}")]
    Shape {
        /// The checkpoint.
        origin: String,
        /// The tensor.
        name: String,
        /// The shape needed.
        expected: Vec<usize>,
        /// The shape stored.
        found: Vec<usize>,
    },
    /// A tensor cannot be had in the element type asked for.
    #[error("tensor `{name}` is {found}, which cannot become {wanted}")]
    Conversion {
        /// The tensor.
        name: String,
        /// The stored type.
        found: DType,
        /// The type asked for.
        wanted: DType,
    },
    /// A JSON description lacks a field or has it with another type.
    #[error("{origin}: field `{field}`: expected {expected}, found {found}")]
    Field {
        /// The file.
        origin: String,
        /// Dotted path of the field.
        field: String,
        /// The type or value that is needed.
        expected: String,
        /// What is there (`nothing` if absent).
        found: String,
    },
    /// Bytes are not those that were promised.
    #[error("{origin}: its {bytes} bytes have SHA-256 {found}, expected {expected}; fetch it again")]
    Checksum {
        /// The file or shard.
        origin: String,
        /// The digest promised.
        expected: String,
        /// The digest of what came.
        found: String,
        /// How many bytes came.
        bytes: u64,
    },
    /// The hub, or the way to it, refused.
    #[error("{url}: {problem}")]
    Hub {
        /// What was asked for.
        url: String,
        /// What came, and what to do.
        problem: String,
    },
    /// A file is not in the cache and fetching is off.
    #[error(
        "offline, and `{file}` of `{repo}` is not in the cache; download {url} on another machine and put it at {place}",
        place = .place.display()
    )]
    Offline {
        /// The repository.
        repo: String,
        /// The file in it.
        file: String,
        /// Where it can be had.
        url: String,
        /// Where it belongs.
        place: PathBuf,
    },
    /// A folder is not a model folder.
    #[error("{path}: not a model folder: {problem}", path = .path.display())]
    NotAModelFolder {
        /// The folder.
        path: PathBuf,
        /// What is missing and what to do.
        problem: String,
    },
    /// A model reference leads nowhere.
    #[error("{origin}: model `{key}` refers to `{value}`, but no checkpoint is there; tried:{}\n{advice}", list(.tried))]
    Unresolved {
        /// The file with the reference.
        origin: String,
        /// The pipeline's name of the model.
        key: String,
        /// The reference.
        value: String,
        /// Every place that was tried, with what is missing there.
        tried: Vec<String>,
        /// What to do.
        advice: String,
    },
}

fn suggestion(name: &Option<String>) -> String {
    name.as_ref().map_or_else(String::new, |n| format!("; the nearest is `{n}`"))
}

fn list(items: &[String]) -> String {
    items.iter().map(|i| format!("\n  - {i}")).collect()
}

impl Error {
    pub(crate) fn malformed(origin: &str, format: Format, offset: u64, problem: impl Into<String>) -> Self {
        Self::Malformed { origin: origin.to_owned(), format, offset, problem: problem.into() }
    }

    pub(crate) fn unsupported(origin: &str, problem: impl Into<String>) -> Self {
        Self::Unsupported { origin: origin.to_owned(), problem: problem.into() }
    }

    #[cfg(feature = "native")]
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}
