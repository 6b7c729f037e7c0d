//! Checkpoints of the published sizes with seeded random values, for tests of speed and memory where trained weights are not at
//! hand. Values are scaled so that activations keep their size: a picture made with them means nothing, but costs what a real one
//! costs.

use std::borrow::Cow;
use std::path::Path;

use serde_json::{Value, json};

use crate::manifest::Manifest;
use crate::safetensors::write::write_whole;
use crate::{DType, Error, Result, SafetensorsWriter, TensorInfo, TensorSource, TensorView, nearest};

/// Writes `<stem>.json` and `<stem>.safetensors` for a manifest. `progress` is told the bytes written so far.
///
/// # Errors
/// [`Error::Io`].
pub fn checkpoint(manifest: &Manifest, stem: &Path, seed: u64, progress: &mut dyn FnMut(u64)) -> Result<()> {
    if let Some(folder) = stem.parent() {
        std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
    }
    let with = |ending: &str| {
        let mut name = stem.as_os_str().to_owned();
        name.push(ending);
        std::path::PathBuf::from(name)
    };
    let tensors: Vec<TensorInfo> = manifest.tensors.values().cloned().collect();
    let metadata = [("maquette.synthetic".to_owned(), format!("random values, seed {seed}"))].into();
    let mut writer = SafetensorsWriter::create(&with(".safetensors"), &tensors, &metadata)?;
    let mut done = 0;
    for info in &tensors {
        let bytes = values(info, seed);
        writer.write(&info.name, &bytes)?;
        done += bytes.len() as u64;
        progress(done);
    }
    writer.finish()?;
    let description = json!({"name": manifest.class, "args": manifest.args});
    write_whole(&with(".json"), format!("{description:#}\n").as_bytes())
}

/// A checkpoint of a manifest's tensors that is never written: values are made when a tensor is asked for. A tensor repeats its
/// first values, so that a network of a billion weights takes seconds.
#[derive(Debug)]
pub struct Synthetic {
    manifest: Manifest,
    seed: u64,
}

/// Values before a tensor repeats itself: a prime, so that no two rows are alike.
const PERIOD: usize = 65_521;

impl Synthetic {
    /// The checkpoint.
    pub fn new(manifest: Manifest, seed: u64) -> Self {
        Self { manifest, seed }
    }
}

impl TensorSource for Synthetic {
    fn names(&self) -> Vec<&str> {
        self.manifest.tensors.keys().map(String::as_str).collect()
    }

    fn info(&self, name: &str) -> Option<&TensorInfo> {
        self.manifest.tensors.get(name)
    }

    fn get(&self, name: &str) -> Result<TensorView<'_>> {
        let Some(info) = self.info(name) else {
            return Err(Error::MissingTensor {
                origin: self.manifest.id.clone(),
                name: name.to_owned(),
                nearest: nearest::nearest(name, self.names()).map(str::to_owned),
            });
        };
        let mut bytes = first_values(info, self.seed, info.elements().min(PERIOD));
        let whole = bytes.len() / info.elements().clamp(1, PERIOD) * info.elements();
        while bytes.len() < whole {
            bytes.extend_from_within(..bytes.len().min(whole - bytes.len()));
        }
        Ok(TensorView::new(info, Cow::Owned(bytes)))
    }
}

/// Writes the `pipeline.json` that goes with the published TRELLIS image model's checkpoints under `ckpts/`.
///
/// # Errors
/// [`Error::Io`].
pub fn trellis_pipeline(folder: &Path) -> Result<()> {
    write_whole(&folder.join("pipeline.json"), format!("{:#}\n", trellis_description()).as_bytes())
}

/// What it says.
pub fn trellis_description() -> Value {
    let sampler = json!({"name": "FlowEulerGuidanceIntervalSampler", "args": {"sigma_min": 1e-5},
        "params": {"steps": 25, "cfg_strength": 5.0, "cfg_interval": [0.5, 1.0], "rescale_t": 3.0}});
    let models = TRELLIS.map(|(key, name)| (key.to_owned(), Value::from(format!("ckpts/{name}"))));
    json!({"name": "TrellisImageTo3DPipeline", "args": {
        "models": Value::Object(models.into_iter().collect()),
        "sparse_structure_sampler": sampler,
        "slat_sampler": sampler,
        "slat_normalization": {
            "mean": [-2.168_754_577_636_718_8, -0.004_347_046_371_549_368, -0.133_523_494_005_203_25, -0.084_180_727_601_051_33,
                -0.527_120_649_814_605_7, 0.723_868_906_497_955_3, -1.141_445_040_702_819_8, 1.203_936_338_424_682_6],
            "std": [2.377_650_737_762_451, 2.386_378_288_269_043, 2.124_418_020_248_413, 2.174_855_232_238_769_5,
                2.663_944_721_221_924, 2.371_192_216_873_169, 2.621_744_632_720_947_3, 2.684_523_105_621_338]
        },
        "image_cond_model": "dinov2_vitl14_reg",
        "image_cond_checkpoint": "ckpts/dinov2_vitl14_reg"
    }})
}

/// Keys and checkpoints of the published TRELLIS image model.
pub const TRELLIS: [(&str, &str); 6] = [
    ("sparse_structure_decoder", "ss_dec_conv3d_16l8_fp16"),
    ("sparse_structure_flow_model", "ss_flow_img_dit_L_16l8_fp16"),
    ("slat_decoder_gs", "slat_dec_gs_swin8_B_64l8gs32_fp16"),
    ("slat_decoder_rf", "slat_dec_rf_swin8_B_64l8r16_fp16"),
    ("slat_decoder_mesh", "slat_dec_mesh_swin8_B_64l8m256c_fp16"),
    ("slat_flow_model", "slat_flow_img_dit_L_64l8p2_fp16"),
];

