//! The subject of a picture, with a mask that the user can correct.

use std::rc::Rc;

use maquette::maquette_image::{Mask, MaskFinding, Rgb, Rgba, composite_cutout, decode};
use maquette::{CutoutOptions, MaskPolicy};
use wasm_bindgen::prelude::*;

use crate::failure::Failure;
use crate::fault;

/// A cut-out picture. Copies share their pixels.
#[wasm_bindgen]
#[derive(Clone)]
pub struct Cutout {
    inner: Rc<Inner>,
}

struct Inner {
    cutout: maquette::Cutout,
    /// The picture as it was before the mask, in the same size.
    source: Rgb,
}

#[wasm_bindgen]
extern "C" {
    /// A [`Cutout`] of JavaScript's: lists of them are borrowed, so that the page can use them again.
    #[wasm_bindgen(typescript_type = "Cutout")]
    pub type CutoutObject;

    #[wasm_bindgen(method, catch, js_name = share)]
    fn share(this: &CutoutObject) -> Result<Cutout, JsValue>;
}

impl CutoutObject {
    /// The cut-out behind the object.
    pub(crate) fn borrowed(&self) -> Result<Cutout, Failure> {
        self.share().map_err(|_| Failure::Options("cutouts: expected a list of Cutout objects".to_owned()))
    }
}

impl Cutout {
    pub(crate) fn new(picture: &[u8], cutout: maquette::Cutout, options: &CutoutOptions) -> Result<Self, Failure> {
        let decoded = decode(picture, &options.decode)?;
        // A picture without an alpha is reduced before it is matted; one with it is not.
        let source = match cutout.pixels()?.size() == decoded.pixels.size() {
            true => decoded.pixels.to_rgb()?,
            false => decoded.opaque()?,
        };
        Ok(Self { inner: Rc::new(Inner { cutout, source }) })
    }

    pub(crate) fn cutout(&self) -> &maquette::Cutout {
        &self.inner.cutout
    }

    fn pixels(&self) -> Result<Rgba, Failure> {
        Ok(self.inner.cutout.pixels()?.into_owned())
    }

    fn masked(&self, mask: &[u8]) -> Result<Self, Failure> {
        let source = self.inner.source.clone();
        let mask = Mask::new(source.width(), source.height(), mask.to_vec())?;
        let pixels = composite_cutout(&source, &mask)?;
        let cutout = maquette::Cutout::of_pixels(pixels, MaskPolicy::Force)?;
        Ok(Self { inner: Rc::new(Inner { cutout, source }) })
    }
}

#[wasm_bindgen]
impl Cutout {
    /// Width in pixels.
    #[wasm_bindgen(getter)]
    pub fn width(&self) -> u32 {
        self.inner.source.width()
    }

    /// Height in pixels.
    #[wasm_bindgen(getter)]
    pub fn height(&self) -> u32 {
        self.inner.source.height()
    }

    /// `width · height · 4` bytes; alpha is the mask.
    pub fn rgba(&self) -> Result<Vec<u8>, JsValue> {
        fault::check()?;
        Ok(self.pixels()?.into_data())
    }

    /// What may be wrong, as a JSON list of sentences.
    pub fn warnings(&self) -> String {
        let cutout = &self.inner.cutout;
        let findings = cutout.findings.iter().map(MaskFinding::to_string);
        serde_json::Value::from(findings.chain(cutout.notes.iter().map(ToString::to_string)).collect::<Vec<_>>())
            .to_string()
    }

    /// The same picture cut out by another mask of `width · height` bytes; 255 is the subject.
    #[wasm_bindgen(js_name = withMask)]
    pub fn with_mask(&self, mask: &[u8]) -> Result<Cutout, JsValue> {
        fault::check()?;
        Ok(self.masked(mask)?)
    }

    /// A second handle of the same cut-out.
    pub fn share(&self) -> Cutout {
        self.clone()
    }
}
