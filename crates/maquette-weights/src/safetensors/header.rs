//! The safetensors header, checked as a whole before any tensor is handed out.
//!
//! Parsing needs only the file's first bytes, so that a page can learn the layout with two HTTP range requests and then ask for
//! single tensors ([`Header::parse_prefix`], [`Header::span`]).

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::strict_json::{self, UniqueMap};
use crate::{DType, Error, Format, Result, TensorInfo, TensorView};

/// Longest header accepted, the same limit as the reference implementation.
pub(crate) const MAX_HEADER: u64 = 100_000_000;

/// A tensor and where its bytes lie in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorSpan {
    /// Name, element type, shape.
    pub info: TensorInfo,
    /// Byte range, counted from the start of the file.
    pub range: Range<u64>,
}

impl TensorSpan {
    /// The tensor over its bytes, which were fetched by [`TensorSpan::range`].
    ///
    /// # Errors
    /// [`Error::Unsupported`] if there are more or fewer bytes than the range has.
    pub fn view<'a>(&'a self, bytes: &'a [u8]) -> Result<TensorView<'a>> {
        let expected = self.range.end - self.range.start;
        if bytes.len() as u64 != expected {
            let problem = format!("tensor `{}` has {expected} bytes, {} were fetched", self.info.name, bytes.len());
            return Err(Error::unsupported("range request", problem));
        }
        Ok(TensorView::new(&self.info, Cow::Borrowed(bytes)))
    }
}

/// A checked safetensors header.
#[derive(Clone, Debug)]
pub struct Header {
    tensors: Vec<TensorSpan>,
    by_name: HashMap<String, usize>,
    metadata: BTreeMap<String, String>,
    file_len: u64,
}

/// What [`Header::parse_prefix`] made of the bytes so far.
#[derive(Debug)]
pub enum HeaderProgress {
    /// The file's first `n` bytes are needed.
    Needs(u64),
    /// The header is complete.
    Ready(Header),
}

#[derive(Deserialize)]
struct RawEntry {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

impl Header {
    /// Parses the header out of a whole file.
    ///
    /// # Errors
    /// [`Error::Malformed`] with the byte position for every departure from the format.
    pub fn parse(origin: &str, file: &[u8]) -> Result<Self> {
        match Self::parse_prefix(origin, file, file.len() as u64)? {
            HeaderProgress::Ready(header) => Ok(header),
            HeaderProgress::Needs(n) => Err(Error::malformed(
                origin,
                Format::Safetensors,
                file.len() as u64,
                format!("the file ends inside its header: {n} bytes are needed, {} are there", file.len()),
            )),
        }
    }

    /// Parses the header out of the first bytes of a file of `file_len` bytes, or says how many bytes it needs.
    ///
    /// # Errors
    /// [`Error::Malformed`] as for [`Header::parse`].
    pub fn parse_prefix(origin: &str, prefix: &[u8], file_len: u64) -> Result<HeaderProgress> {
        let bad = |offset: u64, problem: String| Error::malformed(origin, Format::Safetensors, offset, problem);
        if file_len < 8 {
            return Err(bad(0, format!("expected at least 8 bytes of header length, the file has {file_len}")));
        }
        let Some(length) = prefix.first_chunk::<8>() else {
            return Ok(HeaderProgress::Needs(8));
        };
        let length = u64::from_le_bytes(*length);
        if length > MAX_HEADER {
            return Err(bad(0, format!("the header claims {length} bytes, more than the limit of {MAX_HEADER}")));
        }
        let data_start = length + 8;
        if data_start > file_len {
            return Err(bad(0, format!("the header claims {length} bytes, but only {} follow", file_len - 8)));
        }
        // The limit above makes the length fit every usize that we build for.
        let Some(text) = prefix.get(8..data_start as usize) else {
            return Ok(HeaderProgress::Needs(data_start));
        };
        if text.first() != Some(&b'{') {
            return Err(bad(8, "the header does not start with `{`".into()));
        }
        let entries: UniqueMap<Box<RawValue>> = strict_json::parse(origin, Format::Safetensors, 8, text)?;
        Self::check(origin, entries.0, text, data_start, file_len).map(HeaderProgress::Ready)
    }

