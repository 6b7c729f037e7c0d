use std::fs;

use super::*;
use crate::ImageCondModel;

fn goldens() -> PathBuf {
    crate::test_support::goldens().join("trellis/model")
}

fn write_model(root: &Path, stem: &str, class: &str) {
    let path = root.join(stem);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path.with_extension("json"), format!("{{\"name\":\"{class}\",\"args\":{{}}}}")).unwrap();
    fs::write(path.with_extension("safetensors"), crate::test_support::empty_safetensors()).unwrap();
}

fn write_pipeline(root: &Path, models: &str) {
    fs::write(root.join("pipeline.json"), format!("{{\"name\":\"P\",\"args\":{{\"models\":{{{models}}}}}}}")).unwrap();
}

#[test]
fn published_layout_is_read_whole() {
    let folder = ModelFolder::open(goldens()).unwrap();
    let p = folder.pipeline();
    assert_eq!(p.name, "TrellisImageTo3DPipeline");
    assert_eq!(p.models.len(), 6);
    assert_eq!(p.image_cond_model, Some(ImageCondModel::Name("dinov2_vitl14_reg".into())));
    assert_eq!(p.image_size, 518);
    assert!(p.unknown.is_empty(), "{:?}", p.unknown);
    let s = p.sampler("sparse_structure_sampler").unwrap();
    assert_eq!((s.name.as_str(), s.sigma_min), ("FlowEulerGuidanceIntervalSampler", 1e-5));
    assert_eq!((s.params.steps, s.params.cfg_strength), (Some(8), Some(5.0)));
    assert_eq!((s.params.cfg_interval, s.params.rescale_t), (Some([0.5, 1.0]), Some(3.0)));
    assert_eq!(p.normalization("slat_normalization").unwrap().mean.len(), 8);
    for key in p.models.keys() {
        let reference = folder.checkpoint(key).unwrap();
        assert!(!reference.open().unwrap().names().is_empty());
    }
    let flow = folder.checkpoint("slat_flow_model").unwrap();
    assert_eq!((flow.config.name.as_str(), flow.config.class()), ("ElasticSLatFlowModel", "SLatFlowModel"));
    assert_eq!(flow.config.args["model_channels"], 64);
}

