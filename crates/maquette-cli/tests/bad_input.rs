//! Everything that can be wrong with what a user gives, through the real program: a clear message, an exit status of its
//! own, and nothing left behind.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;

use common::{adapters, ball, generate, listing, maquette, model_copy, plain, run, stderr, stdout};
use tempfile::tempdir;

/// Runs `generate` on a file and expects a failure that says `words`, and no output.
fn refuses(folder: &Path, arguments: &[&str], status: i32, words: &str) {
    let before = listing(folder);
    let output = run(generate(folder).args(arguments));
    let text = stderr(&output).replace("\n  │ ", " ").replace("\n", " ");
    assert_eq!(output.status.code(), Some(status), "{arguments:?}: {text}");
    let squeezed = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(squeezed.contains(words), "{arguments:?}: expected {words:?} in {squeezed}");
    assert!(squeezed.contains("maquette::") && squeezed.contains(&format!("exit status {status}")), "{squeezed}");
    assert_eq!(listing(folder), before, "something was left behind");
}

#[test]
fn files_that_are_no_pictures() {
    let folder = tempdir().unwrap();
    let f = folder.path();
    fs::create_dir(f.join("folder.png")).unwrap();
    fs::write(f.join("text.png"), "this is text\n").unwrap();
    fs::write(f.join("empty.png"), []).unwrap();
    refuses(f, &["nothing.png"], 10, "nothing.png");
    refuses(f, &["folder.png"], 11, "--each");
    refuses(f, &["empty.png"], 13, "0 bytes");
    refuses(f, &["text.png"], 14, "text");
}

#[test]
fn pictures_that_are_damaged_or_too_large() {
    let folder = tempdir().unwrap();
    let f = folder.path();
    let photo = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/photo-coffee.jpg")).unwrap();
    fs::write(f.join("half.jpg"), &photo[..photo.len() / 2]).unwrap();
    refuses(f, &["half.jpg"], 16, "--accept-truncated");
    // A header that promises 20000×20000 pixels; nothing of them is there, and nothing is allocated for them.
    let mut bomb = fs::read({
        plain(&f.join("bomb.png"), 4, 4);
        f.join("bomb.png")
    })
    .unwrap();
    bomb[16..24].copy_from_slice(&[0, 0, 0x4e, 0x20, 0, 0, 0x4e, 0x20]);
    let crc = crc32(&bomb[12..29]);
    bomb[29..33].copy_from_slice(&crc.to_be_bytes());
    fs::write(f.join("bomb.png"), bomb).unwrap();
    refuses(f, &["bomb.png"], 17, "20000x20000");
    plain(&f.join("plain.png"), 64, 64);
    refuses(f, &["plain.png", "--max-pixels", "4095"], 17, "64x64");
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |c, _| if c & 1 == 1 { 0xedb8_8320 ^ (c >> 1) } else { c >> 1 })
    })
}

#[test]
fn a_truncated_picture_is_used_when_that_is_asked_for() {
    let folder = tempdir().unwrap();
    let f = folder.path();
    let photo = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/photo-coffee.jpg")).unwrap();
    fs::write(f.join("cut.jpg"), &photo[..photo.len() * 9 / 10]).unwrap();
    let output = run(generate(f).args(["cut.jpg", "--accept-truncated", "--keep-background", "-o", "cut.glb"]));
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("cut off"), "{}", stderr(&output));
    assert!(f.join("cut.glb").is_file());
}

#[test]
fn pictures_without_a_subject() {
    let folder = tempdir().unwrap();
    let f = folder.path();
    let clear = maquette::maquette_image::Rgba::filled(64, 64, 0).unwrap();
    fs::write(f.join("clear.png"), maquette::maquette_image::encode_png(&clear).unwrap()).unwrap();
    refuses(f, &["clear.png"], 18, "--mask");
    // One pixel: the network sees nothing that stands out.
    plain(&f.join("dot.png"), 1, 1);
    refuses(f, &["dot.png"], 18, "no object found");
}

