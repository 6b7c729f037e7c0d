//! Adapter choice, capability tiers and one shared wgpu device.
//!
//! [`Gpu::open`] picks an adapter, creates one device with every feature that helps and the adapter's own limits, and hands
//! it to Burn, so that tensors and our own WGSL kernels live on the same queue. [`Gpu::cpu`] is the same thing with no GPU
//! at all. Everything a kernel may ask about the hardware is in [`Capabilities`], found from a tensor's device with
//! [`capabilities_of`].
//!
//! This room never reads the environment, never prints and never panics in a driver's callback: what a device reports out
//! of band (validation, memory, loss) is kept in the [`Gpu`] and handed out as [`GpuError`] by [`Gpu::check`].

mod adapter;
mod architecture;
mod capabilities;
mod doctor;
mod error;
mod faults;
#[cfg(not(target_family = "wasm"))]
mod free_memory;
mod gpu;
mod guard;
#[cfg(any(target_os = "linux", windows))]
mod kept_file;
mod memory;
#[cfg(any(target_os = "linux", windows))]
mod pipeline_cache;
#[cfg(not(any(target_os = "linux", windows)))]
#[path = "no_pipeline_cache.rs"]
mod pipeline_cache;
mod profile;
mod registry;
mod tier;

pub use adapter::{AdapterChoice, AdapterSummary, GraphicsApis, Power, list_adapters};
pub use architecture::Architecture;
pub use capabilities::{AdapterKind, Capabilities, MatrixShape, Scalar, SubgroupSizes};
pub use doctor::{Doctor, Trial, doctor};
pub use error::GpuError;
pub use gpu::{Gpu, OpenOptions};
pub use memory::{Bytes, MemoryUse};
pub use profile::{Profile, Region, RegionTime};
pub use registry::capabilities_of;
pub use tier::{Tier, TierRequest};
