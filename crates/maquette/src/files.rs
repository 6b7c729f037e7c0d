//! Reading and writing files so that nothing is ever half there.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use crate::{Error, Result};

/// Reads a file whole.
///
/// # Errors
/// [`Error::Io`]; a folder is told apart from a missing file.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    if path.is_dir() {
        return Err(Error::io("read", path, std::io::Error::from(std::io::ErrorKind::IsADirectory)));
    }
    fs::read(path).map_err(|e| Error::io("read", path, e))
}

/// Checks before the work that a file can be written there: the folder exists, and nothing is in the way unless that is wanted.
///
/// # Errors
/// [`Error::OutputFolderMissing`], [`Error::OutputExists`].
pub fn check_target(path: &Path, overwrite: bool) -> Result<()> {
    let folder = folder_of(path);
    if !folder.is_dir() {
        return Err(Error::OutputFolderMissing { path: folder.to_owned() });
    }
    if path.is_dir() || (!overwrite && path.exists()) {
        return Err(Error::OutputExists { path: path.to_owned() });
    }
    // A folder that takes no file is better found now than after minutes of work.
    let probe = beside(path);
    fs::File::create(&probe).map_err(|e| Error::io("write", path, e))?;
    let _ = fs::remove_file(&probe);
    Ok(())
}

/// Writes a file beside its place, then renames it, so that it is there whole or not at all.
///
/// # Errors
/// [`Error::Io`].
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let temporary = beside(path);
    let written = fs::File::create(&temporary)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&temporary, path));
    written.map_err(|source| {
        let _ = fs::remove_file(&temporary);
        Error::io("write", path, source)
    })
}

/// The folder of a file; the current one for a bare name.
#[must_use]
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn beside(path: &Path) -> std::path::PathBuf {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    folder_of(path).join(format!(".{name}.{}.tmp", std::process::id()))
}
