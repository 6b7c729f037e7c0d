//! How long the way from decoded features to a GLB takes on a device, and how well textures are solved for.
//!
//! `asset times [runs=3] [gaussians=300000] [faces=400000] [size=1024] [bake=solve|fast|auto]`: the program's own path on a made
//! scene, by parts;
//! `asset splats [gaussians=400000] [views=8] [side=1024]`: pictures of Gaussians by the device's clock;
//! `asset texture [views=100] [side=1024] [size=1024] [noise=0.01] [out=FOLDER]`: a known texture from pictures of it; with
//! `out` the observations are written for `tests/bench/torch_bake.py`, the reference's optimisation on the same data.
//! `asset extract [latent=20000] [half=0|1]`: the surface of a decoded field, on the device and by the definition.
//! Every form takes `tier=auto|cpu|web|base|subgroup|matrix`.

mod extract;
mod scene;
mod splats;
mod texture;
mod times;

use std::collections::BTreeMap;

use maquette::{Gpu, TierRequest};
use maquette_gpu::{AdapterChoice, OpenOptions};

/// What the examples fail with.
pub type Failure = Box<dyn std::error::Error>;

/// `name=value` arguments.
pub struct Arguments(BTreeMap<String, String>);

impl Arguments {
    /// A number, or its default.
    pub fn number(&self, name: &str, otherwise: f64) -> Result<f64, Failure> {
        Ok(self.0.get(name).map_or(Ok(otherwise), |text| text.parse())?)
    }

    /// A count, or its default.
    pub fn count(&self, name: &str, otherwise: usize) -> Result<usize, Failure> {
        Ok(self.0.get(name).map_or(Ok(otherwise), |text| text.parse())?)
    }

    /// A text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

fn open(arguments: &Arguments) -> Result<Gpu, Failure> {
    let tier: TierRequest = arguments.text("tier").unwrap_or("auto").parse()?;
    if arguments.text("tier") == Some("cpu") {
        return Ok(Gpu::cpu());
    }
    let options = OpenOptions { tier, ..OpenOptions::default() };
    Ok(pollster::block_on(Gpu::open(&AdapterChoice::default(), options))?)
}

fn main() -> Result<(), Failure> {
    let mut given = std::env::args().skip(1);
    let form = given.next().unwrap_or_default();
    let pair = |text: String| text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    let arguments = Arguments(given.filter_map(pair).collect());
    let run = match form.as_str() {
        "times" => times::run,
        "splats" => splats::run,
        "texture" => texture::run,
        "extract" => extract::run,
        other => return Err(format!("'{other}': expected times, splats, texture or extract").into()),
    };
    let gpu = open(&arguments)?;
    let facts = gpu.capabilities();
    println!("{} ({}), tier {}", facts.name, facts.driver, facts.tier.name());
    run(&gpu, &arguments)
}
