//! The small model judged on objects that it was never trained on, and shown.
//!
//! `mini figures OBJECTS OUT [count=8] [surfaces=8]`: what the model makes of the pictures in the folder OBJECTS (as
//! `tests/goldens/mini`, or as `python -m train.shelf` writes it), its structure IoU, and the IoU with the picture of the object
//! before; the stages go to OUT, where `python -m train.judge OBJECTS OUT` finds the surfaces' Chamfer distance and colour error;
//! `mini sheet OBJECTS OUT.webp|OUT.png [count=32] [side=96] [columns=4]`: each picture beside turntable views of its object.
//!
//! Both take `model=models/mini`, `tier=auto|cpu|web|base|subgroup|matrix`, `dtype=f32|f16`, `seed=1` and `steps=12` (of both
//! stages). Pictures are `object_0.png`, `object_1.png`, …

mod figures;
mod sheet;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use maquette::{
    Cutout, FolderModel, GenerateOptions, Gpu, Noise, PipelineOptions, Precision, Residency, Sampling, TierRequest,
    TrellisImageTo3d,
};
use maquette_gpu::{AdapterChoice, OpenOptions};

/// What the example fails with.
pub type Failure = Box<dyn std::error::Error>;

/// What was asked for on the command line.
pub struct Arguments {
    objects: PathBuf,
    /// Where the result goes.
    pub out: PathBuf,
    named: BTreeMap<String, String>,
}

impl Arguments {
    /// A count by its name, or its default.
    pub fn count(&self, name: &str, otherwise: u32) -> Result<u32, Failure> {
        Ok(self.named.get(name).map_or(Ok(otherwise), |text| text.parse())?)
    }

    /// A file of the folder of objects.
    pub fn object_file(&self, name: &str) -> PathBuf {
        self.objects.join(name)
    }

    /// The picture of an object.
    pub fn cutout(&self, object: u32) -> Result<Cutout, Failure> {
        let picture = std::fs::read(self.object_file(&format!("object_{object}.png")))?;
        Ok(Cutout::with_alpha(&picture, &Default::default())?)
    }

    fn text(&self, name: &str, otherwise: &'static str) -> &str {
        self.named.get(name).map_or(otherwise, String::as_str)
    }

    fn pipeline(&self) -> Result<TrellisImageTo3d, Failure> {
        let tier: TierRequest = self.text("tier", "auto").parse()?;
        let gpu = match self.text("tier", "auto") {
            "cpu" => Gpu::cpu(),
            _ => {
                let options = OpenOptions { tier, ..OpenOptions::default() };
                pollster::block_on(Gpu::open(&AdapterChoice::default(), options))?
            }
        };
        let precision = match self.text("dtype", "f32") {
            "f32" => Precision::F32,
            "f16" => Precision::F16,
            other => return Err(format!("dtype '{other}': expected f32 or f16").into()),
        };
        let facts = gpu.capabilities();
        println!("{} ({}), tier {}, {precision:?}", facts.name, facts.driver, facts.tier.name());
        let model = FolderModel::open(Path::new(self.text("model", "models/mini")), Default::default())?;
        let options = PipelineOptions { precision, residency: Residency::Resident };
        Ok(TrellisImageTo3d::new(Arc::new(model), gpu, options)?)
    }

    /// Settings of the samplers. Every object has its own noise.
    pub fn generation(&self, object: u32) -> Result<GenerateOptions, Failure> {
        let sampling = Sampling { steps: Some(self.count("steps", 12)?), ..Default::default() };
        let seed = u64::from(self.count("seed", 1)?) * 1_000_000 + u64::from(object);
        Ok(GenerateOptions { noise: Noise::Seed(seed), structure: sampling, latent: sampling, ..Default::default() })
    }
}

fn main() -> Result<(), Failure> {
    const USE: &str = "expected: mini figures|sheet OBJECTS OUT [name=value …]";
    let mut given = std::env::args().skip(1);
    let (form, objects, out) = (given.next().ok_or(USE)?, given.next().ok_or(USE)?, given.next().ok_or(USE)?);
    let pair = |text: String| text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    let named = given.map(|text| pair(text).ok_or(USE)).collect::<Result<_, _>>()?;
    let arguments = Arguments { objects: objects.into(), out: out.into(), named };
    match form.as_str() {
        "figures" => pollster::block_on(figures::run(&arguments.pipeline()?, &arguments)),
        "sheet" => pollster::block_on(sheet::run(&arguments.pipeline()?, &arguments)),
        _ => Err(USE.into()),
    }
}
