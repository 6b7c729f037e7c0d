//! Which kernels ran, and compiling them ahead of the next run.
//!
//! The tensor runtime compiles a kernel when it is first launched, one after the other, and a kernel for matrix units takes a driver up to
//! a second. What a run launched is therefore kept with the compiled pipelines ([`keep`]), and the next run compiles it, or has it
//! read from there, on other threads while weights are loaded ([`Preparation`]). The runtime's own request then finds it in the
//! device's pipeline cache. For the first run of all there is a list of what the published networks take (`shaders/first_run.txt`).

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

use maquette_gpu::{Gpu, GpuError, Tier};
use maquette_shaders::{Dialect, Permutation, kernels};

/// For every permutation when it was first launched in this process: 1 for the first of all, 0 for never.
fn places() -> &'static [AtomicU32] {
    static PLACES: OnceLock<Vec<AtomicU32>> = OnceLock::new();
    PLACES.get_or_init(|| kernels().iter().flat_map(|k| k.permutations).map(|_| AtomicU32::new(0)).collect())
}

/// Notes a launch. It happens for every dispatch: one load of a word that hardly ever changes.
pub(crate) fn launched(permutation: &Permutation) {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let Some(place) = places().get(permutation.id as usize) else { return };
    if place.load(Ordering::Relaxed) == 0 {
        place.store(COUNT.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
    }
}

fn place(permutation: &Permutation) -> u32 {
    places().get(permutation.id as usize).map_or(0, |place| place.load(Ordering::Relaxed))
}

/// The permutations with these names that this build has, in the same order.
fn named(names: impl IntoIterator<Item = impl AsRef<str>>) -> Vec<&'static Permutation> {
    let all: std::collections::HashMap<_, _> =
        kernels().iter().flat_map(|k| k.permutations).map(|p| (p.name, p)).collect();
    names.into_iter().filter_map(|name| all.get(name.as_ref()).copied()).collect()
}

/// What a first run takes on a tier, in 16 or 32 bits; no names for tiers that were not recorded.
fn first_run(tier: Tier, f16: bool) -> impl Iterator<Item = &'static str> {
    let head = format!("[{tier} {}]", if f16 { "f16" } else { "f32" });
    let lines = include_str!("../../../shaders/first_run.txt").lines().filter(|line| !line.starts_with('#'));
    lines.skip_while(move |line| *line != head).skip(1).take_while(|line| !line.starts_with('['))
}

/// The kernels that were launched in this process, in the order of their first launch.
#[must_use]
pub fn launched_kernels() -> Vec<&'static str> {
    let mut launched: Vec<_> =
        kernels().iter().flat_map(|k| k.permutations).map(|p| (place(p), p.name)).filter(|l| l.0 > 0).collect();
    launched.sort_unstable();
    launched.into_iter().map(|l| l.1).collect()
}

/// Keep the device's compiled pipelines and the names of the kernels that ran, those of earlier runs after this one's
/// ([`Gpu::keep_pipelines`]).
///
/// # Errors
/// [`GpuError::KeepPipelines`].
pub fn keep(gpu: &Gpu) -> Result<(), GpuError> {
    let mut names = launched_kernels();
    let earlier = named(gpu.kept_kernels());
    names.extend(earlier.into_iter().filter(|p| place(p) == 0).map(|p| p.name));
    gpu.keep_pipelines(&names)
}

/// Kernels of earlier runs that are still to be compiled. Any number of threads may [`Preparation::work`] at it.
#[derive(Debug)]
pub struct Preparation {
    gpu: Gpu,
    kernels: Vec<&'static Permutation>,
    next: AtomicUsize,
    stopped: AtomicBool,
}

impl Preparation {
    /// What was kept for the device ([`Gpu::kept_kernels`]) and runs on it in this build, in the order in which it was needed; what a first
    /// run takes where nothing was kept; `None` where that is nothing either, as on the CPU tier.
    #[must_use]
    pub fn new(gpu: &Gpu) -> Option<Self> {
        let can = gpu.capabilities();
        let kept = gpu.kept_kernels();
        let mut kernels = if kept.is_empty() { named(first_run(can.tier, can.f16)) } else { named(kept) };
        kernels.retain(|kernel| {
            (!kernel.needs.f16 || can.f16)
                && (!kernel.needs.subgroups || can.tier >= Tier::Subgroup)
                && (!kernel.needs.matrix || can.tier >= Tier::Matrix)
        });
        let (next, stopped) = Default::default();
        (!kernels.is_empty()).then(|| Self { gpu: gpu.clone(), kernels, next, stopped })
    }

    /// The kernels' names.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.kernels.iter().map(|kernel| kernel.name)
    }

    /// Compile one kernel after the other until none is left or somebody has called [`Preparation::stop`]. What has been launched
    /// meanwhile is left out. A kernel that a driver refuses is reported by its launch, not here.
    pub fn work(&self) {
        while !self.stopped.load(Ordering::Relaxed) {
            let Some(kernel) = self.kernels.get(self.next.fetch_add(1, Ordering::Relaxed)) else { return };
            if place(kernel) == 0
                && let Ok(wgsl) = kernel.wgsl(Dialect::HERE)
            {
                self.gpu.compile(wgsl);
            }
        }
    }

    /// End every [`Preparation::work`] after the kernel that it is at.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_a_first_run_names_kernels_of_this_build() {
        for (tier, f16) in [(Tier::Matrix, true), (Tier::Subgroup, true), (Tier::Base, true), (Tier::Base, false)] {
            let names: Vec<_> = first_run(tier, f16).collect();
            assert!(names.len() > 20, "{tier} {f16}: {} names", names.len());
            let known: Vec<_> = named(&names).into_iter().map(|kernel| kernel.name).collect();
            assert_eq!(names, known, "{tier} {f16}");
            assert!(f16 || !names.iter().any(|name| name.contains("T=f16")), "{tier}: {names:?}");
        }
        assert_eq!(first_run(Tier::Cpu, true).count(), 0);
    }
}
