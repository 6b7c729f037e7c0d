//! The tiny model from a picture to files, through the real program, against the reference numbers.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{deviation, goldens, listing, maquette, run, stderr};
use maquette::maquette_weights::{Checkpoint, TensorSource};
use tempfile::tempdir;

fn reference() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/goldens/cli/end_to_end.safetensors")
}

#[test]
fn dumped_stages_equal_the_reference_from_end_to_end() {
    let folder = tempdir().unwrap();
    let f = folder.path();
    let mut command = maquette(f);
    command.args(["generate", "--tier", "cpu", "--dump", "stages", "-o", "object.glb", "--also", "object.ply"]);
    command.args(["--faces", "1500", "--texture-size", "256", "--preview", "object.png"]);
    command.arg("--noise").arg(reference()).arg("--model").arg(goldens().join("model"));
    let output = run(command.arg(goldens().join("e2e/input.png")));
    assert!(output.status.success(), "{}", stderr(&output));

    let expected = Checkpoint::open(reference()).unwrap();
    for (file, tensors) in [
        ("condition", &["cond"][..]),
        ("structure", &["z_s", "coords"]),
        ("latent", &["slat", "coords"]),
        ("gaussians", &["gs.xyz", "gs.scaling", "gs.rotation", "gs.opacity", "gs.features_dc"]),
        ("mesh", &["mesh.vertices"]),
    ] {
        let found = Checkpoint::open(f.join(format!("stages/{file}.safetensors"))).unwrap();
        for name in tensors {
            let (a, b) = (found.get(name).unwrap(), expected.get(name).unwrap());
            assert_eq!(a.shape(), b.shape(), "{name}");
            let deviation = deviation(&a.to_f32(), &b.to_f32());
            println!("{name}: {deviation:.2e}");
            let bound = if *name == "coords" { 0.0 } else { 1e-4 };
            assert!(deviation <= bound, "{name}: {deviation:.2e}");
        }
    }
    // Quads may be cut along the other diagonal; their number and their corners may not differ.
    let found = Checkpoint::open(f.join("stages/mesh.safetensors")).unwrap();
    let corners = |c: &Checkpoint| {
        let faces = c.get("mesh.faces").unwrap().to_f32();
        let mut quads: Vec<Vec<u32>> = faces
            .chunks(6)
            .map(|q| {
                let mut q: Vec<u32> = q.iter().map(|v| *v as u32).collect();
                q.sort_unstable();
                q.dedup();
                q
            })
            .collect();
        quads.sort();
        quads
    };
    assert_eq!(corners(&found), corners(&expected));

    assert!(fs::read(f.join("object.glb")).unwrap().starts_with(b"glTF"));
    assert!(fs::read(f.join("object.ply")).unwrap().starts_with(b"ply"));
    let picture = fs::read(f.join("object.png")).unwrap();
    let picture = maquette::maquette_image::decode(&picture, &Default::default()).unwrap().pixels;
    assert!(picture.pixels().any(|p| p != &[237, 237, 237, 255]), "the preview shows something");

    // The finished stages give the same files without any picture.
    let mut again = maquette(f);
    again.args(["generate", "--tier", "cpu", "--resume", "stages", "-o", "again.glb", "--faces", "1500"]);
    again.args(["--texture-size", "256"]).arg("--noise").arg(reference()).arg("--model").arg(goldens().join("model"));
    let output = run(&mut again);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(fs::read(f.join("object.glb")).unwrap(), fs::read(f.join("again.glb")).unwrap());
    assert!(listing(f).iter().all(|name| !name.ends_with(".tmp")));
}

#[test]
fn noise_that_does_not_fit_is_refused() {
    let folder = tempdir().unwrap();
    let f = folder.path();
    fs::write(f.join("noise.safetensors"), b"nonsense").unwrap();
    common::ball(&f.join("ball.png"));
    let output = run(common::generate(f).args(["ball.png", "--noise", "noise.safetensors"]));
    assert_eq!(output.status.code(), Some(60), "{}", stderr(&output));
    let output = run(common::generate(f).args(["ball.png", "--resume", "nowhere"]));
    assert_eq!(output.status.code(), Some(60), "{}", stderr(&output));
}