#[test]
fn a_doubtful_cutout_stops_unless_forced_and_can_be_looked_at() {
    let folder = tempdir().unwrap();
    let f = folder.path();
    // Two separate balls.
    let mut two = maquette::maquette_image::Rgba::filled(128, 64, 0).unwrap();
    for (i, pixel) in two.data_mut().chunks_exact_mut(4).enumerate() {
        let (x, y) = (i as i32 % 128, i as i32 / 128 - 32);
        if [32, 96].iter().any(|c| (x - c) * (x - c) + y * y < 24 * 24) {
            pixel.copy_from_slice(&[200, 90, 60, 255]);
        }
    }
    fs::write(f.join("two.png"), maquette::maquette_image::encode_png(&two).unwrap()).unwrap();
    refuses(f, &["two.png"], 19, "--force");
    let output = run(generate(f).args(["two.png", "--save-cutout", "look.png"]));
    assert_eq!(output.status.code(), Some(19));
    assert!(f.join("look.png").is_file(), "the cut-out is there to be looked at");
    let output = run(generate(f).args(["two.png", "--force", "-o", "two.glb"]));
    assert!(output.status.success(), "{}", stderr(&output));
}

/// What the superuser may do tells nothing: then the program runs as somebody without rights, in a copy that such a user reaches.
#[cfg(unix)]
#[test]
fn files_and_folders_that_may_not_be_touched() {
    use std::os::unix::{fs::PermissionsExt as _, process::CommandExt as _};
    const NOBODY: u32 = 65534;
    let folder = tempdir().unwrap();
    let f = folder.path();
    let mode = |path: &Path, mode: u32| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    mode(f, 0o777);
    ball(&f.join("ball.png"));
    fs::copy(f.join("ball.png"), f.join("secret.png")).unwrap();
    mode(&f.join("secret.png"), 0o000);
    fs::create_dir(f.join("shut")).unwrap();
    mode(&f.join("shut"), 0o555);
    let superuser = fs::read(f.join("secret.png")).is_ok();
    let program = f.join("maquette");
    if superuser {
        fs::copy(env!("CARGO_BIN_EXE_maquette"), &program).unwrap();
        mode(&program, 0o755);
        model_copy(f);
    }
    let before = listing(f);
    for (arguments, status) in [(["secret.png", "-o", "s.glb"], 12), (["ball.png", "-o", "shut/ball.glb"], 23)] {
        let mut command = if superuser { Command::new(&program) } else { maquette(f) };
        if superuser {
            command.uid(NOBODY).gid(NOBODY).current_dir(f).env("HOME", f).args(["generate", "--model", "model"]);
        } else {
            command.args(["generate", "--model"]).arg(common::goldens().join("model"));
        }
        let output = run(command.args(["--tier", "cpu"]).args(arguments));
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {text}");
        assert!(text.to_lowercase().contains("permission"), "{text}");
    }
    assert_eq!(listing(f), before);
    assert_eq!(listing(&f.join("shut")), Vec::<String>::new());
    mode(&f.join("shut"), 0o755);
}

#[test]
fn outputs_that_cannot_be_written() {
    let folder = tempdir().unwrap();
    let f = folder.path();
    ball(&f.join("ball.png"));
    fs::write(f.join("there.glb"), "precious").unwrap();
    refuses(f, &["ball.png", "-o", "no/such/ball.glb"], 20, "mkdir");
    refuses(f, &["ball.png", "-o", "there.glb"], 21, "--overwrite");
    assert_eq!(fs::read(f.join("there.glb")).unwrap(), b"precious");
    refuses(f, &["ball.png", "-o", "ball.fbx"], 24, ".glb");
    let output = run(generate(f).args(["ball.png", "-o", "there.glb", "--overwrite"]));
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(fs::read(f.join("there.glb")).unwrap().starts_with(b"glTF"));
}

