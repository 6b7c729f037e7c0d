//! The bytes under a checkpoint: mapped from a file, or in memory.

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
}

impl std::fmt::Debug for Backing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Backing({} bytes)", self.bytes().len())
    }
}

impl Backing {
    #[cfg(feature = "native")]
    pub(crate) fn map(path: &Path) -> Result<Self> {
        let file = std::fs::File::open(path).map_err(Error::io(path))?;
        let metadata = file.metadata().map_err(Error::io(path))?;
        if !metadata.is_file() {
            return Err(Error::unsupported(
                &path.display().to_string(),
                "not a file; a checkpoint file is expected here",
            ));
        }
        // Mapping nothing is an error on some systems.
        if metadata.len() == 0 {
            return Ok(Self::Memory(Arc::from([])));
        }
        // SAFETY: the map is read-only and private to this process's view. If another process truncates the file while it is
        // mapped, touching the lost pages ends this process; we accept that as every mapped reader does, because our own
        // writers never write in place (they write beside and rename, which leaves the mapped file intact).
        let map = unsafe { memmap2::Mmap::map(&file) }.map_err(Error::io(path))?;
        Ok(Self::Mapped(Arc::new(map)))
    }

    /// Maps the pages under a byte range in one go: whoever asks for a tensor reads all of it, and one call costs less than a
    /// fault every few pages.
    #[cfg(feature = "native")]
    pub(crate) fn prefault(&self, start: usize, end: usize) {
        #[cfg(target_os = "linux")]
        if let Self::Mapped(map) = self
            && end - start >= 1 << 16
        {
            // Older kernels refuse; the pages then come in one by one.
            let _ = map.advise_range(memmap2::Advice::PopulateRead, start, end - start);
        }
        #[cfg(not(target_os = "linux"))]
        let _ = (start, end);
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
        }
    }
}
