//! One device for Burn and for us.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use burn::tensor::Device;
use burn_wgpu::{RuntimeOptions, WgpuSetup};
use cubecl::client::Client;

use crate::faults::Faults;
use crate::pipeline_cache::{self, PipelineCache};
use crate::profile::Recording;
use crate::{AdapterChoice, Capabilities, GpuError, TierRequest, adapter, registry};

/// How to open a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenOptions {
    /// The tier to keep to.
    pub tier: TierRequest,
    /// How many dispatches the runtime collects before it submits them. At least 1.
    pub tasks_per_submit: usize,
    /// Bytes of GPU memory that work may use; `None` for as much as there is. It covers everything that the driver hands out, and is
    /// looked at before large pieces of work ([`Gpu::ensure_room`]) and after every piece ([`Gpu::guard`]).
    pub memory_budget: Option<u64>,
    /// A folder to take compiled pipelines from, and to keep them in ([`Gpu::keep_pipelines`]), where that is possible: with Vulkan on
    /// Linux and Windows. Other graphics APIs and most drivers keep them in a place of their own. `None`: nothing is read or kept.
    pub pipelines: Option<PathBuf>,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self { tier: TierRequest::Auto, tasks_per_submit: 32, memory_budget: None, pipelines: None }
    }
}

/// An open device: Burn's handle, ours where there is a GPU, and what it can do. Cloning shares it.
///
/// The tensor runtime keeps every device it was ever given until the process ends, so dropping this frees nothing by itself:
/// tensors free their memory as they are dropped, and [`Gpu::destroy_device`] frees all of it at once. A program opens one
/// device, and another one only after a loss.
#[derive(Debug, Clone)]
pub struct Gpu {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) device: Device,
    pub(crate) capabilities: Arc<Capabilities>,
    /// `None` on the CPU tier.
    pub(crate) open: Option<Open>,
    pub(crate) faults: Arc<Faults>,
    pub(crate) options: OpenOptions,
    pub(crate) profile: Mutex<Option<Recording>>,
}

/// The GPU behind a device.
pub(crate) struct Open {
    pub(crate) setup: WgpuSetup,
    pub(crate) client: Client,
    cache: Option<PipelineCache>,
}

impl Open {
    /// Whether the runtime can time work on this device: it goes by the adapter's features, and a device that was made
    /// without timestamps would refuse its queries.
    pub(crate) fn can_time(&self) -> bool {
        let timestamps = wgpu::Features::TIMESTAMP_QUERY;
        self.setup.device.features().contains(timestamps) || !self.setup.adapter.features().contains(timestamps)
    }
}

