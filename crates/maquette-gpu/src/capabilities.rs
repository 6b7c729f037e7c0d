//! Facts about an adapter, read once, from which kernels choose.

use std::sync::Arc;

use crate::{Architecture, GpuError, Tier, TierRequest};

/// What kind of thing an adapter is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AdapterKind {
    /// A card with memory of its own.
    Discrete,
    /// A GPU that shares the processor's memory.
    Integrated,
    /// A GPU handed to a virtual machine.
    Virtual,
    /// A software rasteriser, or no GPU at all.
    Software,
    /// Not told (browsers).
    Other,
}

impl AdapterKind {
    /// The kind in words.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Discrete => "discrete",
            Self::Integrated => "integrated",
            Self::Virtual => "virtual",
            Self::Software => "software",
            Self::Other => "other",
        }
    }

    pub(crate) fn of(kind: wgpu::DeviceType) -> Self {
        match kind {
            wgpu::DeviceType::DiscreteGpu => Self::Discrete,
            wgpu::DeviceType::IntegratedGpu => Self::Integrated,
            wgpu::DeviceType::VirtualGpu => Self::Virtual,
            wgpu::DeviceType::Cpu => Self::Software,
            wgpu::DeviceType::Other => Self::Other,
        }
    }
}

/// The range of subgroup sizes that a device may use, in invocations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SubgroupSizes {
    /// Smallest size.
    pub min: u32,
    /// Largest size.
    pub max: u32,
}

/// An element type of a cooperative matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scalar {
    /// 32-bit float.
    F32,
    /// 16-bit float.
    F16,
    /// 32-bit signed integer.
    I32,
    /// 32-bit unsigned integer.
    U32,
}

impl Scalar {
    /// The WGSL name of the type.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::I32 => "i32",
            Self::U32 => "u32",
        }
    }

    fn of(scalar: wgpu::CooperativeScalarType) -> Self {
        match scalar {
            wgpu::CooperativeScalarType::F32 => Self::F32,
            wgpu::CooperativeScalarType::F16 => Self::F16,
            wgpu::CooperativeScalarType::I32 => Self::I32,
            wgpu::CooperativeScalarType::U32 => Self::U32,
        }
    }
}

/// One cooperative matrix multiplication that the hardware has: `C[m, n] += A[m, k] · B[k, n]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MatrixShape {
    /// Rows of A and C.
    pub m: u32,
    /// Columns of B and C.
    pub n: u32,
    /// Columns of A, rows of B.
    pub k: u32,
    /// Element type of A and B.
    pub input: Scalar,
    /// Element type of C.
    pub accumulator: Scalar,
}

/// The limits that WebGPU guarantees everywhere, and that [`TierRequest::Web`] keeps to.
const WEB_WORKGROUP_MEMORY: u32 = 16 << 10;
const WEB_INVOCATIONS: u32 = 256;
const WEB_GROUP_SIZE: [u32; 3] = [256, 256, 64];
const WEB_STORAGE_BUFFERS: u32 = 8;
const WEB_STORAGE_BINDING: u64 = 128 << 20;
const WEB_BUFFER: u64 = 256 << 20;

/// What a device can do, after any forced tier: a kernel that keeps to these values runs on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    /// The tier in force.
    pub tier: Tier,
    /// The best tier that the adapter itself reaches.
    pub best_tier: Tier,
    /// Whether the limits are WebGPU's guaranteed ones instead of the adapter's.
    pub web_limits: bool,
    /// The adapter's name, as its driver gives it.
    pub name: String,
    /// PCI vendor id, 0 where not told.
    pub vendor: u32,
    /// PCI device id, 0 where not told.
    pub device: u32,
    /// What kind of adapter it is.
    pub kind: AdapterKind,
    /// The graphics API: `vulkan`, `metal`, `dx12`, `webgpu` or `cpu`.
    pub backend: &'static str,
    /// Driver name and version.
    pub driver: String,
    /// The class of hardware.
    pub architecture: Architecture,
    /// `f16` in WGSL, in storage and in arithmetic.
    pub f16: bool,
    /// Subgroup operations and their sizes; `None` where the tier in force has none.
    pub subgroups: Option<SubgroupSizes>,
    /// `subgroupBarrier`.
    pub subgroup_barrier: bool,
    /// Cooperative matrix shapes; empty below [`Tier::Matrix`].
    pub matrix_shapes: Vec<MatrixShape>,
    /// 64-bit integers in WGSL. No kernel needs them; kept for reports.
    pub int64: bool,
    /// `atomicAdd` on f32 in storage buffers. Not in any browser.
    pub float_atomics: bool,
    /// Timestamps around compute passes.
    pub timestamps: bool,
    /// A pipeline cache that can be saved.
    pub pipeline_cache: bool,
    /// Workgroup memory, bytes.
    pub workgroup_memory: u32,
    /// Invocations a workgroup.
    pub workgroup_invocations: u32,
    /// Largest workgroup size in x, y, z.
    pub workgroup_size: [u32; 3],
    /// Workgroups a dimension of a dispatch.
    pub workgroups_per_dimension: u32,
    /// Storage buffers a shader may bind.
    pub storage_buffers: u32,
    /// Largest storage binding, bytes.
    pub storage_binding: u64,
    /// Largest buffer, bytes.
    pub buffer: u64,
    /// Alignment of storage binding offsets, bytes.
    pub storage_alignment: u32,
}

