//! Does this machine compute correctly? Runs a folder of reference numbers and compares.
//!
//! The folder has the layout `model/` (a model folder), `dinov2/`, `cases/`, `e2e/`, `preprocess/`; parts may be missing. Pictures
//! of the rasterisers (`gauss_*`, `mesh*`) lie in it or in `raster/`. A folder with `trellis/` and `raster/` is a set of both. Every
//! size, setting and name comes from the folder's own files, never from one known folder. A small set is built in, so that a user
//! without any files can ask whether his GPU and driver compute what they should.

mod builtin;
mod checks;
mod context;
mod decoders;
mod end_to_end;
mod files;
mod flows;
mod golden;
mod half_precision;
mod operators;
mod pictures;
mod rasters;
mod samplers;
mod surfaces;

use std::collections::BTreeSet;

use burn::tensor::Device;
use maquette_models::Precision;

pub use builtin::BuiltinGoldens;
pub use checks::{Bound, Row, Verdict};
pub use files::GoldenFiles;
#[cfg(not(target_family = "wasm"))]
pub use files::GoldenFolder;

use self::{checks::Checks, context::Context, files::Inside};

/// Why a folder could not be run at all. Wrong numbers are no error: they are rows of the report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The folder has nothing to run.
    #[error("{origin}: no cases/, e2e/, preprocess/ or raster/ with reference numbers in it")]
    Nothing {
        /// The folder.
        origin: String,
    },
    /// A file cannot be read.
    #[error("{path}: {problem}")]
    File {
        /// Path inside the folder.
        path: String,
        /// What went wrong.
        problem: String,
    },
    /// A file lacks something or has it in another form.
    #[error("{path}: {problem}")]
    Content {
        /// Path inside the folder.
        path: String,
        /// What was expected and what came.
        problem: String,
    },
    /// A checkpoint cannot be read.
    #[error(transparent)]
    Weights(#[from] maquette_weights::Error),
    /// A network cannot be built or run.
    #[error(transparent)]
    Model(#[from] maquette_models::Error),
    /// Coordinates that are no voxel set.
    #[error(transparent)]
    Voxels(#[from] maquette_kernels::Error),
    /// A mesh operation failed.
    #[error(transparent)]
    Mesh(#[from] maquette_mesh::MeshError),
    /// A picture operation failed.
    #[error(transparent)]
    Image(#[from] maquette_image::ImageError),
    /// Results could not be read back from the device.
    #[error("reading results back from the device failed: {0}")]
    ReadBack(String),
}

/// Result of a step of the verification.
pub type Result<T, E = VerifyError> = std::result::Result<T, E>;

/// How to run.
#[derive(Clone, Debug)]
pub struct VerifyOptions {
    /// Where to compute.
    pub device: Device,
    /// Element type of the networks' torsos.
    pub precision: Precision,
    /// Run only cases whose name contains this.
    pub only: Option<String>,
    /// fp32 bound of the relative error of a single module. `None`: 1e-5, which small networks keep; 1e-4 is for networks of the
    /// published sizes, whose sums have hundreds of times as many terms.
    pub module_bound: Option<f64>,
}

/// All comparisons.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Report {
    /// One row per compared tensor, in the order they were run.
    pub rows: Vec<Row>,
}

impl Report {
    /// Whether every comparison passed, and there was one.
    pub fn passed(&self) -> bool {
        !self.rows.is_empty() && self.rows.iter().all(|row| row.verdict == Verdict::Pass)
    }
}

/// Runs every case of `files`. `observe` sees each row as soon as it is known.
///
/// # Errors
/// [`VerifyError::Nothing`]. Whatever goes wrong inside a case becomes a failing row of that case.
pub async fn verify(files: &dyn GoldenFiles, options: &VerifyOptions, observe: &mut dyn FnMut(&Row)) -> Result<Report> {
    let wanted = |name: &str| options.only.as_ref().is_none_or(|part| name.contains(part.as_str()));
    let mut report = Report::default();
    let mut found = false;
    // The folder itself, and the one that a whole set keeps the networks' numbers in.
    for folder in ["", "trellis"] {
        let part = Inside { files, folder };
        let context = Context::new(&part, options);
        let jobs = jobs(&part);
        found |= !jobs.is_empty();
        for job in jobs {
            let name = part.path(&job.name());
            if !wanted(&name) {
                continue;
            }
            let mut checks = Checks::new(name, options.precision, options.module_bound, observe);
            let outcome = match &job {
                Job::Picture(name) => pictures::prepared_picture(&context, name, &mut checks),
                Job::Case(name) => run_case(&context, name, &mut checks).await,
                Job::EndToEnd => end_to_end::run(&context, &mut checks).await,
                Job::Raster(path) => rasters::run(&context, path, &mut checks).await,
            };
            if let Err(error) = outcome {
                checks.error(&error);
            }
            report.rows.append(&mut checks.into_rows());
        }
    }
    if found { Ok(report) } else { Err(VerifyError::Nothing { origin: files.origin() }) }
}

/// What a folder has.
fn jobs(files: &dyn GoldenFiles) -> Vec<Job> {
    let mut jobs = Vec::new();
    for name in files.list("preprocess").iter().filter_map(|f| pictures::picture_name(f)).collect::<BTreeSet<_>>() {
        jobs.push(Job::Picture(name.to_owned()));
    }
    for file in files.list("cases") {
        // `x.model.safetensors` is the checkpoint of case `x`.
        if let Some(name) = file.strip_suffix(".safetensors").filter(|name| !name.ends_with(".model")) {
            jobs.push(Job::Case(name.to_owned()));
        }
    }
    if files.list("e2e").iter().any(|file| file == "e2e.safetensors") {
        jobs.push(Job::EndToEnd);
    }
    jobs.extend(rasters::scenes(files, "").into_iter().map(Job::Raster));
    jobs.extend(rasters::scenes(files, "raster").into_iter().map(|name| Job::Raster(format!("raster/{name}"))));
    jobs
}

enum Job {
    Picture(String),
    Case(String),
    EndToEnd,
    /// A scene of the rasterisers, by its path without ending.
    Raster(String),
}

impl Job {
    fn name(&self) -> String {
        match self {
            Self::Picture(name) => format!("preprocess/{name}"),
            Self::Case(name) => format!("cases/{name}"),
            Self::EndToEnd => "e2e".into(),
            Self::Raster(path) => path.clone(),
        }
    }
}

/// A case is known by the tensors it has, so that files may be named otherwise.
async fn run_case(context: &Context<'_>, name: &str, checks: &mut Checks<'_>) -> Result<()> {
    let case = context.case(name)?;
    let has = |names: &[&str]| names.iter().all(|n| case.has(n));
    if has(&["in.t", "out.freq"]) {
        operators::timestep_embedding(context, &case, checks).await
    } else if case.names().iter().any(|n| n.starts_with("out.ch") && n["out.ch".len()..].parse::<usize>().is_ok()) {
        operators::position_embedding(context, &case, checks).await
    } else if has(&["out.patchify2"]) || has(&["out.pixel_shuffle2"]) {
        operators::spatial(context, &case, checks).await
    } else if has(&["in.qk", "in.vol"]) {
        operators::norms(context, &case, checks).await
    } else if has(&["in.coarse_feats"]) {
        operators::resampling(context, &case, checks).await
    } else if has(&["in.weight3"]) {
        operators::submanifold(context, &case, checks).await
    } else if has(&["in.coords", "in.qkv"]) {
        operators::windowed(context, &case, checks).await
    } else if has(&["in.mod", "in.context", "in.x"]) {
        flows::dense_block(context, &case, checks).await
    } else if has(&["in.mod", "in.context", "in.feats"]) {
        flows::sparse_block(context, &case, checks).await
    } else if has(&["in.emb", "in.mid"]) {
        flows::residual_blocks(context, &case, checks).await
    } else if has(&["in.noise", "in.coords"]) {
        samplers::latent(context, &case, checks).await
    } else if has(&["in.noise"]) {
        samplers::structure(context, &case, checks).await
    } else if has(&["in.x", "in.cond"]) {
        flows::structure_flow(context, name, &case, checks).await
    } else if has(&["in.coords", "in.feats", "in.cond"]) {
        flows::latent_flow(context, &case, checks).await
    } else if has(&["in.z"]) {
        decoders::structure(context, &case, checks).await
    } else if has(&["in.slat", "out.xyz_raw"]) {
        decoders::gaussians(context, &case, checks).await
    } else if has(&["in.slat", "out.trivec"]) {
        decoders::radiance(context, &case, checks).await
    } else if has(&["in.slat", "out.up0_coords"]) {
        decoders::mesh(context, &case, checks).await
    } else if has(&["in.coords", "in.feats", "out.block0"]) {
        decoders::trunk_blocks(context, &case, checks).await
    } else if has(&["in.sdf", "in.grid"]) {
        surfaces::dense_field(&case, checks)
    } else if has(&["in.image"]) {
        pictures::tokens(context, &case, checks).await
    } else if case.names().iter().all(|n| n.starts_with("out.")) {
        half_precision::run(context, &case, checks).await
    } else {
        Err(VerifyError::Content {
            path: format!("cases/{name}.safetensors"),
            problem: format!("no known case has the tensors {:?}", case.names()),
        })
    }
}
