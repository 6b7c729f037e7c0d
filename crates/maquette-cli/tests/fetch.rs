//! `models fetch` through the real program, against a small hub on this machine.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use common::{ball, goldens, listing, maquette, run, stderr, stdout};
use sha2::{Digest as _, Sha256};
use tempfile::tempdir;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const MODEL: &str = "microsoft/TRELLIS-image-large";
const ENCODER: &str = "timm/vit_large_patch14_reg4_dinov2.lvd142m";

/// A hub with the tiny model under the large one's name. Bodies whose path ends in `slow` are sent a little at a time.
struct Hub {
    endpoint: String,
}

type Files = BTreeMap<String, Vec<u8>>;

impl Hub {
    fn start(slow: Option<&'static str>) -> Self {
        let mut files = Files::new();
        let model = goldens().join("model");
        files.insert(format!("{MODEL}/pipeline.json"), std::fs::read(model.join("pipeline.json")).unwrap());
        for name in listing(&model.join("ckpts")) {
            files.insert(format!("{MODEL}/ckpts/{name}"), std::fs::read(model.join("ckpts").join(&name)).unwrap());
        }
        files.insert(format!("{MODEL}/ckpts/of_no_use.safetensors"), vec![0; 10]);
        let encoder = goldens().join("dinov2/dinov2_tiny_reg4.safetensors");
        files.insert(format!("{ENCODER}/model.safetensors"), std::fs::read(encoder).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let files = Arc::new(files);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let files = files.clone();
                std::thread::spawn(move || answer(stream, &files, slow));
            }
        });
        Self { endpoint }
    }

    /// The program, with its home in `folder` and this hub.
    fn command(&self, folder: &Path) -> Command {
        let mut command = maquette(folder);
        command.env("HF_ENDPOINT", &self.endpoint).env("HF_HOME", folder.join("hf"));
        command.env_remove("HF_HUB_CACHE").env_remove("HF_TOKEN").env_remove("HF_HUB_OFFLINE");
        command
    }
}

