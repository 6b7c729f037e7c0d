//! Compiled pipelines from one run to the next.
//!
//! The tensor runtime makes its pipelines without a cache. Vulkan's functions are looked up in a table per device, and wgpu takes
//! a device that was made elsewhere: so we make it as wgpu would and put our own function into its table, which hands on every
//! call that brings no cache with ours. Pipelines of several threads meet there, too: what one has compiled, no other compiles.
//!
//! Metal and DirectX 12 have nothing alike that wgpu would reach; there the driver's own cache is all.

use std::ffi::CStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};

use ash::vk;
use wgpu::hal;

use crate::kept_file::{self, Driver, Kept};

type Vulkan = hal::api::Vulkan;

/// The cache of a device that was opened with a folder.
pub(crate) struct PipelineCache {
    raw: Weak<Raw>,
    folder: PathBuf,
    driver: Driver,
    /// What the folder held when the device was opened, or holds since.
    kept: Mutex<Kept>,
}

/// The device and its cache, which have to go in this order: cache, device.
struct Raw {
    device: ash::Device,
    cache: vk::PipelineCache,
}

/// A device whose calls we hand on.
#[derive(Clone, Copy)]
struct Known {
    device: vk::Device,
    cache: vk::PipelineCache,
    create: vk::PFN_vkCreateComputePipelines,
}

static KNOWN: RwLock<Vec<Known>> = RwLock::new(Vec::new());

/// `vkCreateComputePipelines` of the devices that are made here.
unsafe extern "system" fn create_with_cache(
    device: vk::Device,
    cache: vk::PipelineCache,
    count: u32,
    infos: *const vk::ComputePipelineCreateInfo<'_>,
    allocator: *const vk::AllocationCallbacks<'_>,
    pipelines: *mut vk::Pipeline,
) -> vk::Result {
    let known = KNOWN.read().unwrap_or_else(PoisonError::into_inner).iter().find(|k| k.device == device).copied();
    let Some(known) = known else { return vk::Result::ERROR_INITIALIZATION_FAILED };
    let cache = if cache == vk::PipelineCache::null() { known.cache } else { cache };
    // SAFETY: the driver's own function with the caller's own arguments; the cache belongs to the same device and lives as long.
    unsafe { (known.create)(device, cache, count, infos, allocator, pipelines) }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let handle = self.device.handle();
        KNOWN.write().unwrap_or_else(PoisonError::into_inner).retain(|known| known.device != handle);
        // SAFETY: wgpu holds the device through this value and lets go of it last; nobody else knows the cache.
        unsafe {
            self.device.destroy_pipeline_cache(self.cache, None);
            self.device.destroy_device(None);
        }
    }
}

/// A device as `adapter.request_device(descriptor)` would make it, with a cache that starts with what `folder` holds. `None` where the
/// adapter is not Vulkan's or anything refuses: the ordinary way is open then.
pub(crate) fn open(
    adapter: &wgpu::Adapter,
    descriptor: &wgpu::DeviceDescriptor<'_>,
    folder: &Path,
) -> Option<(wgpu::Device, wgpu::Queue, PipelineCache)> {
    // SAFETY: the adapter's handles are not destroyed, and our own handle keeps them alive.
    let vulkan = unsafe { adapter.as_hal::<Vulkan>() }?;
    let (instance, physical) = (vulkan.shared_instance().raw_instance(), vulkan.raw_physical_device());
    // SAFETY: `physical` belongs to `instance`; both are alive.
    let about = unsafe { instance.get_physical_device_properties(physical) };
    let driver = Driver { vendor: about.vendor_id, device: about.device_id, uuid: about.pipeline_cache_uuid };
    let kept = kept_file::read(folder, &driver);

    let extensions: Vec<&'static CStr> = vulkan.required_device_extensions(descriptor.required_features);
    let names: Vec<_> = extensions.iter().map(|name| name.as_ptr()).collect();
    let mut features = vulkan.physical_device_features(&extensions, descriptor.required_features);
    let queues = [vk::DeviceQueueCreateInfo::default().queue_family_index(QUEUE_FAMILY).queue_priorities(&[1.0])];
    let info = vk::DeviceCreateInfo::default().queue_create_infos(&queues).enabled_extension_names(&names);
    let info = features.add_to_device_create(info);
    // SAFETY: extensions and features are what wgpu asks for on this adapter, and everything `info` points to is alive.
    let device = unsafe { instance.create_device(physical, &info, None) }.ok()?;
    let raw = Arc::new(Raw { cache: cache_of(&device, &kept.data)?, device });

    let mut table = raw.device.fp_v1_0().clone();
    let create = std::mem::replace(&mut table.create_compute_pipelines, create_with_cache);
    let known = Known { device: raw.device.handle(), cache: raw.cache, create };
    KNOWN.write().unwrap_or_else(PoisonError::into_inner).push(known);
    let ours = ash::Device::from_parts_1_3(
        raw.device.handle(),
        table,
        raw.device.fp_v1_1().clone(),
        raw.device.fp_v1_2().clone(),
        raw.device.fp_v1_3().clone(),
    );
    let cache = PipelineCache { raw: Arc::downgrade(&raw), folder: folder.to_owned(), driver, kept: Mutex::new(kept) };
    // wgpu calls this when it is done with the device; if it never takes it, dropping the call does the same.
    let done: hal::DropCallback = Box::new(move || drop(raw));
    let (features, limits, hints) =
        (descriptor.required_features, &descriptor.required_limits, &descriptor.memory_hints);
    // SAFETY: made from this adapter with just these extensions, features and queue; it lives until `done` is called.
    let made =
        unsafe { vulkan.device_from_raw(ours, Some(done), &extensions, features, limits, hints, QUEUE_FAMILY, 0) };
    // SAFETY: as above; the descriptor's features are those of the device.
    let (device, queue) = unsafe { adapter.create_device_from_hal::<Vulkan>(made.ok()?, descriptor) }.ok()?;
    Some((device, queue, cache))
}

/// wgpu takes its one queue from the first family.
const QUEUE_FAMILY: u32 = 0;

/// A cache that starts with `data`, or empty where the driver does not take it. The device goes if it makes none at all.
fn cache_of(device: &ash::Device, data: &[u8]) -> Option<vk::PipelineCache> {
    let of = |data: &[u8]| {
        let info = vk::PipelineCacheCreateInfo::default().initial_data(data);
        // SAFETY: the device is alive and so are the bytes, which this very driver made.
        unsafe { device.create_pipeline_cache(&info, None) }
    };
    let made = of(data).or_else(|_| of(&[])).ok();
    if made.is_none() {
        // SAFETY: nobody else knows the device yet.
        unsafe { device.destroy_device(None) };
    }
    made
}

impl PipelineCache {
    /// The names that were kept with the pipelines.
    pub(crate) fn names(&self) -> Vec<String> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).names.clone()
    }

    /// Writes what the driver has compiled and `names`, unless the folder holds just that.
    pub(crate) fn save(&self, names: &[&str]) -> io::Result<()> {
        // A device that is gone has nothing to give.
        let Some(raw) = self.raw.upgrade() else { return Ok(()) };
        // SAFETY: the device is alive while we hold it.
        let data = unsafe { raw.device.get_pipeline_cache_data(raw.cache) }.map_err(io::Error::other)?;
        let now = Kept { names: names.iter().map(|name| (*name).to_owned()).collect(), data };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if *kept != now {
            kept_file::write(&self.folder, &self.driver, names, &now.data)?;
            *kept = now;
        }
        Ok(())
    }

    /// The file, for messages.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.join(self.driver.file_name())
    }
}
