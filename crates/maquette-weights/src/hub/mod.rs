//! Fetching from a Hugging Face hub into the cache that the Python tools use.
//!
//! A small client of our own on `ureq` (blocking, rustls): three requests are all that is needed, and an asynchronous client
//! would bring a runtime along. The cache layout is the hub's: `models--owner--repo/{blobs,refs,snapshots}`, with snapshots that
//! link to blobs named by their checksum, so a file that Python fetched is found here and the other way round.

mod cache;
mod request;
mod variables;

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::pack::hex;
use crate::strict_json;
use crate::{Error, Result};
use cache::Repository;
use request::{Head, Http};
pub use variables::cache_folder;

/// Where and how to fetch. The library reads no environment: programs fill this from theirs.
#[derive(Clone, Debug)]
pub struct HubConfig {
    /// The hub, for example `https://huggingface.co`.
    pub endpoint: String,
    /// Access token, for models that ask for one.
    pub token: Option<String>,
    /// The hub cache (`…/huggingface/hub`).
    pub cache: PathBuf,
    /// Never use the network.
    pub offline: bool,
    /// How often a broken transfer is taken up again before giving up.
    pub retries: u32,
    /// The longest wait that a server may ask for (429 and 503).
    pub longest_wait: Duration,
}

/// How far a download is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HubProgress<'a> {
    /// The file in the repository.
    pub file: &'a str,
    /// Bytes that are on disk.
    pub done: u64,
    /// Bytes of the whole file.
    pub total: u64,
}

/// A client of one hub.
#[derive(Debug)]
pub struct Hub {
    config: HubConfig,
    http: Http,
}

impl Hub {
    /// A client; nothing is asked yet.
    pub fn new(config: HubConfig) -> Self {
        let http = Http::new(&config);
        Self { config, http }
    }

    /// The files of a repository at a revision, and the commit that the revision stands for.
    ///
    /// # Errors
    /// [`Error::Hub`] for what the hub answers; offline, the cached snapshot is listed.
    pub fn list(&self, repo: &str, revision: &str) -> Result<(String, Vec<String>)> {
        let repository = Repository::new(&self.config, repo, revision)?;
        if self.config.offline {
            return repository.cached_listing();
        }
        let url = format!("{}/api/models/{repo}/revision/{revision}", self.config.endpoint);
        let value = strict_json::parse_value(&url, &self.http.small(&url)?)?;
        let commit = value.get("sha").and_then(serde_json::Value::as_str).map(str::to_owned);
        let names = value.get("siblings").and_then(serde_json::Value::as_array).map(|list| {
            list.iter().filter_map(|s| s.get("rfilename")?.as_str().map(str::to_owned)).collect::<Vec<_>>()
        });
        let (Some(commit), Some(names)) = (commit, names) else {
            return Err(Error::Hub { url, problem: "the answer has no `sha` and `siblings`: is this a hub?".into() });
        };
        Ok((commit, names))
    }

