//! How much of the device's memory work uses, and a budget for it.

use std::fmt;

use crate::gpu::Open;
use crate::{Gpu, GpuError};

/// Bytes of GPU memory in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MemoryUse {
    /// Bytes that live tensors hold.
    pub in_use: u64,
    /// Bytes that the tensor runtime keeps from the driver, live tensors and free room in its pools together.
    pub reserved: u64,
    /// Live allocations.
    pub allocations: u64,
    /// Bytes that the driver handed to this device in all, pipelines and staging included; `None` where it does not say
    /// (Metal, browsers, the CPU tier).
    pub driver: Option<u64>,
}

impl MemoryUse {
    /// What other programs cannot have: everything from the driver, or where the driver does not say, the runtime's share of it.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.driver.unwrap_or(0).max(self.reserved)
    }
}

fn read(open: &Open) -> MemoryUse {
    let usage = open.client.memory_report(cubecl::MemoryScope::Device).usage();
    MemoryUse {
        in_use: usage.bytes_in_use,
        reserved: usage.bytes_reserved,
        allocations: usage.number_allocs,
        driver: open.setup.device.generate_allocator_report().map(|report| report.total_reserved_bytes),
    }
}

impl fmt::Display for MemoryUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in use of {} reserved", Bytes(self.in_use), Bytes(self.reserved))?;
        if let Some(driver) = self.driver {
            write!(f, ", {} from the driver", Bytes(driver))?;
        }
        Ok(())
    }
}

/// A number of bytes for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
        let mut value = self.0 as f64;
        let mut unit = 0;
        while value >= 1024.0 && unit + 1 < UNITS.len() {
            value /= 1024.0;
            unit += 1;
        }
        if unit == 0 { write!(f, "{} B", self.0) } else { write!(f, "{value:.1} {}", UNITS[unit]) }
    }
}

impl Gpu {
    /// What the device's memory holds now. Zero on the CPU tier, which the operating system accounts for.
    ///
    /// # Errors
    /// [`GpuError::Lost`] and the other faults of the device.
    pub fn memory(&self) -> Result<MemoryUse, GpuError> {
        let Some(open) = &self.inner.open else { return Ok(MemoryUse::default()) };
        self.guard_unmetered(|| read(open))
    }

    /// Whether the device's memory is within the budget. Asked after every piece of work (see [`Gpu::guard`]), so that a budget
    /// is overstepped by what one piece takes at most, and not for longer than it.
    ///
    /// # Errors
    /// [`GpuError::BudgetExceeded`], and the other faults of the device.
    pub(crate) fn check_budget(&self) -> Result<(), GpuError> {
        let (Some(budget), Some(open)) = (self.inner.options.memory_budget, &self.inner.open) else { return Ok(()) };
        let used = self.guard_unmetered(|| read(open))?.taken();
        if used > budget { Err(GpuError::BudgetExceeded { budget, used }) } else { Ok(()) }
    }

    /// Give the pools' free room back to the driver, as far as the tensor runtime lets it go.
    ///
    /// # Errors
    /// [`GpuError::Lost`] and the other faults of the device.
    pub fn release_memory(&self) -> Result<(), GpuError> {
        let Some(open) = &self.inner.open else { return Ok(()) };
        self.guard(|| open.client.memory_cleanup())?.map_err(|error| GpuError::Internal { message: error.to_string() })
    }

    /// Ask for room for `needed` bytes before a large piece of work. Without a budget there is always room.
    ///
    /// # Errors
    /// [`GpuError::OverBudget`] when live tensors leave less than `needed` of the budget, and the faults of the device.
    pub fn ensure_room(&self, needed: u64) -> Result<(), GpuError> {
        let Some(budget) = self.inner.options.memory_budget else { return Ok(()) };
        let now = self.memory()?;
        if now.in_use.saturating_add(needed) > budget {
            return Err(GpuError::OverBudget { needed, budget, used: now.in_use });
        }
        // Free room in the pools counts against nobody, until the pools would grow past the budget: then it goes first.
        if now.reserved.saturating_add(needed) > budget {
            self.release_memory()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_read_well() {
        assert_eq!(Bytes(512).to_string(), "512 B");
        assert_eq!(Bytes(3 << 19).to_string(), "1.5 MiB");
        assert_eq!(Bytes(u64::MAX).to_string(), "16777216.0 TiB");
    }

    #[test]
    fn the_cpu_tier_has_no_gpu_memory_and_no_budget() {
        let gpu = Gpu::cpu();
        assert_eq!(gpu.memory(), Ok(MemoryUse::default()));
        assert_eq!(gpu.ensure_room(u64::MAX), Ok(()));
    }
}
