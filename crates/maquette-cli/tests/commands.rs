//! Every command and flag through the real program.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::time::{Duration, Instant};

use common::{ball, generate, goldens, listing, maquette, plain, run, stderr, stdout};
use tempfile::tempdir;

#[test]
fn every_format_is_written_and_info_and_preview_read_them() {
    let folder = tempdir().unwrap();
    let f = folder.path();
    ball(&f.join("ball.png"));
    let also = ["--also", "o.ply", "--also", "o.mesh.ply", "--also", "o.obj", "--also", "o.stl"];
    let flags = ["--texture-size", "256", "--unwrap", "charts", "--texture-format", "jpeg", "--quantize", "--meshopt"];
    let output = run(generate(f)
        .args(["ball.png", "-o", "o.glb", "--preview", "o.webp", "--save-cutout", "cut.png", "--dump", "d"])
        .args(also)
        .args(flags));
    assert!(output.status.success(), "{}", stderr(&output));
    // The random model's surface is dust: four triangles a part are more than were asked for.
    assert!(stderr(&output).contains("small parts left out") && stderr(&output).contains("The mesh falls into"));
    let expected =
        ["ball.png", "cut.png", "d", "o.glb", "o.mesh.ply", "o.mtl", "o.obj", "o.ply", "o.png", "o.stl", "o.webp"];
    assert_eq!(listing(f), expected);

    let info = run(maquette(f).args(["info", "o.glb", "--json"]));
    let facts: serde_json::Value = serde_json::from_slice(&info.stdout).unwrap();
    assert!(facts["triangles"].as_u64().unwrap() <= 400 && facts["texture_size"] == 256, "{facts}");
    assert_eq!(facts["extras"]["seed"], 42);
    assert!(stdout(&run(maquette(f).args(["info", "o.glb"]))).contains("made by: maquette"));
    let views = [
        ("o.glb", "p.png", "texture"),
        ("o.ply", "q.png", "texture"),
        ("d/gaussians.safetensors", "g.png", "texture"),
        ("o.glb", "n.png", "normals"),
        ("o.glb", "p.webp", "normals"),
    ];
    for (from, to, show) in views {
        let output =
            run(maquette(f).args(["preview", from, "-o", to, "--size", "32", "--frames", "3", "--show", show]));
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(maquette::maquette_image::decode(&fs::read(f.join(to)).unwrap(), &Default::default()).is_ok());
    }
    let output = run(maquette(f).args(["info", "ball.png"]));
    assert_eq!(output.status.code(), Some(15), "{}", stderr(&output));
}

#[test]
fn on_the_processor_auto_projects_the_texture() {
    let folder = tempdir().unwrap();
    let f = folder.path();
    ball(&f.join("ball.png"));
    for (name, bake) in [("a", "auto"), ("b", "fast")] {
        let arguments = ["ball.png", "-q", "--texture-size", "128", "--unwrap", "boxes", "--bake", bake];
        let output = run(generate(f).args(arguments).args(["-o", &format!("{name}.glb")]));
        assert!(output.status.success(), "{}", stderr(&output));
    }
    assert_eq!(fs::read(f.join("a.glb")).unwrap(), fs::read(f.join("b.glb")).unwrap());
}

#[test]
fn seeds_make_results_again_and_the_originals_names_work() {
    let folder = tempdir().unwrap();
    let f = folder.path();
    ball(&f.join("ball.png"));
    let names = ["--ss_sampling_steps", "2", "--ss_guidance_strength", "7.5", "--slat_sampling_steps", "2"];
    let more = ["--slat_guidance_strength", "3", "--cfg_interval", "0.5,1", "--rescale_t", "3", "--texture_size", "0"];
    let own = ["--ss-sampling-steps", "2", "--ss-guidance-strength", "7.5", "--slat-sampling-steps", "2"];
    let own_more = ["--slat-guidance-strength", "3", "--interval", "0.5,1", "--rescale-t", "3", "--texture-size", "0"];
    for (name, a, b) in [("a", names, more), ("b", own, own_more)] {
        let output = run(generate(f).args(["ball.png", "-q", "-o", &format!("{name}.glb")]).args(a).args(b));
        assert!(output.status.success() && output.stderr.is_empty() && output.stdout.is_empty(), "{}", stderr(&output));
    }
    assert_eq!(fs::read(f.join("a.glb")).unwrap(), fs::read(f.join("b.glb")).unwrap());
    let output = run(generate(f).args(["ball.png", "--seed", "7", "--variants", "2", "-o", "v.glb"]));
    assert!(output.status.success(), "{}", stderr(&output));
    assert_ne!(fs::read(f.join("v-7.glb")).unwrap(), fs::read(f.join("v-8.glb")).unwrap());
}

