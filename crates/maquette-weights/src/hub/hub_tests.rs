//! Against a small server on this machine that speaks the hub's endpoints, and misbehaves on request.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::*;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// How the server behaves.
#[derive(Clone, Copy, Default)]
struct Manners {
    /// Bytes of a body after which the connection is cut, for the first `cuts` answers.
    cut_after: usize,
    cuts: usize,
    /// Answer 429 to the first so many requests.
    busy: usize,
    retry_after: u64,
    /// Ask for this token.
    token: Option<&'static str>,
    /// Ignore the Range header.
    no_ranges: bool,
    /// Promise another checksum.
    lie: bool,
    /// First send to another path, as a renamed repository does.
    renamed: bool,
}

struct Server {
    endpoint: String,
    log: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(files: &[(&str, &[u8])], manners: Manners) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let log = Arc::new(Mutex::new(Vec::new()));
        let files: HashMap<String, Vec<u8>> = files.iter().map(|(n, b)| ((*n).to_owned(), b.to_vec())).collect();
        let (shared, counts) = (log.clone(), Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                answer(stream, &files, manners, &shared, &counts);
            }
        });
        Self { endpoint, log }
    }

    fn hub(&self, cache: &Path) -> Hub {
        Hub::new(config(&self.endpoint, cache))
    }

    fn requests(&self, start: &str) -> usize {
        self.log.lock().unwrap().iter().filter(|l| l.starts_with(start)).count()
    }
}

fn config(endpoint: &str, cache: &Path) -> HubConfig {
    HubConfig {
        endpoint: endpoint.into(),
        token: None,
        cache: cache.into(),
        offline: false,
        retries: 3,
        longest_wait: Duration::from_secs(2),
    }
}

fn answer(
    mut stream: TcpStream,
    files: &HashMap<String, Vec<u8>>,
    manners: Manners,
    log: &Mutex<Vec<String>>,
    counts: &[AtomicUsize; 2],
) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let Some(Ok(first)) = lines.next() else { return };
    let headers: Vec<String> = lines.map_while(|l| l.ok().filter(|l| !l.is_empty())).collect();
    let find = |name: &str| {
        headers.iter().find_map(|h| h.to_ascii_lowercase().strip_prefix(&format!("{name}: ")).map(str::to_owned))
    };
    let range: Option<usize> = find("range").and_then(|r| r.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
    log.lock().unwrap().push(format!("{first} {range:?}"));
    let mut reply = |status: &str, extra: &str, body: &[u8], length: usize| {
        let _ = stream.write_all(
            format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n{extra}\r\n").as_bytes(),
        );
        let _ = stream.write_all(body);
    };
    if counts[0].fetch_add(1, Ordering::SeqCst) < manners.busy {
        return reply("429 Too Many Requests", &format!("retry-after: {}\r\n", manners.retry_after), b"", 0);
    }
    if manners.token.is_some_and(|t| find("authorization") != Some(format!("bearer {t}"))) {
        return reply("401 Unauthorized", "", b"", 0);
    }
    let mut words = first.split(' ');
    let (method, path) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    if path == "/api/models/o/r/revision/main" {
        let list: Vec<String> = files.keys().map(|n| format!("{{\"rfilename\":\"{n}\"}}")).collect();
        let body = format!("{{\"sha\":\"{COMMIT}\",\"siblings\":[{}]}}", list.join(","));
        return reply("200 OK", "", body.as_bytes(), body.len());
    }
    let name = path.strip_prefix("/o/r/resolve/main/").or_else(|| path.strip_prefix("/new/resolve/"));
    let Some((name, bytes)) = name.and_then(|n| Some((n, files.get(n)?))) else {
        return reply("404 Not Found", "", b"", 0);
    };
    if manners.renamed && path.starts_with("/o/r/") {
        return reply("307 Temporary Redirect", &format!("location: /new/resolve/{name}\r\n"), b"", 0);
    }
    let mut etag = hex(&Sha256::digest(bytes));
    if manners.lie {
        etag = "0".repeat(64);
    }
    if name.ends_with(".json") {
        etag = hex(Sha1::new_with_prefix(format!("blob {}\0", bytes.len())).chain_update(bytes).finalize().as_slice());
    }
    let extra = format!("x-repo-commit: {COMMIT}\r\netag: \"{etag}\"\r\n");
    if method == "HEAD" {
        return reply("200 OK", &extra, b"", bytes.len());
    }
    let from = range.filter(|_| !manners.no_ranges).unwrap_or(0);
    let body = &bytes[from..];
    let cut = counts[1].fetch_add(1, Ordering::SeqCst) < manners.cuts;
    let sent = if cut { &body[..body.len().min(manners.cut_after)] } else { body };
    reply(if from > 0 { "206 Partial Content" } else { "200 OK" }, &extra, sent, body.len());
}

