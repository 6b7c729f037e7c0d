//! Tensors of a torch file, checked against the bytes that are there.

use std::collections::HashMap;
use std::ops::Range;

use super::arena::{Arena, StorageRef, TensorRef};
use super::{MAX_PROGRAM, legacy, machine, state_dict, zip};
use crate::{Error, Format, Result, TensorInfo};

/// A checked tensor of a torch file.
#[derive(Clone, Debug)]
pub(crate) struct TensorRecord {
    pub(crate) info: TensorInfo,
    /// Bytes in the file: all of the tensor where `stride` is `None`, else everything that the strides reach.
    pub(crate) range: Range<usize>,
    /// Strides in elements of a tensor that is not contiguous.
    pub(crate) stride: Option<Vec<usize>>,
}

/// Reads the tensors' names and places out of a zip or legacy torch file.
pub(crate) fn read(origin: &str, file: &[u8]) -> Result<Vec<TensorRecord>> {
    if !file.starts_with(b"PK") {
        let (tensors, storages) = legacy::read(origin, file)?;
        return check(origin, file.len(), tensors, |storage| storages.get(&storage.key).cloned());
    }
    let archive = zip::Archive::parse(origin, file)?;
    let (program, folder) = program(origin, &archive)?;
    if let Some(order) = archive.member(&format!("{folder}byteorder"))
        && file.get(order.clone()) != Some(b"little")
    {
        return Err(Error::unsupported(origin, "its numbers are big-endian; save it again on a little-endian machine"));
    }
    let mut arena = Arena::default();
    let code = file.get(program.clone()).unwrap_or(&[]);
    let (root, _) = machine::run(origin, program.start as u64, code, &mut arena)?;
    let tensors = state_dict::find(origin, &arena, root)?;
    check(origin, file.len(), tensors, |storage| archive.member(&format!("{folder}data/{}", storage.key)))
}

/// The archive's `data.pkl` and the folder that it is in.
fn program(origin: &str, archive: &zip::Archive) -> Result<(Range<usize>, String)> {
    let found = archive.names().find(|n| *n == "data.pkl" || n.ends_with("/data.pkl")).map(str::to_owned);
    let Some(name) = found else {
        return Err(Error::unsupported(origin, "a zip archive without data.pkl: not one that torch.save wrote"));
    };
    let folder = name.trim_end_matches("data.pkl").to_owned();
    if archive.member(&format!("{folder}constants.pkl")).is_some() {
        return Err(Error::unsupported(
            origin,
            "a TorchScript archive, which holds code; save the model's state_dict() instead",
        ));
    }
    let range = archive.member(&name).unwrap_or(0..0);
    if range.len() > MAX_PROGRAM {
        return Err(Error::malformed(
            origin,
            Format::Pickle,
            range.start as u64,
            format!("data.pkl has {} bytes, more than the limit of {MAX_PROGRAM}", range.len()),
        ));
    }
    Ok((range, folder))
}

fn check(
    origin: &str,
    file_len: usize,
    tensors: Vec<(String, TensorRef)>,
    place: impl Fn(&StorageRef) -> Option<Range<usize>>,
) -> Result<Vec<TensorRecord>> {
    let mut places: HashMap<String, Option<Range<usize>>> = HashMap::new();
    let mut records = Vec::with_capacity(tensors.len());
    for (name, tensor) in tensors {
        let bytes = places.entry(tensor.storage.key.clone()).or_insert_with(|| place(&tensor.storage)).clone();
        let Some(bytes) = bytes else {
            return Err(Error::malformed(
                origin,
                Format::Pickle,
                0,
                format!("tensor `{name}` is in storage `{}`, which the file does not have", tensor.storage.key),
            ));
        };
        let start = bytes.start as u64;
        records.push(
            record(name, tensor, bytes, file_len)
                .map_err(|problem| Error::malformed(origin, Format::Pickle, start, problem))?,
        );
    }
    Ok(records)
}

fn record(name: String, tensor: TensorRef, bytes: Range<usize>, file_len: usize) -> Result<TensorRecord, String> {
    let too_large =
        || format!("tensor `{name}`: shape {:?} with strides {:?} is beyond any file", tensor.shape, tensor.stride);
    let size = tensor.dtype.size().unwrap_or(1);
    let to_usize = |v: &[u64]| v.iter().map(|d| usize::try_from(*d).ok()).collect::<Option<Vec<usize>>>();
    let (shape, stride) = to_usize(&tensor.shape).zip(to_usize(&tensor.stride)).ok_or_else(too_large)?;
    let elements = shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d)).ok_or_else(too_large)?;
    let offset = tensor
        .offset
        .checked_add(tensor.storage.view_offset)
        .and_then(|o| usize::try_from(o).ok())
        .ok_or_else(too_large)?;
    let reach = if elements == 0 {
        0
    } else {
        shape
            .iter()
            .zip(&stride)
            .try_fold(1usize, |n, (d, s)| n.checked_add((d - 1).checked_mul(*s)?))
            .ok_or_else(too_large)?
    };
    // A view may repeat the elements of a smaller storage, but not ask for more memory than the file has bytes.
    let stored = bytes.len() / size;
    if elements > file_len / size {
        return Err(format!(
            "tensor `{name}`: shape {shape:?} of {} needs {elements} elements, its storage has {stored}",
            tensor.dtype
        ));
    }
    let start = offset.checked_mul(size).and_then(|o| o.checked_add(bytes.start)).ok_or_else(too_large)?;
    let end = reach.checked_mul(size).and_then(|r| r.checked_add(start)).filter(|e| *e <= bytes.end);
    let Some(end) = end else {
        return Err(format!(
            "tensor `{name}`: element {offset} and the {reach} from there do not lie in its storage of {stored} elements"
        ));
    };
    let mut expected = 1;
    let contiguous = elements <= 1
        || shape.iter().zip(&stride).rev().all(|(d, s)| {
            let fits = *d == 1 || *s == expected;
            expected *= d;
            fits
        });
    let info = TensorInfo { name, dtype: tensor.dtype, shape };
    Ok(TensorRecord { info, range: start..end, stride: (!contiguous).then_some(stride) })
}

impl TensorRecord {
    /// Brings a tensor that is not contiguous into row-major order.
    pub(crate) fn gather(shape: &[usize], stride: &[usize], size: usize, bytes: &[u8]) -> Vec<u8> {
        let elements: usize = shape.iter().product();
        let mut out = Vec::with_capacity(elements * size);
        let mut index = vec![0usize; shape.len()];
        for _ in 0..elements {
            let at: usize = index.iter().zip(stride).map(|(i, s)| i * s).sum();
            out.extend_from_slice(bytes.get(at * size..(at + 1) * size).unwrap_or(&[]));
            for axis in (0..shape.len()).rev() {
                index[axis] += 1;
                if index[axis] < shape[axis] {
                    break;
                }
                index[axis] = 0;
            }
        }
        out
    }
}