/// Centre and half-width of a tensor's values.
fn spread(info: &TensorInfo) -> (f32, f32) {
    let segments: Vec<&str> = info.name.split('.').collect();
    let last = segments.last().copied().unwrap_or_default();
    let norm = segments
        .iter()
        .any(|s| s.contains("norm") || s.starts_with("bn_") || matches!(*s, "act_layers" | "ls1" | "ls2"));
    match (last, info.shape.len()) {
        ("running_var", _) => (1.0, 0.2),
        ("weight" | "gamma", 1) | ("gamma", _) => (1.0, 0.1),
        ("weight", _) if norm => (1.0, 0.1),
        ("weight", 2..) => {
            // Everything but the output axis flows in; a uniform of that half-width has variance 1 / fan_in.
            let fan_in: usize = info.shape.iter().skip(1).product();
            (0.0, (3.0 / fan_in.max(1) as f32).sqrt())
        }
        _ => (0.0, 0.02),
    }
}

/// A tensor's bytes: uniform around the centre, a function of the seed and the tensor's name alone.
fn values(info: &TensorInfo, seed: u64) -> Vec<u8> {
    first_values(info, seed, info.elements())
}

/// The first `n` of them.
fn first_values(info: &TensorInfo, seed: u64, n: usize) -> Vec<u8> {
    let (centre, half) = spread(info);
    // FNV-1a of the name, so that the values do not depend on the order of the tensors.
    let start =
        info.name.bytes().fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
            ^ seed;
    let value = |i: usize| {
        let mut z = start.wrapping_add((i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        let unit = ((z ^ z >> 31) >> 40) as f32 / 8_388_608.0 - 1.0;
        centre + half * unit
    };
    match info.dtype {
        DType::F16 => (0..n).flat_map(|i| half::f16::from_f32(value(i)).to_le_bytes()).collect(),
        DType::BF16 => (0..n).flat_map(|i| half::bf16::from_f32(value(i)).to_le_bytes()).collect(),
        DType::F32 => (0..n).flat_map(|i| value(i).to_le_bytes()).collect(),
        // Counters and masks: zero means as much as any number.
        other => vec![0; n * other.size().unwrap_or(1)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Verdict, check};
    use crate::{Checkpoint, ModelFolder};

    #[test]
    fn a_synthetic_decoder_passes_its_manifest_and_has_unit_gain() {
        let dir = tempfile::tempdir().unwrap();
        let manifest = Manifest::named("u2net").unwrap();
        checkpoint(&manifest, &dir.path().join("ckpts/u2net"), 7, &mut |_| {}).unwrap();
        std::fs::write(dir.path().join("pipeline.json"), r#"{"name":"P","args":{"models":{"m":"ckpts/u2net"}}}"#)
            .unwrap();
        let report = check(&ModelFolder::open(dir.path()).unwrap());
        assert!(report.is_good(), "{report:?}");
        assert!(
            matches!(&report.models[0].verdict, Verdict::Compared(id, c) if id == "trellis/u2net" && c.matching == 798)
        );
        let c = Checkpoint::open(dir.path().join("ckpts/u2net.safetensors")).unwrap();
        let w = c.tensor("stage1.rebnconvin.conv_s1.weight").unwrap().to_f32();
        let variance = w.iter().map(|v| v * v).sum::<f32>() / w.len() as f32;
        assert!((variance * 27.0 - 1.0).abs() < 0.1, "{variance}");
        let var = c.tensor("stage1.rebnconvin.bn_s1.running_var").unwrap().to_f32();
        assert!(var.iter().all(|v| (0.8..=1.2).contains(v)));
    }

    #[test]
    fn values_depend_on_seed_and_name_only() {
        let info = |name: &str| TensorInfo { name: name.into(), dtype: DType::F32, shape: vec![4, 4] };
        assert_eq!(values(&info("a.weight"), 1), values(&info("a.weight"), 1));
        assert_ne!(values(&info("a.weight"), 1), values(&info("a.weight"), 2));
        assert_ne!(values(&info("a.weight"), 1), values(&info("b.weight"), 1));
    }

    #[test]
    fn a_checkpoint_that_is_not_written_has_the_written_one_s_first_values() {
        let manifest = Manifest::named("trellis/ss_dec_conv3d_16l8_fp16").unwrap();
        let source = Synthetic::new(manifest.clone(), 3);
        assert!(source.names().len() > 20);
        for info in manifest.tensors.values() {
            let view = source.get(&info.name).unwrap();
            let expected = first_values(info, 3, info.elements().min(PERIOD));
            assert_eq!(view.bytes().len(), info.elements() * info.dtype.size().unwrap());
            assert!(view.bytes().starts_with(&expected), "{}", info.name);
        }
        assert!(matches!(source.get("middle_block.0.conv9.weight"), Err(Error::MissingTensor { .. })));
    }

    #[test]
    fn the_published_pipeline_reads_back() {
        let dir = tempfile::tempdir().unwrap();
        trellis_pipeline(dir.path()).unwrap();
        let folder = ModelFolder::open(dir.path()).unwrap();
        assert_eq!(folder.pipeline().sampler("slat_sampler").unwrap().params.steps, Some(25));
        assert_eq!(folder.pipeline().normalization("slat_normalization").unwrap().mean[0], -2.168_754_6);
        assert!(folder.pipeline().unknown.is_empty());
        assert!(!check(&folder).is_good());
    }
}
