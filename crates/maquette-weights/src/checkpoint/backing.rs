//! The bytes under a checkpoint: mapped from a file, read from it, or given.

#[cfg(feature = "native")]
use std::path::Path;
use std::sync::Arc;

#[cfg(feature = "native")]
use crate::{Error, Result};

/// Shared, immutable bytes of one file.
#[derive(Clone)]
pub(crate) enum Backing {
    /// In memory.
    Memory(Arc<[u8]>),
    /// Mapped from a file; pages come in as they are touched and can be dropped by the system at any time.
    #[cfg(feature = "native")]
    Mapped(Arc<memmap2::Mmap>),
    /// Read from a file into anonymous pages.
    #[cfg(feature = "native")]
    Read(Arc<memmap2::MmapMut>),
}

impl std::fmt::Debug for Backing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Backing({} bytes)", self.bytes().len())
    }
}

impl Backing {
    #[cfg(feature = "native")]
    pub(crate) fn map(path: &Path) -> Result<Self> {
        let Some((file, _)) = open(path)? else { return Ok(Self::Memory(Arc::from([]))) };
        // SAFETY: the map is read-only and private to this process's view. If another process truncates the file while it is
        // mapped, touching the lost pages ends this process; we accept that as every mapped reader does, because our own
        // writers never write in place (they write beside and rename, which leaves the mapped file intact).
        let map = unsafe { memmap2::Mmap::map(&file) }.map_err(Error::io(path))?;
        Ok(Self::Mapped(Arc::new(map)))
    }

    /// Reads the whole file. Most of the time of a copy goes into the system's handing out of fresh pages, so they are asked for
    /// in the large size where there is one.
    #[cfg(feature = "native")]
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let Some((mut file, length)) = open(path)? else { return Ok(Self::Memory(Arc::from([]))) };
        let too_large = |_| Error::io(path)(std::io::ErrorKind::FileTooLarge.into());
        let length = usize::try_from(length).map_err(too_large)?;
        let mut memory = memmap2::MmapMut::map_anon(length).map_err(Error::io(path))?;
        // Refused where large pages are off; small ones do as well.
        #[cfg(target_os = "linux")]
        let _ = memory.advise(memmap2::Advice::HugePage);
        std::io::Read::read_exact(&mut file, &mut memory).map_err(Error::io(path))?;
        Ok(Self::Read(Arc::new(memory)))
    }

    /// Lets go of the mapped pages under a byte range.
    #[cfg(feature = "native")]
    pub(crate) fn release(&self, start: usize, end: usize) {
        #[cfg(unix)]
        if let Self::Mapped(map) = self
            && start < end
        {
            // SAFETY: the map is shared, read-only and file-backed, so dropped pages come back from the file unchanged.
            // Failure only means that the pages stay, which is harmless.
            let _ = unsafe { map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, start, end - start) };
        }
        #[cfg(not(unix))]
        let _ = (start, end);
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Memory(bytes) => bytes,
            #[cfg(feature = "native")]
            Self::Mapped(map) => map,
            #[cfg(feature = "native")]
            Self::Read(memory) => memory,
        }
    }
}

/// A file and its length; `None` if it is empty, because mapping nothing is an error on some systems.
#[cfg(feature = "native")]
fn open(path: &Path) -> Result<Option<(std::fs::File, u64)>> {
    let file = std::fs::File::open(path).map_err(Error::io(path))?;
    let metadata = file.metadata().map_err(Error::io(path))?;
    if !metadata.is_file() {
        return Err(Error::unsupported(&path.display().to_string(), "not a file; a checkpoint file is expected here"));
    }
    Ok((metadata.len() > 0).then_some((file, metadata.len())))
}