/// The system's limit for a file stands for a disk that is full in the middle of writing: the same path of the program, and no
/// privilege is needed. Two stages fit, the third does not.
#[cfg(unix)]
#[test]
fn a_write_that_stops_in_the_middle_leaves_no_partial_file() {
    let folder = tempdir().unwrap();
    let f = folder.path();
    ball(&f.join("ball.png"));
    let program = env!("CARGO_BIN_EXE_maquette");
    let model = common::goldens().join("model");
    // 8 blocks of 512 bytes (1024 in some shells) are less than any result; ignoring the signal makes it an error of the write.
    let script = format!(
        "trap '' XFSZ; ulimit -f 8; exec {program} generate ball.png --tier cpu --steps 1 --faces 2000 --texture-size 0 \
         --keep-hidden --model {} -o ball.glb --overwrite",
        model.display()
    );
    for before in [None, Some("precious")] {
        if let Some(text) = before {
            fs::write(f.join("ball.glb"), text).unwrap();
        }
        let names = listing(f);
        let mut command = Command::new("sh");
        command.args(["-c", &script]).current_dir(f).env("HOME", f).env_remove("MAQUETTE_MODELS");
        let output = run(&mut command);
        assert_eq!(output.status.code(), Some(22), "{}", stderr(&output));
        assert!(stderr(&output).contains("maquette::output::full"), "{}", stderr(&output));
        assert_eq!(listing(f), names, "nothing partial is left");
        let there = fs::read_to_string(f.join("ball.glb")).ok();
        assert_eq!(there.as_deref(), before, "what was there before is lost");
    }
}

/// A file system of 16 KiB, where the system lets us make one: a mount of its own in a name space of its own needs no privilege on
/// most systems, and is gone with its processes.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_leaves_no_partial_file_and_keeps_the_stages() {
    let folder = tempdir().unwrap();
    let f = folder.path();
    ball(&f.join("ball.png"));
    fs::create_dir(f.join("small")).unwrap();
    let program = env!("CARGO_BIN_EXE_maquette");
    let model = common::goldens().join("model");
    let script = format!(
        "mount -t tmpfs -o size=16k maquette {small} || exit 99; {program} generate ball.png --tier cpu --steps 1 --faces 2000 \
         --texture-size 0 --keep-hidden --dump kept --model {model} -o {small}/ball.glb; code=$?; ls -A {small} | wc -l > left; \
         exit $code",
        small = f.join("small").display(),
        model = model.display(),
    );
    let output = run(Command::new("unshare").args(["-rm", "sh", "-c", &script]).current_dir(f));
    let status = output.status.code();
    if status == Some(99) || stderr(&output).starts_with("unshare") {
        // No name spaces here: /dev/full is a disk that is always full. The test above has run the clean-up.
        let output =
            run(maquette(f).arg("models").stdout(fs::OpenOptions::new().write(true).open("/dev/full").unwrap()));
        assert_eq!(output.status.code(), Some(22), "{}", stderr(&output));
        return;
    }
    assert_eq!(status, Some(22), "{}", stderr(&output));
    assert_eq!(fs::read_to_string(f.join("left")).unwrap().trim(), "0", "nothing partial is left");
    let again = run(generate(f).args(["--resume", "kept", "-o", "ball.glb"]));
    assert!(again.status.success(), "{}", stderr(&again));
}

#[test]
fn models_that_are_missing_incomplete_or_damaged() {
    let folder = tempdir().unwrap();
    let f = folder.path();
    ball(&f.join("ball.png"));
    let run_with = |model: &str| run(maquette(f).args(["generate", "ball.png", "--tier", "cpu", "--model", model]));
    let output = run_with("no-such-model");
    assert_eq!(output.status.code(), Some(30), "{}", stderr(&output));
    assert!(stderr(&output).contains("maquette models"));

    let model = model_copy(f);
    let ckpts = model.join("ckpts");
    let flow = listing(&ckpts).into_iter().find(|n| n.contains("ss_flow") && n.ends_with(".safetensors")).unwrap();
    let whole = fs::read(ckpts.join(&flow)).unwrap();
    fs::remove_file(ckpts.join(&flow)).unwrap();
    let output = run_with("model");
    assert_eq!(output.status.code(), Some(31), "{}", stderr(&output));
    assert!(stderr(&output).contains("ss_flow"), "{}", stderr(&output));
    fs::write(ckpts.join(&flow), &whole[..whole.len() / 2]).unwrap();
    let output = run_with("model");
    assert_eq!(output.status.code(), Some(32), "{}", stderr(&output));
    fs::write(ckpts.join(&flow), &whole).unwrap();
    fs::remove_dir_all(f.join("dinov2")).unwrap();
    let output = run_with("model");
    assert_eq!(output.status.code(), Some(31), "{}", stderr(&output));
    assert!(stderr(&output).contains("dinov2"), "{}", stderr(&output));
    assert!(!f.join("ball.glb").exists());
}