    fn check(
        origin: &str,
        entries: BTreeMap<String, Box<RawValue>>,
        text: &[u8],
        data_start: u64,
        file_len: u64,
    ) -> Result<Self> {
        let bad = |offset: u64, problem: String| Error::malformed(origin, Format::Safetensors, offset, problem);
        // Where the key stands in the header, for messages about an entry as a whole.
        let place = |name: &str| {
            let quoted = serde_json::to_string(name).unwrap_or_default();
            8 + text.windows(quoted.len().max(1)).position(|w| w == quoted.as_bytes()).unwrap_or(0) as u64
        };
        let mut metadata = BTreeMap::new();
        let mut tensors = Vec::with_capacity(entries.len());
        for (name, raw) in entries {
            if name == "__metadata__" {
                metadata = serde_json::from_str::<UniqueMap<String>>(raw.get())
                    .map_err(|e| bad(place(&name), format!("`__metadata__` must map strings to strings: {e}")))?
                    .0;
                continue;
            }
            let entry: RawEntry =
                serde_json::from_str(raw.get()).map_err(|e| bad(place(&name), format!("tensor `{name}`: {e}")))?;
            let span = span_of(name, entry, data_start, file_len)
                .map_err(|(name, problem)| bad(place(&name), format!("tensor `{name}`: {problem}")))?;
            tensors.push(span);
        }
        tensors.sort_by_key(|t| (t.range.start, t.range.end));
        let mut at = data_start;
        for t in &tensors {
            if t.range.start != at {
                let kind = if t.range.start < at { "overlaps the tensor before it" } else { "leaves a gap before it" };
                return Err(bad(
                    t.range.start,
                    format!(
                        "tensor `{}` {kind}: expected it at byte {at}, it claims byte {}",
                        t.info.name, t.range.start
                    ),
                ));
            }
            at = t.range.end;
        }
        if at != file_len {
            return Err(bad(at, format!("the tensors end at byte {at}, the file at byte {file_len}")));
        }
        let by_name = tensors.iter().enumerate().map(|(i, t)| (t.info.name.clone(), i)).collect();
        Ok(Self { tensors, by_name, metadata, file_len })
    }

    /// The tensors in the order of their bytes.
    pub fn tensors(&self) -> &[TensorSpan] {
        &self.tensors
    }

    /// The tensor of that name.
    pub fn span(&self, name: &str) -> Option<&TensorSpan> {
        self.by_name.get(name).map(|i| &self.tensors[*i])
    }

    /// The file's `__metadata__`.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// Length of the whole file in bytes.
    pub fn file_len(&self) -> u64 {
        self.file_len
    }

    pub(crate) fn into_parts(self) -> (Vec<TensorSpan>, BTreeMap<String, String>) {
        (self.tensors, self.metadata)
    }
}

/// Checks one entry by itself: type known, size equal to shape times type, range inside the file.
fn span_of(
    name: String,
    entry: RawEntry,
    data_start: u64,
    file_len: u64,
) -> std::result::Result<TensorSpan, (String, String)> {
    let Some(dtype) = DType::from_name(&entry.dtype) else {
        let known: Vec<_> = DType::PLAIN.iter().map(|d| d.name()).collect();
        return Err((name, format!("element type `{}` is not known; known are {}", entry.dtype, known.join(", "))));
    };
    let (begin, end) = entry.data_offsets;
    let (Some(start), Some(stop)) = (begin.checked_add(data_start), end.checked_add(data_start)) else {
        return Err((name, format!("offsets {begin}..{end} are beyond any file")));
    };
    if begin > end || stop > file_len {
        return Err((
            name,
            format!("offsets {begin}..{end} do not lie in the {} bytes of data", file_len - data_start),
        ));
    }
    let size = dtype.size().unwrap_or(1) as u64;
    let bytes = entry.shape.iter().try_fold(size, |n, d| n.checked_mul(*d));
    if bytes != Some(end - begin) {
        return Err((
            name,
            format!(
                "shape {:?} of {dtype} needs {}, the offsets span {} bytes",
                entry.shape,
                bytes.map_or_else(|| "more bytes than can be counted".into(), |b| format!("{b} bytes")),
                end - begin
            ),
        ));
    }
    // A zero among the dimensions can hide one that does not fit a 32-bit usize.
    let shape: Option<Vec<usize>> = entry.shape.iter().map(|d| usize::try_from(*d).ok()).collect();
    let Some(shape) = shape.filter(|s| s.iter().try_fold(1usize, |n, d| n.checked_mul(*d)).is_some()) else {
        return Err((name, format!("shape {:?} is beyond this machine's address space", entry.shape)));
    };
    Ok(TensorSpan { info: TensorInfo { name, dtype, shape }, range: start..stop })
}
