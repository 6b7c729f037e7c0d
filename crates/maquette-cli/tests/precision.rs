//! `--precision`, `--vram-budget`, `--adapter` and `--tier` through the real program.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::path::Path;

use common::{adapters, ball, deviation, generate, goldens, listing, maquette, run, stderr, stdout};
use maquette::maquette_weights::{Checkpoint, TensorSource};
use serde_json::Value;
use tempfile::tempdir;

/// Runs the tiny model and gives what the structure sampler made, and the last line of what was said.
fn sampled(folder: &Path, name: &str, arguments: &[&str]) -> (Vec<f32>, Value) {
    let mut command = maquette(folder);
    command.args(["generate", "ball.png", "--steps", "2", "--faces", "300", "--texture-size", "0", "--keep-hidden"]);
    command.args(["--json", "--dump", name, "-o", &format!("{name}.glb"), "--model"]).arg(goldens().join("model"));
    let output = run(command.args(arguments));
    assert!(output.status.success(), "{name}: {}{}", stdout(&output), stderr(&output));
    let structure = Checkpoint::open(folder.join(name).join("structure.safetensors")).unwrap();
    let last = serde_json::from_str(stdout(&output).lines().last().unwrap()).unwrap();
    (structure.get("z_s").unwrap().to_f32(), last)
}

#[test]
fn eight_bits_work_with_any_folder_and_stay_close() {
    let folder = tempdir().unwrap();
    let f = folder.path();
    ball(&f.join("ball.png"));
    let (full, _) = sampled(f, "full", &["--tier", "cpu", "--precision", "f32"]);
    let (eight, _) = sampled(f, "eight", &["--tier", "cpu", "--precision", "q8"]);
    let apart = deviation(&eight, &full);
    println!("q8 on the processor: {apart:.2e}");
    // Half a level of 127 is 0.4 % of a row's largest weight; guidance multiplies what the steps leave of it.
    assert!(apart > 0.0 && apart < 1e-2, "{apart:.2e}");
    if adapters(f) == 0 {
        return;
    }
    // Packed kernels, here of the base tier, compute with the same packed numbers; within a budget that is kept to.
    let budget = ["--tier", "base", "--precision", "q8", "--vram-budget", "1GB"];
    let (packed, said) = sampled(f, "packed", &budget);
    let apart = deviation(&packed, &eight);
    println!("q8 on the adapter: {apart:.2e} from the processor's");
    assert!(apart < 4e-3, "{apart:.2e}");
    let peak = said["gpu_peak_bytes"].as_u64().unwrap();
    assert!(peak > 0 && peak <= 1_000_000_000, "{said}");
}

#[test]
fn a_memory_budget_holds_for_everything_that_is_allocated() {
    let folder = tempdir().unwrap();
    let f = folder.path();
    ball(&f.join("ball.png"));
    let output = run(generate(f).args(["ball.png", "--steps", "1", "--vram-budget", "1GB"]));
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("the processor uses none"), "{}", stderr(&output));
    if adapters(f) == 0 {
        return;
    }
    // Too little for the first network's weights; enough for weights, and too little for what networks compute.
    for (budget, words) in [("1MB", "are needed"), ("6MB", "more than the budget")] {
        let mut command = generate(f);
        command.args(["--tier", "base", "ball.png", "--vram-budget", budget, "--json", "-o", "b.glb"]);
        let output = run(&mut command);
        assert_eq!(output.status.code(), Some(42), "{budget}: {}", stdout(&output));
        let line: Value = serde_json::from_str(stdout(&output).lines().last().unwrap()).unwrap();
        let message = line["message"].as_str().unwrap();
        assert!(message.contains(words) && line["help"].as_str().unwrap().contains("--vram-budget"), "{line}");
        assert!(!f.join("b.glb").exists());
    }
}

#[test]
fn an_adapter_is_chosen_by_number_or_name() {
    let folder = tempdir().unwrap();
    let f = folder.path();
    let doctor = run(maquette(f).args(["doctor", "--tier", "cpu", "--json"]));
    assert!(!stderr(&doctor).contains("XDG_RUNTIME_DIR"), "{}", stderr(&doctor));
    let report: Value = serde_json::from_slice(&doctor.stdout).unwrap();
    let Some(first) = report["adapters"].as_array().unwrap().first() else { return };
    ball(&f.join("ball.png"));
    let name = first["name"].as_str().unwrap()[..5].to_lowercase();
    let doctor = run(maquette(f).args(["doctor", "--tier", "base", "--adapter", &name, "--json"]));
    let report: Value = serde_json::from_slice(&doctor.stdout).unwrap();
    assert_eq!(report["will_run"]["tier"], "base", "{report}");
    let mut command = generate(f);
    command.args([
        "--tier",
        "base",
        "--adapter",
        &first["index"].to_string(),
        "ball.png",
        "--steps",
        "1",
        "-o",
        "a.glb",
    ]);
    let output = run(command.env("MAQUETTE_PIPELINES", f.join("kept")));
    assert!(output.status.success(), "{}", stderr(&output));
    let info = stdout(&run(maquette(f).args(["info", "a.glb"])));
    assert!(info.contains("\"tier\":\"base\""), "{info}");

    // What it compiled is kept where that was asked for, and nowhere else.
    let vulkan = first["api"] == "vulkan";
    assert_eq!(listing(f), if vulkan { vec!["a.glb", "ball.png", "kept"] } else { vec!["a.glb", "ball.png"] });
    let mut doctor = maquette(f);
    doctor.args(["doctor", "--tier", "base", "--adapter", &name, "--json"]);
    let report: Value = serde_json::from_slice(&run(doctor.env("MAQUETTE_PIPELINES", f.join("kept"))).stdout).unwrap();
    let kept = report["pipelines"].as_str().unwrap();
    assert_eq!(kept.contains("compiled kernels are kept for the next start"), vulkan, "{kept}");
}