#[test]
fn several_pictures_make_one_object_or_one_each() {
    let folder = tempdir().unwrap();
    let f = folder.path();
    fs::create_dir(f.join("in")).unwrap();
    ball(&f.join("in/one.png"));
    ball(&f.join("in/two.png"));
    for mode in ["stochastic", "multidiffusion"] {
        let out = format!("{mode}.glb");
        let output = run(generate(f).args(["in/one.png", "in/two.png", "--multi", mode, "-o", &out]));
        assert!(output.status.success(), "{}", stderr(&output));
    }
    fs::create_dir(f.join("out")).unwrap();
    let output = run(generate(f).args(["in", "--each", "-o", "out", "--json"]));
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(listing(&f.join("out")), ["one.glb", "two.glb"]);
    let events: Vec<serde_json::Value> =
        stdout(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let done: Vec<_> = events.iter().filter(|e| e["event"] == "done").collect();
    assert_eq!(done.len(), 2);
    assert!(events.iter().any(|e| e["event"] == "step" && e["stage"] == "structure"));
    assert!(done[0]["stages"]["structure"].as_f64().is_some());
}

#[test]
fn a_photograph_is_cut_out_by_the_built_in_network_or_by_a_mask() {
    let folder = tempdir().unwrap();
    let f = folder.path();
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    fs::copy(root.join("examples/photo-coffee.jpg"), f.join("coffee.jpg")).unwrap();
    let output = run(generate(f).args(["coffee.jpg", "--save-cutout", "cut.png", "-o", "coffee.glb", "--force"]));
    assert!(output.status.success(), "{}", stderr(&output));
    let cut = maquette::maquette_image::decode(&fs::read(f.join("cut.png")).unwrap(), &Default::default()).unwrap();
    assert!(cut.has_alpha());
    let weights = root.join("models/u2netp.safetensors");
    let output = run(generate(f)
        .args(["coffee.jpg", "--save-cutout", "same.png", "-o", "same.glb", "--force", "--matting"])
        .arg(weights));
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(fs::read(f.join("cut.png")).unwrap(), fs::read(f.join("same.png")).unwrap());
    // Weights of the full form's name beside the models are preferred to those inside.
    fs::create_dir(f.join("models")).unwrap();
    fs::copy(root.join("models/u2netp.safetensors"), f.join("models/u2net.safetensors")).unwrap();
    plain(&f.join("plain.png"), 96, 96);
    let output = run(generate(f).args(["plain.png", "--force"]));
    assert!(stderr(&output).contains("cut out by U²-Net (models/u2net.safetensors)"), "{}", stderr(&output));
    ball(&f.join("ball.png"));
    let output = run(generate(f).args(["plain.png", "--mask", "ball.png", "-o", "masked.glb"]));
    assert!(output.status.success(), "{}", stderr(&output));
    let output = run(generate(f).args(["plain.png", "--keep-background", "-o", "whole.glb"]));
    assert!(output.status.success(), "{}", stderr(&output));
}

/// Anywhere, with nothing installed; the cap and the stem of the mushroom are a hair apart and count as one subject.
#[test]
fn the_model_inside_the_program_makes_an_object_of_an_example() {
    let folder = tempdir().unwrap();
    let f = folder.path();
    let example = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/mushroom.png");
    let mut command = maquette(f);
    command.args([
        "generate",
        "--tier",
        "cpu",
        "--steps",
        "1",
        "--faces",
        "500",
        "--texture-size",
        "0",
        "--keep-hidden",
    ]);
    let output = run(command.args(["-o", "mushroom.glb"]).arg(example));
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("model mini"), "{}", stderr(&output));
    assert_eq!(listing(f), ["mushroom.glb"]);
}

