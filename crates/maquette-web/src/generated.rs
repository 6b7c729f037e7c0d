//! An object as decoded: its Gaussians, its surface, and what led there.

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::{Function, Map, Promise, Uint8Array};
use maquette::maquette_gpu::{Gpu, Tier};
use maquette::maquette_mesh::flexicubes::ExtractedMesh;
use maquette::maquette_mesh::formats::gaussian_ply;
use maquette::pipeline::{Condition, Latent, Structure};
use maquette::preview::Subject;
use maquette::{CancelToken, GenerateOptions, SurfaceOptions, build_asset, export, stage_files};
use serde_json::{Map as JsonMap, Value};
use wasm_bindgen::prelude::*;

use crate::asset::Asset;
use crate::events::Listener;
use crate::failure::Failure;
use crate::fault;
use crate::options::{self, Picture, Surface};
use crate::pictures;
use crate::splats::{Eye, Splats};

/// What the decoders were given.
pub(crate) struct Stages {
    pub(crate) condition: Condition,
    pub(crate) structure: Structure,
    pub(crate) latent: Latent,
}

/// How the object was made, for the extras of its files.
pub(crate) struct Origin {
    pub(crate) model: String,
    pub(crate) tier: Tier,
    pub(crate) options: GenerateOptions,
}

/// A decoded object.
#[wasm_bindgen]
pub struct Generated {
    inner: Rc<Inner>,
}

struct Inner {
    stages: Option<Stages>,
    splats: Splats,
    mesh: ExtractedMesh,
    origin: Option<Origin>,
    cancel: RefCell<CancelToken>,
}

impl Inner {
    fn extras(&self, surface: &SurfaceOptions) -> JsonMap<String, Value> {
        let (faces, texture) = (surface.faces.unwrap_or(0), surface.texture_size.unwrap_or(0));
        let mut extras = self.origin.as_ref().map_or_else(JsonMap::new, |origin| {
            export::provenance(&origin.model, origin.tier, &origin.options, faces, texture)
        });
        extras.insert("decoded_faces".into(), self.mesh.faces.len().into());
        extras
    }

    async fn asset(self: Rc<Self>, text: String, listener: Listener) -> Result<Asset, Failure> {
        let surface = options::parse::<Surface>(&text)?.options();
        let cancel = CancelToken::default();
        self.cancel.replace(cancel.clone());
        let control = listener.control(cancel);
        let asset = build_asset(self.mesh.clone(), Some(&self.splats.gaussians), &surface, &control).await?;
        Ok(Asset::new(asset, self.extras(&surface)))
    }

    async fn picture(self: Rc<Self>, text: String, cancel: CancelToken) -> Result<JsValue, Failure> {
        let asked: Picture = options::parse(&text)?;
        if asked.show.is_some() {
            return Err(Failure::Options(
                "show: texture and normals are an asset's; Gaussians have their colours".into(),
            ));
        }
        pictures::draw(Subject::Gaussians(&self.splats.gaussians), &asked, cancel).await
    }

    fn files(&self) -> Vec<(&'static str, Vec<u8>)> {
        let mut files = Vec::new();
        if let Some(stages) = &self.stages {
            files.push(("condition.safetensors", stage_files::condition(&stages.condition)));
            files.push(("structure.safetensors", stage_files::structure(&stages.structure)));
            files.push(("latent.safetensors", stage_files::latent(&stages.latent)));
        }
        files.push(("gaussians.safetensors", stage_files::gaussians(&self.splats.gaussians)));
        files.push(("mesh.safetensors", stage_files::mesh(&self.mesh)));
        files
    }
}

impl Generated {
    pub(crate) fn new(stages: Option<Stages>, splats: Splats, mesh: ExtractedMesh, origin: Option<Origin>) -> Self {
        Self { inner: Rc::new(Inner { stages, splats, mesh, origin, cancel: RefCell::default() }) }
    }

    /// An object from the decoders' files.
    pub(crate) fn read(
        gaussians: Vec<u8>,
        mesh: Vec<u8>,
        gpu: Option<Gpu>,
        origin: Option<Origin>,
    ) -> Result<Self, Failure> {
        let gaussians = stage_files::read_gaussians("gaussians.safetensors", gaussians)?;
        let mesh = stage_files::read_mesh("mesh.safetensors", mesh)?;
        Ok(Self::new(None, Splats::new(gaussians, gpu), mesh, origin))
    }
}

#[wasm_bindgen]
impl Generated {
    /// Number of Gaussians.
    #[wasm_bindgen(getter)]
    pub fn gaussians(&self) -> usize {
        self.inner.splats.gaussians.len()
    }

    /// An object from stage files of a dump; `Engine.resume` is the one that draws splats on the device.
    #[wasm_bindgen(js_name = fromDump)]
    pub fn from_dump(gaussians: Vec<u8>, mesh: Vec<u8>) -> Result<Generated, JsValue> {
        fault::check()?;
        Ok(Self::read(gaussians, mesh, None, None)?)
    }

    /// The stages as files: a `Map` from name to bytes.
    #[wasm_bindgen(unchecked_return_type = "Map<string, Uint8Array>")]
    pub fn dump(&self) -> Result<Map, JsValue> {
        fault::check()?;
        let map = Map::new();
        for (name, bytes) in self.inner.files() {
            map.set(&name.into(), &Uint8Array::from(bytes.as_slice()));
        }
        Ok(map)
    }

    /// A picture of the Gaussians.
    #[wasm_bindgen(js_name = renderSplats, unchecked_return_type = "Promise<Uint8ClampedArray>")]
    pub fn render_splats(&self, width: u32, height: u32, yaw: f64, pitch: f64, distance: f64) -> Promise {
        let splats = self.inner.splats.clone();
        fault::promise(splats.picture(Eye { size: [width, height], yaw, pitch, distance }))
    }

    /// A picture of the Gaussians to keep: four sides as a PNG, or a turn as an animated WebP.
    #[wasm_bindgen(unchecked_return_type = "Promise<Uint8Array>")]
    pub fn picture(&self, options: String) -> Promise {
        // Taken at once: a `cancel` right after this call stops this picture.
        let cancel = pictures::token(&self.inner.cancel);
        fault::promise(self.inner.clone().picture(options, cancel))
    }

    /// The Gaussians as a PLY file.
    #[wasm_bindgen(js_name = gaussianPly)]
    pub fn gaussian_ply(&self) -> Result<Vec<u8>, JsValue> {
        fault::check()?;
        let file = gaussian_ply::write(&self.inner.splats.gaussians, gaussian_ply::Frame::Reference);
        Ok(file.map_err(Failure::from)?)
    }

    /// Finishes the surface and colours it.
    #[wasm_bindgen(unchecked_return_type = "Promise<Asset>")]
    pub fn asset(
        &self,
        options: String,
        #[wasm_bindgen(unchecked_param_type = "(json: string) => void")] on_event: Function,
    ) -> Promise {
        fault::promise(self.inner.clone().asset(options, Listener::new(on_event)))
    }

    /// Stops a running `asset` or `picture` at its next step.
    pub fn cancel(&self) {
        self.inner.cancel.borrow().cancel();
    }
}
