//! SyncHuman's folders: a first stage of components with a `pipeline_config.json`, and a second stage laid out like TRELLIS.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::fields::{Fields, as_string};
use super::model_folder::{CheckpointRef, ModelFolder};
use super::resolve;
use crate::{Error, ModelConfig, Result, SearchPlaces, strict_json};

/// Components of the first stage that hold no weights.
const WITHOUT_WEIGHTS: [&str; 1] = ["feature_extractor"];

/// `ckpts/OneStage`: components, each in a folder of its own.
#[derive(Clone, Debug)]
pub struct OneStageFolder {
    root: PathBuf,
    /// Number of views that the multi-view branch makes.
    pub num_views: u32,
    /// Component name to its class and folder.
    pub components: BTreeMap<String, (String, String)>,
    /// Dotted paths of fields that nothing reads.
    pub unknown: Vec<String>,
}

impl OneStageFolder {
    /// Reads the folder's `pipeline_config.json`.
    ///
    /// # Errors
    /// [`Error::NotAModelFolder`] without the file, else as [`crate::PipelineConfig::parse`].
    pub fn open(root: impl AsRef<Path>) -> Result<Self> {
        let root = root.as_ref();
        let file = root.join("pipeline_config.json");
        if !file.is_file() {
            return Err(Error::NotAModelFolder {
                path: root.to_owned(),
                problem: "it has no pipeline_config.json".into(),
            });
        }
        let origin = file.display().to_string();
        let text = std::fs::read(&file).map_err(Error::io(&file))?;
        let mut fields = Fields::new(&origin, "", strict_json::parse_value(&origin, &text)?)?;
        let num_views =
            fields.u32("num_views")?.ok_or_else(|| fields.error("num_views", "a whole number", "nothing"))?;
        let (mut components, mut unknown) = (BTreeMap::new(), Vec::new());
        for (name, value) in fields.object("metadata")? {
            let path = format!("metadata.{name}");
            let mut component = Fields::new(&origin, &path, value)?;
            let entry = (component.string("class")?, component.string("subdir")?);
            if !resolve::is_plain_relative(&entry.1) {
                return Err(component.error("subdir", "a folder inside this one", format!("the string {:?}", entry.1)));
            }
            component.leftovers(&mut unknown);
            components.insert(name, entry);
        }
        for key in ["device", "dtype"] {
            if let Some(value) = fields.optional(key) {
                as_string(&origin, key, value)?;
            }
        }
        fields.leftovers(&mut unknown);
        Ok(Self { root: root.to_owned(), num_views, components, unknown })
    }

    /// Names of the components that hold weights.
    pub fn with_weights(&self) -> impl Iterator<Item = &str> {
        self.components.keys().map(String::as_str).filter(|c| !WITHOUT_WEIGHTS.contains(c))
    }

    /// Finds a component's description and weights.
    ///
    /// # Errors
    /// [`Error::Field`] if the folder has no such component, [`Error::Unresolved`] if its files are missing.
    pub fn component(&self, name: &str) -> Result<CheckpointRef> {
        let origin = self.root.join("pipeline_config.json").display().to_string();
        let Some((class, subdir)) = self.components.get(name) else {
            return Err(Error::Field {
                origin,
                field: format!("metadata.{name}"),
                expected: "an object {class, subdir}".into(),
                found: "nothing".into(),
            });
        };
        let folder = self.root.join(subdir);
        let description = folder.join("config.json");
        let (true, Some(weights)) = (description.is_file(), resolve::component_weights(&folder)) else {
            return Err(Error::Unresolved {
                origin,
                key: name.into(),
                value: subdir.clone(),
                tried: std::iter::once("config.json")
                    .chain(resolve::COMPONENT_FILES)
                    .map(|f| folder.join(f).display().to_string())
                    .collect(),
                advice: format!("put config.json and the weights of `{name}` into {}", folder.display()),
            });
        };
        let text = std::fs::read(&description).map_err(Error::io(&description))?;
        let value = strict_json::parse_value(&description.display().to_string(), &text)?;
        // Diffusers and transformers descriptions are arguments only; the class is in pipeline_config.json.
        let config = match value {
            serde_json::Value::Object(args) if !args.contains_key("args") => {
                ModelConfig { name: class.clone(), args, origin: description.display().to_string() }
            }
            _ => ModelConfig::parse(&description.display().to_string(), &text)?,
        };
        Ok(CheckpointRef { key: name.into(), config, description, weights })
    }
}

/// The whole model: both stages.
#[derive(Clone, Debug)]
pub struct SyncHumanFolder {
    /// The multi-view diffusion stage.
    pub one_stage: OneStageFolder,
    /// The reconstruction stage.
    pub second_stage: ModelFolder,
}

