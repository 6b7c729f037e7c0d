//! What a device reports out of band, kept until somebody asks.

#[cfg(not(target_family = "wasm"))]
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::GpuError;

/// The first fault since the last question, and whether the device is gone. The first fault is the cause; those after it
/// are mostly its consequences.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    first: Mutex<Option<GpuError>>,
    lost: Mutex<Option<String>>,
    #[cfg(not(target_family = "wasm"))]
    probe: Option<Probe>,
}

impl Faults {
    /// Put our handler in the place of the tensor runtime's, which panics inside the driver's callback.
    ///
    /// Call it after the device was registered with the runtime. The runtime's callback for a lost device stays: it makes
    /// reads of a dead device fail instead of returning stale bytes.
    pub(crate) fn watch(device: &wgpu::Device) -> Arc<Self> {
        let faults = Arc::new(Self {
            #[cfg(not(target_family = "wasm"))]
            probe: Some(Probe::new(device)),
            ..Self::default()
        });
        let seen = faults.clone();
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| seen.record(&error)));
        // A browser's promise takes any number of listeners. A native device has one callback, the runtime's, and is probed.
        #[cfg(target_family = "wasm")]
        {
            let seen = faults.clone();
            device.set_device_lost_callback(move |reason, message| seen.lose(format!("{reason:?}: {message}")));
        }
        faults
    }

    /// Called from inside the driver's callbacks: it only remembers.
    fn record(&self, error: &wgpu::Error) {
        let message = error.to_string();
        log::error!("GPU fault: {message}");
        let fault = match error {
            wgpu::Error::OutOfMemory { source } => GpuError::OutOfMemory { message: source.to_string() },
            wgpu::Error::Validation { .. } => GpuError::Validation { message },
            wgpu::Error::Internal { .. } => GpuError::Internal { message },
        };
        self.first.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(fault);
    }

    /// The device is gone for good. The first message wins.
    pub(crate) fn lose(&self, message: String) {
        log::warn!("GPU device lost: {message}");
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(message);
    }

    /// The fault to report: loss always, any other once.
    pub(crate) fn take(&self) -> Result<(), GpuError> {
        if let Some(message) = self.lost() {
            return Err(GpuError::Lost { message });
        }
        self.first.lock().unwrap_or_else(PoisonError::into_inner).take().map_or(Ok(()), Err)
    }

    /// Why the device is gone, if it is.
    pub(crate) fn lost(&self) -> Option<String> {
        #[cfg(not(target_family = "wasm"))]
        if let Some(probe) = &self.probe
            && self.lost.lock().unwrap_or_else(PoisonError::into_inner).is_none()
            && probe.is_lost()
        {
            self.lose("the driver gave the device up".to_owned());
        }
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Asks a native device whether it is still there.
///
/// wgpu tells a native device's loss to one callback only, and that one belongs to the tensor runtime. But a request to map
/// a buffer is refused at once on a lost device and left pending on a healthy one.
///
/// A request may only be withdrawn once it was answered. wgpu's `Buffer::map`, which any thread's poll runs, takes the request
/// out of the buffer before it maps and puts the mapping in afterwards; an `unmap` between the two finds neither, is an error,
/// and leaves a mapped buffer behind, whose next request is refused as if the device were lost.
#[cfg(not(target_family = "wasm"))]
#[derive(Debug)]
struct Probe {
    device: wgpu::Device,
    buffer: wgpu::Buffer,
    /// The last request's answer.
    request: Mutex<Option<Arc<AtomicU8>>>,
}

#[cfg(not(target_family = "wasm"))]
const PENDING: u8 = 0;
#[cfg(not(target_family = "wasm"))]
const MAPPED: u8 = 1;
#[cfg(not(target_family = "wasm"))]
const REFUSED: u8 = 2;
/// How often another thread is let go on that has taken a request and not answered yet.
#[cfg(not(target_family = "wasm"))]
const PATIENCE: usize = 100;

#[cfg(not(target_family = "wasm"))]
impl Probe {
    fn new(device: &wgpu::Device) -> Self {
        let buffer = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("loss probe"),
            size: 4,
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        Self { device: device.clone(), buffer, request: Mutex::default() }
    }

    fn is_lost(&self) -> bool {
        let mut request = self.request.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = &*request {
            // Nothing on the device uses the buffer, so the first poll answers, unless another thread's poll is about to.
            for _ in 0..PATIENCE {
                let _ = self.device.poll(wgpu::PollType::Poll);
                if answer.load(Ordering::Acquire) != PENDING {
                    break;
                }
                std::thread::yield_now();
            }
            match answer.load(Ordering::Acquire) {
                // The next question will know.
                PENDING => return false,
                MAPPED => self.buffer.unmap(),
                _ => return true,
            }
        }
        let answer = Arc::new(AtomicU8::new(PENDING));
        let given = answer.clone();
        self.buffer.map_async(wgpu::MapMode::Read, .., move |mapped| {
            given.store(if mapped.is_ok() { MAPPED } else { REFUSED }, Ordering::Release);
        });
        let lost = answer.load(Ordering::Acquire) == REFUSED;
        *request = Some(answer);
        lost
    }
}
