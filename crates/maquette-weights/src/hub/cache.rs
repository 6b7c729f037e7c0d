//! The cache's layout: `models--owner--repo/{blobs,refs,snapshots}`.

use std::path::{Path, PathBuf};

use super::HubConfig;
use crate::folder::resolve::{hub_snapshots, is_plain_relative};
use crate::safetensors::write::write_whole;
use crate::{Error, Result};

/// One repository at one revision, in the cache and on the hub.
pub(super) struct Repository<'c> {
    config: &'c HubConfig,
    repo: String,
    owner: String,
    name: String,
    revision: String,
}

/// Commits and etags become file names.
pub(super) fn check_token(token: &str, url: &str) -> Result<()> {
    let good = !token.is_empty()
        && token.len() <= 128
        && token.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    if good {
        return Ok(());
    }
    Err(Error::Hub {
        url: url.into(),
        problem: format!("the hub names a version {token:?}, which is not safe as a file name"),
    })
}

/// Files of a repository may lie in folders, but never outside the snapshot.
pub(super) fn check_name(name: &str, url: &str) -> Result<()> {
    if is_plain_relative(name) && !name.contains('\\') {
        return Ok(());
    }
    Err(Error::Hub { url: url.into(), problem: format!("file name {name:?} leads out of the repository") })
}

impl<'c> Repository<'c> {
    pub(super) fn new(config: &'c HubConfig, repo: &str, revision: &str) -> Result<Self> {
        let plain = |s: &str| {
            !s.is_empty() && !s.starts_with('.') && s.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        };
        let parts: Vec<&str> = repo.split('/').collect();
        let (&[owner, name], true) = (parts.as_slice(), parts.iter().all(|p| plain(p)) && plain(revision)) else {
            return Err(Error::Hub {
                url: config.endpoint.clone(),
                problem: format!(
                    "`{repo}` at `{revision}` is no repository; expected `owner/name` and a branch, tag or commit"
                ),
            });
        };
        Ok(Self { config, repo: repo.into(), owner: owner.into(), name: name.into(), revision: revision.into() })
    }

    fn root(&self) -> PathBuf {
        self.config.cache.join(format!("models--{}--{}", self.owner, self.name))
    }

    pub(super) fn url(&self, file: &str) -> String {
        format!("{}/{}/resolve/{}/{file}", self.config.endpoint, self.repo, self.revision)
    }

    pub(super) fn snapshot(&self, commit: &str) -> PathBuf {
        self.root().join("snapshots").join(commit)
    }

    pub(super) fn blob(&self, etag: &str) -> PathBuf {
        self.root().join("blobs").join(etag)
    }

    /// Snapshots to look in, best first.
    fn snapshots(&self) -> Vec<PathBuf> {
        let named = std::fs::read_to_string(self.root().join("refs").join(&self.revision)).ok();
        let named = named.map(|c| self.snapshot(c.trim()));
        named
            .into_iter()
            .chain([self.snapshot(&self.revision)])
            .chain(hub_snapshots(&self.config.cache, &self.owner, &self.name))
            .collect()
    }

    /// The file without the network.
    pub(super) fn cached(&self, file: &str) -> Result<PathBuf> {
        let snapshots = self.snapshots();
        if let Some(found) = snapshots.iter().map(|s| s.join(file)).find(|p| p.is_file()) {
            return Ok(found);
        }
        let place =
            snapshots.iter().find(|s| s.is_dir()).or(snapshots.first()).map(|s| s.join(file)).unwrap_or_default();
        Err(Error::Offline { repo: self.repo.clone(), file: file.into(), url: self.url(file), place })
    }

    /// The files of the cached snapshot.
    pub(super) fn cached_listing(&self) -> Result<(String, Vec<String>)> {
        let Some(snapshot) = self.snapshots().into_iter().find(|s| s.is_dir()) else {
            return self.cached("pipeline.json").map(|_| (String::new(), Vec::new()));
        };
        let mut names = Vec::new();
        collect(&snapshot, "", &mut names);
        names.sort();
        let commit = snapshot.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        Ok((commit, names))
    }

    /// Notes which commit the revision stands for.
    pub(super) fn remember(&self, commit: &str) -> Result<()> {
        if self.revision == commit {
            return Ok(());
        }
        let refs = self.root().join("refs");
        std::fs::create_dir_all(&refs).map_err(Error::io(&refs))?;
        write_whole(&refs.join(&self.revision), commit.as_bytes())
    }

    /// Gives the blob its name in the snapshot.
    pub(super) fn link(&self, commit: &str, file: &str, blob: &Path) -> Result<()> {
        let target = self.snapshot(commit).join(file);
        if let Some(folder) = target.parent() {
            std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
        }
        self.remember(commit)?;
        // Left over from a blob that was removed.
        if target.symlink_metadata().is_ok() {
            std::fs::remove_file(&target).map_err(Error::io(&target))?;
        }
        #[cfg(unix)]
        {
            let up = "../".repeat(1 + file.split('/').count());
            let name = blob.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            if std::os::unix::fs::symlink(format!("{up}blobs/{name}"), &target).is_ok() {
                return Ok(());
            }
        }
        std::fs::copy(blob, &target).map_err(Error::io(&target)).map(drop)
    }
}

fn collect(folder: &Path, prefix: &str, names: &mut Vec<String>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            collect(&entry.path(), &format!("{name}/"), names);
        } else {
            names.push(name);
        }
    }
}
