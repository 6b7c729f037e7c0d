//! Every command through the program itself.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn goldens() -> PathBuf {
    let workspace = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let places = std::env::var_os("MAQUETTE_GOLDENS").map(PathBuf::from).into_iter();
    let mut places = places.chain([workspace.join("../shared/goldens"), workspace.join("tests/goldens")]);
    places.find(|p| p.is_dir()).expect("reference numbers: set MAQUETTE_GOLDENS")
}

fn run(arguments: &[&str], folder: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_maquette-weights"))
        .args(arguments)
        .current_dir(folder)
        .env("HF_HOME", folder.join("hf"))
        .env("HF_HUB_OFFLINE", "1")
        .env_remove("HF_HUB_CACHE")
        .output()
        .unwrap()
}

/// Runs a command that must end with that status, and returns everything that it printed.
fn expect(status: i32, arguments: &[&str], folder: &Path) -> String {
    let output = run(arguments, folder);
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{arguments:?}: {text}");
    text
}

fn model() -> String {
    goldens().join("trellis/model").display().to_string()
}

#[test]
fn inspect_lists_tensors_and_stages() {
    let dir = tempfile::tempdir().unwrap();
    let file = format!("{}/ckpts/slat_dec_gs_swin8_T_32l8gs32.safetensors", model());
    let text = expect(0, &["inspect", &file], dir.path());
    assert!(text.contains("blocks.0.attn.to_qkv.weight") && text.contains("[288, 96]") && text.contains("tensors,"));
    let text = expect(0, &["inspect", &model()], dir.path());
    assert!(text.contains("slat_flow_model") && text.contains("ElasticSLatFlowModel") && text.contains("total"));
    let json: serde_json::Value =
        serde_json::from_str(&expect(0, &["inspect", "--json", &model()], dir.path())).unwrap();
    assert_eq!(json["stages"].as_array().unwrap().len(), 6);
    let json: serde_json::Value = serde_json::from_str(&expect(0, &["inspect", "--json", &file], dir.path())).unwrap();
    assert_eq!(json["format"], "safetensors");
    assert!(expect(2, &["inspect", "absent.safetensors"], dir.path()).contains("absent.safetensors"));
}

#[test]
fn verify_tells_good_folders_from_bad_ones() {
    let dir = tempfile::tempdir().unwrap();
    assert!(expect(0, &["verify", &model()], dir.path()).contains("opens    slat_flow_model"));
    let decoder = "trellis/slat_dec_gs_swin8_B_64l8gs32_fp16";
    let manifest =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("../crates/maquette-weights/manifests/{decoder}.json"));
    let text = std::fs::read_to_string(manifest).unwrap();
    // One key renamed, one shape changed, in a small network with the class and arguments of the real one.
    let short: serde_json::Value = serde_json::from_str(&text).unwrap();
    let tensors = serde_json::json!({"input_layer.weight": {"shape": [768, 9], "dtype": "F32"}, "input_layer.bais": {"shape": [768], "dtype": "F32"}});
    let short = serde_json::json!({"name": short["name"], "args": short["args"], "tensors": tensors});
    std::fs::write(dir.path().join("m.json"), short.to_string()).unwrap();
    expect(0, &["synthesize", "m.json", "out"], dir.path());
    std::fs::write(
        dir.path().join("out/pipeline.json"),
        r#"{"name":"P","args":{"models":{"slat_decoder_gs":"ckpts/m","rf":"ckpts/gone"}}}"#,
    )
    .unwrap();
    let text = expect(1, &["verify", "out"], dir.path());
    for part in [
        "missing input_layer.bias F32 [768]   nearest: input_layer.bais",
        "extra input_layer.bais",
        "misshapen input_layer.weight: expected F32 [768, 8], found F32 [768, 9]",
        "and 80 more",
        "FAILED   rf",
    ] {
        assert!(text.contains(part), "{part} not in {text}");
    }
}

#[test]
fn convert_and_diff_round_trip() {
    let dir = tempfile::tempdir().unwrap();
    let dino = goldens().join("trellis/dinov2");
    let pth = dino.join("dinov2_tiny_reg4_pretrain.pth").display().to_string();
    let twin = dino.join("dinov2_tiny_reg4.safetensors").display().to_string();
    expect(0, &["convert", &pth, "d.safetensors", "--dtype", "f32"], dir.path());
    assert!(expect(0, &["diff", "d.safetensors", &twin], dir.path()).contains("largest relative error 0.000e0"));
    assert!(expect(2, &["convert", &pth, "d.safetensors", "--dtype", "q8"], dir.path()).contains("--force"));
    expect(0, &["convert", &pth, "d.safetensors", "--dtype", "q8", "--force"], dir.path());
    assert!(expect(1, &["diff", "d.safetensors", &twin], dir.path()).contains("relative"));
    expect(0, &["diff", "d.safetensors", &twin, "--tolerance", "0.02"], dir.path());
    expect(2, &["convert", &pth, "d.bin", "--dtype", "f16"], dir.path());
    expect(0, &["convert", &model(), "half", "--dtype", "f16"], dir.path());
    assert!(expect(0, &["inspect", "half"], dir.path()).contains("F16"));
    assert!(std::fs::read_dir(dir.path()).unwrap().all(|e| !e.unwrap().path().to_string_lossy().ends_with(".part")));
}