fn answer(mut stream: TcpStream, files: &Files, slow: Option<&str>) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let Some(Ok(first)) = lines.next() else { return };
    let headers: Vec<String> = lines.map_while(|l| l.ok().filter(|l| !l.is_empty())).collect();
    let start = headers
        .iter()
        .find_map(|h| h.to_ascii_lowercase().strip_prefix("range: bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
    let mut words = first.split(' ');
    let (method, path) = (words.next().unwrap_or(""), words.next().unwrap_or("").trim_start_matches('/'));
    let listed = path.strip_prefix("api/models/").and_then(|p| p.strip_suffix("/revision/main"));
    let (status, extra, body) = match (listed, files.get(&path.replace("/resolve/main/", "/"))) {
        (Some(repository), _) => {
            let names = files.keys().filter_map(|f| f.strip_prefix(&format!("{repository}/")));
            let siblings: Vec<_> = names.map(|n| serde_json::json!({"rfilename": n})).collect();
            ("200 OK", String::new(), serde_json::json!({"sha": COMMIT, "siblings": siblings}).to_string().into_bytes())
        }
        (None, Some(bytes)) => {
            let digest = Sha256::digest(bytes).iter().fold(String::new(), |mut hex, byte| {
                let _ = write!(hex, "{byte:02x}");
                hex
            });
            let extra = format!("x-repo-commit: {COMMIT}\r\netag: \"{digest}\"\r\n");
            (if start.is_some() { "206 Partial Content" } else { "200 OK" }, extra, bytes.clone())
        }
        (None, None) => ("404 Not Found", String::new(), Vec::new()),
    };
    let body = &body[start.unwrap_or(0).min(body.len())..];
    let length = body.len();
    let _ = write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n{extra}\r\n");
    if method == "HEAD" {
        return;
    }
    if slow.is_some_and(|end| path.ends_with(end)) {
        for part in body.chunks(length.div_ceil(200).max(1)) {
            if stream.write_all(part).and_then(|()| stream.flush()).is_err() {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        return;
    }
    let _ = stream.write_all(body);
}

#[test]
fn a_model_is_fetched_with_its_encoder_and_runs() {
    let folder = tempdir().unwrap();
    let f = folder.path();
    let hub = Hub::start(None);
    let output = run(hub.command(f).args(["models", "fetch", "trellis-image-large", "--json"]));
    assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
    let events: Vec<serde_json::Value> =
        stdout(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let whole =
        |file: &str| events.iter().any(|e| e["event"] == "fetch" && e["file"] == file && e["done"] == e["total"]);
    assert!(whole("pipeline.json") && whole("model.safetensors"), "{events:?}");
    assert_eq!(events.last().unwrap()["event"], "done");
    let snapshot = f.join("hf/hub/models--microsoft--TRELLIS-image-large/snapshots").join(COMMIT);
    let fetched = listing(&snapshot.join("ckpts"));
    assert!(fetched.len() == 10 && !fetched.iter().any(|n| n.contains("of_no_use")), "{fetched:?}");

    // It is listed, and it is what runs when nothing is asked for.
    let models = run(hub.command(f).args(["models", "--json"]));
    let list: serde_json::Value = serde_json::from_slice(&models.stdout).unwrap();
    assert_eq!(
        (&list["installed"][0]["name"], &list["installed"][0]["licence"]),
        (&"trellis-image-large".into(), &"MIT".into())
    );
    ball(&f.join("ball.png"));
    let mut generate = hub.command(f);
    generate.args(["generate", "ball.png", "--tier", "cpu", "--steps", "1", "--faces", "300", "--texture-size", "0"]);
    let output = run(generate.args(["--keep-hidden", "-o", "ball.glb"]));
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("model trellis-image-large"), "{}", stderr(&output));
    let info = stdout(&run(maquette(f).args(["info", "ball.glb", "--json"])));
    assert!(info.contains("\"triangles\""), "{info}");

    // Without the network nothing is missing; by the repository's name it is the same model.
    let output = run(hub.command(f).args(["models", "fetch", MODEL]).env("HF_HUB_OFFLINE", "1"));
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stdout(&output).contains(COMMIT), "{}", stdout(&output));
}

#[cfg(unix)]
#[test]
fn an_interrupted_fetch_is_taken_up_where_it_stopped() {
    let folder = tempdir().unwrap();
    let f = folder.path();
    let slow = Hub::start(Some("slat_flow_img_dit_T_32l8p2_fp16.safetensors"));
    let mut child = slow
        .command(f)
        .args(["models", "fetch", "trellis-image-large", "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    loop {
        line.clear();
        assert!(reader.read_line(&mut line).unwrap() > 0, "it ended before it was interrupted");
        let event: serde_json::Value = serde_json::from_str(&line).unwrap();
        if event["done"].as_u64() > Some(0) && event["done"].as_u64() < event["total"].as_u64() {
            break;
        }
    }
    run(Command::new("kill").args(["-INT", &child.id().to_string()]));
    let rest = std::io::read_to_string(reader).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{rest}");
    assert!(rest.contains("maquette::cancelled"), "{rest}");
    let blobs = listing(&f.join("hf/hub/models--microsoft--TRELLIS-image-large/blobs"));
    assert!(blobs.iter().any(|name| name.ends_with(".incomplete")), "{blobs:?}");
    let quick = Hub::start(None);
    let output = run(quick.command(f).args(["models", "fetch", "trellis-image-large"]));
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains(": "), "a line a file where no terminal is: {}", stderr(&output));
}

#[test]
fn what_cannot_be_fetched_is_told() {
    let folder = tempdir().unwrap();
    let f = folder.path();
    let hub = Hub::start(None);
    let fetch = |name: &str| run(hub.command(f).args(["models", "fetch", name]));
    assert_eq!(fetch("nonsense").status.code(), Some(30));
    let output = fetch("nobody/nothing");
    assert_eq!(output.status.code(), Some(34), "{}", stderr(&output));
    let text = stderr(&output);
    assert!(text.contains("maquette::model::fetch") && text.contains("nobody/nothing"), "{text}");
    let offline = run(hub.command(f).args(["models", "fetch", MODEL]).env("HF_HUB_OFFLINE", "1"));
    assert_eq!(offline.status.code(), Some(34), "{}", stderr(&offline));
    assert!(stderr(&offline).contains("offline"), "{}", stderr(&offline));
    let nobody = run(hub.command(f).args(["models", "fetch", MODEL]).env("HF_ENDPOINT", "http://127.0.0.1:1"));
    assert_eq!(nobody.status.code(), Some(34), "{}", stderr(&nobody));
    let output = fetch("mini");
    assert!(output.status.success() && stdout(&output).contains("installed already"), "{}", stdout(&output));
    assert_eq!(listing(f), Vec::<String>::new(), "nothing is left where nothing was fetched");
}
