//! One open checkpoint, whatever its format.

mod backing;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
#[cfg(feature = "native")]
use std::path::Path;
use std::sync::Arc;

use crate::quant::Layout;
use crate::safetensors::header::Header;
use crate::{Error, Result, TensorInfo, TensorSource, TensorView};

pub(crate) use backing::Backing;

/// A file format that this crate reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One `.safetensors` file.
    Safetensors,
    /// `*.safetensors.index.json` and its shards.
    SafetensorsIndex,
    /// A torch pickle (`.pth`, `.pt`, `.ckpt`, `.bin`), zip or legacy.
    Pickle,
    /// The initialisers of an ONNX model.
    Onnx,
    /// A JSON description.
    Json,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Safetensors => "safetensors",
            Self::SafetensorsIndex => "safetensors index",
            Self::Pickle => "torch pickle",
            Self::Onnx => "ONNX",
            Self::Json => "JSON",
        })
    }
}

/// Where a tensor's bytes are.
#[derive(Clone, Debug)]
pub(crate) enum Storage {
    /// Contiguous in one part.
    Span { part: usize, start: usize, end: usize },
    /// A payload and its scales.
    Packed { part: usize, data: (usize, usize), scales: (usize, usize) },
}

#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) info: TensorInfo,
    pub(crate) storage: Storage,
}

/// An open checkpoint: names, types and shapes are known and checked; bytes are touched when a tensor is asked for.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    origin: String,
    format: Format,
    metadata: BTreeMap<String, String>,
    parts: Vec<Backing>,
    entries: Vec<Entry>,
    by_name: HashMap<String, usize>,
}

impl Checkpoint {
    /// Opens a file by memory map; the format is told by the content, not the name.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read, [`Error::UnknownFormat`], [`Error::Malformed`] or [`Error::Unsupported`] for its content.
    #[cfg(feature = "native")]
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Self::from_backing(path.display().to_string(), Backing::map(path)?)
    }

    /// Opens a checkpoint that is already in memory (a `Vec<u8>`, or an `Arc<[u8]>` that is shared and not copied).
    ///
    /// # Errors
    /// As for [`Checkpoint::open`], without [`Error::Io`].
    pub fn from_bytes(bytes: impl Into<Arc<[u8]>>) -> Result<Self> {
        Self::from_backing("bytes in memory".into(), Backing::Memory(bytes.into()))
    }

    fn from_backing(origin: String, backing: Backing) -> Result<Self> {
        let bytes = backing.bytes();
        let looks_like_safetensors = bytes.get(8) == Some(&b'{') || bytes.len() < 9;
        if !looks_like_safetensors {
            return Err(Error::UnknownFormat { origin, start: bytes.iter().take(8).copied().collect() });
        }
        let (spans, metadata) = Header::parse(&origin, bytes)?.into_parts();
        let entries = spans
            .into_iter()
            // The header was checked against the length of bytes that are in memory, so the ranges fit usize.
            .map(|s| Entry {
                info: s.info,
                storage: Storage::Span { part: 0, start: s.range.start as usize, end: s.range.end as usize },
            })
            .collect();
        Ok(Self::assemble(origin, Format::Safetensors, metadata, vec![backing], entries))
    }

    fn assemble(
        origin: String,
        format: Format,
        metadata: BTreeMap<String, String>,
        parts: Vec<Backing>,
        entries: Vec<Entry>,
    ) -> Self {
        let by_name = entries.iter().enumerate().map(|(i, e)| (e.info.name.clone(), i)).collect();
        Self { origin, format, metadata, parts, entries, by_name }
    }

    /// File name, or what stands for it in messages.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The format that was found.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Text entries that the file carries about itself.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// Every tensor, in storage order.
    pub fn infos(&self) -> impl ExactSizeIterator<Item = &TensorInfo> {
        self.entries.iter().map(|e| &e.info)
    }

    /// Every tensor's name, in storage order.
    pub fn names(&self) -> Vec<&str> {
        self.infos().map(|i| i.name.as_str()).collect()
    }

    /// The tensor of that name.
    ///
    /// # Errors
    /// [`Error::MissingTensor`] with the nearest name that is there.
    pub fn tensor(&self, name: &str) -> Result<TensorView<'_>> {
        let Some(index) = self.by_name.get(name) else {
            return Err(Error::MissingTensor {
                origin: self.origin.clone(),
                name: name.to_owned(),
                nearest: crate::nearest::nearest(name, self.infos().map(|i| i.name.as_str())).map(str::to_owned),
            });
        };
        let entry = &self.entries[*index];
        Ok(match &entry.storage {
            Storage::Span { part, start, end } => {
                TensorView::new(&entry.info, Cow::Borrowed(&self.parts[*part].bytes()[*start..*end]))
            }
            Storage::Packed { part, data, scales } => {
                let bytes = self.parts[*part].bytes();
                TensorView::packed(
                    &entry.info,
                    Cow::Borrowed(&bytes[data.0..data.1]),
                    Cow::Borrowed(&bytes[scales.0..scales.1]),
                )
            }
        })
    }

    /// Bytes that a tensor takes in its file, scales included; 0 for a name that is not there.
    pub fn stored_bytes(&self, name: &str) -> u64 {
        let Some(info) = self.info(name) else { return 0 };
        match info.dtype.size() {
            Some(size) => (info.elements() * size) as u64,
            None => Layout::of(info.dtype, &info.shape).map_or(0, |l| (l.data_bytes() + l.scale_bytes()) as u64),
        }
    }
}

impl TensorSource for Checkpoint {
    fn names(&self) -> Vec<&str> {
        self.names()
    }

    fn info(&self, name: &str) -> Option<&TensorInfo> {
        self.by_name.get(name).map(|i| &self.entries[*i].info)
    }

    fn get(&self, name: &str) -> Result<TensorView<'_>> {
        self.tensor(name)
    }
}
