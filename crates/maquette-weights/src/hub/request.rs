//! The requests: what a file is, its bytes from an offset, a small document.

use std::io::Read;
use std::time::Duration;

use ureq::http::Response;
use ureq::{Agent, Body};

use super::HubConfig;
use super::cache::check_token;
use crate::{Error, Result};

/// What the hub says about a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) commit: String,
    pub(super) etag: String,
    pub(super) size: u64,
}

/// Redirects that are followed while asking about a file.
const MAX_HOPS: usize = 5;

/// Longest answer taken for a document; listings of large repositories have a few MiB.
const MAX_DOCUMENT: u64 = 32 << 20;

#[derive(Debug)]
pub(super) struct Http {
    agent: Agent,
    token: Option<String>,
    retries: u32,
    longest_wait: Duration,
}

impl Http {
    pub(super) fn new(config: &HubConfig) -> Self {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(Duration::from_secs(20)))
            .timeout_recv_response(Some(Duration::from_secs(60)))
            .user_agent(concat!("maquette/", env!("CARGO_PKG_VERSION")))
            .build();
        Self {
            agent: agent.into(),
            token: config.token.clone(),
            retries: config.retries,
            longest_wait: config.longest_wait,
        }
    }

    fn call(&self, head: bool, url: &str, range: u64) -> Result<Response<Body>> {
        let (mut tries, mut waits) = (0, 0);
        loop {
            let mut request = if head { self.agent.head(url) } else { self.agent.get(url) };
            if let Some(token) = &self.token {
                request = request.header("authorization", format!("Bearer {token}"));
            }
            if range > 0 {
                request = request.header("range", format!("bytes={range}-"));
            }
            // Redirects of a HEAD carry the headers that we are after.
            let request =
                if head { request.config().max_redirects(0).max_redirects_will_error(false).build() } else { request };
            let response = match request.call() {
                Ok(response) => response,
                Err(error) if tries >= self.retries => return Err(problem(url, format!("no connection: {error}"))),
                Err(_) => {
                    tries += 1;
                    continue;
                }
            };
            if !matches!(response.status().as_u16(), 429 | 503) {
                return Ok(response);
            }
            let wait = header(&response, "retry-after")
                .and_then(|s| s.parse().ok())
                .map_or(Duration::from_secs(1), Duration::from_secs);
            if waits >= self.retries || wait > self.longest_wait {
                return Err(problem(
                    url,
                    format!(
                        "the server is busy ({}) and asks to come back in {} s; try again then",
                        response.status(),
                        wait.as_secs()
                    ),
                ));
            }
            waits += 1;
            std::thread::sleep(wait);
        }
    }

    /// What the file is.
    pub(super) fn head(&self, url: &str) -> Result<Head> {
        let mut at = url.to_owned();
        let (mut commit, mut etag, mut size) = (None, None, None);
        for _ in 0..MAX_HOPS {
            let response = self.call(true, &at, 0)?;
            let status = response.status().as_u16();
            if !(200..400).contains(&status) {
                return Err(refusal(url, status, self.token.is_some()));
            }
            commit = commit.or_else(|| header(&response, "x-repo-commit"));
            etag = etag.or_else(|| header(&response, "x-linked-etag"));
            size = size.or_else(|| header(&response, "x-linked-size").and_then(|s| s.parse().ok()));
            // A redirect within the hub is a renamed repository; one to another host is where the bytes are.
            match header(&response, "location").filter(|_| status >= 300) {
                Some(location) if location.starts_with('/') => at = origin(&at) + &location,
                _ if status < 300 => {
                    etag = etag.or_else(|| header(&response, "etag"));
                    size = size.or_else(|| header(&response, "content-length").and_then(|s| s.parse().ok()));
                    break;
                }
                _ => break,
            }
        }
        let etag = etag.map(|e| e.trim_start_matches("W/").trim_matches('"').to_owned());
        let (Some(commit), Some(etag), Some(size)) = (commit, etag, size) else {
            return Err(problem(url, "the answer lacks x-repo-commit, an etag or a size: is this a hub?".into()));
        };
        check_token(&commit, url)?;
        check_token(&etag, url)?;
        Ok(Head { commit, etag, size })
    }

    /// The file's bytes from `from`, and the offset at which the answer really starts.
    pub(super) fn get(&self, url: &str, from: u64) -> Result<(impl Read + use<>, u64)> {
        let response = self.call(false, url, from)?;
        let from = match response.status().as_u16() {
            206 => from,
            200 => 0,
            status => return Err(refusal(url, status, self.token.is_some())),
        };
        Ok((response.into_body().into_reader(), from))
    }

    /// A whole small document.
    pub(super) fn small(&self, url: &str) -> Result<Vec<u8>> {
        let response = self.call(false, url, 0)?;
        if response.status().as_u16() != 200 {
            return Err(refusal(url, response.status().as_u16(), self.token.is_some()));
        }
        let mut bytes = Vec::new();
        response
            .into_body()
            .into_reader()
            .take(MAX_DOCUMENT)
            .read_to_end(&mut bytes)
            .map_err(|e| problem(url, e.to_string()))?;
        Ok(bytes)
    }
}

fn header(response: &Response<Body>, name: &str) -> Option<String> {
    response.headers().get(name)?.to_str().ok().map(str::to_owned)
}

/// `scheme://host` of a URL.
fn origin(url: &str) -> String {
    let after = url.find("://").map_or(0, |i| i + 3);
    let end = url[after..].find('/').map_or(url.len(), |i| after + i);
    url[..end].to_owned()
}

fn problem(url: &str, problem: String) -> Error {
    Error::Hub { url: url.to_owned(), problem }
}

fn refusal(url: &str, status: u16, has_token: bool) -> Error {
    let words = match (status, has_token) {
        (401 | 403, false) => {
            "the hub wants to know who asks (401/403): accept the model's terms on its page and set HF_TOKEN".to_owned()
        }
        (401 | 403, true) => {
            "the hub refused the token (401/403): check HF_TOKEN, and accept the model's terms on its page".to_owned()
        }
        (404, _) => {
            "there is no such repository, revision or file (404); a private one answers so without a token (HF_TOKEN)"
                .to_owned()
        }
        _ => format!("the hub answered {status}"),
    };
    problem(url, words)
}
