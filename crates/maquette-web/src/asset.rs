//! A finished object and its files.

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::{Array, Object, Promise, Reflect, Uint8Array};
use maquette::CancelToken;
use maquette::export::{self, Format};
use maquette::maquette_mesh::{HealthContext, HealthReport, health};
use maquette::preview::Subject;
use serde_json::{Map, Value, json};
use wasm_bindgen::prelude::*;

use crate::failure::Failure;
use crate::fault;
use crate::options::{self, Export, Picture, Show};
use crate::pictures;

/// A finished object.
#[wasm_bindgen]
pub struct Asset {
    asset: Rc<maquette::Asset>,
    extras: Map<String, Value>,
    cancel: RefCell<CancelToken>,
}

impl Asset {
    pub(crate) fn new(asset: maquette::Asset, extras: Map<String, Value>) -> Self {
        Self { asset: Rc::new(asset), extras, cancel: RefCell::default() }
    }

    fn files(&self, format: &str, text: Option<String>) -> Result<Vec<(String, Vec<u8>)>, Failure> {
        let options: Export = options::parse(text.as_deref().unwrap_or_default())?;
        let name = format!("{}.{format}", options.name.as_deref().unwrap_or("object"));
        let kind = Format::of_name(&name)?;
        Ok(export::files(&name, kind, &self.asset, None, &options.glb(self.extras.clone()))?)
    }

    fn report(&self) -> Result<Value, Failure> {
        let texture_size = self.asset.texture.as_ref().map(|texture| texture.width);
        let context = HealthContext { texture_size, ..HealthContext::default() };
        Ok(described(&health(&self.asset.mesh, &context)?))
    }
}

fn described(report: &HealthReport) -> Value {
    json!({
        "vertices": report.vertices,
        "triangles": report.triangles,
        "degenerate": report.degenerate,
        "components": report.components,
        "boundaryEdges": report.boundary_edges,
        "nonManifoldEdges": report.non_manifold_edges,
        "windingConflicts": report.winding_conflicts,
        "area": report.area,
        "volume": report.volume,
        "texelDensity": report.texel_density,
        "atlasCoverage": report.atlas_coverage,
        "warnings": report.warnings,
    })
}

#[wasm_bindgen]
impl Asset {
    /// Number of triangles.
    #[wasm_bindgen(getter)]
    pub fn triangles(&self) -> usize {
        self.asset.mesh.faces.len()
    }

    /// The files of a format, what a file refers to first: a list of `{ name, bytes }`.
    #[wasm_bindgen(unchecked_return_type = "{ name: string; bytes: Uint8Array }[]")]
    pub fn file(
        &self,
        #[wasm_bindgen(unchecked_param_type = "\"glb\" | \"mesh.ply\" | \"obj\" | \"stl\"")] format: &str,
        options: Option<String>,
    ) -> Result<Array, JsValue> {
        fault::check()?;
        let list = Array::new();
        for (name, bytes) in self.files(format, options)? {
            let file = Object::new();
            Reflect::set(&file, &"name".into(), &name.into())?;
            Reflect::set(&file, &"bytes".into(), &Uint8Array::from(bytes.as_slice()))?;
            list.push(&file);
        }
        Ok(list)
    }

    /// A picture to keep: four sides as a PNG, or a turn as an animated WebP.
    #[wasm_bindgen(unchecked_return_type = "Promise<Uint8Array>")]
    pub fn picture(&self, options: String) -> Promise {
        let (asset, cancel) = (self.asset.clone(), pictures::token(&self.cancel));
        fault::promise(async move {
            let asked: Picture = options::parse(&options)?;
            let subject = match asked.show {
                Some(Show::Normals) => Subject::Normals(&asset),
                Some(Show::Texture) | None => Subject::Asset(&asset),
            };
            pictures::draw(subject, &asked, cancel).await
        })
    }

    /// Stops a running `picture` at its next view.
    pub fn cancel(&self) {
        self.cancel.borrow().cancel();
    }

    /// What is to be said about the mesh, as JSON.
    pub fn health(&self) -> Result<String, JsValue> {
        fault::check()?;
        Ok(self.report()?.to_string())
    }
}