impl Capabilities {
    /// Read an adapter's facts, with no tier forced.
    pub(crate) fn read(adapter: &wgpu::Adapter) -> Self {
        let info = adapter.get_info();
        let features = adapter.features();
        let limits = adapter.limits();
        let has = |feature| features.contains(feature);
        // Browsers' devices report the feature without sizes or not at all; a size of 0 would divide by zero in a kernel's
        // dispatch, so such an adapter counts as one without subgroups.
        let subgroups = (has(wgpu::Features::SUBGROUP) && info.subgroup_min_size > 0)
            .then_some(SubgroupSizes { min: info.subgroup_min_size, max: info.subgroup_max_size });
        let matrix_shapes: Vec<_> = if has(wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX) {
            adapter.cooperative_matrix_properties().iter().map(|shape| MatrixShape::of(*shape)).collect()
        } else {
            Vec::new()
        };
        let f16 = has(wgpu::Features::SHADER_F16);
        let kind = AdapterKind::of(info.device_type);
        let best_tier = if f16 && subgroups.is_some() && matrix_shapes.contains(&MatrixShape::KERNELS) {
            Tier::Matrix
        } else if subgroups.is_some() {
            Tier::Subgroup
        } else {
            Tier::Base
        };
        Self {
            tier: best_tier,
            best_tier,
            web_limits: false,
            architecture: Architecture::find(info.vendor, info.device, &info.name, kind == AdapterKind::Software),
            vendor: info.vendor,
            device: info.device,
            kind,
            backend: backend_name(info.backend),
            driver: [info.driver.as_str(), info.driver_info.as_str()].join(" ").trim().to_owned(),
            name: if info.name.is_empty() { "unnamed adapter".to_owned() } else { info.name },
            f16,
            subgroups,
            subgroup_barrier: has(wgpu::Features::SUBGROUP_BARRIER),
            matrix_shapes,
            int64: has(wgpu::Features::SHADER_INT64),
            float_atomics: has(wgpu::Features::SHADER_FLOAT32_ATOMIC),
            timestamps: has(wgpu::Features::TIMESTAMP_QUERY),
            pipeline_cache: has(wgpu::Features::PIPELINE_CACHE),
            workgroup_memory: limits.max_compute_workgroup_storage_size,
            workgroup_invocations: limits.max_compute_invocations_per_workgroup,
            workgroup_size: [
                limits.max_compute_workgroup_size_x,
                limits.max_compute_workgroup_size_y,
                limits.max_compute_workgroup_size_z,
            ],
            workgroups_per_dimension: limits.max_compute_workgroups_per_dimension,
            storage_buffers: limits.max_storage_buffers_per_shader_stage,
            storage_binding: limits.max_storage_buffer_binding_size,
            buffer: limits.max_buffer_size,
            storage_alignment: limits.min_storage_buffer_offset_alignment,
        }
    }

    /// What the CPU tier answers: no GPU features, and limits that never bind.
    #[must_use]
    pub fn cpu() -> Arc<Self> {
        Arc::new(Self {
            tier: Tier::Cpu,
            best_tier: Tier::Cpu,
            web_limits: false,
            name: "processor".to_owned(),
            vendor: 0,
            device: 0,
            kind: AdapterKind::Software,
            backend: "cpu",
            driver: String::new(),
            architecture: Architecture::Software,
            f16: true,
            subgroups: None,
            subgroup_barrier: false,
            matrix_shapes: Vec::new(),
            int64: true,
            float_atomics: false,
            timestamps: false,
            pipeline_cache: false,
            workgroup_memory: 0,
            workgroup_invocations: 1,
            workgroup_size: [1, 1, 1],
            workgroups_per_dimension: u32::MAX,
            storage_buffers: u32::MAX,
            storage_binding: u64::MAX,
            buffer: u64::MAX,
            storage_alignment: 1,
        })
    }