fn large() -> Vec<u8> {
    (0..300_000u32).map(|i| (i * 7) as u8).collect()
}

#[test]
fn files_land_in_the_layout_that_the_python_tools_read() {
    let dir = tempfile::tempdir().unwrap();
    let large = large();
    let server = Server::start(
        &[("pipeline.json", b"{}"), ("ckpts/a.safetensors", &large), ("README.md", b"x")],
        Manners::default(),
    );
    let hub = server.hub(dir.path());
    let mut seen = Vec::new();
    let snapshot = hub
        .folder("o/r", "main", &|n| n != "README.md", &mut |p| seen.push((p.file.to_owned(), p.done, p.total)))
        .unwrap();
    assert_eq!(snapshot, dir.path().join(format!("models--o--r/snapshots/{COMMIT}")));
    assert_eq!(std::fs::read(snapshot.join("ckpts/a.safetensors")).unwrap(), large);
    assert!(!snapshot.join("README.md").exists());
    assert_eq!(std::fs::read_to_string(dir.path().join("models--o--r/refs/main")).unwrap(), COMMIT);
    let blob = dir.path().join("models--o--r/blobs").join(hex(&Sha256::digest(&large)));
    assert_eq!(
        std::fs::canonicalize(snapshot.join("ckpts/a.safetensors")).unwrap(),
        std::fs::canonicalize(&blob).unwrap()
    );
    assert!(seen.iter().any(|(f, done, total)| f == "ckpts/a.safetensors" && done == total && *total == 300_000));
    // A second time nothing is transferred.
    let gets = server.requests("GET /o/r/resolve");
    hub.file("o/r", "main", "ckpts/a.safetensors", &mut |_| {}).unwrap();
    assert_eq!(server.requests("GET /o/r/resolve"), gets);
}

#[test]
fn a_cut_connection_is_taken_up_where_it_broke() {
    let dir = tempfile::tempdir().unwrap();
    let large = large();
    let server = Server::start(&[("w", &large)], Manners { cut_after: 100_000, cuts: 2, ..Manners::default() });
    let path = server.hub(dir.path()).file("o/r", "main", "w", &mut |_| {}).unwrap();
    assert_eq!(std::fs::read(path).unwrap(), large);
    let log = server.log.lock().unwrap();
    let ranges: Vec<&String> = log.iter().filter(|l| l.starts_with("GET")).collect();
    assert_eq!(ranges.len(), 3, "{ranges:?}");
    assert!(ranges[1].contains("Some(") && ranges[2].contains("Some("), "{ranges:?}");
}

#[test]
fn a_server_without_ranges_still_gives_the_whole_file() {
    let dir = tempfile::tempdir().unwrap();
    let large = large();
    let server =
        Server::start(&[("w", &large)], Manners { cut_after: 100_000, cuts: 1, no_ranges: true, ..Manners::default() });
    let path = server.hub(dir.path()).file("o/r", "main", "w", &mut |_| {}).unwrap();
    assert_eq!(std::fs::read(path).unwrap(), large);
}

#[test]
fn an_earlier_run_is_taken_up() {
    let dir = tempfile::tempdir().unwrap();
    let large = large();
    let server = Server::start(&[("w", &large)], Manners { cut_after: 100_000, cuts: 99, ..Manners::default() });
    let mut config = config(&server.endpoint, dir.path());
    config.retries = 0;
    assert!(
        Hub::new(config).file("o/r", "main", "w", &mut |_| {}).unwrap_err().to_string().contains("of 300000 bytes")
    );
    let good = Server::start(&[("w", &large)], Manners::default());
    let path = good.hub(dir.path()).file("o/r", "main", "w", &mut |_| {}).unwrap();
    assert_eq!(std::fs::read(path).unwrap(), large);
    assert!(good.log.lock().unwrap().iter().any(|l| l.starts_with("GET") && l.contains("Some(100000)")));
}

