//! One device for Burn and for us.

use std::sync::Arc;

use burn::tensor::Device;
use burn_wgpu::WgpuSetup;

use crate::faults::{self, Faults};
use crate::{AdapterChoice, Capabilities, GpuError, TierRequest, adapter, registry};

/// How to open a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenOptions {
    /// The tier to keep to.
    pub tier: TierRequest,
    /// How many dispatches the runtime collects before it submits them. At least 1.
    pub tasks_per_submit: usize,
    /// Bytes of GPU memory that work may use; `None` for as much as there is. Kept by [`Gpu`]'s accounting, not by the driver.
    pub memory_budget: Option<u64>,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self { tier: TierRequest::Auto, tasks_per_submit: 32, memory_budget: None }
    }
}

/// An open device: Burn's handle, ours where there is a GPU, and what it can do. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Gpu {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) device: Device,
    pub(crate) capabilities: Arc<Capabilities>,
    pub(crate) setup: Option<WgpuSetup>,
    pub(crate) faults: Arc<Faults>,
    pub(crate) options: OpenOptions,
}

impl Gpu {
    /// Open the device that `choice` means and hand it to Burn.
    ///
    /// [`TierRequest::Cpu`] opens no GPU and equals [`Gpu::cpu`].
    ///
    /// # Errors
    /// [`GpuError::NoAdapter`], [`GpuError::TierUnavailable`], [`GpuError::RequestDevice`] or [`GpuError::Register`].
    pub async fn open(choice: &AdapterChoice, options: OpenOptions) -> Result<Self, GpuError> {
        if options.tier == TierRequest::Cpu {
            return Ok(Self::cpu());
        }
        let (instance, adapter) = adapter::choose(choice).await?;
        let capabilities = Arc::new(Capabilities::read(&adapter).with_tier(options.tier)?);
        let name = capabilities.name.clone();
        let (device, queue) = request(&adapter)
            .await
            .map_err(|error| GpuError::RequestDevice { adapter: name.clone(), message: error.to_string() })?;
        let backend = adapter.get_info().backend;
        let setup = WgpuSetup { instance, adapter, device, queue, backend };
        let device = Device::wgpu_options()
            .tasks_max(options.tasks_per_submit.max(1))
            .setup(setup.clone())
            .init()
            .map_err(|error| GpuError::Register { adapter: name, message: error.to_string() })?;
        // After the registration: the runtime installs handlers of its own there.
        let faults = faults::watch(&setup.device);
        registry::register(device.clone(), capabilities.clone());
        Ok(Self { inner: Arc::new(Inner { device, capabilities, setup: Some(setup), faults, options }) })
    }

    /// The CPU tier: Burn's CPU device, nothing of a GPU. Always there.
    #[must_use]
    pub fn cpu() -> Self {
        let device = Device::flex();
        let capabilities = Capabilities::cpu();
        registry::register(device.clone(), capabilities.clone());
        let options = OpenOptions { tier: TierRequest::Cpu, ..OpenOptions::default() };
        Self { inner: Arc::new(Inner { device, capabilities, setup: None, faults: Arc::default(), options }) }
    }

    /// Burn's device: tensors made on it live here.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.inner.device
    }

    /// What the device can do, after a forced tier.
    #[must_use]
    pub fn capabilities(&self) -> &Arc<Capabilities> {
        &self.inner.capabilities
    }

    /// The wgpu handles behind the device; `None` on the CPU tier.
    #[must_use]
    pub fn setup(&self) -> Option<&WgpuSetup> {
        self.inner.setup.as_ref()
    }

    /// Whether anything went wrong on the device since the last question. The first fault is reported once; the loss of the
    /// device every time.
    ///
    /// # Errors
    /// [`GpuError::Validation`], [`GpuError::OutOfMemory`], [`GpuError::Internal`] or [`GpuError::Lost`].
    pub fn check(&self) -> Result<(), GpuError> {
        self.inner.faults.take()
    }
}

/// A device with every feature that helps and all of the adapter's limits. A forced tier does not take them away here: the
/// tensor runtime reads the adapter, not the device, and would use what it sees.
async fn request(adapter: &wgpu::Adapter) -> Result<(wgpu::Device, wgpu::Queue), wgpu::RequestDeviceError> {
    use wgpu::Features;
    let useful = Features::SHADER_F16
        | Features::SHADER_F64
        | Features::SHADER_I16
        | Features::SHADER_INT64
        | Features::SHADER_INT64_ATOMIC_MIN_MAX
        | Features::SHADER_INT64_ATOMIC_ALL_OPS
        | Features::SHADER_FLOAT32_ATOMIC
        | Features::SUBGROUP
        | Features::SUBGROUP_BARRIER
        | Features::TIMESTAMP_QUERY
        | Features::TIMESTAMP_QUERY_INSIDE_ENCODERS
        | Features::TIMESTAMP_QUERY_INSIDE_PASSES
        | Features::IMMEDIATES
        | Features::PIPELINE_CACHE
        | Features::EXPERIMENTAL_COOPERATIVE_MATRIX;
    adapter
        .request_device(&wgpu::DeviceDescriptor {
            label: Some("maquette"),
            required_features: adapter.features() & useful,
            required_limits: adapter.limits(),
            // The tensor runtime pools memory itself; larger blocks below it would only waste.
            memory_hints: wgpu::MemoryHints::MemoryUsage,
            trace: wgpu::Trace::Off,
            // SAFETY: cooperative matrices are the only experimental feature asked for, and our kernels use them within
            // what naga validates.
            experimental_features: unsafe { wgpu::ExperimentalFeatures::enabled() },
        })
        .await
}
