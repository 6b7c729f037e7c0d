//! How much memory a graphics card has free for this program.

use crate::{AdapterKind, Gpu};

impl Gpu {
    /// Bytes of the card's own memory that this program may still take, as far as the driver says it (Vulkan does). `None` on the
    /// CPU tier and on adapters that share the processor's memory: there the operating system knows.
    #[must_use]
    pub fn free_memory(&self) -> Option<u64> {
        match self.capabilities().kind {
            AdapterKind::Discrete | AdapterKind::Virtual => on_vulkan(self),
            _ => None,
        }
    }
}

#[cfg(any(target_os = "linux", windows))]
fn on_vulkan(gpu: &Gpu) -> Option<u64> {
    use ash::vk;
    // SAFETY: the adapter's handles are only asked, never destroyed or changed, while our own handle keeps them alive.
    let adapter = unsafe { gpu.setup()?.adapter.as_hal::<wgpu::hal::api::Vulkan>() }?;
    let (instance, device) = (adapter.shared_instance().raw_instance(), adapter.raw_physical_device());
    // SAFETY: `device` belongs to `instance`; both are alive.
    let extensions = unsafe { instance.enumerate_device_extension_properties(device) }.ok()?;
    let has_budget =
        extensions.iter().any(|e| e.extension_name_as_c_str().is_ok_and(|name| name == ash::ext::memory_budget::NAME));
    let mut budget = vk::PhysicalDeviceMemoryBudgetPropertiesEXT::default();
    let mut properties = vk::PhysicalDeviceMemoryProperties2::default();
    if has_budget {
        properties = properties.push_next(&mut budget);
    }
    // SAFETY: as above; the chained structure is one that the device's extension defines, and it outlives the call.
    unsafe { instance.get_physical_device_memory_properties2(device, &mut properties) };
    let memory = properties.memory_properties;
    let heaps = memory.memory_heaps.iter().take(memory.memory_heap_count as usize).enumerate();
    let own = heaps.filter(|(_, heap)| heap.flags.contains(vk::MemoryHeapFlags::DEVICE_LOCAL));
    let free = own.map(|(i, heap)| match has_budget {
        true => budget.heap_budget[i].saturating_sub(budget.heap_usage[i]),
        false => heap.size,
    });
    // Some cards show a small window of the same memory as another heap.
    free.max()
}

#[cfg(not(any(target_os = "linux", windows)))]
fn on_vulkan(_gpu: &Gpu) -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_has_no_card_and_a_software_adapter_shares_its_memory() {
        assert_eq!(Gpu::cpu().free_memory(), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_vulkan_adapter_says_how_much_is_free() {
        let options = crate::OpenOptions::default();
        let Ok(gpu) = pollster::block_on(Gpu::open(&crate::AdapterChoice::default(), options)) else { return };
        if gpu.capabilities().backend == "vulkan" {
            assert!(on_vulkan(&gpu).is_some_and(|bytes| bytes > 1 << 20));
        }
    }
}
