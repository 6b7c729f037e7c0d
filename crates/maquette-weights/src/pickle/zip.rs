//! The zip archive of a torch file: stored members only, read through the central directory.

use std::collections::HashMap;
use std::ops::Range;

use crate::{Error, Format, Result};

/// Names of the members and the byte ranges of their data.
#[derive(Debug)]
pub(super) struct Archive {
    members: HashMap<String, Range<usize>>,
    order: Vec<String>,
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|b| u64::from(u16::from_le_bytes(*b)))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|b| u64::from(u32::from_le_bytes(*b)))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|b| u64::from_le_bytes(*b))
}

/// Number of members, place and length of the central directory.
struct Directory {
    count: u64,
    start: u64,
    length: u64,
}

impl Archive {
    pub(super) fn parse(origin: &str, file: &[u8]) -> Result<Self> {
        let bad = |at: usize, problem: String| Error::malformed(origin, Format::Pickle, at as u64, problem);
        let end = end_record(file).ok_or_else(|| {
            bad(file.len(), "the zip archive has no end record: the download may be incomplete".into())
        })?;
        let directory = directory(file, end)
            .ok_or_else(|| bad(end, "the zip archive's end record points outside the file".into()))?;
        let mut archive = Self { members: HashMap::new(), order: Vec::new() };
        let mut at = directory.start as usize;
        let stop = at + directory.length as usize;
        for _ in 0..directory.count {
            let (member, next) = member(&file[..stop], at).map_err(|problem| bad(at, problem))?;
            let range = member.data(file).map_err(|problem| bad(at, format!("member `{}`: {problem}", member.name)))?;
            if archive.members.insert(member.name.clone(), range).is_some() {
                return Err(bad(at, format!("member `{}` stands twice", member.name)));
            }
            archive.order.push(member.name);
            at = next;
        }
        Ok(archive)
    }

    pub(super) fn member(&self, name: &str) -> Option<Range<usize>> {
        self.members.get(name).cloned()
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.order.iter().map(String::as_str)
    }
}

/// The end record may be followed by a comment of up to 65535 bytes.
fn end_record(file: &[u8]) -> Option<usize> {
    let last = file.len().checked_sub(22)?;
    let first = last.saturating_sub(usize::from(u16::MAX));
    (first..=last)
        .rev()
        .find(|at| file[*at..].starts_with(b"PK\x05\x06") && u16_at(file, at + 20) == Some((last - at) as u64))
}

fn directory(file: &[u8], end: usize) -> Option<Directory> {
    let mut found =
        Directory { count: u16_at(file, end + 10)?, length: u32_at(file, end + 12)?, start: u32_at(file, end + 16)? };
    // Sizes that do not fit are in a second record, which a locator before this one points to.
    let locator = end.checked_sub(20).filter(|at| file[*at..].starts_with(b"PK\x06\x07"));
    if let Some(locator) = locator {
        let at = usize::try_from(u64_at(file, locator + 8)?).ok()?;
        if !file.get(at..)?.starts_with(b"PK\x06\x06") {
            return None;
        }
        found =
            Directory { count: u64_at(file, at + 32)?, length: u64_at(file, at + 40)?, start: u64_at(file, at + 48)? };
    }
    (found.start.checked_add(found.length)? <= end as u64).then_some(found)
}

struct Member {
    name: String,
    method: u64,
    flags: u64,
    packed: u64,
    size: u64,
    header: u64,
}

/// The directory entry at `at`, and where the next one starts.
fn member(directory: &[u8], at: usize) -> Result<(Member, usize), String> {
    let parse = || {
        let entry = directory.get(at..)?;
        if !entry.starts_with(b"PK\x01\x02") {
            return None;
        }
        let (name, extra, comment) =
            (u16_at(entry, 28)? as usize, u16_at(entry, 30)? as usize, u16_at(entry, 32)? as usize);
        let raw = entry.get(46..46 + name)?;
        let fields = entry.get(46 + name..46 + name + extra)?;
        let next = at + 46 + name + extra + comment;
        let member = Member {
            name: String::new(),
            flags: u16_at(entry, 8)?,
            method: u16_at(entry, 10)?,
            packed: u32_at(entry, 20)?,
            size: u32_at(entry, 24)?,
            header: u32_at(entry, 42)?,
        };
        Some((member, raw, fields, next))
    };
    let (mut member, raw, fields, next) = parse().ok_or("the zip directory ends early or is damaged")?;
    member.name = std::str::from_utf8(raw).map_err(|_| "a member's name is not valid UTF-8")?.to_owned();
    member.widen(fields).ok_or_else(|| format!("member `{}`: its 64-bit sizes are cut off", member.name))?;
    Ok((member, next))
}

impl Member {
    /// Replaces sizes that were too large for 32 bits by those of the zip64 field.
    fn widen(&mut self, mut fields: &[u8]) -> Option<()> {
        let full = u64::from(u32::MAX);
        if ![self.size, self.packed, self.header].contains(&full) {
            return Some(());
        }
        while let (Some(id), Some(length)) = (u16_at(fields, 0), u16_at(fields, 2)) {
            let body = fields.get(4..4 + length as usize)?;
            if id == 1 {
                let mut at = 0;
                for value in [&mut self.size, &mut self.packed, &mut self.header] {
                    if *value == full {
                        *value = u64_at(body, at)?;
                        at += 8;
                    }
                }
                return Some(());
            }
            fields = &fields[4 + length as usize..];
        }
        None
    }

    /// Where the member's bytes are.
    fn data(&self, file: &[u8]) -> Result<Range<usize>, String> {
        if self.flags & 1 != 0 {
            return Err("it is encrypted".into());
        }
        if self.method != 0 || self.packed != self.size {
            return Err("it is compressed, which torch never does; save the file again with torch.save".into());
        }
        let place = || {
            let header = usize::try_from(self.header).ok()?;
            let local = file.get(header..).filter(|l| l.starts_with(b"PK\x03\x04"))?;
            let start = header.checked_add(30 + u16_at(local, 26)? as usize + u16_at(local, 28)? as usize)?;
            let end = start.checked_add(usize::try_from(self.size).ok()?).filter(|e| *e <= file.len())?;
            Some(start..end)
        };
        place().ok_or_else(|| "its header or its bytes lie outside the file".into())
    }
}
