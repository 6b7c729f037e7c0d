//! A model whose weights are in a pack that the page keeps: each tensor is read when it is uploaded.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::sync::Arc;

use js_sys::{Function, Promise, Uint8Array};
use maquette::maquette_weights::pack::Pack;
use maquette::maquette_weights::{IMAGE_ENCODER, ModelConfig, PipelineConfig, TensorSource};
use maquette::{Error, ModelSource, Prepared, Result, Weights};
use maquette_models::dinov2::DinoConfig;
use serde_json::{Value, json};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use crate::failure::words;
use crate::one_thread::{OneThread, sendable};

/// The stages that are run, in their order, with what they do in words.
const RUN_ORDER: [(&str, &str); 6] = [
    (IMAGE_ENCODER, "looking at the picture"),
    ("sparse_structure_flow_model", "sampling the structure"),
    ("sparse_structure_decoder", "decoding the structure"),
    ("slat_flow_model", "sampling the surface"),
    ("slat_decoder_gs", "decoding Gaussians"),
    ("slat_decoder_mesh", "decoding the mesh"),
];

/// The page's side of a pack.
struct Page {
    /// `(shard, start, end) => Uint8Array`.
    read: Function,
    /// `(stage) => Promise<void>`; none before the first run.
    ensure: RefCell<Option<Function>>,
    /// What one of the two threw, to be handed back as it is.
    thrown: RefCell<Option<JsValue>>,
}

impl Page {
    /// Fills `into` with the bytes of a shard from `start` on.
    fn read(&self, shard: usize, start: u64, into: &mut [u8]) -> io::Result<()> {
        // Packs are far smaller than 2^53 bytes.
        let [from, to] = [start, start + into.len() as u64].map(|at| JsValue::from_f64(at as f64));
        let answer = self.read.call3(&JsValue::NULL, &JsValue::from_f64(shard as f64), &from, &to);
        let answer = answer.map_err(|thrown| self.caught(thrown))?;
        let bytes = answer
            .dyn_into::<Uint8Array>()
            .map_err(|_| io::Error::other("the page's `read` did not give a Uint8Array"))?;
        if bytes.length() as usize != into.len() {
            let message = format!("the page's `read` gave {} bytes, expected {}", bytes.length(), into.len());
            return Err(io::Error::other(message));
        }
        bytes.copy_to(into);
        Ok(())
    }

    /// Waits until the page says that the shards of a stage are there.
    async fn ensure(&self, stage: &str) -> io::Result<()> {
        let Some(ensure) = self.ensure.borrow().clone() else { return Ok(()) };
        let answer = ensure.call1(&JsValue::NULL, &stage.into()).map_err(|thrown| self.caught(thrown))?;
        JsFuture::from(Promise::resolve(&answer)).await.map_err(|thrown| self.caught(thrown))?;
        Ok(())
    }

    fn caught(&self, thrown: JsValue) -> io::Error {
        let message = words(&thrown);
        *self.thrown.borrow_mut() = Some(thrown);
        io::Error::other(message)
    }
}

/// A pack, read through the page.
pub(crate) struct PackModel {
    pack: Pack,
    page: Arc<OneThread<Page>>,
}

impl fmt::Debug for PackModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PackModel({})", self.pack.index().model)
    }
}

impl PackModel {
    /// A pack by the text of its `pack.json`.
    pub(crate) fn new(text: &str, read: Function) -> Result<Self> {
        let pack = Pack::parse("pack.json", text.as_bytes())?;
        let page = Page { read, ensure: RefCell::default(), thrown: RefCell::default() };
        Ok(Self { pack, page: Arc::new(OneThread(page)) })
    }

    /// Who is asked for the stages of the next run.
    pub(crate) fn set_ensure(&self, ensure: Function) {
        let page = self.page.get();
        *page.ensure.borrow_mut() = Some(ensure);
        page.thrown.borrow_mut().take();
    }

    /// What the page's functions threw in this run.
    pub(crate) fn thrown(&self) -> Option<JsValue> {
        self.page.get().thrown.borrow_mut().take()
    }

    /// The stages in the order of the run, as JSON.
    pub(crate) fn stages(&self) -> Result<Value> {
        let stages = &self.pack.index().stages;
        let here = RUN_ORDER.iter().filter(|(key, _)| stages.contains_key(*key));
        let described = here.map(|(key, title)| {
            let shards = self.pack.stage(key)?.shards().to_vec();
            Ok(json!({"key": key, "title": title, "shards": shards, "bytes": stages[*key].bytes}))
        });
        described.collect::<Result<Vec<_>>>().map(Value::from)
    }

    fn open(&self, key: &str) -> Result<(ModelConfig, Weights)> {
        let page = self.page.clone();
        let stage =
            self.pack.streamed_stage(key, move |shard, start, into: &mut [u8]| page.get().read(shard, start, into))?;
        let config = stage.config().clone();
        let weights: Box<dyn TensorSource> = Box::new(stage);
        Ok((config, weights))
    }
}

impl ModelSource for PackModel {
    fn name(&self) -> String {
        self.pack.index().model.clone()
    }

    fn pipeline(&self) -> &PipelineConfig {
        self.pack.pipeline()
    }

    fn network(&self, key: &str) -> Result<(ModelConfig, Weights)> {
        self.open(key)
    }

    fn encoder(&self) -> Result<(DinoConfig, Weights)> {
        let (config, weights) = self.open(IMAGE_ENCODER)?;
        Ok((DinoConfig::from_args(&Value::Object(config.args))?, weights))
    }

    fn prepare<'a>(&'a self, key: &'a str) -> Prepared<'a> {
        let page = self.page.clone();
        sendable(async move { page.get().ensure(key).await.map_err(|source| Error::io("read", key, source)) })
    }
}
