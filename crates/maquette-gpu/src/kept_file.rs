//! The file in which compiled pipelines are kept: our header, the names of the kernels that ran, the driver's bytes.
//!
//! A driver may trust what it is given, so a file that is cut off or damaged must not reach it: the header holds a sum over
//! everything that follows, and the driver's own header has to name the adapter and driver that the file is for.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 8] = b"maqpipe1";
/// Bytes before the names: magic, sum, length of the names.
const HEADER: usize = 20;
/// Larger files than any that was seen (a few MiB) are not read.
const LARGEST: u64 = 256 << 20;

/// What a file is for: compiled pipelines fit one driver of one kind of card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Driver {
    pub(crate) vendor: u32,
    pub(crate) device: u32,
    /// Vulkan's `pipelineCacheUUID`, another one with each version of the driver.
    pub(crate) uuid: [u8; 16],
}

impl Driver {
    fn stem(&self) -> String {
        format!("{:08x}-{:08x}-", self.vendor, self.device)
    }

    /// The file's name.
    pub(crate) fn file_name(&self) -> String {
        let uuid: String = self.uuid.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{}{uuid}.pipelines", self.stem())
    }

    /// Whether the driver's bytes begin with the header that the Vulkan specification prescribes, made by this driver.
    fn made(&self, data: &[u8]) -> bool {
        let word = |at: usize| data.get(at..at + 4).and_then(|b| b.try_into().ok()).map(u32::from_le_bytes);
        word(0).is_some_and(|size| size >= 32)
            && word(4) == Some(1)
            && word(8) == Some(self.vendor)
            && word(12) == Some(self.device)
            && data.get(16..32) == Some(&self.uuid)
    }
}

/// What is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kept {
    /// Names of the kernels that ran, in the order of their first launch.
    pub(crate) names: Vec<String>,
    /// What the driver gave.
    pub(crate) data: Vec<u8>,
}

/// FNV-1a: it only has to notice damage.
fn sum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

fn decode(bytes: &[u8], driver: &Driver) -> Option<Kept> {
    let (header, rest) = bytes.split_at_checked(HEADER)?;
    let intact = header.get(..8)? == MAGIC && header.get(8..16)? == sum(rest).to_le_bytes();
    let length = u32::from_le_bytes(header.get(16..20)?.try_into().ok()?);
    let (names, data) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    if !intact || !driver.made(data) {
        return None;
    }
    let names = std::str::from_utf8(names).ok()?.lines().map(str::to_owned).collect();
    Some(Kept { names, data: data.to_vec() })
}

fn encode(names: &[&str], data: &[u8]) -> io::Result<Vec<u8>> {
    let names = names.join("\n");
    let length = u32::try_from(names.len()).map_err(io::Error::other)?;
    let rest = [names.as_bytes(), data].concat();
    Ok([MAGIC.as_slice(), &sum(&rest).to_le_bytes(), &length.to_le_bytes(), &rest].concat())
}

/// What the folder holds for `driver`. No file, one of another driver and a damaged one are all the same: nothing is kept yet.
pub(crate) fn read(folder: &Path, driver: &Driver) -> Kept {
    let path = folder.join(driver.file_name());
    if !fs::metadata(&path).is_ok_and(|about| about.len() <= LARGEST) {
        return Kept::default();
    }
    fs::read(path).ok().and_then(|bytes| decode(&bytes, driver)).unwrap_or_default()
}

/// Writes the file beside its place and moves it there; files of the card's other drivers go.
pub(crate) fn write(folder: &Path, driver: &Driver, names: &[&str], data: &[u8]) -> io::Result<()> {
    let bytes = encode(names, data)?;
    fs::create_dir_all(folder)?;
    let path = folder.join(driver.file_name());
    let beside = folder.join(format!("{}.{}", driver.file_name(), std::process::id()));
    fs::write(&beside, bytes).and_then(|()| fs::rename(&beside, &path)).inspect_err(|_| {
        let _ = fs::remove_file(&beside);
    })?;
    for other in old(folder, driver) {
        let _ = fs::remove_file(other);
    }
    Ok(())
}

/// Files of the same card for other versions of its driver.
fn old(folder: &Path, driver: &Driver) -> Vec<PathBuf> {
    let (stem, name) = (driver.stem(), driver.file_name());
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let names = entries.flatten().map(|entry| entry.file_name());
    let others = names.filter_map(|n| n.into_string().ok());
    others.filter(|n| n.starts_with(&stem) && n.ends_with(".pipelines") && *n != name).map(|n| folder.join(n)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn driver(version: u8) -> Driver {
        Driver { vendor: 0x10de, device: 0x2335, uuid: [version; 16] }
    }

    /// What a driver gives: its header and some bytes.
    fn given(driver: &Driver) -> Vec<u8> {
        let words = [32u32, 1, driver.vendor, driver.device].map(u32::to_le_bytes).concat();
        [words.as_slice(), &driver.uuid, b"machine code"].concat()
    }

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("maquette-kept-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        folder
    }

    #[test]
    fn what_is_written_is_read_again_and_a_new_driver_replaces_an_old_one() {
        let folder = folder("again");
        let (first, second) = (driver(1), driver(2));
        assert_eq!(read(&folder, &first), Kept::default());
        write(&folder, &first, &["linear f16", "norm"], &given(&first)).expect("the folder can be made");
        let kept = read(&folder, &first);
        assert_eq!(kept, Kept { names: vec!["linear f16".into(), "norm".into()], data: given(&first) });
        assert_eq!(read(&folder, &second), Kept::default());
        write(&folder, &second, &[], &given(&second)).expect("the folder is there");
        assert_eq!(read(&folder, &second), Kept { names: vec![], data: given(&second) });
        let names: Vec<_> = fs::read_dir(&folder).expect("it is there").flatten().map(|e| e.file_name()).collect();
        assert_eq!(names, [second.file_name().as_str()]);
        fs::remove_dir_all(&folder).expect("it was there");
    }

    #[test]
    fn no_damaged_byte_reaches_a_driver() {
        let driver = driver(7);
        let whole = encode(&["a", "b"], &given(&driver)).expect("short names");
        assert!(decode(&whole, &driver).is_some());
        for length in 0..whole.len() {
            assert_eq!(decode(&whole[..length], &driver), None, "cut to {length} bytes");
        }
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            assert_eq!(decode(&damaged, &driver), None, "byte {at}");
        }
        // Sound as a file, but not what this driver made.
        let foreign = encode(&[], &given(&Driver { uuid: [8; 16], ..driver.clone() })).expect("no names");
        assert_eq!(decode(&foreign, &driver), None);
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_an_error_and_leaves_nothing() {
        let file = folder("in-the-way");
        fs::write(&file, b"a file").expect("the system's folder for passing files can be written");
        assert!(write(&file, &driver(1), &[], &given(&driver(1))).is_err());
        assert_eq!(fs::read(&file).expect("untouched"), b"a file");
        fs::remove_file(&file).expect("it was there");
    }
}
