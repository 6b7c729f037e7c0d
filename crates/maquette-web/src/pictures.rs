//! Pictures of results to keep, drawn by the processor: the bytes that the command makes of the same object.

use std::cell::RefCell;

use js_sys::Uint8Array;
use maquette::CancelToken;
use maquette::preview::{Subject, four_views, turntable};
use wasm_bindgen::JsValue;

use crate::events::silent;
use crate::failure::Failure;
use crate::options::{Picture, PictureKind};

/// Draws; rests between two views, so that the worker hears messages.
pub(crate) async fn draw(subject: Subject<'_>, asked: &Picture, cancel: CancelToken) -> Result<JsValue, Failure> {
    let (side, frames) = asked.measures()?;
    let control = silent(cancel);
    let bytes = match asked.kind {
        PictureKind::FourViews => four_views(subject, side, &control).await?,
        PictureKind::Turntable => turntable(subject, side, frames, &control).await?,
    };
    Ok(Uint8Array::from(bytes.as_slice()).into())
}

/// The token that stops what an object is about to do. One that was used already stops nothing else.
pub(crate) fn token(held: &RefCell<CancelToken>) -> CancelToken {
    if held.borrow().is_cancelled() {
        held.take();
    }
    held.borrow().clone()
}