#[cfg(unix)]
#[test]
fn interrupting_stops_between_steps_and_leaves_nothing() {
    let folder = tempdir().unwrap();
    let f = folder.path();
    ball(&f.join("ball.png"));
    let mut child = generate(f)
        .args(["ball.png", "--ss-sampling-steps", "10000", "--json", "-o", "o.glb"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // Wait for the first sampling step, so that the signal comes in the middle of the work.
    let mut reader = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("\"stage\":\"structure\"") || !line.contains("step\"") {
        line.clear();
        assert!(std::io::BufRead::read_line(&mut reader, &mut line).unwrap() > 0, "ended before it was interrupted");
    }
    let begun = Instant::now();
    run(std::process::Command::new("kill").args(["-INT", &child.id().to_string()]));
    let rest = std::io::read_to_string(reader).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{rest}");
    assert!(begun.elapsed() < Duration::from_secs(30));
    assert!(rest.contains("maquette::cancelled"), "{rest}");
    assert_eq!(listing(f), ["ball.png"]);
}

#[test]
fn doctor_says_what_will_run() {
    let folder = tempdir().unwrap();
    let text = stdout(&run(maquette(folder.path()).args(["doctor", "--tier", "cpu"])));
    for words in
        ["what will run: tier cpu", "GFLOP/s", "advice:", "free memory of the machine", "models:", "needs about"]
    {
        assert!(text.contains(words), "{words} in {text}");
    }
    let json = run(maquette(folder.path()).args(["doctor", "--tier", "cpu", "--json"]));
    let report: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert!(report["will_run"]["gflops"].as_f64().unwrap() > 0.0);
    let need = &report["models"][0];
    assert!(need["need_bytes"].as_u64().unwrap() > 0 && need["fits"].as_bool().is_some(), "{report}");
}

#[test]
fn verify_passes_here_and_fails_on_other_numbers() {
    let folder = tempdir().unwrap();
    let f = folder.path();
    let output = run(maquette(f).args(["verify", "--tier", "cpu"]));
    assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
    assert!(stdout(&output).contains(" 0 failed"));
    // The same numbers with one input changed.
    fs::create_dir(f.join("cases")).unwrap();
    let name = "cases/spatial_ops.safetensors";
    let mut bytes = fs::read(goldens().join(name)).unwrap();
    let last = bytes.len() - 2;
    bytes[last] ^= 0x40;
    fs::write(f.join(name), bytes).unwrap();
    let output = run(maquette(f).args(["verify", "--tier", "cpu", "--json", "--goldens", "."]));
    assert_eq!(output.status.code(), Some(71), "{}", stdout(&output));
    let report: serde_json::Value = serde_json::from_str(stdout(&output).lines().next().unwrap()).unwrap();
    assert_eq!(report["passed"], false);
    fs::create_dir(f.join("nothing")).unwrap();
    let output = run(maquette(f).args(["verify", "--tier", "cpu", "--goldens", "nothing"]));
    assert_eq!(output.status.code(), Some(60), "{}", stderr(&output));
}

#[test]
fn bench_times_every_stage() {
    let folder = tempdir().unwrap();
    let mut command = maquette(folder.path());
    command.args(["bench", "--tier", "cpu", "--runs", "1", "--steps", "1", "--json", "--model"]);
    let output = run(command.arg(goldens().join("model")));
    assert!(output.status.success(), "{}", stderr(&output));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    for stage in ["encode", "structure", "latent", "gaussians", "mesh", "surface", "unwrap", "bake"] {
        assert!(report["seconds"][stage].as_f64().is_some(), "{stage} in {report}");
    }
}

#[test]
fn bench_networks_times_every_network_and_its_parts() {
    let folder = tempdir().unwrap();
    let mut command = maquette(folder.path());
    command.args(["bench", "networks", "--tier", "cpu", "--tokens", "30", "--voxels", "60", "--json", "--model"]);
    let output = run(command.arg(goldens().join("model")));
    assert!(output.status.success(), "{}", stderr(&output));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["tier"], &report["precision"]), (&"cpu".into(), &"f32".into()));
    let lines = report["networks"].as_array().unwrap();
    for label in [
        "picture encoder",
        "dense block",
        "structure modulation",
        "structure flow",
        "structure decoder",
        "a new voxel set",
        "with neighbours",
        "with windows",
        "with its coarser set",
        "sparse block",
        "latent modulation",
        "latent input blocks",
        "latent output blocks",
        "latent flow",
        "windowed block",
        "Gaussian decoder",
        "mesh decoder",
    ] {
        let line = lines.iter().find(|line| line["network"].as_str().unwrap().starts_with(label)).unwrap();
        let [device, host, whole] = ["device_seconds", "host_seconds", "seconds"].map(|k| line[k].as_f64().unwrap());
        assert!(device > 0.0 && host > 0.0 && whole > 0.0, "{line}");
    }
    let output = run(maquette(folder.path()).args(["bench", "networks", "--tier", "cpu", "--only", "nothing like it"]));
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(stdout(&output).lines().count(), 2, "{}", stdout(&output));
}

