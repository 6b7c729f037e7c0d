//! The open device with a model: what a worker holds.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use js_sys::{Function, Promise};
use maquette::maquette_gpu::{AdapterChoice, Gpu, OpenOptions};
use maquette::maquette_weights::Checkpoint;
use maquette::pipeline::{PipelineOptions, Residency};
use maquette::{CancelToken, Matting, ModelSource, Noise, Precision, TrellisImageTo3d, stage_files};
use maquette_kernels::{CheckLine, selfcheck};
use serde_json::{Value, json};
use wasm_bindgen::prelude::*;

use crate::browser;
use crate::cutout::{Cutout, CutoutObject};
use crate::events::{Listener, silent};
use crate::facts::Facts;
use crate::failure::Failure;
use crate::fault;
use crate::generated::{Generated, Origin, Stages};
use crate::options::{self, CutOut, Generate};
use crate::pack_model::PackModel;
use crate::splats::{Eye, Splats};

/// An open device, and a model once one was set.
#[wasm_bindgen]
pub struct Engine {
    inner: Rc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) gpu: Gpu,
    facts: Facts,
    precision: Precision,
    model: RefCell<Option<Arc<PackModel>>>,
    matting: RefCell<Option<Rc<Matting>>>,
    noise: RefCell<Option<Noise>>,
    cancel: RefCell<CancelToken>,
    busy: Cell<bool>,
    splats: RefCell<Option<Splats>>,
}

/// Marks the engine as at work until it is dropped.
struct Work(Rc<Inner>);

impl Drop for Work {
    fn drop(&mut self) {
        self.0.busy.set(false);
    }
}

impl Inner {
    async fn open(text: String) -> Result<Self, Failure> {
        let options: options::Open = options::parse(&text)?;
        browser::restrict(options.minimum_limits(), options.features.clone());
        if let Some(reason) = Facts::obstacle(&browser::look().await) {
            return Err(Failure::NoWebGpu { reason });
        }
        let how = OpenOptions { tier: options.tier()?, ..OpenOptions::default() };
        let gpu = Gpu::open(&AdapterChoice::default(), how).await?;
        let precision = options.precision(gpu.capabilities().f16)?;
        let facts = Facts::of_device(&browser::look().await, gpu.capabilities(), precision);
        Ok(Self {
            gpu,
            facts,
            precision,
            model: RefCell::default(),
            matting: RefCell::default(),
            noise: RefCell::default(),
            cancel: RefCell::default(),
            busy: Cell::default(),
            splats: RefCell::default(),
        })
    }

    /// Begins a piece of work that nothing else runs beside.
    fn begin(self: &Rc<Self>) -> Result<(Work, CancelToken), Failure> {
        if self.busy.replace(true) {
            return Err(Failure::Busy);
        }
        let cancel = CancelToken::default();
        self.cancel.replace(cancel.clone());
        Ok((Work(self.clone()), cancel))
    }

    fn matting(&self) -> Result<Rc<Matting>, Failure> {
        self.matting.borrow().clone().ok_or(Failure::Order { missing: "setMatting" })
    }

    async fn cut_out(self: Rc<Self>, picture: Vec<u8>, text: String) -> Result<Cutout, Failure> {
        let asked: CutOut = options::parse(&text)?;
        let options = asked.options();
        let (_work, cancel) = self.begin()?;
        let cutout = if asked.keep_background {
            maquette::Cutout::with_background(&picture, &options)?
        } else {
            // Without a network a picture with an alpha still works.
            match maquette::Cutout::with_alpha(&picture, &options) {
                Err(maquette::Error::NoMatting) => {
                    let matting = self.matting()?;
                    maquette::Cutout::matted(&picture, &matting, &options, &silent(cancel)).await?
                }
                other => other?,
            }
        };
        Cutout::new(&picture, cutout, &options)
    }

