//! Progress as the page gets it: JSON to a function.

use std::sync::Arc;

use js_sys::Function;
use maquette::{CancelToken, Control, Event, Stage};
use serde_json::{Value, json};
use wasm_bindgen::prelude::*;

use crate::browser::turn;
use crate::one_thread::{OneThread, sendable};

/// The page's listener.
#[derive(Clone)]
pub(crate) struct Listener(Arc<OneThread<Function>>);

impl Listener {
    pub(crate) fn new(function: Function) -> Self {
        Self(Arc::new(OneThread(function)))
    }

    /// Tells the page. What its listener throws is the page's affair and does not stop the work.
    pub(crate) fn tell(&self, event: &Value) {
        let _ = self.0.get().call1(&JsValue::NULL, &event.to_string().into());
    }

    /// Reports to the page, listens to `cancel`, and lets messages in between two steps.
    pub(crate) fn control(&self, cancel: CancelToken) -> Control {
        let listener = self.clone();
        Control::new(cancel, move |event| listener.tell(&described(event))).with_pauses(|| sendable(turn()))
    }
}

/// Work that tells nobody.
pub(crate) fn silent(cancel: CancelToken) -> Control {
    Control::new(cancel, |_| {}).with_pauses(|| sendable(turn()))
}

fn described(event: &Event) -> Value {
    match event {
        Event::Started { stage, steps } => {
            json!({"kind": "started", "stage": stage.name(), "title": Stage::title(*stage), "steps": steps})
        }
        Event::Step { stage, step, steps } => {
            json!({"kind": "step", "stage": stage.name(), "step": step, "steps": steps})
        }
        Event::Finished { stage, seconds, gpu_bytes } => {
            json!({"kind": "finished", "stage": stage.name(), "seconds": seconds, "gpuBytes": gpu_bytes})
        }
        Event::Note { text } => json!({"kind": "note", "text": text}),
    }
}
