//! The flags of `generate` that no other test of the program uses.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;

use common::{ball, generate, goldens, listing, maquette, plain, run, stderr, stdout};
use serde_json::Value;
use tempfile::tempdir;

fn info(folder: &std::path::Path, file: &str) -> Value {
    serde_json::from_slice(&run(maquette(folder).args(["info", file, "--json"])).stdout).unwrap()
}

#[test]
fn surface_and_sampler_flags_do_what_they_say() {
    let folder = tempdir().unwrap();
    let f = folder.path();
    ball(&f.join("ball.png"));
    let run_with = |arguments: &[&str]| {
        let mut command = maquette(f);
        command.args([
            "generate",
            "ball.png",
            "--tier",
            "cpu",
            "--keep-hidden",
            "--num-inference-steps",
            "1",
            "--model",
        ]);
        let output = run(command.arg(goldens().join("model")).args(arguments));
        assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
    };
    run_with(&[
        "--mesh_simplify",
        "0.9",
        "--unwrap",
        "boxes",
        "--texture-size",
        "256",
        "--texture-format",
        "webp",
        "-o",
        "a.glb",
    ]);
    let a = info(f, "a.glb");
    assert!(a["extensions"].to_string().contains("EXT_texture_webp") && a["texture_size"] == 256, "{a}");
    assert_eq!(a["extras"]["structure"]["steps"], 1);
    let decoded = a["extras"]["decoded_faces"].as_f64().unwrap();
    assert!(a["triangles"].as_f64().unwrap() < 0.5 * decoded, "{a}");
    run_with(&[
        "--faces",
        "0",
        "--keep-holes",
        "--texture-size",
        "0",
        "--reference-material",
        "--guidance",
        "2",
        "-o",
        "b.glb",
    ]);
    let b = info(f, "b.glb");
    assert!(b["triangles"].as_f64().unwrap() > 0.5 * decoded && b["texture_size"].is_null(), "{b}");
    assert_eq!(b["extras"]["latent"]["guidance"], 2.0);
    let text = String::from_utf8_lossy(&fs::read(f.join("b.glb")).unwrap()).into_owned();
    assert!(!text.contains("metallicFactor\":0"), "the original's material has the default, metallic");
    // The default is what viewers show as the picture does.
    run_with(&["--faces", "300", "--texture-size", "0", "-o", "c.glb"]);
    assert!(String::from_utf8_lossy(&fs::read(f.join("c.glb")).unwrap()).contains("metallicFactor\":0"));
}

#[test]
fn with_each_and_variants_no_file_replaces_another() {
    let folder = tempdir().unwrap();
    let f = folder.path();
    for place in ["in", "out"] {
        fs::create_dir(f.join(place)).unwrap();
    }
    ball(&f.join("in/one.png"));
    ball(&f.join("in/two.png"));
    let files = ["--also", "all.stl", "--preview", "look.png", "--save-cutout", "cut.png", "--dump", "stages"];
    let output = run(generate(f).args(["in", "--each", "-o", "out", "--steps", "1"]).args(files));
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(listing(&f.join("out")), ["one.glb", "two.glb"]);
    let made = ["all-one.stl", "all-two.stl", "cut-one.png", "cut-two.png", "in", "look-one.png", "look-two.png"];
    assert_eq!(listing(f), [&made[..], &["out", "stages"]].concat());
    assert_eq!(listing(&f.join("stages")), ["one", "two"]);
    assert!(f.join("stages/two/mesh.safetensors").is_file());
    // Again from the stages, with two seeds: nothing of the first seeds' stages is taken for the others.
    let arguments = ["in/one.png", "--variants", "2", "--dump", "seeds", "-o", "v.glb", "--steps", "1", "-q"];
    assert!(run(generate(f).args(arguments)).status.success());
    assert_eq!(listing(&f.join("seeds")), ["42", "43"]);
    let resumed = ["in/one.png", "--variants", "2", "--resume", "seeds", "-o", "w.glb", "--steps", "1", "-q"];
    assert!(run(generate(f).args(resumed)).status.success());
    for seed in [42, 43] {
        let read = |name: &str| fs::read(f.join(format!("{name}-{seed}.glb"))).unwrap();
        assert_eq!(read("v"), read("w"));
    }
    // Two pictures that would give one file are refused before anything runs.
    fs::create_dir(f.join("more")).unwrap();
    ball(&f.join("more/one.png"));
    let output = run(generate(f).args(["in/one.png", "more/one.png", "--each", "-o", "out", "--overwrite"]));
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("one.glb twice"), "{}", stderr(&output));
}