    /// A file of a repository, from the cache or the hub; returns its path in the cache's snapshot.
    ///
    /// # Errors
    /// [`Error::Offline`] with the place for the file, [`Error::Hub`] for what the hub answers, [`Error::Checksum`] if what came is not
    /// what was promised, [`Error::Io`].
    pub fn file(
        &self,
        repo: &str,
        revision: &str,
        name: &str,
        progress: &mut dyn FnMut(HubProgress<'_>),
    ) -> Result<PathBuf> {
        let repository = Repository::new(&self.config, repo, revision)?;
        cache::check_name(name, &repository.url(name))?;
        if self.config.offline {
            return repository.cached(name);
        }
        let url = repository.url(name);
        let head = self.http.head(&url)?;
        let target = repository.snapshot(&head.commit).join(name);
        if target.is_file() {
            repository.remember(&head.commit)?;
            return Ok(target);
        }
        let blob = repository.blob(&head.etag);
        if !blob.is_file() {
            self.download(&url, name, &head, &blob, progress)?;
        }
        repository.link(&head.commit, name, &blob)?;
        Ok(target)
    }

    /// Every file of a repository that `wanted` takes; returns the snapshot's folder.
    ///
    /// # Errors
    /// As [`Hub::list`] and [`Hub::file`].
    pub fn folder(
        &self,
        repo: &str,
        revision: &str,
        wanted: &dyn Fn(&str) -> bool,
        progress: &mut dyn FnMut(HubProgress<'_>),
    ) -> Result<PathBuf> {
        let (commit, names) = self.list(repo, revision)?;
        let repository = Repository::new(&self.config, repo, revision)?;
        cache::check_token(&commit, &repository.url(""))?;
        for name in names.iter().filter(|n| wanted(n)) {
            self.file(repo, revision, name, progress)?;
        }
        Ok(repository.snapshot(&commit))
    }

    /// Fetches into `<blob>.incomplete`, taking up what an earlier run left there, and renames when the checksum is right.
    fn download(
        &self,
        url: &str,
        name: &str,
        head: &Head,
        blob: &Path,
        progress: &mut dyn FnMut(HubProgress<'_>),
    ) -> Result<()> {
        let mut part = blob.as_os_str().to_owned();
        part.push(".incomplete");
        let part = PathBuf::from(part);
        if let Some(folder) = blob.parent() {
            std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
        }
        let mut tries = 0;
        loop {
            let done = part.metadata().map(|m| m.len()).unwrap_or(0).min(head.size);
            if done == head.size && part.is_file() {
                break;
            }
            match self.transfer(url, name, head, &part, done, progress) {
                Ok(()) => {}
                Err(error @ Error::Io { .. }) => return Err(error),
                Err(error) if tries >= self.config.retries => return Err(error),
                Err(_) => tries += 1,
            }
        }
        let found = checksum(&part, &head.etag, head.size)?;
        if found != head.etag {
            // What is wrong stays wrong, however often it is taken up again.
            std::fs::remove_file(&part).map_err(Error::io(&part))?;
            return Err(Error::Checksum { origin: url.into(), expected: head.etag.clone(), found, bytes: head.size });
        }
        std::fs::rename(&part, blob).map_err(Error::io(blob))
    }

    fn transfer(
        &self,
        url: &str,
        name: &str,
        head: &Head,
        part: &Path,
        done: u64,
        progress: &mut dyn FnMut(HubProgress<'_>),
    ) -> Result<()> {
        let (mut body, from) = self.http.get(url, done)?;
        let file = OpenOptions::new().create(true).write(true).truncate(false).open(part);
        let mut file: File = file.map_err(Error::io(part))?;
        // A server that ignores the range sends everything again.
        file.set_len(from).map_err(Error::io(part))?;
        std::io::Seek::seek(&mut file, std::io::SeekFrom::End(0)).map_err(Error::io(part))?;
        let (mut at, mut buffer) = (from, vec![0; 1 << 18]);
        while at < head.size {
            let count = body.read(&mut buffer).map_err(|e| Error::Hub {
                url: url.into(),
                problem: format!("the connection broke after {at} of {} bytes: {e}", head.size),
            })?;
            if count == 0 {
                return Err(Error::Hub {
                    url: url.into(),
                    problem: format!("the connection closed after {at} of {} bytes", head.size),
                });
            }
            let count = count.min(usize::try_from(head.size - at).unwrap_or(usize::MAX));
            file.write_all(&buffer[..count]).map_err(Error::io(part))?;
            at += count as u64;
            progress(HubProgress { file: name, done: at, total: head.size });
        }
        file.sync_all().map_err(Error::io(part))
    }
}

/// The checksum that an etag of that kind promises: SHA-256 of large files, git's blob SHA-1 of small ones. For any other etag
/// the etag itself, because there is nothing to compare with.
fn checksum(path: &Path, etag: &str, size: u64) -> Result<String> {
    let is_hex = etag.bytes().all(|b| b.is_ascii_hexdigit());
    match etag.len() {
        64 if is_hex => digest(path, Sha256::new()),
        40 if is_hex => digest(path, Sha1::new_with_prefix(format!("blob {size}\0"))),
        _ => Ok(etag.to_owned()),
    }
}

fn digest<D: Digest>(path: &Path, mut digest: D) -> Result<String> {
    let mut file = File::open(path).map_err(Error::io(path))?;
    let mut buffer = vec![0; 1 << 18];
    loop {
        let count = file.read(&mut buffer).map_err(Error::io(path))?;
        if count == 0 {
            return Ok(hex(digest.finalize().as_slice()));
        }
        digest.update(&buffer[..count]);
    }
}

#[cfg(test)]
#[path = "hub_tests.rs"]
mod tests;
