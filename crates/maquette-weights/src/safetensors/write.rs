//! Writing safetensors files: the layout first, then tensors in any order, beside the target and renamed at the end.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::{DType, Error, Result, TensorInfo};

/// A file that takes its name only when it is complete. Dropped early, it leaves nothing behind.
#[derive(Debug)]
pub(crate) struct FileBeside {
    target: PathBuf,
    part: PathBuf,
    file: Option<File>,
}

impl FileBeside {
    pub(crate) fn create(target: &Path) -> Result<Self> {
        let mut name = target.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.part", std::process::id()));
        let part = target.with_file_name(name);
        let file = File::create(&part).map_err(Error::io(&part))?;
        Ok(Self { target: target.to_owned(), part, file: Some(file) })
    }

    pub(crate) fn file(&mut self) -> Result<&mut File> {
        self.file
            .as_mut()
            .ok_or_else(|| Error::unsupported(&self.target.display().to_string(), "the file is already closed"))
    }

    /// Flushes to the disk and takes the target's name.
    pub(crate) fn finish(mut self) -> Result<()> {
        if let Some(file) = self.file.take() {
            file.sync_all().map_err(Error::io(&self.part))?;
        }
        std::fs::rename(&self.part, &self.target).map_err(Error::io(&self.target))
    }
}

impl Drop for FileBeside {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            // Nothing better can be done about a file that will not go away.
            let _ = std::fs::remove_file(&self.part);
        }
    }
}

/// Writes a whole small file beside its target and renames it.
///
/// # Errors
/// [`Error::Io`]; the target is then as it was.
pub fn write_whole(target: &Path, bytes: &[u8]) -> Result<()> {
    let mut beside = FileBeside::create(target)?;
    let part = beside.part.clone();
    beside.file()?.write_all(bytes).map_err(Error::io(part))?;
    beside.finish()
}

/// A safetensors file being written: [`SafetensorsWriter::create`] fixes the layout, [`SafetensorsWriter::write`] fills it.
#[derive(Debug)]
pub struct SafetensorsWriter {
    beside: FileBeside,
    /// Where the next byte of a tensor goes, and where the tensor ends.
    places: BTreeMap<String, (u64, u64)>,
}

impl SafetensorsWriter {
    /// Writes the header for `tensors` (plain types) beside `target`. Wider types are laid first, so that all stay aligned.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Unsupported`] for packed types and repeated names.
    pub fn create(target: &Path, tensors: &[TensorInfo], metadata: &BTreeMap<String, String>) -> Result<Self> {
        let (header, places) = layout(target, tensors, metadata)?;
        let mut beside = FileBeside::create(target)?;
        let data = 8 + header.len() as u64;
        let part = beside.part.clone();
        let file = beside.file()?;
        let mut out = BufWriter::new(&mut *file);
        out.write_all(&(header.len() as u64).to_le_bytes()).map_err(Error::io(&part))?;
        out.write_all(&header).map_err(Error::io(&part))?;
        out.flush().map_err(Error::io(&part))?;
        drop(out);
        let places: BTreeMap<String, (u64, u64)> =
            places.into_iter().map(|(name, (start, end))| (name, (start + data, end + data))).collect();
        let length = places.values().map(|p| p.1).max().unwrap_or(data);
        file.set_len(length).map_err(Error::io(&part))?;
        Ok(Self { beside, places })
    }

    /// Writes the bytes of one tensor; each tensor once, in any order.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Unsupported`] if the name is not in the layout, was written before, or has another size.
    pub fn write(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        if let Some((at, end)) = self.places.get(name)
            && bytes.len() as u64 != end - at
        {
            return Err(self.unfit(name, bytes.len(), end - at));
        }
        self.append(name, bytes)
    }

    /// Writes the next bytes of a tensor, which may come in pieces and between those of others.
    ///
    /// # Errors
    /// As [`SafetensorsWriter::write`]; here a tensor has another size if more bytes come than its place holds.
    pub fn append(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        let Some((at, end)) = self.places.get(name).copied() else {
            return Err(Error::unsupported(
                &self.beside.target.display().to_string(),
                format!("tensor `{name}` is not in the file's layout, or was written before"),
            ));
        };
        let next = at + bytes.len() as u64;
        if next > end {
            return Err(self.unfit(name, bytes.len(), end - at));
        }
        let part = self.beside.part.clone();
        let file = self.beside.file()?;
        file.seek(SeekFrom::Start(at)).and_then(|_| file.write_all(bytes)).map_err(Error::io(part))?;
        if next == end {
            self.places.remove(name);
        } else {
            self.places.insert(name.to_owned(), (next, end));
        }
        Ok(())
    }

    fn unfit(&self, name: &str, came: usize, place: u64) -> Error {
        let problem = format!("tensor `{name}` has {came} bytes, its place in the file {place}");
        Error::unsupported(&self.beside.target.display().to_string(), problem)
    }

    /// Completes the file and gives it its name.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Unsupported`] while tensors are missing.
    pub fn finish(self) -> Result<()> {
        // Tensors without elements have nothing to write.
        let mut open = self.places.iter().filter(|(_, (at, end))| at < end);
        if let Some((name, _)) = open.next() {
            return Err(Error::unsupported(
                &self.beside.target.display().to_string(),
                format!("{} tensors were never written whole, `{name}` among them", 1 + open.count()),
            ));
        }
        self.beside.finish()
    }
}

type Places = BTreeMap<String, (u64, u64)>;

fn layout(target: &Path, tensors: &[TensorInfo], metadata: &BTreeMap<String, String>) -> Result<(Vec<u8>, Places)> {
    let origin = target.display().to_string();
    let mut order: Vec<&TensorInfo> = tensors.iter().collect();
    order.sort_by_key(|t| std::cmp::Reverse(t.dtype.size()));
    let mut entries: Vec<String> = Vec::with_capacity(tensors.len() + 1);
    if !metadata.is_empty() {
        entries.push(format!("\"__metadata__\":{}", json!(metadata)));
    }
    let (mut places, mut at) = (BTreeMap::new(), 0u64);
    for tensor in order {
        let bytes = plain_bytes(tensor).ok_or_else(|| {
            Error::unsupported(
                &origin,
                format!("tensor `{}` is {} and cannot be written as a plain tensor", tensor.name, tensor.dtype),
            )
        })?;
        let end = at + bytes;
        let entry = json!({"dtype": tensor.dtype.name(), "shape": tensor.shape, "data_offsets": [at, end]});
        entries.push(format!("{}:{entry}", json!(tensor.name)));
        if places.insert(tensor.name.clone(), (at, end)).is_some() {
            return Err(Error::unsupported(&origin, format!("tensor `{}` stands twice in the layout", tensor.name)));
        }
        at = end;
    }
    let mut header = format!("{{{}}}", entries.join(",")).into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    Ok((header, places))
}

/// Bytes of a plain tensor.
pub(crate) fn plain_bytes(tensor: &TensorInfo) -> Option<u64> {
    Some(tensor.elements() as u64 * DType::size(tensor.dtype)? as u64)
}