#[test]
fn an_adapter_that_is_not_there() {
    let folder = tempdir().unwrap();
    let f = folder.path();
    ball(&f.join("ball.png"));
    let output = run(generate(f).args(["ball.png", "--tier", "base", "--adapter", "no such card"]));
    // The later --tier counts.
    assert_eq!(output.status.code(), Some(40), "{}", stderr(&output));
    assert!(stderr(&output).contains("--tier cpu"), "{}", stderr(&output));
}

#[test]
fn a_machine_without_any_driver_still_makes_an_object() {
    let folder = tempdir().unwrap();
    let f = folder.path();
    ball(&f.join("ball.png"));
    let mut command = maquette(f);
    command.args([
        "generate",
        "ball.png",
        "--steps",
        "1",
        "--faces",
        "300",
        "--texture-size",
        "0",
        "--keep-hidden",
        "--model",
    ]);
    command.arg(common::goldens().join("model"));
    // No Vulkan driver is listed there.
    command.env("VK_DRIVER_FILES", "/nonexistent.json").env("VK_ICD_FILENAMES", "/nonexistent.json");
    let output = run(&mut command);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("processor"), "{}", stderr(&output));
}

#[test]
fn a_device_that_goes_away_is_told_and_finished_stages_are_kept() {
    let folder = tempdir().unwrap();
    let f = folder.path();
    ball(&f.join("ball.png"));
    let mut command = maquette(f);
    command.args(["generate", "ball.png", "--tier", "base", "--precision", "f32", "--steps", "2", "--dump", "kept"]);
    command.args(["--simulate-device-loss", "structure", "--model"]).arg(common::goldens().join("model"));
    let output = run(&mut command);
    if adapters(f) == 0 {
        assert_eq!(output.status.code(), Some(40), "{}", stderr(&output));
        return;
    }
    assert_eq!(output.status.code(), Some(41), "{}", stderr(&output));
    assert!(stderr(&output).contains("--resume"), "{}", stderr(&output));
    assert!(f.join("kept/condition.safetensors").is_file() && !f.join("ball.glb").exists());
    let mut again = generate(f);
    again.args(["--resume", "kept", "-o", "ball.glb"]);
    let output = run(&mut again);
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn options_that_make_no_sense() {
    let folder = tempdir().unwrap();
    let f = folder.path();
    ball(&f.join("ball.png"));
    for arguments in [
        &["ball.png", "--interval", "1,0"][..],
        &["ball.png", "--vram-budget", "lots"],
        &["ball.png", "--tier", "fast"],
        &["ball.png", "--precision", "f16"],
        &["ball.png", "--max-pixels", "many"],
        &["ball.png", "--noise", "n.safetensors", "--variants", "2"],
        &["ball.png", "--faces", "10", "--simplify", "0.5"],
        &["ball.png", "--mask", "ball.png", "--keep-background"],
        &["ball.png", "--steps", "0"],
        &["ball.png", "--no-such-flag"],
        &[],
    ] {
        let output = run(generate(f).args(arguments));
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
    }
    let output = run(generate(f).args(["ball.png", "--texture-size", "100"]));
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(!f.join("ball.glb").exists());
}

#[test]
fn programs_get_errors_as_json() {
    let folder = tempdir().unwrap();
    let output = run(generate(folder.path()).args(["nothing.png", "--json"]));
    let line: serde_json::Value = serde_json::from_str(stdout(&output).lines().last().unwrap()).unwrap();
    assert_eq!((line["event"].as_str(), line["exit"].as_i64()), (Some("error"), Some(10)));
    assert_eq!(line["code"], "maquette::input::missing");
}
