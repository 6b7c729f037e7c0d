//! What a device reports out of band, kept until somebody asks.

use std::sync::{Arc, Mutex, PoisonError};

use crate::GpuError;

/// The first fault since the last question, and whether the device is gone. The first fault is the cause; those after it
/// are mostly its consequences.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    first: Mutex<Option<GpuError>>,
    lost: Mutex<Option<String>>,
}

impl Faults {
    /// Called from inside the driver's callbacks: it only remembers.
    pub(crate) fn record(&self, error: &wgpu::Error) {
        let message = error.to_string();
        log::error!("GPU fault: {message}");
        let fault = match error {
            wgpu::Error::OutOfMemory { source } => GpuError::OutOfMemory { message: source.to_string() },
            wgpu::Error::Validation { .. } => GpuError::Validation { message },
            wgpu::Error::Internal { .. } => GpuError::Internal { message },
        };
        self.first.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(fault);
    }

    /// The device is gone for good.
    pub(crate) fn lose(&self, message: String) {
        log::warn!("GPU device lost: {message}");
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(message);
    }

    /// The fault to report: loss always, any other once.
    pub(crate) fn take(&self) -> Result<(), GpuError> {
        if let Some(message) = self.lost.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            return Err(GpuError::Lost { message });
        }
        self.first.lock().unwrap_or_else(PoisonError::into_inner).take().map_or(Ok(()), Err)
    }
}

/// Put our handler in the place of the runtime's, which panics.
pub(crate) fn watch(device: &wgpu::Device) -> Arc<Faults> {
    let faults = Arc::new(Faults::default());
    let seen = faults.clone();
    device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| seen.record(&error)));
    faults
}
