use std::fs;

use super::*;
use crate::test_support::goldens;

/// A copy of the published-layout folder that a test may spoil.
fn copy(to: &Path) {
    let from = goldens().join("trellis/model");
    fs::create_dir_all(to.join("ckpts")).unwrap();
    fs::copy(from.join("pipeline.json"), to.join("pipeline.json")).unwrap();
    for entry in fs::read_dir(from.join("ckpts")).unwrap() {
        let path = entry.unwrap().path();
        fs::write(to.join("ckpts").join(path.file_name().unwrap()), fs::read(&path).unwrap()).unwrap();
    }
    let file = to.join("pipeline.json");
    let text = fs::read_to_string(&file).unwrap();
    fs::remove_file(&file).unwrap();
    fs::write(file, text).unwrap();
}

fn replace(root: &Path, old: &str, new: &str) {
    let file = root.join("pipeline.json");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains(old));
    fs::write(file, text.replace(old, new)).unwrap();
}

fn loads_whole(root: &Path) {
    let folder = ModelFolder::open(root).unwrap();
    for key in folder.pipeline().models.keys() {
        folder.checkpoint(key).unwrap().open().unwrap();
    }
    assert!(plan(root, &BTreeMap::new()).unwrap().is_nothing());
}

const FLOW: &str = "slat_flow_img_dit_T_32l8p2_fp16";

#[test]
fn a_good_folder_needs_nothing() {
    loads_whole(&goldens().join("trellis/model"));
}

#[test]
fn a_reference_to_an_absent_checkpoint_takes_the_one_that_fits() {
    let dir = tempfile::tempdir().unwrap();
    copy(dir.path());
    replace(dir.path(), &format!("ckpts/{FLOW}"), "ckpts/slat_flow_img_dit_L_64l8p2_fp16");
    let before = fs::read_to_string(dir.path().join("pipeline.json")).unwrap();
    let p = plan(dir.path(), &BTreeMap::new()).unwrap();
    assert_eq!((p.changes.len(), p.questions.len()), (1, 0));
    assert_eq!(
        (p.changes[0].key.as_str(), p.changes[0].new.as_str()),
        ("slat_flow_model", "ckpts/slat_flow_img_dit_T_32l8p2_fp16")
    );
    assert_eq!(p.diff().lines().filter(|l| l.starts_with('+')).count(), 1, "{}", p.diff());
    assert_eq!(fs::read_to_string(dir.path().join("pipeline.json")).unwrap(), before, "planning writes nothing");
    let backup = p.apply().unwrap().unwrap();
    assert_eq!(fs::read_to_string(backup).unwrap(), before);
    loads_whole(dir.path());
    // Nothing but the reference changed.
    let original = fs::read_to_string(goldens().join("trellis/model/pipeline.json")).unwrap();
    assert_eq!(fs::read_to_string(dir.path().join("pipeline.json")).unwrap(), original);
}

#[test]
fn hub_ids_become_local_references() {
    let dir = tempfile::tempdir().unwrap();
    copy(dir.path());
    replace(dir.path(), "\"ckpts/", "\"microsoft/TRELLIS-image-large/ckpts/");
    let p = plan(dir.path(), &BTreeMap::new()).unwrap();
    assert_eq!((p.changes.len(), p.questions.len()), (6, 0));
    p.apply().unwrap();
    loads_whole(dir.path());
}

#[test]
fn checkpoints_moved_one_level_down_are_found() {
    let dir = tempfile::tempdir().unwrap();
    copy(dir.path());
    fs::create_dir(dir.path().join("weights")).unwrap();
    fs::rename(dir.path().join("ckpts"), dir.path().join("weights/ckpts")).unwrap();
    let p = plan(dir.path(), &BTreeMap::new()).unwrap();
    assert_eq!((p.changes.len(), p.questions.len()), (6, 0));
    p.apply().unwrap();
    loads_whole(dir.path());
}

#[test]
fn a_whole_folder_moved_one_level_down_loads_from_above() {
    let dir = tempfile::tempdir().unwrap();
    copy(&dir.path().join("TRELLIS-image-large"));
    let p = plan(dir.path(), &BTreeMap::new()).unwrap();
    assert!(p.questions.is_empty() && !p.is_nothing());
    assert_eq!(p.apply().unwrap(), None);
    loads_whole(dir.path());
    loads_whole(&dir.path().join("TRELLIS-image-large"));
}