#[test]
fn a_missing_model_hinders_only_whoever_asks_for_it() {
    let dir = tempfile::tempdir().unwrap();
    write_model(dir.path(), "ckpts/there", "A");
    write_pipeline(dir.path(), r#""a":"ckpts/there","rf":"ckpts/gone""#);
    let folder = ModelFolder::open(dir.path()).unwrap();
    assert_eq!(folder.checkpoint("a").unwrap().config.name, "A");
    let message = folder.checkpoint("rf").unwrap_err().to_string();
    for part in ["pipeline.json", "`rf`", "`ckpts/gone`", "gone.json", "gone.safetensors", "tried:"] {
        assert!(message.contains(part), "{part} not in {message}");
    }
}

#[test]
fn references_are_met_by_ckpts_siblings_and_hub_cache_in_turn() {
    let (own, sibling, cache) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write_pipeline(
        own.path(),
        r#""own":"some/where/else/x","sib":"owner/repo/ckpts/y","hub":"owner/repo/ckpts/z","down":"w""#,
    );
    write_model(own.path(), "ckpts/x", "Own");
    write_model(own.path(), "ckpts/w", "Down");
    write_model(sibling.path(), "ckpts/y", "Sibling");
    let repo = cache.path().join("models--owner--repo");
    write_model(&repo.join("snapshots/abc"), "ckpts/z", "Main");
    write_model(&repo.join("snapshots/000"), "ckpts/z", "Old");
    fs::create_dir_all(repo.join("refs")).unwrap();
    fs::write(repo.join("refs/main"), "abc\n").unwrap();
    let places = SearchPlaces { siblings: vec![sibling.path().into()], hub_cache: Some(cache.path().into()) };
    let folder = ModelFolder::open_with(own.path(), places).unwrap();
    for (key, class) in [("own", "Own"), ("sib", "Sibling"), ("hub", "Main"), ("down", "Down")] {
        assert_eq!(folder.checkpoint(key).unwrap().config.name, class);
    }
    let bare = ModelFolder::open(own.path()).unwrap();
    assert!(bare.checkpoint("sib").unwrap_err().to_string().contains("`owner/repo`"));
}

#[test]
fn an_error_in_a_file_that_is_there_is_not_masked() {
    let dir = tempfile::tempdir().unwrap();
    write_model(dir.path(), "ckpts/m", "A");
    write_pipeline(dir.path(), r#""m":"ckpts/m""#);
    fs::write(dir.path().join("ckpts/m.json"), "{ not json").unwrap();
    let folder = ModelFolder::open(dir.path()).unwrap();
    assert!(matches!(folder.checkpoint("m"), Err(Error::Malformed { .. })));
}

#[test]
fn component_folders_hold_config_and_model() {
    let dir = tempfile::tempdir().unwrap();
    write_pipeline(dir.path(), r#""slat_flow_model":"ckpts/slat_flow""#);
    let component = dir.path().join("ckpts/slat_flow");
    fs::create_dir_all(&component).unwrap();
    fs::write(component.join("config.json"), r#"{"name":"SLatFlowModel","args":{"resolution":64}}"#).unwrap();
    fs::write(component.join("model.safetensors"), crate::test_support::empty_safetensors()).unwrap();
    let found = ModelFolder::open(dir.path()).unwrap().checkpoint("slat_flow_model").unwrap();
    assert_eq!(found.config.args["resolution"], 64);
}

#[test]
fn the_encoder_is_named_by_its_field_or_by_a_model_that_is_here() {
    let dir = tempfile::tempdir().unwrap();
    write_model(dir.path(), "ckpts/d", "DinoVisionTransformer");
    let encoder = |fields: &str| {
        fs::write(dir.path().join("pipeline.json"), format!(r#"{{"name":"P","args":{{"models":{{}},{fields}}}}}"#))
            .unwrap();
        ModelFolder::open(dir.path()).unwrap().image_cond_checkpoint()
    };
    for named in [r#""image_cond_checkpoint":"ckpts/d""#, r#""image_cond_model":"ckpts/d""#] {
        assert_eq!(encoder(named).unwrap().unwrap().config.name, "DinoVisionTransformer");
    }
    // A name of torch's hub, and a way out of the folder, are no checkpoints here.
    for other in ["dinov2_vitl14_reg", "../ckpts/d"] {
        assert_eq!(encoder(&format!(r#""image_cond_model":"{other}""#)).unwrap(), None);
    }
    assert!(matches!(encoder(r#""image_cond_checkpoint":"ckpts/gone""#), Err(Error::Unresolved { .. })));
}

#[test]
fn references_may_not_leave_the_folder() {
    let dir = tempfile::tempdir().unwrap();
    write_pipeline(dir.path(), r#""a":"../../etc/passwd","b":"/etc/passwd""#);
    let folder = ModelFolder::open(dir.path()).unwrap();
    for key in ["a", "b"] {
        assert!(folder.checkpoint(key).unwrap_err().to_string().contains("relative path"));
    }
}

#[test]
fn wrong_fields_name_field_type_and_file() {
    let sampler = |s: &str| format!(r#"{{"name":"P","args":{{"models":{{}},"slat_sampler":{s}}}}}"#);
    let cases = [
        ("[]".to_owned(), "(root)", "an object"),
        ("{}".into(), "`name`", "a string"),
        (r#"{"name":"P"}"#.into(), "`args`", "an object"),
        (r#"{"name":"P","args":{}}"#.into(), "`args.models`", "an object"),
        (r#"{"name":"P","args":{"models":{"a":3}}}"#.into(), "`args.models.a`", "the number 3"),
        (sampler(r#"{"name":"S","args":{},"params":{}}"#), "`args.slat_sampler.args.sigma_min`", "a number"),
        (sampler(r#"{"name":"S","args":{"sigma_min":1},"params":{"steps":0}}"#), "steps`", "at least one"),
        (sampler(r#"{"name":"S","args":{"sigma_min":1},"params":{"steps":1.5}}"#), "steps`", "a whole number"),
        (
            sampler(r#"{"name":"S","args":{"sigma_min":1},"params":{"cfg_interval":[1]}}"#),
            "cfg_interval`",
            "two numbers",
        ),
        (
            r#"{"name":"P","args":{"models":{},"slat_normalization":{"mean":[1,2],"std":[1]}}}"#.into(),
            "slat_normalization.std`",
            "a list of 2",
        ),
        (
            r#"{"name":"P","args":{"models":{},"slat_normalization":{"mean":[1],"std":[0]}}}"#.into(),
            "slat_normalization.std`",
            "positive",
        ),
        (r#"{"name":"P","args":{"models":{},"image_size":0}}"#.into(), "`args.image_size`", "at least one pixel"),
    ];
    for (text, field, expected) in cases {
        let message = PipelineConfig::parse("dir/pipeline.json", text.as_bytes()).unwrap_err().to_string();
        assert!(
            message.contains(field) && message.contains(expected) && message.contains("dir/pipeline.json"),
            "{text}: {message}"
        );
    }
}

#[test]
fn unknown_fields_are_kept_and_reported() {
    let text = r#"{"name":"P","v":1,"args":{"models":{},"new":[1],"image_size":140,"image_cond_checkpoint":"ckpts/d",
        "s_sampler":{"name":"S","args":{"sigma_min":0.1},"params":{"eta":2}}}}"#;
    let p = PipelineConfig::parse("p", text.as_bytes()).unwrap();
    assert_eq!(p.unknown, ["args.s_sampler.params.eta", "args.new", "v"]);
    assert_eq!(p.extra["new"][0], 1);
    assert_eq!(p.samplers["s_sampler"].extra["eta"], 2);
    assert_eq!((p.image_size, p.image_cond_checkpoint.as_deref()), (140, Some("ckpts/d")));
}

#[test]
fn a_folder_one_level_up_is_pointed_out() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("inner")).unwrap();
    write_pipeline(&dir.path().join("inner"), "");
    assert!(ModelFolder::open(dir.path()).unwrap_err().to_string().contains("inner"));
    assert!(ModelFolder::open(dir.path().join("absent")).unwrap_err().to_string().contains("no such folder"));
}
