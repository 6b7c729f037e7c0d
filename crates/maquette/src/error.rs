//! The library's one error type.

use std::path::{Path, PathBuf};

use maquette_gpu::GpuError;
use maquette_image::{ImageError, MaskFinding};
use maquette_mesh::MeshError;

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong between a picture and a file. [`Error::class`] gives code, exit status and help.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A picture.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A checkpoint or model folder.
    #[error(transparent)]
    Weights(#[from] maquette_weights::Error),
    /// A network or sampler.
    #[error(transparent)]
    Network(#[from] maquette_models::Error),
    /// A mesh, its processing or its file formats.
    #[error(transparent)]
    Mesh(#[from] MeshError),
    /// The GPU.
    #[error(transparent)]
    Gpu(#[from] GpuError),
    /// The cut-out will not give a good result.
    #[error("the cut-out looks wrong: {}", findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Mask {
        /// What is wrong with it, worst first.
        findings: Vec<MaskFinding>,
    },
    /// The picture has no transparency, and nothing was given to cut the subject out with.
    #[error(
        "the picture has no transparent background, and no matting network or mask was given to cut the subject out"
    )]
    NoMatting,
    /// No model of that name.
    #[error("no model {name:?}; looked for it in:{}", list(tried))]
    ModelNotFound {
        /// The name asked for.
        name: String,
        /// Where it was looked for.
        tried: Vec<PathBuf>,
    },
    /// The folder describes another pipeline.
    #[error("{model} is a {found:?} model, expected a TRELLIS image-to-3D model")]
    WrongPipeline {
        /// The model.
        model: String,
        /// What its description says.
        found: String,
    },
    /// The image encoder's weights are nowhere.
    #[error("{model} needs the image encoder {encoder:?}, but its weights are in none of:{}", list(tried))]
    EncoderMissing {
        /// The model.
        model: String,
        /// The encoder's name.
        encoder: String,
        /// Where it was looked for.
        tried: Vec<PathBuf>,
    },
    /// A value that an option cannot take.
    #[error("{option}: expected {expected}, got {found}")]
    Option {
        /// The option's name.
        option: &'static str,
        /// What it accepts.
        expected: String,
        /// What came.
        found: String,
    },
    /// A saved stage that does not fit.
    #[error("{path}: {problem}", path = .path.display())]
    StageFile {
        /// The file.
        path: PathBuf,
        /// What was expected and what came.
        problem: String,
    },
    /// The decoder's field has no surface.
    #[error("the decoded object has no surface: not one triangle")]
    NoSurface,
    /// The operating system refused something.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// A file is in the way.
    #[error("{} exists already", path.display())]
    OutputExists {
        /// The file.
        path: PathBuf,
    },
    /// The folder to write into is not there.
    #[error("the output folder {} does not exist", path.display())]
    OutputFolderMissing {
        /// The folder.
        path: PathBuf,
    },
    /// Computed numbers are not the reference's.
    #[error("{failed} of {all} comparisons with the reference numbers failed")]
    NumbersDiffer {
        /// Comparisons outside their bounds.
        failed: usize,
        /// Comparisons made.
        all: usize,
    },
    /// The caller stopped the work.
    #[error("stopped before the end; no result was written")]
    Cancelled,
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|p| format!("\n  - {}", p.display())).collect()
}

impl Error {
    /// A refusal of the operating system.
    pub fn io(action: &'static str, path: impl AsRef<Path>, source: std::io::Error) -> Self {
        Self::Io { action, path: path.as_ref().to_owned(), source }
    }

    pub(crate) fn option(option: &'static str, expected: impl ToString, found: impl ToString) -> Self {
        Self::Option { option, expected: expected.to_string(), found: found.to_string() }
    }
}
