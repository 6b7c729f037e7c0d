//! Files that torch wrote before version 1.6: five pickles one after another, then the storages.

use std::collections::HashMap;
use std::ops::Range;

use super::arena::{Arena, Node, TensorRef, Value};
use super::{MAX_PROGRAM, machine, state_dict};
use crate::{DType, Error, Format, Result};

const PROTOCOL: i64 = 1001;

type Storages = HashMap<String, Range<usize>>;

/// The tensors and the byte range of each storage.
pub(super) fn read(origin: &str, file: &[u8]) -> Result<(Vec<(String, TensorRef)>, Storages)> {
    let bad = |at: usize, problem: String| Error::malformed(origin, Format::Pickle, at as u64, problem);
    let mut arena = Arena::default();
    let mut at = 0;
    let mut next = |arena: &mut Arena| -> Result<Value> {
        let rest = file.get(at..).unwrap_or(&[]);
        let (value, used) = machine::run(origin, at as u64, &rest[..rest.len().min(MAX_PROGRAM)], arena)?;
        at += used;
        Ok(value)
    };
    if next(&mut arena)? != Value::Magic {
        return Err(Error::unsupported(
            origin,
            "a pickle, but not one that torch.save wrote (its magic number is missing)",
        ));
    }
    if next(&mut arena)? != Value::Int(PROTOCOL) {
        return Err(Error::unsupported(origin, "a torch file of an unknown legacy protocol; 1001 is expected"));
    }
    let system = next(&mut arena)?;
    let little = arena
        .dict(system)
        .and_then(|d| d.iter().find(|(k, _)| arena.text(*k) == Some("little_endian")))
        .map(|(_, v)| *v);
    if little != Some(Value::Bool(true)) {
        return Err(Error::unsupported(
            origin,
            "its numbers are not little-endian; save it again on a little-endian machine",
        ));
    }
    let root = next(&mut arena)?;
    let tensors = state_dict::find(origin, &arena, root)?;
    let keys = next(&mut arena)?;
    let Some(keys) = arena.items(keys) else {
        return Err(bad(at, format!("expected the list of storage keys, found {}", arena.kind(keys))));
    };
    // Without a storage's element type the next one's place would be unknown.
    let types: HashMap<&str, DType> = arena
        .nodes()
        .filter_map(|node| match node {
            Node::Storage(s) => Some((s.key.as_str(), s.dtype.unwrap_or(DType::U8))),
            _ => None,
        })
        .collect();
    let mut storages = HashMap::new();
    for key in keys {
        let key = arena.text(*key).ok_or_else(|| bad(at, "a storage key is not a string".into()))?;
        let dtype = types
            .get(key)
            .ok_or_else(|| bad(at, format!("no tensor uses storage `{key}`, so its element type is unknown")))?;
        let count = file
            .get(at..)
            .and_then(|r| r.first_chunk::<8>())
            .ok_or_else(|| bad(at, "the file ends before its storages".into()))?;
        let size = dtype.size().unwrap_or(1);
        let start = at + 8;
        let end = usize::try_from(u64::from_le_bytes(*count))
            .ok()
            .and_then(|n| n.checked_mul(size))
            .and_then(|n| n.checked_add(start))
            .filter(|e| *e <= file.len());
        let end = end.ok_or_else(|| {
            bad(
                at,
                format!(
                    "storage `{key}` claims {} elements of {dtype}, more than the file has",
                    u64::from_le_bytes(*count)
                ),
            )
        })?;
        storages.insert(key.to_owned(), start..end);
        at = end;
    }
    Ok((tensors, storages))
}