impl fmt::Debug for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.setup.fmt(f)
    }
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
        let mut capabilities = Capabilities::read(&adapter).with_tier(options.tier)?;
        let name = capabilities.name.clone();
        let (device, queue, cache) = request(&adapter, options.pipelines.as_deref())
            .await
            .map_err(|error| GpuError::RequestDevice { adapter: name.clone(), message: error.to_string() })?;
        // A page may show an adapter with timestamps that its devices do not get (the tensor runtime refuses others).
        capabilities.timestamps &= device.features().contains(wgpu::Features::TIMESTAMP_QUERY);
        let capabilities = Arc::new(capabilities);
        let backend = adapter.get_info().backend;
        let setup = WgpuSetup { instance, adapter, device, queue, backend };
        let refused =
            |error: burn_wgpu::WgpuInitError| GpuError::Register { adapter: name.clone(), message: error.to_string() };
        let runtime = RuntimeOptions::with_tasks_max(Some(options.tasks_per_submit.max(1))).map_err(refused)?;
        let registered = burn_wgpu::try_init_device(setup.clone(), runtime).map_err(refused)?;
        let client = cubecl::Device::Wgpu(registered.clone()).client();
        let device = Device::from(registered);
        // After the registration: the runtime installs handlers of its own there.
        let faults = Faults::watch(&setup.device);
        registry::register(device.clone(), capabilities.clone());
        let open = Some(Open { setup, client, cache });
        Ok(Self { inner: Arc::new(Inner { device, capabilities, open, faults, options, profile: Mutex::default() }) })
    }

    /// The CPU tier: Burn's CPU device, nothing of a GPU. Always there.
    #[must_use]
    pub fn cpu() -> Self {
        let device = Device::flex();
        let capabilities = Capabilities::cpu();
        registry::register(device.clone(), capabilities.clone());
        let options = OpenOptions { tier: TierRequest::Cpu, ..OpenOptions::default() };
        let faults = Arc::default();
        Self { inner: Arc::new(Inner { device, capabilities, open: None, faults, options, profile: Mutex::default() }) }
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
        self.inner.open.as_ref().map(|open| &open.setup)
    }

    /// Names of the kernels that were kept with compiled pipelines, in the order of their first launch: what is worth compiling before it is
    /// asked for. Empty where [`OpenOptions::pipelines`] was not given or holds nothing for this adapter and driver.
    #[must_use]
    pub fn kept_kernels(&self) -> Vec<String> {
        self.inner.open.as_ref().and_then(|open| open.cache.as_ref()).map(PipelineCache::names).unwrap_or_default()
    }

    /// Keep every pipeline that was compiled so far, and the names of `kernels`, for the next [`Gpu::open`] with the same
    /// [`OpenOptions::pipelines`]. The file is written beside its place and then moved, and not at all while it holds the same. Nothing
    /// happens without a folder, or where pipelines cannot be had.
    ///
    /// # Errors
    /// [`GpuError::KeepPipelines`]; only the next start is slower then.
    pub fn keep_pipelines(&self, kernels: &[&str]) -> Result<(), GpuError> {
        let Some(cache) = self.inner.open.as_ref().and_then(|open| open.cache.as_ref()) else { return Ok(()) };
        let failed = |error: std::io::Error| GpuError::KeepPipelines {
            path: cache.path().display().to_string(),
            message: error.to_string(),
        };
        cache.save(kernels).map_err(failed)
    }

    /// Compile a kernel as the tensor runtime will (entry point `main`, no checks of bounds), and leave it to the device's cache
    /// ([`OpenOptions::pipelines`]) or the driver's to be found again. Any thread may call this, many at once. A kernel that is refused
    /// says so where it is launched, not here; nothing happens on the CPU tier.
    pub fn compile(&self, wgsl: String) {
        let Some(open) = &self.inner.open else { return };
        let device = &open.setup.device;
        let scopes = [wgpu::ErrorFilter::Validation, wgpu::ErrorFilter::Internal].map(|f| device.push_error_scope(f));
        let descriptor = wgpu::ShaderModuleDescriptor { label: None, source: wgpu::ShaderSource::Wgsl(wgsl.into()) };
        // SAFETY: nothing is dispatched here.
        let module = unsafe { device.create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked()) };
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: None,
            layout: None,
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                zero_initialize_workgroup_memory: false,
                ..Default::default()
            },
            cache: None,
        });
        for scope in scopes.into_iter().rev() {
            drop(scope.pop());
        }
        // The caches keep what it was made of.
        drop(pipeline);
    }

    /// Whether anything went wrong on the device since the last question. The first fault is reported once; the loss of the
    /// device every time.
    ///
    /// # Errors
    /// [`GpuError::Validation`], [`GpuError::OutOfMemory`], [`GpuError::Internal`] or [`GpuError::Lost`].
    pub fn check(&self) -> Result<(), GpuError> {
        self.inner.faults.take()
    }

    /// Wait until everything that was enqueued has run, then [`Gpu::check`].
    ///
    /// # Errors
    /// As [`Gpu::check`]; [`GpuError::Internal`] for a failure that only the tensor runtime knows of.
    pub async fn finish(&self) -> Result<(), GpuError> {
        let Some(open) = &self.inner.open else { return Ok(()) };
        let waited = self.guard(|| open.client.sync())?;
        let outcome = self.guard_async(waited).await?;
        outcome.map_err(|error| GpuError::Internal { message: error.to_string() })
    }

    /// Lose the device on purpose, as a driver reset would: its tensors are gone, every later use is an error, and a new
    /// device can be opened. Frees the device's memory. Nothing happens on the CPU tier.
    pub fn destroy_device(&self) {
        let Some(open) = &self.inner.open else { return };
        self.inner.faults.lose("destroyed by the program".to_owned());
        open.setup.device.destroy();
        // Delivers the loss to the tensor runtime, whose reads then fail instead of returning stale bytes. A device that is
        // gone has nothing to wait for.
        let _ = open.setup.device.poll(wgpu::PollType::Poll);
    }
}

/// A device with every feature that helps and all of the adapter's limits, and its pipelines' cache where `folder` and the graphics API
/// allow for one. A forced tier does not take features away here: the tensor runtime reads the adapter, not the device, and would use
/// what it sees.
async fn request(
    adapter: &wgpu::Adapter,
    folder: Option<&Path>,
) -> Result<(wgpu::Device, wgpu::Queue, Option<PipelineCache>), wgpu::RequestDeviceError> {
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
    let descriptor = wgpu::DeviceDescriptor {
        label: Some("maquette"),
        required_features: adapter.features() & useful,
        required_limits: adapter.limits(),
        // The tensor runtime pools memory itself; larger blocks below it would only waste.
        memory_hints: wgpu::MemoryHints::MemoryUsage,
        trace: wgpu::Trace::Off,
        // SAFETY: cooperative matrices are the only experimental feature asked for, and our kernels use them within
        // what naga validates.
        experimental_features: unsafe { wgpu::ExperimentalFeatures::enabled() },
    };
    if let Some((device, queue, cache)) = folder.and_then(|folder| pipeline_cache::open(adapter, &descriptor, folder)) {
        return Ok((device, queue, Some(cache)));
    }
    let (device, queue) = adapter.request_device(&descriptor).await?;
    Ok((device, queue, None))
}
