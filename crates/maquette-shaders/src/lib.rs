//! WGSL sources of maquette, resolved and validated at build time.
//!
//! `shaders/<domain>/<operator>.wgsl` are templates ([`template`] describes their language), `shaders/permutations.txt` lists
//! each kernel's parameters. The build resolves every permutation, validates it with exactly the features it declares, and
//! measures its workgroup memory, workgroup size and buffers against the limits of its tier. A program asks for a
//! permutation by its parameter values and gets a description; the text itself is resolved when a pipeline is first made
//! (it would fill megabytes if it was stored unrolled). No GPU API is used here.
//!
//! Conventions that the build enforces: one entry point `main`; storage buffers at `@group(0)`, bindings without gaps, at most
//! eight; tensors are `read_write` (they share pages); the last buffer is `info: array<u32>`, read only.
//!
//! In debug builds on a desktop an edited shader file is picked up without a rebuild ([`Permutation::revision`]).

mod expression;
pub mod template;

// Both are the build's; here only their tests run.
#[cfg(test)]
mod check;
#[cfg(test)]
mod table;

pub use template::TemplateError;

include!(concat!(env!("OUT_DIR"), "/kernels.rs"));

/// The smallest class of device that must be able to run a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// Every WebGPU device: 16 KiB of workgroup memory, 256 invocations, no subgroups.
    Base,
    /// Subgroup operations, 32 KiB.
    Subgroup,
    /// Cooperative matrices, 48 KiB.
    Matrix,
}

/// Features that a permutation needs beyond the base.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// `f16` storage and arithmetic.
    pub f16: bool,
    /// Subgroup operations.
    pub subgroups: bool,
    /// Cooperative matrices (native only).
    pub matrix: bool,
}

/// A storage buffer of a permutation, in binding order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffer {
    /// The variable's name.
    pub name: &'static str,
    /// Whether it is declared writable.
    pub written: bool,
    /// The smallest binding that the shader accepts, bytes.
    pub min_bytes: u32,
}

/// A kernel: one template with its permutations.
#[derive(Debug)]
pub struct Kernel {
    /// Unique name.
    pub name: &'static str,
    /// Template path below `shaders/`.
    pub source: &'static str,
    /// The smallest class of device that must run it.
    pub tier: Tier,
    /// Parameters with all their values.
    pub params: &'static [Param],
    /// All permutations.
    pub permutations: &'static [Permutation],
    /// For every product of parameter values, the last parameter running fastest, its permutation's place.
    places: &'static [u16],
}

/// A parameter of a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Param {
    /// Its name in the template.
    pub name: &'static str,
    /// Its values.
    pub values: &'static [&'static str],
}

/// A kernel with its parameters fixed.
#[derive(Debug)]
pub struct Permutation {
    /// Stable within one build, unique among all kernels' permutations.
    pub id: u32,
    kernel: usize,
    /// Kernel name and parameter values.
    pub name: &'static str,
    /// Parameter names and values.
    pub values: &'static [(&'static str, &'static str)],
    /// Features beyond the base.
    pub needs: Needs,
    /// Invocations in x, y, z.
    pub workgroup_size: [u32; 3],
    /// Workgroup memory, bytes.
    pub workgroup_memory: u32,
    /// Storage buffers in binding order, `info` last.
    pub buffers: &'static [Buffer],
}

/// Who compiles the WGSL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// naga, which knows subgroups without being told and rejects `enable subgroups;`.
    Native,
    /// A browser, which requires `enable subgroups;`.
    Browser,
}

impl Dialect {
    /// The dialect of the platform that this is compiled for.
    pub const HERE: Self = if cfg!(target_family = "wasm") { Self::Browser } else { Self::Native };
}

/// All kernels, in the table's order.
pub fn kernels() -> &'static [Kernel] {
    KERNELS
}

/// The kernel called `name`.
pub fn kernel(name: &str) -> Option<&'static Kernel> {
    KERNELS.iter().find(|kernel| kernel.name == name)
}