#[test]
fn a_folder_without_a_decoder_converts_and_packs_without_it() {
    let dir = tempfile::tempdir().unwrap();
    expect(0, &["convert", &model(), "m", "--dtype", "f16"], dir.path());
    std::fs::remove_file(dir.path().join("m/ckpts/slat_dec_rf_swin8_T_32l8r16_fp16.safetensors")).unwrap();
    let text = expect(1, &["convert", "m", "n", "--dtype", "q8"], dir.path());
    assert!(text.contains("left out") && text.contains("`slat_decoder_rf`"), "{text}");
    assert!(expect(1, &["inspect", "n"], dir.path()).contains("slat_flow_model"));
    std::fs::write(dir.path().join("n/LICENSE"), "MIT").unwrap();
    assert!(expect(2, &["pack", "n", "p", "--precision", "q8"], dir.path()).contains("slat_decoder_rf"));
    assert!(!dir.path().join("p/pack.json").exists(), "half a pack is no pack");
    let without = ["pack", "n", "p", "--precision", "q8", "--without", "slat_decoder_rf", "--force"];
    assert!(expect(0, &without, dir.path()).contains("shards"));
}

#[test]
fn the_small_model_packs_and_unpacks_with_its_encoder() {
    let (dir, root) = (tempfile::tempdir().unwrap(), PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(".."));
    let mini = root.join("models/mini").display().to_string();
    let licence = root.join("LICENSE-MIT").display().to_string();
    let text = expect(0, &["pack", &mini, "p", "--precision", "f16", "--license", &licence], dir.path());
    assert!(text.contains("image_cond_checkpoint"), "{text}");
    expect(0, &["unpack", "p", "back"], dir.path());
    for folder in [mini.as_str(), "back"] {
        assert!(expect(0, &["verify", folder], dir.path()).contains("image_cond_checkpoint"));
    }
    let encoder = "ckpts/dinov2_mini_reg4.safetensors";
    expect(0, &["diff", &format!("back/{encoder}"), &format!("{mini}/{encoder}")], dir.path());
}

#[test]
fn inspect_lists_both_stages_of_synchuman() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = dir.path().join("s/ckpts").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    };
    let weights = b"\x02\0\0\0\0\0\0\0{}";
    write(
        "OneStage/pipeline_config.json",
        br#"{"num_views":5,"metadata":{"vae":{"class":"AutoencoderKL","subdir":"vae"},"feature_extractor":{"class":"F","subdir":"f"}}}"#,
    );
    write("OneStage/vae/config.json", br#"{"_class_name":"AutoencoderKL"}"#);
    write("OneStage/vae/diffusion_pytorch_model.safetensors", weights);
    write("SecondStage/pipeline.json", br#"{"name":"P","args":{"models":{"slat_flow_model":"ckpts/flow"}}}"#);
    write("SecondStage/ckpts/flow/config.json", br#"{"name":"SLatFlowModel","args":{}}"#);
    write("SecondStage/ckpts/flow/model.safetensors", weights);
    let text = expect(0, &["inspect", "s"], dir.path());
    for part in ["vae", "AutoencoderKL", "slat_flow_model", "SLatFlowModel", "total"] {
        assert!(text.contains(part), "{part} not in {text}");
    }
    assert!(!text.contains("feature_extractor"));
}

#[test]
fn pack_carries_the_licence_and_unpacks() {
    let dir = tempfile::tempdir().unwrap();
    assert!(expect(2, &["pack", &model(), "p", "--precision", "q4"], dir.path()).contains("--license"));
    std::fs::write(dir.path().join("l.txt"), "MIT").unwrap();
    let text = expect(
        0,
        &["pack", &model(), "p", "--precision", "f32", "--license", "l.txt", "--without", "slat_decoder_rf"],
        dir.path(),
    );
    assert!(text.contains("slat_flow_model") && !text.contains("slat_decoder_rf"));
    expect(0, &["unpack", "p", "back"], dir.path());
    let one = "ckpts/ss_flow_img_dit_T_8l8_fp16.safetensors";
    expect(0, &["diff", &format!("back/{one}"), &format!("{}/{one}", model())], dir.path());
    assert!(expect(2, &["unpack", "p", "back"], dir.path()).contains("--force"));
}

#[test]
fn repair_shows_first_and_keeps_the_old_file() {
    let dir = tempfile::tempdir().unwrap();
    expect(0, &["convert", &model(), "m", "--dtype", "f32"], dir.path());
    let file = dir.path().join("m/pipeline.json");
    let good = std::fs::read_to_string(&file).unwrap();
    let bad = good.replace("ckpts/slat_flow_img_dit_T_32l8p2_fp16", "ckpts/slat_flow_img_dit_L_64l8p2_fp16");
    std::fs::write(&file, &bad).unwrap();
    assert!(expect(0, &["repair", "m", "--dry-run"], dir.path()).contains("+            \"slat_flow_model\""));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), bad);
    // Without a terminal and without --yes nothing is written.
    assert!(expect(2, &["repair", "m"], dir.path()).contains("--yes"));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), bad);
    expect(0, &["repair", "m", "--yes"], dir.path());
    assert_eq!(std::fs::read_to_string(&file).unwrap(), good);
    assert_eq!(std::fs::read_to_string(dir.path().join("m/pipeline.json.bak")).unwrap(), bad);
    assert!(expect(0, &["repair", "m"], dir.path()).contains("nothing to repair"));
}

#[test]
fn offline_fetch_says_what_to_put_where() {
    let dir = tempfile::tempdir().unwrap();
    let text = expect(2, &["fetch", "microsoft/TRELLIS-image-large", "--file", "pipeline.json"], dir.path());
    assert!(text.contains("offline") && text.contains("hf/hub/models--microsoft--TRELLIS-image-large"), "{text}");
}
