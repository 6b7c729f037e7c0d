//! Errors as JavaScript sees them: an `Error` with `code` and `help`.

use js_sys::Reflect;
use wasm_bindgen::prelude::*;

/// Why something could not be done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The pipeline's own error, with its class.
    #[error(transparent)]
    Pipeline(#[from] maquette::Error),
    /// No WebGPU in this browser or on this page.
    #[error("{reason}")]
    NoWebGpu { reason: String },
    /// Options that are not what is documented.
    #[error("the options are not understood: {0}")]
    Options(String),
    /// A method was called before what it needs.
    #[error("{missing} has to be called first")]
    Order { missing: &'static str },
    /// One object at a time.
    #[error("this engine is at work already; cancel it or wait")]
    Busy,
    /// The module's own fault.
    #[error("{0}")]
    Fault(String),
    /// An error of the page's own functions, handed back as it came.
    #[error("a function of the page failed")]
    Page(JsValue),
}

/// The code of what should never happen.
const FAULT: &str = "maquette::fault";
const FAULT_HELP: &str = "This is a fault in maquette: reload the page, and please report it with this message.";

macro_rules! from_pipeline {
    ($($kind:ty),*) => {$(
        impl From<$kind> for Failure {
            fn from(error: $kind) -> Self {
                Self::Pipeline(error.into())
            }
        }
    )*};
}

from_pipeline!(
    maquette::maquette_gpu::GpuError,
    maquette::maquette_image::ImageError,
    maquette::maquette_mesh::MeshError,
    maquette::maquette_weights::Error
);

impl From<maquette_kernels::Error> for Failure {
    fn from(error: maquette_kernels::Error) -> Self {
        Self::Pipeline(maquette::Error::Network(error.into()))
    }
}

impl Failure {
    fn code_and_help(&self) -> (&'static str, &'static str) {
        let of = |code: &str| maquette::ERROR_CLASSES.iter().find(|class| class.code == code);
        let class = match self {
            Self::Pipeline(error) => Some(error.class()),
            Self::NoWebGpu { .. } => of("maquette::gpu::no_adapter"),
            Self::Options(_) | Self::Order { .. } | Self::Busy => of("maquette::usage"),
            Self::Fault(_) | Self::Page(_) => None,
        };
        class.map_or((FAULT, FAULT_HELP), |class| (class.code, page_help(class.code).unwrap_or(class.help)))
    }
}

/// The table's help speaks of the command line's options; in a page other things help.
fn page_help(code: &str) -> Option<&'static str> {
    Some(match code {
        "maquette::picture::truncated" => "Copy or export the picture again.",
        "maquette::picture::too_large" => "Scale the picture down; 1024 pixels a side are enough.",
        "maquette::picture::no_subject" => {
            "Use a picture in which the object is clearer, paint the mask, or keep the background."
        }
        "maquette::picture::mask" => "Correct the mask with the brush, or go on with it as it is.",
        "maquette::model::not_found" | "maquette::model::incomplete" | "maquette::model::damaged" => {
            "Delete the downloaded model and fetch it again."
        }
        "maquette::model::unsupported" => "Use another model pack.",
        "maquette::gpu::no_adapter" => "The doctor page says what this browser offers and what would help.",
        "maquette::gpu::lost" => "Start again: the device is opened anew, and what was downloaded is kept.",
        "maquette::gpu::memory" => "Close other tabs and programs, or use a smaller model pack.",
        "maquette::gpu::refused" => "Update the browser and the graphics driver; the doctor page tests the device.",
        "maquette::result::empty" => "Try another seed, or a picture in which the object is clearer.",
        "maquette::result::mesh" => "Try another number of faces or another texture size.",
        "maquette::resume::stage" => "Use the files of one run of the same version.",
        "maquette::usage" => "See the README of the package for what each option takes.",
        "maquette::cancelled" => "Start again when you like.",
        _ => return None,
    })
}

impl From<Failure> for JsValue {
    fn from(failure: Failure) -> Self {
        if let Failure::Page(error) = failure {
            return error;
        }
        let (code, help) = failure.code_and_help();
        error(code, &failure.to_string(), help)
    }
}

/// A fault as an `Error`.
pub(crate) fn fault_error(message: &str) -> JsValue {
    error(FAULT, message, FAULT_HELP)
}

fn error(code: &str, message: &str, help: &str) -> JsValue {
    let error = js_sys::Error::new(message);
    for (name, value) in [("code", code), ("help", help)] {
        // Setting a property of a fresh object cannot fail.
        let _ = Reflect::set(&error, &name.into(), &value.into());
    }
    error.into()
}

/// What the page's own function threw, in words.
pub(crate) fn words(thrown: &JsValue) -> String {
    let message = Reflect::get(thrown, &"message".into()).ok().and_then(|message| message.as_string());
    message.or_else(|| thrown.as_string()).unwrap_or_else(|| format!("{thrown:?}"))
}