    /// The same device seen through a tier: features above it are taken away, and for [`TierRequest::Web`] the limits
    /// shrink to what every browser guarantees.
    ///
    /// # Errors
    /// [`GpuError::TierUnavailable`] when the adapter does not reach the tier.
    pub fn with_tier(&self, request: TierRequest) -> Result<Self, GpuError> {
        let tier = match request {
            TierRequest::Auto => self.best_tier,
            TierRequest::Cpu => Tier::Cpu,
            TierRequest::Web | TierRequest::Base => Tier::Base,
            TierRequest::Subgroup => Tier::Subgroup,
            TierRequest::Matrix => Tier::Matrix,
        };
        // A GPU's device cannot pretend to be the processor: the caller opens that with `Gpu::cpu`.
        if tier > self.best_tier || (tier == Tier::Cpu && self.best_tier != Tier::Cpu) {
            return Err(GpuError::TierUnavailable {
                wanted: request,
                best: self.best_tier,
                adapter: self.name.clone(),
            });
        }
        let mut seen = self.clone();
        seen.tier = tier;
        if tier < Tier::Matrix {
            seen.matrix_shapes.clear();
        }
        if tier < Tier::Subgroup {
            seen.subgroups = None;
            seen.subgroup_barrier = false;
        }
        if request == TierRequest::Web {
            seen.web_limits = true;
            seen.int64 = false;
            seen.float_atomics = false;
            seen.workgroup_memory = seen.workgroup_memory.min(WEB_WORKGROUP_MEMORY);
            seen.workgroup_invocations = seen.workgroup_invocations.min(WEB_INVOCATIONS);
            for (size, web) in seen.workgroup_size.iter_mut().zip(WEB_GROUP_SIZE) {
                *size = (*size).min(web);
            }
            seen.storage_buffers = seen.storage_buffers.min(WEB_STORAGE_BUFFERS);
            seen.storage_binding = seen.storage_binding.min(WEB_STORAGE_BINDING);
            seen.buffer = seen.buffer.min(WEB_BUFFER);
        }
        Ok(seen)
    }
}

impl MatrixShape {
    /// The one shape that our matrix kernels are written for.
    pub const KERNELS: Self = Self { m: 16, n: 16, k: 16, input: Scalar::F16, accumulator: Scalar::F32 };

    fn of(shape: wgpu::CooperativeMatrixProperties) -> Self {
        Self {
            m: shape.m_size,
            n: shape.n_size,
            k: shape.k_size,
            input: Scalar::of(shape.ab_type),
            accumulator: Scalar::of(shape.cr_type),
        }
    }
}

pub(crate) fn backend_name(backend: wgpu::Backend) -> &'static str {
    match backend {
        wgpu::Backend::Vulkan => "vulkan",
        wgpu::Backend::Metal => "metal",
        wgpu::Backend::Dx12 => "dx12",
        wgpu::Backend::Gl => "gl",
        wgpu::Backend::BrowserWebGpu => "webgpu",
        wgpu::Backend::Noop => "noop",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A card of the strongest kind, as an H200 reports itself.
    fn strong() -> Capabilities {
        let mut facts = Capabilities::clone(&Capabilities::cpu());
        facts.tier = Tier::Matrix;
        facts.best_tier = Tier::Matrix;
        facts.subgroups = Some(SubgroupSizes { min: 32, max: 32 });
        facts.matrix_shapes = vec![MatrixShape::KERNELS];
        facts.workgroup_memory = 48 << 10;
        facts.workgroup_invocations = 1024;
        facts.workgroup_size = [1024, 1024, 64];
        facts.storage_buffers = 1 << 20;
        facts.int64 = true;
        facts
    }

    #[test]
    fn a_forced_tier_takes_away_what_is_above_it() {
        let base = strong().with_tier(TierRequest::Base).unwrap();
        assert_eq!((base.tier, base.subgroups, base.matrix_shapes.len()), (Tier::Base, None, 0));
        assert_eq!(base.workgroup_memory, 48 << 10);
        let subgroup = strong().with_tier(TierRequest::Subgroup).unwrap();
        assert!(subgroup.subgroups.is_some() && subgroup.matrix_shapes.is_empty());
        assert_eq!(strong().with_tier(TierRequest::Auto).unwrap(), strong());
    }

    #[test]
    fn the_web_tier_keeps_to_the_guaranteed_limits() {
        let web = strong().with_tier(TierRequest::Web).unwrap();
        assert_eq!((web.tier, web.web_limits, web.int64), (Tier::Base, true, false));
        assert_eq!((web.workgroup_memory, web.workgroup_invocations), (16 << 10, 256));
        assert_eq!((web.storage_buffers, web.storage_binding), (8, 128 << 20));
        assert_eq!(web.workgroup_size, [256, 256, 64]);
    }

    #[test]
    fn a_tier_above_the_adapter_is_refused() {
        let weak = Capabilities { best_tier: Tier::Base, ..strong() };
        let error = weak.with_tier(TierRequest::Matrix).unwrap_err();
        assert!(matches!(error, GpuError::TierUnavailable { best: Tier::Base, .. }), "{error}");
        assert!(strong().with_tier(TierRequest::Cpu).is_err(), "a GPU device is not the processor");
    }
}