    async fn generate(
        self: Rc<Self>,
        cutouts: Vec<Cutout>,
        text: String,
        listener: Listener,
        ensure: Function,
    ) -> Result<Generated, Failure> {
        let options = options::parse::<Generate>(&text)?.options(self.noise.borrow().clone());
        let model = self.model.borrow().clone().ok_or(Failure::Order { missing: "setModel" })?;
        let (_work, cancel) = self.begin()?;
        self.splats.take();
        model.set_ensure(ensure);
        let control = listener.control(cancel);
        let run = async {
            let settings = PipelineOptions { precision: self.precision, residency: Residency::Staged };
            let pipeline = TrellisImageTo3d::new(model.clone(), self.gpu.clone(), settings)?;
            let side = pipeline.picture_side();
            let pictures = cutouts.iter().map(|c| c.cutout().prepared(side)).collect::<maquette::Result<Vec<_>>>()?;
            let condition = pipeline.encode(&pictures, &control).await?;
            let structure = pipeline.structure(&condition, &options, &control).await?;
            let latent = pipeline.latent(&condition, &structure, &options, &control).await?;
            let gaussians = pipeline.gaussians(&latent, &control).await?;
            let splats = Splats::new(gaussians, Some(self.gpu.clone()));
            self.splats.replace(Some(splats.clone()));
            listener.tell(&json!({"kind": "gaussians", "count": splats.gaussians.len()}));
            let mesh = pipeline.mesh(&latent, &control).await?;
            let origin = Origin { model: pipeline.model().name(), tier: self.gpu.capabilities().tier, options };
            let stages = Some(Stages { condition, structure, latent });
            Ok(Generated::new(stages, splats, mesh, Some(origin)))
        };
        let outcome: Result<Generated, Failure> = run.await;
        match (outcome, model.thrown()) {
            (Err(_), Some(thrown)) => Err(Failure::Page(thrown)),
            (outcome, _) => outcome,
        }
    }
}

#[wasm_bindgen]
impl Engine {
    /// Opens the browser's device.
    #[wasm_bindgen(unchecked_return_type = "Promise<Engine>")]
    pub fn open(options: String) -> Promise {
        fault::promise(async { Ok(Self { inner: Rc::new(Inner::open(options).await?) }) })
    }

    /// What is known of the device, as JSON.
    pub fn facts(&self) -> String {
        self.inner.facts.to_json().to_string()
    }

    /// Takes a model by the text of its `pack.json`; `read` gives bytes of a shard.
    #[wasm_bindgen(js_name = setModel)]
    pub fn set_model(
        &self,
        pack: &str,
        #[wasm_bindgen(unchecked_param_type = "(shard: number, start: number, end: number) => Uint8Array")]
        read: Function,
    ) -> Result<(), JsValue> {
        fault::check()?;
        let model = PackModel::new(pack, read).map_err(Failure::from)?;
        self.inner.model.replace(Some(Arc::new(model)));
        Ok(())
    }

    /// Takes the weights of the network that cuts subjects out.
    #[wasm_bindgen(js_name = setMatting)]
    pub fn set_matting(&self, weights: Vec<u8>) -> Result<(), JsValue> {
        fault::check()?;
        let weights = Checkpoint::from_bytes(weights).map_err(Failure::from)?;
        self.inner.matting.replace(Some(Rc::new(Matting::new(weights, self.inner.gpu.clone()))));
        Ok(())
    }

    /// Takes noise in place of the seed: safetensors with `ss_noise` and `slat_noise`. Without a value the seed counts again.
    #[wasm_bindgen(js_name = setNoise)]
    pub fn set_noise(&self, noise: Option<Vec<u8>>) -> Result<(), JsValue> {
        fault::check()?;
        let noise = noise.map(|bytes| stage_files::read_noise("noise", bytes)).transpose().map_err(Failure::from)?;
        self.inner.noise.replace(noise);
        Ok(())
    }

    /// The model's stages in the order of the run, as JSON.
    pub fn stages(&self) -> Result<String, JsValue> {
        fault::check()?;
        let model = self.inner.model.borrow().clone().ok_or(Failure::Order { missing: "setModel" })?;
        Ok(model.stages().map_err(Failure::from)?.to_string())
    }