impl SyncHumanFolder {
    /// Opens a folder that holds `OneStage` and `SecondStage`, itself or in its `ckpts`.
    ///
    /// # Errors
    /// Those of either stage.
    pub fn open(root: impl AsRef<Path>, places: SearchPlaces) -> Result<Self> {
        let root = root.as_ref();
        let inner = root.join("ckpts");
        let base = if inner.join("OneStage").is_dir() { inner } else { root.to_owned() };
        Ok(Self {
            one_stage: OneStageFolder::open(base.join("OneStage"))?,
            second_stage: ModelFolder::open_with(base.join("SecondStage"), places)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::test_support::empty_safetensors;

    fn write(root: &Path, files: &[(&str, &[u8])]) {
        for (name, bytes) in files {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
    }

    #[test]
    fn both_stages_resolve_in_the_published_layout() {
        let dir = tempfile::tempdir().unwrap();
        let weights = empty_safetensors();
        let pipeline = br#"{"name":"P","args":{"models":{"slat_decoder_gs":"someone/SyncHuman-GS","slat_flow_model":"ckpts/slat_flow"},
            "slat_sampler":{"name":"S","args":{"sigma_min":1e-5},"params":{"steps":25}},"image_cond_model":"dinov2_vitl14_reg"}}"#;
        write(dir.path(), &[
            ("ckpts/OneStage/pipeline_config.json", br#"{"num_views":5,"note":1,"metadata":{"vae":{"class":"AutoencoderKL","subdir":"vae"},"gone":{"class":"C","subdir":"gone"},"sparse_structure_decoder":{"class":"D","subdir":"ss"}}}"#),
            ("ckpts/OneStage/vae/config.json", br#"{"_class_name":"AutoencoderKL","latent_channels":4}"#),
            ("ckpts/OneStage/vae/diffusion_pytorch_model.safetensors", &weights),
            ("ckpts/OneStage/ss/config.json", br#"{"name":"SparseStructureDecoder","args":{"out_channels":1}}"#),
            ("ckpts/OneStage/ss/model.safetensors", &weights),
            ("ckpts/SecondStage/pipeline.json", pipeline),
            ("ckpts/SecondStage/ckpts/slat_flow/config.json", br#"{"name":"SLatFlowModel","args":{}}"#),
            ("ckpts/SecondStage/ckpts/slat_flow/model.safetensors", &weights),
            ("ckpts/SecondStage/ckpts/decoder_GS/config.json", br#"{"name":"SLatGaussianDecoder","args":{}}"#),
            ("ckpts/SecondStage/ckpts/decoder_GS/model.safetensors", &weights),
        ]);
        let folder = SyncHumanFolder::open(dir.path(), SearchPlaces::default()).unwrap();
        assert_eq!((folder.one_stage.num_views, folder.one_stage.unknown.as_slice()), (5, &["note".to_owned()][..]));
        let vae = folder.one_stage.component("vae").unwrap();
        assert_eq!((vae.config.name.as_str(), &vae.config.args["latent_channels"]), ("AutoencoderKL", &4.into()));
        assert!(vae.open().is_ok());
        assert_eq!(folder.one_stage.component("sparse_structure_decoder").unwrap().config.args["out_channels"], 1);
        let message = folder.one_stage.component("gone").unwrap_err().to_string();
        assert!(message.contains("model.safetensors") && message.contains("`gone`"), "{message}");
        assert!(folder.one_stage.component("nobody").is_err());
        assert_eq!(folder.second_stage.checkpoint("slat_flow_model").unwrap().config.name, "SLatFlowModel");
        assert_eq!(folder.second_stage.checkpoint("slat_decoder_gs").unwrap().config.name, "SLatGaussianDecoder");
    }

    #[test]
    fn components_are_compared_with_the_manifest_of_their_role() {
        let dir = tempfile::tempdir().unwrap();
        let manifest = crate::manifest::Manifest::named("synchuman/onestage_sparse_structure_decoder").unwrap();
        let component = dir.path().join("OneStage/sparse_structure_decoder");
        crate::synthesize::checkpoint(&manifest, &component.join("model"), 1, &mut |_| {}).unwrap();
        fs::rename(component.join("model.json"), component.join("config.json")).unwrap();
        let metadata = r#"{"num_views":5,"metadata":{"sparse_structure_decoder":{"class":"D","subdir":"sparse_structure_decoder"},
            "feature_extractor":{"class":"F","subdir":"feature_extractor"}}}"#;
        write(
            dir.path(),
            &[
                ("OneStage/pipeline_config.json", metadata.as_bytes()),
                ("SecondStage/pipeline.json", br#"{"name":"P","args":{"models":{}}}"#),
            ],
        );
        let check =
            || crate::manifest::check_synchuman(&SyncHumanFolder::open(dir.path(), SearchPlaces::default()).unwrap());
        let report = check();
        assert!(report.is_good() && report.models.len() == 1, "{report:?}");
        fs::write(component.join("model.safetensors"), empty_safetensors()).unwrap();
        assert!(!check().is_good());
    }

    #[test]
    fn a_component_may_not_leave_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        write(
            dir.path(),
            &[("pipeline_config.json", br#"{"num_views":5,"metadata":{"a":{"class":"C","subdir":"../x"}}}"#)],
        );
        assert!(OneStageFolder::open(dir.path()).unwrap_err().to_string().contains("metadata.a.subdir"));
        write(dir.path(), &[("pipeline_config.json", br#"{"metadata":{}}"#)]);
        assert!(OneStageFolder::open(dir.path()).unwrap_err().to_string().contains("`num_views`"));
    }
}
