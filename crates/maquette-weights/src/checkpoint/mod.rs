//! One open checkpoint, whatever its format.

mod backing;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
#[cfg(feature = "native")]
use std::path::Path;
use std::sync::Arc;

use crate::quant::Layout;
use crate::safetensors::header::{Header, TensorSpan};
#[cfg(feature = "native")]
use crate::safetensors::index::ShardIndex;
use crate::safetensors::packed::{self, PACKED_KEY};
use crate::{Error, Result, TensorInfo, TensorSource, TensorView, onnx, pickle};

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
    /// In one part, but not contiguous: strides in elements.
    Strided { part: usize, start: usize, end: usize, stride: Vec<usize> },
    /// Decoded when the file was opened, because the file holds it in another encoding.
    Decoded(Arc<[u8]>),
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
        Self::from_file(path.as_ref(), Backing::map)
    }

    /// As [`Checkpoint::open`], with the whole file read into memory now. For files on network drives, or files that another
    /// program may write to while they are in use, which a memory map does not survive.
    ///
    /// # Errors
    /// As for [`Checkpoint::open`].
    #[cfg(feature = "native")]
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        Self::from_file(path.as_ref(), Backing::read)
    }

    #[cfg(feature = "native")]
    fn from_file(path: &Path, load: fn(&Path) -> Result<Backing>) -> Result<Self> {
        if path.as_os_str().to_string_lossy().ends_with(".safetensors.index.json") {
            return Self::sharded(path, load);
        }
        Self::from_backing(path.display().to_string(), load(path)?)
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
        if bytes.is_empty() {
            return Err(Error::UnknownFormat { origin, start: Vec::new() });
        }
        // A header length never has its top bytes set, so the byte after it tells safetensors from everything else.
        if bytes.get(8) == Some(&b'{') && bytes.get(..8).is_some_and(|l| l[5..] == [0, 0, 0]) {
            return Self::safetensors(origin, backing);
        }
        if pickle::looks_like_pickle(bytes) {
            return Self::pickle(origin, backing);
        }
        if onnx::looks_like_onnx(bytes) {
            return Self::onnx(origin, backing);
        }
        let start: Vec<u8> = bytes.iter().take(8).copied().collect();
        // A damaged safetensors file is told what is wrong with it, rather than that it is nothing known.
        if origin.ends_with(".safetensors") || bytes.get(8) == Some(&b'{') {
            Header::parse(&origin, bytes)?;
        }
        Err(Error::UnknownFormat { origin, start })
    }

    fn safetensors(origin: String, backing: Backing) -> Result<Self> {
        let (spans, metadata) = Header::parse(&origin, backing.bytes())?.into_parts();
        let entries = spans.into_iter().map(|s| Entry::span(0, s)).collect();
        Self::assemble(origin, Format::Safetensors, metadata, vec![backing], entries).with_packed()
    }

    fn pickle(origin: String, backing: Backing) -> Result<Self> {
        let records = pickle::read(&origin, backing.bytes())?;
        let entries = records.into_iter().map(|r| {
            let (start, end) = (r.range.start, r.range.end);
            let storage = match r.stride {
                None => Storage::Span { part: 0, start, end },
                Some(stride) => Storage::Strided { part: 0, start, end, stride },
            };
            Entry { info: r.info, storage }
        });
        let entries = entries.collect();
        Ok(Self::assemble(origin, Format::Pickle, BTreeMap::new(), vec![backing], entries))
    }

    fn onnx(origin: String, backing: Backing) -> Result<Self> {
        let model = onnx::parse(&origin, backing.bytes())?;
        let renamed = onnx::u2net::names(&model);
        let mut metadata = BTreeMap::from([("onnx.producer".to_owned(), model.producer)]);
        if renamed.is_some() {
            metadata.insert("network".into(), "u2net".into());
            metadata.insert("batch_norm".into(), "folded into the convolutions by the ONNX exporter".into());
        }
        let entries = model.initialisers.into_iter().map(|i| {
            let storage = match i.place {
                onnx::Place::Raw(range) => Storage::Span { part: 0, start: range.start, end: range.end },
                onnx::Place::Decoded(bytes) => Storage::Decoded(bytes.into()),
            };
            let mut info = i.info;
            if let Some(name) = renamed.as_ref().and_then(|r| r.get(&info.name)) {
                info.name.clone_from(name);
            }
            Entry { info, storage }
        });
        let entries = entries.collect();
        Ok(Self::assemble(origin, Format::Onnx, metadata, vec![backing], entries))
    }

    #[cfg(feature = "native")]
    fn sharded(path: &Path, load: fn(&Path) -> Result<Backing>) -> Result<Self> {
        let origin = path.display().to_string();
        let index = ShardIndex::parse(&origin, &std::fs::read(path).map_err(Error::io(path))?)?;
        let (mut parts, mut entries, mut metadata) = (Vec::new(), Vec::new(), BTreeMap::new());
        for shard in index.shards() {
            let file = path.with_file_name(shard);
            let backing = load(&file)?;
            let (spans, own) = Header::parse(&file.display().to_string(), backing.bytes())?.into_parts();
            metadata.extend(own);
            // Tensors that the index gives to another shard, or to none, are left alone, as the Python loaders do.
            let wanted = spans.into_iter().filter(|s| index.weight_map.get(&s.info.name).is_some_and(|m| m == shard));
            entries.extend(wanted.map(|s| Entry::span(parts.len(), s)));
            parts.push(backing);
        }
        let found: std::collections::HashSet<&str> = entries.iter().map(|e: &Entry| e.info.name.as_str()).collect();
        if let Some((name, shard)) = index.weight_map.iter().find(|(n, _)| !found.contains(n.as_str())) {
            let problem = format!("tensor `{name}` is said to be in shard `{shard}`, which does not have it");
            return Err(Error::malformed(&origin, Format::SafetensorsIndex, 0, problem));
        }
        Self::assemble(origin, Format::SafetensorsIndex, metadata, parts, entries).with_packed()
    }

    /// Joins payloads and scales of packed tensors, as the metadata lists them.
    fn with_packed(mut self) -> Result<Self> {
        let Some(text) = self.metadata.get(PACKED_KEY) else { return Ok(self) };
        let bad = |problem: String| Error::malformed(&self.origin, self.format, 8, problem);
        let packed = packed::parse(text).map_err(bad)?;
        let mut scales_of = HashMap::new();
        let mut joined = HashMap::new();
        for (name, (dtype, shape, layout)) in packed {
            let find = |name: &str| self.by_name.get(name).map(|i| &self.entries[*i]);
            let scales_name = packed::scales_name(&name);
            let (Some(data), Some(scales)) = (find(&name), find(&scales_name)) else {
                return Err(bad(format!("packed tensor `{name}`: its payload or its scales are missing")));
            };
            let (Storage::Span { part, start, end }, Storage::Span { part: scales_part, start: from, end: to }) =
                (&data.storage, &scales.storage)
            else {
                return Err(bad(format!("packed tensor `{name}` is listed twice")));
            };
            if end - start != layout.data_bytes() || to - from != layout.scale_bytes() || part != scales_part {
                return Err(bad(format!(
                    "packed tensor `{name}`: {dtype} of shape {shape:?} needs {} and {} bytes of scales in one file, {} and {} are stored",
                    layout.data_bytes(),
                    layout.scale_bytes(),
                    end - start,
                    to - from
                )));
            }
            let storage = Storage::Packed { part: *part, data: (*start, *end), scales: (*from, *to) };
            joined.insert(name.clone(), Entry { info: TensorInfo { name: name.clone(), dtype, shape }, storage });
            scales_of.insert(scales_name, name);
        }
        let entries = std::mem::take(&mut self.entries);
        let entries = entries.into_iter().filter(|e| !scales_of.contains_key(&e.info.name));
        let entries = entries.map(|e| joined.remove(&e.info.name).unwrap_or(e)).collect();
        Ok(Self::assemble(self.origin, self.format, self.metadata, self.parts, entries))
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
            Storage::Strided { part, start, end, stride } => {
                let size = entry.info.dtype.size().unwrap_or(1);
                let bytes = &self.parts[*part].bytes()[*start..*end];
                let gathered = pickle::TensorRecord::gather(&entry.info.shape, stride, size, bytes);
                TensorView::new(&entry.info, Cow::Owned(gathered))
            }
            Storage::Decoded(bytes) => TensorView::new(&entry.info, Cow::Borrowed(bytes)),
        })
    }

    /// Tells the system that a tensor's mapped pages are not needed any more, so that walking through a file larger than memory
    /// keeps little of it resident. The tensor stays readable. Does nothing for checkpoints in memory.
    pub fn release(&self, name: &str) {
        #[cfg(feature = "native")]
        if let Some(entry) = self.by_name.get(name).map(|i| &self.entries[*i]) {
            match &entry.storage {
                Storage::Span { part, start, end } | Storage::Strided { part, start, end, .. } => {
                    self.parts[*part].release(*start, *end)
                }
                Storage::Packed { part, data, .. } => self.parts[*part].release(data.0, data.1),
                Storage::Decoded(_) => {}
            }
        }
        #[cfg(not(feature = "native"))]
        let _ = name;
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

impl Entry {
    /// A tensor of a safetensors file that is in memory or mapped, so that its range fits `usize`.
    fn span(part: usize, span: TensorSpan) -> Self {
        let storage = Storage::Span { part, start: span.range.start as usize, end: span.range.end as usize };
        Self { info: span.info, storage }
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