    /// Cuts the subject out of a picture file.
    #[wasm_bindgen(unchecked_return_type = "Promise<Cutout>")]
    pub fn cutout(&self, picture: Vec<u8>, options: String) -> Promise {
        fault::promise(self.inner.clone().cut_out(picture, options))
    }

    /// Makes an object of cut-outs of it.
    #[wasm_bindgen(unchecked_return_type = "Promise<Generated>")]
    pub fn generate(
        &self,
        cutouts: Vec<CutoutObject>,
        options: String,
        #[wasm_bindgen(unchecked_param_type = "(json: string) => void")] on_event: Function,
        #[wasm_bindgen(unchecked_param_type = "(stageKey: string) => Promise<void>")] ensure: Function,
    ) -> Promise {
        let inner = self.inner.clone();
        fault::promise(async move {
            let cutouts = cutouts.iter().map(CutoutObject::borrowed).collect::<Result<Vec<_>, _>>()?;
            inner.generate(cutouts, options, Listener::new(on_event), ensure).await
        })
    }

    /// The object of a dump's `gaussians.safetensors` and `mesh.safetensors`; `options` are those of the `generate` that made it.
    pub fn resume(&self, gaussians: Vec<u8>, mesh: Vec<u8>, options: &str) -> Result<Generated, JsValue> {
        fault::check()?;
        let options = options::parse::<Generate>(options)?.options(self.inner.noise.borrow().clone());
        let model = self.inner.model.borrow().clone().ok_or(Failure::Order { missing: "setModel" })?;
        let gpu = self.inner.gpu.clone();
        let origin = Origin { model: model.name(), tier: gpu.capabilities().tier, options };
        Ok(Generated::read(gaussians, mesh, Some(gpu), Some(origin))?)
    }

    /// A picture of the Gaussians of the running or the last `generate`.
    #[wasm_bindgen(js_name = renderSplats, unchecked_return_type = "Promise<Uint8ClampedArray>")]
    pub fn render_splats(&self, width: u32, height: u32, yaw: f64, pitch: f64, distance: f64) -> Promise {
        let splats = self.inner.splats.borrow().clone();
        fault::promise(async move {
            let splats = splats.ok_or(Failure::Order { missing: "generate, until its \"gaussians\" event," })?;
            splats.picture(Eye { size: [width, height], yaw, pitch, distance }).await
        })
    }

    /// Compiles the kernels' pipelines and compares each with its definition, while weights are still downloading. JSON: a
    /// list of `{ name, error, bound, ok }`. Nothing else runs beside it.
    #[wasm_bindgen(unchecked_return_type = "Promise<string>")]
    pub fn warm(&self) -> Promise {
        let inner = self.inner.clone();
        fault::promise(async move {
            let (_work, _) = inner.begin()?;
            let lines = inner.gpu.guard_async(selfcheck(inner.gpu.device())).await?;
            let described = |l: &CheckLine| json!({"name": l.name, "error": l.error, "bound": l.bound, "ok": l.ok});
            Ok(Value::from(lines.iter().map(described).collect::<Vec<_>>()).to_string())
        })
    }

    /// Stops the running work at its next step.
    pub fn cancel(&self) {
        self.inner.cancel.borrow().cancel();
    }

    /// Loses the device, as a driver reset would.
    #[wasm_bindgen(js_name = destroyDevice)]
    pub fn destroy_device(&self) {
        self.inner.gpu.destroy_device();
    }

    /// Bytes of the module's heap and of the device, as JSON.
    pub fn memory(&self) -> String {
        let heap = core::arch::wasm32::memory_size(0) * (64 << 10);
        let gpu = self.inner.gpu.memory().unwrap_or_default();
        json!({"heap": heap, "gpuInUse": gpu.in_use, "gpuReserved": gpu.reserved}).to_string()
    }
}