#[test]
fn resuming_computes_only_what_is_missing() {
    let folder = tempdir().unwrap();
    let f = folder.path();
    ball(&f.join("ball.png"));
    let output = run(generate(f).args(["ball.png", "--dump", "kept", "-o", "a.glb", "--json"]));
    assert!(output.status.success(), "{}", stderr(&output));
    fs::remove_file(f.join("kept/mesh.safetensors")).unwrap();
    let output = run(generate(f).args(["--resume", "kept", "-o", "b.glb", "--json"]));
    assert!(output.status.success(), "{}", stderr(&output));
    let stages: Vec<String> = stdout(&output)
        .lines()
        .filter_map(|line| {
            let event: Value = serde_json::from_str(line).unwrap();
            (event["event"] == "started").then(|| event["stage"].as_str().unwrap().to_owned())
        })
        .collect();
    assert_eq!(stages, ["mesh", "surface"]);
    assert_eq!(fs::read(f.join("a.glb")).unwrap(), fs::read(f.join("b.glb")).unwrap());
}

#[test]
fn plain_lines_and_a_summary_are_shown_where_no_terminal_is() {
    let folder = tempdir().unwrap();
    let f = folder.path();
    plain(&f.join("plain.png"), 64, 64);
    let output = run(generate(f).args(["plain.png", "--keep-background", "-o", "o.glb"]));
    assert!(output.status.success(), "{}", stderr(&output));
    let text = stderr(&output);
    for words in ["looking at the picture: ", "sampling the structure: ", "decoding the mesh: ", "peak memory"] {
        assert!(text.contains(words), "{words} in {text}");
    }
    assert!(!text.contains('\u{1b}'), "no control characters: {text:?}");
    let said = stdout(&output);
    assert!(said.starts_with("o.glb\n") && said.contains("triangles"), "{said}");
}

/// `script` gives the program a terminal.
#[cfg(target_os = "linux")]
#[test]
fn bars_with_step_rate_and_time_left_are_drawn_on_a_terminal() {
    let folder = tempdir().unwrap();
    let f = folder.path();
    ball(&f.join("ball.png"));
    let program = env!("CARGO_BIN_EXE_maquette");
    let rest = "generate ball.png --tier cpu --ss-sampling-steps 24 --slat-sampling-steps 1 --faces 300 --texture-size 0 \
                --keep-hidden -o o.glb --model";
    let command = format!("stty cols 100; {program} {rest} {}", goldens().join("model").display());
    let mut terminal = std::process::Command::new("script");
    terminal.args(["-qec", &command, "/dev/null"]).current_dir(f).env("HOME", f).env("TERM", "xterm");
    let output = run(terminal.env_remove("NO_COLOR").env_remove("MAQUETTE_MODELS"));
    let text = stdout(&output);
    assert!(output.status.success(), "{text}");
    let bars: Vec<&str> = text.split(['\r', '\n']).filter(|line| line.contains("sampling the structure")).collect();
    let drawn = |bar: &&&str| bar.contains("/25 ") && bar.contains("/s ") && bar.contains(" left") && bar.contains('█');
    assert!(bars.iter().any(|bar| drawn(&bar)), "{text}");
    assert!(text.contains("sampling the structure: ") && text.contains("peak memory"), "{text}");
}

#[test]
fn bench_and_preview_take_their_flags() {
    let folder = tempdir().unwrap();
    let f = folder.path();
    ball(&f.join("ball.png"));
    let mut command = maquette(f);
    command.args(["bench", "--tier", "cpu", "--runs", "1", "--steps", "1", "--image", "ball.png", "--precision", "q8"]);
    let output = run(command.arg("--model").arg(goldens().join("model")));
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stdout(&output).contains("q8f32") && stdout(&output).contains("structure"), "{}", stdout(&output));
    assert!(run(generate(f).args(["ball.png", "-o", "o.glb", "-q"])).status.success());
    fs::write(f.join("p.png"), "precious").unwrap();
    let preview = ["preview", "o.glb", "-o", "p.png", "--size", "32"];
    assert_eq!(run(maquette(f).args(preview)).status.code(), Some(21));
    assert!(run(maquette(f).args(preview).arg("--overwrite")).status.success());
    assert_eq!(run(maquette(f).args(["preview", "o.glb", "-o", "p.jpg"])).status.code(), Some(24));
    let output = run(maquette(f).args(["verify", "--tier", "cpu", "--dtype", "f16"]));
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
}
