//! `fetch` through the program itself, against a server on this machine that speaks the hub's endpoints: what the environment
//! says is respected, and what goes wrong on the way is mended or told.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const WEIGHTS: &[u8] = b"weights of a model";
const SHA256: &str = "ca61ce52a25a9f04bf2df801143a4c2d6bfe8a59e3b3ebf17ffa2cbb915c146e";

/// One answer; repositories are named for how they behave.
fn answer(mut stream: TcpStream, log: &Mutex<Vec<String>>, busy: &AtomicUsize, cut: &AtomicUsize) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    let Some(first) = lines.next() else { return };
    let headers: Vec<String> = lines.take_while(|l| !l.is_empty()).map(|l| l.to_ascii_lowercase()).collect();
    let header = |name: &str| headers.iter().find_map(|h| h.strip_prefix(name));
    log.lock().unwrap().push(first.clone());
    let mut reply = |status: &str, extra: &str, body: &[u8], length: usize| {
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n{extra}\r\n");
        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
    };
    let mut words = first.split(' ');
    let (method, path) = (words.next().unwrap(), words.next().unwrap());
    if path == "/api/models/o/good/revision/main" {
        let names =
            r#"[{"rfilename":"pipeline.json"},{"rfilename":"ckpts/a.safetensors"},{"rfilename":"picture.png"}]"#;
        let body = format!(r#"{{"sha":"{COMMIT}","siblings":{names}}}"#);
        return reply("200 OK", "", body.as_bytes(), body.len());
    }
    let repository = path.trim_start_matches("/o/").split('/').next().unwrap();
    if repository == "gated" && header("authorization: ") != Some("bearer secret") {
        return reply("401 Unauthorized", "", b"", 0);
    }
    if repository == "busy" && busy.fetch_add(1, Ordering::SeqCst) < 2 {
        return reply("429 Too Many Requests", "retry-after: 0\r\n", b"", 0);
    }
    let etag = if repository == "liar" { "0".repeat(64) } else { SHA256.to_owned() };
    let extra = format!("x-repo-commit: {COMMIT}\r\netag: \"{etag}\"\r\n");
    if method == "HEAD" {
        return reply("200 OK", &extra, b"", WEIGHTS.len());
    }
    if repository == "broken" && cut.fetch_add(1, Ordering::SeqCst) < 2 {
        return reply("200 OK", &extra, &WEIGHTS[..5], WEIGHTS.len());
    }
    let from: usize = header("range: bytes=").map_or(0, |r| r.trim_end_matches('-').parse().unwrap());
    let status = if from > 0 { "206 Partial Content" } else { "200 OK" };
    reply(status, &extra, &WEIGHTS[from..], WEIGHTS.len() - from);
}

/// The server's address and what it was asked.
fn serve() -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let log = Arc::new(Mutex::new(Vec::new()));
    let shared = log.clone();
    std::thread::spawn(move || {
        let (busy, cut) = (AtomicUsize::new(0), AtomicUsize::new(0));
        listener.incoming().flatten().for_each(|stream| answer(stream, &shared, &busy, &cut));
    });
    (endpoint, log)
}