#[test]
fn wrong_bytes_are_refused_and_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&[("w", b"weights")], Manners { lie: true, ..Manners::default() });
    let error = server.hub(dir.path()).file("o/r", "main", "w", &mut |_| {}).unwrap_err();
    assert!(matches!(error, Error::Checksum { .. }), "{error}");
    assert_eq!(std::fs::read_dir(dir.path().join("models--o--r/blobs")).unwrap().count(), 0);
    assert!(!dir.path().join("models--o--r/snapshots").exists());
}

#[test]
fn a_token_is_asked_for_and_sent() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&[("w", b"x")], Manners { token: Some("secret"), ..Manners::default() });
    let message = server.hub(dir.path()).file("o/r", "main", "w", &mut |_| {}).unwrap_err().to_string();
    assert!(message.contains("HF_TOKEN") && message.contains("/o/r/resolve/main/w"), "{message}");
    let with = |token: &str| Hub::new(HubConfig { token: Some(token.into()), ..config(&server.endpoint, dir.path()) });
    let message = with("wrong").file("o/r", "main", "w", &mut |_| {}).unwrap_err().to_string();
    assert!(message.contains("refused the token") && !message.contains("wrong"), "{message}");
    assert!(with("secret").file("o/r", "main", "w", &mut |_| {}).is_ok());
}

#[test]
fn a_busy_server_is_waited_for_but_not_forever() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&[("w", b"x")], Manners { busy: 2, retry_after: 0, ..Manners::default() });
    assert!(server.hub(dir.path()).file("o/r", "main", "w", &mut |_| {}).is_ok());
    let server = Server::start(&[("w", b"x")], Manners { busy: 99, retry_after: 600, ..Manners::default() });
    let other = tempfile::tempdir().unwrap();
    let message = server.hub(other.path()).file("o/r", "main", "w", &mut |_| {}).unwrap_err().to_string();
    assert!(message.contains("600 s"), "{message}");
}

#[test]
fn offline_uses_the_cache_and_says_what_to_put_where() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&[("w", b"x")], Manners::default());
    server.hub(dir.path()).file("o/r", "main", "w", &mut |_| {}).unwrap();
    let offline =
        Hub::new(HubConfig { offline: true, endpoint: "http://127.0.0.1:1".into(), ..config("", dir.path()) });
    assert_eq!(std::fs::read(offline.file("o/r", "main", "w", &mut |_| {}).unwrap()).unwrap(), b"x");
    assert_eq!(offline.list("o/r", "main").unwrap(), (COMMIT.to_owned(), vec!["w".to_owned()]));
    let message = offline.file("o/r", "main", "ckpts/b", &mut |_| {}).unwrap_err().to_string();
    for part in ["offline", "/o/r/resolve/main/ckpts/b", &format!("models--o--r/snapshots/{COMMIT}/ckpts/b")] {
        assert!(message.contains(part), "{part} not in {message}");
    }
}

#[test]
fn a_renamed_repository_is_followed() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&[("w", b"x")], Manners { renamed: true, ..Manners::default() });
    assert!(server.hub(dir.path()).file("o/r", "main", "w", &mut |_| {}).is_ok());
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&[("../evil", b"x")], Manners::default());
    let hub = server.hub(dir.path());
    assert!(hub.folder("o/r", "main", &|_| true, &mut |_| {}).unwrap_err().to_string().contains("leads out"));
    for repo in ["o", "o/r/x", "../r", "o/..", "o/r?x"] {
        assert!(hub.file(repo, "main", "w", &mut |_| {}).unwrap_err().to_string().contains("no repository"), "{repo}");
    }
    assert!(hub.file("o/r", "main", "absent", &mut |_| {}).unwrap_err().to_string().contains("404"));
}

#[test]
fn no_server_is_an_error_that_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let hub = Hub::new(config("http://127.0.0.1:1", dir.path()));
    assert!(hub.file("o/r", "main", "w", &mut |_| {}).unwrap_err().to_string().contains("127.0.0.1:1"));
}
