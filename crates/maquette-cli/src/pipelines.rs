//! Compiled pipelines from one run of the program to the next.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle, available_parallelism};

use maquette::Gpu;
use maquette::maquette_kernels::prepare::{self, Preparation};
use maquette_gpu::{AdapterKind, GpuError};

use crate::places::user_folder;

/// More threads than this only take the processor from those that load weights.
const MOST_THREADS: usize = 8;

/// The folder in which they are kept: `MAQUETTE_PIPELINES`, else one of the user's cache. `None` where the variable is empty or there is
/// no such place.
pub fn folder() -> Option<PathBuf> {
    if let Some(folder) = std::env::var_os("MAQUETTE_PIPELINES") {
        return (!folder.is_empty()).then(|| folder.into());
    }
    Some(user_folder("XDG_CACHE_HOME", ".cache")?.join("maquette/pipelines"))
}

/// Compiles on other threads what earlier runs needed, and keeps what this one needed when it is dropped.
#[derive(Debug)]
pub struct Pipelines {
    gpu: Gpu,
    preparation: Option<Arc<Preparation>>,
    threads: Vec<JoinHandle<()>>,
}

impl Pipelines {
    /// Begins at once on a graphics card. A software rasteriser compiles on the cores that are to compute.
    pub fn of(gpu: &Gpu) -> Self {
        let card = gpu.capabilities().kind != AdapterKind::Software;
        let preparation = Preparation::new(gpu).filter(|_| card).map(Arc::new);
        let count = available_parallelism().map_or(1, |cores| cores.get() - 1).clamp(1, MOST_THREADS);
        let spawn = |preparation: &Arc<Preparation>| {
            let preparation = preparation.clone();
            // Without the thread the pipelines are compiled when they are asked for.
            Builder::new().name("pipelines".to_owned()).spawn(move || preparation.work()).ok()
        };
        let threads = preparation.iter().flat_map(|p| (0..count).filter_map(|_| spawn(p))).collect();
        Self { gpu: gpu.clone(), preparation, threads }
    }

    /// Writes what was compiled.
    pub fn keep(&self) -> Result<(), GpuError> {
        prepare::keep(&self.gpu)
    }
}

impl Drop for Pipelines {
    fn drop(&mut self) {
        if let Some(preparation) = &self.preparation {
            preparation.stop();
        }
        // A driver that is still compiling while the process ends may crash.
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        // That nothing could be written costs the next start some seconds, which is no word worth in every run: `doctor` says it.
        let _ = self.keep();
    }
}