/// Runs `fetch` with nothing but `variables` of the hub's environment; returns the exit status and everything printed.
fn fetch(arguments: &[&str], home: &Path, variables: &[(&str, &str)]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_maquette-weights"));
    for name in ["HF_HOME", "HF_HUB_CACHE", "HF_ENDPOINT", "HF_TOKEN", "HF_HUB_OFFLINE", "XDG_CACHE_HOME"] {
        command.env_remove(name);
    }
    let output =
        command.arg("fetch").args(arguments).env("HOME", home).envs(variables.iter().copied()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    (output.status.code().unwrap(), text)
}

const FILE: [&str; 2] = ["--file", "w"];

#[test]
fn a_model_lands_in_the_shared_cache_and_is_there_offline() {
    let (dir, (endpoint, log)) = (tempfile::tempdir().unwrap(), serve());
    let (status, text) = fetch(&["o/good"], dir.path(), &[("HF_ENDPOINT", &endpoint)]);
    assert_eq!(status, 0, "{text}");
    let snapshot = dir.path().join(format!(".cache/huggingface/hub/models--o--good/snapshots/{COMMIT}"));
    assert!(text.contains(&snapshot.display().to_string()), "{text}");
    assert_eq!(std::fs::read(snapshot.join("ckpts/a.safetensors")).unwrap(), WEIGHTS);
    assert!(snapshot.join("pipeline.json").is_file() && !snapshot.join("picture.png").exists());
    let asked = log.lock().unwrap().len();
    let offline = [("HF_ENDPOINT", endpoint.as_str()), ("HF_HUB_OFFLINE", "1")];
    let (status, text) = fetch(&["o/good"], dir.path(), &offline);
    assert_eq!((status, log.lock().unwrap().len()), (0, asked), "{text}");
    assert!(text.contains(&snapshot.display().to_string()), "{text}");
    let (status, text) = fetch(&["o/other", "--file", "w"], dir.path(), &offline);
    assert!(status == 2 && text.contains("put it at") && text.contains("models--o--other"), "{text}");
}

#[test]
fn the_environment_says_where_the_cache_is() {
    let (dir, (endpoint, _)) = (tempfile::tempdir().unwrap(), serve());
    let at = |name: &str| dir.path().join(name).display().to_string();
    let (home, cache, xdg) = (at("home"), at("cache"), at("xdg"));
    let arguments = ["o/r", FILE[0], FILE[1]];
    let base = ("HF_ENDPOINT", endpoint.as_str());
    for (variables, place) in [
        (vec![base, ("XDG_CACHE_HOME", xdg.as_str())], format!("{xdg}/huggingface/hub")),
        (vec![base, ("XDG_CACHE_HOME", xdg.as_str()), ("HF_HOME", home.as_str())], format!("{home}/hub")),
        (vec![base, ("HF_HOME", home.as_str()), ("HF_HUB_CACHE", cache.as_str())], cache.clone()),
    ] {
        let (status, text) = fetch(&arguments, dir.path(), &variables);
        let file = format!("{place}/models--o--r/snapshots/{COMMIT}/w");
        assert!(status == 0 && text.contains(&file), "{variables:?}: {text}");
        assert_eq!(std::fs::read(file).unwrap(), WEIGHTS);
    }
}

#[test]
fn a_gated_model_wants_a_token_from_the_environment_or_the_login() {
    let (dir, (endpoint, _)) = (tempfile::tempdir().unwrap(), serve());
    let arguments = ["o/gated", FILE[0], FILE[1]];
    let base = ("HF_ENDPOINT", endpoint.as_str());
    let (status, text) = fetch(&arguments, dir.path(), &[base]);
    assert!(status == 2 && text.contains("401") && text.contains("HF_TOKEN"), "{text}");
    let (status, text) = fetch(&arguments, dir.path(), &[base, ("HF_TOKEN", "wrong")]);
    assert!(status == 2 && text.contains("refused the token") && !text.contains("wrong"), "{text}");
    assert_eq!(fetch(&arguments, dir.path(), &[base, ("HF_TOKEN", "secret")]).0, 0);
    // What `huggingface-cli login` leaves.
    let home = dir.path().join("other");
    std::fs::create_dir_all(&home).unwrap();
    std::fs::write(home.join("token"), "secret\n").unwrap();
    let home = home.display().to_string();
    let (status, text) = fetch(&arguments, dir.path(), &[base, ("HF_HOME", &home)]);
    assert_eq!(status, 0, "{text}");
}

#[test]
fn busy_servers_and_cut_connections_are_got_over_and_wrong_bytes_are_not_kept() {
    let (dir, (endpoint, log)) = (tempfile::tempdir().unwrap(), serve());
    for repository in ["busy", "broken"] {
        let (status, text) =
            fetch(&[&format!("o/{repository}"), "--file", "w"], dir.path(), &[("HF_ENDPOINT", &endpoint)]);
        assert_eq!(status, 0, "{repository}: {text}");
    }
    assert!(log.lock().unwrap().iter().filter(|l| l.starts_with("GET /o/broken")).count() > 1);
    let (status, text) = fetch(&["o/liar", "--file", "w"], dir.path(), &[("HF_ENDPOINT", &endpoint)]);
    assert!(status == 2 && text.contains(&"0".repeat(64)) && text.contains("fetch it again"), "{text}");
    let blobs = dir.path().join(".cache/huggingface/hub/models--o--liar/blobs");
    assert_eq!(std::fs::read_dir(blobs).unwrap().count(), 0);
}