#[test]
fn bench_kernels_times_and_checks_every_kernel_of_a_software_adapter() {
    let folder = tempdir().unwrap();
    let mut command = maquette(folder.path());
    command.args(["bench", "kernels", "--tier", "base", "--precision", "f32", "--json", "--only", "norm"]);
    let output = run(&mut command);
    if output.status.code() == Some(40) {
        // No Vulkan at all here, which the message says.
        assert!(stderr(&output).contains("adapter"), "{}", stderr(&output));
        return;
    }
    assert!(output.status.success(), "{}", stderr(&output));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let lines = report["kernels"].as_array().unwrap();
    for kernel in ["peak copy", "layer norm", "RMS norm"] {
        let line = lines.iter().find(|line| line["kernel"].as_str().unwrap().starts_with(kernel)).unwrap();
        assert!(line["seconds"].as_f64().unwrap() > 0.0 && line["rate"].as_f64().unwrap() > 0.0, "{line}");
        assert!(kernel == "peak copy" || line["error"].as_f64().unwrap() <= 2e-6, "{line}");
    }
}

#[test]
fn models_are_listed_with_places_sizes_and_licences() {
    let folder = tempdir().unwrap();
    let f = folder.path();
    fs::create_dir(f.join("mine")).unwrap();
    let mut command = maquette(f);
    command.args(["models"]).env("MAQUETTE_MODELS", goldens());
    let text = stdout(&run(&mut command));
    assert!(text.contains("model ") && text.contains("MiB") && text.contains("trellis-image-large"), "{text}");
    let json = run(maquette(f).args(["models", "--json"]).env("MAQUETTE_MODELS", goldens()));
    let list: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(list["installed"][0]["name"], "model");
}

#[test]
fn help_fits_80_columns_and_completions_and_the_manual_are_made() {
    let folder = tempdir().unwrap();
    let f = folder.path();
    let commands =
        ["generate", "doctor", "verify", "bench", "preview", "info", "models", "errors", "completions", "man"];
    for arguments in [vec!["--help"], vec!["models", "fetch", "--help"]]
        .into_iter()
        .chain(commands.iter().map(|c| vec![*c, "--help"]))
    {
        let output = run(maquette(f).args(&arguments).env("COLUMNS", "200"));
        assert!(output.status.success());
        let text = stdout(&output);
        let wide: Vec<_> = text.lines().filter(|line| line.chars().count() > 80).collect();
        assert!(wide.is_empty(), "{arguments:?}: {wide:?}");
    }
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = stdout(&run(maquette(f).args(["completions", shell])));
        assert!(script.contains("maquette") && script.contains("texture-size"), "{shell}");
    }
    let page = stdout(&run(maquette(f).args(["man"])));
    assert!(page.contains(".TH maquette") && page.contains("texture") && page.contains("generate"));
    let table = stdout(&run(maquette(f).args(["errors", "--markdown"])));
    assert_eq!(table, fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/errors.md")).unwrap());
}