impl Kernel {
    /// The permutation with these parameter values; every parameter has to be named, in any order (the table's is fastest:
    /// this runs for every launch).
    pub fn permutation(&self, values: &[(&str, &str)]) -> Option<&'static Permutation> {
        if values.len() != self.params.len() {
            return None;
        }
        let mut product = 0;
        for (at, param) in self.params.iter().enumerate() {
            let named = |value: &&(&str, &str)| value.0 == param.name;
            let value = values.get(at).filter(named).or_else(|| values.iter().find(named))?.1;
            product = product * param.values.len() + param.values.iter().position(|known| *known == value)?;
        }
        self.permutations.get(usize::from(*self.places.get(product)?))
    }
}

impl Permutation {
    /// The kernel it belongs to.
    pub fn kernel(&self) -> &'static Kernel {
        &KERNELS[self.kernel]
    }

    /// An integer parameter.
    pub fn integer(&self, name: &str) -> Option<u32> {
        self.values.iter().find(|value| value.0 == name)?.1.parse().ok()
    }

    /// The resolved WGSL.
    ///
    /// # Errors
    /// Only where a shader file was edited since the build (debug builds): the template may then be wrong.
    pub fn wgsl(&self, dialect: Dialect) -> Result<String, TemplateError> {
        let scope =
            self.values.iter().map(|(name, value)| (name.to_string(), expression::Value::parse(value))).collect();
        let body = template::resolve(self.kernel().source, scope, &read)?;
        let mut text = String::with_capacity(body.len() + 64);
        if self.needs.f16 {
            text.push_str("enable f16;\n");
        }
        if self.needs.matrix {
            text.push_str("enable wgpu_cooperative_matrix;\n");
        }
        if self.needs.subgroups && dialect == Dialect::Browser {
            text.push_str("enable subgroups;\n");
        }
        text.push_str(&body);
        Ok(text)
    }

    /// Changes whenever a shader file is edited while a debug build runs, so that pipelines can be made anew; 0 in release
    /// builds and in browsers.
    pub fn revision(&self) -> u64 {
        edited::revision()
    }
}

/// A file below `shaders/`: from disk where it can be edited, else as it was built.
fn read(path: &str) -> Option<String> {
    edited::read(path).or_else(|| FILES.iter().find(|file| file.0 == path).map(|file| file.1.to_string()))
}

#[cfg(all(debug_assertions, not(target_family = "wasm")))]
mod edited {
    use std::{
        path::Path,
        sync::Mutex,
        time::{Duration, Instant, UNIX_EPOCH},
    };

    const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shaders");
    /// Looking at every file for every launch would cost more than the launches.
    const LOOK_EVERY: Duration = Duration::from_millis(500);

    pub(super) fn read(path: &str) -> Option<String> {
        std::fs::read_to_string(Path::new(ROOT).join(path)).ok()
    }

    pub(super) fn revision() -> u64 {
        static LAST: Mutex<Option<(Instant, u64)>> = Mutex::new(None);
        let mut last = LAST.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match *last {
            Some((when, revision)) if when.elapsed() < LOOK_EVERY => revision,
            _ => {
                let changed = |file: &(&str, &str)| {
                    let time = std::fs::metadata(Path::new(ROOT).join(file.0)).and_then(|m| m.modified()).ok()?;
                    Some(time.duration_since(UNIX_EPOCH).ok()?.as_nanos() as u64)
                };
                let revision = super::FILES.iter().filter_map(changed).max().unwrap_or(0);
                *last = Some((Instant::now(), revision));
                revision
            }
        }
    }
}

#[cfg(not(all(debug_assertions, not(target_family = "wasm"))))]
mod edited {
    pub(super) fn read(_path: &str) -> Option<String> {
        None
    }

    pub(super) fn revision() -> u64 {
        0
    }
}

#[cfg(test)]
mod tests;
