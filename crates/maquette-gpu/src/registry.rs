//! From a tensor's device to what that device can do.

use std::sync::{Arc, PoisonError, RwLock};

use burn::tensor::Device;

use crate::Capabilities;

/// Devices opened by this process. A short list: a program opens one, and a few more only after losing some.
static OPEN: RwLock<Vec<(Device, Arc<Capabilities>)>> = RwLock::new(Vec::new());

pub(crate) fn register(device: Device, capabilities: Arc<Capabilities>) {
    let mut open = OPEN.write().unwrap_or_else(PoisonError::into_inner);
    open.retain(|(known, _)| *known != device);
    open.push((device, capabilities));
}

/// What the device of a tensor can do. Kernels choose their body by it.
///
/// A device that was not opened by [`crate::Gpu::open`] (Burn's CPU device above all) answers as the CPU tier does, so that
/// operators fall back to their default bodies, which run anywhere.
#[must_use]
pub fn capabilities_of(device: &Device) -> Arc<Capabilities> {
    let open = OPEN.read().unwrap_or_else(PoisonError::into_inner);
    open.iter().find(|(known, _)| known == device).map_or_else(Capabilities::cpu, |(_, facts)| facts.clone())
}