#[test]
fn the_encoder_of_a_folder_is_repaired_with_its_models() {
    let mini = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/mini");
    for field in ENCODER_FIELDS {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("mini");
        fs::create_dir_all(inner.join("ckpts")).unwrap();
        for entry in fs::read_dir(mini.join("ckpts")).unwrap() {
            let path = entry.unwrap().path();
            fs::write(inner.join("ckpts").join(path.file_name().unwrap()), fs::read(&path).unwrap()).unwrap();
        }
        let text = fs::read_to_string(mini.join("pipeline.json")).unwrap();
        fs::write(inner.join("pipeline.json"), text.replace("image_cond_model", field)).unwrap();
        // One level down, and a hub id in the encoder's place.
        replace(&inner, "ckpts/dinov2_mini_reg4", "someone/mini/ckpts/dinov2_mini_reg4");
        let p = plan(dir.path(), &BTreeMap::new()).unwrap();
        assert_eq!((p.changes.len(), p.questions.len()), (6, 0), "{field}: {p:?}");
        p.apply().unwrap();
        loads_whole(dir.path());
        let encoder = ModelFolder::open(dir.path()).unwrap().image_cond_checkpoint().unwrap().unwrap();
        assert_eq!(encoder.config.args["num_heads"], 6);
        assert_eq!(encoder.open().unwrap().names().len(), 78);
    }
}

#[test]
fn two_that_fit_are_asked_about_and_the_answer_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    copy(dir.path());
    for ending in ["json", "safetensors"] {
        let name = |stem: &str| dir.path().join(format!("ckpts/{stem}.{ending}"));
        fs::copy(name(FLOW), name("other_flow")).unwrap();
    }
    replace(dir.path(), &format!("ckpts/{FLOW}"), "ckpts/gone");
    let p = plan(dir.path(), &BTreeMap::new()).unwrap();
    assert!(p.changes.is_empty());
    assert_eq!(p.questions[0].fitting, ["ckpts/other_flow", "ckpts/slat_flow_img_dit_T_32l8p2_fp16"]);
    let answers = [("slat_flow_model".to_owned(), "ckpts/other_flow".to_owned())].into();
    plan(dir.path(), &answers).unwrap().apply().unwrap();
    loads_whole(dir.path());
    let wrong = [("slat_flow_model".to_owned(), "ckpts/nothing".to_owned())].into();
    assert!(plan(dir.path(), &wrong).unwrap_err().to_string().contains("ckpts/other_flow"));
}

#[test]
fn a_checkpoint_of_the_right_name_but_wrong_class_or_shape_is_not_taken() {
    let dir = tempfile::tempdir().unwrap();
    copy(dir.path());
    // The right class, with weights of another network.
    fs::copy(
        dir.path().join("ckpts/slat_dec_gs_swin8_T_32l8gs32.safetensors"),
        dir.path().join(format!("ckpts/{FLOW}.safetensors")),
    )
    .unwrap();
    let decoder = Checkpoint::open(dir.path().join("ckpts/ss_dec_conv3d_8l8_fp16.safetensors")).unwrap();
    let source = decoder.tensor("input_layer.bias").unwrap();
    let info = crate::TensorInfo {
        name: "input_layer.weight".into(),
        dtype: source.dtype(),
        shape: vec![source.elements(), 1],
    };
    let mut w = crate::SafetensorsWriter::create(
        &dir.path().join(format!("ckpts/{FLOW}.safetensors")),
        &[info],
        &BTreeMap::new(),
    )
    .unwrap();
    w.write("input_layer.weight", source.bytes()).unwrap();
    w.finish().unwrap();
    replace(dir.path(), &format!("ckpts/{FLOW}"), &format!("hub/repo/{FLOW}"));
    let p = plan(dir.path(), &BTreeMap::new()).unwrap();
    assert_eq!((p.changes.len(), p.questions.len()), (0, 1));
    assert!(p.questions[0].fitting.is_empty());
}

#[test]
fn strings_are_found_by_path_and_not_by_looks() {
    let text = r#"{"models":{"a":"no"},"args":{"x":{"models":{"a":"no"}},"list":[{"models":{"a":"no"}}],"models":{"b":"\"a\":","a" : "yes"}}}"#;
    let span = value_span(text, &["args", "models", "a"]).unwrap();
    assert_eq!(&text[span], "\"yes\"");
    assert_eq!(value_span(text, &["args", "models", "c"]), None);
}
